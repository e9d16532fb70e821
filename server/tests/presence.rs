//! Presence with real clients against the built binary over loopback: SIPp as watcher and as publisher with Digest over
//! UDP and TCP, and baresip watching baresip in both directions.
//!
//! Where a client is not installed its test says that it was skipped; `STROWGER_REQUIRE_CLIENTS=1` makes that a failure.

// Tests wait for real programs, on real time.
#![allow(clippy::disallowed_methods)]

#[path = "interop/client.rs"]
#[allow(dead_code)] // Every test binary uses its own part.
mod client;
#[path = "interop/headless.rs"]
#[allow(dead_code)]
mod headless;
#[path = "interop/launch.rs"]
#[allow(dead_code)]
mod launch;
#[path = "presence/phones.rs"]
mod phones;
#[path = "presence/sipp.rs"]
mod sipp;

/// Every change is told by itself.
fn accounts(users: &[&str]) -> String {
    launch::accounts(users, "[presence]\npacing = \"0s\"\n")
}
