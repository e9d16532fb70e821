//! Who asks for what, and what becomes of it.

use core::fmt::Write;

use super::fixture::{ask, config, identity, path, settings};
use crate::config::JwtConfig;
use crate::router::{Asked, Caller, Ended, called, trunk_of};
use crate::wire::Uri;

const ASKED: [&str; 25] = [
    "sip:bob@example.com",
    "sips:bob@PBX.example.com:5070;transport=tcp",
    "sip:nobody@example.com",
    "sip:example.com",
    "sip:+442079460001@example.com",
    "sip:02079460001@example.com;user=phone",
    "tel:+44-20-7946-0001",
    "tel:02079460001;phone-context=example.com",
    "tel:2079460001;phone-context=+44",
    "tel:7042;phone-context=elsewhere.example",
    "tel:+442079460009",
    "sip:00442079460009@example.com",
    "sip:+4490111@example.com",
    "sip:+15551234@example.com",
    "sip:sales@example.com",
    "sip:boss@example.com",
    "sip:loop@example.com",
    "sip:dave@partner.example",
    "sip:dave@elsewhere.example;method=INVITE;lr?Subject=x",
    "sip:bob@example.com;gr=urn:uuid:f81d4fae",
    "urn:service:sos",
    "URN:service:SOS.fire",
    "urn:service:sosa",
    "urn:service:counseling",
    "mailto:bob@example.com",
];

#[test]
fn decisions() {
    let plain = settings(config());
    let (alice, bob, carol, nobody) = (identity("alice"), identity("bob"), identity("carol"), identity(""));
    let callers = [
        ("alice", Caller::Account(&alice)),
        ("bob", Caller::Account(&bob)),
        ("carol", Caller::Account(&carol)),
        ("unproved", Caller::Account(&nobody)),
        ("trusted", Caller::Trusted),
        ("trunk", Caller::Trunk(0)),
        ("host", Caller::Host),
    ];
    let mut table = String::from("Steps when nobody is there, then the last word.\n");
    for uri in ASKED {
        let parsed = Uri::parse(uri.as_bytes()).expect("a URI");
        let asked = Asked { caller: Caller::Host, caller_aor: "", uri: &parsed, is_message: false };
        writeln!(table, "\n{uri} = {}", called(&plain, &asked).text()).expect("writes");
        for (name, caller) in callers {
            writeln!(table, "  {name:8} {}", path(ask(&plain, caller, uri), Ended::Offline)).expect("writes");
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn users_known_by_tokens_ring_before_the_routes() {
    let mut config = config();
    config.trusted = vec![crate::config::IpNet::parse("10.0.0.0/8").expect("a network")];
    let _ = JwtConfig::default();
    let settings = settings(config);
    let alice = identity("alice");
    for (uri, ended, expected) in [
        ("sip:dora@example.com", Ended::Offline, "dora@example.com, 404"),
        ("sip:dora@example.com", Ended::Busy, "dora@example.com, 404"),
        ("sip:sales@example.com", Ended::Busy, "sales@example.com, 480"),
        (
            "sip:sales@example.com",
            Ended::Offline,
            "sales@example.com, alice@example.com + bob@example.com, carol@example.com, 480",
        ),
        ("sip:+15551234@example.com", Ended::Offline, "+15551234@example.com, 403"),
    ] {
        assert_eq!(path(ask(&settings, Caller::Account(&alice), uri), ended), expected, "{uri} {ended:?}");
    }
}

#[test]
fn a_trunk_is_known_by_where_its_calls_come_from() {
    let settings = settings(config());
    for (source, trunk) in [("192.0.2.7", Some(0)), ("198.51.100.7", Some(1)), ("203.0.113.1", None)] {
        assert_eq!(trunk_of(&settings, source.parse().expect("an address"), 0, None), trunk, "{source}");
    }
}

#[test]
fn a_caller_is_shown_to_a_trunk_as_it_writes_numbers() {
    let settings = settings(config());
    for (trunk, aor, uri) in [
        (0, "alice@example.com", "sip:+442079460001@carrier.example"),
        (0, "bob@example.com", "sip:bob@carrier.example"),
        (1, "bob@example.com", "sip:bob@example.com"),
    ] {
        assert_eq!(crate::router::from_uri(&settings, trunk, aor).as_deref(), Some(uri));
    }
    assert_eq!(crate::router::from_uri(&settings, 9, "bob@example.com"), None);
}
