//! Fetching key sets (RFC 7517) for token issuers: blocking, in a thread of its own, the same for every runtime.
//!
//! A source is an `https` URL, a file path, or a `file://` URL; plain `http` is taken for this machine only. Size and
//! time are bounded, and a redirect never leaves `https`. [`discover`] asks an issuer where its keys are first.

mod discovery;

use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use std::{fs, io, thread};

use strowger_core::door::{Answer, KeysAnswer, KeysQuery, Secret};
use thiserror::Error;

pub use discovery::{discover, is_discoverable};

/// Largest document taken, in bytes.
pub const MAX_BYTES: u64 = 64 << 10;

/// Longest time for one fetch, from name resolution to the last byte, discovery included.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Most fetches that wait for the worker; more are answered as unavailable at once.
const QUEUE: usize = 64;

/// A key set as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetched {
    /// The document: a list of keys, which were not looked into.
    pub json: Vec<u8>,
    /// How long the server lets it be kept.
    pub max_age: Option<Duration>,
}

/// Why a key set could not be had.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The source is neither an `https` URL nor a file.
    #[error("{0:?} is neither an https URL nor a file path (http is accepted for this machine only)")]
    Source(Box<str>),
    /// Where to ask about tokens is no `https` URL.
    #[error("{0:?} is not an https URL (http is accepted for this machine only)")]
    Endpoint(Box<str>),
    /// The issuer is no URL with a place for its metadata.
    #[error("the issuer {0:?} is not an https URL without query (http is accepted for this machine only)")]
    Issuer(Box<str>),
    /// What it calls its metadata is none.
    #[error("the metadata of the issuer cannot be read: {0}")]
    Metadata(Box<str>),
    /// The metadata are those of another issuer (OpenID Connect Discovery 1.0 s4.3).
    #[error("the metadata are those of another issuer, {0:?}")]
    OtherIssuer(Box<str>),
    /// The metadata name a place for the keys that is not as safe as the issuer.
    #[error("the metadata name {0:?} for the keys, which is not an https URL")]
    KeysElsewhere(Box<str>),
    /// What came is no JSON object with a list of keys (RFC 7517 s5).
    #[error("the document is no JSON Web Key Set")]
    NoKeySet,
    /// It is larger than [`MAX_BYTES`].
    #[error("the document is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// The file cannot be read.
    #[error("cannot read the file: {0}")]
    File(#[from] io::Error),
    /// The server could not be asked, or refused.
    #[error("{0}")]
    Http(Box<ureq::Error>),
}

impl From<ureq::Error> for FetchError {
    fn from(error: ureq::Error) -> FetchError {
        match error {
            ureq::Error::BodyExceedsLimit(_) => FetchError::TooLarge,
            other => FetchError::Http(Box::new(other)),
        }
    }
}

/// Fetches a key set now, blocking for at most [`TIMEOUT`].
pub fn fetch(source: &str) -> Result<Fetched, FetchError> {
    match place(source) {
        Some(Place::File(path)) => read_file(path).and_then(key_set),
        Some(Place::Url(url)) => read_url(url, TIMEOUT).and_then(key_set),
        None => Err(FetchError::Source(source.into())),
    }
}

/// RFC 7517 s5: what comes from a page of errors or of logins is none.
fn key_set(fetched: Fetched) -> Result<Fetched, FetchError> {
    let read: Option<serde_json::Value> = serde_json::from_slice(&fetched.json).ok();
    let keys = read.as_ref().and_then(|document| document.get("keys")?.as_array());
    if keys.is_some() { Ok(fetched) } else { Err(FetchError::NoKeySet) }
}

/// True if [`fetch`] would try this source; for checking a configuration.
pub fn is_source(source: &str) -> bool {
    place(source).is_some()
}

/// True if this is an https URL, or an http URL of this machine.
pub fn is_url(source: &str) -> bool {
    matches!(place(source), Some(Place::Url(_)))
}

enum Place<'s> {
    File(&'s str),
    Url(&'s str),
}

fn place(source: &str) -> Option<Place<'_>> {
    match source.split_once("://") {
        None => (!source.is_empty()).then_some(Place::File(source)),
        Some(("file", path)) => path.starts_with('/').then_some(Place::File(path)),
        Some(("https", _)) => Some(Place::Url(source)),
        Some(("http", rest)) => is_this_machine(rest).then_some(Place::Url(source)),
        Some(_) => None,
    }
}

