//! INVITE with Replaces through the engine's doors: who takes whose place, and what everybody is sent.

use super::calls::*;
use super::transfers::{CAROL, CAROL_OFFER, all_of, find, lines, refer, three_with};
use super::*;

/// Another phone of alice.
const ALICE2: &str = "192.0.2.18:5060";
const DAN: &str = "192.0.2.12:5060";

/// Bob and carol pick up for each other; alice and dan do not.
fn office() -> Calls {
    three_with(|config| {
        for account in &mut config.accounts {
            if account.username != "alice" {
                account.pickup = vec!["office".into()];
            }
        }
        let password = Some(Secret("x".to_owned()));
        config.accounts.push(AccountConfig { username: "dan".into(), password, ..AccountConfig::default() });
    })
}

/// An INVITE of this user that replaces.
fn taking(user: &str, at: &str, call: &str, replaces: &str, sdp: &str) -> String {
    format!(
        "INVITE sip:192.0.2.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bKt{call}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{user}@example.com>;tag=t{call}\r\nTo: <sip:alice@example.com>\r\n\
         Call-ID: {call}\r\nCSeq: 1 INVITE\r\nContact: <sip:{user}@{at}>\r\nRequire: replaces\r\n\
         {replaces}{}",
        body(sdp)
    )
}

/// A request of whoever sent an INVITE, in the dialog that its 2xx made.
fn within(method: &str, at: &str, cseq: u32, ok: &Sent, sdp: &str) -> String {
    by_caller(method, cseq, ok, &format!("{method}{cseq}{}", ok.one("Call-ID")), sdp).replace(ALICE, at)
}

/// The Replaces of a call at a phone, as its `dialog` event names it: what is remote there is ours.
fn at_phone(invite: &Sent, tag: &str, more: &str) -> String {
    let (call, ours) = (invite.one("Call-ID"), invite.tag("From"));
    format!("Replaces: {call};to-tag={ours};from-tag={tag}{more}\r\n")
}

/// The same of the call of a caller.
fn at_caller(ok: &Sent, more: &str) -> String {
    let (call, ours, theirs) = (ok.one("Call-ID"), ok.tag("To"), ok.tag("From"));
    format!("Replaces: {call};to-tag={ours};from-tag={theirs}{more}\r\n")
}

/// A call of alice that rings at bob's phone.
fn ringing(calls: &mut Calls) -> (Sent, Sent) {
    let sent = calls.from(ALICE, &invite(""));
    let to_bob = find(&sent, BOB, "INVITE").clone();
    let ringing = calls.from(BOB, &response(&to_bob, "180 Ringing", "b1", BOB, ""));
    (to_bob, find(&ringing, ALICE, "SIP/2.0 180").clone())
}

fn stops(calls: &mut Calls, at: &str, to: &Sent, sent: &[Sent]) {
    calls.from(at, &response(find(sent, at, "CANCEL"), "200 OK", "", "", ""));
    calls.from(at, &response(to, "487 Request Terminated", "b1", "", ""));
}

#[test]
fn a_call_that_rings_is_picked_up_by_a_phone_of_the_group() {
    let mut calls = office();
    calls.register("bob", BOB2, "");
    calls.ladder.clear();
    let sent = calls.from(ALICE, &invite(""));
    let (one, two) = (find(&sent, BOB, "INVITE").clone(), find(&sent, BOB2, "INVITE").clone());
    calls.from(BOB, &response(&one, "180 Ringing", "b1", BOB, ""));
    calls.from(BOB2, &response(&two, "180 Ringing", "b1", BOB2, ""));
    let mut all =
        calls.from(CAROL, &taking("carol", CAROL, "p1", &at_phone(&one, "b1", ";early-only"), CAROL_OFFER));
    let ok = find(&all, CAROL, "SIP/2.0 200").clone();
    stops(&mut calls, BOB, &one, &all);
    stops(&mut calls, BOB2, &two, &all);
    // Who comes second hears that it is busy.
    let late = calls.from(CAROL, &taking("carol", CAROL, "p2", &at_phone(&two, "b1", ""), CAROL_OFFER));
    assert!(late[0].first().starts_with("SIP/2.0 481"), "its dialog is gone: {:?}", lines(&late));
    let asked = calls.from(CAROL, &within("ACK", CAROL, 1, &ok, ""));
    let asked_for = find(&asked, CAROL, "INVITE").clone();
    assert!(asked_for.body().contains("IN IP4 192.0.2.8"), "the offer of alice: {}", asked_for.body());
    all.extend(asked);
    // Nothing of hers goes on to alice, who has no answer yet.
    let early = calls.from(CAROL, &within("INFO", CAROL, 2, &ok, ""));
    assert!(early[0].first().starts_with("SIP/2.0 491"), "{:?}", lines(&early));
    let answered = calls.from(CAROL, &response(&asked_for, "200 OK", "", CAROL, CAROL_OFFER));
    let her_ok = find(&answered, ALICE, "SIP/2.0 200").clone();
    assert_eq!(calls.on_the_phone(), 2);
    all.extend(answered);
    all.extend(calls.from(ALICE, &by_caller("ACK", 1, &her_ok, "ack", "")));
    let bye = calls.from(ALICE, &by_caller("BYE", 2, &her_ok, "bye", ""));
    calls.from(CAROL, &response(find(&bye, CAROL, "BYE"), "200 OK", "", "", ""));
    all.extend(bye);
    insta::assert_snapshot!("a_pickup", format!("{}{}", all_of(&all), calls.finish()));
}

