//! Transfers through the engine's doors: who talks to whom in the end, and what everybody was told.

use super::calls::*;
use super::*;

pub(super) const CAROL: &str = "192.0.2.11:5060";
pub(super) const CAROL_OFFER: &str = "v=0\r\no=carol 9 1 IN IP4 192.0.2.11\r\ns=-\r\n";

pub(super) fn three() -> Calls {
    three_with(|_| {})
}

pub(super) fn three_with(set: impl FnOnce(&mut Config)) -> Calls {
    let mut config = calls_config();
    config.accounts.push(AccountConfig {
        username: "carol".into(),
        password: Some(Secret("x".to_owned())),
        ..AccountConfig::default()
    });
    set(&mut config);
    let mut calls = Calls::new(config);
    calls.register("carol", CAROL, "");
    calls
}

pub(super) fn refer(ok: &Sent, cseq: u32, target: &str, more: &str) -> String {
    by_caller("REFER", cseq, ok, "refer", "")
        .replace("Content-Length", &format!("Refer-To: {target}\r\n{more}Content-Length"))
}

pub(super) fn lines(sent: &[Sent]) -> Vec<(&str, &str)> {
    sent.iter().map(|s| (&*s.to, s.first())).collect()
}

pub(super) fn find<'s>(sent: &'s [Sent], to: &str, start: &str) -> &'s Sent {
    let found = sent.iter().find(|s| s.to == to && s.first().starts_with(start));
    found.unwrap_or_else(|| panic!("no {start} to {to}: {:?}", lines(sent)))
}

/// She does, and bob hears of it.
fn carol_hangs_up(calls: &mut Calls, to_carol: &Sent) -> Vec<Sent> {
    let hung = calls.from(CAROL, &by_callee("BYE", 7, to_carol, "c1", "bye", "").replace(BOB, CAROL));
    calls.from(BOB, &response(find(&hung, BOB, "BYE"), "200 OK", "", "", ""));
    hung
}

pub(super) fn all_of(sent: &[Sent]) -> String {
    sent.iter()
        .map(|sent| format!("to {}\n{}\n", sent.to, sent.text))
        .collect::<String>()
        .replace("\r\n", "\n")
}

#[test]
fn a_blind_transfer_joins_the_two_others() {
    let mut calls = three();
    let (to_bob, ok) = established(&mut calls);
    let mut all = calls
        .from(ALICE, &refer(&ok, 2, "<sip:carol@example.com>", "Referred-By: <sip:alice@example.com>\r\n"));
    let to_carol = find(&all, CAROL, "INVITE").clone();
    let trying = find(&all, ALICE, "NOTIFY").clone();
    calls.from(ALICE, &response(&trying, "200 OK", "", "", ""));
    let ringing = calls.from(CAROL, &response(&to_carol, "180 Ringing", "c1", CAROL, ""));
    let told = find(&ringing, ALICE, "NOTIFY").clone();
    calls.from(ALICE, &response(&told, "200 OK", "", "", ""));
    all.extend(ringing);
    let answered = calls.from(CAROL, &response(&to_carol, "200 OK", "c1", CAROL, CAROL_OFFER));
    let reinvite = find(&answered, BOB, "INVITE").clone();
    all.extend(answered);
    let agreed = calls.from(BOB, &response(&reinvite, "200 OK", "", BOB, ANSWER));
    let last = find(&agreed, ALICE, "NOTIFY").clone();
    all.extend(agreed);
    let bye = calls.from(ALICE, &response(&last, "200 OK", "", "", ""));
    calls.from(ALICE, &response(find(&bye, ALICE, "BYE"), "200 OK", "", "", ""));
    all.extend(bye);
    // Now bob and carol are a pair, and known to be.
    assert_eq!(calls.on_the_phone(), 2);
    let hung = carol_hangs_up(&mut calls, &to_carol);
    all.extend(hung);
    assert_eq!(to_bob.one("Call-ID"), reinvite.one("Call-ID"));
    insta::assert_snapshot!("a_blind_transfer", format!("{}{}", all_of(&all), calls.finish()));
}

