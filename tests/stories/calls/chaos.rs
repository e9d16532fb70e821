//! Thousands of seeds over lines that lose, double and overtake: every call ends for everybody, and nothing is left.
//! Calls, holds, transfers, messages, session timers, phones that are switched off and on again.
//!
//! `STROWGER_CHAOS=5000 cargo test -p strowger-tests --test stories chaos` tries so many of each kind, `STROWGER_CHAOS=700..900`
//! those of them.

use strowger_core::config::{MediaMode, MessagesConfig};
use strowger_core::door::MediaStep;
use strowger_sim::Relay;
use strowger_sim::network::Link;
use strowger_sim::rng::Rng;

use super::*;

/// A callee of some kind.
fn somebody(rng: &mut Rng) -> Manners {
    let after = ms(rng.below(4_000));
    let early = |fork, media| Step::Early { status: if media { 183 } else { 180 }, fork, media };
    let mut manners = match rng.below(12) {
        0 => Manners::refuses(after, 486),
        1 => Manners::refuses(after, 603),
        2 => Manners::default(),
        3 => Manners::says(480),
        4 => Manners { minds_cancel: false, ..Manners::answers(after) },
        5 => Manners::answers(after).then(after + ms(rng.below(2_000)), Step::HangUp),
        6 => Manners {
            script: vec![
                (ms(0), early(0, true)),
                (ms(50), early(1, true)),
                (after, Step::Answer { fork: 1 }),
            ],
            ..Manners::default()
        },
        7 => Manners { script: vec![(after, Step::Answer { fork: 0 })], ..Manners::default() },
        _ => Manners::answers(after),
    };
    manners.one_call = rng.chance(0.2);
    manners.update = rng.chance(0.8);
    manners.reliable = match rng.below(10) {
        0..=2 => Reliable::Supported,
        3 => Reliable::Required,
        _ => Reliable::Unknown,
    };
    manners.delayed_offer = rng.chance(0.2);
    manners.session_expires = if rng.chance(0.4) { 90 + 30 * rng.below(3) as u32 } else { 0 };
    manners
}

const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];

/// The numbers of the calls in which a phone talks.
fn talks(world: &World, who: PhoneId) -> Vec<usize> {
    let calls = world[who].calls().iter().enumerate();
    calls.filter(|(_, call)| call.state == State::Talking).map(|(at, _)| at).collect()
}

/// One of them does something. True if it forgets its calls.
fn something(world: &mut World, rng: &mut Rng, who: PhoneId) -> bool {
    let whom = PEOPLE[rng.below(3) as usize];
    let uri = format!("sip:{whom}@example.com");
    let talks = talks(world, who);
    let talk = talks.last().copied();
    match (rng.below(16), talk) {
        (0..=3, _) => _ = world.call(who, whom),
        (4, _) if !world[who].calls().is_empty() => world.hang_up(who),
        (5, Some(call)) => world.act(who, |p, now| p.hold(now, call)),
        (6, Some(call)) => world.act(who, |p, now| p.resume(now, call)),
        (7, Some(call)) => world.act(who, |p, now| p.info(now, call, "7")),
        (8, Some(call)) if world[who].manners.update => {
            world.act(who, |p, now| p.update(now, call, Direction::SendRecv));
        }
        (9 | 10, Some(call)) => world.act(who, |p, now| p.refer(now, call, &uri)),
        (11 | 12, Some(last)) if talks.len() > 1 => {
            world.act(who, |p, now| p.refer_to_call(now, talks[0], last));
        }
        (13, _) => _ = world.act(who, |p, now| p.text(now, &uri, "hello")),
        // Its calls and its binding are as they were; it knows nothing of them any more.
        (14, _) if rng.chance(0.3) => {
            world.act(who, |p, _| p.power_off());
            if rng.chance(0.7) {
                world.run_for(ms(200));
                let addr = world[who].addr;
                world.act(who, |p, now| {
                    p.reboot(addr);
                    p.register(now, 3600);
                });
            }
            return true;
        }
        (15, _) if rng.chance(0.3) => world.run_for(s(70)),
        _ => {}
    }
    false
}

/// A relay that takes its time, longer than anybody waits perhaps, and may have no room for a while.
fn some_relay(rng: &mut Rng) -> Relay {
    let refuses = match rng.below(20) {
        0 | 1 => Some(MediaStep::Offer),
        2 => Some(MediaStep::Answer),
        _ => None,
    };
    let takes = match rng.below(10) {
        0..=2 => Duration::ZERO,
        3 => ms(1_000 + rng.below(2_000)),
        _ => ms(rng.below(500)),
    };
    Relay { addr: "203.0.113.9".parse().expect("an address"), takes, refuses }
}

