//! Trunks through the engine's doors: how many calls they take, whether they answer, and being registered there.

use super::calls::*;
use super::transfers::find;
use super::*;
use crate::config::{RouteConfig, RouteTo, TrunkConfig};
use crate::door::TrunkStep;

pub(super) const FIRST: &str = "192.0.2.77:5060";
pub(super) const SECOND: &str = "192.0.2.78:5060";

/// Numbers go to the first trunk, and if it cannot be to the second.
pub(super) fn two(change: impl FnOnce(&mut TrunkConfig)) -> Config {
    let mut config = calls_config();
    config.accounts[1].dial = Some(vec!["+*".into()]);
    config.trusted = vec![IpNet::parse("192.0.2.8/32").expect("a network")];
    let calls = config.calls.as_mut().expect("calls");
    let trunk = |name: &str, ip: &str| {
        let mut trunk = TrunkConfig::new(name, format!("sip:{ip}"));
        trunk.sources = vec![IpNet::parse(&format!("{ip}/32")).expect("a network")];
        trunk
    };
    let (mut first, second) = (trunk("first", "192.0.2.77"), trunk("second", "192.0.2.78"));
    change(&mut first);
    calls.trunks = vec![first, second];
    let to =
        |trunk: &str, q| RouteTo { to: "+{rest}".into(), trunk: Some(trunk.into()), q, ..RouteTo::default() };
    calls
        .routes
        .push(RouteConfig { pattern: "+*".into(), targets: vec![to("first", 1000), to("second", 500)] });
    config
}

/// Alice calls a number, for the n-th time.
pub(super) fn outward(n: u32) -> String {
    invite("")
        .replace("INVITE sip:bob@example.com", "INVITE sip:+4420@example.com")
        .replace("z9hG4bKinv", &format!("z9hG4bKout{n}"))
        .replace("call1", &format!("out{n}"))
        .replace(";tag=a1", &format!(";tag=a{n}"))
}

/// Somebody calls over a trunk.
fn inward(uri: &str, to: &str, at: &str, n: u32) -> String {
    format!(
        "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bKin{n};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:+4930@carrier.example>;tag=i{n}\r\nTo: <{to}>\r\nCall-ID: in{n}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:{at}>\r\n{}",
        body(OFFER)
    )
}

fn steps(commands: &[Command]) -> Vec<TrunkStep> {
    let told = commands.iter().filter_map(|command| match command {
        Command::Tell(Event::Trunk(event)) => Some(event.step.clone()),
        _ => None,
    });
    told.collect()
}

/// Time passes, or somebody says something: what is sent, and what is told of trunks.
fn wait(calls: &mut Calls, time: Duration) -> (Vec<Sent>, Vec<TrunkStep>) {
    let commands = calls.host.wait(time);
    let told = steps(&commands);
    (calls.sent(commands), told)
}

fn says(calls: &mut Calls, at: &str, text: &str) -> (Vec<Sent>, Vec<TrunkStep>) {
    let (remote, local) = (addr(at), addr("192.0.2.1:5060"));
    let commands = calls.host.input(Input::Message { flow: UDP, remote, local, data: text.as_bytes() });
    let told = steps(&commands);
    (calls.sent(commands), told)
}

/// They have been asked, and not yet again.
const SOON: Duration = Duration::from_millis(700);

