//! Calls between user agents, across the bridge: RFC 3261 s13 to s15, RFC 3264, RFC 3515, RFC 6086.

use super::net::*;
use strowger_core::door::{
    Changes, ReplyBody, UaCallRequest as Do, UaCallState, UaCallStep as Step, UaRefusal, UaRequest, UaState,
    UaStep,
};

/// Two user agents that are registered, over these transports.
fn pair(seed: u64, loss: u64, transports: [&str; 2]) -> Net {
    let mut net = Net::new(seed, 0);
    net.registers(ALICE, transports[0]);
    net.registers(BOB, transports[1]);
    net.news(ALICE);
    net.news(BOB);
    net.wire.clear();
    net.loss = loss;
    net
}

pub(super) fn sdp(at: usize, version: u32, direction: &str) -> Box<[u8]> {
    format!(
        "v=0\r\no=- {at} {version} IN IP4 192.0.2.{at}\r\ns=-\r\nc=IN IP4 192.0.2.{at}\r\nt=0 0\r\n\
         m=audio 400{at} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na={direction}\r\n"
    )
    .into_bytes()
    .into()
}

fn does(net: &mut Net, at: usize, request: Do) {
    net.does(at, UaRequest::Call(request));
}

fn call(net: &mut Net, at: usize, to: usize) -> u64 {
    let to = format!("sip:{}@example.com", USERS[to]).into();
    net.begins(at, UaRequest::Call(Do::Begin { to, sdp: sdp(at, 1, "sendrecv") }))
}

/// What was told of calls since the last time: the number, and what.
fn steps(net: &mut Net, at: usize) -> Vec<(u64, Step)> {
    let of_calls = |step| match step {
        UaStep::Call { call, step } => Some((call, step)),
        _ => None,
    };
    net.news(at).into_iter().filter_map(of_calls).collect()
}

/// The same in one word each, without session descriptions.
fn words(steps: &[(u64, Step)]) -> Vec<String> {
    let word = |(_, step): &(u64, Step)| match step {
        Step::Progress { status, .. } => format!("Progress {status}"),
        Step::Ended { status, remote } => {
            format!("Ended {status} {}", if *remote { "by them" } else { "by us" })
        }
        Step::Digit { digit, millis } => format!("Digit {digit} {millis}"),
        Step::Transfer { status } => format!("Transfer {status}"),
        Step::NotChanged { status } => format!("NotChanged {status}"),
        other => format!("{other:?}").split([' ', '{']).next().unwrap_or_default().to_owned(),
    };
    steps.iter().map(word).collect()
}

/// The number of the call that comes in, and the offer.
fn incoming(net: &mut Net, at: usize) -> (u64, String) {
    let steps = steps(net, at);
    let [(call, Step::Incoming { sdp, .. })] = &steps[..] else { panic!("{steps:?}") };
    (*call, String::from_utf8_lossy(sdp).into_owned())
}

/// A call that stands: its numbers at both ends.
fn talk(net: &mut Net, from: usize, to: usize) -> (u64, u64) {
    let out = call(net, from, to);
    net.run_for(1);
    let (in_, _) = incoming(net, to);
    does(net, to, Do::Answer { call: in_, sdp: sdp(to, 1, "sendrecv") });
    net.run_for(1);
    let told = steps(net, from);
    assert!(matches!(told.last(), Some((_, Step::Established { .. }))), "{told:?}");
    assert_eq!(words(&steps(net, to)), ["Established"]);
    (out, in_)
}

