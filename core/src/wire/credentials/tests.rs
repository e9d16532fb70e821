use proptest::prelude::*;

use super::*;

fn digest(text: &str) -> DigestCredentials<'_> {
    match Credentials::parse(text.as_bytes()) {
        Ok(Credentials::Digest(digest)) => digest,
        other => panic!("{text}: {other:?}"),
    }
}

fn unquoted(value: Option<AuthValue<'_>>) -> Option<String> {
    let mut out = Vec::new();
    value?.unquote_into(&mut out);
    Some(String::from_utf8(out).expect("UTF-8"))
}

#[test]
fn the_credentials_of_the_rfc_fall_into_their_parameters() {
    // RFC 3261 s20.7, with the qop of RFC 7616.
    let text = "Digest username=\"Alice\", realm=\"atlanta.com\",\r\n nonce=\"84a4cc6f3082121f32b42a2187831a9e\", \
                uri=\"sip:bob@biloxi.com\", response=\"7587245234b3434cc3412213e5f113a5\", algorithm=SHA-256, \
                qop=auth, nc=00000001, cnonce=\"0a4f113b\", opaque=\"\", userhash=false";
    let digest = digest(text);
    for (value, expected) in [
        (digest.username, "Alice"),
        (digest.realm, "atlanta.com"),
        (digest.nonce, "84a4cc6f3082121f32b42a2187831a9e"),
        (digest.uri, "sip:bob@biloxi.com"),
        (digest.response, "7587245234b3434cc3412213e5f113a5"),
        (digest.algorithm, "SHA-256"),
        (digest.qop, "auth"),
        (digest.nc, "00000001"),
        (digest.cnonce, "0a4f113b"),
        (digest.opaque, ""),
        (digest.userhash, "false"),
    ] {
        assert_eq!(unquoted(value).as_deref(), Some(expected));
    }
    assert!(digest.username_star.is_none());
}

#[test]
fn tokens_and_quoted_strings_mean_the_same() {
    for text in [
        "Digest qop=auth,algorithm=MD5",
        "DIGEST QOP=\"auth\" , Algorithm = \"md5\",,",
        "digest\tqop=AUTH,,algorithm=\"M\\D5\"",
    ] {
        let digest = digest(text);
        assert!(digest.qop.is_some_and(|value| value.is_ignore_case(b"auth")), "{text}");
        assert!(digest.algorithm.is_some_and(|value| value.is_ignore_case(b"MD5")), "{text}");
    }
}

