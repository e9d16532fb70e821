//! Requests and responses of a call that overtake each other on the way: RFC 3261 s14.2, s15, RFC 3264 s8, RFC 5057 s5.1.

use super::calls::*;
use super::transfers::{CAROL, CAROL_OFFER, find, lines, refer, three};
use super::*;

fn refer_by_callee(number: u32, to_bob: &Sent, tag: &str, branch: &str) -> String {
    by_callee("REFER", number, to_bob, tag, branch, "")
        .replace("Content-Length", "Refer-To: <sip:alice@example.com>\r\nContent-Length")
}

#[test]
fn a_request_that_overtakes_the_answer_that_makes_its_dialog_is_told_that_an_invite_is_pending() {
    let mut calls = Calls::new(calls_config());
    let to_bob = calls.from(ALICE, &invite(""))[1].clone();
    let early = refer_by_callee(5, &to_bob, "b1", "early");
    for (request, line) in [
        (early.clone(), "SIP/2.0 491 Request Pending"),
        (by_callee("INFO", 6, &to_bob, "b1", "info", ""), "SIP/2.0 491 Request Pending"),
        (by_callee("BYE", 7, &to_bob, "b1", "bye1", ""), "SIP/2.0 481 Call/Transaction Does Not Exist"),
        // It is no dialog that this INVITE could make.
        (refer_by_callee(5, &to_bob, "b1", "e2").replace(";tag=", ";tag=x"), "SIP/2.0 481"),
    ] {
        let sent = calls.from(BOB, &request);
        assert!(sent.len() == 1 && sent[0].first().starts_with(line), "{:?}", lines(&sent));
    }
    // The dialog is known, and early.
    calls.from(BOB, &response(&to_bob, "180 Ringing", "b1", BOB, ""));
    let sent = calls.from(BOB, &refer_by_callee(8, &to_bob, "b1", "ringing"));
    assert_eq!(lines(&sent), [(BOB, "SIP/2.0 491 Request Pending")]);
    let ok = calls.from(BOB, &response(&to_bob, "200 OK", "b1", BOB, ANSWER))[0].clone();
    calls.from(ALICE, &by_caller("ACK", 1, &ok, "ack", ""));
    let sent = calls.from(BOB, &early);
    assert_eq!(lines(&sent), [(BOB, "SIP/2.0 491 Request Pending")], "as it was told before");
    let sent = calls.from(BOB, &refer_by_callee(9, &to_bob, "b1", "again"));
    let notify = find(&sent, BOB, "NOTIFY").clone();
    find(&sent, BOB, "SIP/2.0 200 OK");
    let to_alice = find(&sent, ALICE, "INVITE").clone();
    calls.from(BOB, &response(&notify, "200 OK", "", "", ""));
    let failed = calls.from(ALICE, &response(&to_alice, "486 Busy Here", "a9", "", ""));
    calls.from(BOB, &response(find(&failed, BOB, "NOTIFY"), "200 OK", "", "", ""));
    calls.caller_hangs_up(&ok, 2);
    calls.finish();
}

#[test]
fn what_the_caller_does_not_know_of_yet_is_no_end_for_the_callee() {
    let mut calls = Calls::new(calls_config());
    let to_bob = calls.from(ALICE, &invite(""))[1].clone();
    calls.from(BOB, &response(&to_bob, "180 Ringing", "b1", BOB, ""));
    let info = calls.from(BOB, &by_callee("INFO", 5, &to_bob, "b1", "info", ""));
    // The 180 was lost.
    let told = calls.from(ALICE, &response(&info[0], "481 Call/Transaction Does Not Exist", "", "", ""));
    assert_eq!(lines(&told), [(BOB, "SIP/2.0 491 Request Pending")]);
    let ok = calls.from(BOB, &response(&to_bob, "200 OK", "b1", BOB, ANSWER))[0].clone();
    calls.from(ALICE, &by_caller("ACK", 1, &ok, "ack", ""));
    calls.caller_hangs_up(&ok, 2);
    calls.finish();
}

#[test]
fn nobody_talks_to_a_callee_that_said_bye_before_its_answer_came() {
    let mut calls = Calls::new(calls_config());
    let to_bob = calls.from(ALICE, &invite(""))[1].clone();
    calls.from(BOB, &response(&to_bob, "180 Ringing", "b1", BOB, ""));
    let gone = calls.from(BOB, &by_callee("BYE", 5, &to_bob, "b1", "bye", ""));
    assert_eq!(lines(&gone), [(BOB, "SIP/2.0 200 OK")]);
    let answer = response(&to_bob, "200 OK", "b1", BOB, ANSWER);
    let late = calls.from(BOB, &answer);
    let told = [(BOB, "ACK sip:x@192.0.2.9:5060 SIP/2.0"), (ALICE, "SIP/2.0 480 Temporarily Unavailable")];
    assert_eq!(lines(&late), told);
    assert_eq!(lines(&calls.from(BOB, &answer)), [told[0]]);
    let ack =
        by_caller("ACK", 1, &late[1], "inv", "").replace("sip:192.0.2.1:5060 SIP", "sip:bob@example.com SIP");
    calls.from(ALICE, &ack);
    calls.finish();
}

