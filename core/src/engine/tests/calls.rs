//! Calls through the engine's doors: what each leg is sent, byte for byte, and that nothing is left.

use super::transfers::find;
use super::*;
use crate::config::CallsConfig;

/// Two phones, each at its own address.
pub(super) struct Calls {
    pub(super) host: Host,
    /// What came out in all, as a ladder of first lines.
    pub(super) ladder: String,
}

pub(super) const ALICE: &str = "192.0.2.8:5060";
pub(super) const BOB: &str = "192.0.2.9:5060";
pub(super) const BOB2: &str = "192.0.2.10:5060";

/// A message the engine sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) to: String,
    pub(super) text: String,
}

impl Sent {
    pub(super) fn first(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// The values of a header, in order.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        head.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
    }

    pub(super) fn one(&self, name: &str) -> &str {
        self.all(name).first().copied().unwrap_or_default()
    }

    pub(super) fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    pub(super) fn tag(&self, name: &str) -> &str {
        self.one(name).split_once(";tag=").map_or("", |(_, tag)| tag)
    }
}

pub(super) fn calls_config() -> Config {
    let mut config = open();
    config.policies.invite = AuthPolicy::Open;
    config.calls = Some(CallsConfig::default());
    config
}

impl Calls {
    pub(super) fn new(config: Config) -> Calls {
        let mut calls = Calls { host: Host::new(config), ladder: String::new() };
        for (user, at) in [("alice", ALICE), ("bob", BOB)] {
            calls.register(user, at, "");
        }
        calls.ladder.clear();
        calls
    }

