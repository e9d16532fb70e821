//! Many phones at once.

use strowger_core::config::PresenceConfig;
use strowger_core::door::{ReplyBody, Request};
use strowger_core::stats::Counter;
use strowger_sim::network::Link;
use strowger_sim::world::account;
use strowger_sim::{PhoneId, World};

use crate::s;

#[test]
fn ten_thousand_phones_on_a_lossy_network_never_lose_a_binding() {
    const PHONES: usize = 10_000;
    let users: Vec<String> = (0..PHONES).map(|i| format!("u{i}")).collect();
    let mut world = World::with(1, |c| {
        c.accounts = users.iter().map(|u| account(u)).collect();
        c.tell.bindings = false;
        c.tell.outcomes = false;
    })
    .forgetful();
    let phones: Vec<PhoneId> = users.iter().map(|u| world.phone(u)).collect();
    for (i, phone) in phones.iter().enumerate() {
        world.link(*phone, Link::lossy(0.05));
        if i % 10 == 0 {
            // A tenth sits behind NATs, a hundred phones each; their bindings are short.
            world.nat(*phone, &format!("198.51.100.{}", 1 + i / 1000));
        }
        world.act(*phone, |p, now| p.register(now, 1800));
        if i % 100 == 99 {
            // A hundred phones a second.
            world.run_for(s(1));
        }
    }
    world.run_for(s(60));
    for minute in 0..40 {
        assert_eq!(world.engine().map(|e| e.sizes().bindings), Some(PHONES), "after {minute} minutes");
        world.run_for(s(60));
    }
    assert!(phones.iter().all(|p| world[*p].is_registered(world.now)));
    let counters = world
        .engine()
        .map(|e| [Counter::Registered, Counter::Expired, Counter::Overload].map(|c| e.stats().counter(c)));
    assert_eq!(counters, Some([PHONES as u64, 0, 0]));
    world.finish();
}

#[test]
fn ten_thousand_watchers_of_one_presentity_all_see_the_newest_state() {
    const WATCHERS: usize = 10_000;
    let users: Vec<String> = (0..WATCHERS).map(|i| format!("u{i}")).collect();
    let mut world = World::with(2, |c| {
        c.accounts.extend(users.iter().map(|u| account(u)));
        c.presence = Some(PresenceConfig::default());
        c.tell.outcomes = false;
    })
    .forgetful();
    let bob = world.phone("bob");
    let watchers: Vec<PhoneId> = users.iter().map(|u| world.phone(u)).collect();
    for (i, phone) in watchers.iter().enumerate() {
        world.link(*phone, Link::lossy(0.05));
        world.act(*phone, |p, now| p.watch(now, "sip:bob@example.com", 3600));
        if i % 500 == 499 {
            world.run_for(s(1));
        }
    }
    world.run_for(s(40));
    let document = |word: &str| {
        format!(
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@example.com\"><tuple id=\"a\">\
             <status><basic>open</basic></status><note>{word}</note></tuple></presence>"
        )
    };
    let own = world.act(bob, |p, now| p.publish(now, document("one"), 3600));
    for word in ["two", "three", "four"] {
        world.run_for(s(1));
        world.act(bob, |p, now| p.modify(now, own, document(word)));
    }
    world.run_for(s(40));
    let composed = match world.host(Request::Presence { aor: "bob@example.com".into() }) {
        Some(ReplyBody::Presence(view)) => view.document,
        other => panic!("{other:?}"),
    };
    assert!(composed.contains("four"));
    let seen = |phone: &&PhoneId| world[**phone].watched(0).document.as_deref() == Some(&*composed);
    assert_eq!(watchers.iter().filter(seen).count(), WATCHERS);
    // The first state, the first change, and all others in one.
    let told = world.engine().map(|e| e.stats().counter(Counter::Notified));
    assert_eq!(told, Some(3 * WATCHERS as u64));
    world.finish();
}