#[test]
fn an_answer_that_a_bye_overtakes_is_acknowledged_and_no_more() {
    let mut calls = Calls::new(calls_config());
    let (to_bob, ok) = established(&mut calls);
    let sent = calls.from(BOB, &by_callee("INVITE", 5, &to_bob, "b1", "new", ANSWER));
    let to_alice = find(&sent, ALICE, "INVITE").clone();
    let bye = calls.from(ALICE, &by_caller("BYE", 2, &ok, "bye", ""));
    let refused = find(&bye, BOB, "SIP/2.0 487").clone();
    calls.from(BOB, &by_callee("ACK", 5, &to_bob, "b1", "new", ""));
    assert_eq!(refused.one("CSeq"), "5 INVITE");
    calls.from(BOB, &response(find(&bye, BOB, "BYE"), "200 OK", "", "", ""));
    // She sent it before her BYE: there is nothing to be ended any more.
    let late = calls.from(ALICE, &response(&to_alice, "200 OK", "", ALICE, OFFER));
    assert_eq!(lines(&late), [(ALICE, "ACK sip:x@192.0.2.8:5060 SIP/2.0")]);
    calls.finish();
}

#[test]
fn what_was_offered_and_refused_has_had_its_version() {
    let mut calls = three();
    let (_, ok) = established(&mut calls);
    let hold = OFFER.replace("alice 1 1", "alice 1 2").replace("s=-", "s=hold");
    let sent = calls.from(ALICE, &by_caller("INVITE", 2, &ok, "hold", &hold));
    let to_bob = find(&sent, BOB, "INVITE").clone();
    let refused = calls.from(BOB, &response(&to_bob, "488 Not Acceptable Here", "", "", ""));
    find(&refused, ALICE, "SIP/2.0 488");
    calls.from(ALICE, &by_caller("ACK", 2, &ok, "hold", ""));
    let sent = calls.from(ALICE, &refer(&ok, 3, "<sip:carol@example.com>", ""));
    calls.from(ALICE, &response(find(&sent, ALICE, "NOTIFY"), "200 OK", "", "", ""));
    let to_carol = find(&sent, CAROL, "INVITE").clone();
    let answered = calls.from(CAROL, &response(&to_carol, "200 OK", "c1", CAROL, CAROL_OFFER));
    let again = find(&answered, BOB, "INVITE").clone();
    assert!(again.body().contains("o=alice 1 3 IN"), "{}", again.body());
    let settled = calls.from(BOB, &response(&again, "200 OK", "", BOB, ANSWER));
    let last = calls.from(ALICE, &response(find(&settled, ALICE, "NOTIFY"), "200 OK", "", "", ""));
    calls.from(ALICE, &response(find(&last, ALICE, "BYE"), "200 OK", "", "", ""));
    let bye = calls.from(CAROL, &by_callee("BYE", 7, &to_carol, "c1", "bye", "").replace(BOB, CAROL));
    calls.from(BOB, &response(find(&bye, BOB, "BYE"), "200 OK", "", "", ""));
    calls.finish();
}

#[test]
fn what_an_earlier_transfer_asked_is_no_answer_to_the_next_one() {
    let mut calls = three();
    let (_, ok) = established(&mut calls);
    let sent = calls.from(ALICE, &refer(&ok, 2, "<sip:carol@example.com>", ""));
    calls.from(ALICE, &response(find(&sent, ALICE, "NOTIFY"), "200 OK", "", "", ""));
    let to_carol = find(&sent, CAROL, "INVITE").clone();
    let answered = calls.from(CAROL, &response(&to_carol, "200 OK", "c1", CAROL, CAROL_OFFER));
    let offer = find(&answered, BOB, "INVITE").clone();
    // Carol has changed her mind when bob takes up her session: he is asked back.
    let gone = calls.from(CAROL, &by_callee("BYE", 7, &to_carol, "c1", "bye", "").replace(BOB, CAROL));
    calls.from(ALICE, &response(find(&gone, ALICE, "NOTIFY"), "200 OK", "", "", ""));
    let back = calls.from(BOB, &response(&offer, "200 OK", "", BOB, ANSWER));
    let restored = find(&back, BOB, "INVITE").clone();
    // Alice tries once more before he has answered that.
    let more = refer(&ok, 3, "<sip:carol@example.com>", "").replace("z9hG4bKrefer", "z9hG4bKmore");
    let sent = calls.from(ALICE, &more);
    let to_carol = find(&sent, CAROL, "INVITE").clone();
    calls.from(ALICE, &response(find(&sent, ALICE, "NOTIFY"), "200 OK", "", "", ""));
    let settled = calls.from(BOB, &response(&restored, "200 OK", "", BOB, ANSWER));
    assert_eq!(lines(&settled), [(BOB, find(&settled, BOB, "ACK").first())], "nobody has answered that");
    let answered = calls.from(CAROL, &response(&to_carol, "200 OK", "c2", CAROL, CAROL_OFFER));
    let offer = find(&answered, BOB, "INVITE").clone();
    let agreed = calls.from(BOB, &response(&offer, "200 OK", "", BOB, ANSWER));
    let last = calls.from(ALICE, &response(find(&agreed, ALICE, "NOTIFY"), "200 OK", "", "", ""));
    calls.from(ALICE, &response(find(&last, ALICE, "BYE"), "200 OK", "", "", ""));
    assert_eq!(calls.on_the_phone(), 2);
    let bye = calls.from(CAROL, &by_callee("BYE", 8, &to_carol, "c2", "bye2", "").replace(BOB, CAROL));
    calls.from(BOB, &response(find(&bye, BOB, "BYE"), "200 OK", "", "", ""));
    calls.finish();
}

