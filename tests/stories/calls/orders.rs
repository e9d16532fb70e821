//! CANCEL, BYE and answers that cross each other on the way (RFC 3261 s9, s13.2.2.4, s15).

use super::*;

/// Alice calls bob and gives up after that long.
fn given_up(seed: u64, manners: Manners, after: Duration) -> (World, PhoneId, PhoneId) {
    let (mut world, alice, bob, _) = world(seed);
    world[bob].manners = manners;
    world.call(alice, "bob");
    world.run_for(after);
    world.hang_up(alice);
    world.run_for(s(2));
    (world, alice, bob)
}

#[test]
fn a_caller_gives_up_while_it_rings() {
    let (world, alice, bob) = given_up(1, Manners::default(), s(3));
    assert_eq!(endings(&world, [alice, bob]), [Some(Ending::Cancelled), Some(Ending::Cancelled)]);
    insta::assert_snapshot!(ladder(&world));
    over(world, s(2));
}

#[test]
fn a_caller_gives_up_before_the_callee_said_anything() {
    // Bob has the INVITE and says nothing for a second: the CANCEL to him waits.
    let late = Manners {
        script: vec![(s(1), Step::Early { status: 180, fork: 0, media: false })],
        ..Manners::default()
    };
    let (world, alice, bob) = given_up(2, late, ms(300));
    assert_eq!(endings(&world, [alice, bob]), [Some(Ending::Cancelled), Some(Ending::Cancelled)]);
    insta::assert_snapshot!(ladder(&world));
    over(world, s(2));
}

#[test]
fn an_answer_crosses_the_cancel_between_bob_and_the_server() {
    // Bob answers while our CANCEL is on its way to him: he gets ACK and BYE, alice her 487.
    let (world, alice, bob) = given_up(3, Manners::answers(ms(2_995)), s(3));
    assert_eq!(
        endings(&world, [alice, bob]),
        [Some(Ending::Cancelled), Some(Ending::PeerHungUp)],
        "{}",
        ladder(&world)
    );
    insta::assert_snapshot!(ladder(&world));
    over(world, s(2));
}

#[test]
fn an_answer_crosses_the_cancel_between_alice_and_the_server() {
    let (world, alice, bob) = given_up(4, Manners::answers(ms(2_965)), s(3));
    assert_eq!(
        endings(&world, [alice, bob]),
        [Some(Ending::HungUp), Some(Ending::PeerHungUp)],
        "{}",
        ladder(&world)
    );
    insta::assert_snapshot!(ladder(&world));
    over(world, s(2));
}

#[test]
fn whenever_the_caller_gives_up_everything_ends() {
    for after in (0..1_200).step_by(3) {
        let (world, alice, _) = given_up(5, Manners::answers(ms(500)), ms(after));
        assert_eq!(world.talk(alice).state, State::Over, "after {after} ms\n{}", ladder(&world));
        over(world, s(2));
    }
}

#[test]
fn a_callee_that_answers_after_the_cancel_is_told_to_go() {
    let stubborn = Manners { minds_cancel: false, ..Manners::answers(s(5)) };
    let (mut world, alice, bob) = given_up(6, stubborn, s(3));
    assert_eq!(world.talk(alice).ending, Some(Ending::Cancelled));
    world.run_for(s(5));
    assert_eq!(world.talk(bob).ending, Some(Ending::PeerHungUp), "{}", ladder(&world));
    over(world, s(2));
}

#[test]
fn a_callee_that_never_ends_a_cancelled_call_is_forgotten() {
    // It answers the CANCEL and never the INVITE (RFC 3261 s9.1).
    let silent = Manners { minds_cancel: false, ..Manners::default() };
    let (mut world, alice, bob) = given_up(7, silent, s(3));
    assert_eq!(world.talk(alice).ending, Some(Ending::Cancelled));
    world.run_for(s(40));
    assert_eq!(world.engine().map(|e| e.sizes().calls), Some(0), "{}", ladder(&world));
    world.act(bob, |p, _| p.power_off());
    over(world, s(2));
}

#[test]
fn two_byes_cross() {
    let (mut world, alice, bob, call) = talking(8);
    world.act(alice, |p, now| p.hang_up(now, call));
    world.hang_up(bob);
    world.run_for(s(1));
    assert_eq!(endings(&world, [alice, bob]), [Some(Ending::HungUp), Some(Ending::HungUp)]);
    insta::assert_snapshot!(ladder(&world));
    over(world, s(2));
}

#[test]
fn a_caller_that_never_acknowledges_is_hung_up_on_and_so_is_the_callee() {
    let (mut world, alice, bob, _) = world(9);
    world[alice].manners.acknowledges = false;
    world[bob].manners = Manners::answers(ms(100));
    world.call(alice, "bob");
    world.run_for(s(70));
    assert_eq!(world.talk(alice).state, State::Over, "{}", ladder(&world));
    assert_eq!(world.talk(bob).state, State::Over, "{}", ladder(&world));
    insta::assert_snapshot!(ladder(&world));
    over(world, s(2));
}

#[test]
fn a_callee_that_vanishes_after_its_answer_does_not_keep_the_call() {
    let (mut world, alice, bob, _) = world(10);
    world[bob].manners = Manners::answers(ms(100)).then(ms(105), Step::Vanish);
    world.call(alice, "bob");
    world.run_for(s(2));
    world.hang_up(alice);
    world.run_for(s(2));
    assert_eq!(world.talk(alice).ending, Some(Ending::HungUp), "{}", ladder(&world));
    over(world, s(60));
}

#[test]
fn who_does_not_answer_bye_is_forgotten() {
    let (mut world, alice, bob, call) = talking(11);
    world[bob].manners.answers_bye = false;
    world.act(alice, |p, now| p.hang_up(now, call));
    world.run_for(s(60));
    assert_eq!(world.engine().map(|e| e.sizes().calls), Some(0), "{}", ladder(&world));
    world.act(bob, |p, _| p.power_off());
    over(world, s(2));
}

#[test]
fn a_request_after_the_end_is_481() {
    let (mut world, alice, bob, call) = talking(12);
    world.act(alice, |p, now| p.hang_up(now, call));
    world.run_for(s(45));
    // A phone that does not know better.
    world.act(bob, |p, now| {
        let c = p.call_mut(0);
        c.dialogs[0].over = false;
        p.info(now, 0, "5");
    });
    world.run_for(s(1));
    assert_eq!(
        world.talk(bob).told.last().map(|(m, s)| (&**m, *s)),
        Some(("INFO", 481)),
        "{}",
        ladder(&world)
    );
    over(world, s(60));
}
