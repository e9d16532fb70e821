//! Asking an authorization server about tokens (RFC 7662 s2): blocking, in threads of its own, the same for every runtime.
//!
//! The endpoint is an `https` URL; plain `http` is taken for this machine only. Size and time are bounded, and a redirect
//! is not followed: what is asked holds a token and a secret.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io, thread};

use strowger_core::base::text;
use strowger_core::door::{Answer, IntrospectAnswer, IntrospectQuery, Secret};

use crate::jwks::{FetchError, MAX_BYTES, agent, is_url};

/// Longest time for one question.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// Questions under way at once.
const WORKERS: usize = 2;

/// Most questions that wait for a worker; more are answered as unavailable at once.
const QUEUE: usize = 256;

/// Asks now, blocking for at most [`TIMEOUT`].
pub fn introspect(query: &IntrospectQuery) -> Result<Vec<u8>, FetchError> {
    ask(&questions(), query)
}

fn questions() -> ureq::Agent {
    agent(false, 0, TIMEOUT, "application/json")
}

fn ask(agent: &ureq::Agent, query: &IntrospectQuery) -> Result<Vec<u8>, FetchError> {
    if !is_url(&query.endpoint) {
        return Err(FetchError::Endpoint(query.endpoint.clone()));
    }
    let body = format!("token={}&token_type_hint=access_token", form(&query.token.0));
    let mut response = agent
        .post(&*query.endpoint)
        .header("Authorization", basic(&query.client_id, &query.client_secret.0))
        .content_type("application/x-www-form-urlencoded")
        .send(body)?;
    // What answers in another way, such as by a redirect, has said nothing of the token.
    let status = response.status();
    if status != 200 {
        return Err(ureq::Error::StatusCode(status.as_u16()).into());
    }
    Ok(response.body_mut().with_config().limit(MAX_BYTES).read_to_vec()?)
}

/// RFC 6749 s2.3.1: the form encoding of both, as Basic credentials (RFC 7617).
fn basic(id: &str, secret: &str) -> String {
    let pair = format!("{}:{}", form(id.as_bytes()), form(secret.as_bytes()));
    let mut out = vec![0; text::base64url_len(pair.len())];
    let encoded = text::base64url(pair.as_bytes(), &mut out).unwrap_or_default();
    let mut basic = String::from("Basic ");
    basic.extend(encoded.iter().map(|&byte| match byte {
        b'-' => '+',
        b'_' => '/',
        other => char::from(other),
    }));
    basic.extend(core::iter::repeat_n('=', encoded.len().wrapping_neg() % 4));
    basic
}

/// The encoding of `application/x-www-form-urlencoded`.
fn form(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._*".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                out.push(char::from(b"0123456789ABCDEF".get(usize::from(nibble)).copied().unwrap_or(b'0')));
            }
        }
    }
    out
}

/// Answers `Introspect` queries from worker threads named `strowger-token`.
#[derive(Clone, Debug)]
pub struct Introspector {
    queries: SyncSender<IntrospectQuery>,
}

impl Introspector {
    /// Starts the workers. `deliver` is called in their threads with each answer, and with the error behind an
    /// [`IntrospectAnswer::Unavailable`]. They end when the last clone of this is dropped.
    pub fn start<F>(deliver: F) -> io::Result<Introspector>
    where
        F: Fn(&IntrospectQuery, Answer, Option<FetchError>) + Send + Sync + 'static,
    {
        let (queries, work) = sync_channel::<IntrospectQuery>(QUEUE);
        let (work, deliver) = (Arc::new(Mutex::new(work)), Arc::new(deliver));
        for _ in 0..WORKERS {
            let (work, deliver) = (work.clone(), deliver.clone());
            thread::Builder::new().name("strowger-token".into()).spawn(move || {
                let agent = questions();
                while let Some(query) = next(&work) {
                    let (answer, error) = match ask(&agent, &query) {
                        Ok(json) => (IntrospectAnswer::Document(Secret(json.into())), None),
                        Err(error) => (IntrospectAnswer::Unavailable, Some(error)),
                    };
                    deliver(&query, Answer::Introspected(query.ticket, answer), error);
                }
            })?;
        }
        Ok(Introspector { queries })
    }

    /// Hands a query to the workers. `Err` holds the answer to give at once, when too many wait.
    pub fn ask(&self, query: IntrospectQuery) -> Result<(), Answer> {
        self.queries.try_send(query).map_err(|refused| {
            let (TrySendError::Full(query) | TrySendError::Disconnected(query)) = refused;
            Answer::Introspected(query.ticket, IntrospectAnswer::Unavailable)
        })
    }
}

fn next(work: &Mutex<Receiver<IntrospectQuery>>) -> Option<IntrospectQuery> {
    work.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

#[cfg(test)]
mod tests;
