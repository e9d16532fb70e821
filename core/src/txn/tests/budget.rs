//! The memory budget: DECISIONS 16.

use super::*;

const LIMIT: usize = 64 << 10;

fn small(over: Over) -> World {
    let mut config = Config::new("example.com");
    config.limits.transaction_bytes = LIMIT;
    World::with(over, config)
}

#[test]
fn finished_registers_give_way_oldest_first() {
    let mut world = small(Over::Udp);
    for n in 0..1000 {
        let key = world.open(&request("REGISTER", &n.to_string()));
        world.respond(key, 200);
        assert!(world.txn.bytes() <= LIMIT);
    }
    let kept = world.txn.len();
    assert!(kept > 50);
    assert_eq!(world.fx.stats.counter(Counter::TransactionsForgotten), 1000 - kept as u64);
    assert_eq!(world.receive(&request("REGISTER", "999")), RequestMatch::Absorbed);
    assert_eq!(world.receive(&request("REGISTER", &(1000 - kept).to_string())), RequestMatch::Absorbed);
    assert!(matches!(world.receive(&request("REGISTER", &(999 - kept).to_string())), RequestMatch::New(_)));
    world.audit();
    world.run_out();
    world.assert_nothing_left();
}

#[test]
fn other_transactions_stay_and_new_ones_are_refused() {
    let mut world = small(Over::Udp);
    let mut opened = 0;
    let full = loop {
        match world.try_open(&request("MESSAGE", &opened.to_string()).replace("c1", &opened.to_string())) {
            Ok(key) => world.respond(key, 200),
            Err(full) => break full,
        }
        opened += 1;
    };
    assert_eq!(full, Full);
    assert_eq!(world.txn.len(), opened);
    assert_eq!(world.fx.stats.counter(Counter::TransactionsForgotten), 0);
    assert!(world.txn.bytes() <= LIMIT + response(200).len());
    assert_eq!(world.receive(&request("MESSAGE", "0").replace("c1", "0")), RequestMatch::Absorbed);
    world.run_out();
    world.assert_nothing_left();
}

#[test]
fn registers_give_way_to_calls() {
    let mut world = small(Over::Udp);
    let mut n = 0;
    while world.fx.stats.counter(Counter::TransactionsForgotten) == 0 {
        let key = world.open(&request("REGISTER", &n.to_string()));
        world.respond(key, 200);
        n += 1;
    }
    for n in 0..100 {
        let key = world.open(&request("INVITE", &n.to_string()).replace("c1", &n.to_string()));
        world.respond(key, 180);
    }
    world.send(Method::Options, "z9hG4bKours");
    assert_eq!(world.txn.len(), world.txn.servers.len() + 1);
    assert!(world.txn.bytes() <= LIMIT);
}

#[test]
fn a_pending_register_is_not_forgotten() {
    let mut world = small(Over::Udp);
    let first = world.open(&request("REGISTER", "first"));
    for n in 0..1000 {
        let key = world.open(&request("REGISTER", &n.to_string()));
        world.respond(key, 200);
    }
    world.sent();
    world.respond(first, 200);
    assert_eq!(world.sent(), ["send 200"]);
}

#[test]
fn over_a_stream_nothing_stays_after_the_answer() {
    let mut world = small(Over::Tcp);
    for n in 0..1000 {
        let key = world.open(&request("REGISTER", &n.to_string()));
        world.respond(key, 200);
    }
    world.assert_nothing_left();
    assert_eq!(world.fx.stats.counter(Counter::TransactionsForgotten), 0);
}
