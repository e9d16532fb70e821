//! Publications and the phones they come from: what becomes of presence when a phone is gone, and when it is back
//! (DECISIONS 11 and 29).

use strowger_sim::phone::Via;

use super::*;

const INSTANCE: &str = "urn:uuid:00000000-0000-1000-8000-000a95a0e128";

/// How many NOTIFY requests a watcher has accepted.
fn told(world: &World, phone: PhoneId, watch: usize) -> usize {
    world[phone].watched(watch).notified.len()
}

fn is_open(world: &World, phone: PhoneId, watch: usize) -> bool {
    seen(world, phone, watch).contains("<basic>open</basic>")
}

#[test]
fn a_publisher_that_lost_power_is_offline_soon_after_its_binding_ended() {
    let mut world = world(1);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 3600);
    world.act(bob, |p, now| p.register(now, 60));
    world.run_for(s(1));
    world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "here"), 3600));
    world.run_for(s(5));
    world.note("bob loses power");
    world.act(bob, |p, _| p.power_off());
    world.run_for(s(80));
    assert!(seen(&world, alice, watch).contains("here"), "the binding has just ended");
    world.run_for(s(10));
    assert!(!is_open(&world, alice, watch) && !seen(&world, alice, watch).contains("here"));
    // It is kept, and says nothing.
    assert_eq!(sizes(&world), [1, 1, 1]);
    insta::assert_snapshot!(world.ladder().only(SHOWN));
    world.finish();
}

#[test]
fn what_a_phone_published_speaks_again_when_it_registers_again() {
    let mut world = world(2);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 3600);
    world[bob].habits.instance = Some(INSTANCE.into());
    world.act(bob, |p, now| p.register(now, 600));
    world.run_for(s(1));
    let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "here"), 3600));
    world.run_for(s(10));
    let before = told(&world, alice, watch);
    world.act(bob, |p, now| p.register(now, 0));
    world.run_for(s(20));
    world.act(bob, |p, now| p.register(now, 600));
    world.run_for(s(60));
    assert_eq!(told(&world, alice, watch), before, "back within the grace, nobody noticed");
    world.act(bob, |p, now| p.register(now, 0));
    world.run_for(s(31));
    assert!(!is_open(&world, alice, watch));
    world.act(bob, |p, now| p.register(now, 600));
    world.run_for(s(6));
    assert!(seen(&world, alice, watch).contains("here"), "without another PUBLISH");
    assert_eq!(world[bob].published(own).statuses, [200]);
    world.finish();
}

#[test]
fn a_publication_that_is_refreshed_speaks_whether_its_phone_is_registered_or_not() {
    let mut world = world(3);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 3600);
    world.act(bob, |p, now| p.register(now, 600));
    world.run_for(s(1));
    let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "here"), 3600));
    world.run_for(s(6));
    world.act(bob, |p, now| p.register(now, 0));
    world.run_for(s(60));
    assert!(!is_open(&world, alice, watch));
    world.act(bob, |p, now| p.refresh_publication(now, own));
    world.run_for(s(600));
    assert!(seen(&world, alice, watch).contains("here"), "nothing ties it any more");
    world.finish();
}

#[test]
fn where_it_is_configured_publications_live_until_their_own_end() {
    let mut world = world_with(4, |c| {
        c.presence =
            Some(PresenceConfig { publications_outlive_bindings: true, ..PresenceConfig::default() });
    });
    let (alice, bob, watch) = alice_watches_bob(&mut world, 3600);
    world.act(bob, |p, now| p.register(now, 60));
    world.run_for(s(1));
    world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "here"), 600));
    world.run_for(s(1));
    world.act(bob, |p, _| p.power_off());
    world.run_for(s(590));
    assert!(seen(&world, alice, watch).contains("here"));
    world.run_for(s(10));
    assert!(!is_open(&world, alice, watch));
    world.finish();
}

