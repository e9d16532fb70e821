//! Presence through the engine's doors: SUBSCRIBE, PUBLISH and NOTIFY, byte for byte.

use super::*;
use crate::config::{EventsConfig, PresenceConfig, WatchAction, WatchRule};
use crate::door::{Change, OwnPresence, PresenceRefusal, PresenceSource, PresenceState};

pub(super) const BODY: &str = "<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
                    entity=\"sip:bob@example.com\"><tuple id=\"a\"><status><basic>open</basic></status>\
                    <note>here</note></tuple></presence>";

pub(super) fn presence() -> Config {
    let mut config = open();
    config.policies.subscribe = AuthPolicy::Open;
    config.policies.publish = AuthPolicy::Open;
    config.presence = Some(PresenceConfig::default());
    config.tell.bindings = false;
    config
}

/// A request of a watcher or a publisher; `to` may have a tag, `more` are whole lines.
pub(super) fn about_bob(method: &str, cseq: u32, to_tag: &str, more: &str, body: &str) -> Vec<u8> {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/pidf+xml\r\n" };
    format!(
        "{method} sip:bob@example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK{method}{cseq}{to_tag};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@example.com>;tag=f1\r\nTo: <sip:bob@example.com>{}\r\nCall-ID: {method}@192.0.2.9\r\n\
         CSeq: {cseq} {method}\r\n{more}{kind}Content-Length: {}\r\n\r\n{body}",
        if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") },
        body.len()
    )
    .into_bytes()
}

pub(super) fn subscribe(cseq: u32, to_tag: &str, more: &str) -> Vec<u8> {
    let more = format!("Contact: <sip:alice@192.0.2.9:5060>\r\n{more}");
    about_bob("SUBSCRIBE", cseq, to_tag, &more, "")
}

pub(super) fn publish(cseq: u32, more: &str, body: &str) -> Vec<u8> {
    about_bob("PUBLISH", cseq, "", &format!("Event: presence\r\n{more}"), body)
}

/// Messages sent, as text.
pub(super) fn sent(commands: &[Command]) -> Vec<String> {
    let text = |c: &Command| match c {
        Command::Transmit(t) => Some(String::from_utf8_lossy(&t.payload).into_owned()),
        _ => None,
    };
    commands.iter().filter_map(text).collect()
}

pub(super) fn header<'m>(message: &'m str, name: &str) -> &'m str {
    let line = message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in {message}"))
}

/// Answers each NOTIFY among the commands.
pub(super) fn answer(host: &mut Host, commands: &[Command], status: &str) -> Vec<Command> {
    let mut out = Vec::new();
    for notify in sent(commands).iter().filter(|text| text.starts_with("NOTIFY ")) {
        let copied: Vec<String> = ["Via", "From", "To", "Call-ID", "CSeq"]
            .iter()
            .map(|name| format!("{name}: {}\r\n", header(notify, name)))
            .collect();
        let answer = format!("SIP/2.0 {status}\r\n{}Content-Length: 0\r\n\r\n", copied.concat());
        out.extend(host.udp(answer.as_bytes()));
    }
    out
}

pub(super) fn tag_of(commands: &[Command]) -> String {
    let all = sent(commands);
    let to = header(&all[0], "To");
    to.split_once("tag=").expect("a tag").1.to_owned()
}

/// A host with one watcher of bob, who was told the first state and said so.
pub(super) fn watched(config: Config) -> (Host, String) {
    let mut host = Host::new(config);
    let commands = host.udp(&subscribe(1, "", "Event: presence\r\nExpires: 600\r\n"));
    let tag = tag_of(&commands);
    answer(&mut host, &commands, "200 OK");
    (host, tag)
}

#[test]
fn a_subscription_is_answered_and_notified_and_a_publication_is_told() {
    let mut host = Host::new(presence());
    let commands = host.udp(&subscribe(1, "", "Event: presence;id=7\r\nExpires: 600\r\n"));
    let mut told = shown(&commands);
    answer(&mut host, &commands, "200 OK");
    let commands = host.udp(&publish(1, "Expires: 300\r\n", BODY));
    told += &shown(&commands);
    answer(&mut host, &commands, "200 OK");
    let sizes = host.engine.sizes();
    assert_eq!((sizes.subscriptions, sizes.publications, sizes.presentities), (1, 1, 1));
    // The publication ends first, and the subscription after it.
    let commands = host.wait(Duration::from_secs(301));
    told += &shown(&commands);
    answer(&mut host, &commands, "200 OK");
    let commands = host.wait(Duration::from_secs(300));
    told += &shown(&commands);
    answer(&mut host, &commands, "200 OK");
    insta::assert_snapshot!(told);
    host.wait(Duration::from_secs(64));
    let sizes = host.engine.sizes();
    assert_eq!((sizes.subscriptions, sizes.publications, sizes.presentities), (0, 0, 0));
    assert_eq!((sizes.transactions, sizes.timers), (0, 0));
}

