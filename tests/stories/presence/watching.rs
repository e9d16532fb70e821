//! One watcher and one publisher on good links: what each request and each answer looks like.

use super::*;

#[test]
fn a_phone_watches_another_that_publishes_changes_and_leaves() {
    let mut world = world(1);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 600);
    let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "here"), 600));
    world.run_for(s(10));
    assert!(seen(&world, alice, watch).contains("here"));
    world.act(bob, |p, now| p.modify(now, own, pidf("bob", "desk", "open", "in a meeting")));
    world.run_for(s(10));
    assert!(seen(&world, alice, watch).contains("in a meeting"));
    world.act(bob, |p, now| p.refresh_publication(now, own));
    world.run_for(s(10));
    world.act(bob, |p, now| p.unpublish(now, own));
    world.run_for(s(10));
    assert!(!seen(&world, alice, watch).contains("meeting"));
    world.act(alice, |p, now| p.unwatch(now, watch));
    world.run_for(s(10));
    assert_eq!(reason(&world, alice, watch).as_deref(), Some("timeout"));
    assert_eq!(world[bob].published(own).statuses, [401, 200, 200, 200, 200]);
    // Nothing is told that nobody can see: the refresh.
    assert_eq!(world[alice].watched(watch).notified.len(), 5);
    assert_eq!(sizes(&world), [0, 0, 0]);
    insta::assert_snapshot!(world.ladder().only(SHOWN).bodies());
    world.finish();
}

#[test]
fn every_message_of_a_subscription_in_full() {
    let mut world = world(2);
    let (alice, _, watch) = alice_watches_bob(&mut world, 600);
    world.act(alice, |p, now| p.unwatch(now, watch));
    world.run_for(s(1));
    insta::assert_snapshot!(world.ladder().whole());
    world.finish();
}

#[test]
fn the_first_notify_follows_the_2xx_at_once() {
    let mut world = world(3);
    let (alice, _, watch) = alice_watches_bob(&mut world, 600);
    let answered = world[alice].last().map(|f| (f.at, f.status)).expect("an answer");
    assert_eq!(answered, (world[alice].watched(watch).notified[0].at, 200));
    assert!(ms(50) > answered.0.since(strowger_sim::world::START));
    world.finish();
}
