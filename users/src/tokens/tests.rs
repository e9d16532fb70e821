//! Tokens that are good, and those an attacker would bring.

use super::*;
use crate::keys::{RingConfig, SigningKey};
use crate::scratch::Scratch;
use crate::store::Role;

const NOW: Seconds = 1_800_000_000;

struct World {
    _scratch: Scratch,
    issuer: Issuer,
}

fn account() -> Account {
    Account {
        id: 1,
        username: "bob".into(),
        display_name: String::new(),
        email: String::new(),
        role: Role::User,
        enabled: true,
        aors: vec!["bob@example.com".into(), "b@example.com".into()],
        password: true,
        digest: false,
        created: NOW,
        changed: NOW,
    }
}

impl World {
    fn new(algorithm: Algorithm) -> World {
        let scratch = Scratch::new();
        let config = RingConfig { algorithm, ..RingConfig::default() };
        let ring = Arc::new(KeyRing::open(&scratch.path("keys"), config, NOW).unwrap());
        let issuer = Issuer::new(ring, TokenConfig::new("https://sip.example.com", "example.com"));
        World { _scratch: scratch, issuer }
    }

    fn token(&self) -> String {
        self.issuer.issue(&account(), &["sip".into(), "own".into()], Some("s1"), NOW, NOW).unwrap().text.0
    }

    fn key(&self) -> Arc<SigningKey> {
        self.issuer.ring().signer(NOW).unwrap()
    }

    /// A token with this header and these claims, truly signed.
    fn signed(&self, header: &str, claims: &str) -> String {
        let text = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()));
        let signature = self.key().sign(text.as_bytes()).unwrap();
        format!("{text}.{}", base64url(&signature))
    }

    fn header(&self) -> String {
        format!(
            r#"{{"alg":"{}","kid":"{}","typ":"at+jwt"}}"#,
            self.key().algorithm().name(),
            self.key().kid()
        )
    }

    fn verify(&self, token: &str) -> Result<(), TokenError> {
        self.issuer.verify(token, NOW).map(|_| ())
    }
}

fn claims(extra: &str) -> String {
    format!(
        r#"{{"iss":"https://sip.example.com","sub":"bob","aud":"example.com","exp":{},"iat":{NOW},"jti":"j"{extra}}}"#,
        NOW + 600
    )
}

#[test]
fn a_token_says_who_somebody_is_until_it_expires() {
    for algorithm in Algorithm::ALL {
        let world = World::new(algorithm);
        let token = world.token();
        let claims = world.issuer.verify(&token, NOW + 629).unwrap();
        assert_eq!((&*claims.sub, claims.sid.as_deref(), claims.exp), ("bob", Some("s1"), NOW + 600));
        assert_eq!(claims.aors, ["bob@example.com", "b@example.com"]);
        assert_eq!(claims.scopes().collect::<Vec<_>>(), ["sip", "own"]);
        assert_eq!(world.issuer.verify(&token, NOW + 630), Err(TokenError::Expired));
        assert_eq!(world.issuer.verify(&token, NOW - 31), Err(TokenError::NotYet));
        assert!(token.len() < 1100, "{}", token.len());
    }
}

#[test]
fn another_library_verifies_it_with_the_published_key() {
    use jsonwebtoken::{DecodingKey, Validation, decode, jwk::JwkSet};
    for (algorithm, theirs) in [
        (Algorithm::Rs256, jsonwebtoken::Algorithm::RS256),
        (Algorithm::Es256, jsonwebtoken::Algorithm::ES256),
        (Algorithm::EdDsa, jsonwebtoken::Algorithm::EdDSA),
    ] {
        let world = World::new(algorithm);
        let set: JwkSet = serde_json::from_str(&world.issuer.ring().jwks(NOW).body).unwrap();
        let key = DecodingKey::from_jwk(set.find(world.key().kid()).unwrap()).unwrap();
        let mut validation = Validation::new(theirs);
        validation.set_audience(&["example.com"]);
        validation.set_issuer(&["https://sip.example.com"]);
        validation.validate_exp = false;
        let data = decode::<serde_json::Value>(&world.token(), &key, &validation).unwrap();
        assert_eq!(data.claims["aors"][0], "bob@example.com");
        assert_eq!(data.claims["aud"], "example.com");
    }
}

