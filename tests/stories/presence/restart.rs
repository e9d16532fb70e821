//! The server dies and comes back: with what it had stored nobody notices, without it everybody comes back by himself
//! (DECISIONS 19 and 31).

use strowger_sim::network::Link;
use strowger_sim::phone::Via;
use strowger_sim::rng::Rng;
use strowger_sim::store::{Durability, Keeps};

use super::*;

/// A world whose store keeps presence, too.
fn durable(seed: u64) -> World {
    let mut world = world(seed);
    world.store.keeps = Keeps::All;
    world
}

#[test]
fn with_what_was_stored_a_subscription_goes_on_in_its_dialog_and_a_publication_under_its_tag() {
    let mut world = durable(1);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 600);
    let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "here"), 600));
    world.run_for(s(6));
    let before = world[alice].watched(watch).notified.last().map_or(0, |n| n.cseq);
    world.restart();
    assert_eq!(sizes(&world)[..2], [1, 1]);
    world.run_for(s(5));
    // Told once, in full, far ahead of every number that was used.
    let after: Vec<u32> =
        world[alice].watched(watch).notified.iter().map(|n| n.cseq).filter(|cseq| *cseq > before).collect();
    assert_eq!(after.len(), 1);
    assert!(after[0] > before + 200, "{before} and then {after:?}");
    assert!(seen(&world, alice, watch).contains("here"));
    world.act(bob, |p, now| p.modify(now, own, pidf("bob", "desk", "open", "still")));
    world.act(alice, |p, now| p.refresh_watch(now, watch));
    world.run_for(s(6));
    assert!(seen(&world, alice, watch).contains("still"));
    assert!(!world[bob].published(own).statuses.contains(&412));
    assert!(!world[alice].watched(watch).statuses.contains(&481));
    insta::assert_snapshot!(world.ladder().only(SHOWN));
    world.finish();
}

#[test]
fn a_server_that_is_told_to_end_ends_no_subscription_that_is_stored() {
    let mut world = durable(1);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 600);
    world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "here"), 600));
    world.run_for(s(6));
    world.note("the server drains");
    world.host(Request::Drain { timeout: s(60) });
    world.run_for(s(1));
    world.restart();
    world.run_for(s(5));
    let watched = world[alice].watched(watch);
    assert!(watched.is_live(world.now) && !watched.statuses.contains(&481));
    assert!(seen(&world, alice, watch).contains("here"));
    insta::assert_snapshot!(world.ladder().only(SHOWN));
    world.finish();
}

#[test]
fn without_it_watchers_subscribe_anew_and_publishers_publish_anew() {
    let mut world = world(1);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 600);
    let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "here"), 600));
    world.run_for(s(6));
    world.restart();
    assert_eq!(sizes(&world), [0, 0, 0]);
    world.act(alice, |p, now| p.refresh_watch(now, watch));
    world.act(bob, |p, now| p.refresh_publication(now, own));
    world.run_for(s(10));
    assert!(world[alice].watched(watch).statuses.contains(&481));
    assert!(world[bob].published(own).statuses.contains(&412));
    assert!(seen(&world, alice, watch).contains("here"));
    assert_eq!(seen(&world, alice, watch), composed(&mut world, "bob@example.com"));
    world.finish();
}

#[test]
fn a_watcher_on_a_stream_hears_again_when_it_is_back() {
    let mut world = durable(2);
    let alice = world.phone("alice");
    world[alice].habits.via = Via::Tcp;
    world[alice].habits.retry = s(10);
    let bob = world.phone("bob");
    let watch = world.act(alice, |p, now| p.watch(now, "sip:bob@example.com", 600));
    world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "here"), 600));
    world.run_for(s(1));
    let before = world[alice].watched(watch).notified.len();
    world.restart();
    world.run_for(s(5));
    assert_eq!(world[alice].watched(watch).notified.len(), before, "there is no connection");
    world.run_for(s(10));
    assert!(world[alice].watched(watch).notified.len() > before);
    assert!(!world[alice].watched(watch).statuses.contains(&481));
    world.finish();
}

#[test]
fn numbers_never_come_twice_however_often_the_server_restarts() {
    let mut world = durable(3);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 3600);
    let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "start"), 3600));
    for life in 0..4 {
        for word in 0..100 {
            let document = pidf("bob", "desk", "open", &format!("w{life}.{word}"));
            world.act(bob, |p, now| p.modify(now, own, document));
            world.run_for(s(6));
        }
        world.restart();
        world.run_for(s(5));
    }
    let numbers: Vec<u32> = world[alice].watched(watch).notified.iter().map(|n| n.cseq).collect();
    assert!(numbers.len() > 400 && numbers.is_sorted_by(|a, b| a < b), "{}", numbers.len());
    assert!(!world[alice].watched(watch).statuses.contains(&481));
    world.finish();
}