#[test]
fn who_asked_for_a_transfer_may_ask_again_what_came_of_it_or_leave_it() {
    let config = |config: &mut Config| config.presence = Some(crate::config::PresenceConfig::default());
    for leaves in [false, true] {
        let mut calls = three_with(config);
        let (_, ok) = established(&mut calls);
        let subscribe = |number: u32, lines: &str| {
            by_caller("SUBSCRIBE", number, &ok, &format!("s{number}"), "")
                .replace("Content-Length", &format!("{lines}Content-Length"))
        };
        let early = calls.from(ALICE, &subscribe(2, "Event: refer\r\n"));
        assert_eq!(early[0].first(), "SIP/2.0 481 Call/Transaction Does Not Exist");
        let all = calls.from(ALICE, &refer(&ok, 3, "<sip:carol@example.com>", ""));
        let to_carol = find(&all, CAROL, "INVITE").clone();
        calls.from(ALICE, &response(find(&all, ALICE, "NOTIFY"), "200 OK", "", "", ""));
        let ringing = calls.from(CAROL, &response(&to_carol, "180 Ringing", "c1", CAROL, ""));
        calls.from(ALICE, &response(find(&ringing, ALICE, "NOTIFY"), "200 OK", "", "", ""));
        for (number, lines, status) in [
            (4, "Event: refer;id=2\r\n", "481"),
            (5, "Event: refer;id=3\r\nExpires: 60\r\n", "423"),
            // It is no subscription to anything else.
            (6, "Event: presence\r\n", "481"),
        ] {
            let refused = calls.from(ALICE, &subscribe(number, lines));
            find(&refused, ALICE, &format!("SIP/2.0 {status}"));
        }
        let again = calls.from(ALICE, &subscribe(7, "Event: refer;id=3\r\nExpires: 600\r\n"));
        assert_eq!(find(&again, ALICE, "SIP/2.0 200").one("Expires"), "180");
        let told = find(&again, ALICE, "NOTIFY");
        assert_eq!(told.body(), "SIP/2.0 180 Ringing\r\n");
        assert_eq!(told.one("Subscription-State"), "active;expires=180");
        calls.from(ALICE, &response(told, "200 OK", "", "", ""));
        if leaves {
            let left = calls.from(ALICE, &subscribe(8, "Event: refer;id=3\r\nExpires: 0\r\n"));
            assert_eq!(find(&left, ALICE, "SIP/2.0 200").one("Expires"), "0");
            let told = find(&left, ALICE, "NOTIFY");
            assert_eq!(told.one("Subscription-State"), "terminated;reason=timeout");
            calls.from(ALICE, &response(told, "200 OK", "", "", ""));
            find(&calls.from(ALICE, &subscribe(9, "Event: refer\r\n")), ALICE, "SIP/2.0 481");
        }
        let answered = calls.from(CAROL, &response(&to_carol, "200 OK", "c1", CAROL, CAROL_OFFER));
        let reinvite = find(&answered, BOB, "INVITE").clone();
        let agreed = calls.from(BOB, &response(&reinvite, "200 OK", "", BOB, ANSWER));
        let bye = match leaves {
            true => find(&agreed, ALICE, "BYE").clone(),
            false => {
                let last = find(&agreed, ALICE, "NOTIFY");
                find(&calls.from(ALICE, &response(last, "200 OK", "", "", "")), ALICE, "BYE").clone()
            }
        };
        calls.from(ALICE, &response(&bye, "200 OK", "", "", ""));
        carol_hangs_up(&mut calls, &to_carol);
        calls.finish();
    }
}

