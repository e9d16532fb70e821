//! The host and calls: what it is shown of them, and those it ends and begins.

use super::calls::*;
use super::transfers::{CAROL, CAROL_OFFER, find, three};
use super::*;
use crate::door::{Answer, CallEvent, CallRefusal, CallStage, CallView, RouteAnswer};

impl Calls {
    /// Asks the engine; what it sends, and the reply.
    fn ask(&mut self, request: Request) -> (Vec<Sent>, ReplyBody) {
        let commands = self.host.input(Input::Host { reply: Some(7), request });
        let reply = commands.iter().find_map(|command| match command {
            Command::Reply(reply) => Some(reply.body.clone()),
            _ => None,
        });
        (self.sent(commands), reply.expect("a reply"))
    }

    fn views(&mut self, after: u64, limit: usize) -> Vec<CallView> {
        match self.ask(Request::Calls { after, limit }).1 {
            ReplyBody::Calls(views) => views,
            other => panic!("{other:?}"),
        }
    }

    fn dial(&mut self, caller: &str, callee: &str) -> (Vec<Sent>, ReplyBody) {
        self.ask(Request::Dial { caller: caller.into(), callee: callee.into() })
    }
}

fn told(config: &mut Config) {
    config.tell.calls = true;
}

/// Carol is dialled for bob, and has answered.
fn half_way(calls: &mut Calls) -> (Sent, Sent) {
    let (sent, reply) = calls.dial("carol", "sip:bob@example.com");
    assert_eq!(reply, ReplyBody::Dialled(1));
    let to_carol = find(&sent, CAROL, "INVITE").clone();
    calls.from(CAROL, &response(&to_carol, "180 Ringing", "c1", CAROL, ""));
    let answered = calls.from(CAROL, &response(&to_carol, "200 OK", "c1", CAROL, CAROL_OFFER));
    (to_carol, find(&answered, BOB, "INVITE").clone())
}

fn of_carol(method: &str, cseq: u32, invite: &Sent) -> String {
    by_callee(method, cseq, invite, "c1", "c", "").replace(BOB, CAROL)
}

#[test]
fn the_host_sees_who_rings_and_who_talks() {
    let mut calls = Calls::new(calls_config());
    assert_eq!(calls.views(0, 10), []);
    let to_bob = calls.from(ALICE, &invite(""))[1].clone();
    let ringing = calls.views(0, 10);
    calls.host.wait(Duration::from_secs(2));
    let ok = calls.from(BOB, &response(&to_bob, "200 OK", "b1", BOB, ANSWER));
    calls.from(ALICE, &by_caller("ACK", 1, &ok[0], "ack", ""));
    let talking = calls.views(0, 10);
    insta::assert_debug_snapshot!("what_the_host_sees_of_a_call", (&ringing, &talking));
    assert_eq!(calls.ask(Request::Call { id: 1 }).1, ReplyBody::Calls(talking));
    assert_eq!(calls.ask(Request::Call { id: 2 }).1, ReplyBody::NoCall(CallRefusal::Unknown));
    let bye = calls.from(ALICE, &by_caller("BYE", 2, &ok[0], "bye", ""));
    assert_eq!(calls.views(0, 10), [], "what ends is over");
    calls.from(BOB, &response(find(&bye, BOB, "BYE"), "200 OK", "", "", ""));
    calls.finish();
}

#[test]
fn calls_are_shown_in_pages_in_the_order_of_their_begin() {
    let mut calls = Calls::new(calls_config());
    for n in 1..=5 {
        let text =
            invite("").replace("call1", &format!("call{n}")).replace("z9hG4bKinv", &format!("z9hG4bKi{n}"));
        calls.from(ALICE, &text.replace(";tag=a1", &format!(";tag=a{n}")));
    }
    let ids = |views: Vec<CallView>| views.into_iter().map(|view| view.id).collect::<Vec<_>>();
    assert_eq!(ids(calls.views(0, 2)), [1, 2]);
    assert_eq!(ids(calls.views(2, 2)), [3, 4]);
    assert_eq!(ids(calls.views(4, 2)), [5]);
    assert!(calls.views(u64::MAX, 2).is_empty());
    assert!(calls.views(0, 0).is_empty());
}

