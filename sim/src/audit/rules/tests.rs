use super::*;
use crate::Time;
use crate::audit::{Audit, Place};
use crate::message::Sip;

const REGISTER: &str = "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK1;rport\r\n\
    Via: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK0\r\nFrom: <sip:bob@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\n\
    Call-ID: a\r\nCSeq: 1 REGISTER\r\nContact: <sip:bob@10.0.0.2>\r\nExpires: 60\r\nContent-Length: 0\r\n\r\n";

fn good() -> Sip {
    let mut m = Sip::new("SIP/2.0 200 OK");
    m.push("Via", "SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK1;rport=40000;received=198.51.100.1")
        .push("Via", "SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK0")
        .push("From", "<sip:bob@example.com>;tag=1")
        .push("To", "<sip:bob@example.com>;tag=2")
        .push("Call-ID", "a")
        .push("CSeq", "1 REGISTER")
        .push("Contact", "<sip:bob@10.0.0.2>;expires=60")
        .push("Date", "Sat, 13 Nov 2010 23:29:00 GMT");
    m
}

fn broken_by(request: &str, response: &Sip, to: &str) -> Vec<&'static str> {
    let from = Place { flow: 2, stream: false, remote: "198.51.100.1:40000".parse().expect("an address") };
    let mut audit = Audit::new();
    audit.came(Time::ZERO, from, request.as_bytes());
    audit.went(
        Time::from_millis(10),
        Place { remote: to.parse().expect("an address"), ..from },
        &response.write(),
    );
    audit.findings.iter().map(|f| f.rule).collect()
}

fn verdict(edit: impl FnOnce(&mut Sip)) -> Vec<&'static str> {
    let mut m = good();
    edit(&mut m);
    broken_by(REGISTER, &m, "198.51.100.1:40000")
}

/// The same, but another method was asked.
fn asked_else(method: &str, edit: impl FnOnce(&mut Sip) -> &mut Sip) -> Vec<&'static str> {
    let mut m = good();
    edit(m.set("CSeq", format!("1 {method}")));
    broken_by(&REGISTER.replace("REGISTER", method), &m, "198.51.100.1:40000")
}

#[test]
fn a_right_answer_breaks_no_rule() {
    assert_eq!(verdict(|_| {}), Vec::<&str>::new());
}

