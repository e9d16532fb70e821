//! Calls with real clients against the built binary over loopback: SIPp calling SIPp with scenarios of our own, and
//! baresip calling baresip.
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
#[path = "calls/phones.rs"]
mod phones;
#[path = "calls/sipp.rs"]
mod sipp;

fn accounts(users: &[&str]) -> String {
    launch::accounts(users, "")
}
