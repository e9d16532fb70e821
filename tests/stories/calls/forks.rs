//! Several phones of one callee, and several devices behind one phone (RFC 3261 s13.2.2.4, s16.7; DECISIONS 21).

use super::*;

/// Alice, and three phones of bob.
fn bobs(seed: u64) -> (World, PhoneId, [PhoneId; 3]) {
    let (mut world, alice, bob, _) = world(seed);
    let desk = registered(&mut world, "desk", "bob");
    let cell = registered(&mut world, "cell", "bob");
    (world, alice, [bob, desk, cell])
}

#[test]
fn all_phones_ring_and_the_first_to_answer_has_the_call() {
    let (mut world, alice, [bob, desk, cell]) = bobs(1);
    world[desk].manners = Manners::answers(s(2));
    world.call(alice, "bob");
    world.run_for(s(3));
    assert_eq!(world.talk(desk).state, State::Talking);
    assert_eq!(endings(&world, [bob, cell]), [Some(Ending::Cancelled), Some(Ending::Cancelled)]);
    insta::assert_snapshot!(ladder(&world));
    world.hang_up(alice);
    over(world, s(2));
}

#[test]
fn two_answers_at_once_are_one_call_and_one_bye() {
    for apart in [0, 1, 5, 10, 15, 20, 25, 30, 45] {
        let (mut world, alice, [bob, desk, cell]) = bobs(2);
        world[bob].manners = Manners::answers(ms(1_000));
        world[desk].manners = Manners::answers(ms(1_000 + apart));
        world[cell].manners = Manners::answers(ms(1_000 + 2 * apart));
        world.call(alice, "bob");
        world.run_for(s(3));
        let talk = [bob, desk, cell].into_iter().filter(|p| world.talk(*p).state == State::Talking).count();
        assert_eq!(talk, 1, "{apart} ms apart\n{}", ladder(&world));
        assert_eq!(world.talk(alice).state, State::Talking);
        if apart == 0 {
            insta::assert_snapshot!(ladder(&world));
        }
        world.hang_up(alice);
        over(world, s(2));
    }
}

#[test]
fn one_that_declines_ends_it_for_all_or_for_itself() {
    for local in [false, true] {
        let (mut world, alice, bob, _) = world_with(3, |c| {
            if let Some(calls) = &mut c.calls {
                calls.decline_is_local = local;
            }
        });
        let desk = registered(&mut world, "desk", "bob");
        world[bob].manners = Manners::refuses(s(1), 603);
        world[desk].manners = Manners::answers(s(3));
        world.call(alice, "bob");
        world.run_for(s(2));
        match local {
            true => assert_eq!(world.talk(alice).state, State::Ringing),
            false => assert_eq!(
                endings(&world, [alice, desk]),
                [Some(Ending::Refused(603)), Some(Ending::Cancelled)]
            ),
        }
        world.run_for(s(2));
        if local {
            assert_eq!([world.talk(alice).state, world.talk(desk).state], [State::Talking; 2]);
        }
        world.hang_up(alice);
        over(world, s(2));
    }
}

#[test]
fn a_decline_and_an_answer_at_once_end_well_in_every_order() {
    for apart in (0..40).step_by(4) {
        for (declines, answers) in [(1_000, 1_000 + apart), (1_000 + apart, 1_000)] {
            let (mut world, alice, [bob, desk, cell]) = bobs(4);
            world[bob].manners = Manners::refuses(ms(declines), 603);
            world[desk].manners = Manners::answers(ms(answers));
            world[cell].manners = Manners::default();
            world.call(alice, "bob");
            world.run_for(s(3));
            let (caller, callee) = (world.talk(alice).state, world.talk(desk).state);
            assert_eq!(caller, callee, "{declines} and {answers}\n{}", ladder(&world));
            assert_eq!(world.talk(cell).state, State::Over, "{}", ladder(&world));
            world.hang_up(alice);
            over(world, s(2));
        }
    }
}

#[test]
fn the_best_of_all_refusals_is_told_when_the_last_is_there() {
    for (all, told) in
        [([486, 480, 404], vec![404, 480, 486]), ([486, 603, 404], vec![603]), ([503, 486, 500], vec![486])]
    {
        let (mut world, alice, phones) = bobs(5);
        for (i, phone) in phones.into_iter().enumerate() {
            world[phone].manners = Manners::refuses(ms(500 + 300 * i as u64), all[i]);
        }
        world.call(alice, "bob");
        world.run_for(s(3));
        let status = world.talk(alice).last();
        assert!(status.is_some_and(|s| told.contains(&s)), "{status:?}, of {told:?}\n{}", ladder(&world));
        over(world, s(2));
    }
}

#[test]
fn each_device_behind_a_phone_has_an_early_dialog_of_its_own() {
    let (mut world, alice, bob, _) = world(6);
    let early = |fork| Step::Early { status: 183, fork, media: true };
    world[bob].manners = Manners {
        script: vec![
            (ms(0), early(0)),
            (ms(300), early(1)),
            (ms(600), early(2)),
            (s(1), Step::Answer { fork: 1 }),
        ],
        ..Manners::default()
    };
    world.call(alice, "bob");
    world.run_for(s(3));
    assert_eq!(world.talk(alice).dialogs.len(), 3, "{}", ladder(&world));
    assert_eq!([world.talk(alice).state, world.talk(bob).state], [State::Talking; 2]);
    insta::assert_snapshot!(ladder(&world));
    world.hang_up(alice);
    over(world, s(2));
}

#[test]
fn a_weak_caller_is_shown_one_early_dialog() {
    let (mut world, alice, bob, _) = world_with(7, |c| {
        if let Some(calls) = &mut c.calls {
            calls.single_early_dialog = true;
        }
    });
    let desk = registered(&mut world, "desk", "bob");
    let early = |fork| Step::Early { status: 183, fork, media: true };
    world[bob].manners =
        Manners { script: vec![(ms(0), early(0)), (ms(300), early(1))], ..Manners::default() };
    world[desk].manners = Manners::answers(s(1));
    world.call(alice, "bob");
    world.run_for(s(3));
    assert_eq!([world.talk(alice).state, world.talk(desk).state], [State::Talking; 2], "{}", ladder(&world));
    world.hang_up(alice);
    over(world, s(2));
}

#[test]
fn giving_up_while_several_ring_stops_them_all_whenever_it_is() {
    for after in (0..1_100).step_by(7) {
        let (mut world, alice, [bob, desk, cell]) = bobs(8);
        world[bob].manners = Manners::answers(ms(500));
        world[desk].manners = Manners::refuses(ms(500), 486);
        world[cell].manners = Manners { script: vec![(ms(300), Step::Refuse(603))], ..Manners::default() };
        world.call(alice, "bob");
        world.run_for(ms(after));
        world.hang_up(alice);
        over(world, s(60));
    }
}