#[test]
fn one_calls_the_other_takes_it_and_both_talk() {
    let mut net = pair(1, 0, ["", ";transport=tcp"]);
    let out = call(&mut net, ALICE, BOB);
    net.run_for(1);
    insta::assert_snapshot!("invite", net.last("INVITE sip:bob@"));
    let (in_, offer) = incoming(&mut net, BOB);
    assert!(offer.contains("m=audio 4001"), "{offer}");
    does(&mut net, BOB, Do::Ring { call: in_, sdp: Box::default() });
    net.run_for(1);
    insta::assert_snapshot!("ringing", net.sent(BOB, "SIP/2.0 180"));
    assert_eq!(words(&steps(&mut net, ALICE)), ["Progress 180"]);
    assert_eq!(net.view(ALICE).calls[0].state, UaCallState::Proceeding);
    does(&mut net, BOB, Do::Answer { call: in_, sdp: sdp(BOB, 1, "sendrecv") });
    net.run_for(1);
    insta::assert_snapshot!("answered", net.sent(BOB, "SIP/2.0 200"));
    insta::assert_snapshot!("ack", net.sent(ALICE, "ACK"));
    let told = steps(&mut net, ALICE);
    let [(_, Step::Established { sdp: answer })] = &told[..] else { panic!("{told:?}") };
    assert!(String::from_utf8_lossy(answer).contains("m=audio 4002"));
    assert_eq!(words(&steps(&mut net, BOB)), ["Established"]);
    assert_eq!(net.view(BOB).calls[0].state, UaCallState::Established);
    for digit in ['5', '#'] {
        does(&mut net, ALICE, Do::Digit { call: out, digit, millis: 160 });
    }
    net.run_for(1);
    assert_eq!(words(&steps(&mut net, BOB)), ["Digit 5 160", "Digit # 160"]);
    insta::assert_snapshot!("info", net.sent(ALICE, "INFO"));
    // For hours, with whatever the bridge asks meanwhile (RFC 4028).
    net.run_for(3 * 3600);
    assert_eq!((words(&steps(&mut net, ALICE)).len(), net.view(BOB).calls.len()), (0, 1));
    does(&mut net, ALICE, Do::HangUp { call: out });
    assert_eq!(words(&steps(&mut net, ALICE)), ["Ended 200 by us"]);
    net.run_for(1);
    insta::assert_snapshot!("bye", net.sent(ALICE, "BYE"));
    assert_eq!(words(&steps(&mut net, BOB)), ["Ended 200 by them"]);
    assert!(net.view(ALICE).calls.is_empty() && net.view(BOB).calls.is_empty());
    for request in [Do::HangUp { call: out }, Do::Answer { call: out, sdp: sdp(1, 1, "sendrecv") }] {
        assert_eq!(net.ua(ALICE, UaRequest::Call(request)), ReplyBody::NoUa(UaRefusal::NoSuch));
    }
    net.end();
}

#[test]
fn media_before_the_answer_are_described_once_and_reliably() {
    for loss in [0, 15] {
        let mut net = pair(9, loss, ["", ""]);
        call(&mut net, ALICE, BOB);
        net.run_for(8);
        let (in_, _) = incoming(&mut net, BOB);
        does(&mut net, BOB, Do::Ring { call: in_, sdp: sdp(BOB, 1, "sendrecv") });
        net.run_for(8);
        // RFC 3262: on each leg for itself, and nobody has to ask again.
        assert!(net.sent(BOB, "SIP/2.0 183").contains("Require: 100rel\n"));
        assert!(net.sent(ALICE, "PRACK").contains("\nRAck: "));
        assert_eq!(words(&steps(&mut net, ALICE)), ["Progress 183"]);
        does(&mut net, BOB, Do::Answer { call: in_, sdp: sdp(BOB, 1, "sendrecv") });
        net.run_for(8);
        assert!(net.sent(BOB, "SIP/2.0 200").contains("\nContent-Length: 0\n"));
        assert_eq!(words(&steps(&mut net, ALICE)), ["Established"]);
        assert_eq!(words(&steps(&mut net, BOB)), ["Established"]);
        net.end();
    }
}

