//! Session timers through the engine's doors: RFC 4028, DECISIONS 25.

use super::calls::{
    ALICE, ANSWER, BOB, Calls, OFFER, Sent, by_callee, by_caller, calls_config, established, invite, response,
};
use super::transfers::{CAROL, CAROL_OFFER, find, refer, three};
use super::*;

/// The message with these lines in it.
fn with(message: &str, lines: &str) -> String {
    message.replacen("Call-ID: ", &format!("{lines}Call-ID: "), 1)
}

fn lines(sent: &[Sent]) -> Vec<(&str, &str)> {
    sent.iter().map(|s| (&*s.to, s.first().trim_end_matches(" SIP/2.0"))).collect()
}

const TIMER: &str = "Supported: timer\r\n";
const HALF: Duration = Duration::from_secs(900);
const MS: Duration = Duration::from_millis(1);

/// A call: what alice says beside the usual, what bob does. The INVITE to him, and the 200 to her.
fn talking(calls: &mut Calls, alice: &str, bob: &str) -> (Sent, Sent) {
    let sent = calls.from(ALICE, &invite(alice));
    assert_eq!(sent.len(), 2, "{sent:?}");
    let to_bob = sent[1].clone();
    let ok = calls.from(BOB, &with(&response(&to_bob, "200 OK", "b1", BOB, ANSWER), bob))[0].clone();
    calls.from(ALICE, &by_caller("ACK", 1, &ok, "ack", ""));
    (to_bob, ok)
}

/// Who is told to go goes, and nothing is left.
fn over(mut calls: Calls, sent: &[Sent], to: &[&str]) {
    let mut byes: Vec<&Sent> = sent.iter().filter(|s| s.first().starts_with("BYE")).collect();
    let mut seen = std::collections::BTreeSet::new();
    byes.retain(|bye| seen.insert(&bye.text));
    assert_eq!(byes.iter().map(|s| &*s.to).collect::<Vec<_>>(), to, "{sent:?}");
    for bye in byes {
        calls.from(&bye.to, &response(bye, "200 OK", "", "", ""));
    }
    calls.finish();
}

/// Bob refreshes, and so nothing is due on his leg.
const BOB_REFRESHES: &str = "Require: timer\r\nSession-Expires: 7200;refresher=uas\r\n";
/// We do, at his.
const WE_REFRESH: &str = "Require: timer\r\nAllow: UPDATE\r\nSession-Expires: 1800;refresher=uac\r\n";
/// Alice refreshes.
const ALICE_REFRESHES: &str = "Supported: timer\r\nSession-Expires: 7200;refresher=uac\r\nMin-SE: 4000\r\n";

#[test]
fn each_leg_agrees_for_itself_and_is_refreshed_for_itself() {
    let mut calls = Calls::new(calls_config());
    let mut all = Vec::new();
    let sent = calls.from(ALICE, &invite("Supported: timer\r\nSession-Expires: 600\r\n"));
    let to_bob = sent[1].clone();
    all.extend(sent);
    let ok = calls.from(BOB, &with(&response(&to_bob, "200 OK", "b1", BOB, ANSWER), WE_REFRESH));
    all.extend(ok.clone());
    calls.from(ALICE, &by_caller("ACK", 1, &ok[0], "ack", ""));
    // Half of 600 seconds; she did not say that she takes UPDATE.
    assert_eq!(calls.wait(Duration::from_secs(300) - MS).len(), 0);
    let again = calls.wait(MS);
    all.extend(again.clone());
    assert_eq!(again[0].body(), ANSWER, "what she was sent last");
    let said = "Require: timer\r\nSession-Expires: 600;refresher=uac\r\n";
    let acked = calls.from(ALICE, &with(&response(&again[0], "200 OK", "", ALICE, OFFER), said));
    all.extend(acked);
    let later = calls.wait(Duration::from_secs(300));
    assert_eq!(lines(&later), [(ALICE, "INVITE sip:x@192.0.2.8:5060")]);
    calls.from(ALICE, &with(&response(&later[0], "200 OK", "", ALICE, OFFER), said));
    let later = calls.wait(Duration::from_secs(300));
    assert_eq!(lines(&later), [(ALICE, "INVITE sip:x@192.0.2.8:5060"), (BOB, "UPDATE sip:x@192.0.2.9:5060")]);
    all.extend(later.clone());
    let text: String = all.iter().map(|sent| format!("to {}\n{}\n", sent.to, sent.text)).collect();
    insta::assert_snapshot!("a_call_with_session_timers", text.replace("\r\n", "\n"));
    calls.from(ALICE, &with(&response(&later[0], "200 OK", "", ALICE, OFFER), said));
    calls.from(BOB, &with(&response(&later[1], "200 OK", "", BOB, ""), WE_REFRESH));
    let bye = calls.from(ALICE, &by_caller("BYE", 2, &ok[0], "bye", ""));
    over(calls, &bye, &[BOB]);
}

