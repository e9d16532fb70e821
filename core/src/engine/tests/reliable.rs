//! Reliable provisional responses and offers within a call that is not answered yet: RFC 3262, RFC 3311, DECISIONS 21.

use super::calls::{
    ALICE, ANSWER, BOB, BOB2, Calls, OFFER, Sent, by_callee, by_caller, calls_config, established, invite,
    response,
};
use super::*;

/// The message with these lines in it.
fn with(message: &str, lines: &str) -> String {
    message.replacen("Call-ID: ", &format!("{lines}Call-ID: "), 1)
}

/// A reliable provisional response of a phone.
fn reliable(request: &Sent, status: &str, tag: &str, rseq: u32, sdp: &str) -> String {
    let at = if request.to == BOB2 { BOB2 } else { BOB };
    with(&response(request, status, tag, at, sdp), &format!("Require: 100rel\r\nRSeq: {rseq}\r\n"))
}

/// The caller acknowledges a reliable provisional response.
fn prack(cseq: u32, to: &Sent, branch: &str, sdp: &str) -> String {
    let rack = format!("RAck: {} 1 INVITE\r\n", to.one("RSeq"));
    with(&by_caller("PRACK", cseq, to, branch, sdp), &rack)
}

fn lines(sent: &[Sent]) -> Vec<(&str, &str)> {
    sent.iter().map(|s| (&*s.to, s.first())).collect()
}

fn hang_up(calls: &mut Calls, to_bob: &Sent, ok: &Sent, cseq: u32) {
    let bye = calls.from(ALICE, &by_caller("BYE", cseq, ok, "bye", ""));
    assert!(bye[1].first().starts_with("BYE"), "{bye:?} {to_bob:?}");
    calls.from(BOB, &response(&bye[1], "200 OK", "", "", ""));
}

const SUPPORTS: &str = "Supported: 100rel\r\n";
const REQUIRES: &str = "Require: 100rel\r\n";

#[test]
fn a_reliable_ringing_is_numbered_anew_and_its_prack_goes_on() {
    let mut calls = Calls::new(calls_config());
    let mut all = Vec::new();
    let sent = calls.from(ALICE, &invite(SUPPORTS));
    let to_bob = sent[1].clone();
    all.extend(sent);
    let early = calls.from(BOB, &reliable(&to_bob, "183 Session Progress", "b1", 500, ANSWER));
    all.extend(early.clone());
    let acked = calls.from(ALICE, &prack(2, &early[0], "prack", OFFER));
    all.extend(acked.clone());
    all.extend(calls.from(BOB, &response(&acked[0], "200 OK", "", "", ANSWER)));
    let second = calls.from(BOB, &reliable(&to_bob, "180 Ringing", "b1", 501, ""));
    let number = |sent: &Sent| sent.one("RSeq").parse::<u32>().expect("a number");
    assert_eq!(number(&second[0]), number(&early[0]) + 1);
    all.extend(second.clone());
    let acked = calls.from(ALICE, &prack(3, &second[0], "prack2", ""));
    all.extend(calls.from(BOB, &response(&acked[0], "200 OK", "", "", "")));
    let ok = calls.from(BOB, &response(&to_bob, "200 OK", "b1", BOB, ""));
    all.extend(ok.clone());
    calls.from(ALICE, &by_caller("ACK", 1, &ok[0], "ack", ""));
    hang_up(&mut calls, &to_bob, &ok[0], 4);
    let text: String = all.iter().map(|sent| format!("to {}\n{}\n", sent.to, sent.text)).collect();
    insta::assert_snapshot!(
        "reliable_provisional_responses",
        format!("{}{}", text.replace("\r\n", "\n"), calls.finish())
    );
}

