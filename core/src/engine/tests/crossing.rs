//! Headers that have a rule of their own between the legs of a call: P-Early-Media (RFC 5009), Identity (RFC 8224) and
//! Session-ID (RFC 7989). DECISIONS 23.

use super::calls::*;
use super::messages::{CELL, DESK, messages, sent_to, text};
use super::transfers::find;
use super::trunks::{FIRST, SECOND, outward, two};
use super::*;
use crate::config::{CallsConfig, RouteConfig, RouteTo, TrunkConfig};

/// What of a message is of interest, a line each.
fn shown_of(sent: &Sent, names: &[&str]) -> String {
    let lines = sent.text.lines().skip(1).take_while(|line| !line.is_empty());
    let of_interest = lines.filter(|line| names.iter().any(|name| line.starts_with(name)));
    let without_tag = of_interest.map(|line| line.split(";tag=").next().unwrap_or_default());
    without_tag.map(|line| format!("    {line}\n")).collect()
}

/// A call of alice, to bob, or over a trunk whose callers are shown as they are, or as a number of ours; and one that comes
/// over a trunk, to bob. Of each the INVITE, a provisional response, the answer, and a request within, as they crossed.
fn crossed(names: &[&str], asks: &str, says: &str, within: &str) -> String {
    let mut told = String::new();
    for (what, from, to) in [
        ("alice to bob", ALICE, BOB),
        ("alice over a trunk", ALICE, FIRST),
        ("alice over a trunk, as its customer", ALICE, SECOND),
        ("from a trunk to bob", FIRST, BOB),
    ] {
        let mut config = two(|_| {});
        let settings = config.calls.as_mut().expect("calls");
        settings.trunks[1].from = "sip:customer@carrier.example".into();
        settings.trunks[1].asserted = true;
        let way = usize::from(to == SECOND);
        settings.routes[0].targets.swap_remove(1 - way);
        let mut calls = Calls::new(config);
        let uri = if to == BOB { "sip:bob@example.com" } else { "sip:+4420@example.com" };
        let first = outward(1).replace("INVITE sip:+4420@example.com", &format!("INVITE {uri}"));
        let first = first.replace(ALICE, from).replace("Content-Type", &format!("{asks}Content-Type"));
        let sent = calls.from(from, &first);
        let invite = find(&sent, to, "INVITE").clone();
        told.push_str(&format!("{what}\n  INVITE\n{}", shown_of(&invite, names)));
        let answer = |status: &str, sdp: &str| {
            response(&invite, format!("{status}\r\n{says}").trim_end(), "t", to, sdp)
        };
        let ringing = calls.from(to, &answer("183 Session Progress", ANSWER));
        told.push_str(&format!("  183\n{}", shown_of(find(&ringing, from, "SIP/2.0 183"), names)));
        let taken = calls.from(to, &answer("200 OK", ANSWER));
        let ok = find(&taken, from, "SIP/2.0 200").clone();
        told.push_str(&format!("  200\n{}", shown_of(&ok, names)));
        calls.from(from, &by_caller("ACK", 1, &ok, "ack", ""));
        let update = by_caller("UPDATE", 2, &ok, "update", OFFER).replace(ALICE, from);
        let update = calls.from(from, &update.replace("Content-Type", &format!("{within}Content-Type")));
        let update = find(&update, to, "UPDATE").clone();
        told.push_str(&format!("  UPDATE\n{}", shown_of(&update, names)));
        calls.from(to, &response(&update, "200 OK", "", to, ANSWER));
        let bye = calls.from(from, &by_caller("BYE", 3, &ok, "bye", "").replace(ALICE, from));
        calls.from(to, &response(find(&bye, to, "BYE"), "200 OK", "", "", ""));
        calls.finish();
    }
    told
}

#[test]
fn early_media_is_authorised_within_the_house_and_by_trusted_peers() {
    let names = ["P-Early-Media"];
    let (asks, says) = ("P-Early-Media: supported\r\n", "P-Early-Media: sendonly, gated");
    insta::assert_snapshot!(crossed(&names, asks, says, "P-Early-Media: inactive\r\n"));
}

#[test]
fn who_is_who_is_told_within_a_call_to_whom_it_was_told_when_it_began() {
    let names = ["P-Asserted-Identity", "Privacy"];
    let (asks, says) = ("P-Asserted-Identity: <tel:+441>\r\n", "P-Asserted-Identity: <tel:+442>");
    let within = "P-Asserted-Identity: <tel:+443>\r\n";
    let mut told = crossed(&names, asks, says, within);
    // What was hidden when the call began stays so, also where a gateway says it again.
    told.push_str("\nhidden by the INVITE\n");
    told.push_str(&crossed(&names, &format!("{asks}Privacy: id\r\n"), says, within));
    told.push_str("\nhidden by each answer\n");
    told.push_str(&crossed(&names, asks, &format!("{says}\r\nPrivacy: id"), within));
    insta::assert_snapshot!(told);
}

