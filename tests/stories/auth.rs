//! Who is let in: Digest (RFC 7616, RFC 8760), Bearer (RFC 8898), foreign accounts, key rotation.

use std::time::Duration;

use strowger_core::config::{AuthPolicy, Config, DigestAlgorithm, IssuerConfig, JwtAlgorithm, JwtConfig};
use strowger_core::stats::Counter;
use strowger_sim::digest::{Answer, Challenge, authorization};
use strowger_sim::issuer::Issuer;
use strowger_sim::message::Sip;
use strowger_sim::phone::{State, Via};
use strowger_sim::{PhoneId, World};

use crate::s;

const AUTH: &[&str] = &["CSeq", "Authorization", "WWW-Authenticate", "Authentication-Info"];

#[test]
fn an_old_nonce_is_stale_and_costs_one_round_trip() {
    let mut world = World::with(1, |c| c.digest.next_nonce_percent = 0);
    let bob = world.phone("bob");
    world.act(bob, |p, now| p.register(now, 3600));
    // The refresh comes long after the nonce has died.
    world.run_for(s(3300));
    assert_eq!(world[bob].statuses(), [401, 200, 401, 200]);
    insta::assert_snapshot!(world.ladder().only(AUTH));
    world.finish();
}

#[test]
fn a_new_nonce_is_handed_over_before_the_old_one_dies() {
    let mut world = World::with(2, |c| c.digest.nonce_lifetime = s(100));
    let bob = world.phone("bob");
    world.act(bob, |p, now| p.register(now, 90));
    world.run_for(s(600));
    // Refreshed every 81 seconds, always with the nonce of the answer before, and never challenged again.
    assert_eq!(world[bob].statuses().iter().filter(|st| **st == 401).count(), 1);
    insta::assert_snapshot!(world.ladder().only(AUTH));
    world.finish();
}

#[test]
fn a_wrong_password_and_an_unknown_user_look_alike() {
    let mut world = World::new(3);
    let (wrong, unknown) =
        (world.impostor("wrong", "bob", "guess"), world.impostor("unknown", "nobody", "guess"));
    for phone in [wrong, unknown] {
        world.act(phone, |p, now| p.register(now, 600));
    }
    world.run_for(s(1));
    let shape = |phone: PhoneId, world: &World| -> Vec<Vec<String>> {
        let finals = world[phone].finals.iter().filter_map(|f| f.message.clone());
        finals
            .map(|m: Sip| {
                let values = m
                    .headers
                    .iter()
                    .filter(|(n, _)| !["Via", "From", "To", "Call-ID", "CSeq"].contains(&n.as_str()));
                values.map(|(n, v)| format!("{n}: {}", without_nonce(v))).collect()
            })
            .collect()
    };
    assert_eq!(world[wrong].statuses(), world[unknown].statuses());
    assert_eq!(shape(wrong, &world), shape(unknown, &world));
    let times = |phone: PhoneId, world: &World| world[phone].finals.iter().map(|f| f.at).collect::<Vec<_>>();
    assert_eq!(times(wrong, &world), times(unknown, &world));
    insta::assert_snapshot!(world.ladder().only(AUTH));
    world.finish();
}

fn without_nonce(value: &str) -> String {
    let Some((before, rest)) = value.split_once("nonce=\"") else { return value.to_owned() };
    format!("{before}nonce=\"\"{}", rest.split_once('"').map_or("", |(_, after)| after))
}

#[test]
fn a_request_sent_again_by_another_is_a_replay() {
    let mut world = World::new(4);
    let bob = world.phone("bob");
    let mallory = world.impostor("mallory", "bob", "");
    world.act(bob, |p, now| p.register(now, 600));
    world.run_for(s(1));
    // Mallory has overheard the REGISTER and sends it with a Via and a Contact of her own.
    let overheard = world.tape.lines.iter().rev().find_map(|l| match l {
        strowger_sim::tape::Line::Sent { from, bytes, .. } if from == "bob" => Sip::read(bytes).ok(),
        _ => None,
    });
    let mut stolen = overheard.expect("bob has sent something");
    let addr = world[mallory].addr;
    stolen.set("Via", format!("SIP/2.0/UDP {addr};branch=z9hG4bKstolen;rport")).set("Call-ID", "stolen");
    stolen.set("Contact", format!("<sip:bob@{addr}>"));
    world.act(mallory, |p, _| p.raw(stolen.write()));
    world.run_for(s(1));
    assert_eq!(world.contacts("bob@example.com"), ["sip:bob@10.0.0.2:5060"]);
    insta::assert_snapshot!(world.ladder().only(AUTH));
    world.finish();
}

