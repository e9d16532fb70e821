//! Where the keys of an issuer are, by its metadata (OpenID Connect Discovery 1.0 s4, RFC 8414 s3).
//!
//! The metadata are believed only as far as the issuer is: they must name it exactly, and what they name for the keys
//! is an `https` URL. An issuer on this machine by plain `http` may name another such place; nobody may name a file.

use std::time::Duration;

use serde::Deserialize;

use super::{FetchError, Fetched, Place, TIMEOUT, key_set, place, read_url};

/// Longest time for one look at the metadata. There may be two, and the keys have the rest of [`TIMEOUT`].
const METADATA_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest piece of a foreign text that is repeated in an error.
const QUOTED: usize = 200;

/// What is read of the metadata. A name that stands twice is refused.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// Asks an issuer where its keys are and fetches them, blocking for at most [`TIMEOUT`].
pub fn discover(issuer: &str) -> Result<Fetched, FetchError> {
    let places = Places::of(issuer).ok_or_else(|| FetchError::Issuer(issuer.into()))?;
    let metadata = match read_url(&places.openid, METADATA_TIMEOUT) {
        // It may be an authorization server that knows no OpenID.
        Err(FetchError::Http(error)) if matches!(*error, ureq::Error::StatusCode(400..500)) => {
            read_url(&places.oauth, METADATA_TIMEOUT)?
        }
        other => other?,
    };
    read_url(&jwks_uri(issuer, &metadata.json)?, TIMEOUT - 2 * METADATA_TIMEOUT).and_then(key_set)
}

/// True if [`discover`] would try this issuer; for checking a configuration.
pub fn is_discoverable(issuer: &str) -> bool {
    Places::of(issuer).is_some()
}

/// Where the metadata of an issuer may be.
struct Places {
    openid: String,
    oauth: String,
}

impl Places {
    fn of(issuer: &str) -> Option<Places> {
        // Discovery s3, RFC 8414 s2: a URL with neither query nor fragment.
        if issuer.contains(['?', '#']) || !matches!(place(issuer), Some(Place::Url(_))) {
            return None;
        }
        let (scheme, rest) = issuer.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.is_empty() {
            return None;
        }
        // Both: a slash at the end is taken off first. OpenID puts its name behind the path, RFC 8414 s3.1 before it.
        let path = path.strip_suffix('/').unwrap_or(path);
        Some(Places {
            openid: format!("{scheme}://{authority}{path}/.well-known/openid-configuration"),
            oauth: format!("{scheme}://{authority}/.well-known/oauth-authorization-server{path}"),
        })
    }
}

/// Where the keys of this issuer are, as its metadata say.
fn jwks_uri(issuer: &str, json: &[u8]) -> Result<String, FetchError> {
    let metadata: Metadata =
        serde_json::from_slice(json).map_err(|error| FetchError::Metadata(error.to_string().into()))?;
    // Discovery s4.3, RFC 8414 s3.3: exactly, or they must not be used.
    if metadata.issuer != issuer {
        return Err(FetchError::OtherIssuer(quoted(&metadata.issuer)));
    }
    let by_https = metadata.jwks_uri.starts_with("https://");
    // Who is asked by https sends nobody to what listens on this machine.
    let as_near = issuer.starts_with("http://") && matches!(place(&metadata.jwks_uri), Some(Place::Url(_)));
    if !(by_https || as_near) {
        return Err(FetchError::KeysElsewhere(quoted(&metadata.jwks_uri)));
    }
    Ok(metadata.jwks_uri)
}

fn quoted(text: &str) -> Box<str> {
    text.chars().take(QUOTED).collect::<String>().into()
}

#[cfg(test)]
mod tests;
