//! Lists: one subscription for many (RFC 4662), buddy lists made of accounts, who stands in them and who sees whom.

use strowger_core::config::{ListConfig, ListMembers, WatchAction, WatchRule};
use strowger_core::door::{BuddyList, OwnPresence, PresenceRefusal, PresenceState};
use strowger_sim::phone::roster::Roster;
use strowger_sim::phone::watcher::{Say, Wish};
use strowger_sim::world::account;

use super::*;

const TEAM: &str = "sip:team@example.com";
const BUDDIES: &str = "sip:buddies@example.com";

fn named(names: &[&str]) -> ListConfig {
    ListConfig {
        address: "team".into(),
        name: "The <team>".into(),
        members: ListMembers::Named(names.iter().map(|name| format!("{name}@example.com")).collect()),
        subscribers: vec!["alice@example.com".into()],
    }
}

fn team(seed: u64, change: impl FnOnce(&mut Config)) -> World {
    world_with(seed, |c| {
        c.lists = vec![named(&["bob", "carol", "nobody"])];
        change(c);
    })
}

fn buddies(seed: u64, change: impl FnOnce(&mut Config)) -> World {
    world_with(seed, |c| {
        c.lists = vec![ListConfig::buddies()];
        change(c);
    })
}

fn rule(presentity: &str, watcher: &str, action: WatchAction) -> WatchRule {
    WatchRule { presentity: presentity.into(), watcher: watcher.into(), action }
}

fn rules(c: &mut Config) -> &mut Vec<WatchRule> {
    &mut c.presence.as_mut().expect("on").rules
}

fn watches(world: &mut World, phone: PhoneId, list: &str) -> usize {
    let watch = world.act(phone, |p, now| p.subscribe(now, Wish::list(list, 3600)));
    world.run_for(s(1));
    watch
}

fn roster(world: &World, phone: PhoneId, watch: usize) -> Roster {
    world[phone].watched(watch).roster.clone()
}

/// Who stands in the list, and what note of it is seen.
fn shown(world: &World, phone: PhoneId, watch: usize) -> Vec<String> {
    let line = |(uri, member): (&String, &strowger_sim::phone::roster::Member)| {
        let document = member.document.clone().unwrap_or_default();
        let note = document.split("<note>").nth(1).and_then(|rest| rest.split('<').next()).unwrap_or("-");
        format!("{} {} {note}", uri.trim_start_matches("sip:").trim_end_matches("@example.com"), member.state)
    };
    roster(world, phone, watch).members.iter().map(line).collect()
}

fn publishes(world: &mut World, phone: PhoneId, user: &str, note: &str) -> usize {
    world.act(phone, |p, now| p.publish(now, pidf(user, "desk", "open", note), 3600))
}

#[test]
fn one_subscription_tells_of_all_members_and_then_of_those_who_change() {
    let mut world = team(1, |_| {});
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| world.phone(name));
    publishes(&mut world, bob, "bob", "here");
    world.run_for(s(10));
    let watch = watches(&mut world, alice, TEAM);
    assert_eq!(shown(&world, alice, watch), ["bob active here", "carol active -", "nobody active -"]);
    assert_eq!((sizes(&world), roster(&world, alice, watch).bodies), ([1, 1, 3], (1, 0)));
    world.note("carol publishes, and bob changes twice");
    publishes(&mut world, carol, "carol", "hello");
    world.run_for(s(1));
    world.act(bob, |p, now| p.modify(now, 0, pidf("bob", "desk", "open", "away")));
    world.run_for(ms(100));
    world.act(bob, |p, now| p.modify(now, 0, pidf("bob", "desk", "open", "back")));
    world.run_for(s(12));
    assert_eq!(shown(&world, alice, watch), ["bob active back", "carol active hello", "nobody active -"]);
    world.act(alice, |p, now| p.unwatch(now, watch));
    world.run_for(s(1));
    assert_eq!(reason(&world, alice, watch).as_deref(), Some("timeout"));
    assert_eq!(sizes(&world), [0, 2, 2]);
    insta::assert_snapshot!(world.ladder().only(LISTED).bodies());
    world.finish();
}