#[test]
fn what_cannot_be_subscribed_to_is_refused_with_what_the_rfc_demands() {
    for (more, expected, with) in [
        ("", 489, "Allow-Events: presence, presence.winfo, reg"),
        ("Event: dialog-of-mine\r\n", 489, "Allow-Events: presence"),
        ("Event: presence;=x\r\n", 400, ""),
        ("Event: presence\r\nAccept: application/xpidf+xml\r\n", 406, ""),
        ("Event: presence\r\nExpires: 5\r\n", 423, "Min-Expires: 60"),
        ("Event: presence\r\nAccept: text/plain, application/pidf+xml;q=0.5\r\n", 200, "Expires: 3600"),
        ("Event: presence\r\nExpires: 100000\r\n", 200, "Expires: 7200"),
    ] {
        let mut host = Host::new(presence());
        let commands = host.udp(&subscribe(1, "", more));
        assert_eq!(status(&commands), Some(expected), "{more}");
        assert!(sent(&commands)[0].contains(with), "{more}: {}", sent(&commands)[0]);
        assert_eq!(host.engine.sizes().subscriptions, usize::from(expected == 200), "{more}");
    }
    let mut host = Host::new(presence());
    let without_contact = about_bob("SUBSCRIBE", 1, "", "Event: presence\r\n", "");
    assert_eq!(status(&host.udp(&without_contact)), Some(400));
    assert_eq!(status(&host.udp(&subscribe(2, "0123", "Event: presence\r\n"))), Some(481));
    assert_eq!(host.engine.sizes().transactions, 1, "a stranger who names a dialog leaves nothing");
}

#[test]
fn what_cannot_be_published_is_refused_in_the_order_of_the_rfc() {
    let other = BODY.replace("bob@", "carol@");
    let bad = BODY.replace("</presence>", "");
    let bomb = BODY.replace("<?xml version=\"1.0\"?>", "<!DOCTYPE x [<!ENTITY a \"b\">]>");
    let large = BODY.replace("here", &"x".repeat(20_000));
    for (more, body, expected, with) in [
        ("", "", 400, "Missing Body"),
        ("SIP-If-Match: nonsense\r\n", BODY, 412, ""),
        ("SIP-If-Match: 00123456789abcdef\r\nExpires: 5\r\n", BODY, 412, ""),
        ("Expires: 5\r\n", "", 423, "Min-Expires: 60"),
        ("", other.as_str(), 400, "Entity"),
        ("", bad.as_str(), 400, "Malformed"),
        ("", bomb.as_str(), 400, "Malformed"),
        ("", large.as_str(), 413, ""),
        ("Expires: 0\r\n", BODY, 200, "Expires: 0"),
        ("", BODY, 200, "Expires: 3600"),
    ] {
        let mut host = Host::new(presence());
        let commands = host.udp(&publish(1, more, body));
        assert_eq!(status(&commands), Some(expected), "{more}{}", sent(&commands)[0]);
        assert!(sent(&commands)[0].contains(with), "{more}: {}", sent(&commands)[0]);
    }
    let mut host = Host::new(presence());
    let text = about_bob("PUBLISH", 1, "", "Event: presence\r\n", "x").escape_ascii().to_string();
    let wrong_type = text.replace("application/pidf+xml", "text/plain").replace("\\r\\n", "\r\n");
    let commands = host.udp(wrong_type.as_bytes());
    assert_eq!(status(&commands), Some(415));
    assert!(sent(&commands)[0].contains("Accept: application/pidf+xml"));
    assert_eq!(status(&host.udp(&about_bob("PUBLISH", 2, "", "Event: reg\r\n", BODY))), Some(489));
    // RFC 3903 s6 step 1 comes before all of them.
    let elsewhere = String::from_utf8_lossy(&publish(3, "", ""))
        .replace("PUBLISH sip:bob@example.com", "PUBLISH sip:bob@else.com");
    assert_eq!(status(&host.udp(elsewhere.as_bytes())), Some(404));
}

