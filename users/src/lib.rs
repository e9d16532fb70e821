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
//!
//! # How a server uses it
//!
//! ```no_run
//! # #[cfg(feature = "rest")]
//! # async fn serve(exchange: std::sync::Arc<dyn strowger_users::rest::Exchange>) -> Result<(), Box<dyn std::error::Error>> {
//! use std::path::Path;
//! use std::sync::{Arc, mpsc};
//! use std::time::SystemTime;
//! use strowger_users::keys::{KeyRing, RingConfig};
//! use strowger_users::login::{Login, LoginConfig};
//! use strowger_users::rest::{Api, ApiConfig, router};
//! use strowger_users::store::{AccountChange, Store, StoreConfig};
//! use strowger_users::tokens::{Issuer, TokenConfig};
//!
//! let clock = || SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs() as i64);
//! let config = StoreConfig { realms: vec!["example.com".into()], ..StoreConfig::default() };
//! let mut store = Store::open(Path::new("users.db"), config)?;
//! let (changes, told) = mpsc::channel::<AccountChange>();
//! store.listen(move |change| drop(changes.send(change.clone())));
//! if let Some(password) = store.first_admin("admin", clock())? {
//!     println!("admin has the password {}", password.0);
//! }
//! let ring = Arc::new(KeyRing::open(Path::new("keys"), RingConfig::default(), clock())?);
//! let issuer = Issuer::new(ring, TokenConfig::new("https://sip.example.com", "example.com"));
//! let login = Arc::new(Login::new(Arc::new(store), Arc::new(issuer), LoginConfig::default()));
//! let api = Arc::new(Api::new(login, exchange, clock, ApiConfig::default()));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! let service = router(api).into_make_service_with_connect_info::<std::net::SocketAddr>();
//! axum::serve(listener, service).await?;
//! # drop(told);
//! # Ok(())
//! # }
//! ```
//!
//! It calls [`KeyRing::tick`](keys::KeyRing::tick) every minute and [`Store::sweep`](store::Store::sweep) every few.
//! What the store tells it hands on to the engine:
//!
//! | change | what the engine is told |
//! |---|---|
//! | [`Revoked`](store::Change::Revoked) | `Request::Revoke` with [`tokens`](store::Revocation::tokens); at the start, all of [`Store::revocations`](store::Store::revocations) |
//! | created, enabled, disabled, deleted, password, Digest, AoRs | the credentials of that user are others: [`Store::sip_account`](store::Store::sip_account) |
//! | disabled, deleted, AoRs lost | `Request::ForgetAor` for each address that he no longer has |

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