#[test]
fn answers_that_come_again_after_a_transfer_and_its_end_are_acknowledged_and_no_more() {
    let mut calls = three();
    let (_, ok) = established(&mut calls);
    let all = calls.from(ALICE, &refer(&ok, 2, "<sip:carol@example.com>", "Refer-Sub: false\r\n"));
    let to_carol = find(&all, CAROL, "INVITE").clone();
    let of_carol = response(&to_carol, "200 OK", "c1", CAROL, CAROL_OFFER);
    let reinvite = find(&calls.from(CAROL, &of_carol), BOB, "INVITE").clone();
    let of_bob = response(&reinvite, "200 OK", "", BOB, ANSWER);
    let joined = calls.from(BOB, &of_bob);
    calls.from(ALICE, &response(find(&joined, ALICE, "BYE"), "200 OK", "", "", ""));
    carol_hangs_up(&mut calls, &to_carol);
    for (who, answer) in [(CAROL, &of_carol), (BOB, &of_bob)] {
        let again = calls.from(who, answer);
        let firsts: Vec<&str> = again.iter().map(|sent| &sent.first()[..3]).collect();
        assert_eq!(firsts, ["ACK"], "{:?}", lines(&again));
    }
    calls.finish();
}

#[test]
fn a_transfer_that_fails_leaves_the_call_as_it_was() {
    let mut calls = three();
    let (_, ok) = established(&mut calls);
    let sent = calls.from(ALICE, &refer(&ok, 2, "<sip:carol@example.com>", ""));
    calls.from(ALICE, &response(find(&sent, ALICE, "NOTIFY"), "200 OK", "", "", ""));
    let busy = calls.from(CAROL, &response(find(&sent, CAROL, "INVITE"), "486 Busy Here", "c1", "", ""));
    let told = find(&busy, ALICE, "NOTIFY");
    assert_eq!(told.body(), "SIP/2.0 486 Busy Here\r\n");
    assert_eq!(told.one("Subscription-State"), "terminated;reason=noresource");
    calls.from(ALICE, &response(told, "200 OK", "", "", ""));
    // RFC 3515 s2.4.6: another one is another subscription.
    let again = refer(&ok, 3, "<sip:carol@example.com>", "").replace("z9hG4bKrefer", "z9hG4bKrefer2");
    let sent = calls.from(ALICE, &again);
    let notify = find(&sent, ALICE, "NOTIFY");
    assert_eq!((told.one("Event"), notify.one("Event")), ("refer;id=2", "refer;id=3"));
    calls.from(ALICE, &response(notify, "200 OK", "", "", ""));
    let busy = calls.from(CAROL, &response(find(&sent, CAROL, "INVITE"), "486 Busy Here", "c2", "", ""));
    calls.from(ALICE, &response(find(&busy, ALICE, "NOTIFY"), "200 OK", "", "", ""));
    calls.caller_hangs_up(&ok, 4);
    calls.finish();
}

#[test]
fn who_asks_for_a_transfer_may_hang_up_at_once() {
    let mut calls = three();
    let (_, ok) = established(&mut calls);
    let sent = calls.from(ALICE, &refer(&ok, 2, "<sip:carol@example.com>", ""));
    calls.from(ALICE, &response(find(&sent, ALICE, "NOTIFY"), "200 OK", "", "", ""));
    let bye = calls.from(ALICE, &by_caller("BYE", 3, &ok, "bye", ""));
    assert_eq!(lines(&bye), [(ALICE, "SIP/2.0 200 OK")], "bob stays");
    let to_carol = find(&sent, CAROL, "INVITE");
    let answered = calls.from(CAROL, &response(to_carol, "200 OK", "c1", CAROL, CAROL_OFFER));
    let agreed = calls.from(BOB, &response(find(&answered, BOB, "INVITE"), "200 OK", "", BOB, ANSWER));
    assert!(agreed.iter().all(|s| s.to != ALICE), "{:?}", lines(&agreed));
    assert_eq!(find(&agreed, CAROL, "ACK").body(), ANSWER);
    carol_hangs_up(&mut calls, to_carol);
    calls.finish();
}

#[test]
fn the_kept_one_is_told_to_go_when_nobody_is_left() {
    let mut calls = three();
    let (_, ok) = established(&mut calls);
    let sent = calls.from(ALICE, &refer(&ok, 2, "<sip:carol@example.com>", ""));
    calls.from(ALICE, &by_caller("BYE", 3, &ok, "bye", ""));
    let busy = calls.from(CAROL, &response(find(&sent, CAROL, "INVITE"), "486 Busy Here", "c1", "", ""));
    calls.from(BOB, &response(find(&busy, BOB, "BYE"), "200 OK", "", "", ""));
    calls.finish();
}

