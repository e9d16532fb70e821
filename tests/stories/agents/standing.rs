//! What user agents publish, whom they watch, and what they write: RFC 3903, RFC 6665, RFC 3428.

use strowger_core::config::RegistrarConfig;
use strowger_core::door::{PresenceState, ReplyBody, Request, UaRefusal, UaRequest, UaState, UaStep};

use super::net::*;
use crate::s;

fn publish(net: &mut Net, at: usize, note: &str) {
    let user = USERS[at];
    let document = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
         entity=\"sip:{user}@example.com\"><tuple id=\"t\"><status><basic>open</basic></status>\
         <note>{note}</note></tuple></presence>"
    );
    let kind = "application/pidf+xml".into();
    let document = document.into_bytes().into();
    net.does(at, UaRequest::Publish { event: "presence".into(), kind, document, expires: 600 });
}

fn watch(net: &mut Net, at: usize, whom: usize) -> u64 {
    let target = format!("sip:{}@example.com", USERS[whom]).into();
    net.begins(at, UaRequest::Subscribe { target, event: "presence".into(), expires: 600 })
}

fn says(net: &mut Net, at: usize, to: usize, text: &str) -> u64 {
    let to = format!("sip:{}@example.com", USERS[to]).into();
    net.begins(at, UaRequest::Message { to, kind: "text/plain".into(), body: text.as_bytes().into() })
}

/// The last that was told of somebody watched.
fn seen(net: &Net, at: usize) -> Option<(PresenceState, String)> {
    net.told[at].iter().rev().find_map(|step| match step {
        UaStep::Presence { presence, .. } => {
            Some((presence.state, presence.note.as_deref().unwrap_or_default().to_owned()))
        }
        _ => None,
    })
}

#[test]
fn one_publishes_and_the_other_sees_it() {
    let mut net = Net::new(1, 0);
    // Neither has to be registered.
    net.opens(ALICE, "");
    net.opens(BOB, ";transport=tcp");
    publish(&mut net, BOB, "one");
    let id = watch(&mut net, ALICE, BOB);
    net.run_for(1);
    insta::assert_snapshot!("publish", net.last("PUBLISH"));
    insta::assert_snapshot!("subscribe", net.last("SUBSCRIBE"));
    assert_eq!(seen(&net, ALICE).map(|(_, note)| note).as_deref(), Some("one"));
    let view = net.view(ALICE);
    assert_eq!(view.subscriptions, [(id, "sip:bob@example.com".into(), UaState::Active { expires: 600 })]);
    assert_eq!(net.view(BOB).publications, [("presence".into(), UaState::Active { expires: 600 })]);
    net.run_for(3600);
    publish(&mut net, BOB, "two");
    net.run_for(6);
    assert_eq!(seen(&net, ALICE).map(|(_, note)| note).as_deref(), Some("two"));
    // The server forgets all: they come again, over connections that are made anew.
    net.restart();
    net.run_for(700);
    publish(&mut net, BOB, "three");
    net.run_for(60);
    assert_eq!(seen(&net, ALICE).map(|(_, note)| note).as_deref(), Some("three"));
    net.news(ALICE);
    net.does(BOB, UaRequest::Unpublish { event: "presence".into() });
    net.run_for(6);
    assert_eq!(seen(&net, ALICE).map(|(state, _)| state), Some(PresenceState::Offline));
    net.does(ALICE, UaRequest::Unsubscribe { id });
    net.run_for(40);
    let ended = UaState::Ended { reason: "".into() };
    let target = "sip:bob@example.com".into();
    assert_eq!(net.news(ALICE).last(), Some(&UaStep::Subscription { id, target, state: ended }));
    assert_eq!(net.ua(ALICE, UaRequest::Unsubscribe { id }), ReplyBody::NoUa(UaRefusal::NoSuch));
    assert!(net.view(ALICE).subscriptions.is_empty() && net.view(BOB).publications.is_empty());
    net.end();
}

#[test]
fn over_a_bad_network_the_newest_is_seen_in_the_end() {
    for seed in 0..20 {
        let mut net = Net::new(seed, 15);
        net.opens(ALICE, "");
        net.opens(BOB, "");
        watch(&mut net, ALICE, BOB);
        for n in 0..10 {
            publish(&mut net, BOB, &format!("word {n}"));
            let pause = net.rng.below(20);
            net.run_for(pause);
        }
        net.loss = 0;
        net.run_for(700);
        assert_eq!(seen(&net, ALICE).map(|(_, note)| note).as_deref(), Some("word 9"), "seed {seed}");
        net.end();
    }
}

