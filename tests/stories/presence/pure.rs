//! What only a pure engine allows, with presence: played again in another manner, at another time, with other keys, it
//! commands the same.

use strowger_sim::network::Link;
use strowger_sim::phone::Via;
use strowger_sim::phone::watcher::Wish;
use strowger_sim::world::START;

use super::*;
use crate::pure::{assert_same, outline, play_again};

/// An hour of two watchers and two devices of bob: bad links, a connection that breaks, a phone that loses power, a
/// watcher that watches the watchers, the program beside them.
fn eventful(world: &mut World) {
    let (alice, carol) = (world.phone("alice"), world.phone("carol"));
    let (desk, mobile) = (world.phone_of("desk", "bob"), world.phone_of("mobile", "bob"));
    for phone in [alice, carol, desk, mobile] {
        world[phone].habits.retry = s(5);
    }
    world.link(alice, Link::BAD);
    world.link(desk, Link::BAD);
    world[carol].habits.via = Via::Tcp;
    let watch = world.act(alice, |p, now| p.watch(now, "sip:bob@example.com", 300));
    world.act(carol, |p, now| p.watch(now, "sip:bob@example.com", 600));
    world.act(desk, |p, now| {
        let mut winfo = Wish::presence("sip:bob@example.com", 600).event("presence.winfo");
        winfo.accept = Some("application/watcherinfo+xml".into());
        p.subscribe(now, winfo);
        p.register(now, 600);
    });
    world.act(mobile, |p, now| p.register(now, 300));
    let one = world.act(desk, |p, now| p.publish(now, pidf("bob", "desk", "open", "one"), 120));
    let two = world.act(mobile, |p, now| p.publish(now, pidf("bob", "mobile", "open", "two"), 300));
    world.run_for(s(300));
    for word in 0..20 {
        let document =
            pidf("bob", "desk", if word % 3 == 0 { "closed" } else { "open" }, &format!("w{word}"));
        world.act(desk, |p, now| p.modify(now, one, document));
        world.run_for(ms(900));
    }
    world.break_flow(carol, true);
    world.act(mobile, |p, now| p.unpublish(now, two));
    world.run_for(s(600));
    world.act(alice, |p, now| p.unwatch(now, watch));
    world.act(desk, |p, _| p.power_off());
    world.run_for(s(900));
    world.host(Request::Publish {
        aor: "bob@example.com".into(),
        presence: Some(OwnPresence { state: PresenceState::Away, note: "gone".into(), lasts: s(300) }),
    });
    world.act(mobile, |p, now| p.register(now, 0));
    world.run_for(s(1800));
}

#[test]
fn a_recording_of_presence_played_again_in_any_manner_commands_the_same() {
    play_again(world(1).recorded(), eventful);
}

#[test]
fn other_keys_change_nothing_about_presence_but_identifiers() {
    assert_same(&outline(world(2), eventful), &outline(world(2).reseeded(0xfeed), eventful));
}

#[test]
fn a_year_later_presence_happens_in_the_same_way() {
    let with = |c: &mut Config| c.presence = Some(PresenceConfig::default());
    let later = World::at(3, START + s(365 * 86_400 + 12_345), with);
    assert_same(&outline(world(3), eventful), &outline(later, eventful));
}