    pub(super) fn register(&mut self, user: &str, at: &str, params: &str) {
        let text = format!(
            "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bKr{user}{at}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@example.com>;tag=r\r\nTo: <sip:{user}@example.com>\r\n\
             Call-ID: r-{user}-{at}\r\nCSeq: 1 REGISTER\r\nContact: <sip:{user}@{at}>{params}\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let sent = self.from(at, &text);
        assert!(sent[0].first().starts_with("SIP/2.0 200"), "{sent:?}");
    }

    pub(super) fn sent(&mut self, commands: Vec<Command>) -> Vec<Sent> {
        let mut out = Vec::new();
        for command in commands {
            if let Command::Transmit(t) = command {
                let text = String::from_utf8_lossy(&t.payload).into_owned();
                let sent = Sent { to: t.remote.to_string(), text };
                let _ = writeln!(self.ladder, "{:>16} < {}", sent.to, sent.first());
                out.push(sent);
            }
        }
        out
    }

    pub(super) fn from(&mut self, at: &str, text: &str) -> Vec<Sent> {
        let _ = writeln!(self.ladder, "{at:>16} > {}", text.lines().next().unwrap_or_default());
        let (remote, local) = (addr(at), addr("192.0.2.1:5060"));
        let commands = self.host.input(Input::Message { flow: UDP, remote, local, data: text.as_bytes() });
        self.sent(commands)
    }

    pub(super) fn wait(&mut self, time: Duration) -> Vec<Sent> {
        let _ = writeln!(self.ladder, "-- {time:?}");
        let commands = self.host.wait(time);
        self.sent(commands)
    }

    /// Alice does, and bob hears of it.
    pub(super) fn caller_hangs_up(&mut self, ok: &Sent, number: u32) {
        let sent = self.from(ALICE, &by_caller("BYE", number, ok, "bye", ""));
        self.from(BOB, &response(find(&sent, BOB, "BYE"), "200 OK", "", "", ""));
    }

    /// How many are known to be in a call, and how far.
    pub(super) fn on_the_phone(&self) -> usize {
        self.host.engine.sizes().lines
    }

    /// After all timers nothing is left of calls and transactions.
    pub(super) fn finish(mut self) -> String {
        let ladder = self.ladder.clone();
        self.wait(Duration::from_secs(100));
        let sizes = self.host.engine.sizes();
        assert_eq!((sizes.calls, sizes.call_dialogs, sizes.transactions), (0, 0, 0), "{ladder}");
        assert_eq!(sizes.lines, 0, "{ladder}");
        ladder
    }
}

pub(super) const OFFER: &str = "v=0\r\no=alice 1 1 IN IP4 192.0.2.8\r\ns=-\r\n";
pub(super) const ANSWER: &str = "v=0\r\no=bob 1 1 IN IP4 192.0.2.9\r\ns=-\r\n";

pub(super) fn body(text: &str) -> String {
    match text {
        "" => "Content-Length: 0\r\n\r\n".into(),
        text => format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{text}", text.len()),
    }
}

pub(super) fn invite(more: &str) -> String {
    format!(
        "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {ALICE};branch=z9hG4bKinv;rport\r\n\
         Max-Forwards: 70\r\nFrom: \"Alice\" <sip:alice@example.com>;tag=a1\r\nTo: <sip:bob@example.com>\r\n\
         Call-ID: call1\r\nCSeq: 1 INVITE\r\nContact: <sip:alice@{ALICE}>\r\n{more}{}",
        body(OFFER)
    )
}

/// The response of a phone to a request it got.
pub(super) fn response(request: &Sent, status: &str, tag: &str, contact: &str, sdp: &str) -> String {
    let mut out = format!("SIP/2.0 {status}\r\n");
    for name in ["Via", "From", "Record-Route"] {
        request.all(name).iter().for_each(|v| out.push_str(&format!("{name}: {v}\r\n")));
    }
    let to = request.one("To");
    let tag = if to.contains(";tag=") || tag.is_empty() { String::new() } else { format!(";tag={tag}") };
    out.push_str(&format!(
        "To: {to}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n",
        request.one("Call-ID"),
        request.one("CSeq")
    ));
    if !contact.is_empty() {
        out.push_str(&format!("Contact: <sip:x@{contact}>\r\n"));
    }
    out + &body(sdp)
}

/// A request of the caller in the dialog that a response made.
pub(super) fn by_caller(method: &str, cseq: u32, from: &Sent, branch: &str, sdp: &str) -> String {
    format!(
        "{method} sip:192.0.2.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {ALICE};branch=z9hG4bK{branch}\r\n\
         Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\
         Contact: <sip:alice@{ALICE}>\r\n{}",
        from.one("From"),
        from.one("To"),
        from.one("Call-ID"),
        body(sdp)
    )
}

/// A request of the callee in the dialog of the INVITE it got and answered with this tag.
pub(super) fn by_callee(
    method: &str,
    cseq: u32,
    invite: &Sent,
    tag: &str,
    branch: &str,
    sdp: &str,
) -> String {
    format!(
        "{method} sip:192.0.2.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {BOB};branch=z9hG4bK{branch}\r\n\
         Max-Forwards: 70\r\nFrom: {};tag={tag}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\
         Contact: <sip:bob@{BOB}>\r\n{}",
        invite.one("To"),
        invite.one("From"),
        invite.one("Call-ID"),
        body(sdp)
    )
}

/// A call that is answered and acknowledged: the INVITE to bob and the 200 to alice.
pub(super) fn established(calls: &mut Calls) -> (Sent, Sent) {
    let sent = calls.from(ALICE, &invite(""));
    let to_bob = sent[1].clone();
    let ok = calls.from(BOB, &response(&to_bob, "200 OK", "b1", BOB, ANSWER));
    let ack = calls.from(ALICE, &by_caller("ACK", 1, &ok[0], "ack", ""));
    assert!(ack[0].first().starts_with("ACK sip:x@192.0.2.9:5060"));
    (to_bob, ok[0].clone())
}

#[test]
fn a_call_from_the_invite_to_the_last_bye() {
    let mut calls = Calls::new(calls_config());
    let mut all = Vec::new();
    let sent = calls
        .from(ALICE, &invite("Subject: Lunch\r\nX-Color: red\r\nAuthorization: Digest username=\"x\"\r\n"));
    let to_bob = sent[1].clone();
    all.extend(sent);
    all.extend(calls.from(BOB, &response(&to_bob, "100 Trying", "", "", "")));
    all.extend(calls.from(BOB, &response(&to_bob, "180 Ringing", "b1", BOB, "")));
    let ok = calls.from(BOB, &response(&to_bob, "200 OK", "b1", BOB, ANSWER));
    all.extend(ok.clone());
    all.extend(calls.from(ALICE, &by_caller("ACK", 1, &ok[0], "ack", "")));
    let bye = calls.from(BOB, &by_callee("BYE", 7, &to_bob, "b1", "bye", ""));
    all.extend(bye.clone());
    all.extend(calls.from(ALICE, &response(&bye[1], "200 OK", "", "", "")));
    let mut text: String = all.iter().map(|sent| format!("to {}\n{}\n", sent.to, sent.text)).collect();
    text = text.replace("\r\n", "\n");
    insta::assert_snapshot!("a_whole_call", format!("{text}{}", calls.finish()));
}

#[test]
fn a_second_2xx_is_acknowledged_again_and_one_of_another_phone_is_ended() {
    let mut calls = Calls::new(calls_config());
    let (to_bob, _) = established(&mut calls);
    let again = calls.from(BOB, &response(&to_bob, "200 OK", "b1", BOB, ANSWER));
    assert_eq!(again.len(), 1);
    assert!(again[0].first().starts_with("ACK"));
    let other = calls.from(BOB, &response(&to_bob, "200 OK", "other", BOB2, ANSWER));
    let lines: Vec<&str> = other.iter().map(Sent::first).collect();
    assert_eq!(lines, ["ACK sip:x@192.0.2.10:5060 SIP/2.0", "BYE sip:x@192.0.2.10:5060 SIP/2.0"]);
    assert_eq!(other[1].tag("To"), "other");
    let bye = calls.from(BOB, &by_callee("BYE", 7, &to_bob, "b1", "bye", ""));
    calls.from(ALICE, &response(&bye[1], "200 OK", "", "", ""));
    calls.from(BOB2, &response(&other[1], "200 OK", "", "", ""));
    calls.finish();
}

#[test]
fn who_cancels_gets_487_and_the_phone_stops_ringing() {
    let mut calls = Calls::new(calls_config());
    let sent = calls.from(ALICE, &invite(""));
    let to_bob = sent[1].clone();
    let ringing = calls.from(BOB, &response(&to_bob, "180 Ringing", "b1", BOB, ""));
    assert!(ringing[0].first().starts_with("SIP/2.0 180"));
    let cancel = invite("Reason: SIP;cause=487\r\n").replace("INVITE", "CANCEL").replace(OFFER, "");
    let cancel = cancel.replace(&format!("Content-Length: {}", OFFER.len()), "Content-Length: 0");
    let sent = calls.from(ALICE, &cancel);
    let lines: Vec<&str> = sent.iter().map(Sent::first).collect();
    assert_eq!(
        lines,
        ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated", "CANCEL sip:bob@192.0.2.9:5060 SIP/2.0"]
    );
    assert_eq!(sent[2].one("Reason"), "SIP;cause=487");
    assert_eq!(sent[2].one("Via"), to_bob.one("Via"), "by its branch it is found");
    calls.from(BOB, &response(&sent[2], "200 OK", "b1", "", ""));
    let ack = calls.from(BOB, &response(&to_bob, "487 Request Terminated", "b1", "", ""));
    assert!(ack[0].first().starts_with("ACK"));
    calls.finish();
}

#[test]
fn a_cancel_that_comes_again_is_answered_as_before_also_when_its_invite_is_forgotten() {
    let mut calls = Calls::new(calls_config());
    let to_bob = calls.from(ALICE, &invite(""))[1].clone();
    calls.from(BOB, &response(&to_bob, "180 Ringing", "b1", BOB, ""));
    let cancel = invite("").replace("INVITE", "CANCEL");
    let first = calls.from(ALICE, &cancel);
    calls.from(BOB, &response(&to_bob, "487 Request Terminated", "b1", "", ""));
    let ack =
        by_caller("ACK", 1, &first[1], "inv;rport", "").replace("sip:192.0.2.1:5060", "sip:bob@example.com");
    calls.from(ALICE, &ack);
    for wait in [1, 10] {
        // Timer I is T4, and timer J 64*T1 (RFC 3261 s17.2.1, s17.2.2).
        calls.wait(Duration::from_secs(wait));
        let again = calls.from(ALICE, &cancel);
        let [again] = &again[..] else { panic!("{again:?}") };
        assert_eq!(again.text, first[0].text);
    }
    // One that there was no INVITE for leaves nothing (RFC 3261 s8.2.7).
    let before = calls.host.engine.sizes().transactions;
    let unknown = calls.from(ALICE, &cancel.replace("z9hG4bKinv", "z9hG4bKother"));
    assert_eq!(unknown[0].first(), "SIP/2.0 481 Call/Transaction Does Not Exist");
    assert_eq!(calls.host.engine.sizes().transactions, before);
    calls.finish();
}

#[test]
fn an_answer_that_crosses_the_cancel_is_acknowledged_and_ended() {
    let mut calls = Calls::new(calls_config());
    let to_bob = calls.from(ALICE, &invite(""))[1].clone();
    let cancel = invite("").replace("INVITE", "CANCEL");
    // Before any provisional response none may be sent (RFC 3261 s9.1).
    let sent = calls.from(ALICE, &cancel);
    assert_eq!(sent.len(), 2);
    let late = calls.from(BOB, &response(&to_bob, "200 OK", "b1", BOB, ANSWER));
    let lines: Vec<&str> = late.iter().map(Sent::first).collect();
    assert_eq!(lines, ["ACK sip:x@192.0.2.9:5060 SIP/2.0", "BYE sip:x@192.0.2.9:5060 SIP/2.0"]);
    calls.from(BOB, &response(&late[1], "200 OK", "b1", "", ""));
    calls.finish();
}

#[test]
fn a_cancel_waits_for_the_first_provisional_response() {
    let mut calls = Calls::new(calls_config());
    let to_bob = calls.from(ALICE, &invite(""))[1].clone();
    calls.from(ALICE, &invite("").replace("INVITE", "CANCEL"));
    let sent = calls.from(BOB, &response(&to_bob, "180 Ringing", "b1", BOB, ""));
    assert_eq!(sent.len(), 1);
    assert!(sent[0].first().starts_with("CANCEL"));
    calls.from(BOB, &response(&to_bob, "487 Request Terminated", "b1", "", ""));
    calls.finish();
}

#[test]
fn all_phones_ring_the_first_takes_it_and_the_others_stop() {
    let mut calls = Calls::new(calls_config());
    calls.register("bob", BOB2, "");
    let sent = calls.from(ALICE, &invite(""));
    assert_eq!(sent.len(), 3);
    let find = |at: &str| sent.iter().find(|s| s.to == at).cloned().expect("an INVITE");
    let (one, two) = (find(BOB), find(BOB2));
    assert_ne!(one.one("Call-ID"), two.one("Call-ID"));
    let first = calls.from(BOB, &response(&one, "180 Ringing", "b1", BOB, ""));
    let second = calls.from(BOB2, &response(&two, "180 Ringing", "b2", BOB2, ""));
    assert_ne!(first[0].tag("To"), second[0].tag("To"), "an early dialog each (DECISIONS 21)");
    let taken = calls.from(BOB2, &response(&two, "200 OK", "b2", BOB2, ANSWER));
    let lines: Vec<&str> = taken.iter().map(Sent::first).collect();
    assert_eq!(lines, ["SIP/2.0 200 OK", "CANCEL sip:bob@192.0.2.9:5060 SIP/2.0"]);
    assert_eq!(taken[0].tag("To"), second[0].tag("To"));
    assert_eq!(taken[1].one("Reason"), "SIP;cause=200;text=\"Call completed elsewhere\"");
    calls.from(BOB, &response(&taken[1], "200 OK", "", "", ""));
    calls.from(BOB, &response(&one, "487 Request Terminated", "b1", "", ""));
    calls.from(ALICE, &by_caller("ACK", 1, &taken[0], "ack", ""));
    let bye = calls.from(ALICE, &by_caller("BYE", 2, &taken[0], "bye", ""));
    calls.from(BOB2, &response(&bye[1], "200 OK", "", "", ""));
    calls.finish();
}

#[test]
fn lower_priorities_ring_when_the_higher_did_not_answer() {
    let mut calls = Calls::new(calls_config());
    calls.register("bob", BOB2, ";q=0.3");
    let sent = calls.from(ALICE, &invite(""));
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[1].to, BOB);
    calls.from(BOB, &response(&sent[1], "180 Ringing", "b1", BOB, ""));
    let next = calls.wait(Duration::from_secs(30));
    let lines: Vec<(&str, &str)> = next.iter().map(|s| (&*s.to, s.first())).collect();
    assert_eq!(
        lines,
        [(BOB, "CANCEL sip:bob@192.0.2.9:5060 SIP/2.0"), (BOB2, "INVITE sip:bob@192.0.2.10:5060 SIP/2.0")]
    );
    calls.from(BOB, &response(&sent[1], "487 Request Terminated", "b1", "", ""));
    let busy = calls.from(BOB2, &response(&next[1], "486 Busy Here", "b2", "", ""));
    let lines: Vec<&str> = busy.iter().map(Sent::first).collect();
    assert_eq!(lines, ["ACK sip:bob@192.0.2.10:5060 SIP/2.0", "SIP/2.0 486 Busy Here"]);
    calls.finish();
}