#[test]
fn a_call_on_hold_is_answered_by_itself_and_comes_back() {
    let mut net = pair(2, 0, ["", ""]);
    let (out, _) = talk(&mut net, ALICE, BOB);
    does(&mut net, ALICE, Do::Change { call: out, sdp: sdp(ALICE, 2, "sendonly") });
    net.run_for(2);
    let told = steps(&mut net, ALICE);
    let [(_, Step::Changed { sdp: answer })] = &told[..] else { panic!("{told:?}") };
    assert!(String::from_utf8_lossy(answer).contains("a=recvonly"));
    let told = steps(&mut net, BOB);
    let [(_, Step::Changed { sdp: offer })] = &told[..] else { panic!("{told:?}") };
    assert!(String::from_utf8_lossy(offer).contains("a=sendonly"));
    does(&mut net, ALICE, Do::Change { call: out, sdp: sdp(ALICE, 3, "sendrecv") });
    net.run_for(2);
    let told = steps(&mut net, ALICE);
    let [(_, Step::Changed { sdp: answer })] = &told[..] else { panic!("{told:?}") };
    assert!(String::from_utf8_lossy(answer).contains("a=sendrecv"));
    // Both at once: one waits and tries again (RFC 3261 s14.1).
    let in_ = net.view(BOB).calls[0].call;
    steps(&mut net, BOB);
    does(&mut net, ALICE, Do::Change { call: out, sdp: sdp(ALICE, 4, "sendonly") });
    does(&mut net, BOB, Do::Change { call: in_, sdp: sdp(BOB, 5, "sendonly") });
    net.run_for(20);
    for at in [ALICE, BOB] {
        let told = words(&steps(&mut net, at));
        assert!(told.iter().filter(|word| *word == "Changed").count() >= 1, "{told:?}");
        assert!(!told.iter().any(|word| word.starts_with("Ended")), "{told:?}");
    }
    assert!(net.count("SIP/2.0 491") > 0);
    net.end();
}

#[test]
fn who_wants_to_be_asked_is_and_may_refuse() {
    let mut net = Net::new(3, 0);
    let mut bob = account(BOB, "");
    bob.changes = Changes::Ask;
    net.does(BOB, UaRequest::Open(Box::new(bob)));
    net.does(BOB, UaRequest::Register);
    net.registers(ALICE, "");
    net.news(ALICE);
    net.news(BOB);
    let (out, in_) = talk(&mut net, ALICE, BOB);
    does(&mut net, ALICE, Do::Change { call: out, sdp: sdp(ALICE, 2, "sendonly") });
    net.run_for(1);
    assert_eq!(words(&steps(&mut net, BOB)), ["Offered"]);
    does(&mut net, BOB, Do::Reject { call: in_, status: 488 });
    net.run_for(1);
    assert_eq!(words(&steps(&mut net, ALICE)), ["NotChanged 488"]);
    does(&mut net, ALICE, Do::Change { call: out, sdp: sdp(ALICE, 3, "inactive") });
    net.run_for(1);
    assert_eq!(words(&steps(&mut net, BOB)), ["Offered"]);
    does(&mut net, BOB, Do::Answer { call: in_, sdp: sdp(BOB, 2, "inactive") });
    net.run_for(1);
    assert_eq!(words(&steps(&mut net, ALICE)), ["Changed"]);
    does(&mut net, BOB, Do::HangUp { call: in_ });
    net.run_for(1);
    assert_eq!(words(&steps(&mut net, ALICE)), ["Ended 200 by them"]);
    net.end();
}

