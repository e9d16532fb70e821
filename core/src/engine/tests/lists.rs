//! What lists cost: everybody of a domain watches everybody.

use super::presence::{answer, presence, sent};
use super::*;
use crate::config::ListConfig;
use crate::door::{OwnPresence, PresenceState};

/// So many accounts, all of whom watch the buddy list of their domain and have been told everything.
fn mesh(users: usize) -> Host {
    let mut config = presence();
    config.accounts = (0..users)
        .map(|n| AccountConfig {
            username: format!("u{n}"),
            ha1: vec![(crate::config::DigestAlgorithm::Md5, Secret("0".repeat(32)))],
            ..AccountConfig::default()
        })
        .collect();
    config.lists = vec![ListConfig::buddies()];
    config.limits.list_members = users;
    config.limits.notifies_per_call = 1_000_000;
    config.limits.transaction_bytes = 1 << 30;
    let mut host = Host::new(config);
    for n in 0..users {
        let text = format!(
            "SUBSCRIBE sip:buddies@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKs{n}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:u{n}@example.com>;tag=f\r\nTo: <sip:buddies@example.com>\r\n\
             Call-ID: s{n}@192.0.2.9\r\nCSeq: 1 SUBSCRIBE\r\nContact: <sip:u{n}@192.0.2.9:5060>\r\n\
             Supported: eventlist\r\nEvent: presence\r\nContent-Length: 0\r\n\r\n"
        );
        let commands = host.udp(text.as_bytes());
        all_told(&mut host, commands);
    }
    host.wait(Duration::from_secs(40));
    host
}

/// Answers NOTIFY requests until none follows: how many there were, and their bytes.
fn all_told(host: &mut Host, mut commands: Vec<Command>) -> (usize, usize) {
    let (mut requests, mut bytes) = (0, 0);
    loop {
        let notifies: Vec<String> =
            sent(&commands).into_iter().filter(|m| m.starts_with("NOTIFY ")).collect();
        if notifies.is_empty() {
            return (requests, bytes);
        }
        requests += notifies.len();
        bytes += notifies.iter().map(String::len).sum::<usize>();
        commands = answer(host, &commands, "200 OK");
    }
}

fn publishes(host: &mut Host, user: usize) -> Vec<Command> {
    let presence = Some(OwnPresence {
        state: PresenceState::Busy,
        note: "busy".into(),
        lasts: Duration::from_secs(600),
    });
    let request = Request::Publish { aor: format!("u{user}@example.com").into(), presence };
    host.input(Input::Host { reply: None, request })
}

#[test]
fn a_change_costs_one_notify_for_each_other_and_many_changes_cost_no_more() {
    const USERS: usize = 200;
    let mut host = mesh(USERS);
    let sizes = host.engine.sizes();
    assert_eq!((sizes.subscriptions, sizes.presentities), (USERS, USERS), "no subscription for each pair");
    // One publishes: each of the others gets one small NOTIFY, he himself none.
    let commands = publishes(&mut host, 0);
    let (requests, bytes) = all_told(&mut host, commands);
    assert_eq!(requests, USERS - 1);
    assert!(bytes / requests < 1_700, "{}", bytes / requests);
    // All publish within one interval: what comes after the first is told at its end, as many at a time as fit.
    let mut told = 0;
    for user in 1..USERS {
        let commands = publishes(&mut host, user);
        told += all_told(&mut host, commands).0;
    }
    assert_eq!(told, 1, "he who was told nothing yet");
    let commands = host.wait(Duration::from_secs(6));
    told += all_told(&mut host, commands).0;
    let alone = USERS * (USERS - 1);
    assert!(told < alone / 8, "{told} instead of {alone}");
    // Everybody has the newest state of everybody: nothing is left to be told.
    assert_eq!(all_told(&mut host, Vec::new()).0, 0);
    assert!(sent(&host.wait(Duration::from_secs(60))).is_empty());
}
