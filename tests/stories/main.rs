//! Stories over the simulated world. Each builds its world in a line or two, and its ladder is a snapshot in which
//! nothing is masked. Every world is audited, and must end with empty tables.

mod agents;
mod auth;
mod calls;
mod crowd;
mod explore;
mod hostile;
mod messages;
mod network;
mod presence;
mod pure;
mod registration;
mod routing;
mod server;
mod torture;

use std::time::Duration;

/// Seconds.
pub(crate) const fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Milliseconds.
pub(crate) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