#[test]
fn a_2xx_without_ack_is_repeated_and_then_both_are_told_to_go() {
    let mut calls = Calls::new(calls_config());
    let to_bob = calls.from(ALICE, &invite(""))[1].clone();
    calls.from(BOB, &response(&to_bob, "200 OK", "b1", BOB, ANSWER));
    let sent = calls.wait(Duration::from_secs(33));
    let repeated = sent.iter().filter(|s| s.first() == "SIP/2.0 200 OK").count();
    // RFC 3261 s13.3.1.4: after 0.5, 1.5, 3.5, then every four seconds until 32.
    assert_eq!(repeated, 10);
    let last: Vec<(&str, &str)> =
        sent.iter().filter(|s| !s.first().starts_with("SIP")).map(|s| (&*s.to, s.first())).collect();
    assert_eq!(
        last[..2],
        [(ALICE, "BYE sip:alice@192.0.2.8:5060 SIP/2.0"), (BOB, "ACK sip:x@192.0.2.9:5060 SIP/2.0")]
    );
    assert!(last.iter().any(|l| l.0 == BOB && l.1.starts_with("BYE")), "{last:?}");
    calls.finish();
}

#[test]
fn a_new_invite_goes_through_and_two_that_cross_get_491() {
    let mut calls = Calls::new(calls_config());
    let (to_bob, ok) = established(&mut calls);
    let hold = calls.from(ALICE, &by_caller("INVITE", 2, &ok, "hold", OFFER));
    let lines: Vec<(&str, &str)> = hold.iter().map(|s| (&*s.to, s.first())).collect();
    assert_eq!(lines, [(BOB, "INVITE sip:x@192.0.2.9:5060 SIP/2.0"), (ALICE, "SIP/2.0 100 Trying")]);
    let crossing = calls.from(BOB, &by_callee("INVITE", 9, &to_bob, "b1", "cross", OFFER));
    assert_eq!(crossing[0].first(), "SIP/2.0 491 Request Pending");
    let second = calls.from(ALICE, &by_caller("INVITE", 3, &ok, "early", OFFER));
    assert!(second[0].first().starts_with("SIP/2.0 500"));
    assert!(!second[0].one("Retry-After").is_empty());
    let held = calls.from(BOB, &response(&hold[0], "200 OK", "", BOB, ANSWER));
    assert_eq!(held[0].body(), ANSWER);
    let ack = calls.from(ALICE, &by_caller("ACK", 2, &ok, "ack2", ""));
    assert!(ack[0].one("CSeq").ends_with(" ACK"));
    assert_eq!(ack[0].one("CSeq").split(' ').next(), hold[0].one("CSeq").split(' ').next());
    calls.caller_hangs_up(&ok, 4);
    assert!(calls.from(ALICE, &by_caller("INFO", 5, &ok, "late", ""))[0].first().starts_with("SIP/2.0 481"));
    calls.finish();
}