#[test]
fn what_is_repeated_or_behind_a_gap_is_not_heard() {
    let mut calls = Calls::new(calls_config());
    let to_bob = calls.from(ALICE, &invite(SUPPORTS))[1].clone();
    let early = calls.from(BOB, &reliable(&to_bob, "180 Ringing", "b1", 7, ""));
    for number in [7, 9, 6] {
        assert_eq!(lines(&calls.from(BOB, &reliable(&to_bob, "180 Ringing", "b1", number, ""))), []);
    }
    // In order, and before the first is acknowledged: it waits.
    assert_eq!(lines(&calls.from(BOB, &reliable(&to_bob, "182 Queued", "b1", 8, ""))), []);
    let wrong = prack(2, &early[0], "wrong", "").replace(" 1 INVITE", " 2 INVITE");
    assert!(calls.from(ALICE, &wrong)[0].first().starts_with("SIP/2.0 481"));
    let next = calls.from(ALICE, &prack(3, &early[0], "prack", ""));
    assert_eq!(next[0].one("RAck"), format!("7 {}", to_bob.one("CSeq")));
    assert_eq!(next[1].first(), "SIP/2.0 182 Queued");
    // The transaction absorbs it.
    assert_eq!(lines(&calls.from(ALICE, &prack(3, &early[0], "prack", ""))), []);
    let ok = calls.from(BOB, &response(&next[0], "200 OK", "", "", ""));
    assert_eq!(lines(&ok), [(ALICE, "SIP/2.0 200 OK")]);
    // RFC 3262 s3: nothing describes a session, nothing is in the way.
    let ok = calls.from(BOB, &response(&to_bob, "200 OK", "b1", BOB, ANSWER));
    assert_eq!(lines(&ok), [(ALICE, "SIP/2.0 200 OK")]);
    // Its PRACK comes late, and is welcome.
    let late = calls.from(ALICE, &prack(4, &next[1], "late", ""));
    assert_eq!(late[0].one("RAck"), format!("8 {}", to_bob.one("CSeq")));
    calls.from(BOB, &response(&late[0], "200 OK", "", "", ""));
    calls.from(ALICE, &by_caller("ACK", 1, &ok[0], "ack", ""));
    hang_up(&mut calls, &to_bob, &ok[0], 5);
    calls.finish();
}

#[test]
fn a_2xx_waits_until_the_description_before_it_is_acknowledged() {
    let mut calls = Calls::new(calls_config());
    calls.register("bob", BOB2, "");
    let sent = calls.from(ALICE, &invite(SUPPORTS));
    let find = |at: &str| sent.iter().find(|s| s.to == at).cloned().expect("an INVITE");
    let (one, two) = (find(BOB), find(BOB2));
    let early = calls.from(BOB, &reliable(&one, "183 Session Progress", "b1", 7, ANSWER));
    calls.from(BOB2, &response(&two, "180 Ringing", "b2", BOB2, ""));
    let accepted = calls.from(BOB, &response(&one, "200 OK", "b1", BOB, ""));
    assert_eq!(lines(&accepted), [(BOB2, "CANCEL sip:bob@192.0.2.10:5060 SIP/2.0")]);
    assert_eq!(lines(&calls.from(BOB, &response(&one, "200 OK", "b1", BOB, ""))), []);
    // The other one was answered too, and has lost.
    let lost = calls.from(BOB2, &response(&two, "200 OK", "b2", BOB2, ANSWER));
    let bye = lost.iter().find(|s| s.first().starts_with("BYE")).cloned().expect("a BYE");
    assert!(lost.iter().any(|s| s.first().starts_with("ACK")), "{lost:?}");
    calls.from(BOB2, &response(&bye, "200 OK", "", "", ""));
    let acked = calls.from(ALICE, &prack(2, &early[0], "prack", ""));
    assert_eq!(
        lines(&acked),
        [(BOB, "PRACK sip:x@192.0.2.9:5060 SIP/2.0"), (ALICE, "SIP/2.0 200 OK")],
        "the 200 is to INVITE"
    );
    assert_eq!(acked[1].one("CSeq"), "1 INVITE");
    calls.from(BOB, &response(&acked[0], "200 OK", "", "", ""));
    calls.from(ALICE, &by_caller("ACK", 1, &acked[1], "ack", ""));
    hang_up(&mut calls, &one, &acked[1], 3);
    calls.finish();
}

#[test]
fn who_cancels_while_a_2xx_waits_gets_487_and_the_phone_bye() {
    let mut calls = Calls::new(calls_config());
    let to_bob = calls.from(ALICE, &invite(SUPPORTS))[1].clone();
    calls.from(BOB, &reliable(&to_bob, "183 Session Progress", "b1", 7, ANSWER));
    calls.from(BOB, &response(&to_bob, "200 OK", "b1", BOB, ""));
    let sent = calls.from(ALICE, &invite("").replace("INVITE", "CANCEL"));
    assert_eq!(
        lines(&sent),
        [
            (ALICE, "SIP/2.0 200 OK"),
            (BOB, "ACK sip:x@192.0.2.9:5060 SIP/2.0"),
            (BOB, "BYE sip:x@192.0.2.9:5060 SIP/2.0"),
            (ALICE, "SIP/2.0 487 Request Terminated"),
        ]
    );
    calls.from(BOB, &response(&sent[2], "200 OK", "", "", ""));
    calls.finish();
}

