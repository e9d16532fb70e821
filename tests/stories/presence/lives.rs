//! How subscriptions and publications live and end: refresh, expiry, crashes, refusals of a NOTIFY, drain, restart.

use strowger_core::config::EventsConfig;
use strowger_sim::message::Sip;
use strowger_sim::phone::Via;
use strowger_sim::phone::watcher::Say;
use strowger_sim::tape::Line;

use super::*;

#[test]
fn a_watcher_refreshes_before_the_end_and_stays() {
    let mut world = world(1);
    let (alice, _, watch) = alice_watches_bob(&mut world, 600);
    world.run_for(s(4 * 3600));
    assert!(world[alice].watched(watch).is_live(world.now));
    // 540 s after each other, all in one dialog.
    let notified = &world[alice].watched(watch).notified;
    assert_eq!(notified.len(), 1 + 4 * 3600 / 540);
    assert!(notified.iter().all(|n| n.state == "active;expires=600"));
    assert!(notified.windows(2).all(|w| w[1].cseq == w[0].cseq + 1));
    assert_eq!(sizes(&world), [1, 0, 1]);
    world.finish();
}

#[test]
fn a_subscription_that_is_not_refreshed_ends_to_the_second() {
    let mut world = world(2);
    let alice = world.phone("alice");
    world[alice].habits.refresh_percent = 0;
    let watch = world.act(alice, |p, now| {
        let watch = p.watch(now, "sip:bob@example.com", 60);
        p.watched_mut(watch).stubborn = false;
        watch
    });
    world.run_for(ms(60_010));
    assert_eq!(reason(&world, alice, watch), None);
    world.run_for(ms(100));
    assert_eq!(reason(&world, alice, watch).as_deref(), Some("timeout"));
    insta::assert_snapshot!(world.ladder().only(SHOWN));
    world.finish();
}

#[test]
fn a_publication_that_is_not_refreshed_ends_and_is_told() {
    let mut world = world(3);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 600);
    world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "here"), 60));
    world.run_for(s(1));
    world.note("bob loses power");
    world.act(bob, |p, _| p.power_off());
    world.run_for(s(58));
    assert!(seen(&world, alice, watch).contains("here"));
    world.run_for(s(2));
    assert!(seen(&world, alice, watch).contains("<basic>closed</basic>"));
    assert_eq!(sizes(&world), [1, 0, 1]);
    insta::assert_snapshot!(world.ladder().only(SHOWN));
    world.finish();
}

#[test]
fn a_publisher_whose_answer_was_lost_publishes_anew_after_412() {
    let mut world = world(4);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 600);
    world[bob].habits.retry = s(5);
    let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "one"), 600));
    world.run_for(s(1));
    // Every answer to the modification is lost: the server has a tag that bob never hears of.
    world.lose(bob, 0, 100);
    world.act(bob, |p, now| p.modify(now, own, pidf("bob", "desk", "open", "two")));
    world.run_for(s(33));
    world.lose(bob, 0, 0);
    world.run_for(s(30));
    assert_eq!(world[bob].published(own).statuses, [401, 200, 408, 412, 200]);
    assert!(seen(&world, alice, watch).contains("two"));
    // The one nobody refreshes ends; then there is one device again.
    world.run_for(s(660));
    assert_eq!(seen(&world, alice, watch).matches("<tuple").count(), 1);
    assert_eq!(sizes(&world), [1, 1, 1]);
    world.finish();
}

#[test]
fn a_watcher_that_crashed_is_given_up_and_the_others_are_not_disturbed() {
    let mut world = world(5);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 600);
    let carol = world.phone("carol");
    world.act(carol, |p, now| p.watch(now, "sip:bob@example.com", 600));
    world.run_for(s(1));
    world.note("carol loses power");
    world.act(carol, |p, _| p.power_off());
    let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "one"), 3600));
    world.run_for(s(10));
    world.act(bob, |p, now| p.modify(now, own, pidf("bob", "desk", "open", "two")));
    world.run_for(s(20));
    assert!(seen(&world, alice, watch).contains("two"));
    assert_eq!(sizes(&world), [2, 1, 1]);
    world.run_for(s(10));
    assert_eq!(sizes(&world), [1, 1, 1]);
    assert_eq!(counter(&world, Counter::SubscriptionsLost), 1);
    insta::assert_snapshot!(world.ladder().only(SHOWN));
    world.finish();
}

