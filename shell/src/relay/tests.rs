//! Who is heard, who is not, and what is given back.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use strowger_core::base::Time;
use strowger_core::door::{MediaStep, Ticket};

use super::*;

/// Ports that are free unless somebody else has them.
#[derive(Default)]
struct Free {
    taken: BTreeSet<u16>,
    open: BTreeSet<u16>,
    tried: usize,
}

impl Ports for Free {
    fn bind(&mut self, port: u16) -> bool {
        self.tried += 1;
        !self.taken.contains(&port) && self.open.insert(port)
    }

    fn close(&mut self, port: u16) {
        assert!(self.open.remove(&port));
    }
}

const PACKET: &[u8] = &[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0xd5];

fn at(seconds: u64) -> Time {
    Time::from_nanos(1_000_000_000_000) + Duration::from_secs(seconds)
}

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn table(ports: RangeInclusive<u16>) -> Table {
    let mut options = RelayOptions::new("192.0.2.1".parse().expect("an address"));
    options.ports = ports;
    Table::new(options)
}

fn query(step: MediaStep, from: &str, to: &str, sdp: &str) -> MediaQuery {
    MediaQuery {
        ticket: Ticket::new(0, 0),
        call: 1,
        step,
        from: from.into(),
        to: to.into(),
        source: None,
        near: None,
        to_webrtc: false,
        sdp: sdp.as_bytes().into(),
    }
}

fn offer(from: &str, to: &str, sdp: &str) -> MediaQuery {
    query(MediaStep::Offer, from, to, sdp)
}

fn answer(from: &str, to: &str, sdp: &str) -> MediaQuery {
    query(MediaStep::Answer, from, to, sdp)
}

fn sdp(host: &str, port: u16) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n")
}

/// The port of the first stream.
fn shown(answer: MediaAnswer) -> u16 {
    let MediaAnswer::Description(sdp) = answer else { panic!("refused: {answer:?}") };
    let text = String::from_utf8(sdp.into()).expect("text");
    assert!(text.contains("c=IN IP4 192.0.2.1\r\n"), "{text}");
    let port = text.split("m=audio ").nth(1).and_then(|rest| rest.split(' ').next());
    port.and_then(|port| port.parse().ok()).expect("a port")
}

/// Two who agreed: the ports that each of them sends to.
fn agreed(table: &mut Table, ports: &mut Free) -> (u16, u16) {
    let for_callee = shown(table.describe(at(0), &offer("a", "", &sdp("10.0.0.1", 4000)), ports));
    let for_caller = shown(table.describe(at(0), &answer("b", "a", &sdp("10.9.0.2", 5000)), ports));
    (for_caller, for_callee)
}

#[test]
fn each_hears_the_other_from_the_port_he_sends_to() {
    let (mut table, mut ports) = (table(30_000..=30_099), Free::default());
    let (a, b) = agreed(&mut table, &mut ports);
    let (alice, bob) = (addr("198.51.100.1:4000"), addr("203.0.113.2:6000"));
    // Nobody is sent anything before he has sent something himself.
    assert_eq!(table.received(at(1), a, alice, PACKET), None);
    assert_eq!(table.received(at(1), b, bob, PACKET), Some(Forward { port: a, to: alice }));
    assert_eq!(table.received(at(1), a, alice, PACKET), Some(Forward { port: b, to: bob }));
    // RTCP has ports beside, and is latched on its own.
    assert_eq!(table.received(at(1), a + 1, addr("198.51.100.1:4001"), PACKET), None);
    let reports = addr("203.0.113.2:6001");
    let forward = Forward { port: a + 1, to: addr("198.51.100.1:4001") };
    assert_eq!(table.received(at(1), b + 1, reports, PACKET), Some(forward));
    let stats = table.stats();
    assert_eq!((stats.sessions, stats.ports, stats.packets, stats.early), (1, 4, 3, 2));
}

#[test]
fn a_stranger_is_not_heard_until_the_first_one_has_been_silent() {
    let (mut table, mut ports) = (table(30_000..=30_099), Free::default());
    let (a, b) = agreed(&mut table, &mut ports);
    let (alice, bob, stranger) = (addr("198.51.100.1:4000"), addr("203.0.113.2:6000"), addr("192.0.2.66:9"));
    table.received(at(1), a, alice, PACKET);
    table.received(at(1), b, bob, PACKET);
    assert_eq!(table.received(at(2), a, stranger, PACKET), None);
    assert_eq!(table.stats().foreign, 1);
    assert_eq!(table.received(at(2), b, bob, PACKET), Some(Forward { port: a, to: alice }));
    // Behind another NAT binding after a while.
    let moved = addr("198.51.100.1:4444");
    assert_eq!(table.received(at(3), a, moved, PACKET), Some(Forward { port: b, to: bob }));
    assert_eq!(table.received(at(3), b, bob, PACKET), Some(Forward { port: a, to: moved }));
    // What is no RTP is nothing to a stream of it.
    assert_eq!(table.received(at(3), a, moved, b"GET / HTTP/1.1"), None);
    assert_eq!(table.received(at(3), 9, moved, PACKET), None);
    assert_eq!(table.stats().odd, 1);
}

