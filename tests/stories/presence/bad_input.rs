//! What is refused, and how: every 4xx of RFC 6665 and RFC 3903, hostile documents, floods, guessed entity tags.

use std::fmt::Write as _;

use strowger_sim::phone::watcher::Wish;

use super::*;

const BOB: &str = "sip:bob@example.com";

/// The last status of a SUBSCRIBE made of this wish.
fn subscribed(world: &mut World, alice: PhoneId, wish: Wish) -> u16 {
    let watch = world.act(alice, |p, now| {
        let watch = p.subscribe(now, wish);
        p.watched_mut(watch).stubborn = false;
        watch
    });
    world.run_for(ms(25));
    world.run_for(ms(25));
    world[alice].watched(watch).statuses.last().copied().unwrap_or_default()
}

/// The last status of a PUBLISH with this body and these header fields.
fn published(world: &mut World, bob: PhoneId, body: &[u8], headers: &[(&str, &str)]) -> u16 {
    let own = world.act(bob, |p, now| p.publish_with(now, body, 600, headers));
    world.run_for(ms(50));
    world[bob].published(own).statuses.last().copied().unwrap_or_default()
}

#[test]
fn a_subscribe_that_cannot_be_served_is_refused_with_the_reason() {
    let mut world = world(1);
    let alice = world.phone("alice");
    world[alice].habits.retry = s(0);
    let wish = || Wish::presence(BOB, 600);
    for (expected, wish) in [
        (489, wish().event("weather")),
        (489, wish().with("Event", "")),
        (489, wish().event("presence.winfo.winfo")),
        (400, wish().event("pres ence")),
        (406, wish().with("Accept", "application/xml, text/*")),
        (423, Wish { expires: Some(59), ..wish() }.with("Expires", "59")),
        (400, wish().with("Contact", "")),
        (400, wish().with("Contact", "<sip:a@10.0.0.2>, <sip:b@10.0.0.2>")),
        (400, wish().with("Contact", "*")),
        (404, Wish::presence("sip:bob@elsewhere.example", 600)),
        (420, wish().with("Require", "eventlist")),
        (481, wish().with("To", "<sip:bob@example.com>;tag=none")),
        (200, wish().with("Accept", "text/plain, application/*")),
        (200, wish().with("Accept", "")),
        (200, wish().with("Expires", "")),
        (200, wish().event("presence;id=a")),
    ] {
        let asked = format!("{wish:?}");
        assert_eq!(subscribed(&mut world, alice, wish), expected, "{asked}");
    }
    insta::assert_snapshot!(world.ladder().only(SHOWN));
    world.finish();
}

#[test]
fn a_publish_that_cannot_be_served_is_refused_with_the_reason() {
    let mut world = world(2);
    let bob = world.phone("bob");
    world[bob].habits.retry = s(0);
    let good = pidf("bob", "desk", "open", "");
    let large = pidf("bob", "desk", "open", &"x".repeat(17 << 10));
    for (expected, body, headers) in [
        (489, good.as_str(), &[("Event", "weather")][..]),
        (489, &good, &[("Event", "")]),
        (400, "", &[]),
        (400, "", &[("Content-Type", "")]),
        (412, &good, &[("SIP-If-Match", "never-given")]),
        (400, &good, &[("SIP-If-Match", "one, two")]),
        (415, &good, &[("Content-Type", "text/plain")]),
        (415, &good, &[("Content-Type", "")]),
        (415, &good, &[("Content-Encoding", "gzip")]),
        (413, &large, &[]),
        (400, &pidf("alice", "desk", "open", ""), &[]),
        (420, &good, &[("Require", "magic")]),
        // Of several faults the first of RFC 3903 s6 counts.
        (489, &large, &[("Event", "weather"), ("SIP-If-Match", "x")]),
        (412, &large, &[("SIP-If-Match", "x"), ("Expires", "1")]),
        (415, &large, &[("Content-Type", "text/plain")]),
        (423, &large, &[("Expires", "1")]),
        (200, &good, &[]),
    ] {
        assert_eq!(published(&mut world, bob, body.as_bytes(), headers), expected, "{headers:?} {body:.60}");
    }
    insta::assert_snapshot!(world.ladder().only(SHOWN));
    world.finish();
}

