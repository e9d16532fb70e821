//! UPDATE with an offer to a side that takes none, through the engine's doors: RFC 3311 s4, s5.1, RFC 4320 s4.2.

use super::calls::*;
use super::transfers::{find, lines};
use super::*;

const HOLD: &str = "v=0\r\no=alice 1 2 IN IP4 192.0.2.8\r\ns=-\r\n";
const HELD: &str = "v=0\r\no=bob 1 2 IN IP4 192.0.2.9\r\ns=-\r\n";

/// Alice talks to bob, who says what he allows, and sends an UPDATE: what that makes us send.
fn updated(allow: &str) -> (Calls, Sent, Vec<Sent>) {
    let mut calls = Calls::new(calls_config());
    let to_bob = calls.from(ALICE, &invite(""))[1].clone();
    let answer = response(&to_bob, "200 OK", "b1", BOB, ANSWER)
        .replace("Content-Type", &format!("{allow}Content-Type"));
    let ok = calls.from(BOB, &answer)[0].clone();
    calls.from(ALICE, &by_caller("ACK", 1, &ok, "ack", ""));
    let sent = calls.from(ALICE, &by_caller("UPDATE", 2, &ok, "update", HOLD));
    (calls, ok, sent)
}

fn hang_up(mut calls: Calls, ok: &Sent) {
    calls.caller_hangs_up(ok, 9);
    calls.finish();
}

const NONE: &str = "Allow: INVITE, ACK, CANCEL, BYE\r\n";

#[test]
fn it_goes_on_as_an_invite_whose_answer_is_acknowledged_here() {
    let (mut calls, ok, sent) = updated(NONE);
    assert_eq!(lines(&sent), [(BOB, "INVITE sip:x@192.0.2.9:5060 SIP/2.0")]);
    assert_eq!(sent[0].body(), HOLD);
    let rings = calls.from(BOB, &response(&sent[0], "180 Ringing", "", BOB, ""));
    assert_eq!(lines(&rings), [], "there is no such response to an UPDATE");
    let agreed = calls.from(BOB, &response(&sent[0], "200 OK", "", BOB, HELD));
    let told = find(&agreed, ALICE, "SIP/2.0 200 OK");
    assert_eq!((told.one("CSeq"), told.body()), ("2 UPDATE", HELD));
    assert_eq!(find(&agreed, BOB, "ACK").one("CSeq"), sent[0].one("CSeq").replace("INVITE", "ACK"));
    let again = calls.from(BOB, &response(&sent[0], "200 OK", "", BOB, HELD));
    assert_eq!(lines(&again), [(BOB, "ACK sip:x@192.0.2.9:5060 SIP/2.0")]);
    hang_up(calls, &ok);
}

#[test]
fn who_takes_too_long_is_asked_back_when_he_agrees_after_all() {
    let (mut calls, ok, sent) = updated(NONE);
    calls.from(BOB, &response(&sent[0], "180 Ringing", "", BOB, ""));
    let late = calls.wait(Duration::from_secs(30));
    assert_eq!(find(&late, ALICE, "SIP/2.0 504").one("CSeq"), "2 UPDATE");
    let cancel = find(&late, BOB, "CANCEL").clone();
    calls.from(BOB, &response(&cancel, "200 OK", "", "", ""));
    let crossed = calls.from(BOB, &response(&sent[0], "200 OK", "", BOB, HELD));
    find(&crossed, BOB, "ACK");
    let back = find(&crossed, BOB, "INVITE").clone();
    assert_eq!(back.body(), OFFER.replace("alice 1 1", "alice 1 3"), "the session there was");
    let settled = calls.from(BOB, &response(&back, "200 OK", "", BOB, ANSWER));
    assert_eq!(lines(&settled), [(BOB, "ACK sip:x@192.0.2.9:5060 SIP/2.0")]);
    hang_up(calls, &ok);
}

#[test]
fn silence_is_told_as_to_any_other_request_than_invite() {
    let (mut calls, _, sent) = updated(NONE);
    assert!(sent[0].first().starts_with("INVITE"));
    let late = calls.wait(Duration::from_secs(40));
    assert_eq!(find(&late, ALICE, "SIP/2.0 504").one("CSeq"), "2 UPDATE");
    calls.finish();
}

#[test]
fn who_refuses_the_method_without_having_said_so_is_asked_by_invite() {
    for status in ["405 Method Not Allowed", "501 Not Implemented"] {
        let (mut calls, ok, sent) = updated("");
        assert_eq!(lines(&sent), [(BOB, "UPDATE sip:x@192.0.2.9:5060 SIP/2.0")]);
        let asked = calls.from(BOB, &response(&sent[0], status, "", "", ""));
        assert_eq!(lines(&asked), [(BOB, "INVITE sip:x@192.0.2.9:5060 SIP/2.0")]);
        assert_eq!(asked[0].body(), HOLD);
        let refused = calls.from(BOB, &response(&asked[0], "491 Request Pending", "", "", ""));
        assert_eq!(find(&refused, ALICE, "SIP/2.0 491").one("CSeq"), "2 UPDATE");
        hang_up(calls, &ok);
    }
}
