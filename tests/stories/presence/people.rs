//! Who sees what of whom: several devices, registered phones, blocked and pending watchers, foreign domains.

use strowger_core::config::{WatchAction, WatchPolicy, WatchRule};

use super::*;

fn rule(watcher: &str, action: WatchAction) -> WatchRule {
    WatchRule { presentity: "bob@example.com".into(), watcher: watcher.into(), action }
}

fn ruled(seed: u64, rules: Vec<WatchRule>) -> World {
    world_with(seed, |c| c.presence = Some(PresenceConfig { rules, ..PresenceConfig::default() }))
}

#[test]
fn three_devices_are_one_document_for_both_watchers() {
    let mut world = world(1);
    let (alice, desk, watch) = alice_watches_bob(&mut world, 600);
    let carol = world.phone("carol");
    let carols = world.act(carol, |p, now| p.watch(now, "sip:bob@example.com", 600));
    let (mobile, web) = (world.phone_of("mobile", "bob"), world.phone_of("web", "bob"));
    world.run_for(s(1));
    let first = world.act(desk, |p, now| p.publish(now, pidf("bob", "desk", "open", "at the desk"), 600));
    world.run_for(s(1));
    world.act(mobile, |p, now| p.publish(now, pidf("bob", "mobile", "closed", "in the bag"), 600));
    world.run_for(s(1));
    let last = world.act(web, |p, now| p.publish(now, pidf("bob", "web", "open", "in a tab"), 600));
    world.run_for(s(10));
    let document = seen(&world, alice, watch);
    assert_eq!(document, seen(&world, carol, carols));
    assert_eq!(document.matches("<tuple").count(), 3);
    world.act(web, |p, now| p.unpublish(now, last));
    world.act(desk, |p, now| p.unpublish(now, first));
    world.run_for(s(10));
    let document = seen(&world, alice, watch);
    assert!(document.contains("in the bag") && document.matches("<tuple").count() == 1);
    assert_eq!(document, seen(&world, carol, carols));
    insta::assert_snapshot!(world.ladder().only(SHOWN).bodies());
    world.finish();
}

#[test]
fn a_registered_phone_is_there_and_gone_when_its_binding_expires() {
    let mut world = world(2);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 3600);
    world.act(bob, |p, now| p.register(now, 60));
    world.run_for(s(1));
    assert!(seen(&world, alice, watch).contains("<basic>open</basic>"));
    world.note("bob loses power");
    world.act(bob, |p, _| p.power_off());
    world.run_for(s(60));
    assert!(seen(&world, alice, watch).contains("<basic>closed</basic>"));
    assert!(!seen(&world, alice, watch).contains("<basic>open</basic>"));
    insta::assert_snapshot!(world.ladder().only(SHOWN).bodies());
    world.finish();
}

#[test]
fn a_refresh_of_a_binding_tells_nobody_anything() {
    let mut world = world(3);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 7200);
    world.act(bob, |p, now| p.register(now, 120));
    world.run_for(s(10));
    let before = world[alice].watched(watch).notified.len();
    world.run_for(s(1800));
    let fresh = &world[alice].watched(watch).notified[before..];
    assert!(fresh.is_empty(), "{fresh:?}");
    world.finish();
}

#[test]
fn a_blocked_watcher_learns_nothing_by_what_it_is_told_nor_by_when() {
    let mut world = ruled(4, vec![rule("alice@example.com", WatchAction::Block)]);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 3600);
    // Nobody of that name has ever been seen.
    let nobody = world.act(alice, |p, now| p.watch(now, "sip:nobody@example.com", 3600));
    let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "secret"), 3600));
    world.run_for(s(10));
    world.act(bob, |p, now| p.modify(now, own, pidf("bob", "desk", "open", "secret too")));
    world.act(bob, |p, now| p.register(now, 600));
    world.run_for(s(10));
    let [blocked, unknown] = [watch, nobody].map(|w| world[alice].watched(w).clone());
    assert_eq!(blocked.notified.len(), unknown.notified.len());
    assert_eq!(blocked.statuses.last(), unknown.statuses.last());
    let states = |w: &strowger_sim::phone::watcher::Watch| {
        w.notified.iter().map(|n| n.state.clone()).collect::<Vec<_>>()
    };
    assert_eq!(states(&blocked), states(&unknown));
    let shape = |document: &str, who: &str| {
        let document = document.replace(who, "X");
        let (before, rest) = document.split_once("id=\"").expect("a tuple");
        format!("{before}{}", rest.split_once('"').map_or("", |(_, after)| after))
    };
    assert_eq!(
        shape(&blocked.document.unwrap_or_default(), "bob"),
        shape(&unknown.document.unwrap_or_default(), "nobody")
    );
    insta::assert_snapshot!(world.ladder().only(SHOWN).bodies());
    world.finish();
}

#[test]
fn a_pending_watcher_is_told_nothing_until_it_is_let_in() {
    let mut world = ruled(5, vec![rule("alice@example.com", WatchAction::Confirm)]);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 3600);
    world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "secret"), 3600));
    world.run_for(s(10));
    let told = world[alice].watched(watch);
    assert_eq!(told.document, None);
    assert_eq!(told.notified.iter().map(|n| n.state.as_str()).collect::<Vec<_>>(), ["pending;expires=3600"]);
    let allow = true;
    let (aor, watcher) = ("bob@example.com".into(), "alice@example.com".into());
    world.host(Request::DecideWatcher { aor, watcher, allow });
    world.run_for(s(1));
    assert!(seen(&world, alice, watch).contains("secret"));
    insta::assert_snapshot!(world.ladder().only(SHOWN).bodies());
    world.finish();
}

#[test]
fn under_the_policy_nobody_only_the_owner_sees_himself() {
    let mut world = world_with(6, |c| {
        c.presence = Some(PresenceConfig { watchers: WatchPolicy::Nobody, ..PresenceConfig::default() });
    });
    let (alice, bob, watch) = alice_watches_bob(&mut world, 3600);
    let own = world.act(bob, |p, now| p.watch(now, "sip:bob@example.com", 3600));
    world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "mine"), 3600));
    world.run_for(s(10));
    assert!(!seen(&world, alice, watch).contains("mine"));
    assert!(seen(&world, bob, own).contains("mine"));
    world.finish();
}