#[test]
fn who_hangs_up_before_the_ack_is_waited_for_by_the_other() {
    let mut calls = Calls::new(calls_config());
    let to_bob = calls.from(ALICE, &invite(""))[1].clone();
    let ok = calls.from(BOB, &response(&to_bob, "200 OK", "b1", BOB, ANSWER));
    let bye = calls.from(BOB, &by_callee("BYE", 7, &to_bob, "b1", "bye", ""));
    let lines: Vec<&str> = bye.iter().map(Sent::first).collect();
    assert_eq!(lines, ["ACK sip:x@192.0.2.9:5060 SIP/2.0", "SIP/2.0 200 OK"], "RFC 3261 s15");
    let ack = calls.from(ALICE, &by_caller("ACK", 1, &ok[0], "ack", ""));
    assert_eq!(ack[0].first(), "BYE sip:alice@192.0.2.8:5060 SIP/2.0");
    calls.from(ALICE, &response(&ack[0], "200 OK", "", "", ""));
    calls.finish();
}

#[test]
fn what_is_no_session_description_goes_through_as_it_is() {
    let mut calls = Calls::new(calls_config());
    let odd =
        ["\0", "v=x \0 and so on", "o=a b\r\nm=\r\nm=audio", "v=0\r\no=- 1 99999999999999999999 IN\r\n"];
    let sent = calls.from(ALICE, &invite("").replace(&body(OFFER), &body(odd[0])));
    let to_bob = sent[1].clone();
    assert_eq!(to_bob.body(), odd[0]);
    let ok = calls.from(BOB, &response(&to_bob, "200 OK", "b1", BOB, odd[1]))[0].clone();
    assert_eq!(ok.body(), odd[1]);
    calls.from(ALICE, &by_caller("ACK", 1, &ok, "ack", ""));
    let again = calls.from(ALICE, &by_caller("INVITE", 2, &ok, "again", odd[2]));
    let invited = again.iter().find(|sent| sent.to == BOB).expect("an INVITE").clone();
    assert_eq!(invited.body(), odd[2]);
    let ok2 = calls.from(BOB, &response(&invited, "200 OK", "", BOB, odd[3]))[0].clone();
    assert_eq!(ok2.body(), odd[3]);
    calls.from(ALICE, &by_caller("ACK", 2, &ok, "ack2", ""));
    calls.caller_hangs_up(&ok, 3);
    calls.finish();
}

