//! What passes within a call: new sessions, tones, messages; and two who want the same at once (RFC 3261 s14, RFC 3311).

use super::*;

#[test]
fn hold_and_resume_go_through_with_their_descriptions() {
    let (mut world, alice, bob, call) = talking(1);
    world.act(alice, |p, now| p.hold(now, call));
    world.run_for(s(1));
    assert_eq!(world.talk(bob).direction(), Direction::RecvOnly, "{}", ladder(&world));
    world.act(bob, |p, now| p.resume(now, 0));
    world.run_for(s(1));
    assert_eq!([world.talk(alice).direction(), world.talk(bob).direction()], [Direction::SendRecv; 2]);
    insta::assert_snapshot!(ladder(&world));
    world.hang_up(alice);
    over(world, s(2));
}

#[test]
fn update_goes_through_as_well() {
    let (mut world, alice, bob, call) = talking(2);
    world.act(alice, |p, now| p.update(now, call, Direction::SendOnly));
    world.run_for(s(1));
    assert_eq!(world.talk(bob).direction(), Direction::RecvOnly, "{}", ladder(&world));
    world.hang_up(bob);
    over(world, s(2));
}

#[test]
fn update_goes_as_invite_to_a_phone_that_takes_none() {
    let (mut world, alice, bob, _) = world(9);
    world[bob].manners = Manners { update: false, ..Manners::answers(ms(500)) };
    let call = world.call(alice, "bob");
    world.run_for(s(2));
    world.act(alice, |p, now| p.update(now, call, Direction::SendOnly));
    world.run_for(s(1));
    assert_eq!(world.talk(bob).direction(), Direction::RecvOnly, "{}", ladder(&world));
    assert_eq!(world.talk(alice).told, [("UPDATE".to_owned(), 200)], "{}", ladder(&world));
    assert_eq!(world.talk(bob).peer_session_id(), Some(world.talk(alice).session_id()));
    // A refusal is told, and changes nothing.
    world[bob].manners.change = 488;
    world.act(alice, |p, now| p.update(now, call, Direction::SendRecv));
    world.run_for(s(1));
    assert_eq!(world.talk(alice).told[1..], [("UPDATE".to_owned(), 488)], "{}", ladder(&world));
    assert_eq!([world.talk(alice).state, world.talk(bob).state], [State::Talking; 2]);
    insta::assert_snapshot!(ladder(&world));
    world.hang_up(bob);
    over(world, s(2));
}

#[test]
fn update_before_the_answer_of_a_phone_that_takes_none_is_refused_and_the_call_goes_on() {
    let (mut world, alice, bob, _) = world(10);
    world[alice].manners.reliable = Reliable::Supported;
    let early = Step::Early { status: 183, fork: 0, media: true };
    let script = vec![(ms(0), early), (s(2), Step::Answer { fork: 0 })];
    world[bob].manners =
        Manners { script, reliable: Reliable::Required, update: false, ..Manners::default() };
    let call = world.call(alice, "bob");
    world.run_for(s(1));
    world.act(alice, |p, now| p.update(now, call, Direction::SendOnly));
    world.run_for(s(4));
    let told = ("UPDATE".to_owned(), 488);
    assert!(world.talk(alice).told.contains(&told), "{}", ladder(&world));
    assert_eq!([world.talk(alice).state, world.talk(bob).state], [State::Talking; 2], "{}", ladder(&world));
    insta::assert_snapshot!(ladder(&world));
    world.hang_up(alice);
    over(world, s(2));
}

#[test]
fn a_refused_session_leaves_the_call_as_it_was() {
    let (mut world, alice, bob, call) = talking(3);
    world[bob].manners.change = 488;
    world.act(alice, |p, now| p.hold(now, call));
    world.run_for(s(1));
    assert_eq!(world.talk(alice).told, [("INVITE".to_owned(), 488)], "{}", ladder(&world));
    assert_eq!([world.talk(alice).state, world.talk(bob).state], [State::Talking; 2]);
    world.hang_up(alice);
    over(world, s(2));
}

#[test]
fn two_new_sessions_at_once_come_through_one_after_the_other() {
    for apart in (0..60).step_by(5) {
        let (mut world, alice, bob, call) = talking(4);
        world.act(alice, |p, now| p.hold(now, call));
        world.run_for(ms(apart));
        world.act(bob, |p, now| p.change(now, 0, Direction::SendRecv));
        world.run_for(s(15));
        let last = |phone| world.talk(phone).told.last().map(|(_, status)| *status);
        assert_eq!([last(alice), last(bob)], [Some(200); 2], "{apart} ms apart\n{}", ladder(&world));
        assert_eq!([world.talk(alice).state, world.talk(bob).state], [State::Talking; 2]);
        if apart == 0 {
            insta::assert_snapshot!(ladder(&world));
        }
        world.hang_up(alice);
        over(world, s(2));
    }
}

