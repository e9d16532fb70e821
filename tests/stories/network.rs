//! What the network does to phones: loss, repetition, reordering, rebinding NATs, dying connections, outbound flows
//! (RFC 3261 s17, RFC 3581, RFC 5626, RFC 5627).

use std::time::Duration;

use strowger_core::stats::{Counter, DropReason};
use strowger_sim::network::Link;
use strowger_sim::phone::Via;
use strowger_sim::{PhoneId, World};

use crate::{ms, s};

const FLOW: &[&str] = &["CSeq", "Via", "Contact", "Require", "Supported", "Flow-Timer", "Path"];

fn counter(world: &World, counter: Counter) -> u64 {
    world.engine().map_or(0, |e| e.stats().counter(counter))
}

#[test]
fn a_lost_answer_is_sent_again_for_the_repeated_request() {
    let mut world = World::new(1);
    let bob = world.phone("bob");
    world.act(bob, |p, now| p.register(now, 600));
    world.run_for(ms(15));
    // The 200 is lost twice; the phone repeats its REGISTER, which is not executed again.
    world.lose(bob, 0, 3);
    world.run_for(s(10));
    assert!(world[bob].is_registered(world.now));
    insta::assert_snapshot!(world.ladder());
    assert_eq!(counter(&world, Counter::Registered), 1);
    assert_eq!(counter(&world, Counter::Refreshed), 0);
    world.finish();
}

#[test]
fn lost_requests_are_repeated_by_timer_e() {
    let mut world = World::new(2);
    let bob = world.phone("bob");
    world.lose(bob, 4, 0);
    world.act(bob, |p, now| p.register(now, 600));
    world.run_for(s(20));
    assert!(world[bob].is_registered(world.now));
    insta::assert_snapshot!(world.ladder().only(&["CSeq"]));
    world.finish();
}

#[test]
fn on_a_bad_link_every_phone_stays_registered() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let phones: Vec<PhoneId> = ["alice", "bob", "carol"].iter().map(|n| world.phone(n)).collect();
        for phone in &phones {
            world.link(*phone, Link::BAD);
            world.act(*phone, |p, now| p.register(now, 120));
        }
        world.run_for(s(3600));
        for phone in phones {
            assert!(world[phone].is_registered(world.now), "seed {seed}: {:?}", world[phone].statuses());
        }
        assert_eq!(world.engine().map(|e| e.sizes().bindings), Some(3), "seed {seed}");
        world.finish();
    }
}

#[test]
fn a_phone_behind_a_nat_is_kept_reachable_and_moves_with_it() {
    let mut world = World::new(3);
    let bob = world.phone("bob");
    world.nat(bob, "198.51.100.7");
    world.act(bob, |p, now| p.register(now, 3600));
    world.run_for(s(1));
    assert_eq!(world[bob].registration().granted, 300, "a NATed binding is short");
    world.run_for(s(60));
    assert!(world[bob].pings >= 2, "keep-alives come through the NAT");
    world.rebind(bob);
    world.run_for(s(300));
    assert!(world[bob].is_registered(world.now));
    assert_eq!(world.contacts("bob@example.com").len(), 1);
    insta::assert_snapshot!(world.ladder().and(&["Via"]));
    world.finish();
}

#[test]
fn without_rport_the_answer_goes_to_the_port_of_via() {
    let mut world = World::new(4);
    let bob = world.phone("bob");
    world[bob].habits.rport = false;
    world.act(bob, |p, now| p.register(now, 600));
    world.run_for(s(1));
    assert!(world[bob].is_registered(world.now));
    insta::assert_snapshot!(world.ladder().only(&["Via"]));
    world.finish();
}

#[test]
fn a_nat_implies_rport() {
    let mut world = World::new(5);
    let bob = world.phone("bob");
    world[bob].habits.rport = false;
    world.nat(bob, "198.51.100.7");
    world.act(bob, |p, now| p.register(now, 600));
    world.run_for(s(1));
    assert!(world[bob].is_registered(world.now));
    insta::assert_snapshot!(world.ladder().only(&["Via"]));
    world.finish();
}

#[test]
fn a_phone_over_ipv6_registers() {
    let mut world = World::new(6);
    let bob = world.phone_at("bob", "bob", "[2001:db8::b0b]:5060".parse().expect("an address"));
    world.act(bob, |p, now| p.register(now, 600));
    world.run_for(s(1));
    assert_eq!(world.contacts("bob@example.com"), ["sip:bob@[2001:db8::b0b]:5060"]);
    insta::assert_snapshot!(world.ladder().and(&["Via"]));
    world.finish();
}

#[test]
fn a_dead_connection_makes_a_natted_phone_unreachable_until_it_returns() {
    let mut world = World::new(7);
    let bob = world.phone("bob");
    world.nat(bob, "198.51.100.7");
    world[bob].habits.via = Via::Tcp;
    world[bob].habits.retry = s(5);
    world.act(bob, |p, now| p.register(now, 600));
    world.run_for(s(2));
    assert!(world[bob].is_registered(world.now));
    world.break_flow(bob, true);
    world.run_for(s(2));
    assert_eq!(world.contacts("bob@example.com").len(), 1, "the binding stays, unreachable");
    world.run_for(s(10));
    assert_eq!(world.contacts("bob@example.com").len(), 1);
    insta::assert_snapshot!(world.ladder());
    world.finish();
}