#[test]
fn the_kept_one_hangs_up_while_it_rings_elsewhere() {
    let mut calls = three();
    let (to_bob, ok) = established(&mut calls);
    let sent = calls.from(ALICE, &refer(&ok, 2, "<sip:carol@example.com>", ""));
    let to_carol = find(&sent, CAROL, "INVITE").clone();
    calls.from(CAROL, &response(&to_carol, "180 Ringing", "c1", CAROL, ""));
    let bye = calls.from(BOB, &by_callee("BYE", 7, &to_bob, "b1", "bye", ""));
    find(&bye, CAROL, "CANCEL");
    calls.from(ALICE, &response(find(&bye, ALICE, "BYE"), "200 OK", "", "", ""));
    calls.from(CAROL, &response(&to_carol, "487 Request Terminated", "c1", "", ""));
    calls.finish();
}

/// Alice calls carol too, and asks that bob be joined to her: the REFER is sent, and carol offers. The answers to alice's
/// INVITEs, the first INVITE to carol, and what came out.
fn joining(calls: &mut Calls) -> (Sent, Sent, Sent, Vec<Sent>) {
    let (_, ok) = established(calls);
    let second = invite("")
        .replace("sip:bob@", "sip:carol@")
        .replace("call1", "call2")
        .replace("z9hG4bKinv", "z9hG4bKsecond")
        .replace(";tag=a1", ";tag=a2");
    let to_carol = find(&calls.from(ALICE, &second), CAROL, "INVITE").clone();
    let ok2 = calls.from(CAROL, &response(&to_carol, "200 OK", "c1", CAROL, CAROL_OFFER))[0].clone();
    calls.from(ALICE, &by_caller("ACK", 1, &ok2, "ack2", ""));
    let replaces = format!("call2%3Bto-tag%3D{}%3Bfrom-tag%3Da2", ok2.tag("To"));
    let mut all =
        calls.from(ALICE, &refer(&ok, 2, &format!("<sip:carol@example.com?Replaces={replaces}>"), ""));
    calls.from(ALICE, &response(find(&all, ALICE, "NOTIFY"), "200 OK", "", "", ""));
    let asked = find(&all, CAROL, "INVITE").clone();
    assert_eq!(asked.body(), "", "carol is asked for an offer");
    let offered = calls.from(CAROL, &response(&asked, "200 OK", "", CAROL, CAROL_OFFER));
    all.extend(offered);
    (ok, ok2, to_carol, all)
}

#[test]
fn an_attended_transfer_joins_the_far_ends_of_two_calls() {
    let mut calls = three();
    let (_, _, to_carol, mut all) = joining(&mut calls);
    let reinvite = find(&all, BOB, "INVITE").clone();
    let agreed = calls.from(BOB, &response(&reinvite, "200 OK", "", BOB, ANSWER));
    calls.from(ALICE, &response(find(&agreed, ALICE, "BYE"), "200 OK", "", "", ""));
    let last = find(&agreed, ALICE, "NOTIFY").clone();
    all.extend(agreed);
    let bye = calls.from(ALICE, &response(&last, "200 OK", "", "", ""));
    calls.from(ALICE, &response(find(&bye, ALICE, "BYE"), "200 OK", "", "", ""));
    all.extend(bye);
    assert_eq!(calls.on_the_phone(), 2);
    carol_hangs_up(&mut calls, &to_carol);
    insta::assert_snapshot!("an_attended_transfer", format!("{}{}", all_of(&all), calls.finish()));
}