#[test]
fn the_bye_of_an_answer_nobody_waits_for_has_a_number_of_its_own() {
    let mut calls = Calls::new(calls_config());
    let to_bob = calls.from(ALICE, &invite(SUPPORTS))[1].clone();
    let early = calls.from(BOB, &reliable(&to_bob, "183 Session Progress", "b1", 7, ANSWER));
    let pracked = calls.from(ALICE, &prack(2, &early[0], "prack", ""))[0].clone();
    calls.from(BOB, &response(&pracked, "200 OK", "", "", ""));
    // She gives up, and his answer crosses that.
    calls.from(ALICE, &invite("").replace("INVITE", "CANCEL"));
    let sent = calls.from(BOB, &response(&to_bob, "200 OK", "b1", BOB, ""));
    let number = |sent: &Sent| {
        sent.one("CSeq").split(' ').next().and_then(|n| n.parse::<u32>().ok()).expect("a number")
    };
    assert_eq!(number(&sent[0]), number(&to_bob), "the ACK has that of its INVITE");
    assert!(number(&sent[1]) > number(&pracked), "{sent:?}");
    calls.from(BOB, &response(&sent[1], "200 OK", "", "", ""));
    calls.finish();
}

#[test]
fn without_prack_it_is_repeated_ever_more_slowly_and_then_all_is_over() {
    let mut config = calls_config();
    config.calls.as_mut().expect("calls").target_timeout = Duration::from_secs(100);
    let mut calls = Calls::new(config);
    let to_bob = calls.from(ALICE, &invite(SUPPORTS))[1].clone();
    calls.from(BOB, &reliable(&to_bob, "180 Ringing", "b1", 7, ""));
    let sent = calls.wait(Duration::from_millis(31_999));
    // After 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 seconds.
    assert_eq!(lines(&sent), [(ALICE, "SIP/2.0 180 Ringing"); 6]);
    let sent = calls.wait(Duration::from_secs(1));
    let first: Vec<_> = lines(&sent).into_iter().take(2).collect();
    assert_eq!(
        first,
        [(ALICE, "SIP/2.0 504 Server Time-out"), (BOB, "CANCEL sip:bob@192.0.2.9:5060 SIP/2.0")]
    );
    calls.from(BOB, &response(&to_bob, "487 Request Terminated", "b1", "", ""));
    calls.finish();
}

#[test]
fn who_requires_it_gets_all_of_them_reliably_and_no_description_that_was_not() {
    let mut calls = Calls::new(calls_config());
    let to_bob = calls.from(ALICE, &invite(REQUIRES))[1].clone();
    assert_eq!(to_bob.one("Supported"), "100rel, timer, replaces, norefersub, tdialog");
    assert_eq!(to_bob.one("Require"), "");
    let early = calls.from(BOB, &response(&to_bob, "183 Session Progress", "b1", BOB, ANSWER));
    assert_eq!((early[0].one("Require"), early[0].body()), ("100rel", ""));
    let acked = calls.from(ALICE, &prack(2, &early[0], "prack", ""));
    assert_eq!(lines(&acked), [(ALICE, "SIP/2.0 200 OK")], "nobody else knows of it");
    let ok = calls.from(BOB, &response(&to_bob, "200 OK", "b1", BOB, ANSWER));
    calls.from(ALICE, &by_caller("ACK", 1, &ok[0], "ack", ""));
    hang_up(&mut calls, &to_bob, &ok[0], 3);
    calls.finish();
}

#[test]
fn who_does_not_know_it_is_not_bothered_with_it() {
    let mut calls = Calls::new(calls_config());
    let to_bob = calls.from(ALICE, &invite(""))[1].clone();
    assert_eq!(to_bob.one("Supported"), "timer, replaces, norefersub, tdialog");
    let sent = calls.from(BOB, &reliable(&to_bob, "180 Ringing", "b1", 7, ""));
    assert_eq!(lines(&sent), [(BOB, "PRACK sip:x@192.0.2.9:5060 SIP/2.0"), (ALICE, "SIP/2.0 180 Ringing")]);
    assert_eq!((sent[1].one("Require"), sent[1].one("RSeq")), ("", ""));
    calls.from(BOB, &response(&sent[0], "200 OK", "", "", ""));
    let stray = with(&by_caller("PRACK", 2, &sent[1], "stray", ""), "RAck: 7 1 INVITE\r\n");
    assert!(calls.from(ALICE, &stray)[0].first().starts_with("SIP/2.0 481"));
    let busy = calls.from(BOB, &response(&to_bob, "486 Busy Here", "b1", "", ""));
    assert_eq!(busy[1].first(), "SIP/2.0 486 Busy Here");
    calls.finish();
}

