//! Presence from phone to phone: SUBSCRIBE, NOTIFY and PUBLISH (RFC 6665, RFC 3903, RFC 3856).

mod agent;
mod bad_input;
mod bindings;
mod chaos;
mod lists;
mod lives;
mod mailboxes;
mod orders;
mod owners;
mod pacing;
mod partial;
mod people;
mod pure;
mod rates;
mod reach;
mod restart;
mod sharing;
mod watching;

use strowger_core::config::{Config, PresenceConfig};
use strowger_core::door::{OwnPresence, PresenceState, ReplyBody, Request};
use strowger_core::stats::Counter;
use strowger_sim::phone::watcher::Standing;
use strowger_sim::{PhoneId, World};

use crate::{ms, s};

/// What a ladder of these stories shows.
const SHOWN: &[&str] = &[
    "CSeq",
    "Event",
    "Expires",
    "Subscription-State",
    "SIP-If-Match",
    "SIP-ETag",
    "Min-Expires",
    "Retry-After",
    "Allow-Events",
    "Accept",
    "Content-Type",
];

/// A world with presence.
fn world(seed: u64) -> World {
    world_with(seed, |_| {})
}

fn world_with(seed: u64, change: impl FnOnce(&mut Config)) -> World {
    World::with(seed, |c| {
        c.presence = Some(PresenceConfig::default());
        change(c);
    })
}

/// A document of a device, as a phone writes it.
fn pidf(user: &str, device: &str, basic: &str, note: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:{user}@example.com\">\n\
         <tuple id=\"{device}\"><status><basic>{basic}</basic></status>\
         <contact>sip:{user}@{device}.example.com</contact><note>{note}</note></tuple>\n</presence>\n"
    )
}

/// Alice watches bob, and has her first NOTIFY.
fn alice_watches_bob(world: &mut World, expires: u32) -> (PhoneId, PhoneId, usize) {
    let (alice, bob) = (world.phone("alice"), world.phone("bob"));
    let watch = world.act(alice, |p, now| p.watch(now, "sip:bob@example.com", expires));
    world.run_for(s(1));
    assert_eq!(world[alice].watched(watch).notified.len(), 1);
    (alice, bob, watch)
}

/// The document the last NOTIFY had.
fn seen(world: &World, phone: PhoneId, watch: usize) -> String {
    world[phone].watched(watch).document.clone().unwrap_or_default()
}

/// What the engine composes for somebody now.
fn composed(world: &mut World, aor: &str) -> String {
    match world.host(Request::Presence { aor: aor.into() }) {
        Some(ReplyBody::Presence(view)) => view.document,
        other => panic!("{other:?}"),
    }
}

fn counter(world: &World, counter: Counter) -> u64 {
    world.engine().map_or(0, |e| e.stats().counter(counter))
}

/// How many subscriptions, publications and presentities there are.
fn sizes(world: &World) -> [usize; 3] {
    let sizes = world.engine().map(|e| e.sizes()).expect("the server is up");
    [sizes.subscriptions, sizes.publications, sizes.presentities]
}

/// The reason a subscription ended with.
fn reason(world: &World, phone: PhoneId, watch: usize) -> Option<String> {
    match &world[phone].watched(watch).standing {
        Standing::Ended { reason } => Some(reason.clone()),
        _ => None,
    }
}
