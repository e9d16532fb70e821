//! Who may speak for the other side of a dialog: DECISIONS 2. Both tags are enough, unless somebody proved by a certificate
//! who he is.

use super::calls::*;
use super::*;
use crate::config::{ListenerConfig, PresenceConfig, TrunkConfig};
use crate::door::{Change, PeerIdentity};

/// The connection over which it began, one that comes later, and where both come from.
const FIRST: FlowId = FlowId(40);
const LATER: FlowId = FlowId(42);
const CARRIER: &str = "192.0.2.77:40000";

const NAMED: Option<&[&str]> = Some(&["carrier.example", "sip:carrier.example"]);

fn up(host: &mut Host, flow: FlowId, transport: Transport, names: Option<&[&str]>) {
    let peer = names.map(|names| PeerIdentity { names: names.iter().map(|name| (*name).into()).collect() });
    let (local, remote) = (addr("192.0.2.1:5061"), Some(addr(CARRIER)));
    host.input(Input::FlowUp { flow, listener: 1, transport, local, remote, peer });
}

fn hears(calls: &mut Calls, flow: FlowId, text: &str) -> Vec<Sent> {
    let (remote, local) = (addr(CARRIER), addr("192.0.2.1:5061"));
    let commands = calls.host.input(Input::Message { flow, remote, local, data: text.as_bytes() });
    calls.sent(commands)
}

fn config() -> Config {
    let mut config = calls_config();
    let listener = |transport, addr: &str| {
        let addr = addr.parse().expect("an address");
        ListenerConfig { transport, addr, advertised: None, algorithms: None }
    };
    config.listeners =
        vec![listener(Transport::Udp, "192.0.2.1:5060"), listener(Transport::Tls, "192.0.2.1:5061")];
    let mut trunk = TrunkConfig::new("carrier", "sip:carrier.example;transport=tls".to_owned());
    trunk.tls_names = vec!["carrier.example".into()];
    trunk.sources = vec![IpNet::parse("192.0.2.77/32").expect("a network")];
    config.calls.as_mut().expect("calls").trunks = vec![trunk];
    config.presence = Some(PresenceConfig::default());
    config.policies.subscribe = AuthPolicy::Open;
    config
}

