//! A routing rule tried out in simulation, with phones, loss and time, before anybody is called by it.
//!
//! The rule: whoever calls the help desk reaches its two agents at once, and the one on call when neither answers. It is
//! tried with a hundred seeds over a bad network, which loses one datagram in ten; the ladder of the first is printed.
//!
//! ```text
//! cargo run -p strowger-sim --example routing_rule
//! ```

use std::time::Duration;

use strowger_core::door::{RouteAnswer, RouteQuery, RouteTarget};
use strowger_sim::network::Link;
use strowger_sim::phone::call::{Manners, State};
use strowger_sim::world::account;
use strowger_sim::{PhoneId, World};

fn main() {
    for seed in 1..=100 {
        let world = night(seed);
        if seed == 1 {
            println!("{}", world.ladder().only(&["CSeq"]));
        }
        // Invariants and the rules of the RFCs were checked at every step; now nothing may be left.
        world.finish();
    }
    println!("100 nights, and the one on call was reached in each");
}

/// The rule.
fn help_desk(query: &RouteQuery) -> RouteAnswer {
    if &*query.to != "help@example.com" {
        return RouteAnswer::Default;
    }
    // Those of one value ring together, and the next ones when nobody has answered.
    let target = |user: &str, q| RouteTarget {
        q,
        timeout: Some(Duration::from_secs(20)),
        ..RouteTarget::new(format!("sip:{user}@example.com"))
    };
    RouteAnswer::Targets(vec![target("bob", 1000), target("carol", 1000), target("dave", 500)])
}

/// A night on which nobody is at the desk.
pub(crate) fn night(seed: u64) -> World {
    let mut world = World::with(seed, |config| config.accounts.push(account("dave")));
    world.on_route(help_desk);
    let [alice, bob, carol, dave] =
        ["alice", "bob", "carol", "dave"].map(|name| registered(&mut world, name));
    for phone in [alice, bob, carol, dave] {
        world.link(phone, Link::BAD);
    }
    world[bob].manners = Manners::silent();
    world[carol].manners = Manners::silent();
    world[dave].manners = Manners::answers(Duration::from_secs(3));
    world.call(alice, "help");
    let answered = world.run_until(Duration::from_secs(120), |world| {
        world[dave].calls().iter().any(|call| call.state == State::Talking)
    });
    assert!(answered, "nobody helped alice:\n{}", world.ladder());
    world.hang_up(alice);
    world.run_for(Duration::from_secs(3_700));
    world
}

fn registered(world: &mut World, name: &str) -> PhoneId {
    let phone = world.phone_of(name, name);
    world.act(phone, |phone, now| phone.register(now, 3_600));
    world.run_for(Duration::from_millis(200));
    phone
}