#[test]
fn a_trunk_that_is_full_is_passed_over_and_takes_no_more_calls() {
    let mut calls = Calls::new(two(|trunk| trunk.max_calls = Some(1)));
    let one = find(&calls.from(ALICE, &outward(1)), FIRST, "INVITE").clone();
    let two = find(&calls.from(ALICE, &outward(2)), SECOND, "INVITE").clone();
    let full = calls.from(FIRST, &inward("sip:bob@example.com", "sip:bob@example.com", FIRST, 1));
    let refused = find(&full, FIRST, "SIP/2.0 503");
    assert_eq!(refused.one("Retry-After"), "5");
    // From the other one it goes, and bob is busy.
    let other = calls.from(SECOND, &inward("sip:bob@example.com", "sip:bob@example.com", SECOND, 2));
    calls.from(BOB, &response(find(&other, BOB, "INVITE"), "486 Busy Here", "b1", "", ""));
    // When one of them is over the next finds room.
    let busy = calls.from(FIRST, &response(&one, "486 Busy Here", "f1", "", ""));
    find(&busy, ALICE, "SIP/2.0 486");
    let three = find(&calls.from(ALICE, &outward(3)), FIRST, "INVITE").clone();
    let ok = calls.from(FIRST, &response(&three, "200 OK", "f3", FIRST, ANSWER));
    calls.from(ALICE, &by_caller("ACK", 1, &ok[0], "ack3", ""));
    find(&calls.from(ALICE, &outward(4)), SECOND, "INVITE");
    let bye = calls.from(ALICE, &by_caller("BYE", 2, &ok[0], "bye3", ""));
    calls.from(FIRST, &response(find(&bye, FIRST, "BYE"), "200 OK", "", "", ""));
    find(&calls.from(ALICE, &outward(5)), FIRST, "INVITE");
    assert!(!two.text.is_empty());
}

#[test]
fn when_all_trunks_are_full_the_caller_may_try_later() {
    let mut config = two(|trunk| trunk.max_calls = Some(1));
    config.calls.as_mut().expect("calls").trunks[1].max_calls = Some(1);
    let mut calls = Calls::new(config);
    calls.from(ALICE, &outward(1));
    calls.from(ALICE, &outward(2));
    find(&calls.from(ALICE, &outward(3)), ALICE, "SIP/2.0 503");
}

#[test]
fn a_trunk_that_does_not_answer_is_passed_over_until_it_does() {
    let mut calls = Calls::new(two(|trunk| trunk.qualify = Some(Duration::from_secs(60))));
    let (sent, told) = wait(&mut calls, SOON);
    let options = find(&sent, FIRST, "OPTIONS").clone();
    assert_eq!((sent.len(), told), (1, vec![]), "the other one is not asked");
    insta::assert_snapshot!("options_to_a_trunk", options.text.replace("\r\n", "\n"));
    let (_, told) = says(&mut calls, FIRST, &response(&options, "404 Not Found", "o", "", ""));
    assert_eq!(told, [], "who answers is there");
    let (sent, _) = wait(&mut calls, Duration::from_secs(60));
    let options = find(&sent, FIRST, "OPTIONS").clone();
    let (_, told) = says(&mut calls, FIRST, &response(&options, "503 Service Unavailable", "o", "", ""));
    assert_eq!(told, [TrunkStep::Down { reason: "503".into() }]);
    assert_eq!(calls.host.engine.sizes().trunks_down, 1);
    find(&calls.from(ALICE, &outward(1)), SECOND, "INVITE");
    // Silence is no better, and told once.
    let (_, told) = wait(&mut calls, Duration::from_secs(100));
    assert_eq!(told, []);
    let (sent, told) = wait(&mut calls, Duration::from_secs(25));
    let options = find(&sent, FIRST, "OPTIONS").clone();
    assert_eq!(told, []);
    let (_, told) = says(&mut calls, FIRST, &response(&options, "200 OK", "o", "", ""));
    assert_eq!(told, [TrunkStep::Up]);
    find(&calls.from(ALICE, &outward(2)), FIRST, "INVITE");
    assert_eq!(calls.host.engine.sizes().trunks_down, 0);
}

#[test]
fn when_no_trunk_answers_the_caller_is_told_so() {
    let mut config = two(|trunk| trunk.qualify = Some(Duration::from_secs(60)));
    config.calls.as_mut().expect("calls").routes[0].targets.truncate(1);
    let mut calls = Calls::new(config);
    let (_, told) = wait(&mut calls, Duration::from_secs(40));
    assert_eq!(told, [TrunkStep::Down { reason: "no answer".into() }]);
    find(&calls.from(ALICE, &outward(1)), ALICE, "SIP/2.0 503");
    calls.host.wait(Duration::from_secs(40));
}