#[test]
fn the_host_ends_a_call_that_is_answered() {
    let mut config = calls_config();
    told(&mut config);
    let mut calls = Calls::new(config);
    established(&mut calls);
    let (sent, reply) = calls.ask(Request::HangUp { id: 1 });
    assert_eq!(reply, ReplyBody::Done);
    for at in [ALICE, BOB] {
        calls.from(at, &response(find(&sent, at, "BYE"), "200 OK", "", "", ""));
    }
    let (_, again) = calls.ask(Request::HangUp { id: 1 });
    assert_eq!(again, ReplyBody::NoCall(CallRefusal::Unknown));
    calls.finish();
}

#[test]
fn the_host_ends_a_call_that_rings() {
    let mut calls = Calls::new(calls_config());
    let to_bob = calls.from(ALICE, &invite(""))[1].clone();
    calls.from(BOB, &response(&to_bob, "180 Ringing", "b1", BOB, ""));
    let (sent, _) = calls.ask(Request::HangUp { id: 1 });
    find(&sent, ALICE, "SIP/2.0 480");
    calls.from(BOB, &response(find(&sent, BOB, "CANCEL"), "200 OK", "", "", ""));
    calls.from(BOB, &response(&to_bob, "487 Request Terminated", "b1", "", ""));
    calls.finish();
}

#[test]
fn without_calls_there_are_none_to_ask_for() {
    let mut host = Host::new(open());
    for request in [Request::Calls { after: 0, limit: 1 }, Request::HangUp { id: 1 }] {
        let commands = host.input(Input::Host { reply: Some(1), request });
        assert!(shown(&commands).contains("NoCall(Off)"), "{commands:?}");
    }
}

#[test]
fn the_host_connects_two() {
    let mut calls = three();
    let (to_carol, to_bob) = half_way(&mut calls);
    let waiting = calls.views(0, 10);
    calls.from(BOB, &response(&to_bob, "180 Ringing", "b1", BOB, ""));
    let answered = calls.from(BOB, &response(&to_bob, "200 OK", "b1", BOB, ANSWER));
    let reinvite = find(&answered, CAROL, "INVITE").clone();
    assert_eq!(reinvite.one("Call-ID"), to_carol.one("Call-ID"));
    let agreed = calls.from(CAROL, &response(&reinvite, "200 OK", "", CAROL, CAROL_OFFER));
    assert_eq!(find(&agreed, BOB, "ACK").body(), CAROL_OFFER);
    let talking = calls.views(0, 10);
    insta::assert_debug_snapshot!("what_the_host_sees_of_its_own_call", (&waiting, &talking));
    let bye = calls.from(CAROL, &of_carol("BYE", 7, &to_carol));
    calls.from(BOB, &response(find(&bye, BOB, "BYE"), "200 OK", "", "", ""));
    insta::assert_snapshot!("the_host_connects_two", {
        let all = [to_carol, to_bob, reinvite].map(|sent| sent.text).join("\n");
        format!("{}\n{}", all.replace("\r\n", "\n"), calls.finish())
    });
}