#[test]
fn two_phones_ring_with_numbers_of_their_own() {
    let mut calls = Calls::new(calls_config());
    calls.register("bob", BOB2, "");
    let sent = calls.from(ALICE, &invite(SUPPORTS));
    let find = |at: &str| sent.iter().find(|s| s.to == at).cloned().expect("an INVITE");
    let (one, two) = (find(BOB), find(BOB2));
    let first = calls.from(BOB, &reliable(&one, "180 Ringing", "b1", 7, ""));
    let second = calls.from(BOB2, &reliable(&two, "180 Ringing", "b2", 7, ""));
    assert_eq!(second.len(), 1, "each early dialog has one that waits");
    assert_ne!(first[0].one("RSeq"), second[0].one("RSeq"));
    let swapped = prack(2, &second[0], "x", "").replace(second[0].one("RSeq"), first[0].one("RSeq"));
    assert!(calls.from(ALICE, &swapped)[0].first().starts_with("SIP/2.0 481"));
    for (i, (early, at)) in [(&second[0], BOB2), (&first[0], BOB)].into_iter().enumerate() {
        let acked = calls.from(ALICE, &prack(3, early, &format!("p{i}"), ""));
        assert_eq!(acked[0].to, at);
        calls.from(at, &response(&acked[0], "200 OK", "", "", ""));
    }
    let busy = "486 Busy Here";
    calls.from(BOB, &response(&one, busy, "b1", "", ""));
    calls.from(BOB2, &response(&two, busy, "b2", "", ""));
    calls.finish();
}

#[test]
fn offers_wait_for_each_other_before_the_answer() {
    let mut calls = Calls::new(calls_config());
    let to_bob = calls.from(ALICE, &invite(SUPPORTS))[1].clone();
    let ringing = calls.from(BOB, &response(&to_bob, "180 Ringing", "b1", BOB, ""));
    // The offer of the INVITE has no answer.
    let own = calls.from(ALICE, &by_caller("UPDATE", 2, &ringing[0], "u1", OFFER));
    assert!(own[0].first().starts_with("SIP/2.0 500"));
    assert!(!own[0].one("Retry-After").is_empty());
    let crossed = calls.from(BOB, &by_callee("UPDATE", 7, &to_bob, "b1", "u2", OFFER));
    assert_eq!(crossed[0].first(), "SIP/2.0 491 Request Pending");
    let invite = calls.from(BOB, &by_callee("INVITE", 8, &to_bob, "b1", "i1", OFFER));
    assert_eq!(invite[0].first(), "SIP/2.0 491 Request Pending");
    // Without an offer it is as any request.
    let plain = calls.from(ALICE, &by_caller("UPDATE", 3, &ringing[0], "u3", ""));
    assert_eq!(lines(&plain), [(BOB, "UPDATE sip:x@192.0.2.9:5060 SIP/2.0")]);
    calls.from(BOB, &response(&plain[0], "200 OK", "", BOB, ""));
    let early = calls.from(BOB, &reliable(&to_bob, "183 Session Progress", "b1", 7, ANSWER));
    let untold = calls.from(BOB, &by_callee("UPDATE", 9, &to_bob, "b1", "u4", OFFER));
    assert_eq!(untold[0].first(), "SIP/2.0 491 Request Pending", "its answer is not acknowledged");
    let acked = calls.from(ALICE, &prack(4, &early[0], "prack", ""));
    calls.from(BOB, &response(&acked[0], "200 OK", "", "", ""));
    let update = calls.from(ALICE, &by_caller("UPDATE", 5, &ringing[0], "u5", OFFER));
    assert_eq!(lines(&update), [(BOB, "UPDATE sip:x@192.0.2.9:5060 SIP/2.0")]);
    let again = calls.from(ALICE, &by_caller("UPDATE", 6, &ringing[0], "u6", ""));
    assert!(again[0].first().starts_with("SIP/2.0 500"), "RFC 3311 s5.2");
    let crossed = calls.from(BOB, &by_callee("UPDATE", 10, &to_bob, "b1", "u7", OFFER));
    assert_eq!(crossed[0].first(), "SIP/2.0 491 Request Pending");
    let done = calls.from(BOB, &response(&update[0], "200 OK", "", BOB, ANSWER));
    assert_eq!((done[0].first(), done[0].body()), ("SIP/2.0 200 OK", ANSWER));
    let theirs = calls.from(BOB, &by_callee("UPDATE", 11, &to_bob, "b1", "u8", OFFER));
    assert_eq!(lines(&theirs), [(ALICE, "UPDATE sip:alice@192.0.2.8:5060 SIP/2.0")]);
    calls.from(ALICE, &response(&theirs[0], "200 OK", "", ALICE, ANSWER));
    calls.from(BOB, &response(&to_bob, "486 Busy Here", "b1", "", ""));
    calls.finish();
}