#[test]
fn who_took_up_a_session_with_one_who_is_gone_is_asked_back() {
    let mut calls = three();
    let (ok, ok2, _, all) = joining(&mut calls);
    let reinvite = find(&all, BOB, "INVITE").clone();
    // While bob thinks of carol's offer, alice ends her call with carol.
    let bye = calls.from(ALICE, &by_caller("BYE", 2, &ok2, "bye2", ""));
    calls.from(CAROL, &response(find(&bye, CAROL, "BYE"), "200 OK", "", "", ""));
    calls.from(ALICE, &response(find(&bye, ALICE, "NOTIFY"), "200 OK", "", "", ""));
    let back = calls.from(BOB, &response(&reinvite, "200 OK", "", BOB, ANSWER));
    assert_eq!(find(&back, BOB, "ACK").body(), "", "what he answered was our offer");
    let again = find(&back, BOB, "INVITE").clone();
    assert_eq!(again.body(), OFFER.replace("alice 1 1", "alice 1 3"), "it is alice's session again");
    let settled = calls.from(BOB, &response(&again, "200 OK", "", BOB, ANSWER));
    assert_eq!(lines(&settled), [(BOB, find(&settled, BOB, "ACK").first())], "and that is all");
    calls.caller_hangs_up(&ok, 3);
    calls.finish();
}

#[test]
fn who_knows_nothing_of_the_call_any_more_is_told_nothing_more() {
    let mut calls = three();
    let (_, ok2, _, all) = joining(&mut calls);
    let reinvite = find(&all, BOB, "INVITE").clone();
    let gone = calls.from(BOB, &response(&reinvite, "481 Call/Transaction Does Not Exist", "", "", ""));
    assert!(
        !gone.iter().any(|sent| sent.to == BOB && !sent.first().starts_with("ACK")),
        "{:?}",
        lines(&gone)
    );
    calls.from(ALICE, &response(find(&gone, ALICE, "BYE"), "200 OK", "", "", ""));
    // Her call with carol is as it was.
    let bye = calls.from(ALICE, &by_caller("BYE", 2, &ok2, "bye2", ""));
    calls.from(CAROL, &response(find(&bye, CAROL, "BYE"), "200 OK", "", "", ""));
    calls.finish();
}

#[test]
fn the_call_of_another_cannot_be_taken() {
    let mut calls = three();
    let (to_bob, ok) = established(&mut calls);
    // Bob's own leg of the same call, as he sees it, is not alice's.
    let own = to_bob.tag("From").to_owned();
    let replaces = format!("{}%3Bto-tag%3D{own}%3Bfrom-tag%3Db1", to_bob.one("Call-ID"));
    let sent = calls.from(ALICE, &refer(&ok, 2, &format!("<sip:bob@example.com?Replaces={replaces}>"), ""));
    let notifies: Vec<&str> =
        sent.iter().filter(|s| s.first().starts_with("NOTIFY")).map(Sent::body).collect();
    assert_eq!(notifies, ["SIP/2.0 100 Trying\r\n", "SIP/2.0 481 Call/Transaction Does Not Exist\r\n"]);
    calls.caller_hangs_up(&ok, 3);
    calls.finish();
}

#[test]
fn what_cannot_be_referred_to_is_refused() {
    let mut calls = three();
    let (_, ok) = established(&mut calls);
    let cases = [
        ("<http://example.com/>", "SIP/2.0 416"),
        ("<sip:carol@example.com;method=BYE>", "SIP/2.0 603"),
        ("<>", "SIP/2.0 400"),
    ];
    for (i, (target, status)) in cases.into_iter().enumerate() {
        let text = refer(&ok, 2 + i as u32, target, "").replace("z9hG4bKrefer", &format!("z9hG4bKrefer{i}"));
        let sent = calls.from(ALICE, &text);
        assert!(sent[0].first().starts_with(status), "{target}: {}", sent[0].first());
    }
    // Outside: the permissions of who asks are what counts.
    let sent = calls.from(ALICE, &refer(&ok, 9, "<sip:mallory@elsewhere.example>", ""));
    assert!(sent.iter().any(|s| s.body().starts_with("SIP/2.0 403")), "{:?}", lines(&sent));
    calls.caller_hangs_up(&ok, 10);
    calls.finish();
}