#[test]
fn an_entity_tag_is_fresh_each_time_and_the_old_one_is_void() {
    let (mut host, _) = watched(presence());
    let mut etags: Vec<String> = Vec::new();
    let etag = |commands: &[Command]| header(&sent(commands)[0], "SIP-ETag").to_owned();
    etags.push(etag(&host.udp(&publish(1, "", BODY))));
    // A refresh has no body and tells nobody.
    let commands = host.udp(&publish(2, &format!("SIP-If-Match: {}\r\n", etags[0]), ""));
    assert_eq!(sent(&commands).len(), 1);
    etags.push(etag(&commands));
    assert_ne!(etags[0], etags[1]);
    let stale = host.udp(&publish(3, &format!("SIP-If-Match: {}\r\n", etags[0]), BODY));
    assert_eq!(status(&stale), Some(412));
    assert_eq!(host.engine.sizes().publications, 1);
    let gone = host.udp(&publish(4, &format!("SIP-If-Match: {}\r\nExpires: 0\r\n", etags[1]), ""));
    assert_eq!(status(&gone), Some(200));
    assert_eq!(host.engine.sizes().publications, 0);
}

#[test]
fn one_notify_is_in_flight_and_the_newest_state_follows_it() {
    let mut config = presence();
    config.presence = Some(PresenceConfig { pacing: Duration::ZERO, ..PresenceConfig::default() });
    let (mut host, _) = watched(config);
    let first = host.udp(&publish(1, "", BODY));
    assert_eq!(sent(&first).len(), 2);
    let etag = header(&sent(&first)[0], "SIP-ETag").to_owned();
    let mut last = etag;
    for (cseq, note) in [(2, "away"), (3, "back"), (4, "lunch")] {
        let body = BODY.replace("here", note);
        let commands = host.udp(&publish(cseq, &format!("SIP-If-Match: {last}\r\n"), &body));
        assert_eq!(sent(&commands).len(), 1, "the first NOTIFY is not answered");
        last = header(&sent(&commands)[0], "SIP-ETag").to_owned();
    }
    let next = answer(&mut host, &first, "200 OK");
    assert_eq!(sent(&next).len(), 1);
    assert!(sent(&next)[0].contains("lunch"), "{}", sent(&next)[0]);
    assert!(sent(&answer(&mut host, &next, "200 OK")).is_empty());
}

#[test]
fn changes_are_told_at_once_and_then_at_the_end_of_the_interval() {
    let (mut host, _) = watched(presence());
    let first = host.udp(&publish(1, "", BODY));
    answer(&mut host, &first, "200 OK");
    let mut etag = header(&sent(&first)[0], "SIP-ETag").to_owned();
    for cseq in 2..10 {
        host.now = host.now + Duration::from_millis(100);
        let body = BODY.replace("here", &format!("state {cseq}"));
        let commands = host.udp(&publish(cseq, &format!("SIP-If-Match: {etag}\r\n"), &body));
        assert_eq!(sent(&commands).len(), 1, "within the interval");
        etag = header(&sent(&commands)[0], "SIP-ETag").to_owned();
    }
    let told = host.wait(Duration::from_millis(4_300));
    assert_eq!(sent(&told).len(), 1);
    assert!(sent(&told)[0].contains("state 9"));
}

#[test]
fn a_refusal_of_a_notify_ends_the_subscription_and_another_error_does_not() {
    for (status, left) in [("481 Gone", 0), ("404 No", 0), ("489 What", 0), ("500 Oops", 1), ("503 Later", 1)]
    {
        let (mut host, _) = watched(presence());
        let commands = host.udp(&publish(1, "", BODY));
        answer(&mut host, &commands, status);
        assert_eq!(host.engine.sizes().subscriptions, left, "{status}");
    }
}

#[test]
fn silence_ends_a_subscription_unless_it_is_to_be_kept() {
    for keep_silent in [false, true] {
        let mut config = presence();
        config.events = EventsConfig { keep_silent, ..EventsConfig::default() };
        let (mut host, _) = watched(config);
        host.udp(&publish(1, "", BODY));
        host.wait(Duration::from_secs(33));
        assert_eq!(host.engine.sizes().subscriptions, usize::from(keep_silent));
    }
}

