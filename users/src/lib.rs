//! **strowger-users**: accounts, password login, tokens, their REST API, and the durable state of the engine.
//!
//! Everything but the routes is blocking code without a runtime: a server calls it from threads of its own, never from
//! the loop of the engine. Times are handed in as [`Seconds`].
//!
//! - [`state`]: the state of the engine over restarts.
//! - [`sqlite`]: how a database file is opened: whose it is, which version it has, who may read it.
//! - [`password`]: Argon2id hashes, so many at once and no more.
//! - [`keys`]: the keys that sign tokens, rotated with overlap, published as a JWK set.
//! - [`login`]: password login, refresh, logout, lock-out.
//! - [`scope`]: what a token or an API key may be used for.
//! - [`store`]: accounts, Digest credentials and API keys in SQLite; each change is told to a listener.
//! - [`tokens`]: access tokens, made and checked.
//! - `rest` (feature `rest`): all of it over HTTP.

#![forbid(unsafe_code)]

pub mod keys;
pub mod login;
pub mod password;
mod random;
#[cfg(feature = "rest")]
pub mod rest;
pub mod scope;
pub mod sqlite;
pub mod state;
pub mod store;
pub mod tokens;

#[cfg(test)]
mod scratch;

/// A time: seconds since the Unix epoch.
pub type Seconds = i64;