#[test]
fn what_ended_while_the_server_was_down_is_gone_from_the_store() {
    let mut world = durable(4);
    let (_, bob, _) = alice_watches_bob(&mut world, 60);
    world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "here"), 60));
    world.run_for(s(1));
    world.stop_server();
    for phone in [PhoneId(0), PhoneId(1)] {
        world.act(phone, |p, _| p.power_off());
    }
    world.run_for(s(120));
    world.start_server();
    world.run_for(s(1));
    assert_eq!(sizes(&world), [0, 0, 0]);
    assert!(world.store.presence.records().is_empty());
    world.finish();
}

#[test]
fn a_decision_about_a_watcher_is_remembered() {
    let mut world = durable(5);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 600);
    world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "here"), 600));
    let (aor, watcher) = ("bob@example.com".into(), "alice@example.com".into());
    world.host(Request::DecideWatcher { aor, watcher, allow: false });
    world.run_for(s(6));
    assert!(!seen(&world, alice, watch).contains("here"));
    world.restart();
    world.run_for(s(5));
    assert!(!seen(&world, alice, watch).contains("here"));
    let again = world.act(alice, |p, now| p.watch(now, "sip:bob@example.com", 600));
    world.run_for(s(1));
    assert!(!seen(&world, alice, again).contains("here"));
    world.finish();
}

#[test]
fn a_publish_that_cannot_be_stored_is_504_and_nobody_hears_of_it() {
    let mut world = durable(6);
    (world.store.durability, world.store.delay) = (Durability::Strict, ms(5));
    let (alice, bob, watch) = alice_watches_bob(&mut world, 600);
    let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "one"), 600));
    world.run_for(s(10));
    assert!(seen(&world, alice, watch).contains("one"));
    world.store.failures = 1;
    world.act(bob, |p, now| p.modify(now, own, pidf("bob", "desk", "open", "two")));
    world.run_for(s(10));
    assert_eq!(world[bob].published(own).statuses.last(), Some(&504));
    let heard: Vec<bool> = world[alice]
        .watched(watch)
        .notified
        .iter()
        .map(|n| n.body.as_ref().is_some_and(|body| body.contains("two")))
        .collect();
    assert!(!heard.contains(&true), "{heard:?}");
    assert!(seen(&world, alice, watch).contains("one"));
    // Its entity tag still holds.
    world.act(bob, |p, now| p.modify(now, own, pidf("bob", "desk", "open", "three")));
    world.run_for(s(10));
    assert_eq!(world[bob].published(own).statuses.last(), Some(&200));
    assert!(seen(&world, alice, watch).contains("three"));
    insta::assert_snapshot!(world.ladder().only(SHOWN));
    world.finish();
}

/// Phones on bad links, a server that dies again and again: in the end everybody sees what is published.
fn lives(seed: u64, keeps: Keeps) {
    let mut world = world(seed);
    world.store.keeps = keeps;
    let mut rng = Rng::fork(seed, 91);
    let watchers = ["alice", "carol"].map(|name| world.phone(name));
    let device = world.phone("bob");
    for phone in watchers.into_iter().chain([device]) {
        world[phone].habits.retry = s(5);
        world.link(phone, Link::BAD);
    }
    let watches = watchers.map(|phone| world.act(phone, |p, now| p.watch(now, "sip:bob@example.com", 120)));
    let own = world.act(device, |p, now| p.publish(now, pidf("bob", "desk", "open", "start"), 90));
    for word in 0..30 {
        world.run_for(ms(rng.below(6_000)));
        match rng.below(6) {
            0 => world.restart(),
            1 => {
                world.stop_server();
                world.run_for(s(rng.below(40)));
                world.start_server();
            }
            _ => {
                let document = pidf("bob", "desk", "open", &format!("word{word};"));
                world.act(device, |p, now| p.modify(now, own, document));
            }
        }
    }
    for phone in watchers.into_iter().chain([device]) {
        world.link(phone, Link::GOOD);
    }
    for _ in 0..4 {
        world.run_for(s(100));
        // A phone whose server died between a challenge and the answer to it has given up: somebody presses its button.
        for (phone, watch) in watchers.into_iter().zip(watches) {
            if !world[phone].watched(watch).is_live(world.now) {
                world.act(phone, |p, now| p.refresh_watch(now, watch));
            }
        }
        world.act(device, |p, now| p.refresh_publication(now, own));
    }
    world.run_for(s(10));
    let document = composed(&mut world, "bob@example.com");
    assert!(document.contains("<basic>open"), "seed {seed}: {document}");
    for (phone, watch) in watchers.into_iter().zip(watches) {
        assert!(world[phone].watched(watch).is_live(world.now), "seed {seed}");
        assert_eq!(
            seen(&world, phone, watch),
            document,
            "seed {seed}\n{}",
            world.ladder().only(SHOWN).bodies()
        );
    }
    // Two lives of the server answered two copies of one request, each in its own way.
    for phone in watchers.into_iter().chain([device]) {
        world[phone].flaws.retain(|flaw| !flaw.starts_with("a second, different response"));
    }
    world.finish();
}

#[test]
fn over_many_lives_of_the_server_watchers_see_in_the_end_what_is_published() {
    for seed in 0..60 {
        lives(seed, if seed % 2 == 0 { Keeps::All } else { Keeps::Bindings });
    }
}