#[test]
fn a_bye_that_meets_a_new_session_ends_both() {
    for apart in (0..70).step_by(5) {
        for first in [0, 1] {
            let (mut world, alice, bob, call) = talking(5);
            match first {
                0 => world.act(alice, |p, now| p.hold(now, call)),
                _ => world.hang_up(bob),
            }
            world.run_for(ms(apart));
            match first {
                0 => world.hang_up(bob),
                _ => world.act(alice, |p, now| p.hold(now, call)),
            }
            world.run_for(s(2));
            assert_eq!(
                [world.talk(alice).state, world.talk(bob).state],
                [State::Over; 2],
                "{}",
                ladder(&world)
            );
            over(world, s(2));
        }
    }
}

#[test]
fn tones_and_messages_go_through_both_ways() {
    let (mut world, alice, bob, call) = talking(6);
    world.act(alice, |p, now| p.info(now, call, "5"));
    world.act(bob, |p, now| p.ask_within(now, 0, "MESSAGE", &[("Content-Type", "text/plain")], "hello"));
    world.run_for(s(1));
    assert_eq!(world.talk(bob).notes, ["Signal=5\r\nDuration=100\r\n"], "{}", ladder(&world));
    assert_eq!(world.talk(alice).notes, ["hello"]);
    world.act(alice, |p, now| p.ask_within(now, call, "OPTIONS", &[], ""));
    world.run_for(s(1));
    assert_eq!(world.talk(alice).told, [("INFO".to_owned(), 200), ("OPTIONS".to_owned(), 200)]);
    world.hang_up(alice);
    over(world, s(2));
}

#[test]
fn what_is_notified_within_a_call_goes_through_and_so_does_who_knows_nothing_of_it() {
    let (mut world, alice, bob, call) = talking(8);
    let notice = |event: &'static str| [("Event", event), ("Subscription-State", "active;expires=60")];
    for event in ["talk", "presence", "conference;id=7"] {
        let contact = format!("<{}>", world[alice].contact());
        let [event, state] = notice(event);
        let headers = [event, state, ("Contact", &*contact)];
        world.act(alice, |p, now| p.ask_within(now, call, "NOTIFY", &headers, ""));
        world.run_for(s(1));
    }
    world.act(bob, |p, now| p.ask_within(now, 0, "NOTIFY", &notice("hold"), ""));
    // Without what every NOTIFY has.
    world.act(bob, |p, now| p.ask_within(now, 0, "NOTIFY", &[("Subscription-State", "active")], ""));
    world.act(bob, |p, now| p.ask_within(now, 0, "NOTIFY", &[("Event", "talk")], ""));
    world.run_for(s(1));
    let told = |phone| world.talk(phone).told.iter().map(|(_, status)| *status).collect::<Vec<_>>();
    assert_eq!((told(alice), told(bob)), (vec![200, 481, 489], vec![489, 400, 200]), "{}", ladder(&world));
    assert_eq!(world.talk(bob).notes, ["talk: active;expires=60"]);
    assert_eq!(world.talk(alice).notes, ["hold: active;expires=60"]);
    // It says nothing of the call.
    assert_eq!([world.talk(alice).state, world.talk(bob).state], [State::Talking; 2]);
    let told = world.ladder().only(&["Event", "Subscription-State", "Allow-Events"]).to_string();
    insta::assert_snapshot!(&told[told.find("NOTIFY ").and_then(|at| told[..at].rfind('\n')).unwrap_or(0)..]);
    world.hang_up(alice);
    over(world, s(2));
}

#[test]
fn an_offer_may_come_from_the_callee() {
    let (mut world, alice, bob, _) = world(7);
    world[alice].manners.delayed_offer = true;
    world[bob].manners = Manners::answers(ms(200));
    world.call(alice, "bob");
    world.run_for(s(2));
    assert_eq!([world.talk(alice).state, world.talk(bob).state], [State::Talking; 2], "{}", ladder(&world));
    assert_eq!(world.talk(bob).peer_session_id(), Some(world.talk(alice).session_id()));
    insta::assert_snapshot!(ladder(&world));
    world.hang_up(alice);
    over(world, s(2));
}
