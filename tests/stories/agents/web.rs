//! User agents over WebSocket: RFC 7118, RFC 5626. Nobody can connect to them, and nothing they send says so.

use strowger_core::door::{UaAccount, UaCallRequest as Do, UaCallStep, UaRequest, UaStep};

use super::calls::sdp;
use super::net::*;

/// Over WebSocket, with a flow.
fn account_over(at: usize, transport: &str) -> UaAccount {
    let mut account = account(at, transport);
    account.instance = format!("urn:uuid:00000000-0000-4000-8000-00000000000{at}").into();
    account
}

fn pair(transports: [&str; 2]) -> Net {
    let mut net = Net::new(1, 0);
    for (at, transport) in [ALICE, BOB].into_iter().zip(transports) {
        net.does(at, UaRequest::Open(Box::new(account_over(at, transport))));
        net.does(at, UaRequest::Register);
    }
    net.run_for(2);
    for at in [ALICE, BOB] {
        assert!(net.view(at).is_registered(), "{:?}", net.told[at]);
        net.news(at);
    }
    net
}

#[test]
fn who_speaks_websocket_is_nowhere_and_called_over_its_flow() {
    let mut net = pair([";transport=ws", ";transport=ws"]);
    insta::assert_snapshot!("register_web", net.sent(BOB, "REGISTER"));
    net.wire.clear();
    net.begins(
        ALICE,
        UaRequest::Message {
            to: "sip:bob@example.com".into(),
            kind: "text/plain".into(),
            body: (*b"hi").into(),
        },
    );
    net.run_for(1);
    assert!(net.news(ALICE).iter().any(|step| matches!(step, UaStep::Sent { status: 200, .. })));
    let call =
        UaRequest::Call(Do::Begin { to: "sip:bob@example.com".into(), sdp: sdp(ALICE, 1, "sendrecv") });
    let out = net.begins(ALICE, call);
    net.run_for(1);
    let came = net.news(BOB).into_iter().find_map(|step| match step {
        UaStep::Call { call, step: UaCallStep::Incoming { .. } } => Some(call),
        _ => None,
    });
    let came = came.expect("a call");
    net.does(BOB, UaRequest::Call(Do::Answer { call: came, sdp: sdp(BOB, 1, "sendrecv") }));
    net.run_for(1);
    insta::assert_snapshot!("answer_web", net.sent(BOB, "SIP/2.0 200 OK"));
    // Within the call both ways, over the same connections.
    let change = Do::Change { call: came, sdp: sdp(BOB, 2, "sendonly") };
    net.does(BOB, UaRequest::Call(change));
    net.run_for(1);
    net.does(ALICE, UaRequest::Call(Do::HangUp { call: out }));
    net.run_for(1);
    let ended = |step: &UaStep| matches!(step, UaStep::Call { step: UaCallStep::Ended { .. }, .. });
    assert!(net.news(BOB).iter().any(ended) && net.news(ALICE).iter().any(ended));
    let phones = net.wire.iter().filter(|(at, text)| *at != SERVER && !text.starts_with("PING"));
    for (_, text) in phones {
        let own = |line: &&str| line.starts_with("Via: ") || line.starts_with("Contact: ");
        // What a phone answers to has the server's Via.
        let request = !text.starts_with("SIP/2.0 ");
        for line in text.lines().filter(own).filter(|line| request || line.starts_with("Contact: ")) {
            assert!(line.contains("ws.invalid") && !line.contains("invalid:"), "{line}\nof\n{text}");
        }
    }
    net.end();
}

#[test]
fn a_websocket_is_kept_alive_and_one_that_does_not_answer_is_opened_anew() {
    let mut net = pair([";transport=ws", ""]);
    net.wire.clear();
    net.run_for(1_000);
    let pings = net.count("PING 1 ");
    assert!((8..=11).contains(&pings), "{pings}");
    assert_eq!(net.count("REGISTER"), 0);
    assert!(net.view(ALICE).is_registered());
    // Both ends are there, and nothing comes through.
    net.dark = true;
    net.run_for(140);
    assert!(!net.view(ALICE).is_registered());
    net.dark = false;
    net.run_for(400);
    assert!(net.view(ALICE).is_registered());
    // The phone is the same: it has one binding.
    assert_eq!(net.phones(ALICE), 1);
    net.end();
}

/// RFC 3261 s26.2.2, RFC 7118 s5.2: a `sips:` server is asked over TLS, whatever its URI says of the transport.
#[test]
fn sips_is_never_spoken_in_the_clear() {
    for (transport, spoken) in
        [("", "TLS"), (";transport=tcp", "TLS"), (";transport=ws", "WSS"), (";transport=udp", "nothing")]
    {
        let mut net = Net::new(1, 0);
        let mut account = account(ALICE, "");
        account.servers = vec![format!("sips:192.0.2.1:5060{transport}").into()];
        net.does(ALICE, UaRequest::Open(Box::new(account)));
        net.does(ALICE, UaRequest::Register);
        net.run_for(100);
        // The network here knows no TLS but that below WebSocket: what is to be said waits for a connection.
        assert_eq!(net.view(ALICE).is_registered(), spoken == "WSS");
        let said: Vec<&String> = net.wire.iter().map(|(_, text)| text).collect();
        assert_eq!(said.is_empty(), spoken == "nothing", "{transport}");
        let via = format!("\r\nVia: SIP/2.0/{spoken} ");
        let sent = net.wire.iter().filter(|(at, text)| *at == ALICE && text.starts_with("REGISTER"));
        assert!(sent.clone().all(|(_, text)| text.contains(&via)), "{transport}: {said:?}");
        net.end();
    }
}
