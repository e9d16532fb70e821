//! What only a pure engine allows (DESIGN s9): fed in another manner, at another time, with another key, it commands
//! the same.

use strowger_sim::message::Sip;
use strowger_sim::network::Link;
use strowger_sim::phone::Via;
use strowger_sim::replay::Manner;
use strowger_sim::tape::Line;
use strowger_sim::world::START;
use strowger_sim::{PhoneId, World};

use crate::{ms, s};

/// Two hours of three phones on bad links: a nonce dies, a NAT rebinds, a connection breaks, one phone leaves.
fn eventful(world: &mut World) {
    let phones: Vec<PhoneId> = ["alice", "bob", "carol"].iter().map(|n| world.phone(n)).collect();
    let [alice, bob, carol] = phones[..] else { unreachable!("three names") };
    world.link(alice, Link::BAD);
    world.link(bob, Link::BAD);
    world.nat(bob, "198.51.100.7");
    world[carol].habits.via = Via::Tcp;
    world[carol].habits.instance = Some("urn:uuid:00000000-0000-1000-8000-000a95a0e128".into());
    world[carol].habits.reg_id = Some(1);
    world[carol].habits.keepalive = s(50);
    for phone in phones {
        world.act(phone, |p, now| p.register(now, 600));
    }
    world.run_for(s(1200));
    world.rebind(bob);
    world.act(alice, |p, now| p.options(now));
    world.run_for(ms(5));
    world.break_flow(carol, true);
    world.run_for(s(2400));
    world.act(alice, |p, now| p.register(now, 0));
    world.run_for(s(3600));
}

#[test]
fn a_recording_played_again_in_any_manner_commands_the_same() {
    play_again(World::new(1).recorded(), eventful);
}

/// Feeds what happened in a story to other engines, in every manner.
pub(crate) fn play_again(mut world: World, story: impl FnOnce(&mut World)) {
    story(&mut world);
    let recording = world.recording.take().expect("it was recorded");
    assert!(recording.inputs.len() > 200 && recording.commands.len() > 200);
    let manners = [Manner::Same, Manner::DrainLate, Manner::CloneAlways];
    let keys = (1..4).map(Manner::HashKey);
    for manner in manners.into_iter().chain(keys).chain((0..10).map(Manner::EarlyTimeouts)) {
        let again = recording.replay(manner);
        let differs = again.iter().zip(&recording.commands).position(|(a, b)| a != b);
        if let Some(at) = differs {
            panic!("{manner:?}: command {at} was {:?} and is {:?}", recording.commands[at], again[at]);
        }
        assert_eq!(again.len(), recording.commands.len(), "{manner:?}");
    }
    world.finish();
}

/// What a run looks like without what is drawn or dated: times since the start, names, first lines, contacts.
pub(crate) fn outline(mut world: World, story: impl FnOnce(&mut World)) -> Vec<String> {
    let start = world.now;
    story(&mut world);
    let lines = world.finish().lines;
    lines
        .into_iter()
        .map(|line| match line {
            Line::Sent { at, from, to, bytes, fate } => {
                let m = Sip::head(&bytes).unwrap_or_default();
                let shown: Vec<String> = m
                    .headers
                    .iter()
                    .filter(|(n, _)| {
                        ["Contact", "Expires", "Flow-Timer", "Require", "Event", "Subscription-State"]
                            .contains(&n.as_str())
                            || (n == "CSeq" && m.method() != "NOTIFY")
                    })
                    .map(|(n, v)| format!("{n}: {v}"))
                    .collect();
                format!("{:?} {from} {to} {fate:?} {} {shown:?}", at.since(start), m.start)
            }
            Line::Note { at, text } => format!("{:?} {text}", at.since(start)),
        })
        .collect()
}

pub(crate) fn assert_same(a: &[String], b: &[String]) {
    for (a, b) in a.iter().zip(b) {
        assert_eq!(a, b);
    }
    assert_eq!(a.len(), b.len());
}

#[test]
fn another_seed_changes_nothing_but_identifiers() {
    assert_same(&outline(World::new(2), eventful), &outline(World::new(2).reseeded(0xfeed), eventful));
}

#[test]
fn a_year_later_everything_happens_in_the_same_way() {
    let later = World::at(3, START + s(365 * 86_400 + 12_345), |_| {});
    assert_same(&outline(World::new(3), eventful), &outline(later, eventful));
}