/// What a ladder of lists shows.
const LISTED: &[&str] =
    &["CSeq", "Event", "Expires", "Subscription-State", "Require", "Supported", "Content-Type"];

#[test]
fn the_first_notify_of_a_list_in_full() {
    let mut world = team(2, |_| {});
    let alice = world.phone("alice");
    watches(&mut world, alice, TEAM);
    insta::assert_snapshot!(world.ladder().whole());
    world.finish();
}

#[test]
fn who_cannot_take_a_list_is_told_what_is_needed_and_who_may_not_have_it_learns_nothing() {
    let mut world = team(3, |_| {});
    let [alice, bob] = ["alice", "bob"].map(|name| world.phone(name));
    let mut ask = |phone: PhoneId, wish: Wish| {
        let watch = world.act(phone, |p, now| p.subscribe(now, wish));
        world.run_for(s(1));
        (watch, world[phone].watched(watch).statuses.last().copied().unwrap_or_default())
    };
    let list = || Wish::list(TEAM, 3600);
    assert_eq!(ask(alice, list().with("Supported", "replaces")).1, 421);
    assert_eq!(ask(alice, list().with("Supported", "").with("Require", "eventlist")).1, 200);
    assert_eq!(ask(alice, list().with("Accept", "application/pidf+xml")).1, 406);
    assert_eq!(ask(alice, list().event("presence.winfo")).1, 403);
    let (watch, status) = ask(bob, list());
    let (nobody, as_status) = ask(bob, Wish::list("sip:unknown@example.com", 3600));
    assert_eq!((status, as_status), (200, 200));
    // To bob it is an address about which nothing is known.
    let [seen, as_seen] = [watch, nobody].map(|watch| seen(&world, bob, watch));
    assert!(seen.contains("<basic>closed</basic>") && !seen.contains("carol"), "{seen}");
    assert_eq!(seen.len() + "unknown".len() - "team".len(), as_seen.len());
    let before = world[bob].watched(watch).notified.len();
    let carol = world.phone("carol");
    publishes(&mut world, carol, "carol", "hello");
    world.run_for(s(10));
    assert_eq!(world[bob].watched(watch).notified.len(), before);
    insta::assert_snapshot!(world.ladder().only(LISTED));
    world.finish();
}

#[test]
fn each_member_is_judged_by_who_may_watch_it() {
    let mut world = team(4, |c| {
        rules(c).push(rule("bob@example.com", "alice@example.com", WatchAction::Block));
        rules(c).push(rule("carol@example.com", "alice@example.com", WatchAction::Confirm));
    });
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| world.phone(name));
    for (phone, user) in [(bob, "bob"), (carol, "carol")] {
        publishes(&mut world, phone, user, "secret");
    }
    let watch = watches(&mut world, alice, TEAM);
    assert_eq!(shown(&world, alice, watch), ["bob active -", "carol pending -", "nobody active -"]);
    // Who may not see a change is not told that there was one.
    world.run_for(s(10));
    let before = world[alice].watched(watch).notified.len();
    world.act(bob, |p, now| p.modify(now, 0, pidf("bob", "desk", "closed", "secret too")));
    world.act(carol, |p, now| p.modify(now, 0, pidf("carol", "desk", "closed", "secret too")));
    world.run_for(s(20));
    assert_eq!(world[alice].watched(watch).notified.len(), before);
    world.note("carol sees who waits, and lets her in");
    let winfo = world.act(carol, |p, now| {
        let wish = Wish::presence("sip:carol@example.com", 3600).event("presence.winfo");
        p.subscribe(now, Wish { accept: None, ..wish })
    });
    world.run_for(s(10));
    let waiting = seen(&world, carol, winfo);
    assert!(
        waiting.contains("status=\"pending\"") && waiting.contains(">sip:alice@example.com<"),
        "{waiting}"
    );
    let decide = |aor: &str, allow| Request::DecideWatcher {
        aor: aor.into(),
        watcher: "alice@example.com".into(),
        allow,
    };
    world.host(decide("carol@example.com", true));
    world.run_for(s(10));
    assert_eq!(shown(&world, alice, watch), ["bob active -", "carol active secret too", "nobody active -"]);
    assert!(seen(&world, carol, winfo).contains("status=\"active\""));
    world.host(decide("carol@example.com", false));
    world.run_for(s(10));
    assert_eq!(shown(&world, alice, watch), ["bob active -", "carol active -", "nobody active -"]);
    world.act(alice, |p, now| p.unwatch(now, watch));
    world.run_for(s(10));
    assert!(!seen(&world, carol, winfo).contains("alice"));
    insta::assert_snapshot!(world.ladder().only(LISTED).bodies());
    world.finish();
}

