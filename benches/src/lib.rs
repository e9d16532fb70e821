//! What the server costs, measured: a load generator, a counting allocator, the messages the benchmarks share.
//!
//! Binaries: `loadgen` puts load on a running server; `parse`, `engine`, `presence` and `calls` measure in process,
//! `connections` and `churn` what connections cost that stay, and that come and go. Scripts beside this package: `compare.sh` and
//! `presence.sh` run the server against Kamailio, `instructions.sh`, `shells.sh` and `transports.sh` count user instructions
//! under valgrind.
//! The allocation budget is an ordinary test (`tests/budget.rs`).

// A benchmark reads the clock; nothing here runs inside the engine.
#![allow(clippy::disallowed_methods)]

pub mod calls;
pub mod corpus;
pub mod counting;
pub mod issuer;
pub mod links;
pub mod load;
pub mod micro;
pub mod world;
