//! MESSAGE beyond the house: to other domains, over trunks and from them, where the host sends it, and by the second flow of
//! a phone.

use super::messages::{ALICE, DESK, messages, sent_to, text, to_bob};
use super::presence::{header, sent};
use super::*;
use crate::config::{CallsConfig, NumberUser, RouteConfig, RouteTo, TrunkConfig};
use crate::door::{Answer, ResolveQuery, Resolved, RouteAnswer, RouteQuery, RouteTarget};

const THERE: &str = "198.51.100.7:5060";
const ALSO_THERE: &str = "198.51.100.8:5060";
const CARRIER: &str = "192.0.2.77:5060";

/// Alice is vouched for, and may write to anybody; numbers go to a trunk.
fn outward() -> Config {
    let mut config = messages();
    config.trusted = vec![IpNet::parse("192.0.2.9/32").expect("a network")];
    config.accounts[1].may_relay = true;
    config.accounts[1].dial = Some(vec!["+*".into()]);
    let mut trunk = TrunkConfig::new("carrier", "sip:192.0.2.77");
    (trunk.username, trunk.password) = ("pbx".into(), Some(Secret("secret".to_owned())));
    trunk.sources = vec![IpNet::parse("192.0.2.77/32").expect("a network")];
    trunk.from = "sip:{user}@carrier.example".into();
    let mut calls = CallsConfig { trunks: vec![trunk], ..CallsConfig::default() };
    calls.numbers.users = vec![
        NumberUser { number: "+15551234".into(), aor: "bob@example.com".into() },
        NumberUser { number: "+15555678".into(), aor: "alice@example.com".into() },
    ];
    let to = RouteTo { to: "+{rest}".into(), trunk: Some("carrier".into()), ..RouteTo::default() };
    calls.routes = vec![RouteConfig { pattern: "+*".into(), targets: vec![to] }];
    config.calls = Some(calls);
    config
}

