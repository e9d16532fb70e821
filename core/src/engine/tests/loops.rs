//! What left us and comes back through others: loops are ended, spirals go on (RFC 3261 s16.3 step 4, RFC 5393 s4.2).

use super::calls::*;
use super::messages::{CELL, DESK, messages, sent_to, to_bob};
use super::transfers::{CAROL, find, three_with};
use super::*;

/// What a proxy at `at` makes of a request it got: it goes to somebody else, one hop less is left, and the way back leads
/// over the proxy.
fn forwarded(sent: &Sent, at: &str, uri: &str) -> String {
    let (first, rest) = sent.text.split_once("\r\n").expect("a first line");
    let method = first.split(' ').next().expect("a method");
    let hops: u32 = sent.one("Max-Forwards").parse().expect("a number");
    let branch = format!("z9hG4bKproxy{hops}{}", at.replace([':', '.'], ""));
    let rest = rest
        .replace(&format!("Max-Forwards: {hops}"), &format!("Max-Forwards: {}\r\nX-Seen-By: {at}", hops - 1));
    format!("{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch={branch}\r\n{rest}")
}

/// The same by a server that takes off what it does not need, as another B2BUA does.
fn sent_anew(sent: &Sent, at: &str, uri: &str) -> String {
    let text = forwarded(sent, at, uri);
    let own = text.find("Via: ").and_then(|first| Some(first + 5 + text[first + 5..].find("Via: ")?));
    let own = own.expect("a Via of ours");
    let end = own + text[own..].find("\r\n").expect("its end") + 2;
    let (hops, text) = (sent.one("Max-Forwards"), format!("{}{}", &text[..own], &text[end..]));
    text.replace(sent.one("Call-ID"), &format!("anew{hops}"))
}

/// Takes off the top Via, as a proxy does with a response on its way back.
fn sent_back(response: &Sent) -> String {
    let mut lines: Vec<&str> = response.text.split("\r\n").collect();
    let top = lines.iter().position(|line| line.starts_with("Via: ")).expect("a Via");
    lines.remove(top);
    lines.join("\r\n")
}

const TO_BOB: &str = "sip:bob@example.com";

/// Bob's phone is a proxy, and so is carol's. Further names of the domain mean the same.
fn proxies() -> Calls {
    three_with(|config| config.domains[0].aliases = vec!["example.net".into()])
}

#[test]
fn what_comes_back_for_the_same_user_is_a_loop_and_for_another_a_spiral() {
    for (uri, loops) in [
        (TO_BOB, true),
        // RFC 3261 s19.1.4: the same.
        ("sip:%62ob@EXAMPLE.com", true),
        ("sip:bob@example.com;x=1", true),
        ("sip:carol@example.com", false),
        // Another name of the same user: the next time round it is known.
        ("sip:bob@example.net", false),
        ("sip:nobody@example.com", false),
    ] {
        let mut calls = proxies();
        let sent = calls.from(ALICE, &invite(""));
        let left = find(&sent, BOB, "INVITE").clone();
        let back = calls.from(BOB, &forwarded(&left, BOB, uri));
        let refused = back.iter().any(|sent| sent.first() == "SIP/2.0 482 Loop Detected");
        assert_eq!(refused, loops, "{uri}: {back:?}");
        if !loops {
            continue;
        }
        assert_eq!((back.len(), calls.host.engine.sizes().calls), (1, 1));
        // RFC 3261 s16.7: it is the caller's answer.
        let told = calls.from(BOB, &sent_back(&back[0]));
        find(&told, BOB, "ACK");
        find(&told, ALICE, "SIP/2.0 482 Loop Detected");
        calls.finish();
    }
}

#[test]
fn a_loop_over_several_users_is_found_when_it_comes_to_the_first() {
    let mut calls = proxies();
    let to_bob = find(&calls.from(ALICE, &invite("")), BOB, "INVITE").clone();
    let to_carol =
        find(&calls.from(BOB, &forwarded(&to_bob, BOB, "sip:carol@example.com")), CAROL, "INVITE").clone();
    assert_eq!(to_carol.one("Max-Forwards"), "67");
    let by_alias =
        find(&calls.from(CAROL, &forwarded(&to_carol, CAROL, "sip:bob@example.net")), BOB, "INVITE").clone();
    assert_eq!(calls.host.engine.sizes().calls, 3);
    for uri in ["sip:carol@example.com", TO_BOB, "sip:bob@example.net"] {
        let mut calls = Calls { host: calls.host.clone(), ladder: String::new() };
        let back = calls.from(BOB, &forwarded(&by_alias, BOB, uri));
        assert_eq!(back.len(), 1, "{uri}: {back:?}");
        assert_eq!(back[0].first(), "SIP/2.0 482 Loop Detected", "{uri}");
        // Each proxy on the way takes it back.
        let told = calls.from(BOB, &sent_back(&back[0]));
        let told = calls.from(CAROL, &sent_back(find(&told, CAROL, "SIP/2.0 482")));
        let told = calls.from(BOB, &sent_back(find(&told, BOB, "SIP/2.0 482")));
        find(&told, ALICE, "SIP/2.0 482 Loop Detected");
        calls.finish();
    }
}

