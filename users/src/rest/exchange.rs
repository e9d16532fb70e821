//! What the routes ask of a running engine, in plain types: implemented by a server over its handles, by a fake in
//! tests.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::Seconds;

/// Why the engine has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// There is no such thing.
    #[error("there is no such thing")]
    NotFound,
    /// It was asked for something that cannot be.
    #[error("{0}")]
    Invalid(&'static str),
    /// The engine does not answer.
    #[error("the engine does not answer")]
    Unavailable,
    /// This server does not do that.
    #[error("not supported")]
    Unsupported,
}

/// A phone that is registered.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Registration {
    /// `user@domain`.
    pub aor: String,
    /// The Contact URI.
    pub contact: String,
    /// Priority, 0 to 1.
    pub q: f32,
    /// When it began.
    pub since: Seconds,
    /// When it ends.
    pub expires: Seconds,
    /// How it is reached: `UDP`, `TLS`.
    pub transport: String,
    /// Where it came from.
    pub received: String,
    /// What it says it is; empty if nothing.
    pub user_agent: String,
    /// `+sip.instance`; empty if none.
    pub instance: String,
}

/// What somebody is all in all.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Presence {
    /// `user@domain`.
    pub aor: String,
    /// Whether anything of his is open.
    pub open: bool,
    /// RFC 4480 activities.
    pub activities: Vec<String>,
    /// In his words; empty if none.
    pub note: String,
    /// How many devices and publications that comes from.
    pub sources: usize,
}

/// Somebody who watches something.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Subscription {
    /// Names it while it lives.
    pub id: u64,
    /// The event package.
    pub event: String,
    /// Who watches.
    pub watcher: String,
    /// What is watched.
    pub target: String,
    /// `active`, `pending` until somebody decides, `blocked` if the watcher is told that nothing is known.
    pub state: String,
    /// When it began.
    pub since: Seconds,
    /// When it ends.
    pub expires: Seconds,
}

/// A live call.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Call {
    /// Its number.
    pub id: u64,
    /// Who calls.
    pub caller: String,
    /// Who is called.
    pub callee: String,
    /// How far it is.
    pub stage: String,
    /// Since when it is there.
    pub since: Seconds,
    /// How many parties it has.
    pub legs: usize,
}

/// Whether all is well.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Health {
    /// It takes new work.
    pub ok: bool,
    /// `ok`, `draining`, or what is wrong, in a word or a few: `state cannot be stored` while all the rest is well.
    pub status: String,
}

impl IntoResponse for Health {
    /// 200, or 503 for whoever only looks at the status.
    fn into_response(self) -> Response {
        let status = if self.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let body = serde_json::to_string(&self).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body)
            .into_response()
    }
}

/// A running engine, seen from the routes. Calls may block for as long as the routes shall wait; they come from threads
/// that may.
pub trait Exchange: Send + Sync + 'static {
    /// Bindings of AoRs in the order of their names, behind a name, of at most so many AoRs.
    fn registrations(&self, after: Option<&str>, aors: usize) -> Result<Vec<Registration>, ExchangeError>;
    /// Bindings of one AoR; empty if it has none, [`ExchangeError::NotFound`] if its domain is not served here.
    fn registration(&self, aor: &str) -> Result<Vec<Registration>, ExchangeError>;
    /// Removes a binding, or all of an AoR; how many there were.
    fn remove_registration(&self, aor: &str, contact: Option<&str>) -> Result<usize, ExchangeError>;
    /// What somebody is.
    fn presence(&self, aor: &str) -> Result<Presence, ExchangeError>;
    /// Subscriptions in the order of their numbers, behind a number, at most so many.
    fn subscriptions(&self, after: u64, limit: usize) -> Result<Vec<Subscription>, ExchangeError>;
    /// Live calls in the order of their numbers, behind a number, at most so many.
    fn calls(&self, after: u64, limit: usize) -> Result<Vec<Call>, ExchangeError>;
    /// One live call.
    fn call(&self, id: u64) -> Result<Call, ExchangeError>;
    /// Ends a live call.
    fn end_call(&self, id: u64) -> Result<(), ExchangeError>;
    /// Whether all is well.
    fn health(&self) -> Health;
}
