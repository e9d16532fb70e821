//! Hostile input: whatever is sent, the engine answers or drops it, keeps nothing, and goes on serving others.

use strowger_core::door::{AuthVerdict, BadFrame, Input, Transport};
use strowger_core::stats::{Counter, auth_label};
use strowger_sim::digest::{Answer, Challenge, authorization};
use strowger_sim::message::Sip;
use strowger_sim::rng::Rng;
use strowger_sim::tape::Line;
use strowger_sim::{PhoneId, World};

use crate::{ms, s};

const REGISTER: &str = "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.9:5060;branch=z9hG4bK1;rport\r\n\
    Max-Forwards: 70\r\nFrom: \"Bob\" <sip:bob@example.com>;tag=456248\r\nTo: <sip:bob@example.com>\r\n\
    Call-ID: 843817637684230@998sdasdh09\r\nCSeq: 1826 REGISTER\r\nContact: <sip:bob@203.0.113.9>;expires=60;q=0.5\r\n\
    Authorization: Digest username=\"bob\", realm=\"example.com\", nonce=\"x\", uri=\"sip:example.com\", response=\"6629fae49393a05397450978507c4ef1\", qop=auth, nc=00000001, cnonce=\"a\"\r\n\
    Expires: 7200\r\nSupported: path, outbound, gruu\r\nContent-Length: 0\r\n\r\n";

/// A registered phone, and somebody who sends what he likes.
fn siege(seed: u64) -> (World, PhoneId, PhoneId) {
    let mut world = World::with(seed, |c| c.tell.drops = false).forgetful();
    let bob = world.phone("bob");
    let mallory = world.phone_at("mallory", "mallory", "203.0.113.9:5060".parse().expect("an address"));
    world.act(bob, |p, now| p.register(now, 3600));
    world.run_for(s(1));
    (world, bob, mallory)
}

/// The server serves others within a second, nothing registered is lost, and nothing of the attack is kept.
fn assert_unmoved(mut world: World, bob: PhoneId) {
    let carol = world.phone("carol");
    let before = world.now;
    world.act(carol, |p, now| p.register(now, 60));
    assert!(
        world.run_until(s(1), |w| w[carol].is_registered(w.now)),
        "others are served within a second of {before:?}"
    );
    world.run_for(s(40));
    assert!(world[bob].is_registered(world.now));
    assert_eq!(world.contacts("bob@example.com"), ["sip:bob@10.0.0.2:5060"]);
    let sizes = world.engine().map(|e| e.sizes()).expect("the server is up");
    assert_eq!((sizes.bindings, sizes.transactions, sizes.parked), (2, 0, 0));
    // The audit cannot tell what nonsense means: only what is sent must be well-formed.
    world.audit.expects_answers = false;
    world.audit.findings.retain(|f| f.cite == "RFC 3261 s7");
    world.finish();
}

#[test]
fn a_request_cut_at_any_byte_does_no_harm() {
    let (mut world, bob, mallory) = siege(1);
    for end in 0..REGISTER.len() {
        world.act(mallory, |p, _| p.raw(&REGISTER.as_bytes()[..end]));
        world.run_for(ms(1));
    }
    assert_unmoved(world, bob);
}

#[test]
fn any_byte_replaced_by_a_nul_or_a_line_end_does_no_harm() {
    let (mut world, bob, mallory) = siege(2);
    for at in 0..REGISTER.len() {
        for byte in [0, b'\r', b'\n', 0xff, b'"', b'<', b','] {
            let mut bytes = REGISTER.as_bytes().to_vec();
            bytes[at] = byte;
            world.act(mallory, |p, _| p.raw(bytes));
        }
        world.run_for(ms(1));
    }
    assert_unmoved(world, bob);
}

