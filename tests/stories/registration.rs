//! Registration, refresh, expiry, several devices, several contacts (RFC 3261 s10).

use strowger_core::door::{BindingCause, Event};
use strowger_sim::phone::State;
use strowger_sim::{PhoneId, World};

use crate::s;

/// A world with one registered phone, and what it took is told.
fn bob() -> (World, PhoneId) {
    let mut world = World::new(1);
    let bob = world.phone("bob");
    world.act(bob, |p, now| p.register(now, 3600));
    world.run_for(s(1));
    assert!(world[bob].is_registered(world.now));
    (world, bob)
}

fn causes(world: &World) -> Vec<BindingCause> {
    let of = |e: &Event| match e {
        Event::Binding(b) => Some(b.cause),
        _ => None,
    };
    world.events.iter().filter_map(of).collect()
}

#[test]
fn a_phone_registers_with_digest_and_leaves() {
    let (mut world, bob) = bob();
    world.act(bob, |p, now| p.register(now, 0));
    world.run_for(s(1));
    assert_eq!(world[bob].registration().state, State::Gone);
    insta::assert_snapshot!(world.ladder().and(&["Authorization", "WWW-Authenticate", "Date"]));
    assert_eq!(world[bob].statuses(), [401, 200, 200]);
    world.finish();
}

#[test]
fn every_response_of_a_registration_in_full() {
    let (world, _) = bob();
    insta::assert_snapshot!(world.ladder().whole());
    world.finish();
}

#[test]
fn a_phone_refreshes_before_the_end_and_stays_registered() {
    let (mut world, bob) = bob();
    world.run_for(s(4 * 3600));
    assert!(world[bob].is_registered(world.now));
    assert_eq!(world.contacts("bob@example.com"), ["sip:bob@10.0.0.2:5060"]);
    assert_eq!(causes(&world).iter().filter(|c| **c == BindingCause::Refreshed).count(), 4);
    insta::assert_snapshot!(world.ladder());
    world.finish();
}

#[test]
fn a_binding_ends_to_the_second_when_its_phone_is_silent() {
    let (mut world, bob) = bob();
    let until = match world[bob].registration().state {
        State::Registered { until } => until,
        other => panic!("{other:?}"),
    };
    world.act(bob, |p, _| p.power_off());
    world.run_for(until.since(world.now) - s(1));
    assert_eq!(world.contacts("bob@example.com").len(), 1);
    world.run_for(s(1));
    assert!(world.contacts("bob@example.com").is_empty());
    assert_eq!(causes(&world).last(), Some(&BindingCause::Expired));
    insta::assert_snapshot!(world.ladder());
    world.finish();
}

#[test]
fn two_devices_are_both_listed_and_leave_one_by_one() {
    let (mut world, _) = bob();
    let desk = world.phone_of("desk", "bob");
    world.act(desk, |p, now| p.register(now, 600));
    world.run_for(s(1));
    assert_eq!(world[desk].registration().contacts.len(), 2);
    assert_eq!(world.contacts("bob@example.com").len(), 2);
    world.act(desk, |p, now| p.register(now, 0));
    world.run_for(s(1));
    assert_eq!(world.contacts("bob@example.com"), ["sip:bob@10.0.0.2:5060"]);
    insta::assert_snapshot!(world.ladder());
    world.finish();
}

#[test]
fn a_phone_that_starts_again_elsewhere_leaves_one_contact() {
    let mut world = World::new(2);
    let bob = world.phone("bob");
    world[bob].habits.instance = Some("urn:uuid:00000000-0000-1000-8000-000a95a0e128".into());
    world.act(bob, |p, now| p.register(now, 3600));
    world.run_for(s(60));
    world.note("bob loses power and comes back at another address");
    world.act(bob, |p, now| {
        p.reboot("10.0.9.9:5060".parse().expect("an address"));
        p.register(now, 3600);
    });
    world.run_for(s(1));
    assert_eq!(world.contacts("bob@example.com"), ["sip:bob@10.0.9.9:5060"]);
    insta::assert_snapshot!(world.ladder());
    world.finish();
}

#[test]
fn a_phone_that_starts_again_at_the_same_address_leaves_one_contact() {
    let (mut world, bob) = bob();
    world.act(bob, |p, now| {
        p.reboot(p.addr);
        p.register(now, 3600);
    });
    world.run_for(s(1));
    assert_eq!(world.contacts("bob@example.com").len(), 1);
    assert_eq!(world[bob].statuses(), [401, 200, 401, 200]);
    world.finish();
}

#[test]
fn a_query_lists_all_and_a_star_removes_all() {
    let (mut world, bob) = bob();
    let desk = world.phone_of("desk", "bob");
    world.act(desk, |p, now| p.register(now, 600));
    world.run_for(s(1));
    world.act(bob, |p, now| p.register_contacts(now, &[], 0));
    world.run_for(s(1));
    assert_eq!(world[bob].registration().contacts.len(), 2);
    world.act(bob, |p, now| p.register_contacts(now, &["*"], 0));
    world.run_for(s(1));
    assert!(world.contacts("bob@example.com").is_empty());
    insta::assert_snapshot!(world.ladder());
    world.finish();
}

