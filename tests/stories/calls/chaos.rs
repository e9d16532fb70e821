//! Hundreds of seeds over lines that lose, double and overtake: every call ends for everybody, and nothing is left.

use strowger_sim::network::Link;
use strowger_sim::phone::call::{Direction, Reliable};
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
    manners.reliable = if rng.chance(0.3) { Reliable::Supported } else { Reliable::Unknown };
    manners
}

fn run(seed: u64, link: Link) {
    let mut rng = Rng::fork(seed, 91);
    let (mut world, alice, bob, carol) = world(seed);
    let desk = registered(&mut world, "desk", "bob");
    let all = [alice, bob, carol, desk];
    for phone in all {
        world.link(phone, link);
        world[phone].manners = somebody(&mut rng);
        world[phone].manners.patience = Some(s(20));
        // It would be registered anew in the middle of it otherwise.
        world[phone].habits.refresh_percent = 0;
    }
    for _ in 0..12 {
        let who = all[rng.below(4) as usize];
        let whom = ["alice", "bob", "carol"][rng.below(3) as usize];
        let last = world[who].calls().len();
        match rng.below(6) {
            0 | 1 => _ = world.call(who, whom),
            2 if last > 0 => world.hang_up(who),
            3 if last > 0 => world.act(who, |p, now| p.hold(now, last - 1)),
            4 if last > 0 => world.act(who, |p, now| p.change(now, last - 1, Direction::SendRecv)),
            5 if last > 0 && world.talk(who).state == State::Talking => {
                world.act(who, |p, now| p.info(now, last - 1, "7"))
            }
            _ => {}
        }
        let pause = rng.below(3_000);
        world.run_for(ms(pause));
    }
    // Everybody hangs up what is left, and nobody takes more calls.
    world.run_for(s(25));
    for phone in all {
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
    let sizes = world.engine().map(|e| e.sizes()).expect("the server is up");
    assert_eq!([sizes.calls, sizes.call_dialogs], [0; 2], "seed {seed}\n{}", ladder(&world));
    world.finish();
}

#[test]
fn every_call_ends_for_everybody_when_one_packet_in_twenty_is_lost() {
    (0..300).for_each(|seed| run(seed, Link::lossy(0.05)));
}

#[test]
fn every_call_ends_for_everybody_when_packets_are_lost_doubled_and_overtaken() {
    (1_000..1_200).for_each(|seed| run(seed, Link::BAD));
}

#[test]
fn every_call_ends_for_everybody_on_good_lines() {
    (2_000..2_100).for_each(|seed| run(seed, Link::GOOD));
}
