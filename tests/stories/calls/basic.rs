//! One caller, one callee, and each way a call can go (RFC 3261 s13, s15, RFC 3665).

use super::*;

#[test]
fn a_call_is_made_answered_and_ended_by_the_caller() {
    let (mut world, alice, bob, call) = talking(1);
    world.act(alice, |p, now| p.hang_up(now, call));
    world.run_for(s(1));
    assert_eq!(world.talk(alice).statuses, [100, 180, 200]);
    assert_eq!(endings(&world, [alice, bob]), [Some(Ending::HungUp), Some(Ending::PeerHungUp)]);
    insta::assert_snapshot!(ladder(&world));
    over(world, s(1));
}

#[test]
fn every_message_of_a_call_in_full() {
    let (mut world, alice, ..) = talking(1);
    world.hang_up(alice);
    world.run_for(s(1));
    let text = world.ladder().whole().bodies().to_string();
    let at = text.find("alice --> server  INVITE").unwrap_or(0);
    insta::assert_snapshot!(&text[at..]);
    over(world, s(1));
}

#[test]
fn the_callee_hangs_up() {
    let (mut world, alice, bob, _) = talking(2);
    world.hang_up(bob);
    world.run_for(s(1));
    assert_eq!(endings(&world, [alice, bob]), [Some(Ending::PeerHungUp), Some(Ending::HungUp)]);
    insta::assert_snapshot!(ladder(&world));
    over(world, s(1));
}

#[test]
fn refusals_reach_the_caller_as_they_are() {
    for status in [480, 486, 488, 600, 603, 606] {
        let (mut world, alice, bob, _) = world(3);
        world[bob].manners = Manners::refuses(ms(300), status);
        world.call(alice, "bob");
        world.run_for(s(2));
        assert_eq!(world.talk(alice).ending, Some(Ending::Refused(status)), "{}", ladder(&world));
        if status == 486 {
            insta::assert_snapshot!(ladder(&world));
        }
        over(world, s(2));
    }
}

#[test]
fn what_is_the_callees_own_matter_is_not_the_callers() {
    // DECISIONS 3; RFC 3261 s16.7 step 6; a redirection is for the server to follow, or for nobody.
    for (status, told) in [(401, 403), (407, 403), (503, 500), (302, 480)] {
        let (mut world, alice, bob, _) = world(4);
        world[bob].manners = Manners::says(status);
        world.call(alice, "bob");
        world.run_for(s(2));
        assert_eq!(world.talk(alice).ending, Some(Ending::Refused(told)), "{}", ladder(&world));
        over(world, s(2));
    }
}

#[test]
fn nobody_answers_and_the_caller_is_told_in_the_end() {
    let (mut world, alice, _, _) = world(5);
    world.call(alice, "bob");
    world.run_for(s(200));
    assert_eq!(world.talk(alice).ending, Some(Ending::Refused(480)), "{}", ladder(&world));
    insta::assert_snapshot!(ladder(&world));
    over(world, s(2));
}

#[test]
fn a_phone_that_says_nothing_at_all_is_given_up() {
    let (mut world, alice, bob, _) = world(6);
    world[bob].manners = Manners::silent();
    world.call(alice, "bob");
    world.run_for(s(1));
    assert_eq!(world.talk(alice).statuses, [100], "{}", ladder(&world));
    world.run_for(s(240));
    assert!(matches!(world.talk(alice).ending, Some(Ending::Refused(480 | 408))), "{}", ladder(&world));
    world.act(bob, |p, _| p.power_off());
    over(world, s(60));
}

#[test]
fn a_phone_that_is_gone_is_given_up_after_timer_b() {
    let (mut world, alice, bob, _) = world(7);
    world.act(bob, |p, _| p.power_off());
    world.call(alice, "bob");
    world.run_for(s(60));
    assert!(matches!(world.talk(alice).ending, Some(Ending::Refused(480 | 408))), "{}", ladder(&world));
    insta::assert_snapshot!(ladder(&world));
    over(world, s(2));
}

