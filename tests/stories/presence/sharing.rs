//! Several subscriptions in one dialog: RFC 6665 s4.5.2, RFC 5057.

use strowger_sim::phone::watcher::{Say, Wish};

use super::*;

fn beside(world: &mut World, phone: PhoneId, other: usize, event: &str) -> usize {
    let mut wish = Wish::presence("sip:bob@example.com", 600).event(event);
    wish.accept = None;
    let watch = world.act(phone, |p, now| p.subscribe_beside(now, other, wish));
    world.run_for(s(1));
    watch
}

#[test]
fn two_subscriptions_of_one_dialog_live_and_end_apart() {
    let mut world = world(1);
    let (alice, bob, first) = alice_watches_bob(&mut world, 600);
    let second = beside(&mut world, alice, first, "presence;id=2");
    assert_eq!(sizes(&world), [2, 0, 1]);
    let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "one"), 3600));
    world.run_for(s(6));
    world.act(alice, |p, now| p.unwatch(now, first));
    world.run_for(s(1));
    world.act(bob, |p, now| p.modify(now, own, pidf("bob", "desk", "open", "two")));
    world.run_for(s(6));
    assert!(seen(&world, alice, first).contains("one"));
    assert!(seen(&world, alice, second).contains("two"));
    assert_eq!(sizes(&world), [1, 1, 1]);
    insta::assert_snapshot!(world.ladder().only(SHOWN));
    world.act(alice, |p, now| p.unwatch(now, second));
    world.run_for(s(1));
    assert_eq!(sizes(&world), [0, 1, 1]);
    world.finish();
}

#[test]
fn what_only_the_owner_may_see_is_not_had_by_the_dialog_of_another() {
    let mut world = world(2);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 600);
    let own = world.act(bob, |p, now| p.watch(now, "sip:bob@example.com", 600));
    world.run_for(s(1));
    let alices = beside(&mut world, alice, watch, "presence.winfo");
    let bobs = beside(&mut world, bob, own, "presence.winfo");
    assert_eq!(world[alice].watched(alices).statuses, [403]);
    assert_eq!(world[bob].watched(bobs).statuses, [200]);
    assert_eq!(sizes(&world), [3, 0, 1]);
    world.finish();
}

#[test]
fn an_answer_to_a_notify_takes_one_subscription_or_the_whole_dialog() {
    for (status, left) in [(481, 2), (489, 2), (404, 1), (485, 1)] {
        let mut world = world(3);
        let (alice, bob, first) = alice_watches_bob(&mut world, 600);
        let second = beside(&mut world, alice, first, "presence;id=2");
        let carol = world.phone("carol");
        world.act(carol, |p, now| p.watch(now, "sip:bob@example.com", 600));
        world.act(alice, |p, _| p.watched_mut(second).script = [Say::Status(status)].into());
        world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "one"), 3600));
        world.run_for(s(6));
        assert_eq!(sizes(&world), [left, 1, 1], "{status}");
        world.finish();
    }
}
