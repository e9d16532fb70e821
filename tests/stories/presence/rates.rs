//! How often a watcher is told: what it asks for (RFC 6446), after failures, and in a storm.

use strowger_core::config::{WatchAction, WatchRule};
use strowger_sim::phone::watcher::{Say, Wish};

use super::*;

/// Alice asks for bob with these parameters of Event; bob has published.
fn asked(world: &mut World, event: &str) -> (PhoneId, PhoneId, usize, usize) {
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "0"), 3600));
    world.run_for(s(1));
    let wish = Wish::presence("sip:bob@example.com", 600).event(event);
    let watch = world.act(alice, |p, now| p.subscribe(now, wish));
    world.run_for(s(1));
    (alice, bob, watch, own)
}

/// Seconds between the NOTIFY requests a watcher took.
fn gaps(world: &World, phone: PhoneId, watch: usize) -> Vec<u64> {
    let all = &world[phone].watched(watch).notified;
    all.windows(2).map(|w| (w[1].at.since(w[0].at).as_millis() as u64 + 500) / 1000).collect()
}

#[test]
fn a_watcher_that_asks_for_less_is_told_less_and_the_newest_state() {
    let mut world = world(1);
    let (alice, bob, watch, own) = asked(&mut world, "presence;max-rate=0.05");
    for word in 1..=30 {
        world.act(bob, |p, now| p.modify(now, own, pidf("bob", "desk", "open", &word.to_string())));
        world.run_for(s(2));
    }
    world.run_for(s(30));
    assert!(gaps(&world, alice, watch).iter().all(|gap| *gap >= 20), "{:?}", gaps(&world, alice, watch));
    assert!(seen(&world, alice, watch).contains("<note>30</note>"));
    // A refresh is answered at once, and takes back what it does not name.
    world.act(alice, |p, now| {
        p.watched_mut(watch).wish.event = "presence".into();
        p.refresh_watch(now, watch);
    });
    world.run_for(s(1));
    let states: Vec<&str> = world[alice].watched(watch).notified.iter().map(|n| n.state.as_str()).collect();
    assert_eq!(states.first(), Some(&"active;expires=600;max-rate=0.05"));
    assert_eq!(states.last(), Some(&"active;expires=600"));
    world.act(bob, |p, now| p.modify(now, own, pidf("bob", "desk", "open", "31")));
    world.run_for(s(6));
    assert!(seen(&world, alice, watch).contains("<note>31</note>"));
    insta::assert_snapshot!(world.ladder().only(&["CSeq", "Event", "Subscription-State"]));
    world.finish();
}

#[test]
fn a_watcher_that_asks_for_it_is_told_the_same_again() {
    for (event, granted) in [
        ("presence;min-rate=0.05", "min-rate=0.05"),
        ("presence;adaptive-min-rate=0.05", "adaptive-min-rate=0.05"),
        // Ten seconds is the shortest that is granted.
        ("presence;min-rate=5", "min-rate=0.1"),
    ] {
        let mut world = world(2);
        let (alice, _, watch, _) = asked(&mut world, event);
        world.run_for(s(120));
        let expected = if granted == "min-rate=0.1" { 10 } else { 20 };
        let gaps = gaps(&world, alice, watch);
        assert!(gaps.len() >= 5 && gaps.iter().all(|gap| *gap == expected), "{event}: {gaps:?}");
        let last = world[alice].watched(watch).notified.last().expect("there is one");
        assert!(last.state.ends_with(granted), "{}", last.state);
        assert!(last.body.is_some());
        world.finish();
    }
}

#[test]
fn a_watcher_that_cannot_take_a_state_now_gets_the_newest_later() {
    let mut world = world(3);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 600);
    world.act(alice, |p, _| p.watched_mut(watch).script = [Say::Status(503), Say::Status(500)].into());
    let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "one"), 3600));
    world.run_for(s(1));
    world.act(bob, |p, now| p.modify(now, own, pidf("bob", "desk", "open", "two")));
    world.run_for(s(20));
    // Five seconds after the first failure, ten after the second.
    assert!(seen(&world, alice, watch).contains("two"));
    assert_eq!(sizes(&world), [1, 1, 1]);
    insta::assert_snapshot!(world.ladder().only(SHOWN));
    world.finish();
}

#[test]
fn the_end_follows_a_notify_that_was_not_answered_yet() {
    for expires in [false, true] {
        let mut world = world(4);
        let (alice, bob) = (world.phone("alice"), world.phone("bob"));
        world[alice].habits.refresh_percent = 0;
        let watch = world.act(alice, |p, now| {
            let watch = p.watch(now, "sip:bob@example.com", 60);
            p.watched_mut(watch).stubborn = false;
            watch
        });
        world.run_for(s(1));
        if expires {
            world.run_for(s(57));
        }
        // Her answers are lost for a while.
        world.lose(alice, 3, 0);
        world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "one"), 3600));
        world.run_for(ms(300));
        if !expires {
            world.lose(alice, 0, 0);
            world.act(alice, |p, now| p.unwatch(now, watch));
        }
        world.run_for(s(20));
        assert_eq!(reason(&world, alice, watch).as_deref(), Some("timeout"), "{expires}");
        assert_eq!(sizes(&world), [0, 1, 1]);
        world.finish();
    }
}