#[test]
fn a_refresh_prolongs_and_the_end_is_told() {
    let (mut host, tag) = watched(presence());
    host.wait(Duration::from_secs(500));
    let commands = host.udp(&subscribe(2, &tag, "Event: presence\r\nExpires: 600\r\n"));
    assert_eq!(status(&commands), Some(200));
    assert!(sent(&commands)[1].contains("Subscription-State: active;expires=600"));
    answer(&mut host, &commands, "200 OK");
    // RFC 3261 s12.2.2: out of order.
    let old = host.udp(&subscribe(1, &tag, "Event: presence\r\n"));
    assert_eq!(status(&old), Some(500));
    let commands = host.udp(&subscribe(4, &tag, "Event: presence\r\nExpires: 0\r\n"));
    assert!(sent(&commands)[1].contains("Subscription-State: terminated;reason=timeout"));
    assert!(sent(&commands)[1].contains("<presence"), "the last state goes with it");
    assert_eq!(host.engine.sizes().subscriptions, 0);
}

#[test]
fn subscriptions_of_one_dialog_are_told_apart_by_event_and_share_its_numbers() {
    let (mut host, tag) = watched(presence());
    let second = host.udp(&subscribe(2, &tag, "Event: presence;id=x\r\nExpires: 600\r\n"));
    assert_eq!(status(&second), Some(200));
    assert!(sent(&second)[1].contains("Event: presence;id=x\r\n"));
    answer(&mut host, &second, "200 OK");
    for (cseq, event, expected) in [(3, "reg", 200), (4, "dialog-of-mine", 489)] {
        let commands = host.udp(&subscribe(cseq, &tag, &format!("Event: {event}\r\n")));
        assert_eq!(status(&commands), Some(expected), "{event}");
        answer(&mut host, &commands, "200 OK");
    }
    assert_eq!(host.engine.sizes().subscriptions, 3);
    let told = host.udp(&publish(1, "", BODY));
    let number =
        |text: &String| header(text, "CSeq").trim_end_matches(" NOTIFY").parse::<u32>().expect("a number");
    let notifies: Vec<String> = sent(&told).into_iter().filter(|text| text.starts_with("NOTIFY ")).collect();
    assert_eq!(number(&notifies[1]), number(&notifies[0]) + 1);
    assert_eq!((header(&notifies[0], "Event"), header(&notifies[1], "Event")), ("presence", "presence;id=x"));
    answer(&mut host, &told, "200 OK");
    // The end of one leaves the others.
    let end = host.udp(&subscribe(5, &tag, "Event: presence\r\nExpires: 0\r\n"));
    assert!(sent(&end)[1].contains("Subscription-State: terminated;reason=timeout"));
    assert_eq!(host.engine.sizes().subscriptions, 2);
    let refresh = host.udp(&subscribe(6, &tag, "Event: presence;id=x\r\nExpires: 600\r\n"));
    assert_eq!(status(&refresh), Some(200));
    // RFC 5057 s5.1: 481 takes one, 404 the dialog.
    answer(&mut host, &refresh, "481 Gone");
    assert_eq!(host.engine.sizes().subscriptions, 1);
    let last = host.udp(&subscribe(7, &tag, "Event: presence;id=y\r\nExpires: 600\r\n"));
    assert_eq!(host.engine.sizes().subscriptions, 2);
    answer(&mut host, &last, "404 Not Found");
    assert_eq!(host.engine.sizes().subscriptions, 0);
    assert_eq!(status(&host.udp(&subscribe(8, &tag, "Event: presence;id=x\r\n"))), Some(481));
}

#[test]
fn a_fetch_tells_the_state_once() {
    let mut host = Host::new(presence());
    let commands = host.udp(&subscribe(1, "", "Event: presence\r\nExpires: 0\r\n"));
    assert_eq!(sent(&commands).len(), 2);
    assert!(sent(&commands)[1].contains("Subscription-State: terminated;reason=timeout"));
    assert_eq!((host.engine.sizes().subscriptions, host.engine.sizes().presentities), (0, 0));
}

#[test]
fn who_registers_is_seen_and_who_expires_is_gone() {
    let (mut host, _) = watched(presence());
    let contact = "Contact: <sip:bob@192.0.2.9:5060>;expires=60\r\n";
    let commands = host.udp(&request("REGISTER", "sip:example.com", 1, contact));
    let told = sent(&commands);
    assert_eq!(told.len(), 2);
    assert!(told[1].contains("<basic>open</basic>"), "{}", told[1]);
    answer(&mut host, &commands, "200 OK");
    let told = host.wait(Duration::from_secs(61));
    assert!(sent(&told)[0].contains("<basic>closed</basic>"), "{}", sent(&told)[0]);
}

