//! Connections of peers that are used for what goes to them: RFC 5923. Only who proved by a certificate to be who is called
//! may have what is meant for it; and a trunk is known by its certificate.

use super::calls::*;
use super::trunks::outward;
use super::*;
use crate::config::{ListenerConfig, RouteConfig, RouteTo, TrunkConfig};
use crate::door::{Answer, PeerIdentity, Resolved};

/// A connection that the carrier opened.
const THEIRS: FlowId = FlowId(40);
/// Where it listens, and where its connection comes from.
const LISTENS: &str = "192.0.2.77:5061";
const COMES: &str = "192.0.2.77:40000";

fn config() -> Config {
    let mut config = calls_config();
    config.accounts[1].dial = Some(vec!["+*".into()]);
    config.trusted = vec![IpNet::parse("192.0.2.8/32").expect("a network")];
    let listener = |transport, addr: &str| {
        let addr = addr.parse().expect("an address");
        ListenerConfig { transport, addr, advertised: None, algorithms: None }
    };
    config.listeners =
        vec![listener(Transport::Udp, "192.0.2.1:5060"), listener(Transport::Tls, "192.0.2.1:5061")];
    let calls = config.calls.as_mut().expect("calls");
    let mut trunk = TrunkConfig::new("carrier", "sip:Carrier.example;transport=tls".to_owned());
    trunk.tls_names = vec!["carrier.example".into()];
    calls.trunks = vec![trunk];
    let to = RouteTo { to: "+{rest}".into(), trunk: Some("carrier".into()), ..RouteTo::default() };
    calls.routes.push(RouteConfig { pattern: "+*".into(), targets: vec![to] });
    config
}

/// The carrier's connection is up, and its first request came.
struct Carrier<'c> {
    transport: Transport,
    comes: &'c str,
    names: Option<&'c [&'c str]>,
    via: &'c str,
}

/// As it should be.
const GOOD: Carrier<'static> = Carrier {
    transport: Transport::Tls,
    comes: COMES,
    names: Some(&["carrier.example"]),
    via: "carrier.example;alias",
};

fn connected(carrier: &Carrier<'_>) -> Calls {
    connected_to(config(), carrier)
}

fn connected_to(config: Config, carrier: &Carrier<'_>) -> Calls {
    let mut calls = Calls::new(config);
    let (local, remote) = (addr("192.0.2.1:5061"), addr(carrier.comes));
    let peer =
        carrier.names.map(|names| PeerIdentity { names: names.iter().map(|name| (*name).into()).collect() });
    let (transport, flow) = (carrier.transport, THEIRS);
    calls.host.input(Input::FlowUp { flow, listener: 1, transport, local, remote: Some(remote), peer });
    let sent = from_carrier(&mut calls, carrier, "OPTIONS sip:example.com", 1);
    assert!(sent[0].first().starts_with("SIP/2.0 200"), "{sent:?}");
    calls
}

fn from_carrier(calls: &mut Calls, carrier: &Carrier<'_>, line: &str, n: u32) -> Vec<Sent> {
    let method = line.split(' ').next().unwrap_or_default();
    let (transport, via) = (carrier.transport.via_token(), carrier.via);
    let text = format!(
        "{line} SIP/2.0\r\nVia: SIP/2.0/{transport} {via};branch=z9hG4bKc{n}\r\nMax-Forwards: 70\r\n\
         From: <sip:+4930@carrier.example>;tag=c{n}\r\nTo: <sip:bob@example.com>\r\nCall-ID: c{n}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:carrier.example;transport=tls>\r\nContent-Length: 0\r\n\r\n"
    );
    let (remote, local) = (addr(carrier.comes), addr("192.0.2.1:5061"));
    let commands = calls.host.input(Input::Message { flow: THEIRS, remote, local, data: text.as_bytes() });
    calls.sent(commands)
}

