//! Requests of calls that are too large for a datagram: RFC 3261 s18.1.1, DECISIONS 14.

use super::calls::*;
use super::*;
use crate::config::ListenerConfig;
use crate::door::Transmit;

/// What was opened, and the last thing sent over that socket or any other.
fn opened(commands: &[Command]) -> (FlowId, Transmit) {
    let flow = commands.iter().find_map(|command| match command {
        Command::Open { flow, transport: Transport::Tcp, remote, .. } if *remote == addr(BOB) => Some(*flow),
        _ => None,
    });
    (flow.unwrap_or_else(|| panic!("nothing opened: {}", shown(commands))), last(commands))
}

fn last(commands: &[Command]) -> Transmit {
    let sent = commands.iter().rev().find_map(|command| match command {
        Command::Transmit(sent) => Some(sent.clone()),
        _ => None,
    });
    sent.unwrap_or_else(|| panic!("nothing sent: {}", shown(commands)))
}

fn text(sent: &Transmit) -> String {
    String::from_utf8_lossy(&sent.payload).into_owned()
}

fn input(calls: &mut Calls, at: &str, text: &str) -> Vec<Command> {
    let (remote, local) = (addr(at), addr("192.0.2.1:5060"));
    calls.host.input(Input::Message { flow: UDP, remote, local, data: text.as_bytes() })
}

fn listening_by_tcp() -> Calls {
    let mut config = calls_config();
    for transport in [Transport::Udp, Transport::Tcp] {
        config.listeners.push(ListenerConfig {
            transport,
            addr: addr("192.0.2.1:5060"),
            advertised: None,
            algorithms: None,
        });
    }
    Calls::new(config)
}

fn large_invite(calls: &mut Calls) -> Vec<Command> {
    let subject = format!("Subject: {}\r\n", "x".repeat(1200));
    input(calls, ALICE, &invite(&subject))
}

#[test]
fn a_large_invite_goes_over_a_connection_that_the_phone_takes() {
    let mut calls = listening_by_tcp();
    let (flow, sent) = opened(&large_invite(&mut calls));
    assert_eq!(sent.flow, flow);
    let invite = text(&sent);
    assert!(invite.contains("Via: SIP/2.0/TCP 192.0.2.1:5060;branch="), "{invite}");
    // What the phone sends goes where it registered.
    assert!(invite.contains("Contact: <sip:192.0.2.1:5060>\r\n"), "{invite}");
    let (remote, local) = (Some(addr(BOB)), addr("192.0.2.1:40001"));
    let up = Input::FlowUp { flow, listener: 1, transport: Transport::Tcp, local, remote, peer: None };
    calls.host.input(up);
    assert_eq!(calls.host.wait(Duration::from_secs(5)).len(), 0, "a connection needs no repetition");
    let to_bob = Sent { to: BOB.into(), text: invite };
    let answer = response(&to_bob, "200 OK", "b1", BOB, ANSWER);
    let (remote, local) = (addr(BOB), addr("192.0.2.1:40001"));
    let ok = last(&calls.host.input(Input::Message { flow, remote, local, data: answer.as_bytes() }));
    assert!(text(&ok).starts_with("SIP/2.0 200 OK\r\n"));
    assert_eq!(calls.host.engine.stats().counter(Counter::LargeDatagrams), 0);
}

