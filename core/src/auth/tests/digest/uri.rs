//! The URI that is signed: RFC 7616 s3.4.6, DECISIONS 7.

use super::*;
use crate::auth::digest::uri_agrees;
use crate::config::{PathMode, RegistrarConfig};

#[test]
fn the_signed_uri_must_be_the_requested_one() {
    let settings = config().validate().expect("a good configuration");
    let agrees =
        |requested: &str, claimed: &str| uri_agrees(&settings, requested.as_bytes(), claimed.as_bytes());
    for (requested, claimed) in [
        ("sip:example.com", "sip:example.com"),
        ("sip:example.com", "SIP:EXAMPLE.com:5060"),
        ("sip:example.com;transport=tcp", "sip:example.com"),
        ("sip:example.com", "sip:192.0.2.1;transport=udp"),
        ("sip:bob@example.com", "sip:b%6fb@192.0.2.1:5070"),
        ("sip:bob@elsewhere.com;x=1", "sip:bob@elsewhere.com"),
        ("tel:+1-201-555-0123", "tel:+12015550123"),
    ] {
        assert!(agrees(requested, claimed) && agrees(claimed, requested), "{requested} {claimed}");
    }
    for (requested, claimed) in [
        ("sip:bob@example.com", "sip:eve@example.com"),
        ("sip:bob@example.com", "sip:Bob@example.com"),
        ("sip:bob@example.com", "sip:example.com"),
        ("sip:bob@example.com", "sips:bob@example.com"),
        ("sip:bob@example.com", "sip:bob@elsewhere.com"),
        ("sip:bob@one.net", "sip:bob@two.net"),
        ("sip:bob@example.com;user=phone", "sip:bob@example.com"),
        ("sip:bob@example.com;x=1", "sip:bob@example.com;x=2"),
        ("sip:bob@example.com", "sip:bob:x@example.com"),
        ("sip:bob@example.com", "tel:+1"),
        ("sip:bob@example.com", "nonsense"),
    ] {
        assert!(!agrees(requested, claimed) && !agrees(claimed, requested), "{requested} {claimed}");
    }
}

#[test]
fn another_uri_is_refused_unless_it_came_through_an_edge() {
    let other = Phone { uri: "sip:192.0.2.1;user=phone".into(), ..phone(RIGHT) };
    assert_eq!(verdict_of(&mut world(|_| {}), &other), AuthVerdict::Refused);
    let edge = |config: &mut Config| {
        let path = PathMode::From(vec![IpNet::parse("192.0.2.0/28").expect("a network")]);
        config.registrar = Some(RegistrarConfig { path, ..RegistrarConfig::default() });
    };
    assert_eq!(verdict_of(&mut world(edge), &other), OK);
    // The domain of a REGISTER must be ours in any case.
    let foreign = Phone { uri: "sip:elsewhere.com".into(), ..phone(RIGHT) };
    let mut world = world(edge);
    let nonce = world.nonce();
    let verdict = world.check(&foreign.request(&nonce));
    assert_eq!((status(&verdict), why(&verdict)), (400, AuthVerdict::Refused));
}