#[test]
fn a_star_with_an_expiry_or_beside_a_contact_is_400_and_changes_nothing() {
    let (mut world, bob) = bob();
    world.act(bob, |p, now| p.register_contacts(now, &["*"], 60));
    world.run_for(s(1));
    world.act(bob, |p, now| p.register_contacts(now, &["*", "<sip:bob@10.0.0.2:5060>"], 0));
    world.run_for(s(1));
    assert_eq!(world[bob].statuses(), [401, 200, 400, 400]);
    assert_eq!(world.contacts("bob@example.com").len(), 1);
    world.finish();
}

#[test]
fn too_brief_an_expiry_is_423_and_the_phone_asks_again() {
    let mut world = World::new(3);
    let bob = world.phone("bob");
    world.act(bob, |p, now| p.register(now, 10));
    world.run_for(s(1));
    assert_eq!(world[bob].statuses(), [401, 423, 200]);
    assert_eq!(world[bob].registration().granted, 60);
    insta::assert_snapshot!(world.ladder());
    world.finish();
}

#[test]
fn several_contacts_are_bound_together_or_not_at_all() {
    let (mut world, bob) = bob();
    let both = ["<sip:bob@10.0.0.2:5060>;expires=600;q=0.5", "<sip:bob@10.0.0.2:5062>;expires=1200;q=0.9"];
    world.act(bob, |p, now| p.register_contacts(now, &both, 3600));
    world.run_for(s(1));
    assert_eq!(world.contacts("bob@example.com"), ["sip:bob@10.0.0.2:5062", "sip:bob@10.0.0.2:5060"]);
    // The second contact is too brief: the first must not be taken either.
    let bad = ["<sip:bob@10.0.0.2:5064>;expires=600", "<sip:bob@10.0.0.2:5066>;expires=5"];
    world.act(bob, |p, now| {
        p.habits.retry = s(0);
        p.register_contacts(now, &bad, 3600);
    });
    world.run_for(ms_after());
    assert_eq!(world.contacts("bob@example.com").len(), 2);
    insta::assert_snapshot!(world.ladder());
    world.finish();
}

// Shorter than the phone needs to ask again after 423.
fn ms_after() -> std::time::Duration {
    crate::ms(25)
}

#[test]
fn the_oldest_contact_gives_way_when_there_are_too_many() {
    let mut world = World::with(4, |c| {
        if let Some(r) = &mut c.registrar {
            r.max_contacts = 2;
        }
    });
    for name in ["first", "second", "third"] {
        let phone = world.phone_of(name, "bob");
        world[phone].habits.refresh_percent = 0;
        world.act(phone, |p, now| p.register(now, 3600));
        world.run_for(s(10));
    }
    let mut contacts = world.contacts("bob@example.com");
    contacts.sort();
    assert_eq!(contacts, ["sip:bob@10.0.0.3:5060", "sip:bob@10.0.0.4:5060"]);
    insta::assert_snapshot!(world.ladder());
    world.finish();
}

#[test]
fn nobody_binds_a_contact_to_the_account_of_another() {
    let mut world = World::new(5);
    let alice = world.phone("alice");
    world[alice].habits.headers = vec![];
    world.act(alice, |p, now| {
        p.request(
            now,
            "REGISTER",
            "sip:example.com",
            &[("To", "<sip:bob@example.com>"), ("Contact", "<sip:alice@10.0.0.2>")],
        )
    });
    world.run_for(s(1));
    // Alice proves to be alice, and that does not help her.
    let challenge = world[alice].last().and_then(|f| f.message.clone()).expect("an answer");
    assert_eq!(challenge.status(), Some(401));
    let value =
        strowger_sim::digest::Challenge::read(challenge.header("WWW-Authenticate").expect("a challenge"))
            .expect("Digest");
    let answer = strowger_sim::digest::Answer {
        username: "alice",
        password: "alice-secret",
        method: "REGISTER",
        uri: "sip:example.com",
        body: b"",
        nc: 1,
        cnonce: "c",
        integrity: false,
        hide_name: false,
    };
    let authorization = strowger_sim::digest::authorization(&value, &answer);
    world.act(alice, |p, now| {
        p.request(
            now,
            "REGISTER",
            "sip:example.com",
            &[
                ("To", "<sip:bob@example.com>"),
                ("Contact", "<sip:alice@10.0.0.2>"),
                ("Authorization", &authorization),
            ],
        )
    });
    world.run_for(s(1));
    assert_eq!(world[alice].statuses(), [401, 403]);
    assert!(world.contacts("bob@example.com").is_empty());
    world.finish();
}

#[test]
fn a_foreign_domain_is_not_found_and_a_contact_at_our_own_door_is_refused() {
    let (mut world, bob) = bob();
    world.act(bob, |p, now| p.register_contacts(now, &["<sip:bob@example.com>"], 600));
    world.run_for(s(1));
    assert_eq!(world[bob].last().map(|f| f.status), Some(403));
    // RFC 3261 s10.3 step 1: nothing is kept there, and nobody is asked who he is.
    for (uri, to) in [
        ("sip:elsewhere.example", "<sip:bob@elsewhere.example>"),
        ("sip:elsewhere.example", "<sip:bob@example.com>"),
        ("sip:sub.example.com", "<sip:bob@sub.example.com>"),
    ] {
        let headers = [("To", to), ("Contact", "<sip:bob@10.0.0.2>")];
        world.act(bob, |p, now| p.request(now, "REGISTER", uri, &headers));
        world.run_for(s(1));
        assert_eq!(world[bob].last().map(|f| f.status), Some(404), "{uri} {to}");
        assert!(world.contacts("bob@elsewhere.example").is_empty());
    }
    world.finish();
}
