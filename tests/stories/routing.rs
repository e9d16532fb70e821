//! A program that says where calls and messages go: the next step when nobody takes the first, what it knows when it is
//! asked, and what becomes of those who wait for it.

use strowger_core::config::{CallsConfig, Config, MessagesConfig, PresenceConfig};
use strowger_core::door::{PresenceState, RouteAnswer, RouteQuery, RouteTarget};
use strowger_sim::network::Link;
use strowger_sim::phone::call::{Ending, Manners, State};
use strowger_sim::{PhoneId, World};

use crate::{ms, s};

const BOB: &str = "sip:bob@example.com";
const SHOWN: &[&str] = &["CSeq", "To"];

/// Alice, bob and carol are registered, and what is for bob goes to carol when he does not take it.
fn world(seed: u64, change: impl FnOnce(&mut Config)) -> (World, [PhoneId; 3]) {
    let mut world = World::with(seed, |config| {
        config.calls = Some(CallsConfig { target_timeout: s(20), ..CallsConfig::default() });
        config.messages = Some(MessagesConfig::default());
        change(config);
    });
    world.on_route(bob_then_carol);
    let phones = ["alice", "bob", "carol"].map(|name| {
        let phone = world.phone(name);
        world.act(phone, |p, now| p.register(now, 3600));
        world.run_for(ms(200));
        phone
    });
    (world, phones)
}

fn bob_then_carol(query: &RouteQuery) -> RouteAnswer {
    let target = |user: &str, q| RouteTarget { q, ..RouteTarget::new(format!("sip:{user}@example.com")) };
    match &*query.to {
        "bob@example.com" => RouteAnswer::Targets(vec![target("bob", 1000), target("carol", 500)]),
        _ => RouteAnswer::Default,
    }
}

#[test]
fn a_message_nobody_of_the_first_step_takes_goes_to_the_next_one() {
    let (mut world, [alice, bob, carol]) = world(1, |_| {});
    world[bob].habits.texts = Some(480);
    let sent = world.act(alice, |p, now| p.text(now, BOB, "Is anybody there?"));
    world.run_for(s(1));
    assert_eq!(world[alice].sent(sent).status(), Some(200));
    assert_eq!((world[bob].read().len(), world[carol].read()), (0, vec!["Is anybody there?"]));
    world.note("carol does not take messages either");
    world[carol].habits.texts = Some(486);
    let sent = world.act(alice, |p, now| p.text(now, BOB, "Nobody?"));
    world.run_for(s(1));
    assert_eq!(world[alice].sent(sent).status(), Some(486), "he is there, and busy");
    world.note("bob wants no messages at all");
    (world[bob].habits.texts, world[carol].habits.texts) = (Some(603), Some(200));
    let sent = world.act(alice, |p, now| p.text(now, BOB, "Bob?"));
    world.run_for(s(1));
    assert_eq!((world[alice].sent(sent).status(), world[carol].read().len()), (Some(603), 1));
    insta::assert_snapshot!(world.ladder().only(SHOWN).bodies());
    world.finish();
}

#[test]
fn who_says_nothing_to_a_message_has_half_of_the_time_and_then_the_next_one_is_asked() {
    let (mut world, [alice, bob, carol]) = world(2, |_| {});
    world[bob].habits.texts = None;
    let sent = world.act(alice, |p, now| p.text(now, BOB, "hello"));
    let began = world.now;
    assert!(world.run_until(s(32), |world| !world[carol].inbox().is_empty()));
    let waited = world.now.since(began);
    assert!(waited > s(13) && waited < s(16), "{waited:?}");
    world.run_for(s(1));
    assert_eq!(world[alice].sent(sent).statuses, [200], "before she gives up");
    world.finish();
}