#[test]
fn a_silent_watcher_is_kept_until_its_end_where_that_is_configured() {
    let mut world = world_with(6, |c| {
        c.events = EventsConfig { keep_silent: true, ..EventsConfig::default() };
    });
    let (alice, bob, watch) = alice_watches_bob(&mut world, 600);
    world.act(alice, |p, _| p.watched_mut(watch).script = [Say::Nothing].into());
    let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "one"), 3600));
    world.run_for(s(10));
    world.act(bob, |p, now| p.modify(now, own, pidf("bob", "desk", "open", "two")));
    world.run_for(s(30));
    // The one that was not answered is given up, and the newest state follows it.
    assert!(seen(&world, alice, watch).contains("two"));
    assert_eq!(sizes(&world), [1, 1, 1]);
    insta::assert_snapshot!(world.ladder().only(SHOWN));
    world.finish();
}

#[test]
fn an_answer_to_a_notify_ends_the_subscription_or_it_does_not() {
    for (status, ends) in [
        (404, true),
        (405, true),
        (410, true),
        (416, true),
        (480, true),
        (481, true),
        (485, true),
        (489, true),
        (501, true),
        (604, true),
        (202, false),
        (400, false),
        (403, false),
        (408, false),
        (486, false),
        (500, false),
        (503, false),
        (603, false),
    ] {
        let mut world = world(7);
        let (alice, bob, watch) = alice_watches_bob(&mut world, 600);
        world.act(alice, |p, _| p.watched_mut(watch).script = [Say::Status(status)].into());
        let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "one"), 3600));
        world.run_for(s(10));
        assert_eq!(sizes(&world), [usize::from(!ends), 1, 1], "{status}");
        world.act(bob, |p, now| p.modify(now, own, pidf("bob", "desk", "open", "two")));
        world.run_for(s(10));
        assert_eq!(seen(&world, alice, watch).contains("two"), !ends, "{status}");
        world.finish();
    }
}

#[test]
fn a_notify_that_overtakes_the_2xx_makes_the_subscription() {
    let mut world = world(8);
    let alice = world.phone("alice");
    let watch = world.act(alice, |p, now| p.watch(now, "sip:bob@example.com", 600));
    world.run_for(ms(15));
    world.lose(alice, 0, 1);
    world.run_for(ms(100));
    assert_eq!(world[alice].watched(watch).statuses, [401]);
    assert_eq!(world[alice].watched(watch).notified.len(), 1);
    world.run_for(s(1));
    assert_eq!(world[alice].watched(watch).statuses, [401, 200]);
    assert_eq!(world[alice].watched(watch).notified.len(), 1);
    insta::assert_snapshot!(world.ladder().only(SHOWN));
    world.finish();
}

/// The last request of that method a phone has sent, with another branch.
fn again(world: &World, name: &str, method: &str) -> Sip {
    let of = |line: &Line| match line {
        Line::Sent { from, bytes, .. } if from == name => {
            Sip::read(bytes).ok().filter(|m| m.method() == method)
        }
        _ => None,
    };
    let mut m = world.tape.lines.iter().rev().find_map(of).expect("it was sent");
    let via = m.header("Via").expect("a Via").replace("z9hG4bK", "z9hG4bKagain");
    m.headers.retain(|(name, _)| name != "Via");
    m.headers.insert(0, ("Via".into(), via));
    m
}

/// First lines of what the server sent lately, newest last.
fn said(world: &World) -> Vec<String> {
    let of = |line: &Line| match line {
        Line::Sent { from, bytes, .. } if from == "server" => {
            let first = bytes.split(|b| *b == b'\r').next().unwrap_or_default();
            Some(String::from_utf8_lossy(first).into_owned())
        }
        _ => None,
    };
    world.tape.lines.iter().filter_map(of).collect()
}

#[test]
fn a_subscribe_out_of_order_is_500_and_changes_nothing() {
    let mut world = world(9);
    let (alice, _, watch) = alice_watches_bob(&mut world, 600);
    world.act(alice, |p, now| p.refresh_watch(now, watch));
    world.run_for(s(1));
    let refresh = again(&world, "alice", "SUBSCRIBE");
    let before = said(&world).len();
    for (cseq, expires) in [(0, "0"), (1, "600")] {
        // An old number, and the last one under another branch.
        let number = refresh.cseq().map_or(0, |(n, _)| n) - 1 + cseq;
        let mut old = refresh.clone();
        let via = old.headers[0].1.replace("again", &format!("again{cseq}"));
        old.headers[0].1 = via;
        old.set("CSeq", format!("{number} SUBSCRIBE")).set("Expires", expires);
        world.act(alice, |p, _| p.raw(old.write()));
        world.run_for(s(1));
    }
    assert_eq!(said(&world)[before..], ["SIP/2.0 500 CSeq Out of Order", "SIP/2.0 500 CSeq Out of Order"]);
    assert_eq!(sizes(&world), [1, 0, 1]);
    world.run_for(s(3600));
    assert!(world[alice].watched(watch).is_live(world.now));
    world.finish();
}