#[test]
fn calls_that_come_to_nothing_say_why() {
    let mut net = pair(4, 0, ["", ";transport=tcp"]);
    // Refused.
    call(&mut net, ALICE, BOB);
    net.run_for(1);
    let (in_, _) = incoming(&mut net, BOB);
    does(&mut net, BOB, Do::Reject { call: in_, status: 486 });
    net.run_for(1);
    assert_eq!(words(&steps(&mut net, ALICE)), ["Ended 486 by them"]);
    assert_eq!(words(&steps(&mut net, BOB)), ["Ended 486 by us"]);
    // Given up while it rings.
    let out = call(&mut net, ALICE, BOB);
    net.run_for(1);
    incoming(&mut net, BOB);
    does(&mut net, ALICE, Do::HangUp { call: out });
    net.run_for(1);
    assert_eq!(words(&steps(&mut net, ALICE)), ["Ended 487 by us"]);
    assert_eq!(words(&steps(&mut net, BOB)), ["Ended 487 by them"]);
    insta::assert_snapshot!("cancel", net.sent(ALICE, "CANCEL"));
    // Given up before anything came back.
    let out = call(&mut net, ALICE, BOB);
    does(&mut net, ALICE, Do::HangUp { call: out });
    net.run_for(5);
    assert_eq!(words(&steps(&mut net, ALICE)), ["Ended 487 by us"]);
    steps(&mut net, BOB);
    // To nobody.
    net.begins(
        ALICE,
        UaRequest::Call(Do::Begin { to: "sip:zed@example.com".into(), sdp: sdp(1, 1, "sendrecv") }),
    );
    net.run_for(1);
    assert_eq!(words(&steps(&mut net, ALICE)), ["Ended 404 by them"]);
    // Nobody takes it: the bridge, or the callee himself, gives up after three minutes.
    call(&mut net, ALICE, BOB);
    net.run_for(200);
    assert!(words(&steps(&mut net, ALICE)).last().is_some_and(|word| word.starts_with("Ended 4")));
    assert!(words(&steps(&mut net, BOB)).last().is_some_and(|word| word.starts_with("Ended 4")));
    // Taken and ended at once: BYE waits for the ACK (RFC 3261 s15).
    call(&mut net, ALICE, BOB);
    net.run_for(1);
    let (in_, _) = incoming(&mut net, BOB);
    does(&mut net, BOB, Do::Answer { call: in_, sdp: sdp(BOB, 1, "sendrecv") });
    does(&mut net, BOB, Do::HangUp { call: in_ });
    net.run_for(2);
    assert_eq!(words(&steps(&mut net, BOB)), ["Ended 200 by us"]);
    assert_eq!(words(&steps(&mut net, ALICE)).last().map(String::as_str), Some("Ended 200 by them"));
    // No answer at all.
    net.dark = true;
    call(&mut net, ALICE, BOB);
    net.run_for(40);
    assert_eq!(words(&steps(&mut net, ALICE)), ["Ended 408 by them"]);
    net.end();
}

#[test]
fn over_a_bad_network_every_call_ends_at_both_ends() {
    for seed in 0..40 {
        let mut net = pair(seed, 15, ["", if seed % 2 == 0 { "" } else { ";transport=tcp" }]);
        let mut told: [Vec<String>; 2] = Default::default();
        for n in 0..6 {
            let out = call(&mut net, ALICE, BOB);
            let pause = net.rng.below(6);
            net.run_for(pause);
            let calls = net.view(BOB).calls;
            if let Some(in_) = calls.iter().find(|call| call.state == UaCallState::Incoming) {
                let call = in_.call;
                match n % 3 {
                    0 => does(&mut net, BOB, Do::Reject { call, status: 480 }),
                    _ => does(&mut net, BOB, Do::Answer { call, sdp: sdp(BOB, 1, "sendrecv") }),
                }
            }
            let pause = net.rng.below(6);
            net.run_for(pause);
            net.ua(ALICE, UaRequest::Call(Do::Change { call: out, sdp: sdp(ALICE, 2, "sendonly") }));
            net.ua(ALICE, UaRequest::Call(Do::Digit { call: out, digit: '1', millis: 100 }));
            let pause = net.rng.below(4);
            net.run_for(pause);
            match n % 2 {
                0 => _ = net.ua(ALICE, UaRequest::Call(Do::HangUp { call: out })),
                _ => {
                    for call in net.view(BOB).calls {
                        net.ua(BOB, UaRequest::Call(Do::HangUp { call: call.call }));
                    }
                }
            }
        }
        net.run_for(300);
        for (told, at) in told.iter_mut().zip([ALICE, BOB]) {
            *told = words(&steps(&mut net, at));
            assert!(net.view(at).calls.is_empty(), "seed {seed}: {told:?}");
        }
        assert_eq!(told[0].iter().filter(|word| word.starts_with("Ended")).count(), 6, "seed {seed}");
        let [begun, ended] =
            ["Incoming", "Ended"].map(|w| told[1].iter().filter(|word| word.starts_with(w)).count());
        assert_eq!(begun, ended, "seed {seed}: {:?}", told[1]);
        net.end();
    }
}