fn outbound(world: &mut World, reg_id: u32, via: Via) -> PhoneId {
    let phone = world.phone_of(&format!("bob-{reg_id}"), "bob");
    let habits = &mut world[phone].habits;
    habits.via = via;
    habits.instance = Some("urn:uuid:00000000-0000-1000-8000-000a95a0e128".into());
    habits.reg_id = Some(reg_id);
    habits.keepalive = s(60);
    habits.retry = s(5);
    phone
}

#[test]
fn two_outbound_flows_of_one_phone_are_two_bindings() {
    let mut world = World::new(8);
    let (first, second) = (outbound(&mut world, 1, Via::Tcp), outbound(&mut world, 2, Via::Tcp));
    for phone in [first, second] {
        world.act(phone, |p, now| p.register(now, 600));
        world.run_for(s(2));
    }
    assert_eq!(world[second].registration().contacts.len(), 2);
    assert_eq!(world[second].registration().flow_timer, Some(120));
    world.run_for(s(130));
    assert!(world[first].pongs >= 2);
    // One flow dies: the phone makes it anew, and the binding of that flow is replaced, not doubled.
    world.break_flow(first, true);
    world.run_for(s(20));
    assert_eq!(world.engine().map(|e| e.sizes().bindings), Some(2));
    assert!(world[first].is_registered(world.now) && world[second].is_registered(world.now));
    insta::assert_snapshot!(world.ladder().only(FLOW));
    world.finish();
}

#[test]
fn a_silent_flow_is_given_up_after_flow_timer_and_grace() {
    let mut world = World::new(9);
    let bob = outbound(&mut world, 1, Via::Tcp);
    world.act(bob, |p, now| p.register(now, 600));
    world.run_for(s(2));
    // Nobody tells the server that the connection is dead.
    world[bob].habits.retry = Duration::ZERO;
    world.break_flow(bob, false);
    world.run_for(s(300));
    insta::assert_snapshot!(world.ladder().only(FLOW));
    world.finish();
}

#[test]
fn outbound_over_udp_works_with_stun_keepalives() {
    let mut world = World::new(10);
    let bob = outbound(&mut world, 1, Via::Udp);
    world[bob].habits.keepalive = Duration::ZERO;
    world.nat(bob, "198.51.100.7");
    world.act(bob, |p, now| {
        p.stun();
        p.register(now, 600);
    });
    world.run_for(s(1));
    assert_eq!(world[bob].mapped, Some("198.51.100.7:40000".parse().expect("an address")));
    assert!(world[bob].is_registered(world.now));
    assert_eq!(counter(&world, Counter::Stun), 1);
    insta::assert_snapshot!(world.ladder().only(FLOW));
    world.finish();
}

#[test]
fn gruus_are_minted_for_phones_that_ask_and_stay_the_same() {
    let mut world = World::new(11);
    let bob = world.phone("bob");
    world[bob].habits.instance = Some("urn:uuid:00000000-0000-1000-8000-000a95a0e128".into());
    world[bob].habits.gruu = true;
    world.act(bob, |p, now| p.register(now, 600));
    world.run_for(s(1));
    let public = world[bob].registration().public_gruu.clone();
    let temporary = world[bob].registration().temporary_gruu.clone();
    assert!(public.as_deref().is_some_and(|g| g.starts_with("sip:bob@example.com;gr=")), "{public:?}");
    assert!(temporary.is_some());
    world.run_for(s(600));
    assert_eq!(world[bob].registration().public_gruu, public);
    assert_ne!(world[bob].registration().temporary_gruu, temporary);
    insta::assert_snapshot!(world.ladder());
    world.finish();
}

#[test]
fn keepalives_and_noise_are_counted_and_leave_nothing() {
    let mut world = World::new(12);
    let bob = world.phone("bob");
    world.act(bob, |p, _| {
        p.raw(*b"\r\n\r\n");
        p.raw(*b"\0\0\0\0");
        p.raw(*b"hello\r\n\r\n");
        p.raw(Vec::new());
    });
    world.run_for(s(1));
    let drops = world.engine().map(|e| e.stats().drops(DropReason::NotSip));
    assert_eq!(drops, Some(1));
    insta::assert_snapshot!(world.ladder());
    world.finish();
}

#[test]
fn the_same_seed_gives_the_same_world_and_another_seed_another() {
    let run = |seed| {
        let mut world = World::new(seed);
        let phones: Vec<PhoneId> = ["alice", "bob", "carol"].iter().map(|n| world.phone(n)).collect();
        for phone in phones {
            world.link(phone, Link::BAD);
            world.act(phone, |p, now| p.register(now, 300));
        }
        world.run_for(s(3600));
        world.finish().hash()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
