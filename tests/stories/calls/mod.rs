//! Calls: what two phones and the server between them say, in every order, and what is left when they are silent.

mod basic;
mod chaos;
mod explore;
mod forks;
mod hostile;
mod media;
mod orders;
mod privacy;
mod records;
mod reliable;
mod sessions;
mod timers;
mod transfer;

use std::time::Duration;

use strowger_core::config::{CallsConfig, Config};
use strowger_sim::phone::call::{Direction, Ending, Manners, Reliable, State, Step};
use strowger_sim::{PhoneId, World};

use crate::{ms, s};

/// Header fields that tell what a call is about.
const SHOWN: &[&str] = &[
    "Call-ID",
    "From",
    "To",
    "CSeq",
    "Contact",
    "Record-Route",
    "Route",
    "Require",
    "Supported",
    "Reason",
    "RSeq",
    "RAck",
    "Session-Expires",
    "Min-SE",
    "Retry-After",
    "Refer-To",
    "Subscription-State",
    "Content-Type",
];

/// A world with calls, and with alice, bob and carol registered in it.
fn world(seed: u64) -> (World, PhoneId, PhoneId, PhoneId) {
    world_with(seed, |_| {})
}

fn world_with(seed: u64, change: impl FnOnce(&mut Config)) -> (World, PhoneId, PhoneId, PhoneId) {
    let mut world = World::with(seed, |c| {
        c.calls = Some(CallsConfig::default());
        change(c);
    });
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| registered(&mut world, name, name));
    (world, alice, bob, carol)
}

/// One more phone, registered.
fn registered(world: &mut World, name: &str, user: &str) -> PhoneId {
    let phone = world.phone_of(name, user);
    world.act(phone, |p, now| p.register(now, 3600));
    world.run_for(ms(200));
    assert!(world[phone].is_registered(world.now), "{}", world.ladder());
    phone
}

/// Bob answers after that long, alice calls him, and they talk.
fn talking(seed: u64) -> (World, PhoneId, PhoneId, usize) {
    let (mut world, alice, bob, _) = world(seed);
    world[bob].manners = Manners::answers(ms(500));
    let call = world.call(alice, "bob");
    world.run_for(s(2));
    assert_eq!([world.talk(alice).state, world.talk(bob).state], [State::Talking; 2], "{}", world.ladder());
    (world, alice, bob, call)
}

/// How the last calls of two phones ended.
fn endings(world: &World, phones: [PhoneId; 2]) -> [Option<Ending>; 2] {
    phones.map(|phone| world.talk(phone).ending.clone())
}

/// The part of the ladder after the registrations.
fn ladder(world: &World) -> String {
    let text = world.ladder().only(SHOWN).to_string();
    let at = text.find("INVITE sip:").unwrap_or(0);
    let from = text.get(..at).and_then(|t| t.rfind('\n')).map_or(0, |n| n + 1);
    text.get(from..).unwrap_or_default().to_owned()
}

/// Everybody is silent soon, no call or leg is left, and the world can end.
fn over(mut world: World, patience: Duration) {
    assert!(world.run_until_silent(patience), "{}", ladder(&world));
    // What is remembered for repetitions takes 64*T1.
    world.run_for(s(40));
    let sizes = world.engine().map(|e| e.sizes()).expect("the server is up");
    assert_eq!([sizes.calls, sizes.call_dialogs, sizes.media_sessions], [0; 3], "{}", ladder(&world));
    world.finish();
}
