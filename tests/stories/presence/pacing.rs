//! When a change is told: at once, then at the end of the interval; one NOTIFY in flight with the newest state behind it.

use super::*;

/// The note a document carries.
fn note(body: &str) -> &str {
    body.split_once("<note>").map_or("", |(_, rest)| rest.split('<').next().unwrap_or(""))
}

/// Seconds since the start at which the watcher accepted a NOTIFY, and what it said of bob.
fn told(world: &World, alice: PhoneId, watch: usize) -> Vec<(u64, String)> {
    let second = |at: strowger_sim::Time| at.since(strowger_sim::world::START).as_secs();
    let all = world[alice].watched(watch).notified.iter();
    all.map(|n| (second(n.at), note(n.body.as_deref().unwrap_or("")).to_owned())).collect()
}

fn at(second: u64, note: &str) -> (u64, String) {
    (second, note.to_owned())
}

#[test]
fn the_first_change_is_told_at_once_and_the_next_ones_together_at_the_end_of_the_interval() {
    let mut world = world(1);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 600);
    let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "one"), 600));
    for word in ["two", "three", "four"] {
        world.run_for(s(1));
        world.act(bob, |p, now| p.modify(now, own, pidf("bob", "desk", "open", word)));
    }
    world.run_for(s(8));
    world.act(bob, |p, now| p.modify(now, own, pidf("bob", "desk", "open", "five")));
    world.run_for(s(2));
    assert_eq!(told(&world, alice, watch), [at(0, ""), at(1, "one"), at(6, "four"), at(12, "five")]);
    insta::assert_snapshot!(world.ladder().only(SHOWN));
    world.finish();
}

#[test]
fn a_state_that_comes_and_goes_within_the_interval_ends_as_it_began() {
    let mut world = world(2);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 600);
    let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "one"), 600));
    world.run_for(s(1));
    let brief = world.act(bob, |p, now| p.publish(now, pidf("bob", "web", "open", "brief"), 600));
    world.run_for(s(1));
    world.act(bob, |p, now| p.unpublish(now, brief));
    world.run_for(s(20));
    assert!(!told(&world, alice, watch).iter().any(|(_, note)| note == "brief"));
    assert_eq!(seen(&world, alice, watch), composed(&mut world, "bob@example.com"));
    world.act(bob, |p, now| p.unpublish(now, own));
    world.run_for(s(1));
    world.finish();
}

#[test]
fn refresh_and_fetch_see_the_newest_state_within_the_interval() {
    let mut world = world(3);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 600);
    let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "one"), 600));
    world.run_for(s(1));
    world.act(bob, |p, now| p.modify(now, own, pidf("bob", "desk", "open", "two")));
    world.run_for(s(1));
    world.act(alice, |p, now| p.refresh_watch(now, watch));
    let fetch = world.act(alice, |p, now| p.watch(now, "sip:bob@example.com", 0));
    world.run_for(ms(100));
    assert!(seen(&world, alice, watch).contains("two"));
    assert!(seen(&world, alice, fetch).contains("two"));
    assert_eq!(reason(&world, alice, fetch).as_deref(), Some("timeout"));
    world.run_for(s(10));
    insta::assert_snapshot!(world.ladder().only(SHOWN));
    world.finish();
}

#[test]
fn while_a_notify_waits_for_its_answer_the_newest_state_waits_behind_it() {
    let mut world = world_with(4, |c| {
        c.presence = Some(PresenceConfig { pacing: s(0), ..PresenceConfig::default() });
    });
    let (alice, bob, watch) = alice_watches_bob(&mut world, 600);
    // Her answers are lost for a while.
    world.lose(alice, 3, 0);
    let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "one"), 600));
    for word in ["two", "three", "four"] {
        world.run_for(ms(300));
        world.act(bob, |p, now| p.modify(now, own, pidf("bob", "desk", "open", word)));
    }
    world.run_for(s(10));
    let words: Vec<String> = told(&world, alice, watch).into_iter().map(|(_, note)| note).collect();
    assert_eq!(words, ["", "one", "four"]);
    insta::assert_snapshot!(world.ladder().only(SHOWN));
    world.finish();
}

#[test]
fn without_pacing_each_change_is_told() {
    let mut world = world_with(5, |c| {
        c.presence = Some(PresenceConfig { pacing: s(0), ..PresenceConfig::default() });
    });
    let (alice, bob, watch) = alice_watches_bob(&mut world, 600);
    let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "0"), 600));
    for word in 1..5 {
        world.run_for(ms(100));
        world.act(bob, |p, now| p.modify(now, own, pidf("bob", "desk", "open", &word.to_string())));
    }
    world.run_for(s(1));
    let words: Vec<String> = told(&world, alice, watch).into_iter().map(|(_, note)| note).collect();
    assert_eq!(words, ["", "0", "1", "2", "3", "4"]);
    world.finish();
}
