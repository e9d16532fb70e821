//! Real clients against the built binary over loopback: SIPp, sipsak, baresip, and a Bearer REGISTER from a bare socket.
//!
//! Where a client is not installed its test says that it was skipped; `STROWGER_REQUIRE_CLIENTS=1` makes that a failure.

// Tests wait for real programs, on real time.
#![allow(clippy::disallowed_methods)]

mod common;

#[path = "interop/baresip.rs"]
mod baresip;
#[path = "interop/bearer.rs"]
mod bearer;
#[path = "interop/client.rs"]
mod client;
#[path = "interop/headless.rs"]
#[allow(dead_code)] // Every test binary uses its own part.
mod headless;
#[path = "interop/launch.rs"]
mod launch;
#[path = "interop/sipp.rs"]
mod sipp;
#[path = "interop/sipsak.rs"]
mod sipsak;