#[test]
fn a_phone_whose_connection_breaks_is_offline_after_the_grace_and_back_without_a_word() {
    let mut world = world(5);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 3600);
    world[bob].habits.via = Via::Tcp;
    world[bob].habits.instance = Some(INSTANCE.into());
    world[bob].habits.reg_id = Some(1);
    world.act(bob, |p, now| p.register(now, 3600));
    world.run_for(s(10));
    assert!(is_open(&world, alice, watch));
    let before = told(&world, alice, watch);
    world.note("the connection breaks and comes back within the grace");
    world.break_flow(bob, true);
    world.run_for(s(20));
    world.act(bob, |p, now| p.register(now, 3600));
    world.run_for(s(60));
    assert_eq!(told(&world, alice, watch), before);
    world.act(bob, |p, _| p.power_off());
    world.break_flow(bob, true);
    world.run_for(s(29));
    assert!(is_open(&world, alice, watch));
    world.run_for(s(2));
    assert!(!is_open(&world, alice, watch));
    assert_eq!(told(&world, alice, watch), before + 1);
    insta::assert_snapshot!(world.ladder().only(SHOWN));
    world.finish();
}

#[test]
fn a_publication_sleeps_and_wakes_with_the_connection_of_its_phone() {
    let mut world = world(6);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 3600);
    world[bob].habits.via = Via::Tcp;
    world[bob].habits.instance = Some(INSTANCE.into());
    world[bob].habits.reg_id = Some(1);
    world.act(bob, |p, now| p.register(now, 3600));
    world.run_for(s(1));
    world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "here"), 3600));
    world.run_for(s(10));
    world[bob].habits.retry = s(0);
    world.break_flow(bob, true);
    world.run_for(s(29));
    assert!(seen(&world, alice, watch).contains("here"));
    world.run_for(s(60));
    let asleep = !seen(&world, alice, watch).contains("here");
    world.act(bob, |p, now| p.register(now, 3600));
    world.run_for(s(6));
    assert!(seen(&world, alice, watch).contains("here"));
    // A phone that notices by itself is back before anybody else does.
    assert_eq!(asleep, told(&world, alice, watch) > 2);
    world.finish();
}

#[test]
fn three_devices_come_and_go_and_the_best_of_them_stands_first() {
    let mut world = world(7);
    let alice = world.phone("alice");
    let watch = world.act(alice, |p, now| p.watch(now, "sip:bob@example.com", 3600));
    let devices = ["desk", "mobile", "web"].map(|name| world.phone_of(name, "bob"));
    for phone in devices {
        world.act(phone, |p, now| p.register(now, 120));
    }
    world.run_for(s(6));
    let [desk, mobile, web] = devices;
    let on_desk = world.act(desk, |p, now| p.publish(now, pidf("bob", "desk", "open", "desk"), 3600));
    world.act(mobile, |p, now| p.publish(now, pidf("bob", "mobile", "closed", "mobile"), 3600));
    world.run_for(s(6));
    // Two that published, and one that is registered.
    assert_eq!(seen(&world, alice, watch).matches("<tuple").count(), 3);
    let first = |world: &World| {
        let document = seen(world, alice, watch);
        let at = |word: &str| document.find(&format!(">{word}</note>")).unwrap_or(usize::MAX);
        at("desk") < at("mobile")
    };
    assert!(first(&world));
    world.note("the desk phone is closed, the web phone goes, the mobile loses power");
    world.act(desk, |p, now| p.modify(now, on_desk, pidf("bob", "desk", "closed", "desk")));
    world.act(web, |p, now| p.register(now, 0));
    world.act(mobile, |p, _| p.power_off());
    world.run_for(s(6));
    assert_eq!(seen(&world, alice, watch).matches("<tuple").count(), 2);
    assert!(!is_open(&world, alice, watch));
    world.run_for(s(150));
    let left = seen(&world, alice, watch);
    assert!(left.contains("desk") && !left.contains("mobile"), "{left}");
    assert_eq!(left, composed(&mut world, "bob@example.com"));
    world.finish();
}