#[test]
fn a_description_that_moves_lets_the_new_source_in_at_once() {
    let (mut table, mut ports) = (table(30_000..=30_099), Free::default());
    let (a, b) = agreed(&mut table, &mut ports);
    let (alice, bob) = (addr("198.51.100.1:4000"), addr("203.0.113.2:6000"));
    table.received(at(1), a, alice, PACKET);
    table.received(at(1), b, bob, PACKET);
    // The same again changes nothing.
    assert_eq!(shown(table.describe(at(1), &offer("a", "b", &sdp("10.0.0.1", 4000)), &mut ports)), b);
    let other = addr("192.0.2.9:7000");
    assert_eq!(table.received(at(1), a, other, PACKET), None);
    assert_eq!(shown(table.describe(at(1), &offer("a", "b", &sdp("10.0.0.7", 7000)), &mut ports)), b);
    assert_eq!(table.received(at(1), a, other, PACKET), Some(Forward { port: b, to: bob }));
    assert_eq!(ports.open.len(), 4);
}

#[test]
fn of_several_who_answer_the_last_one_is_heard() {
    let (mut table, mut ports) = (table(30_000..=30_099), Free::default());
    let (_, all) = agreed(&mut table, &mut ports);
    let other = shown(table.describe(at(0), &answer("c", "a", &sdp("10.9.0.3", 5000)), &mut ports));
    let (alice, carol) = (addr("198.51.100.1:4000"), addr("203.0.113.3:6000"));
    assert_eq!(table.received(at(1), other, alice, PACKET), None);
    assert_eq!(table.received(at(1), all, carol, PACKET), Some(Forward { port: other, to: alice }));
}

#[test]
fn ports_are_bounded_and_come_back() {
    let (mut table, mut ports) = (table(30_001..=30_007), Free::default());
    ports.taken.insert(30_005);
    // 30002 with 30003, and 30006 with 30007: of the pair between one is somebody else's.
    let (a, b) = agreed(&mut table, &mut ports);
    assert_eq!((b, a), (30_002, 30_006));
    let mut third = offer("x", "", &sdp("10.0.0.1", 4000));
    third.call = 2;
    assert!(matches!(table.describe(at(0), &third, &mut ports), MediaAnswer::Unavailable));
    assert_eq!(ports.open.len(), 4);
    table.done(1, &mut ports);
    assert!(ports.open.is_empty());
    shown(table.describe(at(0), &third, &mut ports));
    // Nobody says that this one is over, and nothing is sent in it.
    table.sweep(at(299), &mut ports);
    assert_eq!(ports.open.len(), 4, "those for the answer are there");
    table.sweep(at(300), &mut ports);
    assert_eq!((ports.open.len(), table.stats().sessions, table.stats().ports), (0, 0, 0));
    assert_eq!(table.stats().silent, 1);
}

#[test]
fn each_family_is_shown_its_own_address_and_browsers_none() {
    let (mut table, mut ports) = (table(30_000..=30_099), Free::default());
    table.options.advertised = ["192.0.2.1", "2001:db8::1"].map(|addr| addr.parse().expect("one")).into();
    let mut first = offer("a", "", &sdp("10.0.0.1", 4000));
    first.near = Some("2001:db8::7".parse().expect("one"));
    let MediaAnswer::Description(sdp6) = table.describe(at(0), &first, &mut ports) else { panic!("refused") };
    assert!(String::from_utf8_lossy(&sdp6).contains("c=IN IP6 2001:db8::1\r\n"));
    let six = "v=0\r\nc=IN IP6 2001:db8::7\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n";
    shown(table.describe(at(0), &answer("b", "a", six), &mut ports));
    let web = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=ice-ufrag:x\r\n";
    assert!(matches!(table.describe(at(0), &offer("w", "", web), &mut ports), MediaAnswer::Unsupported));
    let many = "v=0\r\nc=IN IP4 10.0.0.1\r\n".to_owned() + &"m=audio 9 RTP/AVP 0\r\n".repeat(9);
    assert!(matches!(table.describe(at(0), &offer("m", "", &many), &mut ports), MediaAnswer::Unavailable));
}

