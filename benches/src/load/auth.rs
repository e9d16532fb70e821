//! The client's side of Digest (RFC 7616) and Bearer (RFC 8898), written apart from the engine.

use std::fmt::Write;
use std::io;
use std::path::Path;

use md5::Md5;
use sha2::{Digest, Sha256};

/// How the generator shows who it is.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Not at all.
    None,
    /// Digest.
    Digest {
        /// Which hash; a challenge for another one is passed over.
        algorithm: Algorithm,
        /// Answer a challenge with each transaction (two requests), or use the nonce of the last one again (one).
        reuse: bool,
    },
    /// A token in every request.
    Bearer(Tokens),
}

/// Hashes the generator can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Algorithm {
    /// RFC 2617.
    Md5,
    /// RFC 8760.
    #[value(name = "sha-256")]
    Sha256,
}

impl Algorithm {
    fn token(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
        }
    }

    fn hex(self, text: &str) -> String {
        match self {
            Algorithm::Md5 => hex(&Md5::digest(text)),
            Algorithm::Sha256 => hex(&Sha256::digest(text)),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).map(|n| char::from(DIGITS[usize::from(n)])).collect()
}

/// One token for each user.
#[derive(Clone, Debug)]
pub struct Tokens(Vec<String>);

impl Tokens {
    /// From a file with one on each line.
    pub fn read(path: &Path) -> io::Result<Tokens> {
        Ok(Tokens(std::fs::read_to_string(path)?.lines().map(str::to_owned).collect()))
    }

    /// That of a user; `None` if there are too few.
    pub fn of(&self, user: u32) -> Option<&str> {
        self.0.get(user as usize).map(String::as_str)
    }

    /// How many users have one.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The parts of a challenge that an answer needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Challenge {
    pub(crate) realm: String,
    pub(crate) nonce: String,
    pub(crate) qop: bool,
}

impl Challenge {
    /// Reads the value of a WWW-Authenticate line; `None` if it asks for something else.
    pub(crate) fn read(value: &[u8], algorithm: Algorithm) -> Option<Challenge> {
        let value = std::str::from_utf8(value).ok()?.trim().strip_prefix("Digest ")?;
        let asked = param(value, "algorithm").unwrap_or("MD5");
        asked.eq_ignore_ascii_case(algorithm.token()).then_some(())?;
        Some(Challenge {
            realm: param(value, "realm")?.into(),
            nonce: param(value, "nonce")?.into(),
            qop: param(value, "qop").is_some_and(|qop| qop.split(',').any(|q| q.trim() == "auth")),
        })
    }
}

/// A parameter by its name, without quotes. Good for values without escapes, as our own server and Kamailio send them.
pub(crate) fn param<'v>(value: &'v str, name: &str) -> Option<&'v str> {
    let mut rest = value;
    while let Some((key, behind)) = rest.split_once('=') {
        let (found, next) = match behind.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => behind.split_at(behind.find(',').unwrap_or(behind.len())),
        };
        if key.trim_start_matches([',', ' ']).eq_ignore_ascii_case(name) {
            return Some(found.trim());
        }
        rest = next;
    }
    None
}

/// Appends an Authorization line that answers a challenge.
pub(crate) fn answer(
    out: &mut Vec<u8>,
    algorithm: Algorithm,
    challenge: &Challenge,
    who: (&str, &str),
    request: (&str, &str),
    nc: u32,
) {
    const CNONCE: &str = "0a4f113b";
    let ((user, password), (method, uri)) = (who, request);
    let Challenge { realm, nonce, qop } = challenge;
    let ha1 = algorithm.hex(&format!("{user}:{realm}:{password}"));
    let ha2 = algorithm.hex(&format!("{method}:{uri}"));
    let (response, tail) = match qop {
        true => (
            algorithm.hex(&format!("{ha1}:{nonce}:{nc:08x}:{CNONCE}:auth:{ha2}")),
            format!(", qop=auth, nc={nc:08x}, cnonce=\"{CNONCE}\""),
        ),
        false => (algorithm.hex(&format!("{ha1}:{nonce}:{ha2}")), String::new()),
    };
    let mut line = String::with_capacity(512);
    // Writing to a String does not fail.
    let _ = write!(
        line,
        "Authorization: Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
         response=\"{response}\", algorithm={}{tail}\r\n",
        algorithm.token()
    );
    out.extend_from_slice(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_that_of_the_standard() {
        // RFC 2617 s3.5 with its GET request; the cnonce is ours, so the response was worked out apart.
        let challenge = Challenge::read(
            b"Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"",
            Algorithm::Md5,
        )
        .expect("a challenge for MD5");
        let mut line = Vec::new();
        let who = ("Mufasa", "Circle Of Life");
        answer(&mut line, Algorithm::Md5, &challenge, who, ("GET", "/dir/index.html"), 1);
        let line = String::from_utf8(line).expect("text");
        assert!(line.contains("response=\"6629fae49393a05397450978507c4ef1\""), "{line}");
    }

    #[test]
    fn a_challenge_for_another_hash_is_passed_over() {
        let value = b"Digest realm=\"a, b\", nonce=\"n=1\", algorithm=SHA-256,qop=\"auth\"";
        assert_eq!(Challenge::read(value, Algorithm::Md5), None);
        let read = Challenge::read(value, Algorithm::Sha256).expect("for this one");
        assert_eq!(read, Challenge { realm: "a, b".into(), nonce: "n=1".into(), qop: true });
        assert_eq!(Challenge::read(b"Bearer realm=\"a\"", Algorithm::Md5), None);
    }
}
