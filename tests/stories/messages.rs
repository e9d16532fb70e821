//! Instant messages from phone to phone (RFC 3428): to all phones, kept for who is away, over bad networks and restarts.

use strowger_core::config::{CallsConfig, Config, MessagesConfig, PresenceConfig};
use strowger_core::stats::Counter;
use strowger_sim::network::Link;
use strowger_sim::phone::Via;
use strowger_sim::phone::call::Manners;
use strowger_sim::phone::watcher::Wish;
use strowger_sim::store::{Durability, Keeps};
use strowger_sim::{PhoneId, World};

use crate::{ms, s};

const BOB: &str = "sip:bob@example.com";
const SHOWN: &[&str] = &["CSeq", "Date", "Expires", "Subject"];

fn world(seed: u64) -> World {
    world_with(seed, |_| {})
}

fn world_with(seed: u64, change: impl FnOnce(&mut Config)) -> World {
    World::with(seed, |c| {
        c.messages = Some(MessagesConfig { default_expires: 86_400, ..MessagesConfig::default() });
        change(c);
    })
}

/// A phone that is registered.
fn there(world: &mut World, name: &str, user: &str) -> PhoneId {
    let phone = world.phone_of(name, user);
    world.act(phone, |p, now| p.register(now, 600));
    world.run_for(s(1));
    phone
}

fn text(world: &mut World, from: PhoneId, to: &str, body: &str) -> usize {
    world.act(from, |p, now| p.text(now, to, body))
}

fn kept(world: &World) -> usize {
    world.engine().map_or(0, |engine| engine.sizes().stored_messages)
}

#[test]
fn a_message_reaches_all_phones_of_its_recipient() {
    let mut world = world(1);
    let alice = there(&mut world, "alice", "alice");
    let (desk, cell) = (there(&mut world, "desk", "bob"), there(&mut world, "cell", "bob"));
    let sent = text(&mut world, alice, BOB, "Lunch at noon?");
    world.run_for(s(1));
    assert_eq!(world[alice].sent(sent).statuses, [200], "it has proved who it is before");
    assert_eq!((world[desk].read(), world[cell].read()), (vec!["Lunch at noon?"], vec!["Lunch at noon?"]));
    world.note("bob answers from his desk");
    let back = text(&mut world, desk, "sip:alice@example.com", "Yes.");
    world.run_for(s(1));
    assert_eq!(world[desk].sent(back).status(), Some(200));
    assert_eq!(world[alice].read(), ["Yes."]);
    insta::assert_snapshot!(world.ladder().only(SHOWN).bodies());
    world.finish();
}

#[test]
fn every_message_of_a_delivery_in_full() {
    let mut world = world(1);
    let bob = there(&mut world, "bob", "bob");
    let alice = world.phone("alice");
    world.act(alice, |p, now| p.text_with(now, BOB, "Lunch?", &[("Subject", "today"), ("X-Mood", "hungry")]));
    world.run_for(s(1));
    assert_eq!(world[bob].read(), ["Lunch?"]);
    insta::assert_snapshot!(world.ladder().whole());
    world.finish();
}

#[test]
fn what_is_sent_to_somebody_who_is_away_waits_for_his_next_phone() {
    let mut world = world(2);
    let alice = world.phone("alice");
    world.act(alice, |p, now| p.register(now, 7200));
    world.run_for(s(1));
    let sent: Vec<usize> =
        ["one", "two", "three"].iter().map(|body| text(&mut world, alice, BOB, body)).collect();
    world.run_for(s(1));
    assert!(sent.iter().all(|text| world[alice].sent(*text).status() == Some(202)));
    assert_eq!(kept(&world), 3);
    world.run_for(s(3600));
    world.note("bob switches his phone on");
    let bob = there(&mut world, "bob", "bob");
    assert_eq!(world[bob].read(), ["one", "two", "three"]);
    let date = world[bob].inbox()[0].message.header("Date").map(str::to_owned);
    assert!(date.is_some_and(|date| date.ends_with("GMT")));
    assert_eq!(kept(&world), 0);
    world.note("and another one, which gets nothing of it");
    let cell = there(&mut world, "cell", "bob");
    assert!(world[cell].inbox().is_empty());
    insta::assert_snapshot!(world.ladder().only(SHOWN).bodies());
    world.finish();
}

