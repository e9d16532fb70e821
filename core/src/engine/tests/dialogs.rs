//! Calls as watchers hear of them: the package `dialog`, and on-the-phone in presence.

use std::sync::Arc;

use super::presence::{BODY, answer, header, presence, publish, sent, subscribe, watched};
use super::*;
use crate::config::{CallsConfig, WatchAction, WatchRule};
use crate::ctx::{CallNames, CallPhase, CallState};
use crate::documents::dialog_info::DialogEvent;

const BOB: &str = "bob@example.com";
const HUNG_UP: CallPhase = CallPhase::Terminated { code: None, event: DialogEvent::RemoteBye };

fn calls() -> Config {
    let mut config = presence();
    config.calls = Some(CallsConfig::default());
    config
}

/// A SUBSCRIBE to the calls of bob by this user.
fn watch(user: &str, cseq: u32, to_tag: &str, more: &str) -> Vec<u8> {
    let text =
        String::from_utf8(subscribe(cseq, to_tag, &format!("Event: dialog\r\n{more}"))).expect("ASCII");
    text.replace("alice@", &format!("{user}@")).replace("SUBSCRIBE@", &format!("{user}@")).into_bytes()
}

impl Host {
    fn call(&mut self, id: u64, initiator: bool, state: CallPhase) -> Vec<Command> {
        self.engine.on_call_state(CallState {
            id,
            names: Arc::new(CallNames::new(
                BOB.as_bytes(),
                [b"sip:carol@example.com", b"Carol \"C\" <1>"],
                format!("call{id}@192.0.2.9").as_bytes(),
                [b"bobs", b"ours"],
            )),
            initiator,
            state,
            since: self.now,
        });
        self.input(Input::Timeout)
    }

    fn second(&mut self) -> Vec<Command> {
        self.wait(Duration::from_secs(1))
    }
}

fn states(commands: &[Command]) -> Vec<String> {
    let notifies = sent(commands).into_iter().filter(|text| text.starts_with("NOTIFY "));
    let state = |text: String| {
        let (_, rest) = text.split_once("<state").expect("a state");
        let (_, rest) = rest.split_once('>').expect("a state");
        rest.split_once('<').expect("a state").0.to_owned()
    };
    notifies.map(state).collect()
}

#[test]
fn a_user_hears_everything_of_his_own_calls_and_all_of_it_ends() {
    let mut host = Host::new(calls());
    let commands = host.udp(&watch("bob", 1, "", "Expires: 600\r\n"));
    let mut told = shown(&commands);
    answer(&mut host, &commands, "200 OK");
    host.wait(Duration::from_secs(2));
    for (id, initiator, state) in [
        (1, false, CallPhase::Early),
        (1, false, CallPhase::Confirmed),
        (2, true, CallPhase::Proceeding),
        (1, false, HUNG_UP),
        (2, true, CallPhase::Terminated { code: Some(486), event: DialogEvent::Rejected }),
    ] {
        let commands = host.call(id, initiator, state);
        told += &shown(&commands);
        answer(&mut host, &commands, "200 OK");
        host.wait(Duration::from_secs(5));
    }
    insta::assert_snapshot!(told);
    assert_eq!(host.engine.sizes().lines, 0);
    let commands = host.wait(Duration::from_secs(600));
    answer(&mut host, &commands, "200 OK");
    host.wait(Duration::from_secs(64));
    let sizes = host.engine.sizes();
    assert_eq!((sizes.subscriptions, sizes.timers, sizes.presentities), (0, 0, 0), "{sizes:?}");
}

#[test]
fn changes_within_a_second_are_told_at_its_end_and_in_one() {
    let mut host = Host::new(calls());
    let commands = host.udp(&watch("bob", 1, "", ""));
    answer(&mut host, &commands, "200 OK");
    host.second();
    let commands = host.call(1, false, CallPhase::Trying);
    assert_eq!(states(&commands), ["trying"]);
    answer(&mut host, &commands, "200 OK");
    assert_eq!(states(&host.call(1, false, CallPhase::Early)), [""; 0]);
    assert_eq!(states(&host.call(1, false, CallPhase::Confirmed)), [""; 0]);
    let commands = host.second();
    assert_eq!(states(&commands), ["confirmed"]);
    // What was not taken is told again as part of everything.
    answer(&mut host, &commands, "500 Later");
    host.call(2, true, CallPhase::Trying);
    let commands = host.wait(Duration::from_secs(60));
    let last = sent(&commands).into_iter().rfind(|text| text.starts_with("NOTIFY ")).expect("a NOTIFY");
    assert!(last.contains("state=\"full\"") && last.matches("<dialog ").count() == 2, "{last}");
}

