//! Transfers: the server carries them out, whoever asks (RFC 3515, RFC 3891, RFC 5589; DECISIONS 24).

use super::*;

/// Alice talks to bob, and carol answers as well.
fn three(seed: u64) -> (World, [PhoneId; 3], usize) {
    let (mut world, alice, bob, carol) = world(seed);
    for phone in [bob, carol] {
        world[phone].manners = Manners::answers(ms(500));
    }
    let call = world.call(alice, "bob");
    world.run_for(s(2));
    (world, [alice, bob, carol], call)
}

/// Bob and carol talk to each other, and alice to nobody.
fn transferred(world: &World, [alice, bob, carol]: [PhoneId; 3]) {
    let states = [bob, carol].map(|phone| world.talk(phone).state);
    assert_eq!(states, [State::Talking; 2], "{}", ladder(world));
    assert!(world[alice].calls().iter().all(|c| c.state == State::Over), "{}", ladder(world));
}

#[test]
fn a_blind_transfer_is_carried_out_and_told() {
    let (mut world, [alice, bob, carol], call) = three(1);
    world.act(alice, |p, now| p.refer(now, call, "sip:carol@example.com"));
    world.run_for(s(3));
    assert_eq!(world.talk(alice).told.first().map(|(_, status)| *status), Some(200), "{}", ladder(&world));
    let last = world.talk(alice).transfer.last().cloned().unwrap_or_default();
    assert!(last.starts_with("SIP/2.0 200") && last.ends_with("(terminated)"), "{last}\n{}", ladder(&world));
    world.act(alice, |p, now| p.hang_up(now, call));
    world.run_for(s(1));
    transferred(&world, [alice, bob, carol]);
    insta::assert_snapshot!(ladder(&world));
    world.hang_up(carol);
    over(world, s(2));
}

#[test]
fn a_transfer_that_fails_leaves_the_call_as_it_was() {
    let (mut world, [alice, bob, carol], call) = three(2);
    world[carol].manners = Manners::says(486);
    world.act(alice, |p, now| p.refer(now, call, "sip:carol@example.com"));
    world.run_for(s(3));
    let last = world.talk(alice).transfer.last().cloned().unwrap_or_default();
    assert!(last.starts_with("SIP/2.0 486"), "{last}\n{}", ladder(&world));
    assert_eq!([alice, bob].map(|phone| world.talk(phone).state), [State::Talking; 2]);
    world.hang_up(bob);
    over(world, s(2));
}

#[test]
fn an_attended_transfer_joins_the_two_others() {
    let (mut world, [alice, bob, carol], call) = three(3);
    world.act(alice, |p, now| p.hold(now, call));
    world.run_for(s(1));
    let other = world.call(alice, "carol");
    world.run_for(s(2));
    world.act(alice, |p, now| p.refer_to_call(now, call, other));
    world.run_for(s(3));
    for number in [call, other] {
        world.act(alice, |p, now| p.hang_up(now, number));
    }
    world.run_for(s(2));
    transferred(&world, [alice, bob, carol]);
    insta::assert_snapshot!(ladder(&world));
    world.hang_up(bob);
    over(world, s(2));
}

#[test]
fn whenever_the_transferor_leaves_everybody_ends_well() {
    for after in (0..1_000).step_by(20) {
        let (mut world, [alice, _, carol], call) = three(4);
        world.act(alice, |p, now| p.refer(now, call, "sip:carol@example.com"));
        world.run_for(ms(after));
        world.act(alice, |p, now| p.hang_up(now, call));
        world.run_for(s(3));
        world.hang_up(carol);
        let calls = world[carol].calls().len();
        assert!(calls <= 1, "{calls} calls of carol after {after} ms\n{}", ladder(&world));
        over(world, s(60));
    }
}
