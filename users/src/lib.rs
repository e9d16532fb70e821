//! **strowger-users**: accounts, password login, tokens, their REST API, and the durable state of the engine.
//!
//! Everything but the routes is blocking code without a runtime: a server calls it from threads of its own, never from
//! the loop of the engine.
//!
//! - [`sqlite`]: how a database file is opened: whose it is, which version it has, who may read it.

#![forbid(unsafe_code)]

pub mod sqlite;

#[cfg(test)]
mod scratch;
