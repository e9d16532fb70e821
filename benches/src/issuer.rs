//! An issuer of tokens for users of benchmarks: one fixed Ed25519 key.

use std::time::Duration;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

/// `iss` of its tokens.
pub const ISSUER: &str = "https://issuer.example.com";
/// `aud` of its tokens.
pub const AUDIENCE: &str = "sip";

/// PKCS #8 of an Ed25519 private key (RFC 8410 s7): its head, and 32 bytes of key nobody else uses.
fn key() -> EncodingKey {
    let head =
        [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    EncodingKey::from_ed_der(&[&head[..], &[0x5a; 32]].concat())
}

/// The JWKS document (RFC 7517) its tokens are checked with.
pub fn document() -> String {
    let jwk = Jwk::from_encoding_key(&key(), Algorithm::EdDSA).expect("the key is an Ed25519 key");
    let mut jwk = serde_json::to_value(&jwk).expect("a JWK is JSON");
    jwk["kid"] = json!("bench");
    json!({ "keys": [jwk] }).to_string()
}

/// A token for the AoR in `sub`, good from `now`, counted from the Unix epoch, for that long.
pub fn token(sub: &str, now: Duration, lifetime: Duration) -> String {
    let (now, end) = (now.as_secs(), (now + lifetime).as_secs());
    let header = Header { kid: Some("bench".into()), ..Header::new(Algorithm::EdDSA) };
    let claims = json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": sub, "iat": now, "exp": end });
    jsonwebtoken::encode(&header, &claims, &key()).expect("the key signs")
}