#[test]
fn nobody_publishes_for_another_and_nobody_at_all_without_a_password() {
    let mut world = world(3);
    let alice = world.phone("alice");
    let mallory = world.impostor("mallory", "bob", "guess");
    let own = world.act(alice, |p, now| p.publish(now, pidf("bob", "desk", "open", ""), 600));
    world.run_for(s(1));
    assert_eq!(world[alice].published(own).statuses, [401, 400]);
    let own = world.act(mallory, |p, now| p.publish(now, pidf("bob", "desk", "open", ""), 600));
    world.run_for(s(1));
    assert_eq!(world[mallory].published(own).statuses, [401, 401]);
    // Alice proves to be alice, and that does not help her to speak for bob.
    let forged = world.phone_of("forger", "bob");
    world[forged].login = Some("alice".into());
    world[forged].password = "alice-secret".into();
    let own = world.act(forged, |p, now| p.publish(now, pidf("bob", "desk", "open", ""), 600));
    world.run_for(s(1));
    assert_eq!(world[forged].published(own).statuses, [401, 403]);
    assert_eq!(sizes(&world), [0, 0, 0]);
    world.finish();
}

#[test]
fn too_brief_a_subscription_or_publication_is_asked_again_for_longer() {
    let mut world = world(4);
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    let watch = world.act(alice, |p, now| p.watch(now, BOB, 10));
    let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", ""), 10));
    world.run_for(s(1));
    assert_eq!(world[alice].watched(watch).statuses, [401, 423, 200]);
    assert_eq!(world[bob].published(own).statuses, [401, 423, 200]);
    assert_eq!((world[alice].watched(watch).granted, world[bob].published(own).granted), (60, 60));
    world.finish();
}

/// Documents nobody should have to read.
fn poison() -> Vec<Vec<u8>> {
    let good = pidf("bob", "desk", "open", "poison");
    let nested = "<a>".repeat(10_000);
    let mut laughs = String::from("<?xml version=\"1.0\"?><!DOCTYPE presence [<!ENTITY l0 \"ha\">");
    for i in 1..10 {
        let _ = write!(laughs, "<!ENTITY l{i} \"&l{0};&l{0};&l{0};&l{0};&l{0};&l{0};\">", i - 1);
    }
    laughs.push_str("]>");
    laughs
        .push_str(&good.replace("poison", "&l9;").replace("<?xml version=\"1.0\" encoding=\"UTF-8\"?>", ""));
    let mut all = vec![
        laughs,
        good.replace("<presence", "<!DOCTYPE presence SYSTEM \"file:///etc/passwd\"><presence"),
        good.replace("poison", "&file;"),
        good.replace("</presence>", ""),
        good.replace("</presence>", "</presence><presence/>"),
        good.replace("<presence ", "<absence "),
        good.replace("urn:ietf:params:xml:ns:pidf", "urn:other"),
        good.replace("<tuple id=\"desk\">", "<tuple id=\"desk\" id=\"sofa\">"),
        good.replace("poison", &nested),
        good.replace("poison", "\u{1}"),
        good.replace("poison", "&#0;"),
        good.replace("poison", "]]>"),
        good.replace("<note>", "<x:note>"),
        "<".into(),
        "\u{feff}".into(),
        "not xml at all".into(),
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"/>".into(),
    ]
    .into_iter()
    .map(String::into_bytes)
    .collect::<Vec<_>>();
    let mut torn = good.into_bytes();
    if let Some(at) = torn.windows(6).position(|w| w == b"poison") {
        torn[at] = 0xff;
    }
    all.push(torn);
    all
}