fn run(seed: u64, link: Link) {
    run_with(seed, link, false);
}

fn run_with(seed: u64, link: Link, relayed: bool) {
    let mut relays = Rng::fork(seed, 92);
    let mut rng = Rng::fork(seed, 91);
    let (mut world, alice, bob, carol) = world_with(seed, |config| {
        config.messages = Some(MessagesConfig { default_expires: 3_600, ..MessagesConfig::default() });
        if relayed {
            config.calls.get_or_insert_default().media.mode = MediaMode::Always;
        }
    });
    let desk = registered(&mut world, "desk", "bob");
    let all = [alice, bob, carol, desk];
    for phone in all {
        world.link(phone, link);
        world[phone].manners = somebody(&mut rng);
        world[phone].manners.patience = Some(s(20));
        // It would be registered anew in the middle of it otherwise.
        world[phone].habits.refresh_percent = 0;
    }
    let mut forgot = false;
    for step in 0..14 {
        if relayed && (step == 0 || relays.chance(0.2)) {
            world.relay = Some(some_relay(&mut relays));
        }
        let who = all[rng.below(4) as usize];
        if !world[who].is_off() {
            forgot |= something(&mut world, &mut rng, who);
        }
        let pause = rng.below(3_000);
        world.run_for(ms(pause));
    }
    // Everybody hangs up what is left, and nobody takes more calls.
    world.run_for(s(25));
    for phone in all.into_iter().filter(|phone| !world[*phone].is_off()).collect::<Vec<_>>() {
        for call in 0..world[phone].calls().len() {
            world.act(phone, |p, now| p.hang_up(now, call));
        }
    }
    if !world.run_until_silent(s(240)) {
        let open =
            |phone: PhoneId| world[phone].calls().iter().find(|c| c.state != State::Over || c.is_busy());
        let first = all.into_iter().find_map(|phone| open(phone).map(|c| (&world[phone].name, c)));
        panic!("seed {seed}\n{}\n{first:#?}", ladder(&world));
    }
    for phone in all {
        world.link(phone, Link::GOOD);
    }
    world.run_for(s(45));
    if forgot {
        // Where nobody knows of a call any more, its refreshes find that out.
        world.run_for(s(2_000));
    }
    let sizes = world.engine().map(|e| e.sizes()).expect("the server is up");
    let left = [sizes.calls, sizes.call_dialogs, sizes.media_sessions];
    assert_eq!(left, [0; 3], "seed {seed}\n{}", ladder(&world));
    world.finish();
}

/// So many seeds from this one on, or as many as the environment says (`400`, or `200..400` of them); and those beyond
/// that found something once.
fn seeds(first: u64, usual: u64, found: &[u64]) -> impl Iterator<Item = u64> {
    #[allow(clippy::disallowed_methods)] // How many is for whoever runs it to say.
    let wanted = std::env::var("STROWGER_CHAOS").ok();
    let wanted = wanted.as_deref().map(|text| text.split_once("..").unwrap_or(("0", text)));
    let number = |text: &str| text.parse::<u64>().ok();
    let (from, to) = wanted.and_then(|(from, to)| number(from).zip(number(to))).unwrap_or((0, usual));
    let all = first + from..first + to;
    let found: Vec<u64> = found.iter().copied().filter(|seed| from == 0 && !all.contains(seed)).collect();
    all.chain(found)
}

#[test]
fn every_call_ends_for_everybody_when_one_packet_in_twenty_is_lost() {
    seeds(0, 1_500, &[13_337]).for_each(|seed| run(seed, Link::lossy(0.05)));
}

#[test]
fn every_call_ends_for_everybody_when_packets_are_lost_doubled_and_overtaken() {
    let found = [
        1_002_706, 1_004_383, 1_007_003, 1_008_069, 1_008_834, 1_009_284, 1_013_188, 1_016_037, 1_029_839,
        1_036_305,
    ];
    seeds(1_000_000, 1_500, &found).for_each(|seed| run(seed, Link::BAD));
}

#[test]
fn every_call_ends_for_everybody_on_good_lines() {
    seeds(2_000_000, 1_000, &[]).for_each(|seed| run(seed, Link::GOOD));
}

#[test]
fn every_relayed_call_ends_for_everybody_and_gives_back_what_it_was_lent() {
    let found = [3_000_944, 3_001_437, 3_003_051, 3_003_541, 3_005_624, 3_006_205, 3_009_730];
    seeds(3_000_000, 250, &found).for_each(|seed| run_with(seed, Link::lossy(0.05), true));
}

#[test]
fn every_relayed_call_ends_for_everybody_on_good_lines() {
    seeds(4_000_000, 250, &[4_000_352, 4_008_759]).for_each(|seed| run_with(seed, Link::GOOD, true));
}
