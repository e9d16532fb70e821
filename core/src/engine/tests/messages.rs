//! MESSAGE through the engine's doors, byte for byte: forked, queued, kept, refused.

use super::presence::{header, sent};
use super::*;
use crate::config::{CallsConfig, MessagesConfig, NumberUser, NumbersConfig, RouteConfig, RouteTo};
use crate::door::{Change, SaveSeq};

pub(super) const ALICE: &str = "192.0.2.9:5060";
pub(super) const DESK: &str = "192.0.2.21:5060";
pub(super) const CELL: &str = "192.0.2.22:5060";

pub(super) fn messages() -> Config {
    let mut config = open();
    config.policies.message = AuthPolicy::Open;
    config.messages = Some(MessagesConfig::default());
    config.tell.bindings = false;
    config.tell.drops = false;
    config
}

pub(super) fn text(number: u32, to: &str, more: &str, body: &str) -> String {
    format!(
        "MESSAGE {to} SIP/2.0\r\nVia: SIP/2.0/UDP {ALICE};branch=z9hG4bKm{number};rport\r\nMax-Forwards: 70\r\n\
         From: Alice <sip:alice@example.com>;tag=a{number}\r\nTo: <{to}>\r\nCall-ID: m{number}@192.0.2.9\r\n\
         CSeq: 1 MESSAGE\r\n{more}Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(super) fn to_bob(number: u32, body: &str) -> String {
    text(number, "sip:bob@example.com", "", body)
}

/// All that was sent there.
pub(super) fn sent_to(commands: &[Command], remote: &str) -> Vec<String> {
    let there = |c: &&Command| matches!(c, Command::Transmit(t) if t.remote == addr(remote));
    sent(&commands.iter().filter(there).cloned().collect::<Vec<_>>())
}

impl Host {
    pub(super) fn over(&mut self, flow: FlowId, remote: &str, data: &str) -> Vec<Command> {
        let (remote, local) = (addr(remote), addr("192.0.2.1:5060"));
        self.input(Input::Message { flow, remote, local, data: data.as_bytes() })
    }

    pub(super) fn alice(&mut self, data: &str) -> Vec<Command> {
        self.over(UDP, ALICE, data)
    }

    /// Bob registers a phone at this address.
    pub(super) fn bob_at(&mut self, remote: &str, cseq: u32, more: &str) -> Vec<Command> {
        let contact = format!("Contact: <sip:bob@{remote}>{more}\r\n");
        let request =
            String::from_utf8(request("REGISTER", "sip:example.com", cseq, &contact)).expect("ASCII");
        let request = request.replace(ALICE, remote).replace("c1@", &format!("{remote}@"));
        self.over(UDP, remote, &request)
    }

    /// A phone answers the MESSAGE among the commands that went to it.
    pub(super) fn taken(&mut self, commands: &[Command], remote: &str, status: &str) -> Vec<Command> {
        let got = sent_to(commands, remote).into_iter().rfind(|text| text.starts_with("MESSAGE "));
        let got = got.unwrap_or_else(|| panic!("no MESSAGE to {remote} in {}", shown(commands)));
        let copied: Vec<String> = ["Via", "From", "To", "Call-ID", "CSeq"]
            .iter()
            .map(|name| format!("{name}: {}\r\n", header(&got, name)))
            .collect();
        let copied = copied.concat().replace("\r\nCall-ID", ";tag=b\r\nCall-ID");
        self.over(UDP, remote, &format!("SIP/2.0 {status}\r\n{copied}Content-Length: 0\r\n\r\n"))
    }

    pub(super) fn ends_empty(&mut self) {
        self.wait(Duration::from_secs(40 * 86_400));
        let sizes = self.engine.sizes();
        assert_eq!((sizes.messages, sizes.stored_messages, sizes.parked), (0, 0, 0), "{sizes:?}");
        assert_eq!((sizes.transactions, sizes.bindings, sizes.timers), (0, 0, 0), "{sizes:?}");
    }
}

#[test]
fn a_message_goes_to_all_phones_and_the_first_that_takes_it_is_the_answer() {
    let mut host = Host::new(messages());
    host.bob_at(DESK, 1, "");
    host.bob_at(CELL, 2, "");
    let more = "Subject: lunch\r\nX-Mood: hungry\r\nExpires: 60\r\n";
    let commands = host.alice(&text(1, "sip:bob@example.com", more, "Lunch?"));
    let mut told = shown(&commands);
    assert_eq!(host.engine.sizes().messages, 3);
    told += &shown(&host.taken(&commands, CELL, "486 Busy Here"));
    told += &shown(&host.taken(&commands, DESK, "200 OK"));
    insta::assert_snapshot!(told);
    // It came again, and so does its answer.
    assert_eq!(status(&host.alice(&text(1, "sip:bob@example.com", more, "Lunch?"))), Some(200));
    host.ends_empty();
}

#[test]
fn what_a_message_says_is_its_own_business_and_arrives_byte_for_byte() {
    // RFC 3862: what looks like headers, and what is no text at all.
    let cpim = b"From: <im:alice@example.com>\r\nNS: x <mid:1>\r\n\r\nContent-Type: text/plain\r\n\r\nhi\r\n";
    for (kind, body) in
        [("message/cpim", &cpim[..]), ("image/png", b"\x89PNG\r\n\x1a\n\x00\xff"), ("", b"\xfe\x00")]
    {
        let mut host = Host::new(messages());
        host.bob_at(DESK, 1, "");
        let line = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
        let head = text(1, "sip:bob@example.com", "", "").replace("Content-Type: text/plain\r\n", &line);
        let head = head.replace("Content-Length: 0", &format!("Content-Length: {}", body.len()));
        let data = [head.as_bytes(), body].concat();
        let (remote, local) = (addr(ALICE), addr("192.0.2.1:5060"));
        let commands = host.input(Input::Message { flow: UDP, remote, local, data: &data });
        let arrived = commands.iter().find_map(|command| match command {
            Command::Transmit(sent) if sent.remote == addr(DESK) => Some(sent.payload.clone()),
            _ => None,
        });
        let arrived = arrived.unwrap_or_else(|| panic!("{}", shown(&commands)));
        assert!(arrived.ends_with(body), "{kind}");
        let head = String::from_utf8_lossy(&arrived).into_owned();
        assert!(kind.is_empty() || head.contains(&line), "{head}");
        let answer = host.taken(&commands, DESK, "415 Unsupported Media Type\r\nAccept: text/plain");
        let answer = sent_to(&answer, ALICE).remove(0);
        assert!(
            answer.starts_with("SIP/2.0 415") && answer.contains("\r\nAccept: text/plain\r\n"),
            "{answer}"
        );
        host.ends_empty();
    }
}

#[test]
fn the_best_failure_is_the_senders() {
    let mut table = String::new();
    for (desk, cell) in [
        ("404 Not Found", "480 Temporarily Unavailable"),
        ("480 Temporarily Unavailable", "486 Busy Here"),
        ("486 Busy Here", "415 Unsupported Media Type\r\nAccept: text/plain\r\nX-Secret: 1"),
        ("603 Decline", "404 Not Found"),
        ("500 Oops", "503 Full\r\nRetry-After: 5"),
        ("503 Full\r\nRetry-After: 5", "503 Full\r\nRetry-After: 5"),
        ("401 Who\r\nWWW-Authenticate: Digest realm=\"x\"", "407 Who"),
        ("302 There\r\nContact: <sip:evil@203.0.113.9>", "302 There"),
        ("408 Late", "408 Late"),
        ("430 Flow", "500 Oops"),
        ("500 Oops", "200 OK"),
    ] {
        let mut host = Host::new(messages());
        host.bob_at(DESK, 1, "");
        host.bob_at(CELL, 2, "");
        let commands = host.alice(&to_bob(1, "hi"));
        let first = host.taken(&commands, DESK, desk);
        assert_eq!(sent(&first).len(), 0, "{}", shown(&first));
        let last = sent(&host.taken(&commands, CELL, cell)).remove(0);
        let copied = ["Via", "From", "To", "Call-ID", "CSeq", "Server", "Content-Length"];
        let told = last.lines().filter(|l| !copied.iter().any(|name| l.starts_with(&format!("{name}:"))));
        let told: Vec<&str> = told.filter(|line| !line.is_empty()).collect();
        let short = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        let _ = writeln!(table, "{:28} {:28} {}", short(desk), short(cell), told.join(" | "));
        assert_eq!(host.engine.sizes().messages, 0);
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_phone_that_says_nothing_is_given_up_before_the_sender_gives_up() {
    let mut host = Host::new(messages());
    host.bob_at(DESK, 1, "");
    let start = host.now;
    host.alice(&to_bob(1, "hi"));
    let mut told = String::new();
    while let Some(next) =
        host.engine.poll_timeout().filter(|_| host.now.since(start) < Duration::from_secs(40))
    {
        host.now = host.now.max(next);
        for answer in sent_to(&host.input(Input::Timeout), ALICE) {
            let _ =
                writeln!(told, "{:?} {}", host.now.since(start), answer.lines().next().unwrap_or_default());
        }
    }
    // RFC 4320: 100 when Timer E reaches T2, never 408.
    assert_eq!(told, "3.5s SIP/2.0 100 Trying\n28s SIP/2.0 480 Temporarily Unavailable\n");
    host.ends_empty();
}

#[test]
fn what_nobody_takes_is_kept_and_goes_to_the_phone_that_registers() {
    let mut host = Host::new(messages());
    let mut told = shown(&host.alice(&to_bob(1, "first")));
    host.alice(&text(2, "sip:bob@example.com", "Date: Tue, 14 Nov 2023 22:00:00 GMT\r\n", "second"));
    assert_eq!(host.engine.sizes().stored_messages, 2);
    host.wait(Duration::from_secs(3600));
    let commands = host.bob_at(DESK, 1, "");
    told += &shown(&commands);
    // One at a time.
    assert_eq!(sent_to(&commands, DESK).len(), 2);
    let commands = host.taken(&commands, DESK, "200 OK");
    told += &shown(&commands);
    let commands = host.taken(&commands, DESK, "200 OK");
    assert!(commands.is_empty(), "{}", shown(&commands));
    insta::assert_snapshot!(told);
    assert_eq!(host.engine.sizes().stored_messages, 0);
    assert!(sent_to(&host.bob_at(DESK, 2, ""), DESK).iter().all(|text| !text.starts_with("MESSAGE ")));
    host.ends_empty();
}

#[test]
fn a_kept_message_waits_until_it_is_taken_or_refused_or_of_no_use_any_more() {
    for (status, kept) in [
        ("200 OK", 0),
        ("202 Accepted", 0),
        ("404 Not Found", 0),
        ("415 Unsupported Media Type", 0),
        ("603 Decline", 0),
        ("405 Method Not Allowed", 1),
        ("408 Request Timeout", 1),
        ("480 Temporarily Unavailable", 1),
        ("500 Oops", 1),
        ("503 Full", 1),
    ] {
        let mut host = Host::new(messages());
        host.alice(&to_bob(1, "hi"));
        let commands = host.bob_at(DESK, 1, "");
        host.taken(&commands, DESK, status);
        assert_eq!(host.engine.sizes().stored_messages, kept, "{status}");
        // A refresh is another chance.
        let commands = host.bob_at(DESK, 2, "");
        let again = sent_to(&commands, DESK).iter().filter(|text| text.starts_with("MESSAGE ")).count();
        assert_eq!(again, kept, "{status}");
        host.ends_empty();
    }
    let mut host = Host::new(messages());
    host.alice(&text(1, "sip:bob@example.com", "Expires: 100\r\n", "now or never"));
    let commands = host.bob_at(DESK, 1, "");
    // The phone is silent, and the next one too.
    assert_eq!(sent_to(&commands, DESK).len(), 2);
    host.wait(Duration::from_secs(50));
    assert_eq!(host.engine.sizes().stored_messages, 1);
    host.wait(Duration::from_secs(50));
    assert_eq!(host.engine.sizes().stored_messages, 0);
    assert_eq!(host.engine.stats().counter(Counter::MessagesExpired), 1);
    host.ends_empty();
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let mut config = messages();
    config.limits.stored_messages_per_aor = 1;
    config.limits.message_bytes_stored = 100;
    let mut host = Host::new(config);
    let large = "x".repeat(101);
    for (number, more, body, expected) in [
        (1, "", &*large, 413),
        (2, "Expires: 0\r\n", "now", 480),
        (3, "", "kept", 202),
        (4, "", "one too many", 480),
    ] {
        let commands = host.alice(&text(number, "sip:bob@example.com", more, body));
        assert_eq!(status(&commands), Some(expected), "{body}");
    }
    let typing =
        text(5, "sip:bob@example.com", "", "<x/>").replace("text/plain", "Application/im-iscomposing+xml");
    assert_eq!(status(&host.alice(&typing)), Some(480));
    let mut config = messages();
    config.messages = Some(MessagesConfig { store: false, ..MessagesConfig::default() });
    assert_eq!(status(&Host::new(config).alice(&to_bob(1, "hi"))), Some(480));
}

#[test]
fn one_message_at_a_time_is_on_its_way_to_a_phone() {
    let mut config = messages();
    config.limits.messages_waiting = 2;
    let mut host = Host::new(config);
    host.bob_at(DESK, 1, "");
    let first = host.alice(&to_bob(1, "one"));
    assert_eq!(sent_to(&first, DESK).len(), 1);
    for number in [2, 3] {
        assert_eq!(host.alice(&to_bob(number, "more")).len(), 0);
    }
    assert_eq!(status(&host.alice(&to_bob(4, "too many"))), Some(480));
    // The answer to the first lets the second go.
    let second = host.taken(&first, DESK, "200 OK");
    assert_eq!((sent_to(&second, ALICE).len(), sent_to(&second, DESK).len()), (1, 1), "{}", shown(&second));
    // Its phone is silent: both who wait are told in time, and the last one is never sent.
    let commands = host.wait(Duration::from_secs(28));
    let told = sent_to(&commands, ALICE).iter().filter(|text| text.starts_with("SIP/2.0 480")).count();
    assert_eq!(told, 2, "{}", shown(&commands));
    let commands = host.wait(Duration::from_secs(10));
    assert_eq!(sent_to(&commands, DESK).len(), 1, "the last repetition of the second: {}", shown(&commands));
    host.ends_empty();
}

#[test]
fn what_is_too_large_for_a_datagram_takes_a_stream_of_the_same_phone() {
    let mut host = Host::new(messages());
    let instance = ";+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-0000000000b1>\"";
    let large = "x".repeat(1200);
    host.bob_at(DESK, 1, instance);
    let commands = host.alice(&to_bob(1, &large));
    assert!(matches!(&commands[..], [Command::Transmit(t)] if t.flow == UDP && t.payload.len() > 1300));
    assert_eq!(host.engine.stats().counter(Counter::LargeDatagrams), 1);
    host.taken(&commands, DESK, "200 OK");
    // The same phone by its other account is there by TCP as well, but refreshed less recently.
    let contact = format!(
        "Contact: <sip:bob@192.0.2.9:40000;transport=tcp>{instance};reg-id=2\r\nSupported: outbound\r\n"
    );
    let tcp = String::from_utf8(request("REGISTER", "sip:example.com", 9, &contact)).expect("ASCII");
    host.over(TCP, "192.0.2.9:40000", &tcp.replace("/UDP", "/TCP"));
    let udp = host.bob_at(DESK, 2, &format!("{instance};reg-id=1\r\nSupported: outbound"));
    assert_eq!(status(&udp), Some(200));
    let small = host.alice(&to_bob(2, "small"));
    assert_eq!(host.engine.sizes().bindings, 2, "{}", shown(&udp));
    let by = |commands: &[Command]| match commands.first() {
        Some(Command::Transmit(t)) => t.flow,
        other => panic!("{other:?}"),
    };
    assert_eq!(by(&small), UDP);
    host.taken(&small, DESK, "200 OK");
    let large = host.alice(&to_bob(3, &large));
    assert_eq!(by(&large), TCP, "{}", shown(&large));
    assert!(sent(&large)[0].contains("Via: SIP/2.0/TCP "), "{}", shown(&large));
}

#[test]
fn what_may_not_be_or_leads_nowhere_is_refused() {
    let mut config = messages();
    config.policies.register = AuthPolicy::Any;
    let mut host = Host::new(config.clone());
    let mut table = String::new();
    let mut number = 0;
    let mut tried = |host: &mut Host, what: &str, request: String| {
        let commands = host.alice(&request);
        let _ = writeln!(table, "{what:32} {}", sent(&commands)[0].lines().next().unwrap_or_default());
    };
    let mut next = |to: &str| {
        number += 1;
        text(number, to, "", "hi")
    };
    tried(&mut host, "a user who is not there", next("sip:bob@example.com"));
    tried(&mut host, "nobody", next("sip:nobody@example.com"));
    tried(&mut host, "the domain itself", next("sip:example.com"));
    tried(&mut host, "another domain", next("sip:bob@elsewhere.example"));
    tried(&mut host, "a number", next("tel:+15551234"));
    tried(&mut host, "a phone that is gone", next("sip:bob@example.com;gr=urn:uuid:1"));
    tried(&mut host, "no hops left", next("sip:bob@example.com").replace("Forwards: 70", "Forwards: 0"));
    tried(
        &mut host,
        "within a dialog",
        next("sip:bob@example.com").replace("To: <sip:bob@example.com>", "To: <sip:bob@example.com>;tag=x"),
    );
    tried(&mut host, "a mail address", next("mailto:bob@example.com"));
    let required = next("sip:bob@example.com").replace("CSeq", "Require: teleport\r\nCSeq");
    tried(&mut host, "an extension we lack", required);
    let timeout = Duration::from_secs(60);
    host.input(Input::Host { reply: None, request: Request::Drain { timeout } });
    tried(&mut host, "while we go away", next("sip:bob@example.com"));
    config.messages = None;
    tried(&mut Host::new(config), "switched off", next("sip:bob@example.com"));
    insta::assert_snapshot!(table);
}

#[test]
fn where_calls_are_routed_messages_go_the_same_ways() {
    let mut config = messages();
    config.policies.register = AuthPolicy::Any;
    let route = |pattern: &str, to: &[&str]| RouteConfig {
        pattern: pattern.into(),
        targets: to.iter().map(|to| RouteTo { to: (*to).into(), ..RouteTo::default() }).collect(),
    };
    config.calls = Some(CallsConfig {
        numbers: NumbersConfig {
            users: vec![NumberUser { number: "+15551234".into(), aor: "bob@example.com".into() }],
            ..NumbersConfig::default()
        },
        routes: vec![
            route("team", &["alice@example.com", "bob@example.com"]),
            route("9*", &["sip:x@else.example"]),
        ],
        ..CallsConfig::default()
    });
    let mut table = String::new();
    for away in [true, false] {
        let mut host = Host::new(config.clone());
        if !away {
            let mut open = config.clone();
            open.policies.register = AuthPolicy::Open;
            host = Host::new(open);
            host.bob_at(DESK, 1, "");
        }
        for (number, to) in [
            "sip:bob@example.com",
            "tel:+15551234",
            "sip:+1-555-1234@example.com;user=phone",
            "sip:team@example.com",
            "sip:911@example.com",
            "sip:nobody@example.com",
            "sip:bob@else.example",
            "sip:bob@example.com;gr=urn:uuid:1",
        ]
        .iter()
        .enumerate()
        {
            let commands = host.alice(&text(number as u32, to, "", "hi"));
            let first = sent(&commands)[0].lines().next().unwrap_or_default().to_owned();
            let _ = writeln!(table, "{:8} {to:42} {first}", if away { "away" } else { "there" });
            if first.starts_with("MESSAGE ") {
                host.taken(&commands, DESK, "200 OK");
            }
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn what_comes_back_by_a_phone_is_a_loop() {
    let mut host = Host::new(messages());
    host.bob_at(DESK, 1, "");
    let commands = host.alice(&to_bob(1, "hi"));
    // It sends back what it got, under a Via of its own.
    let back =
        sent_to(&commands, DESK)[0].replace("MESSAGE sip:bob@192.0.2.21:5060", "MESSAGE sip:bob@example.com");
    let back = back.replacen("Via: ", &format!("Via: SIP/2.0/UDP {DESK};branch=z9hG4bKback\r\nVia: "), 1);
    let answer = host.over(UDP, DESK, &back);
    assert_eq!(status(&answer), Some(482), "{}", shown(&answer));
    assert_eq!(host.engine.sizes().messages, 2);
}

#[test]
fn a_gruu_is_one_phone() {
    let mut host = Host::new(messages());
    let instance = ";+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-0000000000b1>\"";
    host.bob_at(DESK, 1, instance);
    host.bob_at(CELL, 2, "");
    let gruu = "sip:bob@example.com;gr=urn:uuid:00000000-0000-1000-8000-0000000000b1";
    let commands = host.alice(&text(1, gruu, "", "hi"));
    assert_eq!((sent_to(&commands, DESK).len(), sent_to(&commands, CELL).len()), (1, 0));
    host.taken(&commands, DESK, "200 OK");
}

fn saves(commands: &[Command]) -> Vec<(SaveSeq, Change)> {
    let save = |c: &Command| match c {
        Command::Save(seq, change @ (Change::PutMessage(_) | Change::RemoveMessage { .. })) => {
            Some((*seq, change.clone()))
        }
        _ => None,
    };
    commands.iter().filter_map(save).collect()
}

#[test]
fn a_kept_message_is_durable_before_it_is_said_to_be_kept_and_survives_a_restart() {
    let mut config = messages();
    config.tell.changes = true;
    let mut host = Host::new(config.clone());
    let commands = host.alice(&to_bob(1, "hi"));
    let [(seq, put)] = &saves(&commands)[..] else { panic!("{}", shown(&commands)) };
    let Some(Command::Transmit(answer)) = commands.last() else { panic!("{}", shown(&commands)) };
    assert_eq!(answer.after, Some(*seq));
    assert_eq!(Change::from_record(&put.to_record()).as_ref(), Ok(put));
    // In another life.
    let mut host = Host::new(config.clone());
    host.input(Input::Host { reply: None, request: Request::Restore(Box::new(put.clone())) });
    assert_eq!(host.engine.sizes().stored_messages, 1);
    let commands = host.bob_at(DESK, 1, "");
    assert!(sent_to(&commands, DESK)[1].ends_with("\r\n\r\nhi"), "{}", shown(&commands));
    let commands = host.taken(&commands, DESK, "200 OK");
    assert!(matches!(&saves(&commands)[..], [(_, Change::RemoveMessage { id: 1 })]), "{}", shown(&commands));
    // What could not be saved was not kept.
    let mut host = Host::new(config);
    let commands = host.alice(&to_bob(1, "hi"));
    let seq = saves(&commands)[0].0;
    assert_eq!(status(&host.input(Input::SaveFailed(seq))), Some(500));
    assert_eq!(host.engine.sizes().stored_messages, 0);
}