#[test]
fn quoted_pairs_are_resolved_when_asked() {
    let digest = digest(r#"Digest username="a\"b\\c,d", realm="plain", nonce=to\ken"#);
    let username = digest.username.expect("it is there");
    assert_eq!((username.raw(), username.plain()), (&br#"a\"b\\c,d"#[..], None));
    assert!(username.is(br#"a"b\c,d"#) && username.is_quoted());
    assert_eq!(unquoted(digest.username).as_deref(), Some(r#"a"b\c,d"#));
    assert_eq!(digest.realm.and_then(|realm| realm.plain()), Some(&b"plain"[..]));
    assert_eq!(unquoted(digest.nonce).as_deref(), Some(r"to\ken"));
}

#[test]
fn a_username_may_be_extended_or_utf8() {
    let digest = digest("Digest username*=UTF-8''J%C3%A4s%C3%B8n, realm=\"Käse\"");
    assert_eq!(unquoted(digest.username_star).as_deref(), Some("UTF-8''J%C3%A4s%C3%B8n"));
    assert_eq!(unquoted(digest.realm).as_deref(), Some("Käse"));
}

#[test]
fn what_is_no_credentials_is_refused() {
    for text in [
        "",
        "   ",
        "Digest username=\"a",
        "Digest username=\"a\\\"",
        "Digest username=\"a\" realm=\"b\"",
        "Digest username",
        "Digest username=",
        "Digest =a",
        "Digest username=\"a\"b",
        "Digest username=\"a\", username=\"a\"",
        "Digest username=\"a\", USERNAME=b",
        "Digest x=1, y=2, X=3",
        "Digest username=a;realm=b",
        "Bearer",
        "Bearer ",
        "Bearer =",
        "Bearer a b",
        "Bearer a,b",
        "Bearer a=b",
        "Bearer \"abc\"",
        "Di(gest x=1",
    ] {
        let fault = Credentials::parse(text.as_bytes()).expect_err(text).fault;
        assert_eq!(fault, Fault::Malformed, "{text}");
    }
}

#[test]
fn a_bearer_token_is_a_token68() {
    for (text, token) in [
        ("Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln-_", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln-_"),
        ("bearer  abc+/==  ", "abc+/=="),
    ] {
        match Credentials::parse(text.as_bytes()) {
            Ok(Credentials::Bearer(found)) => assert_eq!(found, token.as_bytes()),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn other_schemes_are_named() {
    for text in ["NTLM opaque stuff\"", "Negotiate"] {
        assert!(matches!(Credentials::parse(text.as_bytes()), Ok(Credentials::Other(_))), "{text}");
    }
}

#[test]
fn parameters_are_bounded() {
    let list = |count: usize| (0..count).map(|n| format!("x{n}=1")).collect::<Vec<_>>().join(",");
    assert!(Credentials::parse(format!("Digest {}", list(MOST)).as_bytes()).is_ok());
    let fault =
        Credentials::parse(format!("Digest {}", list(MOST + 1)).as_bytes()).expect_err("too many").fault;
    assert_eq!(fault, Fault::TooMany);
}

#[test]
fn a_digest_challenge_lists_its_qop() {
    let text = b"Digest realm=\"atlanta.com\", domain=\"sip:boxesbybob.com\", qop=\"auth, auth-int,\", \
                 nonce=\"f84f1cec41e6cbe5aea9c8e88d359\", opaque=\"\", stale=FALSE, algorithm=MD5";
    let Ok(Challenge::Digest(challenge)) = Challenge::parse(text) else { panic!("a challenge") };
    let qop: Vec<_> = challenge.qop.expect("it is there").tokens().collect();
    assert_eq!(qop, [&b"auth"[..], b"auth-int"]);
    assert!(challenge.stale.is_some_and(|stale| stale.is_ignore_case(b"false")));
    assert!(challenge.charset.is_none() && challenge.userhash.is_none());
}

#[test]
fn a_bearer_challenge_names_its_server() {
    let text = b"Bearer realm=\"x\", authz_server=\"https://auth.example.com\", error=\"invalid_token\"";
    let Ok(Challenge::Bearer(challenge)) = Challenge::parse(text) else { panic!("a challenge") };
    assert_eq!(unquoted(challenge.authz_server).as_deref(), Some("https://auth.example.com"));
    assert!(challenge.error.is_some_and(|error| error.is(b"invalid_token")));
    assert!(Challenge::parse(b"Digest realm=\"a\", realm=\"b\"").is_err());
}

proptest! {
    #[test]
    fn a_quoted_value_reads_as_it_was_meant(meant in "[ -~äß]{0,40}") {
        let quoted = meant.replace('\\', "\\\\").replace('"', "\\\"");
        let text = format!("Digest realm=\"r\",username=\"{quoted}\",nc=1");
        let digest = digest(&text);
        prop_assert!(digest.username.expect("it is there").is(meant.as_bytes()));
        prop_assert_eq!(unquoted(digest.username), Some(meant));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(prop_oneof![
        Just(b'"'), Just(b'\\'), Just(b','), Just(b'='), Just(b' '), Just(b'a'), any::<u8>()], 0..60)) {
        let mut text = b"Digest ".to_vec();
        text.extend(&bytes);
        let _ = (Credentials::parse(&text), Credentials::parse(&bytes), Challenge::parse(&text));
    }
}
