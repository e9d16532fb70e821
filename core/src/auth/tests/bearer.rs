//! Bearer: tokens as issuers make them, and as attackers do.

use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, EncodingKey};

use super::keys::*;
use super::*;
use crate::auth::jwks::{Found, KeySet};
use crate::config::{IssuerConfig, JwtAlgorithm, JwtConfig};
use crate::stats::Counter;

mod revocation;
mod rotation;

const OK: AuthVerdict = AuthVerdict::Ok(Scheme::Bearer);
const SECOND: Duration = Duration::from_secs(1);

fn jwt() -> JwtConfig {
    JwtConfig {
        issuers: vec![IssuerConfig {
            issuer: "https://as.example.com".into(),
            audiences: vec!["sip".into(), "presence".into()],
            jwks: "https://as.example.com/jwks".into(),
            algorithms: vec![JwtAlgorithm::Rs256, JwtAlgorithm::Es256, JwtAlgorithm::EdDsa],
            keys_min_age: Duration::from_secs(60),
            keys_max_age: Duration::from_secs(3600),
            aor_claim: None,
            scope: None,
        }],
        authz_server: Some("https://as.example.com/authorize".into()),
        scope: None,
        aor_claim: "sip_aor".into(),
        leeway: 5 * SECOND,
        allow_cleartext: false,
        refetch_interval: Duration::from_secs(60),
        introspection: None,
    }
}

fn base64(bytes: &[u8]) -> String {
    let mut out = vec![0; 2 * bytes.len() + 4];
    String::from_utf8(text::base64url(bytes, &mut out).expect("room").to_vec()).expect("ASCII")
}

fn der(text: &str) -> Vec<u8> {
    let mut out = vec![0; text.len()];
    text::unbase64url(text.as_bytes(), &mut out).expect("base64url").to_vec()
}

fn sign(header: &str, claims: &str, algorithm: Algorithm, key: &EncodingKey) -> String {
    let signed = format!("{}.{}", base64(header.as_bytes()), base64(claims.as_bytes()));
    let signer = (DEFAULT_PROVIDER.signer_factory)(&algorithm, key).expect("a key for the algorithm");
    let signature = signer.try_sign(signed.as_bytes()).expect("a signature");
    format!("{signed}.{}", base64(&signature))
}

fn rsa(private: &str) -> EncodingKey {
    EncodingKey::from_rsa_der(&der(private))
}

const HEADER: &str = r#"{"alg":"RS256","kid":"a","typ":"at+jwt"}"#;

fn claims(from: &str, to: &str) -> String {
    let exp = START.as_secs() + 600;
    let claims = format!(
        r#"{{"iss":"https://as.example.com","sub":"u-1","aud":"sip","exp":{exp},"iat":{},"sip_aor":"sip:bob@example.com"}}"#,
        START.as_secs()
    );
    assert!(claims.contains(from), "{from}");
    claims.replace(from, to)
}

fn token_with(from: &str, to: &str) -> String {
    sign(HEADER, &claims(from, to), Algorithm::RS256, &rsa(RSA_A))
}

fn token() -> String {
    token_with("", "")
}

fn rsa_jwk(kid: &str, n: &str) -> String {
    format!(r#"{{"kty":"RSA","kid":"{kid}","alg":"RS256","use":"sig","n":"{n}","e":"AQAB"}}"#)
}

fn p256_jwk(kid: &str) -> String {
    format!(r#"{{"kty":"EC","crv":"P-256","kid":"{kid}","x":"{P256_X}","y":"{P256_Y}"}}"#)
}

fn set(keys: &[String]) -> String {
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

fn document(json: impl Into<String>) -> KeysAnswer {
    KeysAnswer::Document { json: Secret(json.into().into_bytes().into()), max_age: None }
}

/// A world over TLS with this issuer, whose keys are not there yet.
fn keyless(change: impl FnOnce(&mut JwtConfig)) -> World {
    let mut jwt = jwt();
    change(&mut jwt);
    let mut world = world(|config| config.jwt = Some(jwt));
    world.transport = Transport::Tls;
    world
}

/// The same with the keys `a` (RSA), `e` (P-256) and `o` (Ed25519).
fn ready(change: impl FnOnce(&mut JwtConfig)) -> World {
    let mut world = keyless(change);
    assert_eq!(world.with(|auth, ctx| auth.wants_keys_at_start(ctx)), [0]);
    let okp = format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"o","x":"{ED25519_X}"}}"#);
    answer(&mut world, document(set(&[rsa_jwk("a", RSA_A_N), p256_jwk("e"), okp])));
    world
}

fn answer(world: &mut World, answer: KeysAnswer) {
    world.with(|auth, ctx| auth.keys_answer(ctx, 0, answer));
}

fn bearer(token: &str) -> Request<'static> {
    register().with(format!("Bearer {token}"))
}