#[test]
fn a_phone_that_answers_while_it_is_picked_up_is_told_to_go() {
    let mut calls = office();
    let (to_bob, _) = ringing(&mut calls);
    let sent = calls.from(CAROL, &taking("carol", CAROL, "p1", &at_phone(&to_bob, "b1", ""), CAROL_OFFER));
    let ok = find(&sent, CAROL, "SIP/2.0 200").clone();
    let late = calls.from(BOB, &response(&to_bob, "200 OK", "b1", BOB, ANSWER));
    assert_eq!(late.iter().map(|sent| &*sent.to).collect::<Vec<_>>(), [BOB, BOB], "{:?}", lines(&late));
    calls.from(BOB, &response(find(&late, BOB, "BYE"), "200 OK", "", "", ""));
    let asked = calls.from(CAROL, &within("ACK", CAROL, 1, &ok, ""));
    let answered =
        calls.from(CAROL, &response(find(&asked, CAROL, "INVITE"), "200 OK", "", CAROL, CAROL_OFFER));
    let her_ok = find(&answered, ALICE, "SIP/2.0 200").clone();
    calls.from(ALICE, &by_caller("ACK", 1, &her_ok, "ack", ""));
    let bye = calls.from(ALICE, &by_caller("BYE", 2, &her_ok, "bye", ""));
    calls.from(CAROL, &response(find(&bye, CAROL, "BYE"), "200 OK", "", "", ""));
    calls.finish();
}

#[test]
fn who_picks_up_without_an_offer_answers_that_of_the_caller() {
    let mut calls = office();
    let (to_bob, _) = ringing(&mut calls);
    let sent = calls.from(CAROL, &taking("carol", CAROL, "p1", &at_phone(&to_bob, "b1", ""), ""));
    let ok = find(&sent, CAROL, "SIP/2.0 200").clone();
    assert_eq!(ok.body(), OFFER);
    stops(&mut calls, BOB, &to_bob, &sent);
    let answered = calls.from(CAROL, &within("ACK", CAROL, 1, &ok, CAROL_OFFER));
    assert_eq!(lines(&answered), [(ALICE, "SIP/2.0 200 OK")]);
    assert_eq!(answered[0].body(), CAROL_OFFER);
    calls.from(ALICE, &by_caller("ACK", 1, &answered[0], "ack", ""));
    let bye = calls.from(CAROL, &within("BYE", CAROL, 2, &ok, ""));
    calls.from(ALICE, &response(find(&bye, ALICE, "BYE"), "200 OK", "", "", ""));
    calls.finish();
}