#[test]
fn a_call_is_passed_on_to_somebody_or_to_another_call() {
    let mut net = pair(5, 0, ["", ""]);
    net.registers(CAROL, "");
    net.news(CAROL);
    let (out, _) = talk(&mut net, ALICE, BOB);
    let to = "sip:carol@example.com".into();
    does(&mut net, ALICE, Do::Transfer { call: out, to, replaces: None });
    net.run_for(2);
    insta::assert_snapshot!("refer", net.last("REFER"));
    let (third, _) = incoming(&mut net, CAROL);
    does(&mut net, CAROL, Do::Answer { call: third, sdp: sdp(CAROL, 1, "sendrecv") });
    net.run_for(3);
    let told = words(&steps(&mut net, ALICE));
    assert!(
        told.contains(&"Transfer 100".to_owned()) && told.contains(&"Transfer 200".to_owned()),
        "{told:?}"
    );
    net.ua(ALICE, UaRequest::Call(Do::HangUp { call: out }));
    net.run_for(2);
    assert_eq!(
        (net.view(BOB).calls.len(), net.view(CAROL).calls.len(), net.view(ALICE).calls.len()),
        (1, 1, 0)
    );
    does(&mut net, CAROL, Do::HangUp { call: third });
    net.run_for(2);
    assert!(net.view(BOB).calls.is_empty());
    for at in [ALICE, BOB, CAROL] {
        net.news(at);
    }
    // Attended: both are called, and then put through.
    let (one, _) = talk(&mut net, ALICE, BOB);
    let (two, _) = talk(&mut net, ALICE, CAROL);
    does(&mut net, ALICE, Do::Transfer { call: one, to: Box::default(), replaces: Some(two) });
    net.run_for(5);
    insta::assert_snapshot!("refer_in_place_of", net.last("REFER"));
    let told = words(&steps(&mut net, ALICE));
    assert!(told.contains(&"Transfer 200".to_owned()), "{told:?}");
    for call in net.view(ALICE).calls {
        does(&mut net, ALICE, Do::HangUp { call: call.call });
    }
    net.run_for(2);
    assert_eq!((net.view(BOB).calls.len(), net.view(CAROL).calls.len()), (1, 1));
    net.end();
}

#[test]
fn what_is_large_goes_by_a_connection_or_in_pieces_where_there_is_none() {
    for refuse in [false, true] {
        let mut net = pair(7, 0, ["", ""]);
        net.refuse = refuse;
        let way = if refuse { "Via: SIP/2.0/UDP" } else { "Via: SIP/2.0/TCP" };
        let large =
            |text: &str| -> Box<[u8]> { [text.as_bytes(), "x".repeat(1500).as_bytes()].concat().into() };
        let to = || -> Box<str> { "sip:bob@example.com".into() };
        let id =
            net.begins(ALICE, UaRequest::Message { to: to(), kind: "text/plain".into(), body: large("") });
        net.run_for(3);
        assert!(net.news(ALICE).contains(&UaStep::Sent { id, status: 200 }));
        assert!(net.sent(ALICE, "MESSAGE").contains(way), "{}", net.sent(ALICE, "MESSAGE"));
        let document = "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@example.com\"><tuple id=\"t\">\
             <status><basic>open</basic></status><note>NOTE</note></tuple></presence>";
        let document = document.replace("NOTE", &"x".repeat(1500)).into_bytes().into();
        let (event, kind) = ("presence".into(), "application/pidf+xml".into());
        net.does(ALICE, UaRequest::Publish { event, kind, document, expires: 600 });
        net.run_for(3);
        assert!(net.sent(ALICE, "PUBLISH").contains(way));
        assert!(matches!(net.view(ALICE).publications[0].1, UaState::Active { .. }));
        let many =
            |version| [&*sdp(ALICE, version, "sendrecv"), b"a=x:", &large(""), b"\r\n"].concat().into();
        let out = net.begins(ALICE, UaRequest::Call(Do::Begin { to: to(), sdp: many(1) }));
        net.run_for(3);
        assert!(net.sent(ALICE, "INVITE").contains(way));
        net.news(ALICE);
        let in_ = net.view(BOB).calls[0].call;
        does(&mut net, BOB, Do::Answer { call: in_, sdp: sdp(BOB, 1, "sendrecv") });
        net.run_for(1);
        assert_eq!(words(&steps(&mut net, ALICE)), ["Established"]);
        does(&mut net, ALICE, Do::Change { call: out, sdp: many(2) });
        net.run_for(3);
        assert_eq!(words(&steps(&mut net, ALICE)), ["Changed"]);
        does(&mut net, ALICE, Do::HangUp { call: out });
        net.run_for(3);
        assert!(net.view(BOB).calls.is_empty());
        net.end();
    }
}