#[test]
fn what_does_not_fit_follows_in_the_next_notify() {
    let names: Vec<String> = (0..40).map(|n| format!("user{n}")).collect();
    let mut world = team(5, |c| {
        c.lists = vec![named(&names.iter().map(String::as_str).collect::<Vec<_>>())];
        c.limits.list_notify_bytes = 6_000;
    });
    let alice = world.phone("alice");
    let watch = watches(&mut world, alice, TEAM);
    let told = roster(&world, alice, watch);
    assert!(told.bodies.0 == 1 && (4..20).contains(&told.bodies.1), "{:?}", told.bodies);
    assert!(told.members.len() == 40 && told.members.values().all(|member| member.state == "active"));
    let first = &world[alice].watched(watch).notified[0].body.clone().unwrap_or_default();
    assert_eq!(first.matches("<resource ").count(), 40, "all are named at once");
    let sizes = world[alice].watched(watch).notified.iter().map(|n| n.body.as_ref().map_or(0, String::len));
    assert!(sizes.max() < Some(6_000));
    // A fetch is told everything at once.
    let fetch = world.act(alice, |p, now| p.subscribe(now, Wish::list(TEAM, 0)));
    world.run_for(s(1));
    let fetched = roster(&world, alice, fetch);
    assert_eq!((fetched.bodies, reason(&world, alice, fetch).as_deref()), ((1, 0), Some("timeout")));
    assert!(fetched.members.values().all(|member| member.state == "active"));
    world.note("all change at once");
    for name in &names {
        let presence = OwnPresence { state: PresenceState::Busy, note: "busy".into(), lasts: s(60) };
        world.host(Request::Publish { aor: format!("{name}@example.com").into(), presence: Some(presence) });
    }
    let before = roster(&world, alice, watch).bodies.1;
    world.run_for(s(1));
    let told = roster(&world, alice, watch);
    let busy = |member: &strowger_sim::phone::roster::Member| {
        member.document.as_ref().is_some_and(|document| document.contains("busy"))
    };
    // The first change is told at once and alone, the others are on their way.
    assert_eq!((told.bodies.1 - before, told.members.values().filter(|m| busy(m)).count()), (1, 1));
    world.run_for(s(6));
    let told = roster(&world, alice, watch);
    assert!(told.members.values().all(busy) && told.bodies.1 - before < 20, "{:?}", told.bodies);
    world.run_for(s(60));
    assert!(!roster(&world, alice, watch).members.values().any(busy));
    world.finish();
}