#[test]
fn each_rule_is_broken_by_its_vector_and_by_nothing_else() {
    let status = |m: &mut Sip, line: &str| m.start = format!("SIP/2.0 {line}");
    let vectors: Vec<(&str, Vec<&str>)> = vec![
        (
            "copies_via",
            verdict(|m| {
                m.headers.remove(1);
            }),
        ),
        (
            "copies_to",
            verdict(|m| {
                m.set("To", "<sip:eve@example.com>;tag=2");
            }),
        ),
        (
            "tags_to",
            verdict(|m| {
                m.set("To", "<sip:bob@example.com>");
            }),
        ),
        (
            "names_source",
            verdict(|m| {
                m.headers[0].1 = "SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK1;rport=40000".into();
            }),
        ),
        (
            "never_wildcard",
            verdict(|m| {
                m.push("Service-Route", "<sip:0.0.0.0;lr>");
            }),
        ),
        ("challenges", verdict(|m| status(m, "401 Unauthorized"))),
        ("uas_only", verdict(|m| status(m, "407 Proxy Authentication Required"))),
        ("allows", verdict(|m| status(m, "405 Method Not Allowed"))),
        ("unsupported", verdict(|m| status(m, "420 Bad Extension"))),
        ("accepts", verdict(|m| status(m, "415 Unsupported Media Type"))),
        ("min_expires", verdict(|m| status(m, "423 Interval Too Brief"))),
        ("no_6xx", verdict(|m| status(m, "603 Decline"))),
        (
            "no_record_route",
            verdict(|m| {
                m.push("Record-Route", "<sip:a;lr>");
            }),
        ),
        (
            "lists_expires",
            verdict(|m| {
                m.push("Contact", "<sip:bob@10.0.0.3>");
            }),
        ),
        (
            "grants_no_more",
            verdict(|m| {
                m.set("Contact", "<sip:bob@10.0.0.2>;expires=61");
            }),
        ),
        (
            "dates",
            verdict(|m| {
                m.set("Date", "Sat, 13 Nov 2010 23:29:00 EST");
            }),
        ),
        (
            "digest_is_whole",
            verdict(|m| {
                m.push("WWW-Authenticate", "Digest realm=\"a\", nonce=\"b\"");
            }),
        ),
        (
            "strongest_first",
            verdict(|m| {
                m.push("WWW-Authenticate", "Digest realm=\"a\", nonce=\"b\", qop=\"auth\", algorithm=MD5");
                m.push(
                    "WWW-Authenticate",
                    "Digest realm=\"a\", nonce=\"b\", qop=\"auth\", algorithm=SHA-256",
                );
            }),
        ),
        (
            "bearer_names_server",
            verdict(|m| {
                m.push("WWW-Authenticate", "Bearer realm=\"a\", authz_server=\"http://a\"");
            }),
        ),
        ("no_408", verdict(|m| status(m, "408 Request Timeout"))),
        ("provisional_late", verdict(|m| status(m, "100 Trying"))),
        (
            "outbound_asked",
            verdict(|m| {
                m.push("Require", "outbound");
            }),
        ),
        (
            "gruu_asked",
            verdict(|m| {
                m.set(
                    "Contact",
                    "<sip:bob@10.0.0.2>;expires=60;+sip.instance=\"<urn:a>\";pub-gruu=\"sip:b;gr\"",
                );
            }),
        ),
        (
            "path_asked",
            verdict(|m| {
                m.push("Path", "<sip:a;lr>");
            }),
        ),
        (
            "never_accepted",
            asked_else("SUBSCRIBE", |m| {
                status(m, "202 Accepted");
                m.push("Expires", "60")
            }),
        ),
        ("message_is_bare", asked_else("MESSAGE", |m| m)),
        ("subscribed_is_whole", asked_else("SUBSCRIBE", |m| m.set("Expires", "61"))),
        ("published_is_whole", asked_else("PUBLISH", |m| m.set("Expires", "60"))),
        ("allows_events", verdict(|m| status(m, "489 Bad Event"))),
        ("condition_asked", verdict(|m| status(m, "412 Conditional Request Failed"))),
        ("goes_home", broken_by(REGISTER, &good(), "198.51.100.1:5060")),
        (
            "forgets",
            broken_by(
                &REGISTER.replace("Expires: 60", "Expires: 0"),
                good().set("Contact", "<sip:bob@10.0.0.2>;expires=0"),
                "198.51.100.1:40000",
            ),
        ),
    ];
    let name_of = |check: &str| {
        let at = ORDER.iter().position(|n| *n == check).expect("a rule of that name");
        RULES[at].name
    };
    for (check, broken) in vectors {
        // rport without received breaks both rules: they are one sentence of RFC 3581.
        let others: Vec<&&str> = broken.iter().filter(|b| **b != name_of(check)).collect();
        assert!(broken.contains(&name_of(check)), "{check} was not noticed: {broken:?}");
        assert!(others.is_empty() || check == "names_source", "{check} also broke {others:?}");
    }
}

#[test]
fn a_response_out_of_the_blue_is_noticed() {
    let place = Place { flow: 2, stream: false, remote: "198.51.100.1:40000".parse().expect("an address") };
    let mut audit = Audit::new();
    audit.went(Time::ZERO, place, &good().write());
    assert_eq!(audit.findings.len(), 1);
}

#[test]
fn a_final_response_repeated_without_reason_is_noticed() {
    let place = Place { flow: 2, stream: false, remote: "198.51.100.1:40000".parse().expect("an address") };
    let mut audit = Audit::new();
    audit.came(Time::ZERO, place, REGISTER.as_bytes());
    audit.went(Time::from_millis(1), place, &good().write());
    assert!(audit.findings.is_empty(), "{:?}", audit.findings);
    audit.went(Time::from_millis(600), place, &good().write());
    assert_eq!(audit.findings.len(), 1);
}

#[test]
fn a_request_without_an_answer_is_noticed() {
    let place = Place { flow: 2, stream: false, remote: "198.51.100.1:40000".parse().expect("an address") };
    let mut audit = Audit::new();
    audit.came(Time::ZERO, place, REGISTER.as_bytes());
    audit.unanswered(Time::from_secs(40), Duration::from_secs(32));
    assert_eq!(audit.findings.len(), 1);
}

const ORDER: &[&str] = &[
    "copies_via",
    "copies_from",
    "copies_to",
    "copies_call",
    "tags_to",
    "goes_home",
    "names_source",
    "fills_rport",
    "never_wildcard",
    "ack_is_silent",
    "challenges",
    "uas_only",
    "allows",
    "unsupported",
    "accepts",
    "min_expires",
    "no_6xx",
    "no_record_route",
    "lists_expires",
    "grants_no_more",
    "forgets",
    "dates",
    "digest_is_whole",
    "strongest_first",
    "bearer_names_server",
    "provisional_late",
    "no_408",
    "outbound_asked",
    "gruu_asked",
    "path_asked",
    "never_accepted",
    "subscribed_is_whole",
    "published_is_whole",
    "message_is_bare",
    "allows_events",
    "condition_asked",
];
