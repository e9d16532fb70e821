//! What the host hears of calls when they are over, and what becomes of them when the server is to end.

use strowger_core::door::{CallEnd, CallEvent, CallRecord, Event, Request};

use super::*;

/// The records of the calls that are over.
fn records(world: &World) -> Vec<CallRecord> {
    let ended = |event: &Event| match event {
        Event::Call(event) => match &**event {
            CallEvent::Ended(record) => Some((**record).clone()),
            _ => None,
        },
        _ => None,
    };
    world.events.iter().filter_map(ended).collect()
}

#[test]
fn each_call_has_a_record_with_everybody_who_was_tried() {
    let (mut world, alice, bob, carol) = world_with(1, |c| c.tell.calls = true);
    let desk = registered(&mut world, "desk", "bob");
    world[bob].manners = Manners::refuses(s(1), 486);
    world[desk].manners = Manners::answers(s(3));
    world[carol].manners = Manners::default();
    let began = world.now;
    world.call(alice, "bob");
    world.run_for(s(10));
    world.hang_up(desk);
    world.run_for(s(1));
    world.call(alice, "carol");
    world.run_for(s(2));
    world.hang_up(alice);
    world.run_for(s(1));
    world[carol].manners = Manners::says(603);
    world.call(alice, "carol");
    world.run_for(s(1));
    let [talked, given_up, declined] =
        <[CallRecord; 3]>::try_from(records(&world)).expect("one for each call");
    assert_eq!((&*talked.caller, &*talked.callee), ("alice@example.com", "bob@example.com"));
    assert_eq!((talked.status, talked.end), (200, CallEnd::Callee));
    let mut statuses: Vec<u16> = talked.legs.iter().map(|leg| leg.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 486]);
    let after = |at| Some(began + at);
    assert!(talked.rang >= after(ms(10)) && talked.rang < after(ms(100)), "{talked:?}");
    assert!(talked.answered >= after(s(3)) && talked.answered < after(ms(3100)), "{talked:?}");
    assert!(Some(talked.ended) >= after(s(10)), "{talked:?}");
    assert_eq!((given_up.status, given_up.end, given_up.answered), (487, CallEnd::Cancelled, None));
    assert_eq!((declined.status, declined.end, declined.legs.len()), (603, CallEnd::Failed, 1));
    assert!(talked.id < given_up.id && given_up.id < declined.id);
    over(world, s(2));
}

/// DECISIONS 20.
#[test]
fn a_draining_server_ends_the_calls_that_last_too_long_and_takes_no_new_ones() {
    let (mut world, alice, bob, carol) = world_with(2, |c| c.tell.calls = true);
    world[bob].manners = Manners::answers(ms(500));
    let call = world.call(alice, "bob");
    world.run_for(s(2));
    world.note("the server drains");
    world.host(Request::Drain { timeout: s(60) });
    world.call(carol, "bob");
    world.act(alice, |p, now| p.hold(now, call));
    world.run_for(s(50));
    assert_eq!(world.talk(carol).ending, Some(Ending::Refused(503)));
    assert_eq!([world.talk(alice).state, world.talk(bob).state], [State::Talking; 2], "{}", ladder(&world));
    assert_eq!(world.talk(bob).direction(), Direction::RecvOnly, "what belongs to a call goes on");
    assert!(!world.events.iter().any(|e| matches!(e, Event::Drained)));
    world.run_for(s(11));
    assert_eq!(endings(&world, [alice, bob]), [Some(Ending::PeerHungUp), Some(Ending::PeerHungUp)]);
    let [record] = <[CallRecord; 1]>::try_from(records(&world)).expect("one");
    assert_eq!((record.status, record.end), (200, CallEnd::Host));
    assert!(world.events.iter().any(|e| matches!(e, Event::Drained)));
    over(world, s(2));
}