#[test]
fn who_asks_for_too_little_is_told_how_much_is_granted() {
    let mut calls = Calls::new(calls_config());
    let sent = calls.from(ALICE, &invite("Supported: timer\r\nSession-Expires: 60\r\n"));
    assert_eq!(sent[0].first(), "SIP/2.0 422 Session Interval Too Small");
    assert_eq!(sent[0].one("Min-SE"), "90");
    calls.finish();
}

#[test]
fn without_session_timers_nobody_hears_of_them() {
    let mut config = calls_config();
    config.calls.as_mut().expect("calls").session_timers = false;
    let mut calls = Calls::new(config.clone());
    let refused = calls.from(ALICE, &invite("Require: timer\r\n"));
    assert_eq!(refused[0].one("Unsupported"), "timer");
    calls.finish();
    let mut calls = Calls::new(config);
    let (to_bob, ok) = talking(&mut calls, "Supported: timer\r\nSession-Expires: 60\r\n", "");
    for message in [&to_bob, &ok] {
        assert!(!message.text.contains("timer") && !message.text.contains("Session-Expires"));
    }
    assert_eq!(calls.wait(4 * HALF).len(), 0);
    let bye = calls.from(ALICE, &by_caller("BYE", 2, &ok, "bye", ""));
    over(calls, &bye, &[BOB]);
}

#[test]
fn a_phone_that_wants_longer_intervals_is_asked_again() {
    let mut calls = Calls::new(calls_config());
    let first = calls.from(ALICE, &invite(""))[1].clone();
    assert_eq!((first.one("Session-Expires"), first.one("Min-SE")), ("1800", ""));
    let refused = response(&first, "422 Session Interval Too Small", "x", "", "");
    let again = calls.from(BOB, &with(&refused, "Min-SE: 3600\r\n"));
    assert_eq!(lines(&again), [(BOB, "ACK sip:bob@192.0.2.9:5060"), (BOB, "INVITE sip:bob@192.0.2.9:5060")]);
    let second = again[1].clone();
    assert_eq!((second.one("Session-Expires"), second.one("Min-SE")), ("3600", "3600"));
    assert_eq!((second.one("Call-ID"), second.one("From")), (first.one("Call-ID"), first.one("From")));
    assert_eq!(second.one("To"), first.one("To"));
    // The same answer again helps nobody.
    let refused = response(&second, "422 Session Interval Too Small", "x", "", "");
    let end = calls.from(BOB, &with(&refused, "Min-SE: 3600\r\n"));
    assert_eq!(end[1].first(), "SIP/2.0 500 Server Internal Error");
    calls.finish();
}

#[test]
fn who_promised_to_refresh_and_does_not_is_told_to_go() {
    let mut calls = Calls::new(calls_config());
    let alice = "Supported: timer\r\nSession-Expires: 600;refresher=uac\r\n";
    let (_, ok) = talking(&mut calls, alice, BOB_REFRESHES);
    assert_eq!(ok.one("Session-Expires"), "600;refresher=uac");
    assert_eq!(ok.one("Require"), "timer");
    // RFC 4028 s10: 32 seconds before the end.
    assert_eq!(calls.wait(Duration::from_secs(568) - MS).len(), 0);
    let sent = calls.wait(MS);
    over(calls, &sent, &[ALICE, BOB]);
}