fn asked_where(commands: &[Command]) -> ResolveQuery {
    let found = commands.iter().find_map(|command| match command {
        Command::Ask(Query::Resolve(query)) => Some(query.clone()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("nothing is looked for: {}", shown(commands)))
}

pub(super) fn asked_route(commands: &[Command]) -> RouteQuery {
    let found = commands.iter().find_map(|command| match command {
        Command::Ask(Query::Route(query)) => Some((**query).clone()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("the host is not asked: {}", shown(commands)))
}

fn ways(to: &[&str]) -> Vec<Resolved> {
    let way = |remote: &&str| Resolved {
        transport: Transport::Udp,
        remote: addr(remote),
        listener: 0,
        local: addr("192.0.2.1:5060"),
        server_name: None,
    };
    to.iter().map(way).collect()
}

/// Of the first message there that is no 100.
fn first_line(commands: &[Command], to: &str) -> String {
    let found = sent_to(commands, to);
    found
        .iter()
        .find(|text| !text.starts_with("SIP/2.0 100 "))
        .and_then(|text| text.lines().next())
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn a_message_to_another_domain_takes_one_way_after_the_other() {
    let mut host = Host::new(outward());
    let commands = host.alice(&text(1, "sip:carol@else.example;transport=udp", "", "hi"));
    assert!(sent(&commands).is_empty(), "{}", shown(&commands));
    let query = asked_where(&commands);
    assert_eq!((&*query.host, query.transport), ("else.example", Some(Transport::Udp)));
    let commands = host.input(Input::Answer(Answer::Resolved(query.ticket, ways(&[THERE, ALSO_THERE]))));
    let first = sent_to(&commands, THERE).remove(0);
    insta::assert_snapshot!("a_message_to_another_domain", first.replace("\r\n", "\n"));
    let commands = host.taken(&commands, THERE, "503 Full");
    let commands = host.taken(&commands, ALSO_THERE, "200 OK");
    assert_eq!(first_line(&commands, ALICE), "SIP/2.0 200 OK");
    // The answer came: another is for nobody.
    host.input(Input::Answer(Answer::Resolved(query.ticket, ways(&[THERE]))));
    assert_eq!(host.engine.stats().drops(DropReason::BadTicket), 1);
    host.ends_empty();
}

#[test]
fn silence_there_is_no_silence_here() {
    let mut host = Host::new(outward());
    let commands = host.alice(&text(1, "sip:carol@else.example", "", "hi"));
    let query = asked_where(&commands);
    host.input(Input::Answer(Answer::Resolved(query.ticket, ways(&[THERE]))));
    let commands = host.wait(Duration::from_secs(35));
    assert_eq!(first_line(&commands, ALICE), "SIP/2.0 480 Temporarily Unavailable");
    // Nor where nobody can say where that is.
    let commands = host.alice(&text(2, "sip:carol@else.example", "", "hi"));
    asked_where(&commands);
    let commands = host.wait(Duration::from_secs(31));
    assert_eq!(first_line(&commands, ALICE), "SIP/2.0 480 Temporarily Unavailable");
    let commands = host.alice(&text(3, "sip:carol@nowhere.example", "", "hi"));
    let query = asked_where(&commands);
    let commands = host.input(Input::Answer(Answer::Resolved(query.ticket, Vec::new())));
    assert_eq!(first_line(&commands, ALICE), "SIP/2.0 480 Temporarily Unavailable");
    host.ends_empty();
}

#[test]
fn a_server_without_time_is_written_to_last() {
    let mut host = Host::new(outward());
    let mut write = |number: u32, answer: &str| {
        let query = asked_where(&host.alice(&text(number, "sip:bob@else.example", "", "hi")));
        let commands = host.input(Input::Answer(Answer::Resolved(query.ticket, ways(&[THERE, ALSO_THERE]))));
        let first = [THERE, ALSO_THERE].into_iter().find(|at| !sent_to(&commands, at).is_empty());
        let first = first.expect("one of them");
        let next = host.taken(&commands, first, answer);
        let second =
            [THERE, ALSO_THERE].into_iter().find(|at| *at != first && !sent_to(&next, at).is_empty());
        if let Some(second) = second {
            host.taken(&next, second, "200 OK");
        }
        (first, second)
    };
    assert_eq!(write(1, "503 Full\r\nRetry-After: 30"), (THERE, Some(ALSO_THERE)));
    assert_eq!(write(2, "200 OK"), (ALSO_THERE, None));
}

#[test]
fn who_may_not_call_there_may_not_write_there() {
    let mut config = outward();
    config.accounts[1].may_relay = false;
    config.accounts[1].dial = None;
    let mut host = Host::new(config.clone());
    for (n, to) in [(1, "sip:carol@else.example"), (2, "sip:+4420@example.com")] {
        assert_eq!(status(&host.alice(&text(n, to, "", "hi"))), Some(403), "{to}");
    }
    config.accounts[1].may_relay = true;
    config.trusted = Vec::new();
    let mut stranger = Host::new(config);
    assert_eq!(status(&stranger.alice(&text(3, "sip:carol@else.example", "", "hi"))), Some(403));
}

#[test]
fn a_message_over_a_trunk_says_who_we_are_when_asked() {
    let mut host = Host::new(outward());
    let commands = host.alice(&text(1, "sip:+44-20@example.com;user=phone", "", "hi"));
    let first = sent_to(&commands, CARRIER).remove(0);
    assert!(first.starts_with("MESSAGE sip:+4420@192.0.2.77 SIP/2.0"), "{first}");
    assert!(header(&first, "From").starts_with("<sip:+15555678@carrier.example>;tag="), "{first}");
    let challenge = "401 Who\r\nWWW-Authenticate: Digest realm=\"carrier\", nonce=\"n1\", qop=\"auth\"";
    let commands = host.taken(&commands, CARRIER, challenge);
    let second = sent_to(&commands, CARRIER).remove(0);
    assert!(header(&second, "Authorization").contains("username=\"pbx\""), "{second}");
    let commands = host.taken(&commands, CARRIER, "202 Accepted");
    assert_eq!(first_line(&commands, ALICE), "SIP/2.0 200 OK");
    // Refused twice is refused.
    let commands = host.alice(&text(2, "sip:+4420@example.com", "", "hi"));
    let commands = host.taken(&commands, CARRIER, challenge);
    let commands = host.taken(&commands, CARRIER, challenge);
    assert_eq!(first_line(&commands, ALICE), "SIP/2.0 403 Forbidden");
    host.ends_empty();
}

#[test]
fn a_message_from_a_trunk_reaches_our_users_and_numbers_and_nobody_else() {
    let mut config = outward();
    config.policies.message = AuthPolicy::Any;
    let mut host = Host::new(config);
    host.bob_at(DESK, 1, "");
    let from = |n: u32, to: &str| {
        text(n, to, "", "hi").replace(ALICE, CARRIER).replace("alice@example.com", "+4930@carrier.example")
    };
    for (n, to) in [(1, "sip:bob@example.com"), (2, "sip:+15551234@example.com"), (3, "tel:+1-555-1234")] {
        let commands = host.over(UDP, CARRIER, &from(n, to));
        let told = host.taken(&commands, DESK, "200 OK");
        assert_eq!(first_line(&told, CARRIER), "SIP/2.0 200 OK", "{to}");
    }
    for (n, to) in [(4, "sip:+4420@example.com"), (5, "sip:carol@else.example")] {
        let told = first_line(&host.over(UDP, CARRIER, &from(n, to)), CARRIER);
        assert!(told.starts_with("SIP/2.0 40"), "{to}: {told}");
    }
    // From anywhere else the same is asked who it is.
    let told = host.over(
        UDP,
        "203.0.113.9:5060",
        &from(7, "sip:bob@example.com").replace(CARRIER, "203.0.113.9:5060"),
    );
    assert_eq!(status(&told), Some(401));
    host.ends_empty();
}

fn asking() -> Config {
    let mut config = outward();
    config.calls.as_mut().expect("calls").ask_route = true;
    config
}

#[test]
fn the_host_says_where_a_message_goes() {
    let mut host = Host::new(asking());
    host.bob_at(DESK, 1, "");
    let mut number = 0;
    let mut answered = |host: &mut Host, answer: RouteAnswer| {
        number += 1;
        let commands = host.alice(&to_bob(number, "hi"));
        assert!(sent(&commands).is_empty(), "{}", shown(&commands));
        let query = asked_route(&commands);
        host.input(Input::Answer(Answer::Route(query.ticket, answer)))
    };
    let commands = answered(&mut host, RouteAnswer::Default);
    let told = host.taken(&commands, DESK, "200 OK");
    assert_eq!(first_line(&told, ALICE), "SIP/2.0 200 OK");
    // Elsewhere, with a header more.
    let mut target = RouteTarget::new("sip:carol@198.51.100.7");
    target.headers = vec![
        ("X-Queue".into(), "7".into()),
        ("X-Bad".into(), "1\r\nX-Evil: 1".into()),
        ("Via".into(), "x".into()),
    ];
    let commands = answered(&mut host, RouteAnswer::Targets(vec![target]));
    let there = sent_to(&commands, THERE).remove(0);
    assert_eq!((header(&there, "X-Queue"), there.contains("X-Evil")), ("7", false), "{there}");
    assert_eq!(there.matches("Via: ").count(), 1);
    let told = host.taken(&commands, THERE, "200 OK");
    assert_eq!(first_line(&told, ALICE), "SIP/2.0 200 OK");
    let told = answered(&mut host, RouteAnswer::Reject { status: 480, reason: None });
    assert_eq!(first_line(&told, ALICE), "SIP/2.0 480 Temporarily Unavailable");
    let told = answered(&mut host, RouteAnswer::Unavailable);
    assert_eq!(first_line(&told, ALICE), "SIP/2.0 503 Service Unavailable");
    let told = answered(&mut host, RouteAnswer::Redirect(vec!["sip:bob@192.0.2.99".into()]));
    assert_eq!(header(&sent_to(&told, ALICE)[0], "Contact"), "<sip:bob@192.0.2.99>");
    assert_eq!(first_line(&told, ALICE), "SIP/2.0 302 Moved Temporarily");
    host.ends_empty();
}

#[test]
fn the_host_is_told_who_writes_to_whom_and_may_not_think_for_ever() {
    let mut host = Host::new(asking());
    host.bob_at(DESK, 1, "");
    let commands = host.alice(&to_bob(1, "hi"));
    let query = asked_route(&commands);
    assert_eq!(
        (&*query.from, &*query.to, query.method.as_str()),
        ("alice@example.com", "bob@example.com", "MESSAGE")
    );
    assert_eq!(query.bindings.len(), 1);
    assert!(sent(&host.alice(&to_bob(1, "hi"))).is_empty(), "it came again, and is being thought about");
    let commands = host.wait(Duration::from_secs(6));
    assert_eq!(first_line(&commands, ALICE), "SIP/2.0 503 Service Unavailable");
    assert!(host.input(Input::Answer(Answer::Route(query.ticket, RouteAnswer::Default))).is_empty());
    assert_eq!(host.engine.stats().drops(DropReason::BadTicket), 1);
    host.ends_empty();
}

#[test]
fn when_one_flow_of_a_phone_fails_its_other_one_is_tried() {
    let instance = ";+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-0000000000b1>\"";
    for failure in [Some("430 Flow Failed"), None] {
        let mut host = Host::new(messages());
        let contact = format!(
            "Contact: <sip:bob@192.0.2.9:40000;transport=tcp>{instance};reg-id=2\r\nSupported: outbound\r\n"
        );
        let tcp = String::from_utf8(request("REGISTER", "sip:example.com", 9, &contact)).expect("ASCII");
        host.over(TCP, "192.0.2.9:40000", &tcp.replace("/UDP", "/TCP"));
        host.bob_at(DESK, 2, &format!("{instance};reg-id=1\r\nSupported: outbound"));
        let commands = host.alice(&to_bob(1, "hi"));
        assert_eq!(sent_to(&commands, DESK).len(), 1, "{}", shown(&commands));
        let over_tcp = |commands: &[Command]| {
            commands.iter().any(|command| matches!(command, Command::Transmit(t) if t.flow == TCP))
        };
        let Some(failure) = failure else {
            // RFC 5626 s7: no answer counts as well; the sender has heard his by then, and nothing is sent for nobody.
            let commands = host.wait(Duration::from_secs(33));
            assert_eq!(first_line(&commands, ALICE), "SIP/2.0 480 Temporarily Unavailable");
            assert!(!over_tcp(&commands));
            continue;
        };
        let commands = host.taken(&commands, DESK, failure);
        assert!(over_tcp(&commands), "{}", shown(&commands));
        let commands = host.taken(&commands, "192.0.2.9:40000", "200 OK");
        assert_eq!(first_line(&commands, ALICE), "SIP/2.0 200 OK");
        // Not a third time.
        let commands = host.alice(&to_bob(2, "hi"));
        let commands = host.taken(&commands, DESK, failure);
        let commands = host.taken(&commands, "192.0.2.9:40000", failure);
        assert_eq!(first_line(&commands, ALICE), "SIP/2.0 480 Temporarily Unavailable");
        host.ends_empty();
    }
}

/// Alice writes, and the host says that it goes to these, one after the other.
fn one_after_the_other(host: &mut Host, to: &[&str]) -> Vec<Command> {
    let commands = host.alice(&to_bob(1, "hi"));
    let ticket = asked_route(&commands).ticket;
    let target = |(i, uri): (usize, &&str)| RouteTarget { q: 1000 - i as u16, ..RouteTarget::new(*uri) };
    let targets = to.iter().enumerate().map(target).collect();
    host.input(Input::Answer(Answer::Route(ticket, RouteAnswer::Targets(targets))))
}

#[test]
fn what_nobody_of_a_step_takes_goes_to_the_next_one_as_calls_do() {
    const BOB: &str = "sip:bob@example.com";
    const CAROL: &str = "sip:carol@198.51.100.7";
    const AWAY: &str = "sip:dave@example.com";
    let mut told = String::new();
    for (first, second, answers) in [
        (BOB, CAROL, ["486 Busy Here", "200 OK"]),
        (BOB, CAROL, ["480 Temporarily Unavailable", "404 Not Found"]),
        (BOB, CAROL, ["415 Unsupported Media Type", "503 Full"]),
        (BOB, CAROL, ["603 Decline", ""]),
        (CAROL, BOB, ["503 Full", "200 OK"]),
        (CAROL, BOB, ["408 Late", "486 Busy Here"]),
        (CAROL, BOB, ["404 Not Found", ""]),
        (BOB, AWAY, ["480 Temporarily Unavailable", ""]),
        (AWAY, BOB, ["200 OK", ""]),
    ] {
        let mut host = Host::new(asking());
        host.bob_at(DESK, 1, "");
        let mut commands = one_after_the_other(&mut host, &[first, second]);
        let _ = write!(told, "{first:24} {second:24} ");
        for answer in answers.iter().filter(|answer| !answer.is_empty()) {
            let asked = if sent_to(&commands, DESK).is_empty() { THERE } else { DESK };
            let _ = write!(told, "{asked} {answer}, ");
            commands = host.taken(&commands, asked, answer);
        }
        let _ = writeln!(told, "so {}", first_line(&commands, ALICE));
        assert_eq!(sent(&commands).len(), 1, "{}", shown(&commands));
        host.ends_empty();
    }
    insta::assert_snapshot!(told);
}

#[test]
fn who_is_silent_has_his_share_of_the_time_and_may_still_take_it() {
    let mut host = Host::new(asking());
    host.bob_at(DESK, 1, "");
    let to_desk = one_after_the_other(&mut host, &["sip:bob@example.com", "sip:carol@198.51.100.7"]);
    let before = host.wait(Duration::from_millis(13_900));
    assert!(sent_to(&before, THERE).is_empty(), "{}", shown(&before));
    let next = host.wait(Duration::from_millis(200));
    assert_eq!(sent_to(&next, THERE).len(), 1, "{}", shown(&next));
    // The first one was slow.
    let told = host.taken(&to_desk, DESK, "200 OK");
    assert_eq!(first_line(&told, ALICE), "SIP/2.0 200 OK");
    assert!(host.taken(&next, THERE, "200 OK").is_empty(), "the sender has his answer");
    host.ends_empty();

    // Nobody says anything: the sender is answered in time.
    let mut host = Host::new(asking());
    host.bob_at(DESK, 1, "");
    one_after_the_other(&mut host, &["sip:bob@example.com", "sip:carol@198.51.100.7"]);
    let told = host.wait(Duration::from_millis(27_900));
    assert!(sent_to(&told, ALICE).iter().all(|text| text.starts_with("SIP/2.0 100")), "{}", shown(&told));
    let told = host.wait(Duration::from_millis(200));
    assert_eq!(first_line(&told, ALICE), "SIP/2.0 480 Temporarily Unavailable");
    host.ends_empty();
}