#[test]
fn a_refresh_brings_all_and_so_does_what_follows_a_notify_that_was_not_taken() {
    let mut world = team(6, |_| {});
    let [alice, bob] = ["alice", "bob"].map(|name| world.phone(name));
    let watch = watches(&mut world, alice, TEAM);
    publishes(&mut world, bob, "bob", "one");
    world.run_for(s(10));
    assert_eq!(roster(&world, alice, watch).bodies, (1, 1));
    world.act(alice, |p, now| p.refresh_watch(now, watch));
    world.run_for(s(10));
    assert_eq!(roster(&world, alice, watch).bodies, (2, 1));
    world.note("alice cannot take the next one");
    world.act(alice, |p, _| {
        p.watched_mut(watch).script = [Say::Status(403)].into();
        // She misses a version, and knows it.
        p.watched_mut(watch).roster.version = p.watched(watch).roster.version.map(|version| version + 1);
    });
    world.act(bob, |p, now| p.modify(now, 0, pidf("bob", "desk", "open", "two")));
    world.run_for(s(10));
    world.act(bob, |p, now| p.modify(now, 0, pidf("bob", "desk", "open", "three")));
    world.run_for(s(10));
    assert_eq!(roster(&world, alice, watch).bodies, (3, 1));
    assert_eq!(shown(&world, alice, watch)[0], "bob active three");
    world.finish();
}

#[test]
fn a_list_that_changes_is_told_anew_and_one_that_is_gone_ends() {
    let mut world = team(7, |_| {});
    let [alice, bob] = ["alice", "bob"].map(|name| world.phone(name));
    let watch = watches(&mut world, alice, TEAM);
    world[alice].watched_mut(watch).stubborn = false;
    publishes(&mut world, bob, "bob", "here");
    world.run_for(s(10));
    world.note("carol and nobody leave, dave comes");
    world.reload(|c| c.lists = vec![named(&["dave", "bob"])]);
    world.run_for(s(1));
    assert_eq!(shown(&world, alice, watch), ["bob active here", "dave active -"]);
    assert_eq!(sizes(&world), [1, 1, 2]);
    world.act(bob, |p, now| p.modify(now, 0, pidf("bob", "desk", "open", "still here")));
    world.run_for(s(10));
    assert_eq!(shown(&world, alice, watch)[0], "bob active still here");
    world.note("a rule hides bob");
    world.reload(|c| rules(c).push(rule("bob@example.com", "*", WatchAction::Block)));
    world.run_for(s(1));
    assert_eq!(shown(&world, alice, watch)[0], "bob active -");
    world.note("the list is no more");
    world.reload(|c| c.lists.clear());
    world.run_for(s(1));
    assert_eq!(reason(&world, alice, watch).as_deref(), Some("noresource"));
    assert_eq!(sizes(&world), [0, 1, 1]);
    insta::assert_snapshot!(world.ladder().only(LISTED).bodies());
    world.finish();
}

#[test]
fn a_list_goes_on_after_a_restart_unless_it_is_gone() {
    let mut world = team(10, |_| {});
    world.store.keeps = strowger_sim::store::Keeps::All;
    let [alice, bob] = ["alice", "bob"].map(|name| world.phone(name));
    let watch = watches(&mut world, alice, TEAM);
    publishes(&mut world, bob, "bob", "before");
    world.run_for(s(10));
    world.note("the server starts anew");
    world.restart();
    world.run_for(s(10));
    assert_eq!(roster(&world, alice, watch).bodies, (2, 1));
    world.act(bob, |p, now| p.modify(now, 0, pidf("bob", "desk", "open", "after")));
    world.run_for(s(10));
    assert_eq!(
        (shown(&world, alice, watch)[0].as_str(), world[alice].watched(watch).statuses.len()),
        ("bob active after", 2)
    );
    world.note("it starts without the list");
    world[alice].watched_mut(watch).stubborn = false;
    world.stop_server();
    world.reload(|c| c.lists.clear());
    world.start_server();
    world.run_for(s(10));
    assert_eq!(reason(&world, alice, watch).as_deref(), Some("noresource"));
    world.finish();
}