#[test]
fn who_does_not_know_timers_is_asked_now_and_then_whether_he_is_there() {
    let mut calls = Calls::new(calls_config());
    talking(&mut calls, ALICE_REFRESHES, "Allow: INVITE, UPDATE\r\n");
    let sent = calls.wait(HALF);
    assert_eq!(lines(&sent), [(BOB, "UPDATE sip:x@192.0.2.9:5060")]);
    assert_eq!(sent[0].one("Session-Expires"), "1800;refresher=uac");
    // He takes no UPDATE in truth, and then an INVITE, which he does not want either: he is there.
    let sent = calls.from(BOB, &response(&sent[0], "501 Not Implemented", "", "", ""));
    assert_eq!(lines(&sent), [(BOB, "INVITE sip:x@192.0.2.9:5060")]);
    assert_eq!(sent[0].body(), OFFER);
    assert_eq!(calls.from(BOB, &response(&sent[0], "488 Not Acceptable Here", "", "", "")).len(), 1);
    let sent = calls.wait(HALF);
    assert_eq!(lines(&sent), [(BOB, "INVITE sip:x@192.0.2.9:5060")]);
    calls.from(BOB, &response(&sent[0], "200 OK", "", BOB, ANSWER));
    // Somebody who is not is found out.
    let sent = calls.wait(HALF);
    let gone = calls.from(BOB, &response(&sent[0], "481 Call/Transaction Does Not Exist", "", "", ""));
    over(calls, &gone, &[ALICE]);
}

#[test]
fn when_a_refresh_is_not_answered_both_are_told_to_go() {
    let mut calls = Calls::new(calls_config());
    talking(&mut calls, ALICE_REFRESHES, WE_REFRESH);
    let sent = calls.wait(HALF);
    assert_eq!(lines(&sent), [(BOB, "UPDATE sip:x@192.0.2.9:5060")]);
    let sent = calls.wait(Duration::from_secs(32));
    // RFC 4028 s10: who was silent may be back, and would talk to nobody.
    over(calls, &sent, &[ALICE, BOB]);
}

#[test]
fn a_refresh_that_is_refused_is_tried_again_until_the_session_ends() {
    let mut calls = Calls::new(calls_config());
    talking(&mut calls, ALICE_REFRESHES, WE_REFRESH);
    let mut waited = Vec::new();
    let mut sent = calls.wait(HALF);
    let mut left = 900;
    while let Some(update) = sent.iter().find(|s| s.first().starts_with("UPDATE")).cloned() {
        calls.from(BOB, &response(&update, "500 Server Internal Error", "", "", ""));
        waited.push(left);
        let wait = if left > 32 { Duration::from_millis(left * 500) } else { Duration::from_secs(left) };
        sent = calls.wait(wait);
        left = if left > 32 { left / 2 } else { 0 };
        if left > 0 && sent.is_empty() {
            sent = calls.wait(Duration::from_secs(1));
        }
    }
    assert_eq!(waited, [900, 450, 225, 112, 56, 28]);
    over(calls, &sent, &[ALICE, BOB]);
}