#[test]
fn a_caller_without_an_offer_gets_that_of_who_picks_up() {
    let mut calls = office();
    let bare = invite("").replace(&body(OFFER), &body(""));
    let to_bob = find(&calls.from(ALICE, &bare), BOB, "INVITE").clone();
    calls.from(BOB, &response(&to_bob, "180 Ringing", "b1", BOB, ""));
    let neither = calls.from(CAROL, &taking("carol", CAROL, "p0", &at_phone(&to_bob, "b1", ""), ""));
    assert!(neither[0].first().starts_with("SIP/2.0 488"));
    let sent = calls.from(CAROL, &taking("carol", CAROL, "p1", &at_phone(&to_bob, "b1", ""), CAROL_OFFER));
    let ok = find(&sent, CAROL, "SIP/2.0 200").clone();
    stops(&mut calls, BOB, &to_bob, &sent);
    let asked = calls.from(CAROL, &within("ACK", CAROL, 1, &ok, ""));
    assert_eq!(find(&asked, CAROL, "INVITE").body(), "");
    let offered =
        calls.from(CAROL, &response(find(&asked, CAROL, "INVITE"), "200 OK", "", CAROL, CAROL_OFFER));
    let her_ok = find(&offered, ALICE, "SIP/2.0 200").clone();
    assert_eq!(her_ok.body(), CAROL_OFFER);
    let ack = calls.from(ALICE, &by_caller("ACK", 1, &her_ok, "ack", ANSWER));
    assert!(find(&ack, CAROL, "ACK").body().contains("192.0.2.9"), "her answer");
    let bye = calls.from(ALICE, &by_caller("BYE", 2, &her_ok, "bye", ""));
    calls.from(CAROL, &response(find(&bye, CAROL, "BYE"), "200 OK", "", "", ""));
    calls.finish();
}

#[test]
fn a_caller_who_gives_up_while_he_is_picked_up_ends_it_for_both() {
    for acked in [false, true] {
        let mut calls = office();
        let (to_bob, _) = ringing(&mut calls);
        let sent =
            calls.from(CAROL, &taking("carol", CAROL, "p1", &at_phone(&to_bob, "b1", ""), CAROL_OFFER));
        let ok = find(&sent, CAROL, "SIP/2.0 200").clone();
        stops(&mut calls, BOB, &to_bob, &sent);
        let mut asked = Vec::new();
        if acked {
            asked = calls.from(CAROL, &within("ACK", CAROL, 1, &ok, ""));
        }
        let cancelled = calls.from(ALICE, &invite("").replace("INVITE", "CANCEL"));
        find(&cancelled, ALICE, "SIP/2.0 487");
        let bye = match acked {
            // RFC 3261 s15: not before her ACK.
            false => calls.from(CAROL, &within("ACK", CAROL, 1, &ok, "")),
            true => cancelled,
        };
        calls.from(CAROL, &response(find(&bye, CAROL, "BYE"), "200 OK", "", "", ""));
        if let Some(open) = asked.first() {
            let late = calls.from(CAROL, &response(open, "200 OK", "", CAROL, CAROL_OFFER));
            assert_eq!(late.len(), 1, "acknowledged: {:?}", lines(&late));
        }
        calls.finish();
    }
}

#[test]
fn who_picks_up_and_does_not_agree_or_goes_leaves_the_caller_with_a_final_response() {
    for what in ["488", "bye", "silence"] {
        let mut calls = office();
        let (to_bob, _) = ringing(&mut calls);
        let sent =
            calls.from(CAROL, &taking("carol", CAROL, "p1", &at_phone(&to_bob, "b1", ""), CAROL_OFFER));
        let ok = find(&sent, CAROL, "SIP/2.0 200").clone();
        stops(&mut calls, BOB, &to_bob, &sent);
        let told = match what {
            "silence" => calls.wait(Duration::from_secs(33)),
            _ => {
                let asked = calls.from(CAROL, &within("ACK", CAROL, 1, &ok, ""));
                match what {
                    "bye" => calls.from(CAROL, &within("BYE", CAROL, 2, &ok, "")),
                    _ => calls.from(
                        CAROL,
                        &response(find(&asked, CAROL, "INVITE"), "488 Not Acceptable Here", "", "", ""),
                    ),
                }
            }
        };
        find(&told, ALICE, "SIP/2.0 4");
        if what != "bye" {
            calls.from(CAROL, &response(find(&told, CAROL, "BYE"), "200 OK", "", "", ""));
        }
        calls.finish();
    }
}