#[test]
fn one_call_of_the_host_is_one_call_in_what_is_told() {
    let mut config = calls_config();
    told(&mut config);
    let mut host = Calls::new(config);
    let mut events = Vec::new();
    let mut take = |commands: Vec<Command>, calls: &mut Calls| {
        events.extend(commands.iter().filter_map(|command| match command {
            Command::Tell(Event::Call(event)) => Some((**event).clone()),
            _ => None,
        }));
        calls.sent(commands)
    };
    let from = |calls: &mut Calls, at: &str, text: &str| {
        let (remote, local) = (addr(at), addr("192.0.2.1:5060"));
        calls.host.input(Input::Message { flow: UDP, remote, local, data: text.as_bytes() })
    };
    let request = Request::Dial { caller: "alice".into(), callee: "bob".into() };
    let commands = host.host.input(Input::Host { reply: None, request });
    let to_alice = find(&take(commands, &mut host), ALICE, "INVITE").clone();
    let commands = from(&mut host, ALICE, &response(&to_alice, "200 OK", "a9", ALICE, OFFER));
    let to_bob = find(&take(commands, &mut host), BOB, "INVITE").clone();
    let commands = from(&mut host, BOB, &response(&to_bob, "200 OK", "b9", BOB, ANSWER));
    let reinvite = find(&take(commands, &mut host), ALICE, "INVITE").clone();
    let commands = from(&mut host, ALICE, &response(&reinvite, "200 OK", "", ALICE, OFFER));
    take(commands, &mut host);
    let commands = host.host.input(Input::Host { reply: None, request: Request::HangUp { id: 1 } });
    let byes = take(commands, &mut host);
    for at in [ALICE, BOB] {
        let commands = from(&mut host, at, &response(find(&byes, at, "BYE"), "200 OK", "", "", ""));
        take(commands, &mut host);
    }
    assert!(matches!(events.last(), Some(CallEvent::Ended(record)) if record.legs.len() == 2), "{events:?}");
    insta::assert_debug_snapshot!("what_is_told_of_a_call_of_the_host", events);
    host.finish();
}

#[test]
fn when_the_second_one_will_not_the_first_is_told_to_go() {
    let mut calls = three();
    let (_, to_bob) = half_way(&mut calls);
    let busy = calls.from(BOB, &response(&to_bob, "486 Busy Here", "b1", "", ""));
    calls.from(CAROL, &response(find(&busy, CAROL, "BYE"), "200 OK", "", "", ""));
    assert_eq!(calls.views(0, 10), []);
    calls.finish();
}

#[test]
fn when_the_first_one_will_not_the_second_is_not_called() {
    let mut calls = three();
    let (sent, _) = calls.dial("carol@example.com", "bob");
    let busy = calls.from(CAROL, &response(find(&sent, CAROL, "INVITE"), "486 Busy Here", "c1", "", ""));
    assert_eq!(busy.len(), 1, "an ACK: {busy:?}");
    assert_eq!(calls.views(0, 10), []);
    calls.finish();
}

#[test]
fn the_first_one_hangs_up_while_the_second_rings() {
    let mut calls = three();
    let (to_carol, to_bob) = half_way(&mut calls);
    calls.from(BOB, &response(&to_bob, "180 Ringing", "b1", BOB, ""));
    let bye = calls.from(CAROL, &of_carol("BYE", 7, &to_carol));
    find(&bye, CAROL, "SIP/2.0 200");
    calls.from(BOB, &response(find(&bye, BOB, "CANCEL"), "200 OK", "", "", ""));
    calls.from(BOB, &response(&to_bob, "487 Request Terminated", "b1", "", ""));
    assert_eq!(calls.views(0, 10), []);
    calls.finish();
}

#[test]
fn the_host_takes_back_what_it_dialled() {
    let mut calls = three();
    // While the first one rings.
    let (sent, _) = calls.dial("carol", "bob");
    let to_carol = find(&sent, CAROL, "INVITE").clone();
    calls.from(CAROL, &response(&to_carol, "180 Ringing", "c1", CAROL, ""));
    let (sent, reply) = calls.ask(Request::HangUp { id: 1 });
    assert_eq!(reply, ReplyBody::Done);
    calls.from(CAROL, &response(find(&sent, CAROL, "CANCEL"), "200 OK", "", "", ""));
    calls.from(CAROL, &response(&to_carol, "487 Request Terminated", "c1", "", ""));
    calls.finish();
    // While the second one does.
    let mut calls = three();
    let (_, to_bob) = half_way(&mut calls);
    calls.from(BOB, &response(&to_bob, "180 Ringing", "b1", BOB, ""));
    let (sent, reply) = calls.ask(Request::HangUp { id: 1 });
    assert_eq!(reply, ReplyBody::Done);
    calls.from(CAROL, &response(find(&sent, CAROL, "BYE"), "200 OK", "", "", ""));
    calls.from(BOB, &response(find(&sent, BOB, "CANCEL"), "200 OK", "", "", ""));
    calls.from(BOB, &response(&to_bob, "487 Request Terminated", "b1", "", ""));
    calls.finish();
}