#[test]
fn refreshes_that_cross_another_request_come_again_soon() {
    let mut calls = Calls::new(calls_config());
    let bob = WE_REFRESH.replace("UPDATE", "INVITE");
    let (to_bob, ok) = talking(&mut calls, "Supported: timer\r\nAllow: INVITE\r\n", &bob);
    let sent = calls.wait(HALF);
    assert_eq!(
        lines(&sent),
        [(ALICE, "INVITE sip:x@192.0.2.8:5060"), (BOB, "INVITE sip:x@192.0.2.9:5060")]
            .map(|(to, line)| (to, if to == ALICE { "INVITE sip:alice@192.0.2.8:5060" } else { line }))
    );
    // RFC 3261 s14.2: theirs crossed ours, on either leg.
    for theirs in [
        calls.from(ALICE, &by_caller("INVITE", 2, &ok, "x1", OFFER)),
        calls.from(BOB, &by_callee("INVITE", 7, &to_bob, "b1", "x2", OFFER)),
        calls.from(BOB, &by_callee("UPDATE", 8, &to_bob, "b1", "x3", OFFER)),
    ] {
        assert_eq!(theirs[0].first(), "SIP/2.0 491 Request Pending");
    }
    calls.from(ALICE, &response(&sent[0], "491 Request Pending", "", "", ""));
    calls.from(BOB, &response(&sent[1], "491 Request Pending", "", "", ""));
    // RFC 3261 s14.1: the Call-ID is hers on the one leg, and ours on the other.
    let invites = |sent: Vec<Sent>| -> Vec<Sent> {
        sent.into_iter().filter(|s| s.first().starts_with("INVITE")).collect()
    };
    let early = invites(calls.wait(Duration::from_millis(2099)));
    assert!(!early.is_empty() && early.iter().all(|s| s.to == ALICE), "{early:?}");
    let said = "Require: timer\r\nSession-Expires: 1800;refresher=uac\r\n";
    calls.from(ALICE, &with(&response(&early[0], "200 OK", "", ALICE, OFFER), said));
    let late = invites(calls.wait(Duration::from_millis(1901)));
    assert!(!late.is_empty() && late.iter().all(|s| s.to == BOB), "{late:?}");
    calls.from(BOB, &with(&response(&late[0], "200 OK", "", BOB, ANSWER), said));
    let bye = calls.from(ALICE, &by_caller("BYE", 3, &ok, "bye", ""));
    over(calls, &bye, &[BOB]);
}

#[test]
fn what_is_relayed_refreshes_both_legs_each_with_its_own() {
    let mut calls = Calls::new(calls_config());
    let (_, ok) = talking(&mut calls, TIMER, WE_REFRESH);
    assert_eq!(ok.one("Session-Expires"), "1800;refresher=uas");
    calls.wait(Duration::from_secs(600));
    let hold = with(
        &by_caller("INVITE", 2, &ok, "hold", OFFER),
        "Supported: timer\r\nSession-Expires: 300;refresher=uac\r\n",
    );
    let relayed = calls.from(ALICE, &hold)[0].clone();
    assert_eq!(relayed.one("Session-Expires"), "1800;refresher=uac");
    // He wants more meanwhile, which is not for her to know.
    let refused = response(&relayed, "422 Session Interval Too Small", "", "", "");
    let again = calls.from(BOB, &with(&refused, "Min-SE: 2000\r\n"));
    assert_eq!(lines(&again), [(BOB, "ACK sip:x@192.0.2.9:5060"), (BOB, "INVITE sip:x@192.0.2.9:5060")]);
    assert_eq!((again[1].one("Session-Expires"), again[1].one("Min-SE")), ("2000;refresher=uac", "2000"));
    assert_eq!(again[1].body(), OFFER);
    let accepted = "Require: timer\r\nSession-Expires: 2000;refresher=uas\r\n";
    let held = calls.from(BOB, &with(&response(&again[1], "200 OK", "", BOB, ANSWER), accepted));
    assert_eq!(held[0].one("Session-Expires"), "300;refresher=uac");
    calls.from(ALICE, &by_caller("ACK", 2, &ok, "ack2", ""));
    // She refreshes by UPDATE, for which he has no use: it is answered here.
    calls.wait(Duration::from_secs(150));
    let update = with(
        &by_caller("UPDATE", 3, &ok, "u", ""),
        "Supported: timer\r\nSession-Expires: 300;refresher=uac\r\n",
    );
    let sent = calls.from(ALICE, &update);
    assert_eq!(lines(&sent), [(BOB, "UPDATE sip:x@192.0.2.9:5060")], "he takes it");
    let no_more = format!("Allow: INVITE\r\n{accepted}");
    let sent = calls.from(BOB, &with(&response(&sent[0], "200 OK", "", BOB, ""), &no_more));
    assert_eq!(sent[0].one("Session-Expires"), "300;refresher=uac");
    calls.wait(Duration::from_secs(150));
    let update = update.replace("CSeq: 3", "CSeq: 4").replace("bKu", "bKu4");
    let sent = calls.from(ALICE, &update);
    assert_eq!(lines(&sent), [(ALICE, "SIP/2.0 200 OK")]);
    assert_eq!(sent[0].one("Session-Expires"), "300;refresher=uac");
    // And then no more.
    assert_eq!(calls.wait(Duration::from_secs(268) - MS).len(), 0);
    let sent = calls.wait(MS);
    over(calls, &sent, &[ALICE, BOB]);
}