/// Whether the authority of an http URL is this machine, so that nobody can change the keys on the way.
fn is_this_machine(rest: &str) -> bool {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    !authority.contains('@')
        && (host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()))
}

fn read_file(path: &str) -> Result<Fetched, FetchError> {
    let mut json = Vec::new();
    fs::File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut json)?;
    if json.len() as u64 > MAX_BYTES {
        return Err(FetchError::TooLarge);
    }
    Ok(Fetched { json, max_age: None })
}

fn read_url(url: &str, patience: Duration) -> Result<Fetched, FetchError> {
    let secure = url.starts_with("https://");
    // A cleartext source on this machine is taken at its word and sends nobody elsewhere.
    let redirects = if secure { 3 } else { 0 };
    let agent = agent(secure, redirects, patience, "application/jwk-set+json, application/json");
    let mut response = agent.get(url).call()?;
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let max_age = max_age(header("cache-control").unwrap_or_default(), header("age"));
    let json = response.body_mut().with_config().limit(MAX_BYTES).read_to_vec()?;
    Ok(Fetched { json, max_age })
}

/// A client with our trust anchors.
pub(crate) fn agent(https_only: bool, redirects: u32, patience: Duration, accept: &str) -> ureq::Agent {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ureq::tls::TlsConfig::builder()
        .provider(ureq::tls::TlsProvider::Rustls)
        .root_certs(ureq::tls::RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(provider)
        .build();
    ureq::Agent::config_builder()
        .tls_config(tls)
        .https_only(https_only)
        .max_redirects(redirects)
        .timeout_global(Some(patience))
        .max_response_header_size(16 << 10)
        .user_agent("Strowger")
        .accept(accept)
        .build()
        .new_agent()
}

/// `max-age` of a Cache-Control header, less the age the document already has (RFC 9111 s4.2, s5.2.2.1).
fn max_age(cache_control: &str, age: Option<&str>) -> Option<Duration> {
    let directives = || cache_control.split(',').map(str::trim);
    if directives().any(|d| d.eq_ignore_ascii_case("no-store") || d.eq_ignore_ascii_case("no-cache")) {
        return Some(Duration::ZERO);
    }
    let fresh = directives().find_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        if !name.trim_end().eq_ignore_ascii_case("max-age") {
            return None;
        }
        value.trim().trim_matches('"').parse::<u64>().ok()
    })?;
    let age = age.and_then(|age| age.trim().parse::<u64>().ok()).unwrap_or(0);
    Some(Duration::from_secs(fresh.saturating_sub(age)))
}

/// Answers `Keys` queries from a worker thread named `strowger-jwks`, one after the other.
#[derive(Clone, Debug)]
pub struct KeyFetcher {
    queries: SyncSender<KeysQuery>,
}

impl KeyFetcher {
    /// Starts the worker. `deliver` is called in its thread with each answer, and with the error behind an
    /// [`KeysAnswer::Unavailable`]. The worker ends when the last clone of the fetcher is dropped.
    pub fn start<F>(mut deliver: F) -> io::Result<KeyFetcher>
    where
        F: FnMut(&KeysQuery, Answer, Option<FetchError>) + Send + 'static,
    {
        let (queries, work) = sync_channel::<KeysQuery>(QUEUE);
        thread::Builder::new().name("strowger-jwks".into()).spawn(move || {
            for query in work {
                let fetched = if query.discover { discover(&query.source) } else { fetch(&query.source) };
                let (keys, error) = match fetched {
                    Ok(Fetched { json, max_age }) => {
                        (KeysAnswer::Document { json: Secret(json.into()), max_age }, None)
                    }
                    Err(error) => (KeysAnswer::Unavailable, Some(error)),
                };
                deliver(&query, Answer::Keys(query.ticket, keys), error);
            }
        })?;
        Ok(KeyFetcher { queries })
    }

    /// Hands a query to the worker. `Err` holds the answer to give at once, when too many wait.
    pub fn ask(&self, query: KeysQuery) -> Result<(), Answer> {
        self.queries.try_send(query).map_err(|refused| {
            let (TrySendError::Full(query) | TrySendError::Disconnected(query)) = refused;
            Answer::Keys(query.ticket, KeysAnswer::Unavailable)
        })
    }
}

#[cfg(test)]
mod tests;
