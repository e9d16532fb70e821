//! Session timers, each leg for itself (RFC 4028; DECISIONS 25).

use super::*;

/// Alice and bob talk, and know this much of session timers: Session-Expires they ask for; 0 knows nothing.
fn talk(seed: u64, asked: [u32; 2]) -> (World, PhoneId, PhoneId) {
    let (mut world, alice, bob, _) = world(seed);
    world[alice].manners.session_expires = asked[0];
    world[bob].manners = Manners { session_expires: asked[1], ..Manners::answers(ms(100)) };
    world.call(alice, "bob");
    world.run_for(s(1));
    assert_eq!([world.talk(alice).state, world.talk(bob).state], [State::Talking; 2], "{}", ladder(&world));
    (world, alice, bob)
}

#[test]
fn a_talk_goes_on_for_hours_whoever_knows_of_timers() {
    for asked in [[0, 0], [1800, 0], [0, 1800], [1800, 1800], [90, 600]] {
        let (mut world, alice, bob) = talk(1, asked);
        world.run_for(s(5 * 3600));
        let states = [world.talk(alice).state, world.talk(bob).state];
        assert_eq!(states, [State::Talking; 2], "{asked:?}\n{}", ladder(&world));
        world.hang_up(bob);
        over(world, s(2));
    }
}

#[test]
fn too_brief_a_session_is_422() {
    let (mut world, alice, _, _) = world(3);
    world[alice].manners.session_expires = 60;
    world[alice].manners.min_se = 60;
    world.call(alice, "bob");
    world.run_for(s(1));
    assert!(world.talk(alice).statuses.contains(&422), "{}", ladder(&world));
    assert_eq!(world.talk(alice).state, State::Ringing);
    world.hang_up(alice);
    over(world, s(2));
}