#[test]
fn who_was_transferred_is_refreshed_in_the_new_call() {
    let mut calls = three();
    let (_, ok) = established(&mut calls);
    let sent = calls.from(ALICE, &refer(&ok, 2, "<sip:carol@example.com>", ""));
    let to_carol = find(&sent, CAROL, "INVITE").clone();
    calls.from(ALICE, &response(find(&sent, ALICE, "NOTIFY"), "200 OK", "", "", ""));
    let answered = calls.from(CAROL, &response(&to_carol, "200 OK", "c1", CAROL, CAROL_OFFER));
    let to_bob = find(&answered, BOB, "INVITE").clone();
    let agreed = calls.from(BOB, &response(&to_bob, "200 OK", "", BOB, ANSWER));
    let to_alice = calls.from(ALICE, &response(find(&agreed, ALICE, "NOTIFY"), "200 OK", "", "", ""));
    calls.from(ALICE, &response(find(&to_alice, ALICE, "BYE"), "200 OK", "", "", ""));
    for _ in 0..3 {
        let sent = calls.wait(HALF);
        let (bob, carol) = (find(&sent, BOB, "INVITE"), find(&sent, CAROL, "INVITE"));
        assert_eq!(sent.len(), 2, "{:?}", lines(&sent));
        assert_eq!((bob.body(), carol.body()), (to_bob.body(), ANSWER), "nothing has changed");
        calls.from(BOB, &response(bob, "200 OK", "", BOB, ANSWER));
        calls.from(CAROL, &response(carol, "200 OK", "", CAROL, CAROL_OFFER));
    }
    let bye = calls.from(CAROL, &by_callee("BYE", 7, &to_carol, "c1", "bye", "").replace(BOB, CAROL));
    over(calls, &bye, &[BOB]);
}

/// Two servers in a row with a phone at each end; whatever is sent arrives.
struct Chain {
    hosts: [Host; 2],
    /// Phones know session timers.
    timers: bool,
    /// Requests the phones got.
    got: Vec<Sent>,
    wires: std::collections::VecDeque<(String, Sent)>,
}

const SERVERS: [&str; 2] = ["192.0.2.1:5060", "192.0.2.2:5060"];

impl Chain {
    fn new(timers: bool) -> Chain {
        let mut two = calls_config();
        two.domains = Config::new("192.0.2.2").domains;
        let hosts = [Host::seeded(calls_config(), 1), Host::seeded(two, 2)];
        let mut chain = Chain { hosts, timers, got: Vec::new(), wires: Default::default() };
        for (server, domain, from, contact) in [
            (0, "example.com", SERVERS[1], "bob@192.0.2.2:5060"),
            (1, "192.0.2.2", BOB, "bob@192.0.2.9:5060"),
        ] {
            let text = format!(
                "REGISTER sip:{domain} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKr{server}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:bob@{domain}>;tag=r\r\nTo: <sip:bob@{domain}>\r\nCall-ID: r\r\n\
                 CSeq: 1 REGISTER\r\nContact: <sip:{contact}>;expires=86400\r\nContent-Length: 0\r\n\r\n"
            );
            let sent = chain.give(server, from, &text);
            assert!(sent[0].first().starts_with("SIP/2.0 200"), "{sent:?}");
        }
        chain
    }

    fn give(&mut self, server: usize, from: &str, text: &str) -> Vec<Sent> {
        let (remote, local) = (addr(from), addr(SERVERS[server]));
        let commands =
            self.hosts[server].input(Input::Message { flow: UDP, remote, local, data: text.as_bytes() });
        sent(commands)
    }

