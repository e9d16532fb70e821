//! Where a NOTIFY goes: the live flow, the newest flow of the phone, a connection of ours; and what is too large for a
//! datagram. DECISIONS 10 and 14, RFC 3261 s18.1.1.

use strowger_sim::phone::Via;
use strowger_sim::phone::watcher::Wish;
use strowger_sim::tape::Line;

use super::*;

/// A note that makes a document too large for a datagram.
fn long(word: &str) -> String {
    word.repeat(1_500 / word.len())
}

/// How the NOTIFY requests so far went, by the transport of their Via.
fn ways(world: &World) -> Vec<String> {
    let of = |line: &Line| match line {
        Line::Sent { from, bytes, .. } if from == "server" && bytes.starts_with(b"NOTIFY ") => {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let via = text.lines().find_map(|line| line.strip_prefix("Via: SIP/2.0/"))?.to_owned();
            Some(via.split(' ').next().unwrap_or_default().to_owned())
        }
        _ => None,
    };
    world.tape.lines.iter().filter_map(of).collect()
}

#[test]
fn a_watcher_whose_connection_is_gone_is_connected_to_if_it_listens() {
    let mut world = world(1);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    (world[alice].habits.via, world[alice].habits.accepts) = (Via::Tcp, true);
    let watch = world.act(alice, |p, now| p.watch(now, "sip:bob@example.com", 3600));
    world.run_for(s(1));
    world.break_flow(alice, true);
    world.run_for(s(1));
    let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "one"), 3600));
    world.run_for(s(6));
    world.act(bob, |p, now| p.modify(now, own, pidf("bob", "desk", "open", "two")));
    world.run_for(s(6));
    assert!(seen(&world, alice, watch).contains("two"));
    assert_eq!(counter(&world, Counter::Connected), 1);
    insta::assert_snapshot!(world.ladder().only(SHOWN));
    world.finish();
}

#[test]
fn a_watcher_that_does_not_listen_is_kept_and_told_when_it_is_back() {
    let mut world = world(2);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    world[alice].habits.via = Via::Tcp;
    let watch = world.act(alice, |p, now| p.watch(now, "sip:bob@example.com", 3600));
    world.run_for(s(1));
    world.break_flow(alice, true);
    world.run_for(s(1));
    world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "one"), 3600));
    world.run_for(s(20));
    assert!(!seen(&world, alice, watch).contains("one"));
    assert_eq!(sizes(&world), [1, 1, 1]);
    // She refreshes over a new connection.
    world.run_for(s(20));
    assert!(seen(&world, alice, watch).contains("one"));
    world.finish();
}

#[test]
fn a_watcher_that_registered_over_a_new_connection_is_told_over_it() {
    let mut world = world(3);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    world[alice].habits.via = Via::Tls;
    world.act(alice, |p, now| p.register(now, 600));
    let watch = world.act(alice, |p, now| p.watch(now, "sip:bob@example.com", 3600));
    world.run_for(s(1));
    world.break_flow(alice, true);
    world.run_for(s(1));
    world.act(alice, |p, now| p.register(now, 600));
    world.run_for(s(1));
    world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "one"), 3600));
    world.run_for(s(6));
    assert!(seen(&world, alice, watch).contains("one"));
    assert_eq!(counter(&world, Counter::Connected), 0);
    insta::assert_snapshot!(world.ladder().only(SHOWN));
    world.finish();
}

#[test]
fn what_is_too_large_for_a_datagram_goes_by_tcp_if_the_watcher_listens_and_by_udp_if_not() {
    // Refused once, it is not tried again.
    for (accepts, expected) in
        [(true, &["UDP", "TCP", "TCP"][..]), (false, &["UDP", "TCP", "UDP", "UDP"][..])]
    {
        let mut world = world(4);
        let (alice, bob, watch) = alice_watches_bob(&mut world, 600);
        world[alice].habits.accepts = accepts;
        let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", &long("much ")), 3600));
        world.run_for(s(6));
        assert!(seen(&world, alice, watch).contains(&long("much ")));
        world.act(bob, |p, now| p.modify(now, own, pidf("bob", "desk", "open", &long("more "))));
        world.run_for(s(6));
        assert!(seen(&world, alice, watch).contains(&long("more ")));
        assert_eq!(counter(&world, Counter::Connected), 1);
        assert_eq!(ways(&world), expected);
        assert_eq!(counter(&world, Counter::LargeDatagrams), if accepts { 0 } else { 2 });
        // What is small again goes as before.
        world.act(bob, |p, now| p.modify(now, own, pidf("bob", "desk", "open", "little")));
        world.run_for(s(6));
        assert_eq!(ways(&world).last().map(String::as_str), Some("UDP"));
        assert_eq!(world[alice].watched(watch).statuses.len(), 2);
        insta::assert_snapshot!(format!("large_{accepts}"), world.ladder().only(&["CSeq", "Via", "Contact"]));
        world.finish();
    }
}

#[test]
fn a_gruu_leads_to_the_phone_wherever_it_registered_last() {
    let mut world = world(5);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    world[alice].habits.instance = Some("urn:uuid:00000000-0000-1000-8000-0000000000aa".into());
    world[alice].habits.gruu = true;
    world.act(alice, |p, now| p.register(now, 600));
    world.run_for(s(1));
    let gruu = "<sip:alice@example.com;gr=urn:uuid:00000000-0000-1000-8000-0000000000aa>";
    let wish = Wish::presence("sip:bob@example.com", 3600).with("Contact", gruu);
    let watch = world.act(alice, |p, now| p.subscribe(now, wish));
    world.run_for(s(1));
    assert_eq!(world[alice].watched(watch).notified.len(), 1);
    // She moves, and registers; she does not refresh what she watches.
    world.act(alice, |p, now| {
        p.addr = "198.51.100.99:5070".parse().expect("an address");
        p.register(now, 600);
    });
    world.run_for(s(1));
    world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "found you"), 3600));
    world.run_for(s(6));
    assert!(seen(&world, alice, watch).contains("found you"));
    insta::assert_snapshot!(world.ladder().only(&["CSeq", "Contact", "Event"]));
    world.finish();
}