#[test]
fn a_side_of_an_answered_call_is_replaced_by_another_phone_of_its_user() {
    let mut calls = office();
    let (to_bob, ok) = established(&mut calls);
    let mut all = calls.from(ALICE2, &taking("alice", ALICE2, "t1", &at_caller(&ok, ""), CAROL_OFFER));
    let asked = find(&all, BOB, "INVITE").clone();
    assert_eq!(asked.one("Call-ID"), to_bob.one("Call-ID"));
    let agreed = calls.from(BOB, &response(&asked, "200 OK", "", BOB, ANSWER));
    assert_eq!(lines(&agreed), [(ALICE2, "SIP/2.0 200 OK"), (ALICE, "BYE sip:alice@192.0.2.8:5060 SIP/2.0")]);
    let new = agreed[0].clone();
    assert_eq!(new.body(), ANSWER);
    all.extend(agreed);
    calls.from(ALICE, &response(find(&all, ALICE, "BYE"), "200 OK", "", "", ""));
    // It was repeated before it was acknowledged.
    assert_eq!(calls.from(BOB, &response(&asked, "200 OK", "", BOB, ANSWER)).len(), 0);
    all.extend(calls.from(ALICE2, &within("ACK", ALICE2, 1, &new, "")));
    let again = calls.from(BOB, &response(&asked, "200 OK", "", BOB, ANSWER));
    assert_eq!(lines(&again), [(BOB, "ACK sip:x@192.0.2.9:5060 SIP/2.0")]);
    assert_eq!(calls.on_the_phone(), 2);
    let bye = calls.from(BOB, &by_callee("BYE", 7, &to_bob, "b1", "bye", ""));
    calls.from(ALICE2, &response(find(&bye, ALICE2, "BYE"), "200 OK", "", "", ""));
    all.extend(bye);
    insta::assert_snapshot!("an_answered_call_changes_hands", format!("{}{}", all_of(&all), calls.finish()));
}

#[test]
fn the_callee_is_replaced_without_an_offer_and_may_hang_up_meanwhile() {
    let mut calls = office();
    let (to_bob, _) = established(&mut calls);
    let sent = calls.from(BOB2, &taking("bob", BOB2, "t1", &at_phone(&to_bob, "b1", ""), ""));
    let asked = find(&sent, ALICE, "INVITE").clone();
    assert_eq!(asked.body(), "");
    let bye = calls.from(BOB, &by_callee("BYE", 7, &to_bob, "b1", "bye", ""));
    assert_eq!(lines(&bye), [(BOB, "SIP/2.0 200 OK")], "alice stays");
    let offered = calls.from(ALICE, &response(&asked, "200 OK", "", ALICE, OFFER));
    assert_eq!(lines(&offered), [(BOB2, "SIP/2.0 200 OK")]);
    let ack = calls.from(BOB2, &within("ACK", BOB2, 1, &offered[0], ANSWER));
    assert!(find(&ack, ALICE, "ACK").body().contains("192.0.2.9"));
    let bye = calls.from(BOB2, &within("BYE", BOB2, 2, &offered[0], ""));
    calls.from(ALICE, &response(find(&bye, ALICE, "BYE"), "200 OK", "", "", ""));
    calls.finish();
}

#[test]
fn a_change_of_hands_that_fails_leaves_the_call_as_it_was() {
    let mut calls = office();
    let (_, ok) = established(&mut calls);
    let sent = calls.from(ALICE2, &taking("alice", ALICE2, "t1", &at_caller(&ok, ""), CAROL_OFFER));
    let refused =
        calls.from(BOB, &response(find(&sent, BOB, "INVITE"), "488 Not Acceptable Here", "", "", ""));
    find(&refused, ALICE2, "SIP/2.0 488");
    // Given up: what was agreed with who is gone is taken back.
    let again = taking("alice", ALICE2, "t2", &at_caller(&ok, ""), CAROL_OFFER);
    let sent = calls.from(ALICE2, &again);
    let asked = find(&sent, BOB, "INVITE").clone();
    let third = calls.from(ALICE2, &taking("alice", ALICE2, "t3", &at_caller(&ok, ""), CAROL_OFFER));
    assert!(third[0].first().starts_with("SIP/2.0 491"), "one at a time: {:?}", lines(&third));
    find(&calls.from(ALICE2, &again.replace("INVITE", "CANCEL")), ALICE2, "SIP/2.0 487");
    let crossed = calls.from(BOB, &response(&asked, "200 OK", "", BOB, ANSWER));
    let back = find(&crossed, BOB, "INVITE").clone();
    find(&crossed, BOB, "ACK");
    assert!(back.body().contains("IN IP4 192.0.2.8"), "alice's: {}", back.body());
    calls.from(BOB, &response(&back, "200 OK", "", BOB, ANSWER));
    calls.caller_hangs_up(&ok, 2);
    // It is over, and bob has not said that he knows.
    calls.finish();
}