#[test]
fn phones_use_the_algorithm_they_know() {
    let offered = vec![DigestAlgorithm::Md5, DigestAlgorithm::Sha256, DigestAlgorithm::Sha512_256];
    let mut world = World::with(5, |c| {
        c.digest.algorithms = offered;
        c.digest.auth_int = true;
        c.digest.userhash = true;
    });
    for (name, user, algorithm) in
        [("md5", "alice", "MD5"), ("sha256", "bob", "SHA-256"), ("sha512", "carol", "SHA-512-256")]
    {
        let phone = world.phone_of(name, user);
        world[phone].habits.algorithms = vec![algorithm.into()];
        world[phone].habits.integrity = name == "sha256";
        world[phone].habits.hide_name = name == "sha512";
        world.act(phone, |p, now| p.register(now, 600));
        world.run_for(s(1));
        assert_eq!(world[phone].statuses(), [401, 200], "{algorithm}");
    }
    insta::assert_snapshot!(world.ladder().only(AUTH));
    world.finish();
}

#[test]
fn a_session_algorithm_is_understood_although_it_is_not_offered() {
    let mut world = World::new(6);
    let bob = world.phone("bob");
    let register = |headers: &[(&str, &str)], world: &mut World| {
        let contact = ("Contact", "<sip:bob@10.0.0.2:5060>");
        let headers: Vec<(&str, &str)> = headers.iter().copied().chain([contact]).collect();
        world.act(bob, |p, now| p.request(now, "REGISTER", "sip:example.com", &headers));
        world.run_for(s(1));
        world[bob].last().expect("an answer").clone()
    };
    let challenged = register(&[], &mut world).message.expect("a challenge");
    let offers = challenged.lines("WWW-Authenticate");
    let mut challenge =
        offers.iter().filter_map(|v| Challenge::read(v)).find(|c| c.algorithm == "MD5").expect("MD5");
    challenge.algorithm = "MD5-sess".into();
    let answer = Answer {
        username: "bob",
        password: "bob-secret",
        method: "REGISTER",
        uri: "sip:example.com",
        body: b"",
        nc: 1,
        cnonce: "0a4f113b",
        integrity: false,
        hide_name: false,
    };
    assert_eq!(register(&[("Authorization", &authorization(&challenge, &answer))], &mut world).status, 200);
    world.finish();
}

fn bearer(c: &mut Config) {
    c.jwt = Some(JwtConfig {
        issuers: vec![IssuerConfig {
            issuer: "https://login.example.com".into(),
            audiences: vec!["sip".into()],
            jwks: "https://login.example.com/jwks.json".into(),
            algorithms: vec![JwtAlgorithm::EdDsa],
            keys_min_age: s(60),
            keys_max_age: s(3600),
            aor_claim: None,
            scope: None,
        }],
        authz_server: Some("https://login.example.com".into()),
        scope: None,
        aor_claim: "sub".into(),
        leeway: s(30),
        allow_cleartext: false,
        refetch_interval: s(30),
        introspection: None,
    });
}

fn token_world(seed: u64) -> World {
    // The issuer is there before the engine asks for the first time.
    let mut world = World::with(seed, bearer);
    world.issuers.push(Issuer::new("https://login.example.com", seed));
    world
}

fn with_token(world: &mut World, name: &str, lifetime: Duration) -> PhoneId {
    let phone = world.phone(name);
    let token = world.issuers[0].token(world.now, &format!("sip:{name}@example.com"), "sip", lifetime);
    world[phone].habits.via = Via::Tls;
    world[phone].habits.preemptive = false;
    world[phone].habits.token = Some(token);
    phone
}

#[test]
fn a_token_registers_over_tls_and_only_digest_is_offered_in_the_clear() {
    let mut world = token_world(7);
    world.run_for(s(120));
    let bob = with_token(&mut world, "bob", s(3600));
    world.act(bob, |p, now| p.register(now, 600));
    world.run_for(s(2));
    assert_eq!(world[bob].statuses(), [401, 200]);
    let alice = world.phone("alice");
    world.act(alice, |p, now| p.register(now, 600));
    world.run_for(s(1));
    assert_eq!(world[alice].statuses(), [401, 200]);
    insta::assert_snapshot!(world.ladder().only(AUTH));
    world.finish();
}

#[test]
fn keys_rotate_and_an_unknown_key_is_asked_for_once() {
    let mut world = token_world(8);
    world.run_for(s(120));
    let before = world.issuers[0].fetches;
    world.issuers[0].rotate();
    world.note("the issuer signs with a new key");
    let phones: Vec<PhoneId> =
        ["alice", "bob", "carol"].iter().map(|n| with_token(&mut world, n, s(3600))).collect();
    for phone in &phones {
        world.act(*phone, |p, now| p.register(now, 600));
    }
    world.run_for(s(2));
    for phone in phones {
        assert_eq!(world[phone].statuses(), [401, 200], "{}", world[phone].name);
    }
    assert_eq!(world.issuers[0].fetches, before + 1, "three requests wait for one fetch");
    insta::assert_snapshot!(world.ladder().only(&["CSeq"]));
    world.finish();
}