#[test]
fn only_the_algorithm_of_the_key_and_only_its_signature_count() {
    let world = World::new(Algorithm::Rs256);
    let kid = world.key().kid().to_string();
    let with =
        |alg: &str| world.signed(&format!(r#"{{"alg":"{alg}","kid":"{kid}","typ":"at+jwt"}}"#), &claims(""));
    assert_eq!(world.verify(&with("RS256")), Ok(()));
    for alg in ["none", "None", "HS256", "ES256", "EdDSA", "PS256", "RS384", "rs256"] {
        assert_eq!(world.verify(&with(alg)), Err(TokenError::Refused), "{alg}");
    }
    let good = world.token();
    let (signed, _) = good.rsplit_once('.').unwrap();
    assert_eq!(world.verify(&format!("{signed}.")), Err(TokenError::Forged));
    // Signed with the public key as if it were the secret of an HMAC.
    let mac = strowger_core::base::hash::HmacSha256::new(world.key().jwk().to_string().as_bytes())
        .mac(&[signed.as_bytes()]);
    assert_eq!(world.verify(&format!("{signed}.{}", base64url(&mac))), Err(TokenError::Forged));
    let foreign = World::new(Algorithm::Rs256);
    assert_eq!(world.verify(&foreign.token()), Err(TokenError::UnknownKey));
    let stolen_name = foreign.signed(&world.header(), &claims(""));
    assert_eq!(world.verify(&stolen_name), Err(TokenError::Forged));
    let parts: Vec<&str> = good.split('.').collect();
    let raised = String::from_utf8(unbase64url(parts[1]).unwrap()).unwrap().replace("\"user\"", "\"admin\"");
    assert_eq!(
        world.verify(&format!("{}.{}.{}", parts[0], base64url(raised.as_bytes()), parts[2])),
        Err(TokenError::Forged)
    );
}

#[test]
fn headers_that_are_not_understood_are_refused() {
    let world = World::new(Algorithm::EdDsa);
    let (alg, kid) = (world.key().algorithm().name(), world.key().kid().to_string());
    let verify = |rest: &str| {
        world.verify(&world.signed(&format!(r#"{{"alg":"{alg}","kid":"{kid}"{rest}}}"#), &claims("")))
    };
    assert_eq!(verify(r#","typ":"application/AT+JWT","jku":"https://evil.example""#), Ok(()));
    for refused in [
        r#","typ":"at+jwt","crit":["exp"]"#,
        r#","typ":"at+jwt","crit":[]"#,
        r#","typ":"at+jwt","cty":"JWT""#,
        r#","typ":"JWT""#,
        r#","typ":"logout+jwt""#,
    ] {
        assert_eq!(verify(refused), Err(TokenError::Refused), "{refused}");
    }
    for malformed in ["", r#","typ":7"#, r#","typ":"at+jwt","kid":"x""#, r#","typ":"at+jwt","typ":"at+jwt""#]
    {
        assert_eq!(verify(malformed), Err(TokenError::Malformed), "{malformed}");
    }
}

#[test]
fn claims_must_be_there_be_ours_and_stand_once() {
    let world = World::new(Algorithm::EdDsa);
    let verify = |claims: &str| world.verify(&world.signed(&world.header(), claims));
    assert_eq!(verify(&claims("")), Ok(()));
    assert_eq!(verify(&claims("").replace(r#""aud":"example.com""#, r#""aud":["x","example.com"]"#)), Ok(()));
    for (from, to, error) in [
        ("https://sip.example.com", "https://sip.example.com.evil", TokenError::Issuer),
        (r#""aud":"example.com""#, r#""aud":"other.example.com""#, TokenError::Audience),
        (r#""aud":"example.com""#, r#""aud":[]"#, TokenError::Audience),
        (r#""aud":"example.com","#, "", TokenError::Audience),
        (r#""aud":"example.com""#, r#""aud":[7]"#, TokenError::Malformed),
        (r#""iss":"https://sip.example.com","#, "", TokenError::Malformed),
        (r#""sub":"bob""#, r#""sub":"""#, TokenError::Malformed),
        (r#""sub":"bob""#, r#""sub":"bob","sub":"root""#, TokenError::Malformed),
        (r#""exp":1800000600"#, r#""exp":"1800000600""#, TokenError::Malformed),
        (r#""exp":1800000600,"#, "", TokenError::Malformed),
        (r#""exp":1800000600"#, r#""exp":1799999969.9"#, TokenError::Expired),
        (r#""exp":1800000600"#, r#""exp":-1"#, TokenError::Expired),
        (r#""jti":"j""#, r#""jti":"j","nbf":1800000031"#, TokenError::NotYet),
        (r#""iat":1800000000"#, r#""iat":1800000031"#, TokenError::NotYet),
    ] {
        let bad = claims("").replace(from, to);
        assert_ne!(bad, claims(""), "{from}");
        assert_eq!(verify(&bad), Err(error), "{to}");
    }
}

#[test]
fn what_is_no_token_is_malformed() {
    let world = World::new(Algorithm::EdDsa);
    let good = world.token();
    let deep = "[".repeat(3000);
    let nested = world.signed(&world.header(), &claims(&format!(",\"x\":{deep}")));
    let long = world.signed(&world.header(), &claims(&format!(",\"x\":\"{}\"", "a".repeat(LONGEST))));
    let padded = format!("{good}==");
    let four = format!("{good}.x");
    for bad in ["", ".", "..", "a.b.c", "Bearer x", &four, &padded, &nested, &long, &good.replace('.', " ")] {
        assert_eq!(world.verify(bad), Err(TokenError::Malformed), "{bad}");
    }
}

#[test]
fn a_token_of_many_addresses_stays_within_the_bound_of_the_engine() {
    let world = World::new(Algorithm::Rs256);
    let aors = (0..32).map(|n| format!("{n:0>240}@example.com")).collect();
    let issued = world.issuer.issue(&Account { aors, ..account() }, &["sip".into()], None, NOW, NOW).unwrap();
    assert!(issued.text.0.len() < LONGEST && issued.claims.aors.len() == 12, "{}", issued.claims.aors.len());
    assert_eq!(world.issuer.verify(&issued.text.0, NOW).unwrap(), issued.claims);
}
