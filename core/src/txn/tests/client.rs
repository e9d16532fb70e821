//! Client transactions beyond their tables: the ACK, matching, failures of the network.

use super::*;

const BRANCH: &str = "z9hG4bKours";

#[test]
fn the_ack_to_a_refusal_is_made_of_invite_and_response() {
    let mut world = World::new(Over::Udp);
    world.send(Method::Invite, BRANCH);
    world.fx.sent();
    world.answer(Method::Invite, BRANCH, 486);
    let sent = world.fx.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].remote.to_string(), "192.0.2.9:5060");
    insta::assert_snapshot!(String::from_utf8_lossy(&sent[0].payload).replace("\r\n", "\n"));
}

#[test]
fn a_repeated_refusal_gets_the_same_ack_again() {
    let mut world = World::new(Over::Udp);
    world.send(Method::Invite, BRANCH);
    world.fx.sent();
    world.answer(Method::Invite, BRANCH, 486);
    assert_eq!(world.answer(Method::Invite, BRANCH, 486), ResponseMatch::Absorbed);
    let sent = world.fx.sent();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].payload, sent[1].payload);
    world.run_out();
    world.assert_nothing_left();
}

#[test]
fn a_2xx_to_invite_is_never_acknowledged_here() {
    let mut world = World::new(Over::Udp);
    let key = world.send(Method::Invite, BRANCH);
    world.sent();
    let deliver = |first| ResponseMatch::Deliver { key, usage: Usage::Nothing, first };
    assert_eq!(world.answer(Method::Invite, BRANCH, 200), deliver(true));
    assert_eq!(world.answer(Method::Invite, BRANCH, 200), deliver(false));
    assert_eq!(world.answer(Method::Invite, BRANCH, 486), ResponseMatch::Absorbed);
    assert!(world.sent().is_empty());
    world.pass(Duration::from_secs(32));
    assert_eq!(world.answer(Method::Invite, BRANCH, 200), ResponseMatch::Stray);
    world.assert_nothing_left();
}

#[test]
fn responses_are_matched_by_branch_and_cseq_method() {
    let mut world = World::new(Over::Udp);
    let invite = world.send(Method::Invite, BRANCH);
    let cancel = world.send(Method::Cancel, BRANCH);
    assert_eq!(world.answer(Method::Invite, "z9hG4bKother", 200), ResponseMatch::Stray);
    assert_eq!(world.answer(Method::Options, BRANCH, 200), ResponseMatch::Stray);
    let of = |found| match found {
        ResponseMatch::Deliver { key, .. } => Some(key),
        _ => None,
    };
    assert_eq!(of(world.answer(Method::Cancel, BRANCH, 200)), Some(cancel));
    assert_eq!(of(world.answer(Method::Invite, BRANCH, 487)), Some(invite));
}

#[test]
fn a_response_that_went_astray_is_stray() {
    let whole = "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKours\nFrom: <sip:us@example.com>;tag=us\n\
                 To: <sip:bob@example.com>;tag=them\nCall-ID: ours\nCSeq: 7 OPTIONS\nContent-Length: 0\n\n";
    let mut world = World::new(Over::Udp);
    world.send(Method::Options, BRANCH);
    for (part, other) in [
        ("192.0.2.1:5060", "192.0.2.2:5060"),
        ("192.0.2.1:5060", "192.0.2.1:5062"),
        (";branch=z9hG4bKours", ""),
        ("ours\nFrom", "ours\nVia: SIP/2.0/UDP 192.0.2.5\nFrom"),
        ("SIP/2.0/UDP", "SIP"),
        ("7 OPTIONS", "OPTIONS"),
    ] {
        assert!(whole.contains(part));
        assert_eq!(world.answer_text(&whole.replacen(part, other, 1)), ResponseMatch::Stray, "{other}");
    }
    assert!(matches!(world.answer_text(whole), ResponseMatch::Deliver { .. }));
}

#[test]
fn a_cancelled_invite_ends_without_an_answer() {
    let mut world = World::new(Over::Udp);
    let key = world.send(Method::Invite, BRANCH);
    world.answer(Method::Invite, BRANCH, 180);
    world.sent();
    world.txn.clients.cancelled(&mut world.fx.ctx(), key);
    world.pass(Duration::from_secs(20));
    world.answer(Method::Invite, BRANCH, 180);
    assert_eq!(world.run_out(), "   32.0s C: tell TimedOut\n", "a late 180 gives no more time");
    world.assert_nothing_left();
}

#[test]
fn what_cannot_be_sent_ends_only_what_waits_for_that_peer() {
    let mut world = World::new(Over::Udp);
    let waits = world.send(Method::Options, "z9hG4bK1");
    world.send(Method::Options, "z9hG4bK2");
    world.answer(Method::Options, "z9hG4bK2", 200);
    let far = world.fx.udp("192.0.2.66:5060");
    let payload = Bytes::from(ours(Method::Options, "z9hG4bK3").replace('\n', "\r\n"));
    let elsewhere = world
        .txn
        .send(&mut world.fx.ctx(), &far, Method::Options, Usage::Nothing, b"z9hG4bK3", payload)
        .expect("there is room");
    let near = world.origin();
    let events = world.txn.on_send_failed(&mut world.fx.ctx(), near.flow, near.remote);
    assert_eq!(events, [ClientEvent { key: waits, usage: Usage::Nothing, what: ClientFailure::Unreachable }]);
    assert_eq!(world.txn.len(), 2);
    let events = world.txn.on_flow_down(&mut world.fx.ctx(), near.flow, false);
    assert_eq!(events.iter().map(|e| e.key).collect::<Vec<_>>(), [elsewhere]);
    assert_eq!(world.answer(Method::Options, "z9hG4bK1", 200), ResponseMatch::Stray);
    world.run_out();
    world.assert_nothing_left();
}

#[test]
fn a_method_of_no_name_is_matched_by_its_name() {
    let mut world = World::new(Over::Udp);
    let to = world.origin();
    let payload = Bytes::from(ours(Method::Other, BRANCH).replacen(' ', "FROB ", 1).replace('\n', "\r\n"));
    let key = world
        .txn
        .send(&mut world.fx.ctx(), &to, Method::Other, Usage::Nothing, BRANCH.as_bytes(), payload)
        .expect("there is room");
    let answer = |method: &str| {
        format!(
            "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch={BRANCH}\nCSeq: 7 {method}\nContent-Length: 0\n\n"
        )
    };
    assert_eq!(world.answer_text(&answer("BROF")), ResponseMatch::Stray);
    let deliver = ResponseMatch::Deliver { key, usage: Usage::Nothing, first: true };
    assert_eq!(world.answer_text(&answer("FROB")), deliver);
}
