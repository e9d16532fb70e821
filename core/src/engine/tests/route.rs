//! Route of requests from outside any dialog: RFC 3261 s16.4, DECISIONS 8.

use super::calls::*;
use super::messages::{messages, text};
use super::transfers::find;
use super::trunks::{FIRST, two};
use super::*;
use crate::config::{DomainConfig, ListenerConfig};

/// Outbound proxies that are us, by each of our names.
const OURS: [&str; 7] = [
    "<sip:192.0.2.1;lr>",
    "<sip:192.0.2.1:5060;lr;transport=udp>",
    "<sip:example.com;lr>",
    "<sip:EXAMPLE.com:5061;transport=tls;lr>, <sip:pbx.example.net;lr>",
    "<sip:198.51.100.1:5062;lr>\r\nRoute: \"It is us\" <sip:example.com>",
    "sip:192.0.2.1",
    "<sip:example.com;lr>,<sip:example.com;lr>,<sip:192.0.2.1;lr>",
];

/// Where it would go on to somebody else.
const FOREIGN: [&str; 7] = [
    "<sip:else.example;lr>",
    "<sip:192.0.2.1;lr>, <sip:else.example;lr>",
    "<sip:192.0.2.1;lr>\r\nRoute: <sip:198.51.100.7;lr>",
    "<sip:192.0.2.1:5999;lr>",
    "<sip:sub.example.com;lr>",
    "<tel:+4420>",
    "nonsense",
];

/// A server with several names.
fn named(mut config: Config) -> Config {
    config.domains =
        vec![DomainConfig { name: "example.com".into(), aliases: vec!["pbx.example.net".into()] }];
    config.listeners = vec![ListenerConfig {
        transport: Transport::Udp,
        addr: addr("192.0.2.1:5060"),
        advertised: Some(("198.51.100.1".into(), Some(5062))),
        algorithms: None,
    }];
    config.policies.other = AuthPolicy::Open;
    config
}

/// The answer to a request with this Route.
fn asked(host: &mut Host, method: &str, n: u32, route: &str) -> Option<u16> {
    let uri = if method == "REGISTER" { "sip:example.com" } else { "sip:bob@example.com" };
    let more = format!("Contact: <sip:bob@192.0.2.9:5060>\r\nRoute: {route}\r\n");
    let answer = host.udp(&request(method, uri, n, &more));
    status(&answer)
}

#[test]
fn a_route_to_us_is_popped_and_one_to_somebody_else_is_refused() {
    let mut config = named(messages());
    config.calls = Some(crate::config::CallsConfig::default());
    config.policies.invite = AuthPolicy::Open;
    let mut host = Host::new(config);
    for (n, route) in (100..).step_by(10).zip(OURS) {
        assert_eq!(asked(&mut host, "REGISTER", n, route), Some(200), "{route}");
        assert_eq!(asked(&mut host, "OPTIONS", n + 1, route), Some(200), "{route}");
        assert_ne!(asked(&mut host, "MESSAGE", n + 2, route), Some(403), "{route}");
        assert_ne!(asked(&mut host, "INVITE", n + 3, route), Some(403), "{route}");
    }
    for (n, route) in (500..).step_by(10).zip(FOREIGN) {
        for (n, method) in (n..).zip(["REGISTER", "OPTIONS", "MESSAGE", "INVITE"]) {
            assert_eq!(asked(&mut host, method, n, route), Some(403), "{method} {route}");
        }
    }
}

#[test]
fn who_is_to_prove_who_he_is_is_asked_for_that_first() {
    let mut host = Host::new(named(config()));
    assert_eq!(asked(&mut host, "REGISTER", 1, FOREIGN[0]), Some(401));
    // RFC 3261 s12.2.2: what is for a dialog that is not there has nowhere to go at all.
    let stray = request("BYE", "sip:example.com", 2, "Route: <sip:else.example;lr>\r\n");
    let stray =
        String::from_utf8(stray).expect("ASCII").replace("To: <sip:bob@example.com>", "To: <sip:b@c>;tag=t");
    assert_eq!(status(&host.udp(stray.as_bytes())), Some(481));
}

#[test]
fn who_may_relay_is_let_through_and_so_is_a_trunk() {
    let onward = "Route: <sip:192.0.2.1;lr>, <sip:else.example;lr>\r\n";
    for may_relay in [false, true] {
        let mut config = two(|_| {});
        config.accounts[1].may_relay = may_relay;
        let mut calls = Calls::new(config);
        let sent = calls.from(ALICE, &invite(onward));
        match may_relay {
            // The call goes where its Request-URI says, and nowhere else.
            true => assert!(!find(&sent, BOB, "INVITE").text.contains("\r\nRoute:")),
            false => {
                assert!(find(&sent, ALICE, "SIP/2.0 403").first().ends_with("403 Route Leads Elsewhere"))
            }
        }
    }
    let mut calls = Calls::new(two(|_| {}));
    let inward = invite(onward).replace(ALICE, FIRST).replace("alice@example.com", "+4930@carrier.example");
    find(&calls.from(FIRST, &inward), BOB, "INVITE");
    let mut config = messages();
    config.accounts[1].may_relay = true;
    config.trusted = vec![IpNet::parse("192.0.2.9/32").expect("a network")];
    let mut host = Host::new(config);
    assert_eq!(status(&host.alice(&text(1, "sip:bob@example.com", onward, "hi"))), Some(202));
}

#[test]
fn a_phone_with_an_outbound_proxy_that_is_us_makes_a_whole_call() {
    let mut calls = Calls::new(calls_config());
    let through = |text: String| text.replace("Max-Forwards", "Route: <sip:192.0.2.1;lr>\r\nMax-Forwards");
    let sent = calls.from(ALICE, &through(invite("")));
    let to_bob = find(&sent, BOB, "INVITE").clone();
    let ok = calls.from(BOB, &response(&to_bob, "200 OK", "b1", BOB, ANSWER));
    let ack = calls.from(ALICE, &through(by_caller("ACK", 1, &ok[0], "ack", "")));
    find(&ack, BOB, "ACK");
    // Some preload it for good, whatever their route set says.
    let bye = calls.from(ALICE, &through(by_caller("BYE", 2, &ok[0], "bye", "")));
    find(&bye, ALICE, "SIP/2.0 200");
    calls.from(BOB, &response(find(&bye, BOB, "BYE"), "200 OK", "", "", ""));
    calls.finish();
    let mut calls = Calls::new(calls_config());
    let invited = through(invite(""));
    let sent = calls.from(ALICE, &invited);
    calls.from(BOB, &response(find(&sent, BOB, "INVITE"), "180 Ringing", "b1", BOB, ""));
    let cancel = invited.replace("INVITE", "CANCEL").replace(&body(OFFER), "Content-Length: 0\r\n\r\n");
    let sent = calls.from(ALICE, &cancel);
    find(&sent, ALICE, "SIP/2.0 487");
}

#[test]
fn a_refresh_over_an_outbound_proxy_that_is_us_takes_the_short_way_and_no_other_route_does() {
    let mut host = Host::new(named(open()));
    assert_eq!(asked(&mut host, "REGISTER", 1, OURS[0]), Some(200));
    assert_eq!(asked(&mut host, "REGISTER", 2, OURS[2]), Some(200));
    assert_eq!(host.engine.rooms.registrar.short_ways(), 1);
    assert_eq!(asked(&mut host, "REGISTER", 3, FOREIGN[1]), Some(403));
    assert_eq!(asked(&mut host, "REGISTER", 4, OURS[0]), Some(200));
    assert_eq!(host.engine.rooms.registrar.short_ways(), 2);
}