#[test]
fn what_cannot_be_called_is_not_dialled() {
    let mut calls = three();
    let no = |calls: &mut Calls, caller: &str, callee: &str| match calls.dial(caller, callee) {
        (sent, ReplyBody::NoCall(refusal)) if sent.is_empty() => refusal,
        other => panic!("{other:?}"),
    };
    for odd in
        ["", "two words", "sip:bob@example.com\r\nX: y", "sip:a<b@example.com", "sip:bob@example.com?X=y"]
    {
        assert_eq!(no(&mut calls, odd, "bob"), CallRefusal::NotAnAddress, "{odd:?}");
        assert_eq!(no(&mut calls, "bob", odd), CallRefusal::NotAnAddress, "{odd:?}");
    }
    // Whoever is nobody's phone rings nowhere; that is found out when he is called.
    assert_eq!(calls.dial("alice", "bob").1, ReplyBody::Dialled(1));
    calls.ask(Request::Drain { timeout: Duration::from_secs(60) });
    assert_eq!(no(&mut calls, "alice", "bob"), CallRefusal::Draining);
}

#[test]
fn a_view_says_since_when() {
    let mut calls = Calls::new(calls_config());
    calls.from(ALICE, &invite(""));
    let view = &calls.views(0, 1)[0];
    assert_eq!((view.stage, view.since), (CallStage::Ringing, START));
}

#[test]
fn who_is_in_a_call_of_the_host_is_on_the_phone_as_long_as_it_lasts() {
    let mut config = calls_config();
    config.presence = Some(crate::config::PresenceConfig::default());
    config.accounts.push(AccountConfig { username: "carol".into(), ..config.accounts[0].clone() });
    let mut calls = Calls::new(config);
    calls.register("carol", CAROL, "");
    let busy = |calls: &mut Calls| {
        ["carol", "bob"].map(|user| {
            let said = calls.ask(Request::Presence { aor: format!("{user}@example.com").into() }).1;
            let ReplyBody::Presence(view) = said else { panic!("{said:?}") };
            view.document.contains("on-the-phone")
        })
    };
    assert_eq!(busy(&mut calls), [false, false]);
    let (to_carol, to_bob) = half_way(&mut calls);
    assert_eq!(busy(&mut calls), [true, false]);
    let answered = calls.from(BOB, &response(&to_bob, "200 OK", "b1", BOB, ANSWER));
    let reinvite = find(&answered, CAROL, "INVITE").clone();
    calls.from(CAROL, &response(&reinvite, "200 OK", "", CAROL, CAROL_OFFER));
    assert_eq!(busy(&mut calls), [true, true]);
    let bye = calls.from(CAROL, &of_carol("BYE", 7, &to_carol));
    calls.from(BOB, &response(find(&bye, BOB, "BYE"), "200 OK", "", "", ""));
    assert_eq!(busy(&mut calls), [false, false]);
    // And when the second one will not.
    let commands = calls.host.input(Input::Host {
        reply: None,
        request: Request::Dial { caller: "carol".into(), callee: "bob".into() },
    });
    let to_carol = find(&calls.sent(commands), CAROL, "INVITE").clone();
    let to_bob = calls.from(CAROL, &response(&to_carol, "200 OK", "c2", CAROL, CAROL_OFFER));
    assert_eq!(busy(&mut calls), [true, false]);
    let sent = calls.from(BOB, &response(find(&to_bob, BOB, "INVITE"), "486 Busy Here", "b2", "", ""));
    calls.from(CAROL, &response(find(&sent, CAROL, "BYE"), "200 OK", "", "", ""));
    assert_eq!(busy(&mut calls), [false, false]);
    assert_eq!(calls.host.engine.sizes().lines, 0);
    calls.finish();
}