fn registering() -> Config {
    two(|trunk| {
        (trunk.username, trunk.password) = ("pbx".into(), Some(Secret("secret".to_owned())));
        (trunk.register, trunk.sources) = (true, Vec::new());
    })
}

const CHALLENGE: &str =
    "WWW-Authenticate: Digest realm=\"carrier\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"\r\nCSeq";

/// The 200 to a REGISTER, for this long.
fn granted(register: &Sent, seconds: u32) -> String {
    let contact = register.one("Contact");
    response(register, "200 OK", "r", "", "").replace(
        "CSeq",
        &format!("Contact: <sip:other@192.0.2.99>;expires=9, {contact};expires={seconds}\r\nCSeq"),
    )
}

/// Registered, and the REGISTER that brought it about.
fn registered(calls: &mut Calls) -> Sent {
    let (sent, _) = wait(calls, SOON);
    let first = find(&sent, FIRST, "REGISTER").clone();
    let challenge = response(&first, "401 Unauthorized", "r", "", "").replace("CSeq", CHALLENGE);
    let (sent, _) = says(calls, FIRST, &challenge);
    let second = find(&sent, FIRST, "REGISTER").clone();
    let (_, told) = says(calls, FIRST, &granted(&second, 600));
    assert_eq!(told, [TrunkStep::Registered { expires: 600 }]);
    second
}

#[test]
fn a_trunk_is_registered_at_and_again_before_that_ends() {
    let mut calls = Calls::new(registering());
    let register = registered(&mut calls);
    insta::assert_snapshot!("register_at_a_trunk", register.text.replace("\r\n", "\n"));
    assert_eq!(calls.host.engine.sizes().trunks_registered, 1);
    // At nine tenths, or up to a twentieth of that before.
    let (sent, told) = wait(&mut calls, Duration::from_secs(512));
    assert_eq!((sent.len(), told), (0, vec![]));
    let (sent, _) = wait(&mut calls, Duration::from_secs(28));
    let again = find(&sent, FIRST, "REGISTER").clone();
    let number = |sent: &Sent| sent.one("CSeq").split(' ').next().and_then(|n| n.parse::<u32>().ok());
    assert_eq!(again.one("Call-ID"), register.one("Call-ID"), "RFC 3261 s10.2.4");
    assert_eq!(number(&again), number(&register).map(|n| n + 1));
    assert!(again.one("Authorization").contains("nc=00000002"));
    // RFC 3261 s10.2.8.
    let brief =
        response(&again, "423 Interval Too Brief", "r", "", "").replace("CSeq", "Min-Expires: 7200\r\nCSeq");
    let (sent, _) = says(&mut calls, FIRST, &brief);
    let longer = find(&sent, FIRST, "REGISTER").clone();
    assert_eq!(longer.one("Expires"), "7200");
    let (_, told) = says(&mut calls, FIRST, &granted(&longer, 7200));
    assert_eq!(told, [], "refreshes are not told");
}

#[test]
fn what_is_refused_is_tried_again_later_and_later() {
    let mut calls = Calls::new(registering());
    let mut pauses = Vec::new();
    let (mut sent, _) = wait(&mut calls, SOON);
    for _ in 0..8 {
        let register = find(&sent, FIRST, "REGISTER").clone();
        let (_, told) = says(&mut calls, FIRST, &response(&register, "403 Forbidden", "r", "", ""));
        let [TrunkStep::NotRegistered { reason, again }] = &told[..] else { panic!("{told:?}") };
        assert_eq!(&**reason, "403");
        let pause = again.since(calls.host.now);
        pauses.push(pause.as_secs());
        (sent, _) = wait(&mut calls, pause);
    }
    assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1800, 1800]);
    assert_eq!(calls.host.engine.sizes().trunks_registered, 0);
}

