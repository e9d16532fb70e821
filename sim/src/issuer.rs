//! A stand-in for an issuer of tokens: it signs with keys of its own, publishes them as a JWKS document (RFC 7517),
//! rotates them, and fails when told to.

use std::time::Duration;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::Time;
use crate::rng::Rng;

/// An issuer. Its keys are Ed25519, made from the seed.
#[derive(Clone)]
pub struct Issuer {
    /// `iss`.
    pub name: String,
    /// How long the document takes to come.
    pub delay: Duration,
    /// The document cannot be had.
    pub broken: bool,
    /// No answer ever comes.
    pub silent: bool,
    /// Lifetime named with the document.
    pub max_age: Option<Duration>,
    /// How often the document was asked for.
    pub fetches: u64,
    keys: Vec<(String, Vec<u8>)>,
    rng: Rng,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer")
            .field("name", &self.name)
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

/// PKCS #8 head of an Ed25519 private key; the 32 bytes of the key follow (RFC 8410 s7).
const ED25519: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

impl Issuer {
    /// An issuer with one key.
    pub fn new(name: &str, seed: u64) -> Issuer {
        let mut issuer = Issuer {
            name: name.into(),
            delay: Duration::from_millis(50),
            broken: false,
            silent: false,
            max_age: None,
            fetches: 0,
            keys: Vec::new(),
            rng: Rng::new(seed),
        };
        issuer.rotate();
        issuer
    }

    /// Signs with a new key from now on; the old ones stay published.
    pub fn rotate(&mut self) {
        let mut der = ED25519.to_vec();
        der.extend_from_slice(&self.rng.seed());
        self.keys.push((format!("key-{}", self.keys.len() + 1), der));
    }

    /// Takes all keys but the newest from the document.
    pub fn retire(&mut self) {
        self.keys.drain(..self.keys.len() - 1);
    }

    /// The JWKS document.
    pub fn document(&self) -> Vec<u8> {
        let keys: Vec<Value> = self
            .keys
            .iter()
            .map(|(kid, der)| {
                let jwk = Jwk::from_encoding_key(&EncodingKey::from_ed_der(der), Algorithm::EdDSA)
                    .expect("a fresh Ed25519 key");
                let mut jwk = serde_json::to_value(&jwk).expect("a JWK is JSON");
                jwk["kid"] = json!(kid);
                jwk
            })
            .collect();
        json!({ "keys": keys }).to_string().into_bytes()
    }

    /// A token with these claims and no others.
    pub fn sign(&self, claims: &Value) -> String {
        let (kid, der) = self.keys.last().expect("there is always a key");
        let header = Header { kid: Some(kid.clone()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_ed_der(der))
            .expect("a fresh Ed25519 key signs")
    }

    /// A token for a user that names its AoR in `sub`.
    pub fn token(&self, now: Time, sub: &str, audience: &str, lifetime: Duration) -> String {
        let now = now.as_secs();
        self.sign(&json!({ "iss": self.name, "aud": audience, "sub": sub, "iat": now, "exp": now + lifetime.as_secs() }))
    }
}
