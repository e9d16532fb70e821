//! What happens to the server: restart, a store that fails, drain, overload, reload.

use std::time::Duration;

use strowger_core::door::{Event, ReplyBody, Request};
use strowger_core::stats::Counter;
use strowger_sim::phone::{State, Via};
use strowger_sim::store::Durability;
use strowger_sim::world::account;
use strowger_sim::{PhoneId, World};

use crate::{ms, s};

#[test]
fn bindings_survive_a_restart_and_nonces_of_the_old_life_are_stale() {
    let mut world = World::with(1, |c| c.digest.secret.0 = [9; 32]);
    let bob = world.phone("bob");
    world.act(bob, |p, now| p.register(now, 200));
    world.run_for(s(10));
    world.restart();
    assert_eq!(world.contacts("bob@example.com"), ["sip:bob@10.0.0.2:5060"]);
    world.run_for(s(300));
    assert!(world[bob].is_registered(world.now));
    insta::assert_snapshot!(world.ladder().and(&["WWW-Authenticate"]));
    world.finish();
}

#[test]
fn a_binding_on_a_connection_is_unreachable_after_a_restart_until_its_phone_returns() {
    let mut world = World::new(2);
    let bob = world.phone("bob");
    world.nat(bob, "198.51.100.7");
    world[bob].habits.via = Via::Tcp;
    world[bob].habits.retry = s(20);
    world.act(bob, |p, now| p.register(now, 600));
    world.run_for(s(10));
    world.restart();
    let reachable = |world: &mut World| match world.host(Request::Lookup { aor: "bob@example.com".into() }) {
        Some(ReplyBody::Bindings(b)) => b.iter().map(|b| b.reachable).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(reachable(&mut world), [false]);
    world.run_for(s(30));
    assert_eq!(reachable(&mut world), [true]);
    insta::assert_snapshot!(world.ladder());
    world.finish();
}

#[test]
fn what_has_expired_while_the_server_was_down_does_not_come_back() {
    let mut world = World::new(3);
    let bob = world.phone("bob");
    world.act(bob, |p, now| p.register(now, 100));
    world.run_for(s(5));
    world.act(bob, |p, _| p.power_off());
    world.stop_server();
    world.run_for(s(600));
    world.start_server();
    world.run_for(s(1));
    assert!(world.contacts("bob@example.com").is_empty());
    world.finish();
}

#[test]
fn a_failed_commit_is_500_and_the_binding_is_as_it_was() {
    let mut world = World::new(4);
    world.store.durability = Durability::Strict;
    world.store.delay = ms(5);
    let bob = world.phone("bob");
    world.act(bob, |p, now| {
        p.habits.retry = Duration::ZERO;
        p.register(now, 600);
    });
    world.run_for(s(1));
    assert!(world[bob].is_registered(world.now));
    world.store.failures = 1;
    world.act(bob, |p, now| p.register_contacts(now, &["<sip:bob@10.0.0.2:5062>"], 600));
    world.run_for(s(1));
    assert_eq!(world[bob].registration().state, State::Failed { status: 500 });
    assert_eq!(world.contacts("bob@example.com"), ["sip:bob@10.0.0.2:5060"]);
    insta::assert_snapshot!(world.ladder());
    world.finish();
}

#[test]
fn a_slow_store_delays_the_answer_and_nothing_else() {
    let mut world = World::new(5);
    world.store.durability = Durability::Strict;
    world.store.delay = ms(1300);
    let (bob, alice) = (world.phone("bob"), world.phone("alice"));
    world.act(bob, |p, now| p.register(now, 600));
    world.run_for(ms(100));
    world.act(alice, |p, now| p.options(now));
    world.run_for(ms(100));
    assert_eq!(world[alice].statuses(), [200]);
    world.run_for(s(5));
    assert_eq!(world[bob].statuses(), [401, 200]);
    insta::assert_snapshot!(world.ladder().only(&["CSeq"]));
    world.finish();
}

#[test]
fn a_draining_server_refuses_new_work_and_keeps_registrations() {
    let mut world = World::new(6);
    let bob = world.phone("bob");
    world.act(bob, |p, now| p.register(now, 600));
    world.run_for(s(1));
    world.note("the server drains");
    world.host(Request::Drain { timeout: s(600) });
    let alice = world.phone("alice");
    world.act(alice, |p, now| p.options(now));
    world.act(bob, |p, now| p.register(now, 600));
    world.run_for(s(2));
    assert_eq!(world[alice].statuses(), [503]);
    assert_eq!(world[bob].statuses(), [401, 200, 200]);
    world.run_for(s(700));
    assert!(world.events.iter().any(|e| matches!(e, Event::Drained)));
    insta::assert_snapshot!(world.ladder());
    world.finish();
}

#[test]
fn a_full_transaction_budget_forgets_finished_work_first() {
    let users: Vec<String> = (0..200).map(|i| format!("u{i}")).collect();
    let mut world = World::with(7, |c| {
        c.accounts = users.iter().map(|u| account(u)).collect();
        c.limits.transaction_bytes = 64 << 10;
    });
    let phones: Vec<PhoneId> = users.iter().map(|u| world.phone(u)).collect();
    for phone in &phones {
        world.act(*phone, |p, now| p.register(now, 600));
    }
    world.run_for(s(2));
    assert!(phones.iter().all(|p| world[*p].is_registered(world.now)));
    assert!(world.engine().is_some_and(|e| e.stats().counter(Counter::TransactionsForgotten) > 0));
    world.finish();
}

#[test]
fn more_parked_requests_than_allowed_are_503() {
    let mut world = World::with(8, |c| {
        c.digest.foreign_store = true;
        c.limits.parked = 2;
    });
    world.directory.delay = s(1);
    let phones: Vec<PhoneId> = (0..4)
        .map(|i| {
            let user = format!("dave{i}");
            world
                .directory
                .users
                .insert(user.clone(), (format!("{user}-secret"), vec![format!("{user}@example.com")]));
            let phone = world.phone(&user);
            world[phone].habits.retry = s(0);
            world.act(phone, |p, now| p.register(now, 600));
            phone
        })
        .collect();
    world.run_for(s(10));
    let last: Vec<u16> = phones.iter().filter_map(|p| world[*p].last()).map(|f| f.status).collect();
    assert_eq!(last, [200, 200, 503, 503]);
    insta::assert_snapshot!(world.ladder().only(&["CSeq", "Retry-After"]));
    world.finish();
}

#[test]
fn a_reload_changes_accounts_and_keeps_bindings() {
    let mut world = World::new(9);
    let bob = world.phone("bob");
    let dave = world.phone("dave");
    world.act(bob, |p, now| p.register(now, 600));
    world.act(dave, |p, now| p.register(now, 600));
    world.run_for(s(1));
    assert_eq!(world[dave].statuses(), [401, 401]);
    world.reload(|c| c.accounts.push(account("dave")));
    world.act(dave, |p, now| p.register(now, 600));
    world.run_for(s(1));
    assert!(world[dave].is_registered(world.now) && world[bob].is_registered(world.now));
    world.reload(|c| c.accounts.retain(|a| a.username != "bob"));
    world[bob].habits.retry = s(0);
    world.act(bob, |p, now| p.register(now, 600));
    world.run_for(s(1));
    assert_eq!(world[bob].last().map(|f| f.status), Some(401));
    world.finish();
}

#[test]
fn the_host_can_look_up_list_and_remove() {
    let mut world = World::new(10);
    for name in ["alice", "bob", "carol"] {
        let phone = world.phone(name);
        world[phone].habits.refresh_percent = 0;
        world.act(phone, |p, now| p.register(now, 600));
    }
    world.run_for(s(1));
    let page = |world: &mut World, after: Option<&str>| match world
        .host(Request::List { after: after.map(Into::into), limit: 2 })
    {
        Some(ReplyBody::Bindings(b)) => b.into_iter().map(|b| b.aor.to_string()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(page(&mut world, None), ["alice@example.com", "bob@example.com"]);
    assert_eq!(page(&mut world, Some("bob@example.com")), ["carol@example.com"]);
    let found = world.host(Request::LookupContact { contact: "sip:bob@10.0.0.3:5060".into() });
    assert!(matches!(found, Some(ReplyBody::Bindings(b)) if b.len() == 1 && &*b[0].aor == "bob@example.com"));
    let removed = world.host(Request::RemoveBinding { aor: "bob@example.com".into(), contact: None });
    assert!(matches!(removed, Some(ReplyBody::Removed(1))));
    assert!(world.contacts("bob@example.com").is_empty());
    world.finish();
}