#[test]
fn in_a_storm_everybody_is_told_the_newest_state_and_who_subscribes_does_not_wait() {
    let mut world = world_with(5, |c| (c.limits.notifies_per_second, c.limits.notifies_per_host) = (20, 0));
    let bob = world.phone("bob");
    let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "0"), 3600));
    let watchers: Vec<PhoneId> = (0..60).map(|i| world.phone_of(&format!("watcher{i}"), "alice")).collect();
    for phone in &watchers {
        world.act(*phone, |p, now| p.watch(now, "sip:bob@example.com", 3600));
        world.run_for(ms(100));
    }
    world.run_for(s(5));
    world.act(bob, |p, now| p.modify(now, own, pidf("bob", "desk", "open", "1")));
    world.run_for(ms(100));
    let told =
        |world: &World| watchers.iter().filter(|phone| seen(world, **phone, 0).contains(">1<")).count();
    assert!((20..25).contains(&told(&world)), "{}", told(&world));
    let late = world.phone("carol");
    let watch = world.act(late, |p, now| p.watch(now, "sip:bob@example.com", 3600));
    world.run_for(ms(300));
    assert!(seen(&world, late, watch).contains(">1<"));
    assert!(told(&world) < 35);
    world.run_for(s(2));
    assert_eq!(told(&world), 60);
    world.finish();
}

#[test]
fn new_rules_are_told_to_those_who_watch_already() {
    let block = |watcher: &str, action| WatchRule {
        presentity: "bob@example.com".into(),
        watcher: watcher.into(),
        action,
    };
    let mut world = world_with(7, |c| {
        let rules = vec![block("carol@example.com", WatchAction::Confirm)];
        c.presence = Some(PresenceConfig { rules, ..PresenceConfig::default() });
    });
    let (alice, bob, watch) = alice_watches_bob(&mut world, 600);
    let carol = world.phone("carol");
    let carols = world.act(carol, |p, now| p.watch(now, "sip:bob@example.com", 600));
    world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "here"), 3600));
    world.run_for(s(6));
    assert!(seen(&world, alice, watch).contains("here") && seen(&world, carol, carols).is_empty());
    world.reload(|c| {
        let rules = vec![block("alice@example.com", WatchAction::Block)];
        c.presence = Some(PresenceConfig { rules, ..PresenceConfig::default() });
    });
    world.run_for(s(1));
    assert!(!seen(&world, alice, watch).contains("here") && seen(&world, carol, carols).contains("here"));
    world.reload(|c| c.presence = None);
    world.run_for(s(1));
    assert_eq!(reason(&world, alice, watch).as_deref(), Some("rejected"));
    assert_eq!(reason(&world, carol, carols).as_deref(), Some("rejected"));
    insta::assert_snapshot!(world.ladder().only(SHOWN));
    world.finish();
}

#[test]
fn who_has_too_many_subscriptions_gets_no_more() {
    let mut world = world_with(6, |c| {
        (c.limits.subscriptions_per_watcher, c.limits.subscriptions_per_source) = (2, 3);
    });
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    for target in ["bob", "carol", "dave"] {
        world.act(alice, |p, now| p.watch(now, &format!("sip:{target}@example.com"), 600));
        world.run_for(s(1));
    }
    let statuses =
        |world: &World, phone: PhoneId, watch| world[phone].watched(watch).statuses.last().copied();
    assert_eq!(
        (0..3).map(|w| statuses(&world, alice, w)).collect::<Vec<_>>(),
        [Some(200), Some(200), Some(403)]
    );
    // Another program on the same machine.
    let addr = std::net::SocketAddr::new(world[bob].addr.ip(), 5080);
    let beside = world.phone_at("carol", "carol", addr);
    world.act(bob, |p, now| p.watch(now, "sip:alice@example.com", 600));
    world.act(bob, |p, now| p.watch(now, "sip:carol@example.com", 600));
    world.run_for(s(1));
    for target in ["alice", "bob"] {
        world.act(beside, |p, now| {
            let watch = p.watch(now, &format!("sip:{target}@example.com"), 600);
            p.watched_mut(watch).stubborn = false;
        });
        world.run_for(s(1));
    }
    assert_eq!((statuses(&world, beside, 0), statuses(&world, beside, 1)), (Some(200), Some(503)));
    world.finish();
}