#[test]
fn over_a_bad_network_every_message_is_answered_and_is_where_that_says() {
    for seed in 0..20 {
        let (mut world, phones @ [alice, bob, carol]) = world(100 + seed, |_| {});
        phones.iter().for_each(|phone| world.link(*phone, Link::BAD));
        world[bob].habits.texts = if seed % 2 == 0 { Some(480) } else { None };
        let sent: Vec<usize> = (0..5)
            .map(|n| {
                let sent = world.act(alice, |p, now| p.text(now, BOB, &format!("number {n}")));
                world.run_for(s(5));
                sent
            })
            .collect();
        world.run_for(s(60));
        for at in sent {
            let text = world[alice].sent(at);
            let times = world[carol].read().iter().filter(|body| **body == text.body).count();
            assert!(text.status().is_some(), "seed {seed}: {:?} was never answered", text.body);
            assert!(times <= 1, "seed {seed}: {:?} came {times} times", text.body);
            assert!(text.status() != Some(200) || times == 1, "seed {seed}: {:?} was lost", text.body);
        }
        world.finish();
    }
}

#[test]
fn a_call_nobody_of_the_first_step_takes_goes_to_the_next_one() {
    for (seed, manners) in
        [(3, Manners::says(486)), (4, Manners::silent()), (5, Manners::default()), (6, Manners::says(480))]
    {
        let (mut world, [alice, bob, carol]) = world(seed, |_| {});
        world[bob].manners = manners;
        world[carol].manners = Manners::answers(s(2));
        world.call(alice, "bob");
        assert!(
            world.run_until(s(30), |world| world[alice].talk().state == State::Talking),
            "{}",
            world.ladder()
        );
        assert_eq!(world.talk(carol).state, State::Talking);
        world.hang_up(alice);
        world.finish();
    }
}

#[test]
fn a_caller_may_give_up_while_the_program_thinks_and_waits_no_longer_than_he_must() {
    let (mut world, [alice, bob, _]) = world(7, |_| {});
    world.thinks = s(3);
    world.call(alice, "bob");
    world.run_for(s(1));
    world.hang_up(alice);
    world.run_for(s(5));
    assert_eq!(
        (world.talk(alice).ending.clone(), world.talk(alice).last()),
        (Some(Ending::Cancelled), Some(487))
    );
    world.note("the program thinks for too long");
    world.thinks = s(60);
    world.call(alice, "bob");
    let text = world.act(alice, |p, now| p.text(now, BOB, "hello"));
    world.run_for(s(10));
    assert_eq!(world.talk(alice).ending, Some(Ending::Refused(503)));
    assert_eq!(world[alice].sent(text).status(), Some(503));
    assert!(world[bob].calls().is_empty() && world[bob].inbox().is_empty());
    world.run_for(s(60));
    insta::assert_snapshot!(world.ladder().only(SHOWN));
    world.finish();
}

/// Bob, with the note of a phone that is not to be disturbed.
const DISTURB_NOT: &str = "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
     xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"sip:bob@example.com\"><tuple id=\"t\"><status><basic>open\
     </basic></status></tuple><dm:person id=\"p\"><rpid:activities><rpid:busy/><rpid:other>dnd</rpid:other>\
     </rpid:activities></dm:person></presence>";

#[test]
fn whoever_asks_not_to_be_disturbed_is_not_and_a_call_that_rings_already_goes_on() {
    let (mut world, [alice, bob, carol]) =
        world(8, |config| config.presence = Some(PresenceConfig::default()));
    world.on_route(|query| match query.presence.as_ref().map(|seen| seen.state) {
        Some(PresenceState::DoNotDisturb) => RouteAnswer::Reject { status: 480, reason: None },
        _ => RouteAnswer::Default,
    });
    world[bob].manners = Manners::answers(s(10));
    world.call(alice, "bob");
    world.run_for(s(3));
    assert_eq!(world.talk(alice).state, State::Ringing);
    let said = world.act(bob, |p, now| p.publish(now, DISTURB_NOT, 600));
    world.run_for(s(10));
    assert_eq!([alice, bob].map(|phone| world.talk(phone).state), [State::Talking; 2]);
    world.hang_up(alice);
    world.run_for(s(1));
    world.call(carol, "bob");
    world.run_for(s(1));
    assert_eq!(world.talk(carol).ending, Some(Ending::Refused(480)));
    world.act(bob, |p, now| p.unpublish(now, said));
    world.run_for(s(1));
    world.call(carol, "bob");
    world.run_for(s(12));
    assert_eq!(world.talk(carol).state, State::Talking);
    world.hang_up(carol);
    world.finish();
}