#[test]
fn random_mutations_do_no_harm() {
    let (mut world, bob, mallory) = siege(3);
    let mut rng = Rng::new(3);
    for _ in 0..3_000 {
        let mut bytes = REGISTER.as_bytes().to_vec();
        for _ in 0..1 + rng.below(8) {
            let at = rng.below(bytes.len() as u64) as usize;
            match rng.below(4) {
                0 => bytes[at] = rng.bits() as u8,
                1 => {
                    bytes.remove(at);
                }
                2 => bytes.insert(at, rng.bits() as u8),
                _ => {
                    let to = rng.below(bytes.len() as u64) as usize;
                    let piece = bytes[at.min(to)..at.max(to)].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        bytes.truncate(65_507);
        world.act(mallory, |p, _| p.raw(bytes));
        world.run_for(ms(1));
    }
    assert_unmoved(world, bob);
}

fn with_header(header: &str) -> Vec<u8> {
    REGISTER.replacen("Max-Forwards: 70\r\n", &format!("Max-Forwards: 70\r\n{header}\r\n"), 1).into_bytes()
}

fn replaced(from: &str, to: &str) -> Vec<u8> {
    assert!(REGISTER.contains(from));
    REGISTER.replacen(from, to, 1).into_bytes()
}

/// The statuses somebody gets for these messages, one after the other; 0 for none.
fn statuses(messages: &[Vec<u8>]) -> Vec<u16> {
    let mut out = Vec::new();
    for bytes in messages {
        let mut world = World::new(4);
        let mallory = world.phone_at("mallory", "mallory", "203.0.113.9:5060".parse().expect("an address"));
        world.act(mallory, |p, _| p.raw(bytes.as_slice()));
        world.run_for(s(1));
        let answer = world.tape.lines.iter().find_map(|l| match l {
            Line::Sent { from, bytes, .. } if from == "server" => {
                Some(Sip::read(bytes).expect("what is sent is well-formed"))
            }
            _ => None,
        });
        out.push(answer.and_then(|m| m.status()).unwrap_or(0));
    }
    out
}

#[test]
fn huge_messages_are_refused_by_size_or_count() {
    let many = "a:1\r\n".repeat(10_000);
    let messages = [
        with_header(&format!("X: {}", "a".repeat(64_000))),
        with_header(&format!("X: {}", "a".repeat(70_000))),
        with_header(many.trim_end()),
        with_header(&"Via: SIP/2.0/UDP a;branch=z9hG4bK2\r\n".repeat(150)[..150 * 36 - 2]),
        with_header(&format!("Route: {}", "<sip:a>,".repeat(5_000))),
    ];
    let got = statuses(&messages);
    assert_eq!(got[1..3], [513, 400]);
    assert!(got.iter().all(|s| *s == 0 || (400..600).contains(s)), "{got:?}");
}

#[test]
fn numbers_out_of_range_are_400_or_clamped() {
    let messages = [
        replaced("CSeq: 1826 ", "CSeq: 4294967296 "),
        replaced("CSeq: 1826 ", "CSeq: -1 "),
        replaced("CSeq: 1826 ", "CSeq: 99999999999999999999999999999 "),
        replaced("Max-Forwards: 70", "Max-Forwards: 256"),
        replaced("Max-Forwards: 70", "Max-Forwards: -1"),
        replaced("Content-Length: 0", "Content-Length: -1"),
        replaced("Content-Length: 0", "Content-Length: 1"),
        replaced("Content-Length: 0", "Content-Length: 18446744073709551616"),
        replaced("Content-Length: 0", "Content-Length: 0\r\nContent-Length: 1"),
        replaced(":5060;branch", ":99999;branch"),
    ];
    insta::assert_debug_snapshot!(statuses(&messages));
}

#[test]
fn a_flood_of_unknown_users_leaves_no_state() {
    let (mut world, bob, mallory) = siege(5);
    world.act(mallory, |p, now| {
        p.request(now, "REGISTER", "sip:example.com", &[("To", "<sip:x@example.com>")])
    });
    world.run_for(s(1));
    // A nonce of ours: every guess is good but for its user.
    let challenge = world[mallory].last().and_then(|f| f.message.clone()).expect("an answer");
    let challenge = challenge.header("WWW-Authenticate").and_then(Challenge::read).expect("Digest");
    let known = |world: &World| {
        let engine = world.engine().expect("the server is up");
        let unknown_users = engine.stats().auth(auth_label(AuthVerdict::UnknownUser));
        (unknown_users, engine.sizes().nonces, engine.sizes().users)
    };
    let before = known(&world);
    let (head, rest) = REGISTER.split_once("Authorization: ").expect("credentials");
    let (_, rest) = rest.split_once("\r\n").expect("more lines");
    for i in 0..5_000 {
        let username = &format!("user{i}");
        let answer = Answer {
            username,
            password: "guessed",
            method: "REGISTER",
            uri: "sip:example.com",
            body: b"",
            nc: i + 1,
            cnonce: "c",
            integrity: false,
            hide_name: false,
        };
        let flood = format!("{head}Authorization: {}\r\n{rest}", authorization(&challenge, &answer));
        let flood =
            flood.replace("bob@", &format!("{username}@")).replace("z9hG4bK1", &format!("z9hG4bK{i}"));
        world.act(mallory, |p, _| p.raw(flood.into_bytes()));
        if i % 50 == 0 {
            world.run_for(ms(10));
            let sizes = world.engine().map(|e| e.sizes()).expect("the server is up");
            assert!(sizes.transactions <= 1 && sizes.bindings == 1, "{sizes:?}");
        }
    }
    world.run_for(s(1));
    assert_eq!(known(&world), (before.0 + 5_000, before.1, before.2));
    assert_unmoved(world, bob);
}

#[test]
fn no_value_of_a_request_becomes_a_line_of_a_response() {
    let injected = [
        replaced("tag=456248", "tag=4\rX-Injected: 1\r"),
        replaced("Call-ID: 843817637684230@998sdasdh09", "Call-ID: a\nX-Injected: 1"),
        replaced("\"Bob\"", "\"B\\\r\nX-Injected: 1\r\n b\""),
        replaced("realm=\"example.com\"", "realm=\"a\\\r\nX-Injected: 1\""),
        replaced("expires=60", "expires=60;x=\"\r\n\tX-Injected: 1\""),
    ];
    for bytes in &injected {
        let mut world = World::new(6);
        let mallory = world.phone_at("mallory", "mallory", "203.0.113.9:5060".parse().expect("an address"));
        world.act(mallory, |p, _| p.raw(bytes.as_slice()));
        world.run_for(s(1));
        for line in &world.tape.lines {
            if let Line::Sent { from, bytes, .. } = line
                && from == "server"
            {
                let m = Sip::read(bytes).expect("what is sent is well-formed");
                assert!(m.headers.iter().all(|(n, _)| n != "X-Injected"), "{m:?}");
            }
        }
    }
}

#[test]
fn a_stream_that_cannot_be_framed_is_answered_and_closed() {
    let mut world = World::new(7);
    let flow = world.bare_flow(Transport::Tcp, "203.0.113.9:40000");
    let head = REGISTER.replace("/UDP", "/TCP").replace("Content-Length: 0\r\n", "");
    for (reason, head) in
        [(BadFrame::NoLength, head.as_bytes()), (BadFrame::NotSip, &b"GET / HTTP/1.1\r\n\r\n"[..])]
    {
        world.feed(Input::BadFrame { flow, head, reason });
    }
    insta::assert_snapshot!(world.ladder());
}

#[test]
fn five_thousand_idle_connections_cost_no_timer() {
    let mut world = World::new(8).forgetful();
    for i in 0..5_000u32 {
        world.bare_flow(Transport::Tcp, &format!("10.{}.{}.{}:5060", 1 + (i >> 16), (i >> 8) & 255, i & 255));
    }
    let sizes = world.engine().map(|e| e.sizes()).expect("the server is up");
    assert_eq!((sizes.flows, sizes.timers), (5_002, 0));
}

#[test]
fn more_flows_than_allowed_are_closed() {
    let mut world = World::with(9, |c| c.limits.flows = 10);
    for i in 0..20 {
        world.bare_flow(Transport::Tcp, &format!("10.1.0.{i}:5060"));
    }
    assert_eq!(world.engine().map(|e| e.sizes().flows), Some(10));
    assert_eq!(world.engine().map(|e| e.stats().counter(Counter::Messages)), Some(0));
}