#[test]
fn nobody_there_and_nobody_of_that_name_and_no_relay() {
    let mut calls = Calls::new(calls_config());
    let gone = invite("").replace("sip:bob@example.com", "sip:carol@example.com");
    assert!(calls.from(ALICE, &gone).last().expect("an answer").first().starts_with("SIP/2.0 4"));
    let far = invite("")
        .replace("INVITE sip:bob@example.com", "INVITE sip:bob@elsewhere.example")
        .replace("z9hG4bKinv", "z9hG4bKfar");
    assert!(calls.from(ALICE, &far)[0].first().starts_with("SIP/2.0 403"));
    calls.finish();
}

#[test]
fn a_connection_is_in_use_while_a_call_is_held_over_it() {
    let mut calls = Calls::new(calls_config());
    let over_tcp = |calls: &mut Calls, text: &str| {
        let (remote, local) = (addr("192.0.2.9:40000"), addr("192.0.2.1:5060"));
        let data = text.replace("/UDP", "/TCP");
        let commands = calls.host.input(Input::Message { flow: TCP, remote, local, data: data.as_bytes() });
        calls.sent(commands)
    };
    let in_use = |calls: &Calls| calls.host.engine.is_flow_in_use(TCP);
    let sent = over_tcp(&mut calls, &invite(""));
    calls.from(BOB, &response(&sent[1], "180 Ringing", "b1", BOB, ""));
    assert!(in_use(&calls));
    let ok = calls.from(BOB, &response(&sent[1], "200 OK", "b1", BOB, ANSWER));
    over_tcp(&mut calls, &by_caller("ACK", 1, &ok[0], "ack", ""));
    assert!(in_use(&calls));
    // Who comes over another connection from now on holds that one open, and not this one.
    calls.from(ALICE, &by_caller("INFO", 2, &ok[0], "moved", ""));
    assert!(!in_use(&calls));
    over_tcp(&mut calls, &by_caller("INFO", 3, &ok[0], "back", ""));
    assert!(in_use(&calls));
    let bye = over_tcp(&mut calls, &by_caller("BYE", 4, &ok[0], "bye", ""));
    assert!(!in_use(&calls));
    calls.from(BOB, &response(&bye[1], "200 OK", "", "", ""));
    calls.finish();
}

