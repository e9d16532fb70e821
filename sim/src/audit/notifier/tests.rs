use super::*;
use crate::audit::{Audit, Place};

const SUBSCRIBE: &str = "SUBSCRIBE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK1\r\n\
    From: <sip:alice@example.com>;tag=a\r\nTo: <sip:bob@example.com>\r\nCall-ID: c\r\nCSeq: 1 SUBSCRIBE\r\n\
    Contact: <sip:alice@10.0.0.2>\r\nEvent: presence\r\nAccept: application/pidf+xml\r\nExpires: 60\r\n\
    Content-Length: 0\r\n\r\n";

fn place() -> Place {
    Place { flow: 2, stream: false, remote: "10.0.0.2:5060".parse().expect("an address") }
}

fn granted() -> Sip {
    let mut m = Sip::new("SIP/2.0 200 OK");
    m.push("Via", "SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK1").push("From", "<sip:alice@example.com>;tag=a");
    m.push("To", "<sip:bob@example.com>;tag=b").push("Call-ID", "c").push("CSeq", "1 SUBSCRIBE");
    m.push("Contact", "<sip:192.0.2.1>").push("Expires", "60");
    m
}

fn notify(number: u32, state: &str) -> Sip {
    let mut m = Sip::new("NOTIFY sip:alice@10.0.0.2 SIP/2.0");
    m.push("Via", format!("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKn{number}")).push("Max-Forwards", "70");
    m.push("From", "<sip:bob@example.com>;tag=b").push("To", "<sip:alice@example.com>;tag=a");
    m.push("Call-ID", "c").push("CSeq", format!("{number} NOTIFY")).push("Contact", "<sip:192.0.2.1>");
    m.push("Event", "presence")
        .push("Subscription-State", state)
        .push("Content-Type", "application/pidf+xml");
    m.body = b"<presence/>".to_vec();
    m
}

/// What is found when these follow the 2xx, a second after each other, answered or not.
fn verdict(answered: bool, requests: &[Sip]) -> Vec<&'static str> {
    let mut audit = Audit::new();
    audit.came(Time::ZERO, place(), SUBSCRIBE.as_bytes());
    audit.went(Time::ZERO, place(), &granted().write());
    for (i, m) in requests.iter().enumerate() {
        let at = Time::from_millis(1_000 * i as u64);
        audit.went(at, place(), &m.write());
        if answered {
            let mut answer = m.clone();
            answer.start = "SIP/2.0 200 OK".into();
            audit.came(at, place(), &answer.write());
        }
    }
    audit.findings.iter().map(|f| f.rule).collect()
}

#[test]
fn a_right_life_of_a_subscription_breaks_no_rule() {
    let life = [
        notify(7, "active;expires=60"),
        notify(8, "active;expires=59"),
        notify(9, "terminated;reason=timeout"),
    ];
    assert_eq!(verdict(true, &life), Vec::<&str>::new());
    // Without an answer only the end may follow.
    let cut = [notify(7, "active;expires=60"), notify(8, "terminated;reason=timeout")];
    assert_eq!(verdict(false, &cut), Vec::<&str>::new());
}

#[test]
fn each_rule_of_a_notifier_is_broken_by_its_vector() {
    let edited = |edit: fn(&mut Sip)| {
        let mut m = notify(7, "active;expires=60");
        edit(&mut m);
        verdict(true, &[m])
    };
    for (expected, found) in [
        ("a NOTIFY has its header fields", edited(|m| m.headers.retain(|(n, _)| n != "Contact"))),
        ("Subscription-State says what is so", verdict(true, &[notify(7, "active")])),
        ("Subscription-State says what is so", verdict(true, &[notify(7, "terminated;expires=5")])),
        ("a body has a Content-Type", edited(|m| m.headers.retain(|(n, _)| n != "Content-Type"))),
        (
            "a body is of a type that is accepted",
            edited(|m| {
                m.set("Content-Type", "text/plain");
            }),
        ),
        (
            "Event is that of the SUBSCRIBE",
            edited(|m| {
                m.set("Event", "reg");
            }),
        ),
        (
            "a NOTIFY follows the 2xx of its SUBSCRIBE",
            edited(|m| {
                m.set("Call-ID", "other");
            }),
        ),
        ("expires is what is left of what was granted", verdict(true, &[notify(7, "active;expires=62")])),
        (
            "CSeq rises by one within a dialog",
            verdict(true, &[notify(7, "active;expires=60"), notify(9, "active;expires=59")]),
        ),
        (
            "one NOTIFY at a time",
            verdict(false, &[notify(7, "active;expires=60"), notify(8, "active;expires=59")]),
        ),
        (
            "nothing follows the end of a subscription",
            verdict(true, &[notify(7, "terminated;reason=timeout"), notify(8, "active;expires=59")]),
        ),
    ] {
        assert_eq!(found, [expected]);
    }
}