#[test]
fn where_a_connection_is_refused_a_large_invite_goes_by_datagram() {
    let mut calls = listening_by_tcp();
    let (flow, first) = opened(&large_invite(&mut calls));
    let commands = calls.host.input(Input::FlowDown { flow, reason: FlowDownReason::Unreachable });
    let second = last(&commands);
    assert_eq!((second.flow, second.remote), (UDP, addr(BOB)), "{}", shown(&commands));
    let (first, second) = (text(&first), text(&second));
    let same = first.replace("SIP/2.0/TCP 192.0.2.1:5060", "SIP/2.0/UDP 192.0.2.1:5060");
    assert_eq!(same.replacen("\r\nMax-", ";rport\r\nMax-", 1), second);
    assert_eq!(calls.host.engine.stats().counter(Counter::LargeDatagrams), 1);
    let again = last(&calls.host.wait(Duration::from_millis(500)));
    assert_eq!(text(&again), second, "it is repeated like any other");
    let to_bob = Sent { to: BOB.into(), text: second };
    let sent = calls.from(BOB, &response(&to_bob, "486 Busy Here", "b1", "", ""));
    assert_eq!(
        sent.iter().map(Sent::first).collect::<Vec<_>>(),
        ["ACK sip:bob@192.0.2.9:5060 SIP/2.0", "SIP/2.0 486 Busy Here"]
    );
    let ack = by_caller("ACK", 1, &sent[1], "inv;rport", "");
    calls.from(ALICE, &ack);
    calls.finish();
}

#[test]
fn where_a_connection_is_refused_before_anything_is_sent_over_it_a_large_invite_goes_by_datagram() {
    let mut calls = listening_by_tcp();
    let (flow, _) = opened(&large_invite(&mut calls));
    let (remote, reason) = (addr(BOB), crate::door::SendError::NoFlow);
    let commands = calls.host.input(Input::SendFailed { flow, remote, reason });
    let sent = last(&commands);
    assert_eq!((sent.flow, sent.remote), (UDP, addr(BOB)), "{}", shown(&commands));
    let commands = calls.host.input(Input::FlowDown { flow, reason: FlowDownReason::Unreachable });
    assert!(commands.is_empty(), "{}", shown(&commands));
    let to_bob = Sent { to: BOB.into(), text: text(&sent) };
    let sent = calls.from(BOB, &response(&to_bob, "486 Busy Here", "b1", "", ""));
    assert_eq!(sent[1].first(), "SIP/2.0 486 Busy Here");
    calls.from(ALICE, &by_caller("ACK", 1, &sent[1], "inv;rport", ""));
    calls.finish();
}

#[test]
fn where_nobody_says_anything_to_a_connection_a_large_invite_goes_by_datagram_after_a_second() {
    let mut calls = listening_by_tcp();
    let (flow, _) = opened(&large_invite(&mut calls));
    assert_eq!(calls.host.wait(Duration::from_millis(990)).len(), 0);
    let commands = calls.host.wait(Duration::from_millis(20));
    assert_eq!(last(&commands).flow, UDP, "{}", shown(&commands));
    // That it never came up, in the end, changes nothing.
    let commands = calls.host.input(Input::FlowDown { flow, reason: FlowDownReason::Unreachable });
    assert!(commands.is_empty(), "{}", shown(&commands));
    let sent = calls.wait(Duration::from_secs(40));
    let answer = sent.iter().rev().find(|sent| sent.to == ALICE).expect("an answer");
    assert_eq!(answer.first(), "SIP/2.0 480 Temporarily Unavailable");
    calls.from(ALICE, &by_caller("ACK", 1, answer, "inv;rport", ""));
    calls.finish();
}

#[test]
fn a_large_request_within_a_call_that_no_connection_takes_leaves_the_call_alone() {
    let mut calls = listening_by_tcp();
    let (to_bob, ok) = established(&mut calls);
    let info = by_caller("INFO", 2, &ok, "info", &"v".repeat(1300));
    let (flow, _) = opened(&input(&mut calls, ALICE, &info));
    let commands = calls.host.input(Input::FlowDown { flow, reason: FlowDownReason::Unreachable });
    let sent = last(&commands);
    assert_eq!(sent.flow, UDP, "{}", shown(&commands));
    let request = Sent { to: BOB.into(), text: text(&sent) };
    let answered = calls.from(BOB, &response(&request, "200 OK", "", "", ""));
    assert_eq!(answered[0].first(), "SIP/2.0 200 OK");
    let bye = calls.from(BOB, &by_callee("BYE", 7, &to_bob, "b1", "bye", ""));
    calls.from(ALICE, &response(&bye[1], "200 OK", "", "", ""));
    calls.finish();
}
