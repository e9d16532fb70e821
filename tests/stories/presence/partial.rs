//! Partial notification (RFC 5263): the whole document, then what has changed.

use strowger_core::config::{WatchAction, WatchRule};
use strowger_core::documents::Bounds;
use strowger_core::documents::diff::{Applied, Replica};
use strowger_sim::network::Link;
use strowger_sim::phone::watcher::{Say, Wish};
use strowger_sim::rng::Rng;

use super::*;

const BOB: &str = "sip:bob@example.com";

fn watches(world: &mut World, phone: PhoneId, wish: Wish) -> usize {
    let watch = world.act(phone, |p, now| p.subscribe(now, wish));
    world.run_for(s(1));
    watch
}

/// What a watcher has who took all bodies he was sent, and what each of them did.
fn kept(world: &World, phone: PhoneId, watch: usize) -> (String, Vec<Applied>) {
    let mut copy = Replica::default();
    let bodies = world[phone].watched(watch).notified.iter().filter_map(|n| n.body.as_ref());
    let applied =
        bodies.map(|body| copy.apply(body.as_bytes(), &Bounds::default()).expect("a good body")).collect();
    (copy.document().map(|document| document.print()).unwrap_or_default(), applied)
}

/// A presentity with enough to tell, so that a diff is shorter.
fn bob_with_devices(world: &mut World) -> [PhoneId; 3] {
    let devices = ["desk", "mobile", "web"].map(|device| world.phone_of(device, "bob"));
    for phone in devices {
        let name = world[phone].name.clone();
        world.act(phone, |p, now| {
            p.publish(now, pidf("bob", &name, "open", "a note that stays as it is"), 3600)
        });
    }
    world.run_for(s(10));
    devices
}

#[test]
fn the_whole_document_comes_first_then_what_has_changed() {
    let mut world = world(1);
    let [desk, ..] = bob_with_devices(&mut world);
    let alice = world.phone("alice");
    let watch = watches(&mut world, alice, Wish::changes(BOB, 600));
    world.note("the desk closes");
    world.act(desk, |p, now| p.modify(now, 0, pidf("bob", "desk", "closed", "a note that stays as it is")));
    world.run_for(s(10));
    world.note("the desk leaves");
    world.act(desk, |p, now| p.unpublish(now, 0));
    world.run_for(s(10));
    world.note("alice refreshes, and leaves");
    world.act(alice, |p, now| p.refresh_watch(now, watch));
    world.run_for(s(10));
    world.act(alice, |p, now| p.unwatch(now, watch));
    world.run_for(s(1));
    let (document, applied) = kept(&world, alice, watch);
    assert_eq!(applied, [Applied::Full, Applied::Patched, Applied::Patched, Applied::Full, Applied::Full]);
    assert_eq!(document, composed(&mut world, "bob@example.com"));
    insta::assert_snapshot!(world.ladder().only(SHOWN).bodies());
    world.finish();
}

#[test]
fn a_watcher_changes_between_documents_and_changes_of_them_by_accept() {
    let mut world = world(2);
    let [desk, ..] = bob_with_devices(&mut world);
    let alice = world.phone("alice");
    let watch = watches(&mut world, alice, Wish::presence(BOB, 600));
    let mut forms = Vec::new();
    for accept in ["application/pidf+xml", "application/pidf-diff+xml, application/pidf+xml;q=0.5", "*/*"] {
        world.act(alice, |p, now| {
            p.watched_mut(watch).wish.accept = Some(accept.into());
            p.refresh_watch(now, watch);
        });
        world.run_for(s(10));
        let note = format!("as {accept}");
        world.act(desk, |p, now| p.modify(now, 0, pidf("bob", "desk", "open", &note)));
        world.run_for(s(10));
        let last = world[alice].watched(watch).notified.iter().rev().take(2);
        let root = |n: &strowger_sim::phone::watcher::Notified| {
            let body = n.body.clone().unwrap_or_default();
            ["<p:pidf-full", "<p:pidf-diff", "<presence"].into_iter().find(|root| body.contains(*root))
        };
        let mut roots: Vec<_> = last.filter_map(root).collect();
        roots.reverse();
        forms.extend(roots);
    }
    let whole = "<presence";
    assert_eq!(forms, [whole, whole, "<p:pidf-full", "<p:pidf-diff", whole, whole]);
    assert_eq!(seen(&world, alice, watch), composed(&mut world, "bob@example.com"));
    world.finish();
}