#[test]
fn messages_arrive_one_after_the_other() {
    let mut net = Net::new(2, 0);
    net.registers(ALICE, "");
    net.registers(BOB, ";transport=tcp");
    net.news(BOB);
    let ids: Vec<u64> = (0..5).map(|n| says(&mut net, ALICE, BOB, &format!("word {n}"))).collect();
    net.run_for(2);
    insta::assert_snapshot!("message", net.last("MESSAGE sip:bob@"));
    let heard: Vec<String> = net
        .news(BOB)
        .into_iter()
        .filter_map(|step| match step {
            UaStep::Message { from, body, .. } => Some(format!("{from} {}", String::from_utf8_lossy(&body))),
            _ => None,
        })
        .collect();
    assert_eq!(heard, (0..5).map(|n| format!("sip:alice@example.com word {n}")).collect::<Vec<_>>());
    let sent: Vec<UaStep> =
        net.news(ALICE).into_iter().filter(|step| matches!(step, UaStep::Sent { .. })).collect();
    assert_eq!(sent, ids.iter().map(|id| UaStep::Sent { id: *id, status: 200 }).collect::<Vec<_>>());
    // To nobody, and with nobody there.
    let nobody = net.begins(
        ALICE,
        UaRequest::Message {
            to: "sip:zed@example.com".into(),
            kind: "text/plain".into(),
            body: b"x"[..].into(),
        },
    );
    net.run_for(2);
    assert_eq!(net.news(ALICE), [UaStep::Sent { id: nobody, status: 404 }]);
    net.dark = true;
    let lost = says(&mut net, ALICE, BOB, "lost");
    net.run_for(40);
    assert_eq!(net.news(ALICE), [UaStep::Sent { id: lost, status: 408 }]);
    for (to, kind, why) in [
        ("bob", "text/plain", UaRefusal::BadUri),
        ("sip:bob@example.com>", "text/plain", UaRefusal::BadUri),
        ("sip:bob@example.com", "text", UaRefusal::BadValue),
        ("sip:bob@example.com", "text/plain\r\nX: y", UaRefusal::BadValue),
    ] {
        let request = UaRequest::Message { to: to.into(), kind: kind.into(), body: Box::default() };
        assert_eq!(net.ua(ALICE, request), ReplyBody::NoUa(why));
    }
    net.end();
}

#[test]
fn who_is_told_to_come_later_does() {
    let mut net = Net::new(3, 0);
    net.opens(ALICE, "");
    watch(&mut net, ALICE, BOB);
    net.run_for(1);
    net.ask(SERVER, Request::Drain { timeout: s(60) });
    net.run_for(1);
    let told = net.news(ALICE);
    let Some(UaStep::Subscription { state: UaState::Waiting { reason, .. }, .. }) = told.last() else {
        panic!("{told:?}")
    };
    assert_eq!(&**reason, "probation");
    net.restart();
    net.run_for(130);
    assert_eq!(net.view(ALICE).subscriptions[0].2, UaState::Active { expires: 600 });
    net.end();
}

#[test]
fn a_hundred_user_agents_of_one_engine_have_each_their_own() {
    let mut net = Net::with(4, 0, |config| {
        config.registrar = Some(RegistrarConfig { max_contacts: 100, ..RegistrarConfig::default() });
    });
    let mut asked = |ua: u64, request| net.ask(ALICE, Request::Ua { ua, request });
    for ua in 100..200 {
        assert_eq!(asked(ua, UaRequest::Open(Box::new(account(ALICE, "")))), ReplyBody::Done);
        assert_eq!(asked(ua, UaRequest::Register), ReplyBody::Done);
    }
    net.run_for(1);
    // All are phones of one user.
    let registered = |net: &mut Net| {
        let registered =
            |net: &mut Net, ua| match net.ask(ALICE, Request::Ua { ua, request: UaRequest::View }) {
                ReplyBody::Ua(view) => view.is_registered(),
                other => panic!("{other:?}"),
            };
        (100..200).filter(|ua| registered(net, *ua)).count()
    };
    assert_eq!((net.phones(ALICE), registered(&mut net)), (100, 100));
    net.run_for(12 * 3600);
    assert_eq!((net.phones(ALICE), registered(&mut net)), (100, 100));
    for ua in 100..200 {
        assert_eq!(net.ask(ALICE, Request::Ua { ua, request: UaRequest::Close }), ReplyBody::Done);
    }
    net.run_for(40);
    assert_eq!((net.phones(ALICE), net.engines[ALICE].sizes().user_agents), (0, 0));
    net.end();
}
