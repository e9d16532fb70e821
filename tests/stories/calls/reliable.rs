//! Reliable provisional responses, each leg for itself (RFC 3262, RFC 6337).

use super::*;

const EARLY: Step = Step::Early { status: 183, fork: 0, media: true };
const RINGS: Step = Step::Early { status: 180, fork: 0, media: false };

/// What alice and bob think of them, in what order bob speaks, and who offers.
fn call(seed: u64, thinks: [Reliable; 2], delayed: bool) -> (World, PhoneId, PhoneId) {
    let (mut world, alice, bob, _) = world(seed);
    world[alice].manners.reliable = thinks[0];
    world[alice].manners.delayed_offer = delayed;
    let script = vec![(ms(0), EARLY), (ms(200), RINGS), (ms(400), Step::Answer { fork: 0 })];
    world[bob].manners = Manners { script, reliable: thinks[1], ..Manners::default() };
    world.call(alice, "bob");
    world.run_for(s(3));
    (world, alice, bob)
}

#[test]
fn each_leg_has_them_or_has_them_not() {
    use Reliable::{Required, Supported, Unknown};
    for alice_thinks in [Unknown, Supported] {
        for bob_thinks in [Unknown, Supported, Required] {
            for delayed in [false, true] {
                let (mut world, alice, bob) = call(1, [alice_thinks, bob_thinks], delayed);
                let states = [world.talk(alice).state, world.talk(bob).state];
                let who = format!("{alice_thinks:?} {bob_thinks:?} {delayed}");
                assert_eq!(states, [State::Talking; 2], "{who}\n{}", ladder(&world));
                assert_eq!(
                    world.talk(bob).peer_session_id(),
                    Some(world.talk(alice).session_id()),
                    "{who}\n{}",
                    ladder(&world)
                );
                world.hang_up(alice);
                over(world, s(2));
            }
        }
    }
}

#[test]
fn a_reliable_response_goes_through_with_its_description() {
    let (mut world, alice, _) = call(2, [Reliable::Supported, Reliable::Required], false);
    insta::assert_snapshot!(ladder(&world));
    world.hang_up(alice);
    over(world, s(2));
}

#[test]
fn a_caller_that_insists_is_served() {
    let (mut world, alice, bob) = call(3, [Reliable::Required, Reliable::Required], false);
    assert_eq!([world.talk(alice).state, world.talk(bob).state], [State::Talking; 2], "{}", ladder(&world));
    world.hang_up(alice);
    over(world, s(2));
}

#[test]
fn they_are_lost_and_doubled_and_still_come_through() {
    for seed in 0..100 {
        let (mut world, alice, bob, _) = world(seed);
        for phone in [alice, bob] {
            world.link(phone, strowger_sim::network::Link::BAD);
            world[phone].manners.reliable = Reliable::Supported;
            world[phone].habits.refresh_percent = 0;
        }
        let script = vec![(ms(0), EARLY), (ms(200), RINGS), (ms(400), Step::Answer { fork: 0 })];
        world[bob].manners = Manners { script, reliable: Reliable::Required, ..Manners::default() };
        world.call(alice, "bob");
        world.run_for(s(45));
        let states = [world.talk(alice).state, world.talk(bob).state];
        assert_eq!(states[0], states[1], "seed {seed}\n{}", ladder(&world));
        world.hang_up(alice);
        over(world, s(80));
    }
}
