//! Messages waiting (RFC 3842): lamps of phones, voicemail servers that publish or just notify, who may hear and say what.

use strowger_core::config::{IpNet, MailboxRule, MessageSummaryConfig};
use strowger_core::door::{MessageSummary, PresenceRefusal};
use strowger_sim::phone::watcher::Wish;

use super::*;

const BOB: &str = "sip:bob@example.com";
const NONE: &str = "Messages-Waiting: no\r\nMessage-Account: sip:bob@example.com\r\n";

fn mailboxes(seed: u64, change: impl FnOnce(&mut Config)) -> World {
    World::with(seed, |c| {
        c.message_summary = Some(MessageSummaryConfig::default());
        c.accounts.push(strowger_sim::world::account("vm"));
        change(c);
    })
}

fn config(c: &mut Config) -> &mut MessageSummaryConfig {
    c.message_summary.as_mut().expect("on")
}

fn say(world: &mut World, new: u32, old: u32) {
    let summary = Some(MessageSummary::voice("sip:*97@example.com", new, old));
    let said = world.host(Request::SetMessageSummary { aor: "bob@example.com".into(), summary });
    assert_eq!(said, Some(ReplyBody::Done));
}

fn take_back(world: &mut World) {
    world.host(Request::SetMessageSummary { aor: "bob@example.com".into(), summary: None });
}

fn listens(world: &mut World, phone: PhoneId) -> usize {
    let watch = world.act(phone, |p, now| p.subscribe(now, Wish::mailbox(BOB, 3600)));
    world.run_for(s(1));
    watch
}

#[test]
fn a_lamp_is_lit_when_the_program_says_so_and_put_out_again() {
    let mut world = mailboxes(1, |_| {});
    let bob = world.phone("bob");
    let lamp = listens(&mut world, bob);
    assert_eq!(seen(&world, bob, lamp), NONE, "nothing was said yet");
    world.note("two new messages");
    say(&mut world, 2, 5);
    world.run_for(s(10));
    assert!(seen(&world, bob, lamp).contains("Messages-Waiting: yes"));
    world.note("bob hears one of them, and then the other");
    say(&mut world, 1, 6);
    world.run_for(ms(300));
    say(&mut world, 0, 7);
    say(&mut world, 0, 7);
    world.run_for(s(10));
    assert!(seen(&world, bob, lamp).contains("Voice-Message: 0/7"));
    assert_eq!(world[bob].watched(lamp).notified.len(), 4, "no faster than once a second");
    let known = world.host(Request::MessageSummary { aor: "sip:bob@EXAMPLE.com".into() });
    let Some(ReplyBody::MessageSummary(Some(known))) = known else { panic!("{known:?}") };
    assert!(!known.waiting);
    world.note("the program forgets the mailbox");
    take_back(&mut world);
    world.run_for(s(10));
    assert_eq!(seen(&world, bob, lamp), NONE);
    world.act(bob, |p, now| p.unwatch(now, lamp));
    world.run_for(s(1));
    insta::assert_snapshot!(world.ladder().only(SHOWN).bodies());
    world.finish();
}

#[test]
fn every_message_of_a_lamp_in_full() {
    let mut world = mailboxes(2, |_| {});
    let bob = world.phone("bob");
    listens(&mut world, bob);
    insta::assert_snapshot!(world.ladder().whole());
    world.finish();
}

#[test]
fn a_voicemail_server_with_an_account_publishes_refreshes_and_dies() {
    let mut world = mailboxes(3, |c| {
        config(c).publishers = vec!["vm@example.com".into()];
        config(c).account = "sip:{user}@vm.example.com".into();
    });
    let (bob, vm) = (world.phone("bob"), world.phone("vm"));
    let lamp = listens(&mut world, bob);
    let body = "Messages-Waiting: yes\r\nVoice-Message: 1/0 (1/0)\r\n";
    let own = world.act(vm, |p, now| p.publish_mailbox(now, BOB, body, 120));
    world.run_for(s(5));
    assert!(
        seen(&world, bob, lamp)
            .contains("Message-Account: sip:bob@vm.example.com\r\nVoice-Message: 1/0 (1/0)")
    );
    world.run_for(s(600));
    assert_eq!(world[bob].watched(lamp).notified.len(), 2, "a refresh is no news");
    world.act(vm, |p, now| p.modify(now, own, "Messages-Waiting: no\r\nVoice-Message: 0/1\r\n"));
    world.run_for(s(5));
    assert!(seen(&world, bob, lamp).contains("Voice-Message: 0/1"));
    world.note("the voicemail server dies");
    world.act(vm, |p, _| p.power_off());
    world.run_for(s(120));
    assert!(!seen(&world, bob, lamp).contains("Voice-Message"));
    insta::assert_snapshot!(world.ladder().only(SHOWN).bodies());
    world.finish();
}

