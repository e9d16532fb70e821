//! Key sets of issuers: a JWKS document, a single JWK, or a PEM public key (RFC 7517, RFC 7518 s6).
//!
//! A key is chosen by `kid` and `alg` together, never because it is the first. Symmetric keys are dropped: a key the
//! world can read must not verify an HMAC. Keys of kinds not known here are passed over.

use core::fmt;
use std::sync::Arc;

use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

use super::claims::algorithm_named;
use crate::base::hash::sha256;
use crate::base::text;
use crate::config::JwtAlgorithm;

/// Names a verification key by its contents.
pub(super) type KeyPrint = [u8; 32];

/// Most bytes of a document that are looked at; a longer one is no document.
pub(super) const MOST_BYTES: usize = 64 << 10;
/// Most keys of a document that are kept; the others are passed over.
pub(super) const MOST_KEYS: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Kind {
    const fn of(algorithm: JwtAlgorithm) -> Kind {
        match algorithm {
            JwtAlgorithm::Rs256
            | JwtAlgorithm::Rs384
            | JwtAlgorithm::Rs512
            | JwtAlgorithm::Ps256
            | JwtAlgorithm::Ps384
            | JwtAlgorithm::Ps512 => Kind::Rsa,
            JwtAlgorithm::Es256 => Kind::P256,
            JwtAlgorithm::Es384 => Kind::P384,
            JwtAlgorithm::EdDsa => Kind::Ed25519,
        }
    }
}

/// One public key.
pub(super) struct VerifyKey {
    kid: Option<String>,
    algorithm: Option<JwtAlgorithm>,
    kind: Kind,
    key: DecodingKey,
    print: KeyPrint,
}

impl fmt::Debug for VerifyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.kid, self.kind)
    }
}

impl VerifyKey {
    /// Names the key by its contents: it stays the same key when the document is fetched again.
    pub(super) fn print(&self) -> &KeyPrint {
        &self.print
    }

    /// Whether the signature is this key's, under this algorithm.
    ///
    /// Calls the backend directly: `jsonwebtoken::decode` goes through a process-wide provider that panics when another
    /// crate of the program enables another backend, and reads the wall clock.
    pub(super) fn verifies(&self, algorithm: JwtAlgorithm, signed: &[u8], signature: &Vec<u8>) -> bool {
        self.fits(algorithm)
            && (DEFAULT_PROVIDER.verifier_factory)(&backend(algorithm), &self.key)
                .is_ok_and(|verifier| verifier.verify(signed, signature).is_ok())
    }

    fn fits(&self, algorithm: JwtAlgorithm) -> bool {
        self.kind == Kind::of(algorithm) && self.algorithm.is_none_or(|own| own == algorithm)
    }
}

const fn backend(algorithm: JwtAlgorithm) -> Algorithm {
    match algorithm {
        JwtAlgorithm::Rs256 => Algorithm::RS256,
        JwtAlgorithm::Rs384 => Algorithm::RS384,
        JwtAlgorithm::Rs512 => Algorithm::RS512,
        JwtAlgorithm::Ps256 => Algorithm::PS256,
        JwtAlgorithm::Ps384 => Algorithm::PS384,
        JwtAlgorithm::Ps512 => Algorithm::PS512,
        JwtAlgorithm::Es256 => Algorithm::ES256,
        JwtAlgorithm::Es384 => Algorithm::ES384,
        JwtAlgorithm::EdDsa => Algorithm::EdDSA,
    }
}

/// What a search for a key found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'k> {
    /// The key.
    Key(&'k VerifyKey),
    /// No key of that name: the set may be out of date.
    Unknown,
    /// The key of that name is for another algorithm, or without a name more than one would do.
    Unfit,
}

/// The keys of one issuer.
#[derive(Clone, Debug, Default)]
pub(super) struct KeySet {
    /// By `kid`, those without first; the order of the document among equals.
    keys: Arc<[VerifyKey]>,
}

impl KeySet {
    /// Reads a document. `None` if it is none, is too long, or has no usable key.
    pub(super) fn parse(document: &[u8]) -> Option<KeySet> {
        if document.len() > MOST_BYTES {
            return None;
        }
        let mut keys = match pem(document) {
            Some(key) => vec![key],
            None => jwks(serde_json::from_slice(document).ok()?)?,
        };
        // Stable: of two keys with one name and one algorithm the first stays in front and is found.
        keys.sort_by(|a, b| a.kid.cmp(&b.kid));
        (!keys.is_empty()).then(|| KeySet { keys: keys.into() })
    }

