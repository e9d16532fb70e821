//! Media over a relay: what both sides are shown, and what becomes of calls that no relay takes (DECISIONS 27).

use std::net::IpAddr;

use strowger_core::config::{IpNet, MediaMode};
use strowger_core::door::{Event, MediaStep};
use strowger_core::stats::Counter;
use strowger_sim::Relay;

use super::*;

const RELAY: &str = "203.0.113.9";

fn relayed(seed: u64, mode: MediaMode) -> (World, [PhoneId; 3]) {
    relayed_with(seed, mode, None)
}

/// The same where phones of this network are near each other.
fn relayed_with(seed: u64, mode: MediaMode, local: Option<&str>) -> (World, [PhoneId; 3]) {
    let (mut world, alice, bob, carol) = world_with(seed, |c| {
        let media = &mut c.calls.get_or_insert_default().media;
        media.mode = mode;
        media.local = local.map(|net| IpNet::parse(net).expect("a net")).into_iter().collect();
    });
    let addr = RELAY.parse::<IpAddr>().expect("an address");
    world.relay = Some(Relay { addr, takes: Duration::ZERO, refuses: None });
    for phone in [bob, carol] {
        world[phone].manners = Manners::answers(ms(500));
    }
    (world, [alice, bob, carol])
}

/// Where each description that a phone was sent wants the media.
fn shown(world: &World, phone: PhoneId) -> Vec<String> {
    let line =
        |sdp: &String| sdp.lines().find_map(|line| line.strip_prefix("c=IN IP4 ")).unwrap_or("").to_owned();
    world.talk(phone).heard.iter().map(line).collect()
}

fn done(world: &World) -> usize {
    world.events.iter().filter(|event| matches!(event, Event::MediaDone { .. })).count()
}

#[test]
fn both_sides_are_shown_the_relay_from_the_first_offer_to_the_last() {
    let (mut world, [alice, bob, _]) = relayed(1, MediaMode::Always);
    let call = world.call(alice, "bob");
    world.run_for(s(2));
    world.act(alice, |p, now| p.hold(now, call));
    world.run_for(s(2));
    assert_eq!([world.talk(alice).state, world.talk(bob).state], [State::Talking; 2], "{}", ladder(&world));
    for phone in [alice, bob] {
        let heard = shown(&world, phone);
        assert!(heard.len() >= 2 && heard.iter().all(|addr| addr == RELAY), "{heard:?}");
    }
    world.act(alice, |p, now| p.hang_up(now, call));
    world.run_for(s(1));
    insta::assert_snapshot!(ladder(&world));
    assert_eq!(done(&world), 1);
    over(world, s(1));
}

#[test]
fn a_transfer_stays_with_the_relay() {
    let (mut world, [alice, bob, carol]) = relayed(2, MediaMode::Always);
    let call = world.call(alice, "bob");
    world.run_for(s(2));
    world.act(alice, |p, now| p.refer(now, call, "sip:carol@example.com"));
    world.run_for(s(5));
    assert_eq!([world.talk(bob).state, world.talk(carol).state], [State::Talking; 2], "{}", ladder(&world));
    for phone in [bob, carol] {
        let heard = shown(&world, phone);
        assert!(!heard.is_empty() && heard.iter().all(|addr| addr == RELAY), "{heard:?}");
    }
    world.hang_up(bob);
    world.run_for(s(2));
    assert_eq!(done(&world), 1, "those who go on as one are one session");
    over(world, s(5));
}

#[test]
fn two_calls_that_become_one_hear_each_other_over_the_relay() {
    let (mut world, [alice, bob, carol]) = relayed(6, MediaMode::Always);
    let call = world.call(alice, "bob");
    world.run_for(s(2));
    let other = world.call(alice, "carol");
    world.run_for(s(2));
    world.act(alice, |p, now| p.refer_to_call(now, call, other));
    world.run_for(s(3));
    for number in [call, other] {
        world.act(alice, |p, now| p.hang_up(now, number));
    }
    world.run_for(s(2));
    for phone in [bob, carol] {
        let heard = shown(&world, phone);
        assert!(heard.iter().all(|addr| addr == RELAY), "{heard:?}");
        assert_eq!(world.talk(phone).state, State::Talking, "{}", ladder(&world));
    }
    world.hang_up(bob);
    world.run_for(s(2));
    assert_eq!(done(&world), 2);
    over(world, s(2));
}

