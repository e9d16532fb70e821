//! The host looks at subscriptions, page by page.

use super::presence::{answer, presence, subscribe, watched};
use super::*;
use crate::door::{Reply, SubscriptionState, SubscriptionView};

fn views(host: &mut Host, after: u64, limit: usize) -> Vec<SubscriptionView> {
    let request = Request::Subscriptions { after, limit };
    let commands = host.input(Input::Host { reply: Some(1), request });
    let found = commands.into_iter().find_map(|command| match command {
        Command::Reply(Reply { body: ReplyBody::Subscriptions(found), .. }) => Some(found),
        _ => None,
    });
    found.expect("a reply")
}

/// One more watcher of bob.
fn watch(host: &mut Host, number: u8) {
    let text = String::from_utf8(subscribe(1, "", "Event: presence\r\nExpires: 60\r\n")).expect("text");
    let text =
        text.replace("SUBSCRIBE@", &format!("n{number}@")).replace("z9hG4bK", &format!("z9hG4bK{number}"));
    let commands = host.udp(text.as_bytes());
    answer(host, &commands, "200 OK");
}

#[test]
fn the_host_sees_who_watches_whom_and_what_he_is_told() {
    let (mut host, _) = watched(presence());
    let found = views(&mut host, 0, 10);
    let [view] = &*found else { panic!("{found:?}") };
    assert_eq!(
        (view.package, &*view.aor, view.state),
        ("presence", "bob@example.com", SubscriptionState::Active)
    );
    assert_eq!(view.expires_at, view.since + Duration::from_secs(600));
    for (allow, state) in [(false, SubscriptionState::Blocked), (true, SubscriptionState::Active)] {
        let (aor, watcher) = ("bob@example.com".into(), view.watcher.clone());
        let request = Request::DecideWatcher { aor, watcher, allow };
        let commands = host.input(Input::Host { reply: None, request });
        answer(&mut host, &commands, "200 OK");
        assert_eq!(views(&mut host, 0, 10), [SubscriptionView { state, ..view.clone() }]);
    }
    let commands = host.wait(Duration::from_secs(601));
    assert_eq!(views(&mut host, 0, 10), [], "what ends is over, also before the last NOTIFY is answered");
    answer(&mut host, &commands, "200 OK");
    assert_eq!(views(&mut host, 0, 10), []);
}

#[test]
fn subscriptions_are_shown_in_pages_and_none_twice() {
    let (mut host, _) = watched(presence());
    (1..5).for_each(|number| watch(&mut host, number));
    let all: Vec<u64> = views(&mut host, 0, 10).iter().map(|view| view.id).collect();
    assert_eq!(all.len(), 5);
    assert!(all.is_sorted());
    let ids = |host: &mut Host, after, limit| -> Vec<u64> {
        views(host, after, limit).iter().map(|view| view.id).collect()
    };
    for (after, limit, expected) in [
        (0, 2, &all[..2]),
        (all[1], 2, &all[2..4]),
        (all[3], 2, &all[4..]),
        (all[4], 2, &[][..]),
        (u64::MAX, 2, &[][..]),
        (0, 0, &[][..]),
        (0, usize::MAX, &all[..]),
    ] {
        assert_eq!(ids(&mut host, after, limit), expected, "{limit} after {after}");
    }
    // Those of a minute end, and what comes into their places has other numbers.
    let commands = host.wait(Duration::from_secs(61));
    answer(&mut host, &commands, "200 OK");
    assert_eq!(ids(&mut host, 0, 10), all[..1]);
    watch(&mut host, 9);
    let later = ids(&mut host, 0, 10);
    assert!(later.len() == 2 && later.iter().skip(1).all(|id| !all.contains(id)), "{later:?} after {all:?}");
}