#[test]
fn who_is_not_registered_or_not_there_cannot_be_called() {
    let (mut world, alice, bob, _) = world(8);
    world.act(bob, |p, now| p.register(now, 0));
    world.run_for(s(1));
    for (whom, status) in [("bob", 480), ("nobody", 404), ("sip:bob@elsewhere.example", 403)] {
        world.call(alice, whom);
        world.run_for(s(1));
        assert_eq!(world.talk(alice).ending, Some(Ending::Refused(status)), "{whom}\n{}", ladder(&world));
    }
    over(world, s(2));
}

#[test]
fn a_caller_without_an_account_is_challenged_and_then_refused() {
    let (mut world, _, bob, _) = world(9);
    let eve = world.impostor("eve", "eve", "wrong");
    world.call(eve, "bob");
    world.run_for(s(1));
    assert!(matches!(world.talk(eve).ending, Some(Ending::Refused(401 | 403))), "{}", ladder(&world));
    assert!(world[bob].calls().is_empty());
    over(world, s(2));
}

#[test]
fn a_call_may_ring_for_minutes_and_the_caller_is_told_each_minute() {
    let (mut world, alice, bob, _) = world_with(10, |c| {
        if let Some(calls) = &mut c.calls {
            calls.target_timeout = s(170);
        }
    });
    world[bob].manners = Manners::answers(s(150));
    world.call(alice, "bob");
    world.run_for(s(151));
    let told = world.talk(alice).statuses.iter().filter(|status| (180..190).contains(*status)).count();
    assert!(told >= 3, "{:?}", world.talk(alice).statuses);
    assert_eq!(world.talk(alice).state, State::Talking);
    world.hang_up(alice);
    over(world, s(2));
}

#[test]
fn calls_go_over_streams_too() {
    for (from, to) in [(true, false), (false, true), (true, true)] {
        let (mut world, alice, bob, _) = world(11);
        for (phone, stream) in [(alice, from), (bob, to)] {
            if stream {
                world[phone].habits.via = strowger_sim::phone::Via::Tcp;
                world.act(phone, |p, now| p.register(now, 3600));
                world.run_for(s(1));
            }
        }
        world.act(bob, |p, now| {
            if to {
                p.register_contacts(now, &["*"], 0)
            }
        });
        world.run_for(s(1));
        world.act(bob, |p, now| p.register(now, 3600));
        world.run_for(s(1));
        world[bob].manners = Manners::answers(ms(200));
        world.call(alice, "bob");
        world.run_for(s(2));
        assert_eq!(
            [world.talk(alice).state, world.talk(bob).state],
            [State::Talking; 2],
            "{}",
            ladder(&world)
        );
        world.hang_up(bob);
        over(world, s(2));
    }
}

#[test]
fn a_busy_phone_says_so_and_the_first_call_goes_on() {
    let (mut world, alice, bob, carol) = world(12);
    world[bob].manners = Manners { one_call: true, ..Manners::answers(ms(100)) };
    let call = world.call(alice, "bob");
    world.run_for(s(1));
    world.call(carol, "bob");
    world.run_for(s(1));
    assert_eq!(world.talk(carol).ending, Some(Ending::Refused(486)));
    assert_eq!(world[alice].calls()[call].state, State::Talking);
    world.hang_up(alice);
    over(world, s(2));
}

#[test]
fn a_talk_lasts_no_longer_than_it_may() {
    let (mut world, alice, bob, _) = world_with(13, |c| {
        if let Some(calls) = &mut c.calls {
            calls.max_duration = s(60);
        }
    });
    world[bob].manners = Manners::answers(ms(100));
    world.call(alice, "bob");
    world.run_for(s(59));
    assert_eq!(world.talk(alice).state, State::Talking);
    world.run_for(s(3));
    assert_eq!(endings(&world, [alice, bob]), [Some(Ending::PeerHungUp), Some(Ending::PeerHungUp)]);
    over(world, s(2));
}