/// Alice calls a number of the carrier: the flow that is used, and the INVITE there; a new one comes up first.
fn called(calls: &mut Calls, n: u32) -> (FlowId, String) {
    let (remote, local) = (addr(ALICE), addr("192.0.2.1:5060"));
    let text = outward(n);
    let commands = calls.host.input(Input::Message { flow: UDP, remote, local, data: text.as_bytes() });
    let asked = commands.iter().find_map(|command| match command {
        Command::Ask(Query::Resolve(query)) => Some((query.ticket, query.host.clone())),
        _ => None,
    });
    let (ticket, host) = asked.expect("where the carrier is");
    let way = Resolved {
        transport: Transport::Tls,
        remote: addr(LISTENS),
        listener: 1,
        local: addr("192.0.2.1:5061"),
        server_name: Some(host),
    };
    let commands = calls.host.input(Input::Answer(Answer::Resolved(ticket, vec![way])));
    let invite = commands.iter().find_map(|command| match command {
        Command::Transmit(t) if t.payload.starts_with(b"INVITE") => {
            Some((t.flow, String::from_utf8_lossy(&t.payload).into_owned()))
        }
        _ => None,
    });
    invite.expect("an INVITE")
}

#[test]
fn who_proved_its_name_and_lets_it_be_used_is_called_over_its_own_connection() {
    let mut calls = connected(&GOOD);
    assert!(calls.host.engine.is_flow_in_use(THEIRS));
    let (flow, invite) = called(&mut calls, 1);
    assert_eq!(flow, THEIRS);
    assert!(invite.contains("\r\nVia: SIP/2.0/TLS 192.0.2.1:5061;branch="), "{invite}");
    // RFC 5923 s8.2: once it is gone another is opened, and says that it may be used from there.
    calls.host.input(Input::FlowDown { flow: THEIRS, reason: FlowDownReason::Closed });
    assert!(!calls.host.engine.is_flow_in_use(THEIRS));
    let (flow, invite) = called(&mut calls, 2);
    assert_ne!(flow, THEIRS);
    let via = invite.lines().find(|line| line.starts_with("Via: ")).expect("a Via");
    assert!(via.ends_with(";alias"), "{via}");
    assert_eq!(called(&mut calls, 3).0, flow, "ours is used again");
}

#[test]
fn nobody_gets_what_is_for_another_by_saying_alias() {
    let cases = [
        ("it does not say so", Carrier { via: "carrier.example", ..GOOD }),
        ("no certificate", Carrier { names: None, ..GOOD }),
        ("a certificate of another", Carrier { names: Some(&["mallory.example"]), ..GOOD }),
        ("one for a part of the name", Carrier { names: Some(&["example", "a.carrier.example"]), ..GOOD }),
        ("one for all", Carrier { names: Some(&["*.example", "*"]), ..GOOD }),
        (
            "a SIP URI of another goes before host names",
            Carrier { names: Some(&["carrier.example", "sip:mallory.example"]), ..GOOD },
        ),
        ("a user's", Carrier { names: Some(&["sip:carrier@carrier.example"]), ..GOOD }),
        ("from elsewhere", Carrier { comes: "192.0.2.66:40000", ..GOOD }),
        ("it listens on another port", Carrier { via: "carrier.example:5071;alias", ..GOOD }),
        ("not over TLS", Carrier { transport: Transport::Tcp, ..GOOD }),
        ("by a browser", Carrier { transport: Transport::Wss, ..GOOD }),
    ];
    for (what, carrier) in cases {
        let mut calls = connected(&carrier);
        assert_ne!(called(&mut calls, 1).0, THEIRS, "{what}");
    }
    for names in [&["sip:carrier.example"][..], &["other.example", "carrier.example"]] {
        let mut calls = connected(&Carrier { names: Some(names), ..GOOD });
        assert_eq!(called(&mut calls, 1).0, THEIRS, "{names:?}");
    }
}

#[test]
fn what_a_peer_says_last_of_where_it_listens_holds() {
    let mut calls = connected(&GOOD);
    from_carrier(
        &mut calls,
        &Carrier { via: "carrier.example:5071;alias", ..GOOD },
        "OPTIONS sip:example.com",
        2,
    );
    assert_ne!(called(&mut calls, 1).0, THEIRS);
}

#[test]
fn a_trunk_is_known_by_its_certificate_and_by_nothing_less() {
    for (names, taken) in
        [(Some(&["carrier.example"][..]), true), (Some(&["mallory.example"]), false), (None, false)]
    {
        let carrier = Carrier { names, ..GOOD };
        let mut strict = config();
        strict.policies.invite = AuthPolicy::Digest;
        let mut calls = connected_to(strict, &carrier);
        let sent = from_carrier(&mut calls, &carrier, "INVITE sip:bob@example.com", 7);
        let rings = sent.iter().any(|sent| sent.to == BOB && sent.first().starts_with("INVITE "));
        assert_eq!(rings, taken, "{names:?}: {sent:?}");
    }
}
