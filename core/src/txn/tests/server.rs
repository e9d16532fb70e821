//! Server transactions beyond their tables: payloads, saves, order, counters.

use super::*;

#[test]
fn a_repeated_request_gets_the_very_same_bytes() {
    let mut world = World::new(Over::Udp);
    let key = world.open(&request("REGISTER", "1"));
    world.respond(key, 200);
    world.receive(&request("REGISTER", "1"));
    let sent = world.fx.sent();
    assert_eq!(sent.len(), 2);
    assert_eq!((&sent[0].payload, sent[0].remote), (&sent[1].payload, sent[1].remote));
    assert_eq!(sent[0].payload.as_ptr(), sent[1].payload.as_ptr(), "without a copy");
    assert_eq!(world.fx.stats.counter(Counter::Retransmissions), 1);
    assert_eq!(world.fx.stats.counter(Counter::Resent), 1);
}

#[test]
fn a_repetition_waits_for_the_same_save() {
    let mut world = World::new(Over::Udp);
    let key = world.open(&request("REGISTER", "1"));
    world.txn.respond(&mut world.fx.ctx(), key, Status::OK, response(200), Some(SaveSeq(5)));
    world.receive(&request("REGISTER", "1"));
    let saves: Vec<_> = world.fx.sent().iter().map(|t| t.after).collect();
    assert_eq!(saves, [Some(SaveSeq(5)), Some(SaveSeq(5))]);
}

#[test]
fn a_response_that_never_left_is_replaced_and_the_other_one_repeated() {
    let mut world = World::new(Over::Udp);
    let key = world.open(&request("REGISTER", "1"));
    assert!(!world.txn.replace_final(&mut world.fx.ctx(), key, response(500)), "there is none yet");
    world.txn.respond(&mut world.fx.ctx(), key, Status::OK, response(200), Some(SaveSeq(5)));
    world.fx.sent();
    assert!(world.txn.replace_final(&mut world.fx.ctx(), key, response(500)));
    world.audit();
    world.receive(&request("REGISTER", "1"));
    let sent = world.fx.sent();
    assert_eq!(sent.iter().map(summary).collect::<Vec<_>>(), ["500", "500"]);
    assert_eq!(sent.iter().map(|t| t.after).collect::<Vec<_>>(), [None, None]);
    world.run_out();
    assert!(!world.txn.replace_final(&mut world.fx.ctx(), key, response(500)), "it is gone");
    world.assert_nothing_left();
}

#[test]
fn a_second_final_response_is_dropped() {
    let mut world = World::new(Over::Udp);
    for method in ["INVITE", "OPTIONS"] {
        let key = world.open(&request(method, method));
        world.respond(key, 404);
        world.respond(key, 200);
        world.respond(key, 180);
        world.respond(key, 500);
        assert_eq!(world.sent(), ["send 404"], "{method}");
    }
}

#[test]
fn a_2xx_to_invite_is_repeated_by_the_tu_alone() {
    let mut world = World::new(Over::Udp);
    let key = world.open(&request("INVITE", "1"));
    world.respond(key, 200);
    assert_eq!(world.receive(&request("INVITE", "1")), RequestMatch::Absorbed);
    assert_eq!(world.sent(), ["send 200"]);
    world.respond(key, 200);
    assert_eq!(world.sent(), ["send 200"]);
    world.respond(key, 486);
    assert!(world.sent().is_empty());
}

#[test]
fn the_latest_provisional_response_is_the_one_repeated() {
    let mut world = World::new(Over::Udp);
    let key = world.open(&request("INVITE", "1"));
    world.receive(&request("INVITE", "1"));
    assert!(world.sent().is_empty(), "there is none yet");
    world.respond(key, 100);
    world.respond(key, 183);
    world.sent();
    world.receive(&request("INVITE", "1"));
    assert_eq!(world.sent(), ["send 183"]);
}

#[test]
fn an_invite_that_is_parked_gets_100_after_200_ms() {
    let mut world = World::new(Over::Udp);
    let key = world.open(&request("INVITE", "1"));
    world.trying(key);
    world.pass(ms(199));
    assert!(world.sent().is_empty());
    world.pass(ms(1));
    assert_eq!(world.sent(), ["send 100"]);
    assert_eq!(world.fx.stats.responses(Method::Invite, 1), 1);
    world.pass(Duration::from_secs(3600));
    assert!(world.sent().is_empty(), "and rings as long as the TU likes");
    assert!(world.txn.is_pending_invite(key));
}

#[test]
fn an_invite_answered_at_once_gets_no_100() {
    let mut world = World::new(Over::Udp);
    let key = world.open(&request("INVITE", "1"));
    world.trying(key);
    world.respond(key, 180);
    world.pass(ms(1000));
    assert_eq!(world.sent(), ["send 180"]);
    assert_eq!(world.fx.timers.len(), 0);
}

