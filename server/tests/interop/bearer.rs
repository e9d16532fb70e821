//! A REGISTER with a Bearer token (RFC 8898) over a bare socket: keys from a JWKS file, tokens in clear by configuration.

use std::fs;
use std::net::SocketAddr;
use std::time::SystemTime;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::launch::Server;

const ISSUER: &str = "https://issuer.example.com";

/// PKCS #8 of an Ed25519 private key of the tests (RFC 8410 s7): its head and 32 bytes.
fn key() -> EncodingKey {
    let head =
        [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    EncodingKey::from_ed_der(&[&head[..], &[0x17; 32]].concat())
}

fn document() -> String {
    let jwk = Jwk::from_encoding_key(&key(), Algorithm::EdDSA).expect("an Ed25519 key");
    let mut jwk = serde_json::to_value(&jwk).expect("JSON");
    jwk["kid"] = json!("test");
    json!({ "keys": [jwk] }).to_string()
}

fn token(change: impl FnOnce(&mut Value)) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let mut claims =
        json!({ "iss": ISSUER, "aud": "sip", "sub": "bob@example.com", "iat": now, "exp": now + 600 });
    change(&mut claims);
    let header = Header { kid: Some("test".into()), ..Header::new(Algorithm::EdDSA) };
    jsonwebtoken::encode(&header, &claims, &key()).expect("the key signs")
}

fn register(user: &str, token: &str, me: SocketAddr) -> String {
    let authorization =
        if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    format!(
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bKb{0};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:{user}@example.com>;tag=1\r\nTo: <sip:{user}@example.com>\r\nCall-ID: bearer{0}\r\n\
         CSeq: 1 REGISTER\r\nContact: <sip:{user}@{me}>\r\n{authorization}Content-Length: 0\r\n\r\n",
        me.port()
    )
}

#[test]
fn a_token_registers_its_own_user_and_nobody_else() {
    let keys = std::env::temp_dir().join(format!("strowger-interop-{}.jwks", std::process::id()));
    fs::write(&keys, document()).expect("a file for the test");
    let config = format!(
        "[auth.jwt]\nauthz_server = \"{ISSUER}/authorize\"\nallow_cleartext = true\n\
         [[auth.jwt.issuer]]\nissuer = \"{ISSUER}\"\naudiences = [\"sip\"]\njwks = \"{}\"\nalgorithms = [\"EdDSA\"]\n\
         [auth.policy]\nregister = \"bearer\"\n",
        keys.display()
    );
    let server = Server::start("bearer", &config);
    let ask = |user: &str, token: &str| server.ask(&|me| register(user, token, me)).expect("an answer");

    let challenge = ask("bob", "");
    assert!(challenge.starts_with("SIP/2.0 401 "), "{challenge}");
    let offer =
        format!("WWW-Authenticate: Bearer realm=\"example.com\", authz_server=\"{ISSUER}/authorize\"");
    assert!(challenge.contains(&offer), "{challenge}");

    let good = token(|_| {});
    let answer = ask("bob", &good);
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    assert!(answer.contains("Contact: <sip:bob@"), "{answer}");

    let foreign = ask("alice", &good);
    assert!(foreign.starts_with("SIP/2.0 403 "), "{foreign}");
    let expired = ask("bob", &token(|claims| claims["exp"] = json!(1_000_000_000)));
    assert!(expired.starts_with("SIP/2.0 401 ") && expired.contains("error=\"invalid_token\""), "{expired}");
    let other = ask("bob", &token(|claims| claims["aud"] = json!("mail")));
    assert!(other.starts_with("SIP/2.0 401 "), "{other}");
    assert!(!server.log().contains(&good), "a token in the log");
    // Only a leftover if this fails.
    let _ = fs::remove_file(&keys);
}