#[test]
fn a_refresh_that_is_answered_after_a_transfer_leaves_nothing_behind() {
    let mut calls = three();
    let to_bob = calls.from(ALICE, &invite(""))[1].clone();
    let lines =
        "Require: timer\r\nSession-Expires: 90;refresher=uac\r\nAllow: INVITE, UPDATE\r\nContent-Type";
    let answer = response(&to_bob, "200 OK", "b1", BOB, ANSWER).replace("Content-Type", lines);
    let ok = calls.from(BOB, &answer)[0].clone();
    calls.from(ALICE, &by_caller("ACK", 1, &ok, "ack", ""));
    calls.wait(Duration::from_secs(44));
    let sent = calls.from(ALICE, &refer(&ok, 2, "<sip:carol@example.com>", ""));
    calls.from(ALICE, &response(find(&sent, ALICE, "NOTIFY"), "200 OK", "", "", ""));
    let to_carol = find(&sent, CAROL, "INVITE").clone();
    let ringing = calls.from(CAROL, &response(&to_carol, "180 Ringing", "c1", CAROL, ""));
    calls.from(ALICE, &response(find(&ringing, ALICE, "NOTIFY"), "200 OK", "", "", ""));
    let refresh = find(&calls.wait(Duration::from_secs(2)), BOB, "UPDATE").clone();
    let answered = calls.from(CAROL, &response(&to_carol, "200 OK", "c1", CAROL, CAROL_OFFER));
    let offer = find(&answered, BOB, "INVITE").clone();
    let agreed = calls.from(BOB, &response(&offer, "200 OK", "", BOB, ANSWER));
    let last = calls.from(ALICE, &response(find(&agreed, ALICE, "NOTIFY"), "200 OK", "", "", ""));
    calls.from(ALICE, &response(find(&last, ALICE, "BYE"), "200 OK", "", "", ""));
    // The INVITE overtook it.
    calls.from(BOB, &response(&refresh, "500 Server Internal Error", "", "", ""));
    assert_eq!(calls.host.engine.sizes().calls, 1);
    let bye = calls.from(CAROL, &by_callee("BYE", 8, &to_carol, "c1", "bye", "").replace(BOB, CAROL));
    calls.from(BOB, &response(find(&bye, BOB, "BYE"), "200 OK", "", "", ""));
    calls.finish();
}

/// RFC 3261 s16.7 step 5 lets such a 2xx come through proxies; a phone that began anew sends it to a late copy.
#[test]
fn who_answers_an_invite_that_was_refused_is_acknowledged_and_let_go() {
    let mut calls = Calls::new(calls_config());
    let to_bob = calls.from(ALICE, &invite(""))[1].clone();
    calls.from(BOB, &response(&to_bob, "486 Busy Here", "b1", "", ""));
    let answer = response(&to_bob, "200 OK", "b2", BOB, ANSWER);
    let late = calls.from(BOB, &answer);
    let firsts: Vec<&str> = late.iter().map(|sent| &sent.first()[..3]).collect();
    assert_eq!(firsts, ["ACK", "BYE"], "{:?}", lines(&late));
    assert_eq!(late[0].body(), "");
    assert!(late.iter().all(|sent| sent.to == BOB && sent.one("To").ends_with(";tag=b2")));
    let again = calls.from(BOB, &answer);
    assert_eq!(lines(&again), lines(&late[..1]));
    calls.from(BOB, &response(&late[1], "200 OK", "", "", ""));
    calls.finish();
}
