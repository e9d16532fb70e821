//! What every Strowger runtime shares, and what is not the engine's business, so that tokio, smol and mio behave alike.
//!
//! Nothing here waits, and nothing knows a runtime: a runtime watches sockets, keeps time, and polls these parts when there
//! is something for them. All of it is without sockets, but for [`socket`], the module of those system calls that are the
//! same for all: binding, and batches of datagrams. A runtime crate holds the waiting, and nothing else:
//!
//! - [`builder`] and [`server`]: the face of a server, and how it is prepared and started.
//! - [`driver`]: the engine's loop without its waiting.
//! - [`peer`]: the face of a user agent.
//! - [`stream`]: one connection at work, polled with its socket.
//! - [`socket`]: binding, UDP batches, and what a runtime says of the sockets it watches.
//! - [`inbox`]: what reaches the loop from connections and workers, over a [`queue`].
//! - [`asking`]: the program is asked where calls go; [`hooks`]: all that it may be asked and told.
//! - [`resolver`]: where SIP servers are, and which of our addresses is named on the way there.
//!
//! The parts:
//!
//! - [`clock`]: the engine's time from a monotonic clock, and wall-clock steps.
//! - [`connection`]: a stream connection over memory: framing, write queue, deadlines; [`backlog`]: its byte budget.
//! - [`admission`]: how many may connect, per source and in total.
//! - [`datagram`]: rules for UDP.
//! - [`dns`]: where SIP servers are (RFC 3263), over a stub resolver.
//! - [`jwks`]: key sets of token issuers, fetched in a thread of their own.
//! - [`gate`]: what is sent waits for what is stored, or does not; [`saver`]: the thread that stores.
//! - [`handle`]: how the rest of the program talks to a running engine; [`promise`] carries the replies.
//! - [`latency`]: how long answers took, in fixed buckets.
//! - [`names`]: the names of this machine.
//! - [`news`]: changes of presence, for whoever listens.
//! - [`options`]: every bound and deadline of the sockets.
//! - [`presence`]: what presentities are, and publishing for them, over a handle.
//! - [`calls`]: live calls, as a program sees, ends and begins them.
//! - [`relay`]: media between parties that cannot reach each other, by ports of its own or by an rtpengine.
//! - [`route`]: where a call goes, as a program says it.
//! - [`token`]: the token of a client, renewed before it expires.
//! - [`store`]: where changes of state are kept, as a trait; a store in memory.
#![forbid(unsafe_code)]

pub mod admission;
pub mod asking;
pub mod backlog;
pub mod builder;
pub mod calls;
pub mod clock;
pub mod connection;
pub mod datagram;
pub mod dns;
pub mod driver;
pub mod error;
pub mod gate;
pub mod handle;
pub mod hooks;
pub mod inbox;
pub mod introspect;
pub mod jwks;
pub mod latency;
pub mod names;
pub mod news;
#[cfg(test)]
mod once;
pub mod options;
pub mod peer;
pub mod prelude;
pub mod presence;
pub mod promise;
pub mod queue;
pub mod relay;
pub mod resolver;
pub mod route;
pub mod saver;
pub mod server;
pub mod socket;
mod storage;
pub mod store;
pub mod stream;
pub mod tls;
pub mod token;
mod workers;
mod write_queue;

/// Fresh bytes from the operating system, for an engine's seed.
///
/// # Panics
///
/// If the operating system has no randomness to give: a server must not run on guessable identifiers.
pub fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).expect("the operating system gives random bytes");
    seed
}
