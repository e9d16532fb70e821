//! What is the owner's business alone: who watches him (RFC 3857, RFC 3858), what is registered for him (RFC 3680).

use strowger_core::config::{WatchAction, WatchRule};
use strowger_sim::phone::watcher::Wish;

use super::*;

const BOB: &str = "sip:bob@example.com";

fn watches(world: &mut World, phone: PhoneId, wish: Wish) -> usize {
    let watch = world.act(phone, |p, now| p.subscribe(now, wish));
    world.run_for(s(1));
    watch
}

/// Each watcher of the last document, in its order: who, where his subscription stands, and what brought it there.
fn watchers(document: &str) -> Vec<String> {
    let attribute = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
        rest.split('"').next().map(str::to_owned)
    };
    let watcher = |part: &str| {
        let (tag, rest) = part.split_once('>').expect("a tag");
        let uri = rest.split('<').next().unwrap_or_default().trim_start_matches("sip:").to_owned();
        let name = uri.trim_end_matches("@example.com").to_owned();
        [Some(name), attribute(tag, "status"), attribute(tag, "event")]
            .map(Option::unwrap_or_default)
            .join(" ")
    };
    document.split("<watcher ").skip(1).map(watcher).collect()
}

#[test]
fn a_presentity_sees_who_watches_him_and_who_waits_for_him() {
    let rule = |watcher: &str, action| WatchRule {
        presentity: "bob@example.com".into(),
        watcher: watcher.into(),
        action,
    };
    let mut world = world_with(1, |c| {
        let rules =
            [rule("carol@example.com", WatchAction::Confirm), rule("dave@example.com", WatchAction::Block)];
        c.presence.as_mut().expect("on").rules.extend(rules);
        c.accounts.push(strowger_sim::world::account("dave"));
    });
    let [alice, bob, carol, dave] = ["alice", "bob", "carol", "dave"].map(|name| world.phone(name));
    let winfo = watches(&mut world, bob, Wish::watchers(BOB, 3600));
    assert_eq!(watchers(&seen(&world, bob, winfo)), [""; 0]);
    world.note("three watch, one of whom has to wait and one of whom sees nothing");
    let own = [alice, carol, dave].map(|phone| watches(&mut world, phone, Wish::presence(BOB, 3600)));
    world.run_for(s(10));
    let all = ["alice active subscribe", "carol pending subscribe", "dave active rejected"];
    assert_eq!(watchers(&seen(&world, bob, winfo)), all);
    assert!(world[bob].watched(winfo).notified.len() <= 4, "no faster than every five seconds");
    world.note("bob lets carol in");
    let (aor, watcher) = ("bob@example.com".into(), "carol@example.com".into());
    world.host(Request::DecideWatcher { aor, watcher, allow: true });
    world.run_for(s(10));
    assert!(watchers(&seen(&world, bob, winfo)).contains(&"carol active approved".to_owned()));
    world.note("alice leaves");
    world.act(alice, |p, now| p.unwatch(now, own[0]));
    world.run_for(s(10));
    assert_eq!(watchers(&seen(&world, bob, winfo)).len(), 2);
    // Nobody else may know.
    let curious = watches(&mut world, alice, Wish::watchers(BOB, 3600));
    assert_eq!(world[alice].watched(curious).statuses.last(), Some(&403));
    insta::assert_snapshot!(world.ladder().only(SHOWN).bodies());
    world.finish();
}

#[test]
fn an_owner_sees_his_registrations_come_and_go() {
    let mut world = world(2);
    let (bob, mobile, alice) = (world.phone("bob"), world.phone_of("mobile", "bob"), world.phone("alice"));
    let reg = watches(&mut world, bob, Wish::registrations(BOB, 3600));
    assert!(seen(&world, bob, reg).contains("state=\"init\""));
    world.run_for(s(10));
    world.note("two phones register");
    world.act(bob, |p, now| p.register(now, 3600));
    world.run_for(s(1));
    world.act(mobile, |p, now| p.register(now, 60));
    world.run_for(s(10));
    let both = seen(&world, bob, reg);
    assert_eq!((both.matches("<contact ").count(), both.contains("state=\"active\"")), (2, true));
    world.note("one of them loses power");
    world.act(mobile, |p, _| p.power_off());
    world.run_for(s(60));
    assert_eq!(seen(&world, bob, reg).matches("<contact ").count(), 1);
    world.note("the other one leaves");
    world.act(bob, |p, now| p.register(now, 0));
    world.run_for(s(10));
    assert_eq!(seen(&world, bob, reg).matches("<contact ").count(), 0);
    let curious = watches(&mut world, alice, Wish::registrations(BOB, 3600));
    assert_eq!(world[alice].watched(curious).statuses.last(), Some(&403));
    insta::assert_snapshot!(world.ladder().only(SHOWN).bodies());
    world.finish();
}

#[test]
fn versions_rise_by_one_and_begin_anew_with_each_subscription() {
    let mut world = world(3);
    let [alice, bob] = ["alice", "bob"].map(|name| world.phone(name));
    let versions = |world: &World, watch: usize| -> Vec<u32> {
        let bodies = world[bob].watched(watch).notified.iter().filter_map(|n| n.body.as_ref());
        let version = |body: &String| body.split(" version=\"").nth(2)?.split('"').next()?.parse().ok();
        bodies.filter_map(version).collect()
    };
    let winfo = watches(&mut world, bob, Wish::watchers(BOB, 3600));
    for _ in 0..2 {
        let watch = watches(&mut world, alice, Wish::presence(BOB, 600));
        world.run_for(s(10));
        world.act(alice, |p, now| p.unwatch(now, watch));
        world.run_for(s(10));
    }
    world.act(bob, |p, now| p.refresh_watch(now, winfo));
    world.run_for(s(1));
    let again = watches(&mut world, bob, Wish::watchers(BOB, 3600).event("presence.winfo;id=2"));
    assert_eq!((versions(&world, winfo), versions(&world, again)), ((0..6).collect(), vec![0]));
    world.finish();
}