#[test]
fn who_can_reach_each_other_is_not_relayed() {
    let (mut world, [alice, bob, _]) = relayed(3, MediaMode::Auto);
    world.call(alice, "bob");
    world.run_for(s(2));
    assert!(shown(&world, bob).iter().all(|addr| addr != RELAY));
    world.hang_up(alice);
    world.run_for(s(1));
    assert_eq!(done(&world), 0);
    over(world, s(1));
}

#[test]
fn a_call_that_needs_a_relay_is_refused_without_one_and_one_that_needs_none_goes_on() {
    for (seed, mode, local, ending) in [
        (4, MediaMode::Always, None, Some(Ending::Refused(503))),
        // Nobody is near.
        (5, MediaMode::Auto, Some("255.255.255.255"), Some(Ending::Refused(503))),
        (7, MediaMode::Auto, None, None),
    ] {
        let (mut world, [alice, ..]) = relayed_with(seed, mode, local);
        world.relay = None;
        world.call(alice, "bob");
        world.run_for(s(2));
        assert_eq!(world.talk(alice).ending, ending, "{}", ladder(&world));
        let refused = world.engine().map(|engine| engine.stats().counter(Counter::MediaRefused));
        assert_eq!(refused, Some(u64::from(ending.is_some())));
        if ending.is_none() {
            world.hang_up(alice);
        }
        over(world, s(2));
    }
}

/// A relay that takes this long, and refuses this; Alice calls Bob, who answers at once.
fn called(seed: u64, takes: Duration, refuses: Option<MediaStep>) -> (World, [PhoneId; 2], usize) {
    let (mut world, [alice, bob, _]) = relayed(seed, MediaMode::Always);
    world.relay = world.relay.map(|relay| Relay { takes, refuses, ..relay });
    world[bob].manners = Manners::answers(ms(10));
    let call = world.call(alice, "bob");
    (world, [alice, bob], call)
}

#[test]
fn who_gives_up_while_the_relay_thinks_has_called_nobody() {
    let (mut world, [alice, bob], _) = called(8, ms(1500), None);
    world.run_for(ms(500));
    world.hang_up(alice);
    world.run_for(s(3));
    assert_eq!(world.talk(alice).ending, Some(Ending::Cancelled), "{}", ladder(&world));
    assert!(world[bob].calls().is_empty(), "{}", ladder(&world));
    assert_eq!(done(&world), 1, "what it may have lent is given back");
    over(world, s(2));
}

#[test]
fn a_relay_that_never_answers_refuses_the_call_and_gives_back_what_it_may_have_lent() {
    let (mut world, [alice, _], _) = called(9, s(10), None);
    world.run_for(s(3));
    assert_eq!(world.talk(alice).ending, Some(Ending::Refused(503)), "{}", ladder(&world));
    assert_eq!(done(&world), 1);
    over(world, s(20));
}

#[test]
fn an_answer_that_cannot_be_relayed_ends_the_call_on_both_sides() {
    let (mut world, [alice, bob], _) = called(10, Duration::ZERO, Some(MediaStep::Answer));
    world.run_for(s(3));
    assert_eq!(world.talk(alice).ending, Some(Ending::Refused(503)), "{}", ladder(&world));
    assert_ne!(world.talk(bob).state, State::Talking);
    insta::assert_snapshot!(ladder(&world));
    assert_eq!(done(&world), 1);
    over(world, s(2));
}

#[test]
fn a_preview_that_cannot_be_relayed_is_not_shown_and_the_answer_is_when_it_can() {
    let (mut world, [alice, bob, _]) = relayed(17, MediaMode::Always);
    let script =
        vec![(ms(10), Step::Early { status: 183, fork: 0, media: true }), (s(2), Step::Answer { fork: 0 })];
    world[bob].manners = Manners { script, ..Manners::default() };
    let relay = world.relay;
    world.relay = relay.map(|relay| Relay { refuses: Some(MediaStep::Answer), ..relay });
    let call = world.call(alice, "bob");
    world.run_for(s(1));
    assert_eq!(world.talk(alice).state, State::Ringing, "{}", ladder(&world));
    assert!(shown(&world, alice).is_empty(), "{}", ladder(&world));
    world.relay = relay;
    world.run_for(s(3));
    assert_eq!([world.talk(alice).state, world.talk(bob).state], [State::Talking; 2], "{}", ladder(&world));
    assert_eq!(shown(&world, alice), [RELAY]);
    world.act(alice, |p, now| p.hang_up(now, call));
    world.run_for(s(1));
    insta::assert_snapshot!(ladder(&world));
    over(world, s(2));
}

