//! What the host hears of presence while it listens.

use super::presence::{BODY, answer, header, presence, publish, sent, subscribe, watched};
use super::*;
use crate::door::{
    OwnPresence, PresenceCause, PresenceChange, PresenceSource, PresenceState, SubscriptionStep,
};

fn listening() -> Config {
    let mut config = presence();
    config.tell.presence = true;
    config
}

/// The changes among the commands.
fn changes(commands: &[Command]) -> Vec<PresenceChange> {
    let of = |c: &Command| match c {
        Command::Tell(Event::Presence(change)) => Some((**change).clone()),
        _ => None,
    };
    commands.iter().filter_map(of).collect()
}

fn steps(commands: &[Command]) -> Vec<SubscriptionStep> {
    let of = |c: &Command| match c {
        Command::Tell(Event::Subscription(event)) => {
            assert_eq!((event.package, &*event.aor), ("presence", "bob@example.com"));
            Some(event.step)
        }
        _ => None,
    };
    commands.iter().filter_map(of).collect()
}

fn own(state: PresenceState, note: &str, secs: u64) -> Input<'static> {
    let own = OwnPresence { state, note: note.into(), lasts: Duration::from_secs(secs) };
    let request = Request::Publish { aor: "bob@example.com".into(), presence: Some(own) };
    Input::Host { reply: None, request }
}