#[test]
fn an_emergency_has_no_number_and_reaches_whom_the_operator_names() {
    let mut config = calls_config();
    let urgent = invite("").replace("INVITE sip:bob@example.com", "INVITE urn:service:sos.fire");
    let mut calls = Calls::new(config.clone());
    let refused = calls.from(ALICE, &urgent);
    assert!(refused.last().is_some_and(|sent| sent.first().starts_with("SIP/2.0 404")), "{refused:?}");
    config.calls.as_mut().expect("calls").emergency = Some("bob".into());
    let mut calls = Calls::new(config);
    let sent = calls.from(ALICE, &urgent);
    calls.from(BOB, &response(find(&sent, BOB, "INVITE"), "486 Busy Here", "b1", "", ""));
    let other = urgent.replace("INVITE", "MESSAGE").replace("z9hG4bKinv", "z9hG4bKmsg");
    assert!(calls.from(ALICE, &other)[0].first().starts_with("SIP/2.0 4"), "a call, and nothing else");
    calls.finish();
}

#[test]
fn who_offered_more_than_the_other_keeps_his_media_lines() {
    let mut calls = three();
    let (sent, _) = calls.dial("carol", "bob");
    let to_carol = find(&sent, CAROL, "INVITE").clone();
    let both = format!("{CAROL_OFFER}t=0 0\r\nm=audio 4000 RTP/AVP 0\r\nm=video 4002 RTP/AVP 97\r\n");
    let answered = calls.from(CAROL, &response(&to_carol, "200 OK", "c1", CAROL, &both));
    assert_eq!(find(&answered, CAROL, "ACK").body().matches("m=").count(), 2);
    let audio = format!("{ANSWER}t=0 0\r\nm=audio 5000 RTP/AVP 0\r\n");
    let offered = calls.from(BOB, &response(find(&answered, BOB, "INVITE"), "200 OK", "b1", BOB, &audio));
    let reinvite = find(&offered, CAROL, "INVITE").clone();
    assert!(
        reinvite.body().contains("m=audio 5000 ") && reinvite.body().contains("m=video 0 RTP/AVP 97"),
        "RFC 3264 s8"
    );
    let agreed = format!("{CAROL_OFFER}t=0 0\r\nm=audio 4000 RTP/AVP 0\r\nm=video 0 RTP/AVP 97\r\n");
    let agreed = calls.from(CAROL, &response(&reinvite, "200 OK", "", CAROL, &agreed));
    let ack = find(&agreed, BOB, "ACK");
    assert!(
        ack.body().contains("m=audio 4000 ") && !ack.body().contains("m=video"),
        "RFC 3264 s6: {}",
        ack.body()
    );
    let bye = calls.from(CAROL, &of_carol("BYE", 7, &to_carol));
    calls.from(BOB, &response(find(&bye, BOB, "BYE"), "200 OK", "", "", ""));
    calls.finish();
}

#[test]
fn the_host_refuses_with_a_phrase_of_its_own() {
    let mut config = calls_config();
    config.calls.as_mut().expect("calls").ask_route = true;
    config.policies.message = AuthPolicy::Open;
    config.messages = Some(crate::config::MessagesConfig::default());
    let (crlf, long) = ("Closed\r\nX-Evil: 1\0", "é".repeat(100));
    let mut told = String::new();
    for (status, reason) in [
        (486, None),
        (486, Some("Besetzt, später wieder")),
        (480, Some(crlf)),
        (603, Some(&*long)),
        (404, Some(" \t")),
        (200, Some("All Is Well")),
    ] {
        let mut calls = Calls::new(config.clone());
        for request in [invite(""), messages::to_bob(1, "hi")] {
            let (remote, local) = (addr(ALICE), addr("192.0.2.1:5060"));
            let data = request.as_bytes();
            let commands = calls.host.input(Input::Message { flow: UDP, remote, local, data });
            let ticket = messages_out::asked_route(&commands).ticket;
            let answer = RouteAnswer::Reject { status, reason: reason.map(Into::into) };
            let commands = calls.host.input(Input::Answer(Answer::Route(ticket, answer)));
            let sent = calls.sent(commands);
            let _ = writeln!(told, "{:8} {}", request.split(' ').next().unwrap_or_default(), sent[0].first());
            assert!(!sent[0].text.contains("\nX-Evil"), "{}", sent[0].text);
        }
        calls.finish();
    }
    insta::assert_snapshot!(told);
}
