//! Retry-After in what is answered to calls and messages: who has no time is left alone where others are there (RFC 3261
//! s21.5.4), and whoever asked is told when to try again (s20.33).

use super::calls::*;
use super::transfers::{find, lines};
use super::trunks::{FIRST, SECOND, outward, two};
use super::*;
use crate::door::{Answer, Resolved};

const FULL: &str = "503 Full\r\nRetry-After: 30 (in a meeting);duration=3600";

/// Alice calls over trunks for the n-th time, and this trunk is asked; the others are not.
fn asks(calls: &mut Calls, n: u32, trunk: &str) -> Sent {
    let sent = calls.from(ALICE, &outward(n));
    let invites: Vec<&Sent> = sent.iter().filter(|sent| sent.first().starts_with("INVITE")).collect();
    assert_eq!(invites.len(), 1, "{:?}", lines(&sent));
    find(&sent, trunk, "INVITE").clone()
}

/// The trunk answers the call so; the whole of what that brings.
fn says(calls: &mut Calls, trunk: &str, invite: &Sent, status: &str) -> Vec<Sent> {
    calls.from(trunk, &response(invite, status, "t", "", ""))
}

#[test]
fn a_trunk_without_time_is_passed_over_for_as_long_as_it_says() {
    let mut calls = Calls::new(two(|_| {}));
    let one = asks(&mut calls, 1, FIRST);
    let next = says(&mut calls, FIRST, &one, FULL);
    let told = says(&mut calls, SECOND, find(&next, SECOND, "INVITE"), "486 Busy Here");
    find(&told, ALICE, "SIP/2.0 486");
    assert_eq!(calls.host.engine.sizes().servers_overloaded, 1);
    // That it has none is not the caller's business, nor when it has some (RFC 3261 s16.7 step 6).
    let two = asks(&mut calls, 2, SECOND);
    let told = says(&mut calls, SECOND, &two, "503 Full");
    let told = find(&told, ALICE, "SIP/2.0 500");
    assert_eq!(told.all("Retry-After").len(), 0, "{}", told.text);
    calls.wait(Duration::from_secs(30));
    assert_eq!(calls.host.engine.sizes().servers_overloaded, 0);
    let three = asks(&mut calls, 3, FIRST);
    says(&mut calls, FIRST, &three, "486 Busy Here");
    calls.finish();
}

#[test]
fn however_long_it_says_the_limit_is_longer() {
    let mut config = two(|_| {});
    config.limits.retry_after = Duration::from_secs(60);
    let mut calls = Calls::new(config);
    let one = asks(&mut calls, 1, FIRST);
    let next = says(&mut calls, FIRST, &one, "503 Full\r\nRetry-After: 4294967295");
    says(&mut calls, SECOND, find(&next, SECOND, "INVITE"), "486 Busy Here");
    calls.wait(Duration::from_secs(60));
    let two = asks(&mut calls, 2, FIRST);
    says(&mut calls, FIRST, &two, "486 Busy Here");
    calls.finish();
}

#[test]
fn where_nobody_else_is_who_has_no_time_is_asked_all_the_same() {
    let mut calls = Calls::new(two(|_| {}));
    let one = asks(&mut calls, 1, FIRST);
    let next = says(&mut calls, FIRST, &one, FULL);
    let told = says(&mut calls, SECOND, find(&next, SECOND, "INVITE"), FULL);
    find(&told, ALICE, "SIP/2.0 500");
    let two = asks(&mut calls, 2, SECOND);
    says(&mut calls, SECOND, &two, "486 Busy Here");
    calls.finish();
}

#[test]
fn of_the_addresses_of_a_server_those_with_time_are_tried_first() {
    let mut config = two(|_| {});
    config.accounts[1].may_relay = true;
    let mut calls = Calls::new(config);
    let addresses = [FIRST, SECOND, "192.0.2.79:5060"];
    let call = |calls: &mut Calls, n: u32, answers: [&str; 3]| {
        let text = outward(n).replace("INVITE sip:+4420@example.com", "INVITE sip:carol@else.example");
        let (remote, local) = (addr(ALICE), addr("192.0.2.1:5060"));
        let input = Input::Message { flow: UDP, remote, local, data: text.as_bytes() };
        let commands = calls.host.input(input);
        let ticket = commands.iter().find_map(|command| match command {
            Command::Ask(Query::Resolve(query)) => Some(query.ticket),
            _ => None,
        });
        let way = |remote: &&str| Resolved {
            transport: Transport::Udp,
            remote: addr(remote),
            listener: 0,
            local,
            server_name: None,
        };
        let ways = addresses.iter().map(way).collect();
        let answer = Answer::Resolved(ticket.expect("it is looked for"), ways);
        let commands = calls.host.input(Input::Answer(answer));
        let mut sent = calls.sent(commands);
        let mut tried = Vec::new();
        while let Some(invite) = sent.iter().find(|sent| sent.first().starts_with("INVITE")).cloned() {
            let at = addresses.iter().position(|at| *at == invite.to).expect("one of them");
            tried.push(at + 1);
            sent = calls.from(&invite.to.clone(), &response(&invite, answers[at], "t", "", ""));
        }
        tried
    };
    let busy = "486 Busy Here";
    assert_eq!(call(&mut calls, 1, [FULL, busy, busy]), [1, 2]);
    assert_eq!(call(&mut calls, 2, [busy, FULL, busy]), [2, 3]);
    assert_eq!(call(&mut calls, 3, [busy, busy, FULL]), [3, 1]);
    assert_eq!(call(&mut calls, 4, [busy, busy, busy]), [1]);
    calls.wait(Duration::from_secs(30));
    assert_eq!(call(&mut calls, 5, [busy, busy, busy]), [1]);
    calls.finish();
}

#[test]
fn when_a_callee_may_be_called_again_reaches_the_caller() {
    for (status, told) in [
        ("480 Away", "480"),
        ("486 Busy Here", "486"),
        ("404 Not Found", "404"),
        ("500 Oops", "500"),
        ("600 Busy Everywhere", "600"),
        ("603 Decline", "603"),
    ] {
        let mut calls = Calls::new(calls_config());
        let to_bob = find(&calls.from(ALICE, &invite("")), BOB, "INVITE").clone();
        let later = format!("{status}\r\nRetry-After: 18000 (at lunch);duration=3600");
        let sent = calls.from(BOB, &response(&to_bob, &later, "b", "", ""));
        let answer = find(&sent, ALICE, &format!("SIP/2.0 {told}"));
        assert_eq!(answer.one("Retry-After"), "18000 (at lunch);duration=3600", "{}", answer.text);
        calls.finish();
    }
}

#[test]
fn a_phone_without_time_is_rung_again_and_speaks_for_nobody() {
    let mut calls = Calls::new(calls_config());
    let to_bob = find(&calls.from(ALICE, &invite("")), BOB, "INVITE").clone();
    let sent = calls.from(BOB, &response(&to_bob, FULL, "b", "", ""));
    let told = find(&sent, ALICE, "SIP/2.0 500");
    assert_eq!(told.all("Retry-After").len(), 0);
    assert_eq!(calls.host.engine.sizes().servers_overloaded, 0);
    let again = invite("").replace("z9hG4bKinv", "z9hG4bKinv2").replace("call1", "call2");
    find(&calls.from(ALICE, &again), BOB, "INVITE");
}