#[test]
fn draining_ends_subscriptions_and_takes_no_new_ones() {
    let (mut host, _) = watched(presence());
    let commands = host
        .input(Input::Host { reply: None, request: Request::Drain { timeout: Duration::from_secs(600) } });
    let told = sent(&commands);
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("Subscription-State: terminated;reason=probation;retry-after="), "{}", told[0]);
    assert!(!told[0].contains("terminated;reason=timeout"));
    let refused = host.udp(&subscribe(9, "", "Event: presence\r\n"));
    assert_eq!(status(&refused), Some(503));
    let end = host.wait(Duration::from_secs(10));
    assert!(end.iter().any(|c| matches!(c, Command::Tell(Event::Drained))));
}

/// DECISIONS 20.
#[test]
fn draining_leaves_subscriptions_that_are_stored_as_they_are() {
    let mut config = presence();
    config.tell.changes = true;
    let (mut host, tag) = watched(config);
    let commands = host
        .input(Input::Host { reply: None, request: Request::Drain { timeout: Duration::from_secs(600) } });
    assert_eq!(sent(&commands), [""; 0]);
    assert!(!commands.iter().any(|c| matches!(c, Command::Save(_, Change::RemoveSubscription { .. }))));
    assert!(commands.iter().any(|c| matches!(c, Command::Tell(Event::Drained))));
    assert_eq!(host.engine.sizes().subscriptions, 1);
    assert_eq!(status(&host.udp(&subscribe(9, &tag, "Event: presence\r\n"))), Some(200));
}

#[test]
fn the_host_publishes_and_asks() {
    let (mut host, _) = watched(presence());
    let own = OwnPresence {
        state: PresenceState::Busy,
        note: "in a meeting".into(),
        lasts: Duration::from_secs(60),
    };
    let publish = Request::Publish { aor: "bob@example.com".into(), presence: Some(own) };
    let commands = host.input(Input::Host { reply: Some(1), request: publish });
    assert!(sent(&commands)[0].contains("in a meeting"), "{}", sent(&commands)[0]);
    let ask = Request::Presence { aor: "sip:bob@example.com".into() };
    let commands = host.input(Input::Host { reply: Some(2), request: ask });
    let Some(Command::Reply(reply)) = commands.last() else { panic!("{commands:?}") };
    let ReplyBody::Presence(view) = &reply.body else { panic!("{reply:?}") };
    assert_eq!((view.state, view.note.as_deref()), (PresenceState::Busy, Some("in a meeting")));
    assert_eq!(view.devices[0].source, PresenceSource::Host);
    let ask = Request::Presence { aor: "bob@elsewhere.com".into() };
    let commands = host.input(Input::Host { reply: Some(3), request: ask });
    let refused = ReplyBody::NoPresence(PresenceRefusal::NotOurs);
    assert!(matches!(&commands[0], Command::Reply(r) if r.body == refused));
}

#[test]
fn ten_thousand_watchers_are_notified_some_at_a_time() {
    let mut config = presence();
    config.limits.subscriptions_per_watcher = 10_000;
    // The rest is told when one host may be told more.
    config.limits.notifies_per_host = 0;
    let mut host = Host::new(config);
    for n in 0..10_000 {
        let text = String::from_utf8(subscribe(1, "", "Event: presence\r\n")).expect("text");
        let text = text
            .replace("SUBSCRIBE@", &format!("s{n}@"))
            .replace("z9hG4bKSUBSCRIBE1", &format!("z9hG4bKs{n}"));
        let commands = host.udp(text.as_bytes());
        answer(&mut host, &commands, "200 OK");
    }
    assert_eq!(host.engine.sizes().subscriptions, 10_000);
    let first = host.udp(&publish(1, "", BODY));
    assert_eq!(sent(&first).len(), 1 + 256, "one call does bounded work");
    assert_eq!(host.engine.poll_timeout(), Some(host.now));
    let mut told = sent(&first).len() - 1;
    while host.engine.poll_timeout() == Some(host.now) {
        told += sent(&host.input(Input::Timeout)).len();
    }
    assert_eq!(told, 10_000);
}