    fn send(&mut self, server: usize, from: &str, text: &str) {
        let out = self.give(server, from, text);
        self.wires.extend(out.into_iter().map(|sent| (SERVERS[server].to_owned(), sent)));
        self.settle();
    }

    /// Delivers all that is under way.
    fn settle(&mut self) {
        while let Some((from, message)) = self.wires.pop_front() {
            if let Some(server) = SERVERS.iter().position(|server| *server == message.to) {
                let out = self.give(server, &from, &message.text);
                self.wires.extend(out.into_iter().map(|sent| (SERVERS[server].to_owned(), sent)));
                continue;
            }
            if message.first().starts_with("SIP/2.0") || message.text.trim().is_empty() {
                self.got.push(message);
                continue;
            }
            let timer = match message.one("Session-Expires").split(';').next() {
                Some(expires) if self.timers && !expires.is_empty() => {
                    format!("Require: timer\r\nSession-Expires: {expires};refresher=uac\r\n")
                }
                _ => String::new(),
            };
            let server = SERVERS.iter().position(|server| *server == from).unwrap_or(0);
            let sdp = if message.first().starts_with("INVITE") { ANSWER } else { "" };
            let at = message.to.clone();
            let answer = with(&response(&message, "200 OK", "b1", &at, sdp), &timer);
            let ack = message.first().starts_with("ACK");
            self.got.push(message);
            if !ack {
                let out = self.give(server, &at, &answer);
                self.wires.extend(out.into_iter().map(|sent| (SERVERS[server].to_owned(), sent)));
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        let end = self.hosts[0].now + time;
        loop {
            let next = self.hosts.iter().filter_map(|host| host.engine.poll_timeout()).min();
            let now = next.filter(|next| *next <= end).unwrap_or(end);
            for (host, server) in self.hosts.iter_mut().zip(SERVERS) {
                host.now = host.now.max(now);
                let out = sent(host.input(Input::Timeout));
                self.wires.extend(out.into_iter().map(|sent| (server.to_owned(), sent)));
            }
            self.settle();
            if next.is_none_or(|next| next > end) {
                return;
            }
        }
    }
}

fn sent(commands: Vec<Command>) -> Vec<Sent> {
    let message = |command| match command {
        Command::Transmit(t) => {
            Some(Sent { to: t.remote.to_string(), text: String::from_utf8_lossy(&t.payload).into_owned() })
        }
        _ => None,
    };
    commands.into_iter().filter_map(message).collect()
}

#[test]
fn two_servers_in_a_row_keep_a_call_alive() {
    for timers in [false, true] {
        let mut chain = Chain::new(timers);
        chain.send(0, ALICE, &invite(if timers { TIMER } else { "" }));
        let ok = chain.got.iter().find(|s| s.first() == "SIP/2.0 200 OK").cloned();
        let ok = ok.unwrap_or_else(|| panic!("{:?}", chain.got));
        chain.send(0, ALICE, &by_caller("ACK", 1, &ok, "ack", ""));
        chain.got.clear();
        chain.wait(Duration::from_secs(3 * 3600));
        let count = |chain: &Chain, to: &str, method: &str| {
            chain.got.iter().filter(|s| s.to == to && s.first().starts_with(method)).count()
        };
        // Every 900 seconds: the last one falls on the end of the wait.
        assert_eq!(count(&chain, ALICE, "INVITE"), 12, "timers: {timers}");
        assert_eq!(count(&chain, BOB, "INVITE"), 12, "timers: {timers}");
        assert_eq!(count(&chain, ALICE, "BYE") + count(&chain, BOB, "BYE"), 0, "timers: {timers}");
        for host in &chain.hosts {
            assert_eq!(host.engine.sizes().calls, 1);
        }
        chain.send(0, ALICE, &by_caller("BYE", 2, &ok, "bye", ""));
        assert_eq!(count(&chain, BOB, "BYE"), 1);
        chain.wait(Duration::from_secs(100));
        for host in &chain.hosts {
            let sizes = host.engine.sizes();
            assert_eq!((sizes.calls, sizes.call_dialogs, sizes.transactions), (0, 0, 0));
        }
    }
}