#[test]
fn others_hear_that_he_is_in_a_call_and_not_with_whom() {
    let mut host = Host::new(calls());
    let commands = host.udp(&watch("alice", 1, "", "Expires: 600\r\n"));
    let mut told = shown(&commands);
    answer(&mut host, &commands, "200 OK");
    host.second();
    for (id, state, expected) in [
        (1, CallPhase::Early, &["early"][..]),
        (1, CallPhase::Confirmed, &["confirmed"]),
        // One call more or less is none of their business.
        (2, CallPhase::Early, &[]),
        (1, HUNG_UP, &["early"]),
        (2, HUNG_UP, &["terminated"]),
    ] {
        let commands = host.call(id, false, state);
        assert_eq!(states(&commands), expected);
        told += &shown(&commands);
        answer(&mut host, &commands, "200 OK");
        host.wait(Duration::from_secs(2));
    }
    assert!(!told.contains("carol"), "{told}");
    insta::assert_snapshot!(told);
}

#[test]
fn who_picks_up_for_him_hears_what_he_has_to_name() {
    let mut config = calls();
    for account in &mut config.accounts {
        account.pickup = vec!["office".into()];
    }
    let mut host = Host::new(config);
    host.call(1, false, CallPhase::Early);
    let commands = host.udp(&watch("alice", 1, "", ""));
    let told = shown(&commands);
    for part in ["call-id=\"call1@192.0.2.9\"", "local-tag=\"bobs\"", "remote-tag=\"ours\""] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn who_is_blocked_or_waits_cannot_tell_a_call_from_none() {
    let mut config = calls();
    let rule = |watcher: &str, action| WatchRule { presentity: "*".into(), watcher: watcher.into(), action };
    config.presence.as_mut().expect("on").rules =
        vec![rule("alice@example.com", WatchAction::Block), rule("dan@example.com", WatchAction::Confirm)];
    let mut host = Host::new(config);
    host.call(1, false, CallPhase::Confirmed);
    let commands = host.udp(&watch("alice", 1, "", ""));
    assert_eq!(states(&commands), ["terminated"]);
    answer(&mut host, &commands, "200 OK");
    let commands = host.udp(&watch("dan", 2, "", ""));
    let pending = &sent(&commands)[1];
    assert!(header(pending, "Subscription-State").starts_with("pending") && !pending.contains("<dialog"));
    answer(&mut host, &commands, "200 OK");
    host.second();
    assert_eq!(sent(&host.call(1, false, HUNG_UP)).len(), 0);
    host.second();
    host.call(1, false, CallPhase::Early);
    // The decision counts for calls as it does for presence.
    let (aor, watcher) = (BOB.into(), "dan@example.com".into());
    let request = Request::DecideWatcher { aor, watcher, allow: true };
    let commands = host.input(Input::Host { reply: Some(1), request });
    assert_eq!(states(&commands), ["early"]);
}

#[test]
fn a_call_shows_in_presence_while_it_lasts() {
    let (mut host, _) = watched(calls());
    let commands = host.udp(&publish(1, "", BODY));
    answer(&mut host, &commands, "200 OK");
    host.wait(Duration::from_secs(10));
    assert_eq!(sent(&host.call(1, true, CallPhase::Early)).len(), 0);
    let commands = host.call(1, true, CallPhase::Confirmed);
    insta::assert_snapshot!(shown(&commands));
    answer(&mut host, &commands, "200 OK");
    host.wait(Duration::from_secs(10));
    let commands = host.call(1, true, HUNG_UP);
    assert!(!sent(&commands)[0].contains("on-the-phone"), "{}", shown(&commands));
}

#[test]
fn without_calls_or_presence_the_package_knows_its_place() {
    let mut host = Host::new(presence());
    let commands = host.udp(&watch("bob", 1, "", ""));
    assert_eq!(status(&commands), Some(489));
    let mut config = calls();
    config.presence = None;
    config.policies.subscribe = AuthPolicy::Open;
    let mut host = Host::new(config);
    let commands = host.udp(&watch("bob", 1, "", ""));
    assert_eq!(status(&commands), Some(200));
    assert_eq!(
        header(&sent(&host.udp(&request("OPTIONS", "sip:example.com", 9, "")))[0], "Allow-Events"),
        "dialog"
    );
    let publish = host.udp(&publish(2, "", BODY));
    assert_eq!(status(&publish), Some(405));
    host.call(1, true, CallPhase::Confirmed);
    host.call(1, true, HUNG_UP);
    assert_eq!(host.engine.sizes().lines, 0);
}