#[test]
fn a_100_to_a_non_invite_waits_until_timer_e_would_reach_t2() {
    let mut world = World::new(Over::Udp);
    let key = world.open(&request("MESSAGE", "1"));
    world.respond(key, 100);
    world.pass(ms(3499));
    world.receive(&request("MESSAGE", "1"));
    assert!(world.sent().is_empty());
    world.pass(ms(1));
    assert_eq!(world.sent(), ["send 100"]);
    world.receive(&request("MESSAGE", "1"));
    assert_eq!(world.sent(), ["send 100"]);
    world.respond(key, 200);
    assert_eq!(world.sent(), ["send 200"]);
    world.run_out();
    world.assert_nothing_left();
}

#[test]
fn a_100_that_is_late_enough_goes_out_at_once() {
    let mut world = World::new(Over::Udp);
    let key = world.open(&request("MESSAGE", "1"));
    world.pass(ms(3500));
    world.respond(key, 100);
    assert_eq!(world.sent(), ["send 100"]);
}

#[test]
fn over_a_stream_100_may_go_out_at_any_time() {
    let mut world = World::new(Over::Tcp);
    let key = world.open(&request("MESSAGE", "1"));
    world.respond(key, 100);
    assert_eq!(world.sent(), ["send 100"]);
}

#[test]
fn a_non_invite_never_hears_408_nor_ringing() {
    for over in [Over::Udp, Over::Tcp] {
        let mut world = World::new(over);
        let key = world.open(&request("MESSAGE", "1"));
        world.respond(key, 180);
        world.respond(key, 408);
        world.receive(&request("MESSAGE", "1"));
        world.respond(key, 200);
        assert!(world.sent().is_empty());
        world.run_out();
        world.assert_nothing_left();
    }
}

#[test]
fn an_invite_may_hear_408() {
    let mut world = World::new(Over::Udp);
    let key = world.open(&request("INVITE", "1"));
    world.respond(key, 408);
    assert_eq!(world.sent(), ["send 408"]);
}

#[test]
fn the_ack_ends_the_repetitions_of_a_refusal() {
    let mut world = World::new(Over::Udp);
    let key = world.open(&request("INVITE", "1"));
    world.respond(key, 486);
    world.pass(ms(1600));
    assert_eq!(world.sent(), ["send 486", "send 486", "send 486"]);
    assert_eq!(world.receive(&request("ACK", "1")), RequestMatch::Absorbed);
    assert_eq!(world.receive(&request("ACK", "1")), RequestMatch::Absorbed);
    assert_eq!(world.receive(&request("INVITE", "1")), RequestMatch::Absorbed);
    world.pass(ms(4999));
    assert_eq!(world.txn.len(), 1);
    world.pass(ms(1));
    assert!(world.sent().is_empty());
    world.assert_nothing_left();
}

#[test]
fn a_jump_of_the_clock_repeats_once_and_gives_up_in_time() {
    let mut world = World::new(Over::Udp);
    let key = world.open(&request("INVITE", "1"));
    world.respond(key, 486);
    world.sent();
    world.fx.advance(Duration::from_secs(31));
    while world.run_due().is_some() {}
    assert_eq!(world.sent(), ["send 486"]);
    let told: Vec<_> = core::iter::from_fn(|| world.step()).filter_map(|(_, told)| told).collect();
    assert_eq!(told, ["tell NoAck"]);
    assert_eq!(world.fx.now.since(world.start), Duration::from_secs(32));
}

#[test]
fn timers_are_never_early_and_at_most_a_tick_late() {
    let mut world = World::new(Over::Udp);
    world.fx.advance(Duration::from_nanos(1));
    let key = world.open(&request("INVITE", "1"));
    world.respond(key, 486);
    let (mut last, begun) = (world.fx.now, world.fx.now);
    let mut expected = [500, 1000, 2000, 4000, 4000, 4000, 4000, 4000, 4000, 4000].map(ms).into_iter();
    while let Some((timer, _)) = world.step() {
        let (due, at) = match expected.next() {
            Some(interval) => (interval, world.fx.now.since(last)),
            None => (Duration::from_secs(32), world.fx.now.since(begun)),
        };
        assert!(at >= due && at <= due + ms(1), "{timer:?} after {at:?}");
        last = world.fx.now;
    }
}

#[test]
fn a_clone_goes_on_alike() {
    let mut world = World::new(Over::Udp);
    let key = world.open(&request("INVITE", "1"));
    world.respond(key, 486);
    world.pass(ms(700));
    let mut copy = world.clone();
    assert_eq!(world.run_out(), copy.run_out());
}