#[test]
fn an_expired_token_is_challenged_and_a_token_of_another_is_refused() {
    let mut world = token_world(9);
    world.run_for(s(120));
    let bob = with_token(&mut world, "bob", s(1));
    world.run_for(s(60));
    world.act(bob, |p, now| p.register(now, 600));
    world.run_for(s(2));
    assert_eq!(world[bob].statuses(), [401, 401]);
    let carol = with_token(&mut world, "carol", s(3600));
    world[carol].habits.token = world[bob].habits.token.clone();
    let token = world.issuers[0].token(world.now, "sip:bob@example.com", "sip", s(600));
    world[carol].habits.token = Some(token);
    world.act(carol, |p, now| p.register(now, 600));
    world.run_for(s(2));
    assert_eq!(world[carol].statuses(), [401, 403]);
    insta::assert_snapshot!(world.ladder().only(AUTH));
    world.finish();
}

#[test]
fn an_issuer_that_cannot_be_asked_at_start_is_asked_again() {
    let mut world = World::with(10, bearer);
    let mut issuer = Issuer::new("https://login.example.com", 10);
    issuer.broken = true;
    world.issuers.push(issuer);
    let bob = with_token(&mut world, "bob", s(7200));
    world.run_for(s(300));
    world.act(bob, |p, now| {
        p.habits.retry = s(60);
        p.register(now, 600);
    });
    world.run_for(s(30));
    assert!(!world[bob].is_registered(world.now));
    world.note("the issuer is back");
    world.issuers[0].broken = false;
    world.run_for(s(1200));
    if !world[bob].is_registered(world.now) {
        world.act(bob, |p, now| p.register(now, 600));
        world.run_for(s(10));
    }
    assert!(world[bob].is_registered(world.now));
    world.finish();
}

#[test]
fn a_phone_whose_token_issuer_is_silent_gets_an_answer_in_time() {
    let mut world = token_world(11);
    world.run_for(s(120));
    world.issuers[0].rotate();
    world.issuers[0].silent = true;
    let bob = with_token(&mut world, "bob", s(3600));
    world[bob].habits.retry = s(0);
    world.act(bob, |p, now| p.register(now, 600));
    world.run_for(s(20));
    assert!(matches!(world[bob].registration().state, State::Failed { .. }), "{:?}", world[bob].statuses());
    insta::assert_snapshot!(world.ladder().only(AUTH).and(&["Retry-After"]));
    world.finish();
}

#[test]
fn foreign_accounts_are_asked_for_and_their_failures_all_take_the_same_time() {
    let mut world = World::with(12, |c| c.digest.foreign_store = true);
    world.directory.delay = Duration::from_millis(3);
    world.directory.users.insert("dave".into(), ("dave-secret".into(), vec!["dave@example.com".into()]));
    let dave = world.phone("dave");
    world.act(dave, |p, now| p.register(now, 600));
    world.run_for(s(1));
    assert_eq!(world[dave].statuses(), [401, 200]);
    let (wrong, unknown) =
        (world.impostor("wrong", "dave", "guess"), world.impostor("unknown", "nobody", "guess"));
    for phone in [wrong, unknown] {
        world.act(phone, |p, now| p.register(now, 600));
    }
    world.run_for(s(1));
    assert_eq!(world[wrong].statuses(), [401, 401]);
    let times = |phone: PhoneId, world: &World| world[phone].finals.iter().map(|f| f.at).collect::<Vec<_>>();
    assert_eq!(times(wrong, &world), times(unknown, &world));
    insta::assert_snapshot!(world.ladder().only(&["CSeq"]));
    world.finish();
}

#[test]
fn a_silent_directory_costs_a_503_and_a_late_answer_does_no_harm() {
    let mut world = World::with(13, |c| c.digest.foreign_store = true);
    world.directory.users.insert("dave".into(), ("dave-secret".into(), vec!["dave@example.com".into()]));
    world.directory.delay = s(20);
    let dave = world.phone("dave");
    world[dave].habits.retry = s(0);
    world.act(dave, |p, now| p.register(now, 600));
    world.run_for(s(60));
    assert_eq!(world[dave].statuses(), [401, 503]);
    let parked = world.engine().map(|e| e.stats().counter(Counter::ParkTimeouts));
    assert_eq!(parked, Some(1));
    insta::assert_snapshot!(world.ladder().only(&["CSeq", "Retry-After"]));
    world.finish();
}

#[test]
fn a_method_nobody_may_use_is_403() {
    let mut world = World::with(14, |c| c.policies.options = AuthPolicy::Deny);
    let bob = world.phone("bob");
    world.act(bob, |p, now| p.options(now));
    world.run_for(s(1));
    assert_eq!(world[bob].statuses(), [403]);
    world.finish();
}
