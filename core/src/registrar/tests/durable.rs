//! Saves, what happens if one fails, and the next life: DECISIONS 19, RFC 3261 s10.3 step 7.

use insta::assert_snapshot;

use super::{Phone, World};
use crate::door::{Change, Command, SaveSeq, Transport};

fn durable() -> World {
    World::of(|config| config.tell.changes = true)
}

fn bob() -> Phone {
    Phone::at("198.51.100.7:5060")
}

fn fail(world: &mut World, seq: u64) {
    world.registrar.on_save_failed(&mut world.fixture.ctx(), SaveSeq(seq));
    world.registrar.tell_pending(&mut world.fixture.ctx());
    world.registrar.location.check();
}

#[test]
fn changes_come_before_events_and_each_has_its_number() {
    let mut world = durable();
    let mut phone = bob().and_contact("<sip:bob@198.51.100.7:5062>;q=0.5");
    let registered = world.try_register(&phone.origin(&world), &phone.request()).expect("accepted");
    assert_eq!(registered.save, Some(SaveSeq(2)), "the response waits for the last of them");
    world.registrar.tell_pending(&mut world.fixture.ctx());
    world.send(phone.again());
    world.sleep(7200);
    assert_snapshot!(world.commands(), @r"
    Save 1 put bob@example.com #1 sip:bob@198.51.100.7:5060
    Save 2 put bob@example.com #2 sip:bob@198.51.100.7:5062
    Registered bob@example.com sip:bob@198.51.100.7:5060
    Registered bob@example.com sip:bob@198.51.100.7:5062
    Save 3 refresh #1
    Save 4 refresh #2
    Refreshed bob@example.com sip:bob@198.51.100.7:5060
    Refreshed bob@example.com sip:bob@198.51.100.7:5062
    Save 5 remove bob@example.com #1
    Expired bob@example.com sip:bob@198.51.100.7:5060
    Save 6 remove bob@example.com #2
    Expired bob@example.com sip:bob@198.51.100.7:5062
    ");
}

#[test]
fn a_save_that_fails_takes_the_whole_request_back() {
    let mut world = durable();
    world
        .send(&bob().contact("<sip:bob@198.51.100.7:5060>;q=0.3").and_contact("<sip:bob@198.51.100.7:5062>"));
    world.registrar.on_saved(SaveSeq(2));
    world.commands();
    let change = bob()
        .call("1@phone", 2)
        .contact("<sip:bob@198.51.100.7:5060>;q=0.9")
        .and_contact("<sip:bob@198.51.100.7:5062>;expires=0")
        .and_contact("<sip:bob@198.51.100.7:5064>");
    world.send(&change);
    assert_snapshot!(world.commands(), @r"
    Save 3 put bob@example.com #1 sip:bob@198.51.100.7:5060
    Save 4 remove bob@example.com #2
    Save 5 put bob@example.com #3 sip:bob@198.51.100.7:5064
    Refreshed bob@example.com sip:bob@198.51.100.7:5060
    Unregistered bob@example.com sip:bob@198.51.100.7:5062
    Registered bob@example.com sip:bob@198.51.100.7:5064
    ");
    fail(&mut world, 4);
    // The store may have taken the others: they are taken back there too.
    assert_snapshot!(world.commands(), @r"
    Save 6 remove bob@example.com #3
    Save 7 put bob@example.com #1 sip:bob@198.51.100.7:5060
    Removed bob@example.com sip:bob@198.51.100.7:5064
    Registered bob@example.com sip:bob@198.51.100.7:5062
    Refreshed bob@example.com sip:bob@198.51.100.7:5060
    ");
    let mut left: Vec<_> =
        world.lookup("bob@example.com").iter().map(|v| (v.contact.to_string(), v.q, v.cseq)).collect();
    left.sort();
    assert_eq!(
        left,
        [("sip:bob@198.51.100.7:5060".into(), 300, 1), ("sip:bob@198.51.100.7:5062".into(), 1000, 1)]
    );
    // The phone tries again with the next CSeq.
    assert!(world.send(&change.call("1@phone", 3)).starts_with("SIP/2.0 200"));
    world.sleep(7200);
    world.registrar.on_saved(SaveSeq(100));
    world.assert_empty();
}

#[test]
fn a_first_registration_that_cannot_be_saved_leaves_nothing() {
    let mut world = durable();
    world.send(&bob());
    fail(&mut world, 1);
    world.assert_empty();
    assert!(world.send(&bob()).starts_with("SIP/2.0 200"), "and the same CSeq is taken");
}

#[test]
fn a_later_change_survives_the_failure_of_an_earlier_one() {
    let mut world = durable();
    let mut phone = bob();
    world.send(&phone);
    world.registrar.on_saved(SaveSeq(1));
    world.send(phone.again());
    world.send(phone.again());
    fail(&mut world, 2);
    assert_eq!(world.lookup("bob@example.com")[0].cseq, 3);
    // If that one fails too, what comes back is the last that was durable.
    fail(&mut world, 3);
    assert_eq!(world.lookup("bob@example.com")[0].cseq, 1);
    fail(&mut world, 3);
    fail(&mut world, 99);
    assert_eq!(world.lookup("bob@example.com")[0].cseq, 1);
}

#[test]
fn the_next_life_begins_where_the_last_one_ended() {
    let mut world = durable();
    world.fixture.wall_offset = 5_000_000_000;
    let tcp = world.connect(Transport::Tcp, "198.51.100.9:50000");
    world.send(
        &bob().contact("<sip:bob@198.51.100.7:5060>;+sip.instance=\"<urn:uuid:1>\";q=0.5;methods=\"INVITE\""),
    );
    world.send(&Phone::at("198.51.100.8:5060").call("b", 1).contact("<sip:bob@10.0.0.4>;expires=200"));
    world.send(
        &Phone::at("198.51.100.9:50000")
            .over(tcp)
            .call("c", 1)
            .contact("<sip:bob@198.51.100.9:5060;transport=tcp>;q=0.1"),
    );
    world.send(&Phone::at("198.51.100.3:5060").call("d", 1).contact("<sip:bob@198.51.100.3>;expires=100"));
    world.registrar.remove(&mut world.fixture.ctx(), "bob@example.com", Some("sip:bob@198.51.100.3"));
    let before = world.lookup("bob@example.com");
    let changes: Vec<Change> = world
        .fixture
        .commands()
        .into_iter()
        .filter_map(|command| match command {
            Command::Save(_, change) => Some(change),
            _ => None,
        })
        .collect();

    // Another process, whose clock runs from elsewhere, a minute later; sockets come up after the restore.
    let mut next = durable();
    next.fixture.wall_offset = 35_000_000_000;
    next.fixture.advance(core::time::Duration::from_secs(30));
    for change in changes {
        next.registrar.restore(&mut next.fixture.ctx(), change);
        next.registrar.location.check();
    }
    assert_eq!(next.commands(), "", "nothing is told or saved again");
    let after = next.lookup("bob@example.com");
    assert_eq!(after.len(), 3);
    for (old, new) in before.iter().zip(&after) {
        let at = |view: &crate::door::BindingView, offset: u64| view.expires_at.as_secs() + offset;
        assert_eq!(at(old, 5), at(new, 35), "ends at the same time of the wall clock");
        assert_eq!(
            (&old.contact, &old.params, old.q, old.cseq),
            (&new.contact, &new.params, new.q, new.cseq)
        );
        assert_eq!((&old.call_id, &old.instance, old.received), (&new.call_id, &new.instance, new.received));
    }
    let flows: Vec<_> =
        after.iter().map(|view| (view.transport, view.flow.is_some(), view.reachable)).collect();
    // The TCP phone can be connected to; its old flow is gone.
    assert_eq!(
        flows,
        [(Transport::Udp, true, true), (Transport::Udp, true, true), (Transport::Tcp, false, true)]
    );
    // CSeq goes on, and the number of a new binding is new.
    assert!(
        next.send(&Phone::at("198.51.100.8:5060").call("b", 1).contact("<sip:bob@10.0.0.4>;q=0"))
            .starts_with("SIP/2.0 500")
    );
    next.send(&Phone::at("198.51.100.2:5060").call("e", 1));
    assert!(next.commands().contains("#4") || next.registrar.bindings() == 4);
    next.sleep(7200);
    next.registrar.on_saved(SaveSeq(100));
    next.assert_empty();
}

#[test]
fn what_ended_between_two_lives_is_removed_from_the_store() {
    let mut world = durable();
    world.send(&bob());
    let change = world.fixture.commands().into_iter().find_map(|command| match command {
        Command::Save(_, change) => Some(change),
        _ => None,
    });
    let mut next = durable();
    next.fixture.advance(core::time::Duration::from_secs(4000));
    next.registrar.restore(&mut next.fixture.ctx(), change.expect("it was saved"));
    assert_eq!(next.commands(), "Save 1 remove bob@example.com #1\n");
    next.assert_empty();
}

#[test]
fn the_log_of_a_host_that_never_confirms_stays_bounded() {
    let mut world = durable();
    let mut phone = bob();
    for _ in 0..17_000 {
        world.try_register(&phone.origin(&world), &phone.again().request()).expect("accepted");
        world.fixture.commands();
    }
    assert_eq!(world.registrar.undo.len(), 16_384);
}

#[test]
fn a_refresh_saves_what_is_new_and_anything_else_the_whole_binding() {
    let mut world = durable();
    let mut phone = bob();
    world.send(&phone);
    world.send(phone.again());
    world.send(phone.again());
    let moved = Phone::at("198.51.100.7:6060").call("1@phone", 9).contact("<sip:bob@198.51.100.7:5060>");
    world.send(&moved);
    world.send(&moved.call("1@phone", 10).contact("<sip:bob@198.51.100.7:5060>;q=0.4"));
    let saves: String = world
        .commands()
        .lines()
        .filter(|l| l.starts_with("Save"))
        .fold(String::new(), |all, l| all + l + "\n");
    assert_snapshot!(saves, @r"
    Save 1 put bob@example.com #1 sip:bob@198.51.100.7:5060
    Save 2 refresh #1
    Save 3 refresh #1
    Save 4 put bob@example.com #1 sip:bob@198.51.100.7:5060
    Save 5 put bob@example.com #1 sip:bob@198.51.100.7:5060
    ");
}

#[test]
fn a_restored_refresh_is_part_of_its_binding() {
    let mut world = durable();
    let mut phone = bob();
    world.send(&phone);
    world.sleep(1000);
    world.send(phone.again());
    let (view, commands) = (world.lookup("bob@example.com"), world.fixture.commands());
    let mut next = durable();
    next.fixture.advance(core::time::Duration::from_secs(1000));
    for command in commands {
        if let Command::Save(_, change) = command {
            next.registrar.restore(&mut next.fixture.ctx(), change);
        }
    }
    let restored = next.lookup("bob@example.com");
    assert_eq!((restored[0].cseq, restored[0].expires_at), (2, view[0].expires_at));
}

#[test]
fn a_host_that_stores_behind_has_nothing_taken_back() {
    let mut world = World::of(|config| (config.tell.changes, config.tell.behind) = (true, true));
    world.send(&bob());
    assert_eq!((world.registrar.undo.len(), world.lookup("bob@example.com").len()), (0, 1));
    fail(&mut world, 1);
    assert_eq!(world.lookup("bob@example.com").len(), 1);
}