#[test]
fn when_a_trunk_says_it_waits_as_long_as_that() {
    let mut calls = Calls::new(registering());
    let (sent, _) = wait(&mut calls, SOON);
    let busy = response(find(&sent, FIRST, "REGISTER"), "503 Service Unavailable", "r", "", "")
        .replace("CSeq", "Retry-After: 300\r\nCSeq");
    let (_, told) = says(&mut calls, FIRST, &busy);
    let [TrunkStep::NotRegistered { again, .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!(again.since(calls.host.now).as_secs(), 300);
}

#[test]
fn calls_to_what_was_registered_are_of_that_trunk_wherever_they_come_from() {
    let mut calls = Calls::new(registering());
    let register = registered(&mut calls);
    let contact = register.one("Contact").trim_matches(['<', '>']).to_owned();
    const ELSEWHERE: &str = "203.0.113.9:5060";
    // To says who is meant; nobody has to prove who he is.
    let sent = calls.from(ELSEWHERE, &inward(&contact, "sip:bob@carrier.example", ELSEWHERE, 1));
    let to_bob = find(&sent, BOB, "INVITE").clone();
    calls.from(BOB, &response(&to_bob, "486 Busy Here", "b1", "", ""));
    // P-Called-Party-ID says it better (RFC 3455 s4.2).
    let named = inward(&contact, "sip:pbx@carrier.example", ELSEWHERE, 2)
        .replace("Contact:", "P-Called-Party-ID: <sip:bob@carrier.example>\r\nContact:");
    let sent = calls.from(ELSEWHERE, &named);
    calls.from(BOB, &response(find(&sent, BOB, "INVITE"), "486 Busy Here", "b2", "", ""));
    // Never to another trunk (DECISIONS 9).
    let sent = calls.from(ELSEWHERE, &inward(&contact, "sip:+4420@carrier.example", ELSEWHERE, 3));
    assert!(sent.iter().all(|s| s.to == ELSEWHERE), "{sent:?}");
    find(&sent, ELSEWHERE, "SIP/2.0 4");
    // What is nearly it is nobody's.
    let other = contact.replacen("sip:t", "sip:u", 1);
    let sent = calls.from(ELSEWHERE, &inward(&other, "sip:bob@carrier.example", ELSEWHERE, 4));
    assert!(sent.iter().all(|s| s.to == ELSEWHERE), "{sent:?}");
}

#[test]
fn who_drains_is_registered_no_more() {
    let mut calls = Calls::new(registering());
    registered(&mut calls);
    let request = Request::Drain { timeout: Duration::from_secs(60) };
    let commands = calls.host.input(Input::Host { reply: None, request });
    let sent = calls.sent(commands);
    let last = find(&sent, FIRST, "REGISTER").clone();
    assert_eq!(last.one("Expires"), "0");
    let (_, told) = says(&mut calls, FIRST, &response(&last, "200 OK", "r", "", ""));
    assert_eq!(told, [TrunkStep::Unregistered]);
    let (sent, told) = wait(&mut calls, Duration::from_secs(4000));
    assert_eq!((sent.len(), told), (0, vec![]));
    assert_eq!(calls.host.engine.sizes().trunks_registered, 0);
}

#[test]
fn a_new_configuration_leaves_alone_what_stays() {
    let mut calls = Calls::new(registering());
    registered(&mut calls);
    let settings = registering().validate().expect("valid");
    let commands = calls.host.input(Input::Reload(settings));
    assert_eq!(calls.sent(commands).len(), 0);
    let mut changed = registering();
    changed.calls.as_mut().expect("calls").trunks[0].register = false;
    let commands = calls.host.input(Input::Reload(changed.validate().expect("valid")));
    let sent = calls.sent(commands);
    assert_eq!(find(&sent, FIRST, "REGISTER").one("Expires"), "0");
    assert_eq!(calls.host.engine.sizes().trunks_registered, 0);
}