#[test]
fn a_phone_that_is_asleep_gets_its_messages_when_it_is_back() {
    let mut world = world(3);
    let alice = there(&mut world, "alice", "alice");
    let bob = world.phone("bob");
    world[bob].habits.via = Via::Tcp;
    world[bob].habits.instance = Some("urn:uuid:00000000-0000-1000-8000-0000000000b1".into());
    world[bob].habits.reg_id = Some(1);
    world[bob].habits.retry = s(600);
    world.act(bob, |p, now| p.register(now, 3600));
    world.run_for(s(1));
    world.note("its connection breaks, and it does not care");
    world.break_flow(bob, true);
    world.run_for(s(1));
    let sent = text(&mut world, alice, BOB, "Are you there?");
    world.run_for(s(1));
    assert_eq!((world[alice].sent(sent).status(), kept(&world)), (Some(202), 1));
    world.run_for(s(700));
    assert_eq!((world[bob].read(), kept(&world)), (vec!["Are you there?"], 0));
    world.finish();
}

#[test]
fn a_phone_that_cannot_take_it_now_is_asked_again_when_it_registers_again() {
    let mut world = world(4);
    let alice = there(&mut world, "alice", "alice");
    text(&mut world, alice, BOB, "hello");
    world.run_for(s(1));
    let bob = world.phone("bob");
    world[bob].habits.texts = Some(480);
    world.act(bob, |p, now| p.register(now, 100));
    world.run_for(s(1));
    assert_eq!((world[bob].inbox().len(), kept(&world)), (1, 1));
    world[bob].habits.texts = None;
    world.run_for(s(95));
    assert_eq!((world[bob].inbox().len(), kept(&world)), (2, 1), "asked again, and silent");
    world[bob].habits.texts = Some(200);
    world.run_for(s(200));
    assert_eq!((world[bob].read(), kept(&world)), (vec!["hello"], 0));
    world.finish();
}

#[test]
fn nobody_writes_in_the_name_of_another_but_in_nobodys_he_may() {
    let mut world = world(5);
    let (alice, bob) = (there(&mut world, "alice", "alice"), there(&mut world, "bob", "bob"));
    let statuses: Vec<Option<u16>> = [
        "<sip:alice@example.com>;tag=1",
        "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=2",
        "<sip:carol@example.com>;tag=3",
        "<sip:alice@elsewhere.example>;tag=4",
    ]
    .iter()
    .map(|from| {
        let sent = world.act(alice, |p, now| p.text_with(now, BOB, from, &[("From", from)]));
        world.run_for(s(1));
        world[alice].sent(sent).status()
    })
    .collect();
    assert_eq!(statuses, [Some(200), Some(200), Some(403), Some(403)]);
    assert_eq!(world[bob].inbox().len(), 2);
    let nobody = text(&mut world, alice, "sip:nobody@example.com", "hi");
    let elsewhere = text(&mut world, alice, "sip:bob@elsewhere.example", "hi");
    world.run_for(s(1));
    let status = |text| world[alice].sent(text).status();
    assert_eq!((status(nobody), status(elsewhere)), (Some(404), Some(403)));
    let eve = world.impostor("eve", "alice", "guess");
    let sent = text(&mut world, eve, BOB, "It is me, Alice.");
    world.run_for(s(1));
    assert_eq!(world[eve].sent(sent).status(), Some(401));
    assert_eq!(world[bob].inbox().len(), 2);
    world.finish();
}

#[test]
fn over_a_bad_network_what_was_said_to_be_taken_was_taken_once() {
    for seed in 0..12 {
        let mut world = world(100 + seed);
        let (alice, carol) = (there(&mut world, "alice", "alice"), there(&mut world, "carol", "carol"));
        let bob = there(&mut world, "bob", "bob");
        for phone in [alice, carol, bob] {
            world.link(phone, Link::BAD);
        }
        let mut sent = Vec::new();
        for round in 0..10 {
            for (from, name) in [(alice, "alice"), (carol, "carol")] {
                sent.push((from, text(&mut world, from, BOB, &format!("{name} {round}"))));
            }
            world.run_for(ms(700));
        }
        world.run_for(s(60));
        let read = world[bob].read();
        for (from, at) in sent {
            let text = world[from].sent(at);
            let times = read.iter().filter(|body| **body == text.body).count();
            assert!(times <= 1, "seed {seed}: {:?} came {times} times", text.body);
            assert!(text.status() != Some(200) || times == 1, "seed {seed}: {:?} was lost", text.body);
        }
        // One at a time was on its way to him, whoever sent it.
        assert!(world.engine().is_some_and(|e| e.sizes().messages == 0));
        world.finish();
    }
}

#[test]
fn what_was_kept_survives_the_server() {
    for (durability, keeps) in [(Durability::Behind, Keeps::All), (Durability::Strict, Keeps::All)] {
        let mut world = world(7);
        world.store.keeps = keeps;
        world.store.durability = durability;
        let alice = there(&mut world, "alice", "alice");
        let sent = text(&mut world, alice, BOB, "before");
        world.run_for(s(1));
        assert_eq!(world[alice].sent(sent).status(), Some(202));
        world.restart();
        assert_eq!(kept(&world), 1);
        let bob = there(&mut world, "bob", "bob");
        assert_eq!(world[bob].read(), ["before"]);
        world.restart();
        assert_eq!(kept(&world), 0, "what was taken is not sent again");
        world.finish();
    }
}