#[test]
fn a_subscribe_within_a_dialog_is_not_challenged_wherever_it_comes_from() {
    let mut world = world(10);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 3600);
    world.note("alice moves, and forgets her credentials");
    world.act(alice, |p, now| {
        p.addr = "10.0.9.9:5062".parse().expect("an address");
        p.password = String::new();
        p.refresh_watch(now, watch);
    });
    world.run_for(s(1));
    world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "moved?"), 600));
    world.run_for(s(1));
    assert!(seen(&world, alice, watch).contains("moved?"));
    insta::assert_snapshot!(world.ladder().only(SHOWN).and(&["Contact"]));
    world.finish();
}

#[test]
fn a_watcher_behind_a_nat_is_followed_by_its_refreshes() {
    let mut world = world(11);
    let alice = world.phone("alice");
    let bob = world.phone("bob");
    world.nat(alice, "198.51.100.7");
    let watch = world.act(alice, |p, now| p.watch(now, "sip:bob@example.com", 600));
    world.run_for(s(1));
    world.rebind(alice);
    world.act(alice, |p, now| p.refresh_watch(now, watch));
    world.run_for(s(1));
    world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "here"), 600));
    world.run_for(s(1));
    assert!(seen(&world, alice, watch).contains("here"));
    world.finish();
}

#[test]
fn a_watcher_on_a_connection_that_breaks_subscribes_anew() {
    for via in [Via::Tcp, Via::Tls] {
        let mut world = world(12);
        let (alice, bob) = (world.phone("alice"), world.phone("bob"));
        world[alice].habits.via = via;
        world[alice].habits.retry = s(2);
        let watch = world.act(alice, |p, now| p.watch(now, "sip:bob@example.com", 600));
        world.run_for(s(1));
        world.break_flow(alice, true);
        world.run_for(s(1));
        world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "here"), 3600));
        world.run_for(s(10));
        assert!(seen(&world, alice, watch).contains("here"), "{via:?} {}", world.ladder().only(SHOWN));
        world.run_for(s(600));
        assert_eq!(sizes(&world), [1, 1, 1], "{via:?}");
        world.finish();
    }
}

#[test]
fn a_draining_server_without_a_store_ends_subscriptions_with_probation_and_keeps_publications() {
    let mut world = world_with(13, |c| c.tell.changes = false);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 600);
    let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "here"), 600));
    world.run_for(s(1));
    world.note("the server drains");
    world.host(Request::Drain { timeout: s(60) });
    world.run_for(s(1));
    assert_eq!(reason(&world, alice, watch).as_deref(), Some("probation"));
    world.act(bob, |p, now| p.refresh_publication(now, own));
    let carol = world.phone("carol");
    world.act(carol, |p, now| p.watch(now, "sip:bob@example.com", 600));
    world.run_for(s(1));
    assert_eq!(world[carol].statuses().last(), Some(&503));
    assert_eq!(world[bob].published(own).statuses.last(), Some(&200));
    assert_eq!(sizes(&world), [0, 1, 1]);
    world.restart();
    world.run_for(s(150));
    // They come back when they were told to, and bob publishes anew when his tag is unknown.
    world.act(bob, |p, now| p.refresh_publication(now, own));
    world.run_for(s(10));
    assert!(world[alice].watched(watch).is_live(world.now), "{}", world.ladder().only(SHOWN));
    assert!(seen(&world, alice, watch).contains("here"));
    insta::assert_snapshot!(world.ladder().only(SHOWN));
    world.finish();
}

#[test]
fn after_a_crash_of_the_server_everybody_comes_back_by_itself() {
    let mut world = world(14);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 120);
    let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "here"), 120));
    world.run_for(s(5));
    world.restart();
    world.run_for(s(240));
    assert!(world[bob].published(own).statuses.contains(&412));
    assert!(seen(&world, alice, watch).contains("here"));
    assert_eq!(seen(&world, alice, watch), composed(&mut world, "bob@example.com"));
    world.finish();
}