#[test]
fn a_poisoned_document_is_400_or_413_and_changes_nothing() {
    let mut world = world(5);
    let (alice, bob, watch) = alice_watches_bob(&mut world, 3600);
    world[bob].habits.retry = s(0);
    let good = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "well"), 3600));
    world.run_for(s(10));
    let told = world[alice].watched(watch).notified.len();
    for body in poison() {
        let status = published(&mut world, bob, &body, &[]);
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!([400, 413].contains(&status), "{status} to {text:.200}");
        // The same as a modification of what is there.
        let etag = world[bob].published(good).etag.clone().unwrap_or_default();
        let status = published(&mut world, bob, &body, &[("SIP-If-Match", &etag)]);
        assert!([400, 413].contains(&status), "{status} to {text:.200}");
    }
    world.run_for(s(10));
    assert_eq!(world[alice].watched(watch).notified.len(), told);
    assert!(composed(&mut world, "bob@example.com").contains("well"));
    assert_eq!(sizes(&world), [1, 1, 1]);
    world.finish();
}

#[test]
fn guessing_entity_tags_is_412_and_changes_nothing() {
    let mut world = world(7);
    let bob = world.phone("bob");
    world[bob].habits.retry = s(0);
    let own = world.act(bob, |p, now| p.publish(now, pidf("bob", "desk", "open", "mine"), 3600));
    world.run_for(s(1));
    let etag = world[bob].published(own).etag.clone().expect("a tag");
    world.act(bob, |p, now| p.refresh_publication(now, own));
    world.run_for(s(1));
    let body = pidf("bob", "sofa", "open", "guessed");
    // The tag before the last one, and neighbours of the last one.
    let last = world[bob].published(own).etag.clone().expect("a tag");
    let mut guesses = vec![etag, "0".into(), "*".into(), last.to_uppercase() + "0"];
    guesses.extend((0..8).map(|i| format!("{}{i}{}", &last[..8], &last[9..])).filter(|g| *g != last));
    for guess in guesses {
        let guessed = world.act(bob, |p, now| {
            let at = p.publish_with(now, &body, 600, &[("SIP-If-Match", &guess)]);
            p.published_mut(at).expires = 600;
            at
        });
        world.run_for(ms(25));
        let statuses = &world[bob].published(guessed).statuses;
        assert!(statuses.contains(&412), "{guess}: {statuses:?}");
        world.run_for(s(1));
    }
    assert!(composed(&mut world, "bob@example.com").contains("mine"));
    assert!(!composed(&mut world, "bob@example.com").contains("guessed"));
    world.finish();
}

#[test]
fn floods_past_the_limits_are_503_and_harm_nobody() {
    let mut world = world_with(8, |c| {
        c.limits.subscriptions = 5;
        c.limits.publications = 4;
        c.limits.publications_per_presentity = 3;
    });
    let (alice, bob, watch) = alice_watches_bob(&mut world, 3600);
    world[alice].habits.retry = s(0);
    world[bob].habits.retry = s(0);
    let statuses: Vec<u16> =
        (0..6).map(|_| subscribed(&mut world, alice, Wish::presence(BOB, 3600))).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 503, 503]);
    let body = pidf("bob", "desk", "open", "one of many");
    let statuses: Vec<u16> = (0..5).map(|_| published(&mut world, bob, body.as_bytes(), &[])).collect();
    assert_eq!(statuses, [200, 200, 200, 503, 503]);
    world.run_for(s(10));
    let seen_now = seen(&world, alice, watch);
    assert_eq!(seen_now, composed(&mut world, "bob@example.com"));
    assert_eq!(counter(&world, Counter::Overload), 4);
    // A fetch needs a place, too, and gives it back.
    world.act(alice, |p, now| p.unwatch(now, watch));
    world.run_for(s(1));
    for _ in 0..3 {
        assert_eq!(subscribed(&mut world, alice, Wish::presence(BOB, 0)), 200);
        world.run_for(s(1));
    }
    world.finish();
}