#[test]
fn who_is_let_in_otherwise_may_be_sent_elsewhere() {
    // The proxy vouches for the caller, who had not proved who she is: another permission, perhaps another way.
    let mut calls =
        three_with(|config| config.trusted = vec![IpNet::parse("192.0.2.9/32").expect("a network")]);
    let first = find(&calls.from(ALICE, &invite("")), BOB, "INVITE").clone();
    let second = find(&calls.from(BOB, &forwarded(&first, BOB, TO_BOB)), BOB, "INVITE").clone();
    let third = calls.from(BOB, &forwarded(&second, BOB, TO_BOB));
    assert_eq!(third[0].first(), "SIP/2.0 482 Loop Detected");
}

#[test]
fn without_a_proxy_between_it_is_a_loop_too() {
    let mut calls = proxies();
    let sent = calls.from(ALICE, &invite(""));
    let left = find(&sent, BOB, "INVITE");
    let back =
        calls.from(BOB, &left.text.replace("INVITE sip:bob@192.0.2.9:5060", "INVITE sip:bob@example.com"));
    assert_eq!(back[0].first(), "SIP/2.0 482 Loop Detected");
}

#[test]
fn a_branch_that_only_looks_like_ours_is_nobodys() {
    let mut calls = proxies();
    let forged = invite("").replace("z9hG4bKinv", "z9hG4bK00123456789abcdef");
    find(&calls.from(ALICE, &forged), BOB, "INVITE");
    let below = invite("Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK00123456789abcdef\r\n");
    let below = below.replace("z9hG4bKinv", "z9hG4bKtop").replace("call1", "call2");
    find(&calls.from(ALICE, &below), BOB, "INVITE");
}

#[test]
fn where_our_via_is_taken_off_the_hops_are_counted() {
    let mut calls = proxies();
    let mut sent = calls.from(ALICE, &invite("").replace("Max-Forwards: 70", "Max-Forwards: 8"));
    let mut rounds = 0;
    while let Some(left) = sent.iter().find(|sent| sent.to == BOB && sent.first().starts_with("INVITE")) {
        rounds += 1;
        sent = calls.from(BOB, &sent_anew(&left.clone(), BOB, TO_BOB));
    }
    assert_eq!(sent[0].first(), "SIP/2.0 483 Too Many Hops");
    assert_eq!(rounds, 4, "a hop for each of two servers");
}

/// The one message among these to `at`.
fn message_to(commands: &[Command], at: &str) -> Sent {
    let text = sent_to(commands, at).into_iter().find(|text| text.starts_with("MESSAGE "));
    Sent { to: at.into(), text: text.unwrap_or_else(|| panic!("no message to {at}: {}", shown(commands))) }
}

#[test]
fn a_message_that_comes_back_for_the_same_user_is_a_loop_and_for_another_a_spiral() {
    let mut host = Host::new(messages());
    host.bob_at(DESK, 1, "");
    let commands = host.alice(&to_bob(1, "hi"));
    let left = message_to(&commands, DESK);
    for (uri, expected) in [
        (TO_BOB, 482),
        ("sip:bob@EXAMPLE.com", 482),
        // She is not there, and what is said to her is kept.
        ("sip:alice@example.com", 202),
    ] {
        let mut host = host.clone();
        let answer = host.over(UDP, DESK, &forwarded(&left, DESK, uri));
        assert_eq!(status(&answer), Some(expected), "{uri}: {}", shown(&answer));
        let told = host.taken(&commands, DESK, "482 Loop Detected");
        assert_eq!(status(&told), Some(482));
        if expected == 482 {
            host.ends_empty();
        }
    }
    // Over another user, and back.
    let at_alice = |host: &mut Host| {
        let contact = format!("Contact: <sip:alice@{CELL}>\r\n");
        let register = String::from_utf8(request("REGISTER", "sip:example.com", 1, &contact)).expect("ASCII");
        host.over(UDP, CELL, &register.replace("bob", "alice").replace("192.0.2.9", "192.0.2.22"))
    };
    at_alice(&mut host);
    let on = host.over(UDP, DESK, &forwarded(&left, DESK, "sip:alice@example.com"));
    let on = message_to(&on, CELL);
    for uri in [TO_BOB, "sip:alice@example.com"] {
        let answer = host.clone().over(UDP, CELL, &forwarded(&on, CELL, uri));
        assert_eq!(status(&answer), Some(482), "{uri}: {}", shown(&answer));
    }
    // Nobody waits for it any more.
    host.wait(Duration::from_secs(29));
    let late = forwarded(&left, DESK, "sip:alice@example.com").replace("z9hG4bKproxy", "z9hG4bKlate");
    let late = host.over(UDP, DESK, &late);
    assert_eq!(status(&late), Some(482), "{}", shown(&late));
}

#[test]
fn a_message_that_was_kept_does_not_come_to_its_recipient_twice() {
    let mut host = Host::new(messages());
    assert_eq!(status(&host.alice(&to_bob(1, "hi"))), Some(202));
    let left = message_to(&host.bob_at(DESK, 1, ""), DESK);
    for (uri, expected) in [(TO_BOB, 482), ("sip:alice@example.com", 202)] {
        let answer = host.clone().over(UDP, DESK, &forwarded(&left, DESK, uri));
        assert_eq!(status(&answer), Some(expected), "{uri}: {}", shown(&answer));
    }
}