#[test]
fn a_trusted_voicemail_server_says_it_by_notify_where_that_is_configured() {
    let addr = "10.0.9.9:5060".parse().expect("an address");
    let body =
        "Messages-Waiting: yes\r\nMessage-Account: sip:*97@example.com\r\nVoice-Message: 3/1 (0/0)\r\n";
    let notify = |world: &mut World, vm: PhoneId, event: &str, kind: &str, body: &str| {
        world.act(vm, |p, now| {
            let headers = [("Event", event), ("Subscription-State", "terminated"), ("Content-Type", kind)];
            p.request_with(now, "NOTIFY", BOB, &headers, body);
        });
        world.run_for(s(1));
        world[vm].last().map(|f| f.status)
    };
    let (event, kind) = ("message-summary", "application/simple-message-summary");
    for accepted in [true, false] {
        let mut world = mailboxes(4, |c| {
            c.trusted = vec![IpNet::parse("10.0.9.9").expect("an address")];
            config(c).accept_notify = accepted;
        });
        let (bob, vm) = (world.phone("bob"), world.phone_at("asterisk", "asterisk", addr));
        let lamp = listens(&mut world, bob);
        assert_eq!(notify(&mut world, vm, event, kind, body), Some(if accepted { 200 } else { 405 }));
        assert_eq!(seen(&world, bob, lamp).contains("Voice-Message: 3/1"), accepted);
        if accepted {
            assert_eq!(notify(&mut world, vm, "presence", kind, body), Some(489));
            assert_eq!(notify(&mut world, vm, event, "text/plain", body), Some(415));
            assert_eq!(notify(&mut world, vm, event, kind, "Voice-Message: 1/1"), Some(400));
            world.note("a phone with an account says the same of somebody else, and is asked who it is");
            let alice = world.phone("alice");
            assert_eq!(notify(&mut world, alice, event, kind, body), Some(401));
            take_back(&mut world);
            world.run_for(s(1));
            insta::assert_snapshot!(world.ladder().only(SHOWN).bodies());
        }
        world.finish();
    }
}

#[test]
fn only_the_owner_and_who_is_allowed_hear_and_only_who_may_says() {
    let rule = MailboxRule { mailbox: "*@example.com".into(), watcher: "carol@example.com".into() };
    let mut world = mailboxes(5, |c| config(c).rules = vec![rule]);
    let [alice, bob, carol, vm] = ["alice", "bob", "carol", "vm"].map(|name| world.phone(name));
    let mut asked = Vec::new();
    for phone in [alice, bob, carol] {
        let lamp = listens(&mut world, phone);
        asked.push(world[phone].watched(lamp).statuses.last().copied());
    }
    assert_eq!(asked, [Some(403), Some(200), Some(200)]);
    let body = "Messages-Waiting: yes\r\n";
    let said = [alice, vm, bob].map(|phone| {
        let own = world.act(phone, |p, now| p.publish_mailbox(now, BOB, body, 60));
        world.run_for(s(1));
        world[phone].published(own).statuses.last().copied()
    });
    assert_eq!(said, [Some(403), Some(403), Some(200)]);
    // Presence is off here, and its packages are unknown.
    let watch = world.act(alice, |p, now| p.watch(now, BOB, 600));
    world.run_for(s(1));
    assert_eq!(world[alice].watched(watch).statuses.last(), Some(&489));
    world.act(bob, |p, now| p.unpublish(now, 0));
    world.run_for(s(1));
    world.finish();
}

#[test]
fn without_the_package_nothing_can_be_heard_or_said() {
    let mut world = world(6);
    let bob = world.phone("bob");
    let lamp = listens(&mut world, bob);
    assert_eq!(world[bob].watched(lamp).statuses.last(), Some(&489));
    let said = world.host(Request::SetMessageSummary { aor: "bob@example.com".into(), summary: None });
    assert_eq!(said, Some(ReplyBody::NoPresence(PresenceRefusal::MessagesOff)));
    world.finish();
    let mut world = mailboxes(7, |c| c.limits.mailboxes = 1);
    let summary = || Some(MessageSummary::voice("sip:a@b", 1, 0));
    let mut say = |aor: &str, summary| world.host(Request::SetMessageSummary { aor: aor.into(), summary });
    assert_eq!(say("bob@elsewhere.org", summary()), Some(ReplyBody::NoPresence(PresenceRefusal::NotOurs)));
    assert_eq!(say("bob@example.com", summary()), Some(ReplyBody::Done));
    assert_eq!(say("alice@example.com", summary()), Some(ReplyBody::NoPresence(PresenceRefusal::Full)));
    assert_eq!(say("bob@example.com", None), Some(ReplyBody::Done));
    world.finish();
}