#[test]
fn what_nobody_knows_of_a_refusal_stays_in_the_house() {
    for (from, to, told) in [(ALICE, BOB, "grumpy"), (ALICE, FIRST, ""), (FIRST, BOB, "")] {
        let mut calls = Calls::new(two(|_| {}));
        let uri = if to == BOB { "sip:bob@example.com" } else { "sip:+4420@example.com" };
        let first = outward(1).replace("INVITE sip:+4420@example.com", &format!("INVITE {uri}"));
        let sent = calls.from(from, &first.replace(ALICE, from));
        let says = "603 Decline\r\nX-Mood: grumpy\r\nReason: Q.850;cause=21";
        let refused = calls.from(to, &response(find(&sent, to, "INVITE"), says, "t", "", ""));
        let refused = find(&refused, from, "SIP/2.0 603");
        assert_eq!(
            (refused.one("X-Mood"), refused.one("Reason")),
            (told, "Q.850;cause=21"),
            "{from} to {to}"
        );
        calls.finish();
    }
}

#[test]
fn the_two_halves_of_a_session_identifier_go_from_end_to_end() {
    let id = |local: char, remote: char| {
        let half = |c: char| c.to_string().repeat(32);
        format!("Session-ID: {};remote={}", half(local), half(remote))
    };
    let (asks, within) = (format!("{}\r\n", id('a', '0')), format!("{}\r\n", id('a', 'b')));
    insta::assert_snapshot!(crossed(&["Session-ID"], &asks, &id('b', 'a'), &within));
}

const SIGNED: &str = "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n\
    Identity: eyJhbGciOiJFUzI1NiJ9..sig;info=<https://example.com/cert>\r\ny: ..second;info=<https://example.com/b>;ppt=shaken\r\n";

#[test]
fn who_signed_that_he_calls_is_believed_where_he_is_still_named_so() {
    let names = ["From", "To", "Date", "Identity", "y:"];
    insta::assert_snapshot!(crossed(&names, SIGNED, "", SIGNED));
}

#[test]
fn a_signature_over_what_each_leg_has_of_its_own_does_not_cross() {
    let mut calls = Calls::new(calls_config());
    let old = format!("{SIGNED}Identity-Info: <https://example.com/cert>;alg=rsa-sha1\r\n");
    let sent = calls.from(ALICE, &invite(&old));
    let invite = find(&sent, BOB, "INVITE");
    assert_eq!(shown_of(invite, &["Date", "Identity", "y:"]), "");
}

#[test]
fn a_signed_message_crosses_as_it_is_unless_its_sender_is_named_otherwise() {
    let mut config = messages();
    config.accounts[1].dial = Some(vec!["+*".into()]);
    config.trusted = vec![IpNet::parse("192.0.2.9/32").expect("a network")];
    let trunk = |name: &str, at: &str, from: &str| {
        let mut trunk = TrunkConfig::new(name, format!("sip:{}", at.split(':').next().unwrap_or_default()));
        trunk.from = from.into();
        trunk
    };
    let to = |trunk: &str| RouteTo { to: "+{rest}".into(), trunk: Some(trunk.into()), ..RouteTo::default() };
    config.calls = Some(CallsConfig {
        trunks: vec![trunk("plain", DESK, ""), trunk("named", CELL, "sip:customer@carrier.example")],
        routes: [("+1*", "plain"), ("+2*", "named")]
            .map(|(pattern, trunk)| RouteConfig { pattern: pattern.into(), targets: vec![to(trunk)] })
            .into(),
        ..CallsConfig::default()
    });
    let mut told = String::new();
    for (number, at) in [("+15551", DESK), ("+25552", CELL)] {
        let mut host = Host::new(config.clone());
        let commands = host.alice(&text(1, &format!("sip:{number}@example.com"), SIGNED, "hi"));
        let sent =
            sent_to(&commands, at).into_iter().next().unwrap_or_else(|| panic!("{}", shown(&commands)));
        let sent = Sent { to: at.into(), text: sent };
        told.push_str(&format!("{number}\n{}", shown_of(&sent, &["From", "To", "Date", "Identity", "y:"])));
    }
    insta::assert_snapshot!(told);
}