    /// The key for a token with this header.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: JwtAlgorithm) -> Found<'_> {
        let Some(kid) = kid else { return self.find_nameless(algorithm) };
        let from = self.keys.partition_point(|key| key.kid.as_deref() < Some(kid));
        let mut named =
            self.keys.iter().skip(from).take_while(|key| key.kid.as_deref() == Some(kid)).peekable();
        if named.peek().is_none() {
            // A set of one key without a name, such as a PEM file, serves tokens that name theirs.
            return match &self.keys[..] {
                [only] if only.kid.is_none() => fit(only, algorithm),
                _ => Found::Unknown,
            };
        }
        named.find(|key| key.fits(algorithm)).map_or(Found::Unfit, Found::Key)
    }

    fn find_nameless(&self, algorithm: JwtAlgorithm) -> Found<'_> {
        let mut fitting = self.keys.iter().filter(|key| key.fits(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Found::Key(only),
            _ => Found::Unfit,
        }
    }

    /// Whether a key is in the set.
    pub(super) fn contains(&self, print: &KeyPrint) -> bool {
        self.keys.iter().any(|key| key.print == *print)
    }
}

fn fit(key: &VerifyKey, algorithm: JwtAlgorithm) -> Found<'_> {
    if key.fits(algorithm) { Found::Key(key) } else { Found::Unfit }
}

fn jwks(document: Value) -> Option<Vec<VerifyKey>> {
    let Value::Object(mut members) = document else { return None };
    match members.remove("keys") {
        Some(Value::Array(keys)) => Some(keys.iter().filter_map(jwk).take(MOST_KEYS).collect()),
        Some(_) => None,
        // A single JWK.
        None => Some(jwk(&Value::Object(members)).into_iter().collect()),
    }
}

/// One JWK; `None` if it is not a public key for signatures of a kind known here.
fn jwk(jwk: &Value) -> Option<VerifyKey> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    // RFC 7517 s4.2, s4.3: a key for something else is not for us.
    if text("use").is_some_and(|usage| usage != "sig") {
        return None;
    }
    if let Some(operations) = jwk.get("key_ops").and_then(Value::as_array)
        && !operations.iter().any(|operation| operation == "verify")
    {
        return None;
    }
    let coordinate = |name: &str, bytes: usize| {
        let value = text(name)?;
        let mut room = [0; 66];
        (text::unbase64url(value.as_bytes(), &mut room)?.len() == bytes).then_some(value)
    };
    let point =
        |bytes| DecodingKey::from_ec_components(coordinate("x", bytes)?, coordinate("y", bytes)?).ok();
    let (kind, key, parts) = match (text("kty")?, text("crv")) {
        ("RSA", _) => (Kind::Rsa, DecodingKey::from_rsa_components(text("n")?, text("e")?).ok()?, ["n", "e"]),
        ("EC", Some("P-256")) => (Kind::P256, point(32)?, ["x", "y"]),
        ("EC", Some("P-384")) => (Kind::P384, point(48)?, ["x", "y"]),
        ("OKP", Some("Ed25519")) => {
            (Kind::Ed25519, DecodingKey::from_ed_components(coordinate("x", 32)?).ok()?, ["x", "x"])
        }
        // RFC 8725 s3.5: oct, which would verify an HMAC with what everybody can read, is never taken.
        _ => return None,
    };
    let algorithm = match text("alg") {
        None => None,
        Some(name) => Some(algorithm_named(name).filter(|a| Kind::of(*a) == kind)?),
    };
    let [a, b] = parts.map(|name| text(name).unwrap_or_default().as_bytes());
    let print = sha256(&[&[kind as u8], a, b".", b, b".", text("kid").unwrap_or_default().as_bytes()]);
    Some(VerifyKey { kid: text("kid").map(Into::into), algorithm, kind, key, print })
}

/// A PEM public key (RFC 7468 s13): a SubjectPublicKeyInfo, which the backend reads as it is.
fn pem(document: &[u8]) -> Option<VerifyKey> {
    const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
    const END: &str = "-----END PUBLIC KEY-----";
    let document = core::str::from_utf8(document).ok()?;
    let (_, rest) = document.split_once(BEGIN)?;
    let (base64, _) = rest.split_once(END)?;
    let mut url: Vec<u8> = Vec::with_capacity(base64.len());
    for b in base64.bytes() {
        match b {
            b'+' => url.push(b'-'),
            b'/' => url.push(b'_'),
            b'=' | b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => url.push(b),
        }
    }
    let mut room = vec![0; url.len()];
    let der = text::unbase64url(&url, &mut room)?;
    // RFC 5280 s4.1: SEQUENCE { SEQUENCE { algorithm, parameters }, key }. The algorithm stands near the front.
    let front = der.get(..der.len().min(32))?;
    let names = |oid: &[u8]| front.windows(oid.len()).any(|window| window == oid);
    let (kind, key) = if names(b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01") {
        (Kind::Rsa, DecodingKey::from_rsa_der(der))
    } else if names(b"\x2a\x86\x48\xce\x3d\x03\x01\x07") {
        (Kind::P256, DecodingKey::from_ec_der(der))
    } else if names(b"\x2b\x81\x04\x00\x22") {
        (Kind::P384, DecodingKey::from_ec_der(der))
    } else if names(b"\x06\x03\x2b\x65\x70") {
        (Kind::Ed25519, DecodingKey::from_ed_der(der))
    } else {
        return None;
    };
    Some(VerifyKey { kid: None, algorithm: None, kind, key, print: sha256(&[der]) })
}
