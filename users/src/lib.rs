//! **strowger-users**: accounts, password login, tokens, their REST API, and the durable state of the engine.
//!
//! Everything but the routes is blocking code without a runtime: a server calls it from threads of its own, never from
//! the loop of the engine. Times are handed in as [`Seconds`].
//!
//! - [`sqlite`]: how a database file is opened: whose it is, which version it has, who may read it.
//! - [`password`]: Argon2id hashes, so many at once and no more.
//! - [`keys`]: the keys that sign tokens, rotated with overlap, published as a JWK set.
//! - [`store`]: accounts, Digest credentials and API keys in SQLite; each change is told to a listener.

#![forbid(unsafe_code)]

pub mod keys;
pub mod password;
mod random;
pub mod sqlite;
pub mod store;

#[cfg(test)]
mod scratch;

/// A time: seconds since the Unix epoch.
pub type Seconds = i64;