#[test]
fn who_sends_from_where_he_was_told_to_be_goes_before_a_stranger_who_was_first() {
    let (mut table, mut ports) = (table(30_000..=30_099), Free::default());
    let mut first = offer("a", "", &sdp("10.0.0.1", 4000));
    // His messages come from behind a NAT.
    first.source = Some("198.51.100.1".parse().expect("an address"));
    let b = shown(table.describe(at(0), &first, &mut ports));
    let a = shown(table.describe(at(0), &answer("b", "a", &sdp("203.0.113.2", 5000)), &mut ports));
    let (alice, bob, stranger) = (addr("198.51.100.1:4000"), addr("203.0.113.2:6000"), addr("192.0.2.66:9"));
    table.received(at(1), b, bob, PACKET);
    assert_eq!(table.received(at(1), a, stranger, PACKET), Some(Forward { port: b, to: bob }));
    assert_eq!(table.received(at(1), a, alice, PACKET), Some(Forward { port: b, to: bob }));
    // However long she is silent, and holds her tongue: nobody else takes her place.
    for second in [1, 60, 200] {
        assert_eq!(table.received(at(second), a, stranger, PACKET), None);
    }
    assert_eq!(table.received(at(200), b, bob, PACKET), Some(Forward { port: a, to: alice }));
    // Another port of hers does.
    let moved = addr("198.51.100.1:4444");
    assert_eq!(table.received(at(201), a, moved, PACKET), Some(Forward { port: b, to: bob }));
    assert_eq!(table.stats().foreign, 3);
}

#[test]
fn nothing_is_sent_to_where_nothing_came_from() {
    let (mut table, mut ports) = (table(30_000..=30_099), Free::default());
    // Both say that their media are wanted at somebody else's.
    let victim = sdp("192.0.2.200", 53);
    let b = shown(table.describe(at(0), &offer("a", "", &victim), &mut ports));
    assert_eq!(table.received(at(0), b, addr("203.0.113.2:6000"), PACKET), None, "nobody has answered");
    let a = shown(table.describe(at(0), &answer("b", "a", &victim), &mut ports));
    let (alice, bob) = (addr("198.51.100.1:4000"), addr("203.0.113.2:6000"));
    for number in 0..50u8 {
        let (port, from) = if number % 2 == 0 { (a, alice) } else { (b, bob) };
        for _ in 0..3 {
            let forward = table.received(at(1), port, from, PACKET);
            assert!(forward.is_none_or(|forward| forward.to == alice || forward.to == bob));
        }
    }
    // One packet goes out for one that comes in, at most.
    assert_eq!(table.stats().packets + table.stats().early, 151);
}

#[test]
fn what_is_refused_leaves_no_port_behind_and_streams_stay_in_their_places() {
    let (mut table, mut ports) = (table(30_000..=30_007), Free::default());
    let two = |audio: u16, video: u16| {
        format!(
            "v=0\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio {audio} RTP/AVP 0\r\nm=video {video} RTP/AVP 97\r\n"
        )
    };
    let three = two(4000, 4002) + "m=video 4004 RTP/AVP 97\r\n";
    assert!(matches!(table.describe(at(0), &offer("a", "", &three), &mut ports), MediaAnswer::Unavailable));
    assert!(ports.open.is_empty(), "three streams and their answers are more than there is");
    table.done(1, &mut ports);
    // The answer refuses the first stream: what is sent of the second one goes to the second one.
    let MediaAnswer::Description(sdp) = table.describe(at(0), &offer("a", "", &two(4000, 4002)), &mut ports)
    else {
        panic!("refused")
    };
    let ports_of = |sdp: &[u8]| -> Vec<u16> {
        let text = String::from_utf8_lossy(sdp).into_owned();
        let lines = text.lines().filter(|line| line.starts_with("m="));
        lines.filter_map(|line| line.split(' ').nth(1)?.parse().ok()).collect()
    };
    let for_callee = ports_of(&sdp);
    let MediaAnswer::Description(sdp) = table.describe(at(0), &answer("b", "a", &two(0, 5002)), &mut ports)
    else {
        panic!("refused")
    };
    let for_caller = ports_of(&sdp);
    assert_eq!(for_caller[0], 0);
    table.received(at(1), for_callee[1], addr("203.0.113.2:6000"), PACKET);
    let forward = table.received(at(1), for_caller[1], addr("198.51.100.1:4000"), PACKET);
    assert_eq!(forward, Some(Forward { port: for_callee[1], to: addr("203.0.113.2:6000") }));
    table.done(1, &mut ports);
    assert!(ports.open.is_empty());
}

#[test]
fn ports_of_others_are_not_tried_without_end() {
    let (mut table, mut ports) = (table(30_000..=59_999), Free::default());
    ports.taken.extend(30_000..=59_999);
    let refused = table.describe(at(0), &offer("a", "", &sdp("10.0.0.1", 4000)), &mut ports);
    assert!(matches!(refused, MediaAnswer::Unavailable));
    assert_eq!((ports.tried, table.stats().refused), (64, 1));
}