fn request(method: &str, number: u32, tag: &str, branch: &str) -> String {
    let (uri, to) = match tag {
        "" => ("sip:bob@example.com", String::new()),
        tag => ("sip:192.0.2.1:5061;transport=tls", format!(";tag={tag}")),
    };
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.77:5061;branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
         From: <sip:+4930@carrier.example>;tag=c\r\nTo: <sip:bob@example.com>{to}\r\nCall-ID: c\r\n\
         CSeq: {number} {method}\r\nContact: <sip:carrier.example;transport=tls>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// The same, and it is acknowledged.
fn talking(names: Option<&[&str]>) -> (Calls, String) {
    let (mut calls, tag) = answered(names);
    hears(&mut calls, FIRST, &request("ACK", 1, &tag, "a"));
    assert_eq!(calls.host.engine.sizes().calls, 1);
    (calls, tag)
}

/// A call from who proves to be this, which bob takes: our tag.
fn answered(names: Option<&[&str]>) -> (Calls, String) {
    let mut calls = Calls::new(config());
    calls.register("bob", BOB, "");
    up(&mut calls.host, FIRST, Transport::Tls, names);
    let sent = hears(&mut calls, FIRST, &request("INVITE", 1, "", "i"));
    let invite = sent.iter().find(|sent| sent.first().starts_with("INVITE")).cloned().expect("an INVITE");
    let sent = calls.from(BOB, &response(&invite, "200 OK", "b", BOB, "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\n"));
    let ok = sent.iter().find(|sent| sent.first().starts_with("SIP/2.0 200")).cloned().expect("a 200");
    let tag = ok.tag("To").to_owned();
    (calls, tag)
}

/// How BYE is answered over another connection, after the first is gone or while it is there.
fn bye(names: Option<&[&str]>, transport: Transport, now: Option<&[&str]>, gone: bool) -> String {
    let (mut calls, tag) = talking(names);
    if gone {
        calls.host.input(Input::FlowDown { flow: FIRST, reason: FlowDownReason::Closed });
    }
    let sent = match transport {
        Transport::Udp => calls.from("192.0.2.77:5060", &request("BYE", 2, &tag, "b")),
        transport => {
            up(&mut calls.host, LATER, transport, now);
            hears(&mut calls, LATER, &request("BYE", 2, &tag, "b"))
        }
    };
    let status = sent[0].first().to_owned();
    let refused = status.contains("403");
    assert_eq!(sent.iter().any(|sent| sent.first().starts_with("BYE")), !refused, "{sent:?}");
    if refused && !gone {
        // It was not that of the other side: nothing has changed, its number among it.
        let sent = hears(&mut calls, FIRST, &request("BYE", 2, &tag, "c"));
        assert!(sent[0].first().starts_with("SIP/2.0 200"), "{sent:?}");
    }
    status
}

#[test]
fn who_proved_who_he_is_stays_that_one_on_another_connection() {
    for gone in [false, true] {
        let again = |transport, now| bye(NAMED, transport, now, gone);
        assert_eq!(again(Transport::Tls, NAMED), "SIP/2.0 200 OK");
        // The certificate was renewed.
        assert_eq!(again(Transport::Tls, Some(&["new.example", "carrier.example"])), "SIP/2.0 200 OK");
        for other in [Some(&["mallory.example"][..]), Some(&[]), None] {
            assert_eq!(again(Transport::Tls, other), "SIP/2.0 403 Another Peer", "{other:?}");
            assert_eq!(again(Transport::Wss, other), "SIP/2.0 403 Another Peer", "{other:?}");
        }
        assert_eq!(again(Transport::Udp, None), "SIP/2.0 403 Another Peer");
    }
}

#[test]
fn what_another_one_acknowledges_is_not() {
    let (mut calls, tag) = answered(NAMED);
    up(&mut calls.host, LATER, Transport::Tls, Some(&["mallory.example"]));
    assert!(hears(&mut calls, LATER, &request("ACK", 1, &tag, "x")).is_empty());
    let stray = calls.host.engine.stats().drops(DropReason::StrayAck);
    assert_eq!(stray, 1);
    let sent = hears(&mut calls, FIRST, &request("ACK", 1, &tag, "a"));
    assert!(sent.iter().any(|sent| sent.first().starts_with("ACK") && sent.to == BOB), "{sent:?}");
}

#[test]
fn who_proved_nothing_is_known_by_the_tags() {
    for names in [None, Some(&[][..])] {
        for now in [None, NAMED] {
            assert_eq!(bye(names, Transport::Tls, now, true), "SIP/2.0 200 OK");
        }
        assert_eq!(bye(names, Transport::Udp, None, true), "SIP/2.0 200 OK");
    }
}

#[test]
fn a_subscription_is_of_who_proved_to_be_its_watcher() {
    let subscribe = |number: u32, tag: &str| {
        let lines = "Event: presence\r\nExpires: 600\r\nAccept: application/pidf+xml\r\nContact: ";
        request("SUBSCRIBE", number, tag, &format!("s{number}")).replace("Contact: ", lines)
    };
    let mut calls = Calls::new(config());
    up(&mut calls.host, FIRST, Transport::Tls, NAMED);
    let sent = hears(&mut calls, FIRST, &subscribe(1, ""));
    let tag = sent[0].tag("To").to_owned();
    assert!(sent[0].first().starts_with("SIP/2.0 200"), "{sent:?}");
    up(&mut calls.host, LATER, Transport::Tls, Some(&["mallory.example"]));
    let sent = hears(&mut calls, LATER, &subscribe(2, &tag));
    assert_eq!(sent[0].first(), "SIP/2.0 403 Another Peer");
    assert_eq!(sent.len(), 1, "and what is known is not told there");
    let third = FlowId(44);
    up(&mut calls.host, third, Transport::Tls, NAMED);
    let sent = hears(&mut calls, third, &subscribe(3, &tag));
    assert!(sent[0].first().starts_with("SIP/2.0 200"), "{sent:?}");
}

#[test]
fn who_proved_to_be_a_watcher_stays_that_one_in_the_next_life_of_the_server() {
    let subscribe = |number: u32, tag: &str| {
        let lines = "Event: presence\r\nExpires: 600\r\nAccept: application/pidf+xml\r\nContact: ";
        request("SUBSCRIBE", number, tag, &format!("s{number}")).replace("Contact: ", lines)
    };
    let mut config = config();
    config.tell.changes = true;
    let mut before = Calls::new(config.clone());
    up(&mut before.host, FIRST, Transport::Tls, NAMED);
    let (remote, local) = (addr(CARRIER), addr("192.0.2.1:5061"));
    let data = subscribe(1, "");
    let commands = before.host.input(Input::Message { flow: FIRST, remote, local, data: data.as_bytes() });
    let saved = commands.iter().rev().find_map(|command| match command {
        Command::Save(_, change @ Change::PutSubscription(_)) => Some(change.to_record()),
        _ => None,
    });
    let saved = Change::from_record(&saved.expect("it was saved")).expect("a record");
    let tag = before.sent(commands)[0].tag("To").to_owned();
    for (names, status) in [
        (Some(&["mallory.example"][..]), "SIP/2.0 403 Another Peer"),
        (None, "SIP/2.0 403 Another Peer"),
        (NAMED, "SIP/2.0 200 OK"),
    ] {
        let settings = config.clone().validate().expect("a good configuration");
        let mut host = Host { engine: Engine::new(settings, [7; 32], START), now: START };
        host.input(Input::Host { reply: None, request: Request::Restore(Box::new(saved.clone())) });
        assert_eq!(host.engine.sizes().subscriptions, 1);
        up(&mut host, LATER, Transport::Tls, names);
        let mut after = Calls { host, ladder: String::new() };
        // To end it is no less than to refresh it.
        for expires in ["600", "0"] {
            let text = subscribe(2, &tag).replace("Expires: 600", &format!("Expires: {expires}"));
            let text = text.replace("z9hG4bKs2", &format!("z9hG4bKs2{expires}"));
            let text = if expires == "0" { text.replace("CSeq: 2", "CSeq: 3") } else { text };
            let sent = hears(&mut after, LATER, &text);
            assert_eq!(sent[0].first(), status, "{names:?}");
        }
    }
}