#[test]
fn who_may_not_see_gets_the_whole_of_a_neutral_document_and_nothing_else() {
    let rule =
        WatchRule { presentity: "bob@example.com".into(), watcher: "*".into(), action: WatchAction::Block };
    let mut world = world_with(3, |c| c.presence.as_mut().expect("on").rules.push(rule));
    let [desk, ..] = bob_with_devices(&mut world);
    let alice = world.phone("alice");
    let watch = watches(&mut world, alice, Wish::changes(BOB, 600));
    let nobody = watches(&mut world, alice, Wish::changes("sip:nobody@example.com", 600));
    world.act(desk, |p, now| p.modify(now, 0, pidf("bob", "desk", "closed", "secret")));
    world.run_for(s(10));
    let [blocked, unknown] = [watch, nobody].map(|watch| world[alice].watched(watch).clone());
    assert_eq!((blocked.notified.len(), unknown.notified.len()), (1, 1));
    assert_eq!(seen(&world, alice, watch).len() - 3, seen(&world, alice, nobody).len() - 6);
    let decide = |allow| Request::DecideWatcher {
        aor: "bob@example.com".into(),
        watcher: "alice@example.com".into(),
        allow,
    };
    for allow in [true, false] {
        world.host(decide(allow));
        world.run_for(s(10));
        let (document, applied) = kept(&world, alice, watch);
        assert_eq!((document.contains("secret"), applied.last()), (allow, Some(&Applied::Full)));
    }
    insta::assert_snapshot!(world.ladder().only(SHOWN).bodies());
    world.finish();
}

#[test]
fn after_a_notify_that_was_not_taken_comes_the_whole_document() {
    let mut world = world(4);
    let [desk, ..] = bob_with_devices(&mut world);
    let alice = world.phone("alice");
    let watch = watches(&mut world, alice, Wish::changes(BOB, 600));
    world.act(alice, |p, _| p.watched_mut(watch).script = [Say::Status(403)].into());
    for note in ["lost", "found", "kept"] {
        world.act(desk, |p, now| p.modify(now, 0, pidf("bob", "desk", "open", note)));
        world.run_for(s(10));
    }
    let (document, applied) = kept(&world, alice, watch);
    assert_eq!(applied, [Applied::Full, Applied::Full, Applied::Patched]);
    assert_eq!(document, composed(&mut world, "bob@example.com"));
    world.finish();
}

#[test]
fn over_many_seeds_the_patched_copy_is_the_document() {
    let (mut full, mut patched) = (0, 0);
    for seed in 0..40 {
        let mut world = world_with(seed, |c| {
            c.presence.as_mut().expect("on").pacing = s(seed % 3);
            c.events.keep_silent = true;
        });
        let mut rng = Rng::new(seed);
        let devices = bob_with_devices(&mut world);
        let alice = world.phone("alice");
        world.link(alice, Link { loss: 0.15, ..Link::default() });
        let watch = watches(&mut world, alice, Wish::changes(BOB, 600));
        for _ in 0..30 {
            let device = devices[rng.below(3) as usize];
            let name = world[device].name.clone();
            let note = ["in", "out", "at <lunch> & \"dinner\"", ""][rng.below(4) as usize];
            let basic = ["open", "closed"][rng.below(2) as usize];
            world.act(device, |p, now| match rng.below(5) {
                0 => p.register(now, 600),
                _ => p.modify(now, 0, pidf("bob", &name, basic, note)),
            });
            world.run_for(ms(rng.below(8_000)));
        }
        world.link(alice, Link::default());
        world.run_for(s(60));
        world.act(alice, |p, now| p.refresh_watch(now, watch));
        world.run_for(s(60));
        for phone in devices {
            world.act(phone, |p, now| p.modify(now, 0, pidf("bob", "last", "open", "the last word")));
            world.run_for(s(20));
        }
        let (document, applied) = kept(&world, alice, watch);
        assert_eq!(document, composed(&mut world, "bob@example.com"), "seed {seed}");
        full += applied.iter().filter(|a| **a == Applied::Full).count();
        patched += applied.iter().filter(|a| **a == Applied::Patched).count();
        assert!(!applied.contains(&Applied::Stale), "seed {seed}");
    }
    assert!(patched > full, "{patched} patched, {full} whole");
}