#[test]
fn a_phone_that_redirects_is_followed_within_the_house() {
    let mut calls = three();
    let to_bob = calls.from(ALICE, &invite(""))[1].clone();
    let moved = response(&to_bob, "302 Moved Temporarily", "b1", "", "")
        .replace("CSeq", "Contact: <sip:carol@example.com>\r\nCSeq");
    let sent = calls.from(BOB, &moved);
    let to_carol = find(&sent, CAROL, "INVITE");
    assert_eq!(to_carol.one("Diversion"), "<sip:bob@example.com>;reason=deflection;counter=1");
    let busy = calls.from(CAROL, &response(to_carol, "486 Busy Here", "c1", "", ""));
    find(&busy, ALICE, "SIP/2.0 486");
    calls.finish();
}

#[test]
fn a_trunk_that_asks_who_we_are_is_told_and_told_again_in_the_dialog() {
    let mut config = calls_config();
    config.accounts[1].dial = Some(vec!["+*".into()]);
    config.trusted = vec![IpNet::parse("192.0.2.8/32").expect("a network")];
    let calls = config.calls.as_mut().expect("calls");
    let mut trunk = crate::config::TrunkConfig::new("carrier", "sip:192.0.2.77");
    (trunk.username, trunk.password) = ("pbx".into(), Some(Secret("secret".to_owned())));
    trunk.sources = vec![IpNet::parse("192.0.2.77/32").expect("a network")];
    calls.trunks.push(trunk);
    calls.routes.push(crate::config::RouteConfig {
        pattern: "+*".into(),
        targets: vec![crate::config::RouteTo {
            to: "+{rest}".into(),
            trunk: Some("carrier".into()),
            ..Default::default()
        }],
    });
    let mut calls = Calls::new(config);
    const CARRIER: &str = "192.0.2.77:5060";
    let outside = invite("").replace("INVITE sip:bob@example.com", "INVITE sip:+4420@example.com");
    let first = find(&calls.from(ALICE, &outside), CARRIER, "INVITE").clone();
    let challenge = response(&first, "407 Proxy Authentication Required", "t0", "", "").replace(
        "CSeq",
        "Proxy-Authenticate: Digest realm=\"carrier\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"\r\nCSeq",
    );
    let sent = calls.from(CARRIER, &challenge);
    let second = find(&sent, CARRIER, "INVITE").clone();
    assert_eq!(second.one("Call-ID"), first.one("Call-ID"));
    assert!(second.one("Proxy-Authorization").contains("username=\"pbx\""));
    let number = |sent: &Sent| sent.one("CSeq").split(' ').next().and_then(|n| n.parse::<u32>().ok());
    assert_eq!(number(&second), number(&first).map(|n| n + 1));
    let ok = calls.from(CARRIER, &response(&second, "200 OK", "t1", CARRIER, ANSWER));
    let ack = calls.from(ALICE, &by_caller("ACK", 1, &ok[0], "ack", ""));
    assert!(!ack[0].one("Proxy-Authorization").is_empty(), "RFC 3261 s13.2.2.4");
    let bye = calls.from(ALICE, &by_caller("BYE", 2, &ok[0], "bye", ""));
    assert!(find(&bye, CARRIER, "BYE").one("Proxy-Authorization").contains("nc=00000003"));
    calls.from(CARRIER, &response(find(&bye, CARRIER, "BYE"), "200 OK", "", "", ""));
    // Refused twice is refused.
    let again = outside.replace("z9hG4bKinv", "z9hG4bKother").replace("call1", "call9");
    let first = find(&calls.from(ALICE, &again), CARRIER, "INVITE").clone();
    let challenge = |request: &Sent| {
        response(request, "401 Unauthorized", "t0", "", "")
            .replace("CSeq", "WWW-Authenticate: Digest realm=\"carrier\", nonce=\"n2\", qop=\"auth\"\r\nCSeq")
    };
    let second = find(&calls.from(CARRIER, &challenge(&first)), CARRIER, "INVITE").clone();
    let told = calls.from(CARRIER, &challenge(&second));
    find(&told, ALICE, "SIP/2.0 403");
    calls.finish();
}

#[test]
fn nobody_refers_outside_a_call() {
    let mut calls = three();
    let text = invite("Refer-To: <sip:carol@example.com>\r\n").replace("INVITE", "REFER");
    find(&calls.from(ALICE, &text), ALICE, "SIP/2.0 403");
    calls.finish();
}