#[test]
fn a_preview_that_is_the_answer_and_cannot_be_relayed_ends_the_call_on_both_sides() {
    let (mut world, [alice, bob, _]) = relayed(18, MediaMode::Always);
    let script =
        vec![(ms(10), Step::Early { status: 183, fork: 0, media: true }), (s(2), Step::Answer { fork: 0 })];
    world[alice].manners.reliable = Reliable::Supported;
    world[bob].manners = Manners { script, reliable: Reliable::Required, ..Manners::default() };
    world.relay = world.relay.map(|relay| Relay { refuses: Some(MediaStep::Answer), ..relay });
    world.call(alice, "bob");
    world.run_for(s(1));
    let refused = [Some(Ending::Refused(503)), Some(Ending::Cancelled)];
    assert_eq!(endings(&world, [alice, bob]), refused, "{}", ladder(&world));
    assert!(shown(&world, alice).is_empty(), "{}", ladder(&world));
    insta::assert_snapshot!(ladder(&world));
    assert_eq!(done(&world), 1);
    over(world, s(2));
}

#[test]
fn an_answer_that_is_sent_again_is_asked_about_once() {
    let (mut world, [alice, _], _) = called(13, ms(600), None);
    world.run_for(s(3));
    assert_eq!(world.talk(alice).state, State::Talking, "{}", ladder(&world));
    let asked = world.engine().map(|engine| engine.stats().counter(Counter::MediaAsked));
    assert_eq!(asked, Some(2), "the offer, and the answer: {}", ladder(&world));
    world.hang_up(alice);
    over(world, s(5));
}

#[test]
fn a_bye_while_the_relay_thinks_ends_the_call_when_it_has_thought() {
    for (seed, who) in [(11, 0), (12, 1)] {
        let (mut world, phones, call) = called(seed, ms(600), None);
        world.run_for(s(3));
        assert_eq!(world.talk(phones[0]).state, State::Talking, "{}", ladder(&world));
        world.act(phones[0], |p, now| p.hold(now, call));
        world.run_for(ms(100));
        world.hang_up(phones[who]);
        world.run_for(s(5));
        assert_eq!(phones.map(|phone| world.talk(phone).state), [State::Over; 2], "{}", ladder(&world));
        assert_eq!(done(&world), 1);
        over(world, s(5));
    }
}

#[test]
fn who_hangs_up_waits_for_the_relay_no_longer_than_a_request_may() {
    let (mut world, alice, bob, _) = world_with(20, |c| {
        c.calls.get_or_insert_default().media.mode = MediaMode::Always;
        c.limits.park_timeout = s(1);
    });
    let relay = Relay { addr: RELAY.parse().expect("an address"), takes: Duration::ZERO, refuses: None };
    world.relay = Some(relay);
    world[bob].manners = Manners::answers(ms(500));
    let call = world.call(alice, "bob");
    world.run_for(s(2));
    world.relay = Some(Relay { takes: ms(1_800), ..relay });
    world.act(alice, |p, now| p.hold(now, call));
    world.run_for(ms(100));
    world.hang_up(bob);
    world.run_for(ms(1_300));
    assert!(world.talk(bob).told.contains(&("BYE".into(), 200)), "{}", ladder(&world));
    assert_eq!(world.talk(alice).ending, Some(Ending::PeerHungUp), "{}", ladder(&world));
    world.run_for(s(2));
    assert_eq!(done(&world), 1);
    over(world, s(5));
}

#[test]
fn answers_that_come_again_in_turns_are_asked_about_once_each() {
    let (mut world, [alice, bob, _]) = relayed(21, MediaMode::Always);
    let desk = registered(&mut world, "desk", "bob");
    world.relay = world.relay.map(|relay| Relay { takes: ms(1_500), ..relay });
    world[bob].manners = Manners::answers(ms(300));
    world[desk].manners = Manners::answers(ms(310));
    world.call(alice, "bob");
    world.run_for(s(20));
    assert_eq!(world.talk(alice).state, State::Talking, "{}", ladder(&world));
    let asked = world.engine().map(|engine| engine.stats().counter(Counter::MediaAsked));
    assert!(asked <= Some(3), "the offer, and the answers: {asked:?}\n{}", ladder(&world));
    world.hang_up(alice);
    over(world, s(5));
}

