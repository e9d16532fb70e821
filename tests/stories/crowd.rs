//! Many phones at once.

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