#[test]
fn what_may_not_be_replaced_is_refused_and_does_not_tell_why() {
    let mut calls = office();
    calls.register("dan", DAN, "");
    let (to_bob, rings) = ringing(&mut calls);
    let (early, own) = (at_phone(&to_bob, "b1", ""), at_caller(&rings, ""));
    let nothing = early.replace("to-tag=", "to-tag=x");
    let twice = format!("{early}{early}");
    let mut table = String::new();
    let mut ask = |calls: &mut Calls, what: &str, user: &str, replaces: &str| {
        let n = table.lines().count();
        let sent = calls.from(DAN, &taking(user, DAN, &format!("n{n}"), replaces, OFFER));
        let _ = writeln!(table, "{what:<48} {user:<6} {}", sent[0].first());
        sent[0].text.split_once("Content-Length").map(|(head, _)| head.to_owned()).unwrap_or_default()
    };
    let unknown = ask(&mut calls, "rings: another's", "dan", &early);
    let none = ask(&mut calls, "rings: there is none", "dan", &nothing);
    let bare = |text: &str| {
        text.lines()
            .filter(|l| !l.starts_with("Via") && !l.contains("tag=") && !l.starts_with("Call-ID"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(bare(&unknown), bare(&none));
    ask(&mut calls, "rings: the caller's own", "alice", &own);
    ask(&mut calls, "rings: alice did not make it", "alice", &early);
    ask(&mut calls, "two of them", "carol", &twice);
    ask(&mut calls, "two in one", "carol", &early.replace("\r\n", ", x;to-tag=1;from-tag=2\r\n"));
    ask(&mut calls, "without a tag", "carol", "Replaces: x;to-tag=1\r\n");
    ask(&mut calls, "with Join", "carol", &format!("{early}Join: x;to-tag=1;from-tag=2\r\n"));
    // It is answered.
    let ok = calls.from(BOB, &response(&to_bob, "200 OK", "b1", BOB, ANSWER))[0].clone();
    calls.from(ALICE, &by_caller("ACK", 1, &ok, "ack", ""));
    ask(&mut calls, "answered: another's", "dan", &early);
    ask(&mut calls, "answered: of the group", "carol", &early);
    ask(&mut calls, "answered: of the group, early-only", "carol", &at_phone(&to_bob, "b1", ";early-only"));
    ask(&mut calls, "answered: his own, early-only", "bob", &at_phone(&to_bob, "b1", ";early-only"));
    ask(&mut calls, "answered: the other side's", "bob", &at_caller(&ok, ""));
    // It is just over: bob has not said that he knows.
    let bye = calls.from(ALICE, &by_caller("BYE", 2, &ok, "bye", ""));
    ask(&mut calls, "just over: his own", "bob", &early);
    ask(&mut calls, "just over: another's", "dan", &early);
    calls.from(BOB, &response(find(&bye, BOB, "BYE"), "200 OK", "", "", ""));
    ask(&mut calls, "long over: his own", "bob", &early);
    // It means something in an INVITE only.
    let text = taking("bob", DAN, "m", &early, "").replace("INVITE", "MESSAGE");
    let _ = writeln!(table, "in MESSAGE: {}", calls.from(DAN, &text)[0].first());
    insta::assert_snapshot!(table);
    calls.finish();
}

#[test]
fn a_dialog_elsewhere_is_named_to_who_has_it() {
    let mut calls = three_with(|config| config.accounts[1].may_relay = true);
    const DAVE: &str = "192.0.2.77:5060";
    let (_, ok) = established(&mut calls);
    let target = "<sip:dave@192.0.2.77?Replaces=far%40x%3Bto-tag%3D1%3Bfrom-tag%3D2%3Bearly-only>";
    let sent = calls.from(ALICE, &refer(&ok, 2, target, ""));
    let to_dave = find(&sent, DAVE, "INVITE").clone();
    assert_eq!(to_dave.all("Replaces"), ["far@x;to-tag=1;from-tag=2;early-only"]);
    assert_eq!(to_dave.all("Require"), ["replaces"]);
    calls.from(ALICE, &response(find(&sent, ALICE, "NOTIFY"), "200 OK", "", "", ""));
    let gone = calls.from(DAVE, &response(&to_dave, "481 No Such Call", "d1", "", ""));
    let told = find(&gone, ALICE, "NOTIFY");
    assert!(told.body().starts_with("SIP/2.0 481"), "{}", told.body());
    calls.from(ALICE, &response(told, "200 OK", "", "", ""));
    // What is no such value is no transfer at all.
    let bad = calls.from(
        ALICE,
        &refer(&ok, 3, "<sip:dave@192.0.2.77?Replaces=far%0D%0AX%3A1>", "")
            .replace("z9hG4bKrefer", "z9hG4bKrefer3"),
    );
    assert!(bad[0].first().starts_with("SIP/2.0 400"));
    calls.caller_hangs_up(&ok, 4);
    calls.finish();
}