#[test]
fn an_invite_that_comes_by_two_paths_rings_once() {
    let mut calls = Calls::new(calls_config());
    let to_bob = calls.from(ALICE, &invite(""))[1].clone();
    assert!(to_bob.first().starts_with("INVITE "));
    // RFC 3261 s8.2.2.2: forked on its way by a proxy, it has another branch there.
    let other = invite("").replace("z9hG4bKinv", "z9hG4bKother");
    let merged = calls.from(
        "192.0.2.7:5060",
        &other.replace("Via: ", "Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKfork\r\nVia: "),
    );
    assert_eq!(merged.len(), 1, "{merged:?}");
    assert_eq!((merged[0].first(), &*merged[0].to), ("SIP/2.0 482 Loop Detected", "192.0.2.7:5060"));
    assert_eq!(calls.host.engine.sizes().calls, 1);
    // The call itself goes on, and another of the same caller is another.
    calls.from(BOB, &response(&to_bob, "486 Busy Here", "b1", "", ""));
    let next = calls.from(ALICE, &other.replace("call1", "call2").replace("tag=a1", "tag=a2"));
    assert!(next[1].first().starts_with("INVITE "));
    calls.from(BOB, &response(&next[1], "486 Busy Here", "b2", "", ""));
    calls.finish();
}