fn view(host: &mut Host) -> crate::door::PresenceView {
    let request = Request::Presence { aor: "bob@example.com".into() };
    match host.input(Input::Host { reply: Some(7), request }).pop() {
        Some(Command::Reply(reply)) => match reply.body {
            ReplyBody::Presence(view) => *view,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_change_is_told_after_the_notify_it_causes_with_state_note_and_cause() {
    let (mut host, _) = watched(listening());
    let commands = host.udp(&publish(1, "Expires: 60\r\n", BODY));
    let kinds: Vec<bool> = commands.iter().map(|c| matches!(c, Command::Transmit(_))).collect();
    assert_eq!(kinds, [true, true, false], "200, NOTIFY, event: {commands:?}");
    let [change] = &changes(&commands)[..] else { panic!("{commands:?}") };
    assert_eq!((&*change.aor, change.state), ("bob@example.com", PresenceState::Available));
    assert_eq!((change.note.as_deref(), change.cause), (Some("here"), PresenceCause::Published));
    // Watchers are paced, the host is not.
    let commands = host.input(own(PresenceState::Busy, "no time", 600));
    assert_eq!(commands.len(), 1, "{commands:?}");
    let next = &changes(&commands)[0];
    assert_eq!((next.state, next.cause), (PresenceState::Busy, PresenceCause::Host));
    assert!(next.version > change.version);
    assert_eq!(view(&mut host).version, next.version);
    let ended = changes(&host.wait(Duration::from_secs(100)));
    assert_eq!(ended.iter().map(|c| c.cause).collect::<Vec<_>>(), [PresenceCause::PublicationEnded]);
    assert_eq!(ended[0].state, PresenceState::Busy);
}

#[test]
fn what_changes_nothing_is_no_news() {
    let (mut host, _) = watched(listening());
    host.udp(&publish(1, "Expires: 600\r\n", BODY));
    host.wait(Duration::from_secs(10));
    // The same words of the host once more.
    assert_eq!(changes(&host.input(own(PresenceState::Busy, "", 600))).len(), 1);
    assert_eq!(changes(&host.input(own(PresenceState::Busy, "", 900))).len(), 0);
    let contact = "Contact: <sip:bob@192.0.2.9>\r\n";
    let first = host.udp(&request("REGISTER", "sip:example.com", 1, contact));
    // The publication speaks for the phone that it came from.
    assert_eq!(changes(&first).len(), 0, "{first:?}");
    let fetch = host.udp(&subscribe(1, "", "Event: presence;id=fetch\r\nExpires: 0\r\n"));
    assert_eq!(steps(&fetch).len(), 0);
}

#[test]
fn registrations_are_news_where_nobody_watches() {
    let mut host = Host::new(listening());
    let contact = "Contact: <sip:bob@192.0.2.9>;expires=60\r\n";
    let change = changes(&host.udp(&request("REGISTER", "sip:example.com", 1, contact)));
    assert_eq!((change[0].state, change[0].cause), (PresenceState::Available, PresenceCause::Registration));
    assert_eq!(changes(&host.udp(&request("REGISTER", "sip:example.com", 2, contact))).len(), 0);
    let change = changes(&host.wait(Duration::from_secs(61)));
    assert_eq!((change[0].state, change[0].cause), (PresenceState::Offline, PresenceCause::Registration));
    assert_eq!(host.engine.sizes().presentities, 0);
}

#[test]
fn watchers_come_and_go_before_the_host() {
    let mut config = listening();
    config.tell.presence = false;
    let mut host = Host::new(config);
    let silent = host.udp(&subscribe(1, "", "Event: presence\r\nExpires: 60\r\n"));
    assert_eq!(steps(&silent).len(), 0, "nobody listens");
    answer(&mut host, &silent, "200 OK");
    let listen = |presence| Input::Host { reply: Some(1), request: Request::Listen { presence } };
    host.input(listen(true));
    let request = |allow| Request::DecideWatcher {
        aor: "bob@example.com".into(),
        watcher: "alice@example.com".into(),
        allow,
    };
    let mut decide = |allow| {
        let commands = host.input(Input::Host { reply: None, request: request(allow) });
        answer(&mut host, &commands, "200 OK");
        steps(&commands)
    };
    assert_eq!(decide(false), [SubscriptionStep::Blocked]);
    assert_eq!(decide(true), [SubscriptionStep::Allowed]);
    assert_eq!(decide(true), []);
    assert_eq!(steps(&host.wait(Duration::from_secs(61))), [SubscriptionStep::Ended]);
    host.input(listen(false));
    assert_eq!(changes(&host.input(own(PresenceState::Busy, "", 60))).len(), 0);
}

#[test]
fn a_view_names_all_its_sources() {
    let mut host = Host::new(presence());
    let contact = "Contact: <sip:bob@192.0.2.9>;+sip.instance=\"<urn:uuid:1>\";expires=600\r\n";
    host.udp(&request("REGISTER", "sip:example.com", 1, contact));
    let published = host.udp(&publish(1, "Expires: 300\r\n", BODY));
    let answered = sent(&published);
    let etag = header(&answered[0], "SIP-ETag");
    host.input(own(PresenceState::Away, "", 60));
    let seen = view(&mut host);
    let [phone, program, binding] = &seen.sources[..] else { panic!("{:?}", seen.sources) };
    assert_eq!((phone.source, phone.etag.as_deref()), (PresenceSource::Published, Some(etag)));
    assert_eq!(phone.from, Some(addr("192.0.2.9:5060")));
    assert_eq!(phone.expires_at, host.now + Duration::from_secs(300));
    assert_eq!((program.source, program.etag.as_deref()), (PresenceSource::Host, None));
    assert_eq!((binding.source, &*binding.device), (PresenceSource::Registered, "urn:uuid:1"));
    // The binding says nothing of its own: its phone published.
    assert_eq!(seen.devices.len(), 2);
}

#[test]
fn each_state_of_the_host_comes_back_as_it_was() {
    let mut host = Host::new(presence());
    for state in PresenceState::ALL {
        for note in ["", "a <note> & more"] {
            host.input(own(state, note, 60));
            let seen = view(&mut host);
            assert_eq!((seen.state, seen.note.as_deref().unwrap_or_default()), (state, note));
            let basic = if state == PresenceState::Offline { "closed" } else { "open" };
            assert!(seen.document.contains(&format!("<basic>{basic}</basic>")), "{}", seen.document);
        }
    }
}