#[test]
fn a_message_that_cannot_be_stored_is_not_said_to_be_kept() {
    let mut world = world(8);
    world.store.keeps = Keeps::All;
    world.store.durability = Durability::Strict;
    let alice = there(&mut world, "alice", "alice");
    world.store.failures = 1;
    let sent = text(&mut world, alice, BOB, "lost");
    world.run_for(s(1));
    assert_eq!((world[alice].sent(sent).status(), kept(&world)), (Some(500), 0));
    world.finish();
}

#[test]
fn many_who_write_to_one_phone_take_their_turns() {
    let mut world = world(9);
    let bob = there(&mut world, "bob", "bob");
    world.link(bob, Link { delay: ms(200), ..Link::GOOD });
    let senders: Vec<PhoneId> = (0..8).map(|n| there(&mut world, &format!("alice{n}"), "alice")).collect();
    let sent: Vec<(PhoneId, usize)> =
        senders.iter().map(|from| (*from, text(&mut world, *from, BOB, "hello"))).collect();
    world.run_for(s(10));
    assert!(sent.iter().all(|(from, at)| world[*from].sent(*at).status() == Some(200)));
    let at: Vec<_> = world[bob].inbox().iter().map(|got| got.at).collect();
    assert_eq!(at.len(), 8);
    assert!(
        at.windows(2).all(|pair| pair[1].since(pair[0]) >= ms(400)),
        "each waits for the one before: {at:?}"
    );
    world.finish();
}

#[test]
fn a_message_nobody_comes_for_is_given_up() {
    let mut world = world_with(10, |c| c.limits.stored_messages_per_aor = 2);
    let alice = there(&mut world, "alice", "alice");
    let sent: Vec<usize> = (0..3)
        .map(|n| world.act(alice, |p, now| p.text_with(now, BOB, &format!("{n}"), &[("Expires", "300")])))
        .collect();
    world.run_for(s(1));
    let statuses: Vec<_> = sent.iter().map(|at| world[alice].sent(*at).status()).collect();
    assert_eq!(statuses, [Some(202), Some(202), Some(480)]);
    world.run_for(s(300));
    assert_eq!(kept(&world), 0);
    let expired = world.engine().map(|e| e.stats().counter(Counter::MessagesExpired));
    assert_eq!(expired, Some(2));
    let bob = there(&mut world, "bob", "bob");
    assert!(world[bob].inbox().is_empty());
    world.finish();
}

#[test]
fn who_calls_is_on_the_phone_to_those_who_watch_him() {
    let mut world = world_with(11, |c| {
        c.calls = Some(CallsConfig::default());
        c.presence = Some(PresenceConfig::default());
    });
    let (alice, bob) = (there(&mut world, "alice", "alice"), there(&mut world, "bob", "bob"));
    let carol = world.phone("carol");
    world[bob].manners = Manners::answers(s(10));
    let watch = world.act(carol, |p, now| p.watch(now, BOB, 600));
    let lamp = world.act(carol, |p, now| p.subscribe(now, Wish::dialog(BOB, 600)));
    let own = world.act(bob, |p, now| p.subscribe(now, Wish::dialog(BOB, 600)));
    world.run_for(s(10));
    let seen = |world: &World, phone: PhoneId, at: usize| {
        world[phone].watched(at).document.clone().unwrap_or_default()
    };
    assert!(seen(&world, carol, lamp).contains("<state>terminated</state>"));
    let call = world.act(alice, |p, now| p.call(now, BOB));
    world.run_for(s(5));
    assert!(seen(&world, carol, lamp).contains("<state>early</state>"));
    assert!(seen(&world, bob, own).contains("direction=\"recipient\"><state>early</state>"));
    assert!(!seen(&world, carol, watch).contains("on-the-phone"));
    world.run_for(s(15));
    assert!(seen(&world, carol, lamp).contains("<state>confirmed</state>"));
    assert!(!seen(&world, carol, lamp).contains("alice"));
    assert!(seen(&world, bob, own).contains("sip:alice@example.com"));
    assert!(seen(&world, carol, watch).contains("on-the-phone"));
    world.act(alice, |p, now| p.hang_up(now, call));
    world.run_for(s(15));
    assert!(seen(&world, carol, lamp).contains("<state>terminated</state>"));
    assert!(seen(&world, bob, own).contains("<state event=\"remote-bye\">terminated</state>"));
    assert!(!seen(&world, carol, watch).contains("on-the-phone"));
    assert!(world.engine().is_some_and(|e| e.sizes().lines == 0));
    world.finish();
}