#[test]
fn a_caller_may_open_a_connection_for_each_of_its_requests() {
    let mut calls = Calls::new(calls_config());
    // The n-th connection of alice, what she says over it, and what that brings.
    let over = |calls: &mut Calls, n: u16, text: &str| {
        let (flow, remote) = (FlowId(50 + 2 * u64::from(n)), addr(&format!("192.0.2.8:{}", 40_000 + n)));
        let (transport, local) = (Transport::Tcp, addr("192.0.2.1:5060"));
        let up = Input::FlowUp { flow, listener: 0, transport, local, remote: Some(remote), peer: None };
        calls.host.input(up);
        let text =
            text.replace("/UDP", "/TCP").replace(&format!("{ALICE}>"), &format!("{ALICE};transport=tcp>"));
        let commands = calls.host.input(Input::Message { flow, remote, local, data: text.as_bytes() });
        calls.sent(commands)
    };
    let down = |calls: &mut Calls, n: u16| {
        let flow = FlowId(50 + 2 * u64::from(n));
        calls.host.input(Input::FlowDown { flow, reason: FlowDownReason::Closed });
    };
    let to = |sent: &[Sent]| sent.iter().map(|sent| sent.to.clone()).collect::<Vec<_>>();
    let [one, three] = [1, 3].map(|n| format!("192.0.2.8:{}", 40_000 + n));
    let sent = over(&mut calls, 1, &invite(""));
    assert_eq!(to(&sent), [&*one, BOB]);
    let ok = calls.from(BOB, &response(&sent[1], "200 OK", "b1", BOB, ANSWER));
    assert_eq!(to(&ok), [&*one]);
    down(&mut calls, 1);
    assert_eq!(to(&over(&mut calls, 2, &by_caller("ACK", 1, &ok[0], "ack", ""))), [BOB]);
    // It is the same party all the same (FEATURES A13t), by its dialog: what she asks is answered where she asked it.
    let update = over(&mut calls, 3, &by_caller("UPDATE", 2, &ok[0], "update", OFFER));
    assert_eq!(to(&update), [BOB]);
    let answer = calls.from(BOB, &response(&update[0], "200 OK", "", BOB, ANSWER));
    assert_eq!(to(&answer), [&*three]);
    // And what is asked of her goes over the newest one.
    let info = calls.from(BOB, &by_callee("INFO", 7, &sent[1], "b1", "info", ""));
    assert_eq!((to(&info), info[0].first().split(' ').next()), (vec![three.clone()], Some("INFO")));
    let told = over(&mut calls, 4, &response(&info[0], "200 OK", "", "", ""));
    assert_eq!(to(&told), [BOB]);
    for n in [2, 3, 4] {
        down(&mut calls, n);
    }
    let bye = over(&mut calls, 5, &by_caller("BYE", 3, &ok[0], "bye", ""));
    assert_eq!(to(&bye).len(), 2);
    calls.from(BOB, &response(&bye[1], "200 OK", "", "", ""));
    calls.finish();
}