#[test]
fn a_pending_watcher_is_told_nothing_until_it_is_decided_and_the_owner_sees_who_waits() {
    let mut config = presence();
    let rule =
        WatchRule { presentity: "bob@example.com".into(), watcher: "*".into(), action: WatchAction::Confirm };
    config.presence = Some(PresenceConfig { rules: vec![rule], ..PresenceConfig::default() });
    // Whoever proves nothing owns everything: let alice prove who she is.
    config.policies.subscribe = AuthPolicy::Any;
    config.trusted.clear();
    config.digest.allow_no_qop = true;
    let mut host = Host::new(config);
    let watch = |cseq: u32, event: &str, user: &str, password: &str, host: &mut Host| {
        let plain = String::from_utf8(subscribe(cseq, "", &format!("Event: {event}\r\n"))).expect("text");
        let plain = plain.replace("alice", user).replace("SUBSCRIBE@", &format!("{user}{event}@"));
        let plain = plain.replace("z9hG4bK", &format!("z9hG4bK{user}{event}"));
        let challenge = sent(&host.udp(plain.as_bytes())).remove(0);
        let field = |name: &str| {
            let from = challenge.find(&format!("{name}=\"")).expect("a field") + name.len() + 2;
            challenge[from..].split('"').next().expect("an end").to_owned()
        };
        let (realm, nonce) = (field("realm"), field("nonce"));
        let hex = |text: String| {
            let hash = crate::base::hash::digest(crate::config::DigestAlgorithm::Sha256, &[text.as_bytes()]);
            hash.iter().map(|b| format!("{b:02x}")).collect::<String>()
        };
        let ha1 = hex(format!("{user}:{realm}:{password}"));
        let ha2 = hex("SUBSCRIBE:sip:bob@example.com".into());
        let response = hex(format!("{ha1}:{nonce}:00000001:cn:auth:{ha2}"));
        let authorization = format!(
            "Authorization: Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", \
             uri=\"sip:bob@example.com\", response=\"{response}\", algorithm=SHA-256, qop=auth, \
             cnonce=\"cn\", nc=00000001\r\nContact:"
        );
        let again = plain.replacen("Contact:", &authorization, 1);
        let again = again.replace(&format!("CSeq: {cseq} "), &format!("CSeq: {} ", cseq + 1));
        host.udp(again.replace("branch=z9hG4bK", "branch=z9hG4bKb").as_bytes())
    };
    let commands = watch(1, "presence", "alice", "wonderland", &mut host);
    assert!(sent(&commands)[1].contains("Subscription-State: pending;expires="), "{}", sent(&commands)[1]);
    assert!(!sent(&commands)[1].contains("<presence"));
    answer(&mut host, &commands, "200 OK");
    // Only bob sees who watches him.
    assert_eq!(status(&watch(1, "presence.winfo", "alice", "wonderland", &mut host)), Some(403));
    let commands = watch(1, "presence.winfo", "bob", "zanzibar", &mut host);
    assert!(sent(&commands)[1].contains("status=\"pending\""), "{}", sent(&commands)[1]);
    answer(&mut host, &commands, "200 OK");
    host.wait(Duration::from_secs(6));
    let decide = Request::DecideWatcher {
        aor: "bob@example.com".into(),
        watcher: "alice@example.com".into(),
        allow: true,
    };
    let commands = host.input(Input::Host { reply: None, request: decide });
    let told = sent(&commands);
    assert_eq!(told.len(), 2, "the watcher and the owner: {told:#?}");
    assert!(told[0].contains("Subscription-State: active;expires=") && told[0].contains("<presence"));
    assert!(told[1].contains("status=\"active\"") && told[1].contains("version=\"1\""), "{}", told[1]);
}

#[test]
fn registrations_are_told_to_their_owner() {
    let mut host = Host::new(presence());
    let commands = host.udp(&subscribe(1, "", "Event: reg\r\n"));
    let mut told = sent(&commands).split_off(1);
    answer(&mut host, &commands, "200 OK");
    let contact = "Contact: <sip:bob@192.0.2.9:5060>;expires=60;q=0.5\r\n";
    let commands = host.udp(&request("REGISTER", "sip:example.com", 1, contact));
    assert_eq!(sent(&commands).len(), 1, "within five seconds of the last NOTIFY");
    let commands = host.wait(Duration::from_secs(5));
    told.extend(sent(&commands));
    answer(&mut host, &commands, "200 OK");
    let commands = host.wait(Duration::from_millis(55_400));
    told.extend(sent(&commands));
    answer(&mut host, &commands, "200 OK");
    insta::assert_snapshot!(told.join("\n").replace('\r', ""));
}