fn verdict(world: &mut World, token: &str) -> AuthVerdict {
    why(&world.check(&bearer(token)))
}

/// Deny by default: whoever a template names is somebody of a domain here, or nobody.
#[test]
fn an_issuer_may_name_users_whose_addresses_a_template_makes() {
    for (template, owns) in [
        ("{sub}@example.com", &["u-1@example.com"][..]),
        ("sip:{sub}@else.net", &[]),
        ("{name}@example.com", &[]),
    ] {
        let mut world = ready(|jwt| jwt.issuers[0].aor_claim = Some(template.into()));
        let verdict = world.check(&bearer(&token()));
        match owns {
            [] => assert_eq!(why(&verdict), AuthVerdict::NotAllowed, "{template}"),
            _ => {
                assert_eq!(allowed(verdict).identity.aors.iter().map(|aor| &**aor).collect::<Vec<_>>(), owns)
            }
        }
    }
}

#[test]
fn a_good_token_says_who_it_is() {
    let mut world = ready(|_| {});
    let list = token_with(
        r#""sip:bob@example.com""#,
        r#"["sip:bob@example.com","ann@192.0.2.1","sip:x@else.net"],"scope":"a b""#,
    );
    let who = allowed(world.check(&bearer(&list))).identity;
    assert_eq!((who.scheme, &*who.account), (Scheme::Bearer, "u-1"));
    let texts = |list: &[Box<str>]| list.iter().map(|s| s.to_string()).collect::<Vec<_>>();
    assert_eq!(texts(&who.aors), ["bob@example.com", "ann@example.com"]);
    assert_eq!(texts(&who.scopes), ["a", "b"]);
    assert!(who.owns("ann@example.com") && !who.owns("x@else.net") && !who.owns("bo@example.com"));
}