#[test]
fn an_offer_of_the_callee_is_answered_in_prack() {
    let mut calls = Calls::new(calls_config());
    let empty = invite(SUPPORTS).replace(OFFER, "").replace(
        &format!("Content-Type: application/sdp\r\nContent-Length: {}", OFFER.len()),
        "Content-Length: 0",
    );
    let to_bob = calls.from(ALICE, &empty)[1].clone();
    let early = calls.from(BOB, &reliable(&to_bob, "183 Session Progress", "b1", 7, ANSWER));
    let own = calls.from(ALICE, &by_caller("UPDATE", 2, &early[0], "u1", OFFER));
    assert_eq!(own[0].first(), "SIP/2.0 491 Request Pending", "it is for her to answer");
    let acked = calls.from(ALICE, &prack(3, &early[0], "prack", OFFER));
    assert_eq!(acked[0].body(), OFFER);
    calls.from(BOB, &response(&acked[0], "200 OK", "", "", ""));
    let ok = calls.from(BOB, &response(&to_bob, "200 OK", "b1", BOB, ""));
    calls.from(ALICE, &by_caller("ACK", 1, &ok[0], "ack", ""));
    hang_up(&mut calls, &to_bob, &ok[0], 4);
    calls.finish();
}

#[test]
fn offers_wait_for_each_other_within_a_call() {
    let mut calls = Calls::new(calls_config());
    let (to_bob, ok) = established(&mut calls);
    let update = calls.from(ALICE, &by_caller("UPDATE", 2, &ok, "u1", OFFER));
    let crossed = calls.from(BOB, &by_callee("INVITE", 7, &to_bob, "b1", "i1", OFFER));
    assert_eq!(crossed[0].first(), "SIP/2.0 491 Request Pending");
    let soon = calls.from(ALICE, &by_caller("INVITE", 3, &ok, "i2", OFFER));
    assert!(soon[0].first().starts_with("SIP/2.0 500"));
    calls.from(BOB, &response(&update[0], "488 Not Acceptable Here", "", "", ""));
    let hold = calls.from(BOB, &by_callee("INVITE", 8, &to_bob, "b1", "i3", OFFER));
    assert!(hold[0].first().starts_with("INVITE"));
    let crossed = calls.from(ALICE, &by_caller("UPDATE", 4, &ok, "u2", OFFER));
    assert_eq!(crossed[0].first(), "SIP/2.0 491 Request Pending");
    let held = calls.from(ALICE, &response(&hold[0], "200 OK", "", ALICE, ANSWER));
    assert_eq!(lines(&held), [(BOB, "SIP/2.0 200 OK")]);
    // Until it is acknowledged.
    let crossed = calls.from(ALICE, &by_caller("UPDATE", 5, &ok, "u3", OFFER));
    assert_eq!(crossed[0].first(), "SIP/2.0 491 Request Pending");
    calls.from(BOB, &by_callee("ACK", 8, &to_bob, "b1", "ack3", ""));
    let update = calls.from(ALICE, &by_caller("UPDATE", 6, &ok, "u4", OFFER));
    assert_eq!(lines(&update), [(BOB, "UPDATE sip:bob@192.0.2.9:5060 SIP/2.0")]);
    calls.from(BOB, &response(&update[0], "200 OK", "", BOB, ANSWER));
    hang_up(&mut calls, &to_bob, &ok, 7);
    calls.finish();
}

#[test]
fn phones_that_are_shown_one_early_dialog_get_it_reliably_if_they_require_it() {
    let mut config = calls_config();
    config.calls.as_mut().expect("calls").single_early_dialog = true;
    let mut calls = Calls::new(config);
    let to_bob = calls.from(ALICE, &invite(REQUIRES))[1].clone();
    assert!(!to_bob.one("Supported").contains("100rel"), "what he says is not shown to her");
    let early = calls.from(BOB, &response(&to_bob, "183 Session Progress", "b1", BOB, ANSWER));
    assert_eq!((early[0].first(), early[0].body()), ("SIP/2.0 180 Ringing", ""));
    let acked = calls.from(ALICE, &prack(2, &early[0], "prack", ""));
    assert_eq!(lines(&acked), [(ALICE, "SIP/2.0 200 OK")]);
    calls.from(BOB, &response(&to_bob, "486 Busy Here", "b1", "", ""));
    calls.finish();
}