#[test]
fn buddies_are_all_others_who_want_to_be_and_whom_the_rules_show() {
    let mut world = buddies(8, |c| {
        c.accounts.extend(["dave", "erin"].map(account));
        c.accounts[3].unlisted = true;
        rules(c).push(rule("erin@example.com", "bob@example.com", WatchAction::Block));
    });
    let [alice, bob, dave] = ["alice", "bob", "dave"].map(|name| world.phone(name));
    let lists = [alice, bob, dave].map(|phone| watches(&mut world, phone, BUDDIES));
    let who = |world: &World, phone: PhoneId, watch: usize| shown(world, phone, watch).join(", ");
    assert_eq!(who(&world, alice, lists[0]), "bob active -, carol active -, erin active -");
    assert_eq!(who(&world, bob, lists[1]), "alice active -, carol active -");
    assert_eq!(who(&world, dave, lists[2]), "alice active -, bob active -, carol active -, erin active -");
    world.note("bob registers");
    world.act(bob, |p, now| p.register(now, 600));
    world.run_for(s(1));
    let open = |member: &strowger_sim::phone::roster::Member| {
        member.document.as_ref().is_some_and(|document| document.contains("<basic>open</basic>"))
    };
    let of_alice = roster(&world, alice, lists[0]);
    assert!(open(&of_alice.members["sip:bob@example.com"]) && of_alice.bodies == (1, 1));
    assert_eq!(roster(&world, bob, lists[1]).bodies, (1, 0), "nobody is told of himself");
    // What bob decides about alice does not show in who stands there.
    for allow in [false, true, false] {
        let (aor, watcher) = ("bob@example.com".into(), "alice@example.com".into());
        world.host(Request::DecideWatcher { aor, watcher, allow });
        world.run_for(s(1));
        let of_alice = roster(&world, alice, lists[0]);
        assert_eq!(open(&of_alice.members["sip:bob@example.com"]), allow);
        assert_eq!(of_alice.members.len(), 3);
    }
    world.act(bob, |p, _| p.power_off());
    world.run_for(s(601));
    insta::assert_snapshot!(world.ladder().only(LISTED).bodies());
    world.finish();
}

#[test]
fn the_host_sees_a_list_as_a_watcher_does() {
    let mut world = buddies(9, |c| c.lists.push(named(&["bob", "carol"])));
    let bob = world.phone("bob");
    publishes(&mut world, bob, "bob", "here");
    world.run_for(s(1));
    let mut view = |watcher: &str, list: Option<&str>| {
        let request = Request::BuddyList {
            watcher: format!("{watcher}@example.com").into(),
            list: list.map(Into::into),
        };
        match world.host(request) {
            Some(ReplyBody::BuddyList(list)) => Ok(*list),
            Some(ReplyBody::NoPresence(refusal)) => Err(refusal),
            other => panic!("{other:?}"),
        }
    };
    let buddies = |list: &BuddyList| {
        let line = |buddy: &strowger_core::door::Buddy| {
            format!("{} {:?} {}", buddy.aor, buddy.state, buddy.note.as_deref().unwrap_or("-"))
        };
        list.buddies.iter().map(line).collect::<Vec<_>>()
    };
    let list = view("alice", None).expect("a list");
    assert_eq!((&*list.aor, &*list.name), ("buddies@example.com", "Buddies"));
    assert_eq!(buddies(&list), ["bob@example.com Some(Available) here", "carol@example.com Some(Offline) -"]);
    insta::assert_snapshot!(format!("{}\n\n{}", list.content_type, String::from_utf8_lossy(&list.body)));
    assert_eq!(view("bob", None).expect("a list").buddies.len(), 2);
    assert_eq!(view("alice", Some("sip:team@example.com")).expect("a list").buddies.len(), 2);
    assert_eq!(view("bob", Some("team@example.com")), Err(PresenceRefusal::NoList));
    assert_eq!(view("alice", Some("carol@example.com")), Err(PresenceRefusal::NoList));
    assert_eq!(view("alice", Some("team@elsewhere.org")), Err(PresenceRefusal::NotOurs));
    assert_eq!(sizes(&world), [0, 1, 1], "a look leaves nothing");
    world.finish();
}