#[test]
fn every_kind_of_key_verifies() {
    let mut world = ready(|_| {});
    assert_eq!(verdict(&mut world, &token()), OK);
    let p256 = EncodingKey::from_ec_der(&der(P256));
    assert_eq!(
        verdict(&mut world, &sign(r#"{"alg":"ES256","kid":"e"}"#, &claims("", ""), Algorithm::ES256, &p256)),
        OK
    );
    let ed = EncodingKey::from_ed_der(&der(ED25519));
    assert_eq!(
        verdict(&mut world, &sign(r#"{"alg":"EdDSA","kid":"o"}"#, &claims("", ""), Algorithm::EdDSA, &ed)),
        OK
    );

    let mut other = keyless(|jwt| {
        jwt.issuers[0].algorithms = vec![JwtAlgorithm::Ps256, JwtAlgorithm::Rs512, JwtAlgorithm::Es384];
    });
    other.with(|auth, ctx| auth.wants_keys_at_start(ctx));
    let p384 = format!(r#"{{"kty":"EC","crv":"P-384","kid":"f","x":"{P384_X}","y":"{P384_Y}"}}"#);
    let any_rsa = rsa_jwk("a", RSA_A_N).replace(r#""alg":"RS256","#, "");
    answer(&mut other, document(set(&[any_rsa, p384])));
    let p384 = EncodingKey::from_ec_der(&der(P384));
    assert_eq!(
        verdict(&mut other, &sign(r#"{"alg":"ES384","kid":"f"}"#, &claims("", ""), Algorithm::ES384, &p384)),
        OK
    );
    assert_eq!(
        verdict(
            &mut other,
            &sign(r#"{"alg":"PS256","kid":"a"}"#, &claims("", ""), Algorithm::PS256, &rsa(RSA_A))
        ),
        OK
    );
    assert_eq!(
        verdict(
            &mut other,
            &sign(r#"{"alg":"RS512","kid":"a"}"#, &claims("", ""), Algorithm::RS512, &rsa(RSA_A))
        ),
        OK
    );
}

#[test]
fn tokens_that_prove_nothing_are_challenged_each_for_its_reason() {
    use AuthVerdict::{Expired, Malformed, NotAllowed, Refused, Wrong};
    let exp = START.as_secs() + 600;
    let unsigned =
        |header: &str| format!("{}.{}.", base64(header.as_bytes()), base64(claims("", "").as_bytes()));
    let hs = |algorithm, header: &str, secret: &[u8]| {
        sign(header, &claims("", ""), algorithm, &EncodingKey::from_secret(secret))
    };
    let head = |header: &str| sign(header, &claims("", ""), Algorithm::RS256, &rsa(RSA_A));
    let good = token();
    let (signed, signature) = good.rsplit_once('.').expect("three parts");
    let (header, payload) = signed.split_once('.').expect("three parts");
    let other_payload = base64(claims("bob", "eve").as_bytes());
    let cases = [
        // Algorithms.
        ("alg none", unsigned(r#"{"alg":"none","kid":"a"}"#), Refused),
        ("alg None", unsigned(r#"{"alg":"NoNe","kid":"a"}"#), Refused),
        (
            "HMAC by the modulus",
            hs(Algorithm::HS256, r#"{"alg":"HS256","kid":"a"}"#, RSA_A_N.as_bytes()),
            Refused,
        ),
        (
            "HMAC by the raw modulus",
            hs(Algorithm::HS512, r#"{"alg":"HS512","kid":"a"}"#, &der(RSA_A_N)),
            Refused,
        ),
        ("an HMAC that says RS256", hs(Algorithm::HS256, HEADER, RSA_A_N.as_bytes()), Wrong),
        ("an algorithm the issuer has not", head(r#"{"alg":"RS384","kid":"a"}"#), Refused),
        ("a curve key's name with RSA", head(r#"{"alg":"RS256","kid":"e"}"#), Refused),
        ("an RSA key's name with a curve", head(r#"{"alg":"ES256","kid":"a"}"#), Refused),
        ("no name, and one key that fits, signed by it", head(r#"{"alg":"RS256"}"#), OK),
        // Headers.
        ("crit", head(r#"{"alg":"RS256","kid":"a","crit":["exp"],"exp":1}"#), Refused),
        ("another type", head(r#"{"alg":"RS256","kid":"a","typ":"dpop+jwt"}"#), Refused),
        ("a nested token", head(r#"{"alg":"RS256","kid":"a","cty":"JWT"}"#), Refused),
        ("alg twice", head(r#"{"alg":"RS256","alg":"none","kid":"a"}"#), Malformed),
        ("kid of another type", head(r#"{"alg":"RS256","kid":["a"]}"#), Malformed),
        (
            "a key in the header",
            sign(
                &format!(r#"{{"alg":"RS256","kid":"a","jwk":{}}}"#, rsa_jwk("a", RSA_B_N)),
                &claims("", ""),
                Algorithm::RS256,
                &rsa(RSA_B),
            ),
            Wrong,
        ),
        // Signatures.
        ("another key's signature", sign(HEADER, &claims("", ""), Algorithm::RS256, &rsa(RSA_B)), Wrong),
        ("another payload", format!("{header}.{other_payload}.{signature}"), Wrong),
        ("no signature", format!("{header}.{payload}."), Wrong),
        ("half a signature", format!("{signed}.{}", &signature[..100]), Wrong),
        // Claims.
        ("exp", token_with(&exp.to_string(), &(START.as_secs() - 5).to_string()), Expired),
        ("exp within leeway", token_with(&exp.to_string(), &(START.as_secs() - 4).to_string()), OK),
        ("nbf", token_with(r#""aud""#, &format!(r#""nbf":{},"aud""#, START.as_secs() + 6)), Expired),
        ("iat", token_with(r#""aud""#, r#""nbf":1,"aud""#), OK),
        ("no exp", token_with(r#""exp""#, r#""expires""#), Refused),
        ("exp as text", token_with(&exp.to_string(), &format!("\"{exp}\"")), Malformed),
        ("no iss", token_with(r#""iss""#, r#""is""#), Refused),
        ("another iss", token_with("as.example.com", "as.example.com/"), Refused),
        ("no aud", token_with(r#""aud""#, r#""a""#), Refused),
        ("another aud", token_with(r#""sip""#, r#""SIP""#), Refused),
        ("one aud of many", token_with(r#""sip""#, r#"["mail","presence"]"#), OK),
        ("no sub", token_with(r#""sub""#, r#""s""#), Refused),
        ("a claim twice", token_with(r#""sub":"u-1""#, r#""sub":"u-1","sub":"u-2""#), Malformed),
        (
            "the AoR twice",
            token_with(r#""sip_aor""#, r#""sip_aor":"sip:eve@example.com","sip_aor""#),
            Malformed,
        ),
        // Form.
        ("one part", "token".into(), Malformed),
        ("two parts", signed.into(), Malformed),
        ("four parts", format!("{good}.x"), Malformed),
        ("an encrypted token", "a.b.c.d.e".into(), Malformed),
        ("no base64url", good.replace('.', "+."), Malformed),
        ("a payload that is no object", sign(HEADER, r#"["iss"]"#, Algorithm::RS256, &rsa(RSA_A)), Malformed),
        (
            "a payload with a tail",
            sign(HEADER, &format!("{}x", claims("", "")), Algorithm::RS256, &rsa(RSA_A)),
            Malformed,
        ),
        (
            "deep nesting",
            sign(HEADER, &format!(r#"{{"x":{}}}"#, "[".repeat(2000)), Algorithm::RS256, &rsa(RSA_A)),
            Malformed,
        ),
        (
            "too long",
            sign(HEADER, &claims("u-1", &"u".repeat(9000)), Algorithm::RS256, &rsa(RSA_A)),
            Malformed,
        ),
        // Rights.
        ("no AoR", token_with("sip_aor", "aor"), NotAllowed),
        ("an AoR elsewhere", token_with("bob@example.com", "bob@elsewhere.com"), NotAllowed),
    ];
    let mut world = ready(|_| {});
    for (what, token, expected) in &cases {
        let verdict = world.check(&bearer(token));
        assert_eq!(why(&verdict), *expected, "{what}");
        let expected = match expected {
            AuthVerdict::Ok(_) => 200,
            NotAllowed => 403,
            _ => 401,
        };
        assert_eq!(status(&verdict), expected, "{what}");
        // Nothing bad is ever remembered as good.
        assert_eq!(why(&world.check(&bearer(token))), why(&verdict), "{what}, again");
    }
    let good = cases.iter().filter(|(_, _, expected)| *expected == OK).count();
    assert_eq!(world.auth.tokens(), good);
}

#[test]
fn a_key_set_may_be_a_single_key_or_a_pem_file() {
    let wrap = |spki: &str| {
        let lines: Vec<&str> =
            spki.as_bytes().chunks(64).map(|c| core::str::from_utf8(c).expect("ASCII")).collect();
        format!("# a comment\n-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    };
    let es = |kid: &str| {
        sign(
            &format!(r#"{{"alg":"ES256"{kid}}}"#),
            &claims("", ""),
            Algorithm::ES256,
            &EncodingKey::from_ec_der(&der(P256)),
        )
    };
    let ed = sign(
        r#"{"alg":"EdDSA"}"#,
        &claims("", ""),
        Algorithm::EdDSA,
        &EncodingKey::from_ed_der(&der(ED25519)),
    );
    for (keys, good) in [
        (wrap(RSA_A_SPKI), token()),
        (wrap(P256_SPKI), es(r#","kid":"whatever""#)),
        (wrap(ED25519_SPKI), ed),
        (rsa_jwk("a", RSA_A_N), token()),
        (p256_jwk("e"), es("")),
    ] {
        let mut world = keyless(|_| {});
        world.with(|auth, ctx| auth.wants_keys_at_start(ctx));
        answer(&mut world, document(keys.as_str()));
        assert_eq!(verdict(&mut world, &good), OK, "{keys}");
    }
    assert!(KeySet::parse(wrap(P384_SPKI).as_bytes()).is_some());
}

#[test]
fn a_key_is_chosen_by_name_and_algorithm_and_never_for_being_first() {
    let keys = [rsa_jwk("a", RSA_B_N), rsa_jwk("b", RSA_A_N), p256_jwk("b"), rsa_jwk("b", RSA_B_N)];
    let keys = KeySet::parse(set(&keys).as_bytes()).expect("keys");
    let found = |kid, algorithm| match keys.find(kid, algorithm) {
        Found::Key(key) => format!("{key:?}"),
        other => format!("{other:?}"),
    };
    assert_eq!(found(Some("a"), JwtAlgorithm::Rs256), "Some(\"a\") Rsa");
    assert_eq!(found(Some("b"), JwtAlgorithm::Es256), "Some(\"b\") P256");
    assert_eq!(found(Some("a"), JwtAlgorithm::Es256), "Unfit");
    assert_eq!(found(Some("a"), JwtAlgorithm::Ps256), "Unfit");
    assert_eq!(found(Some("c"), JwtAlgorithm::Rs256), "Unknown");
    assert_eq!(found(None, JwtAlgorithm::Es256), "Some(\"b\") P256");
    assert_eq!(found(None, JwtAlgorithm::Rs256), "Unfit");
    // Of two keys with one name the first is taken, and the world stays the same when the document is fetched again.
    let Found::Key(b) = keys.find(Some("b"), JwtAlgorithm::Rs256) else { panic!("no key") };
    let (signed, signature) =
        (b"x".as_slice(), (DEFAULT_PROVIDER.signer_factory)(&Algorithm::RS256, &rsa(RSA_A)));
    let signature = signature.map(|s| s.sign(b"x")).expect("a signature");
    assert!(b.verifies(JwtAlgorithm::Rs256, signed, &signature));
}

#[test]
fn keys_that_are_not_public_signature_keys_are_passed_over() {
    let good = rsa_jwk("a", RSA_A_N);
    let bad = [
        r#"{"kty":"oct","kid":"s","k":"AAAA","alg":"HS256"}"#.to_owned(),
        r#"{"kty":"new","kid":"n"}"#.to_owned(),
        r#"{"kid":"x"}"#.to_owned(),
        "null".to_owned(),
        "7".to_owned(),
        good.replace("\"sig\"", "\"enc\""),
        good.replace("\"use\":\"sig\"", "\"key_ops\":[\"encrypt\"]"),
        good.replace("RS256", "RSA-OAEP"),
        good.replace("RS256", "ES256"),
        good.replace("\"n\"", "\"m\""),
        good.replace("AQAB", "A+AB"),
        p256_jwk("e").replace("P-256", "P-384"),
        p256_jwk("e").replace("P-256", "secp256k1"),
        p256_jwk("e").replace(P256_X, "AAAA"),
    ];
    for key in &bad {
        assert!(KeySet::parse(set(std::slice::from_ref(key)).as_bytes()).is_none(), "{key}");
    }
    let mut all = bad.to_vec();
    all.push(good);
    assert!(KeySet::parse(set(&all).as_bytes()).is_some());
}

#[test]
fn documents_are_bounded() {
    let many = |n: usize| set(&(0..n).map(|i| rsa_jwk(&i.to_string(), "AQAB")).collect::<Vec<_>>());
    let keys = KeySet::parse(many(100).as_bytes()).expect("keys");
    let known = (0..100)
        .filter(|i| !matches!(keys.find(Some(&i.to_string()), JwtAlgorithm::Rs256), Found::Unknown))
        .count();
    assert_eq!(known, 64);
    let padded = |len: usize| format!("{}{}", many(1), " ".repeat(len - many(1).len()));
    assert!(KeySet::parse(padded(64 << 10).as_bytes()).is_some());
    assert!(KeySet::parse(padded((64 << 10) + 1).as_bytes()).is_none());
    for bad in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[]}"#, "\u{0}", "-----BEGIN PUBLIC KEY-----"] {
        assert!(KeySet::parse(bad.as_bytes()).is_none(), "{bad}");
    }
    assert!(KeySet::parse(format!(r#"{{"keys":{}}}"#, "[".repeat(60_000)).as_bytes()).is_none());
}

#[test]
fn a_token_seen_before_costs_no_signature() {
    let mut world = ready(|_| {});
    let token = token();
    for _ in 0..3 {
        assert_eq!(verdict(&mut world, &token), OK);
    }
    assert_eq!(world.stats.counter(Counter::TokenVerifications), 1);
    assert_eq!(world.stats.counter(Counter::TokenHits), 2);
    // The same claims under another signature are another token.
    let (signed, _) = token.rsplit_once('.').expect("three parts");
    assert_eq!(verdict(&mut world, &format!("{signed}.AAAA")), AuthVerdict::Wrong);
}

#[test]
fn a_remembered_token_dies_with_its_time_and_leaves_nothing() {
    let mut world = ready(|jwt| jwt.issuers[0].keys_min_age = Duration::from_secs(3600));
    let token = token();
    assert_eq!(verdict(&mut world, &token), OK);
    // Another token expires later.
    let long = token_with(&(START.as_secs() + 600).to_string(), &(START.as_secs() + 900).to_string());
    assert_eq!(verdict(&mut world, &long), OK);
    world.sleep(Duration::from_secs(604));
    assert_eq!((verdict(&mut world, &token), world.auth.tokens()), (OK, 2));
    world.sleep(SECOND);
    assert_eq!((verdict(&mut world, &token), world.auth.tokens()), (AuthVerdict::Expired, 1));
    world.sleep(Duration::from_secs(300));
    assert_eq!(world.auth.tokens(), 0);
    // The refresh of the keys is the only timer left.
    assert_eq!(world.timers.len(), 1);
}

#[test]
fn the_wall_clock_decides_also_after_a_step() {
    let mut world = ready(|_| {});
    let token = token();
    assert_eq!(verdict(&mut world, &token), OK);
    world.wall_offset = 700_000_000_000;
    assert_eq!(verdict(&mut world, &token), AuthVerdict::Expired);
    world.wall_offset = -10_000_000_000;
    assert_eq!(verdict(&mut world, &token), AuthVerdict::Expired, "issued in the future");
    world.wall_offset = 0;
    assert_eq!(verdict(&mut world, &token), OK);
}

#[test]
fn a_token_travels_only_where_nobody_reads_along() {
    let mut world = ready(|_| {});
    let token = token();
    for (transport, expected) in [
        (Transport::Udp, AuthVerdict::NotAllowed),
        (Transport::Tcp, AuthVerdict::NotAllowed),
        (Transport::Ws, AuthVerdict::NotAllowed),
        (Transport::Tls, OK),
        (Transport::Wss, OK),
    ] {
        world.transport = transport;
        assert_eq!(verdict(&mut world, &token), expected, "{transport:?}");
    }
    let mut open = ready(|jwt| jwt.allow_cleartext = true);
    open.transport = Transport::Udp;
    assert_eq!(verdict(&mut open, &token), OK);
}

#[test]
fn the_scope_that_is_asked_for_must_be_there() {
    let mut world = ready(|jwt| jwt.scope = Some("sip presence".into()));
    let scope = |scope: &str| token_with(r#""aud""#, &format!(r#""scope":"{scope}","aud""#));
    assert_eq!(verdict(&mut world, &scope("mail presence sip")), OK);
    for bad in [scope("sip"), scope("sips presence"), token()] {
        let (lines, why) = world.challenged(&bearer(&bad));
        assert_eq!(why, AuthVerdict::NotAllowed);
        assert!(lines.iter().any(|line| line.ends_with(r#"error="invalid_scope""#)), "{lines:?}");
    }
}

#[test]
fn the_scheme_is_read_without_case_and_a_method_may_ask_for_one_only() {
    let mut world = ready(|_| {});
    let token = token();
    assert_eq!(why(&world.check(&register().with(format!("bEARER {token}")))), OK);

    let only = |policy| {
        let mut world = world_with_policy(policy);
        world.transport = Transport::Tls;
        world
    };
    let mut digest_only = only(AuthPolicy::Digest);
    assert_eq!(verdict(&mut digest_only, &token), AuthVerdict::NotAllowed);
    let (lines, _) = digest_only.challenged(&register());
    assert!(lines.iter().all(|line| line.starts_with("Digest ")));
    let mut bearer_only = only(AuthPolicy::Bearer);
    let (lines, _) = bearer_only.challenged(&register());
    assert!(matches!(&lines[..], [line] if line.starts_with("Bearer ")));
    bearer_only.transport = Transport::Udp;
    assert_eq!(status(&bearer_only.check(&register())), 403);
}

fn world_with_policy(policy: AuthPolicy) -> World {
    world(|config| {
        config.jwt = Some(jwt());
        config.policies.register = policy;
    })
}

#[test]
fn every_bearer_challenge() {
    let mut all = String::new();
    let mut show = |title: &str, mut world: World, request: Request<'_>| {
        let shown = match world.check(&request) {
            Verdict::Challenge(challenge, why) => {
                format!("{why:?}\n  {}", lines(&world.settings, &challenge).join("\n  "))
            }
            other => format!("{other:?}"),
        };
        writeln!(all, "{title}: {shown}\n").expect("memory");
    };
    show("both schemes over TLS", ready(|_| {}), register());
    show("with a scope", ready(|jwt| jwt.scope = Some("sip presence".into())), register());
    let mut udp = ready(|_| {});
    udp.transport = Transport::Udp;
    show("over UDP", udp, register());
    show("without authz_server", ready(|jwt| jwt.authz_server = None), register());
    show("a bad token", ready(|_| {}), bearer("x"));
    show("a bad token, without authz_server", ready(|jwt| jwt.authz_server = None), bearer("x"));
    show("the scope is missing", ready(|jwt| jwt.scope = Some("sip".into())), bearer(&token()));
    insta::assert_snapshot!(all);
}