#[test]
fn a_refusal_for_all_and_a_later_answer_that_wait_for_the_relay_come_to_the_call_in_their_order() {
    let (mut world, [alice, bob, _]) = relayed(19, MediaMode::Always);
    let desk = registered(&mut world, "desk", "bob");
    world.relay = world.relay.map(|relay| Relay { takes: s(1), ..relay });
    let early = Step::Early { status: 183, fork: 0, media: true };
    world[bob].manners = Manners::default().then(ms(50), early).then(ms(700), Step::Answer { fork: 0 });
    world[desk].manners = Manners::refuses(ms(400), 603);
    world.call(alice, "bob");
    world.run_for(s(5));
    // Who declined for all did so before he answered: as without a relay.
    assert_eq!(world.talk(alice).ending, Some(Ending::Refused(603)), "{}", ladder(&world));
    assert_eq!(world.talk(bob).ending, Some(Ending::PeerHungUp), "{}", ladder(&world));
    over(world, s(2));
}

#[test]
fn what_a_callee_asks_while_his_answer_is_at_the_relay_waits_behind_it() {
    let (mut world, [alice, bob], _) = called(14, ms(400), None);
    world.run_for(ms(550));
    assert_eq!(world.talk(bob).state, State::Talking, "{}", ladder(&world));
    assert_eq!(world.talk(alice).state, State::Ringing, "the relay has his answer");
    world.act(bob, |p, now| p.info(now, 0, "7"));
    world.run_for(s(3));
    assert_eq!([world.talk(alice).state, world.talk(bob).state], [State::Talking; 2], "{}", ladder(&world));
    assert!(world.talk(bob).told.contains(&("INFO".into(), 200)), "{}", ladder(&world));
    world.hang_up(bob);
    world.run_for(s(2));
    assert_eq!(done(&world), 1);
    over(world, s(2));
}

#[test]
fn what_a_callee_asked_is_answered_when_his_answer_comes_too_late() {
    let (mut world, [alice, bob], _) = called(15, ms(400), None);
    world.run_for(ms(550));
    world.act(bob, |p, now| p.info(now, 0, "7"));
    world.run_for(ms(50));
    world.hang_up(alice);
    world.run_for(s(3));
    assert_eq!(world.talk(alice).ending, Some(Ending::Cancelled), "{}", ladder(&world));
    assert!(world.talk(bob).told.contains(&("INFO".into(), 481)), "{}", ladder(&world));
    assert_eq!(done(&world), 1);
    over(world, s(2));
}

/// What names the session in a description, its version, and where it wants the media.
fn version(sdp: &str) -> (String, u64, String) {
    let line = |name: &str| sdp.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").to_owned();
    let (origin, media) = (line("o="), line("c="));
    let words: Vec<&str> = origin.split(' ').collect();
    (words[..2].join(" "), words[2].parse().expect("a version"), media)
}

#[test]
fn an_answer_that_suddenly_goes_without_the_relay_has_a_new_version() {
    let (mut world, [alice, bob], call) = called(16, Duration::ZERO, None);
    world.run_for(s(3));
    for refuses in [Some(MediaStep::Answer), None, None] {
        world.relay = world.relay.map(|relay| Relay { refuses, ..relay });
        world.act(alice, |p, now| p.resume(now, call));
        world.run_for(s(40));
    }
    let heard: Vec<_> = world.talk(alice).heard.iter().map(|sdp| version(sdp)).collect();
    assert!(heard.iter().any(|(.., media)| !media.ends_with(RELAY)), "{heard:?}");
    for pair in heard.windows(2) {
        let [(id, before, old), (same, after, new)] = pair else { continue };
        assert_eq!(id, same, "{heard:?}");
        assert!(after > before || (after == before && old == new), "{heard:?}");
    }
    assert_eq!([world.talk(alice).state, world.talk(bob).state], [State::Talking; 2], "{}", ladder(&world));
    world.hang_up(alice);
    over(world, s(2));
}
