//! Presence over real sockets and over a handle: what the program says reaches watchers, what phones say reaches the
//! program.

use std::net::SocketAddr;
use std::time::Duration;

use strowger_tokio::core::config::{AuthPolicy, ListenerConfig, WatchAction, WatchRule};
use strowger_tokio::core::door::{
    PresenceCause, PresenceRefusal, PresenceSource, PresenceState, SubscriptionStep, Transport,
};
use strowger_tokio::{HandleError, PresenceError, PresenceNews, Server, SimpleB2bua};
use tokio::net::UdpSocket;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_secs(3600);
const BOB: &str = "bob@example.com";

fn server() -> SimpleB2bua {
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    let udp = ListenerConfig { transport: Transport::Udp, addr, advertised: None, algorithms: None };
    SimpleB2bua::new("Lobby", 0)
        .domain("example.com")
        .listen([udp])
        .enable_registration()
        .enable_presence()
        .configure(|config| {
            let policies = &mut config.policies;
            policies.register = AuthPolicy::Open;
            policies.subscribe = AuthPolicy::Open;
            policies.publish = AuthPolicy::Open;
            // Every change is told by itself.
            config.presence.as_mut().expect("enabled").pacing = Duration::ZERO;
        })
}

/// A phone: one socket, one call.
struct Phone {
    socket: UdpSocket,
    server: SocketAddr,
    user: &'static str,
    cseq: u32,
}

impl Phone {
    async fn of(server: &Server, user: &'static str) -> Phone {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        Phone { socket, server: server.listeners()[0].addr, user, cseq: 0 }
    }

    /// Sends a request with these further lines and gives what comes first: over loopback the answer.
    async fn ask(&mut self, method: &str, uri: &str, more: &str, body: &str) -> String {
        self.cseq += 1;
        let Phone { user, cseq, .. } = self;
        let local = self.socket.local_addr().expect("bound");
        let text = format!(
            "{method} sip:{uri} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{user}{cseq};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@example.com>;tag=f\r\nTo: <sip:{}>\r\n\
             Call-ID: {user}-{method}-{local}\r\nCSeq: {cseq} {method}\r\nContact: <sip:{user}@{local}>\r\n\
             {more}Content-Length: {}\r\n\r\n{body}",
            if method == "REGISTER" { format!("{user}@example.com") } else { uri.into() },
            body.len(),
        );
        self.socket.send_to(text.as_bytes(), self.server).await.expect("sent");
        self.receive().await
    }

    async fn receive(&self) -> String {
        let mut buf = vec![0; 65_536];
        let received = timeout(PATIENCE, self.socket.recv(&mut buf)).await.expect("in time");
        String::from_utf8_lossy(&buf[..received.expect("received")]).into_owned()
    }

    async fn watch(&mut self, whom: &str) -> String {
        let answer = self.ask("SUBSCRIBE", whom, "Event: presence\r\nExpires: 600\r\n", "").await;
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
        self.notified().await
    }

    /// The next NOTIFY, answered.
    async fn notified(&self) -> String {
        let notify = self.receive().await;
        assert!(notify.starts_with("NOTIFY "), "{notify}");
        let copied = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
        let lines = notify.split("\r\n").filter(|line| copied.iter().any(|name| line.starts_with(name)));
        let lines = lines.map(|line| format!("{line}\r\n")).collect::<String>();
        let answer = format!("SIP/2.0 200 OK\r\n{lines}Content-Length: 0\r\n\r\n");
        self.socket.send_to(answer.as_bytes(), self.server).await.expect("sent");
        notify
    }
}

async fn end(server: Server) {
    server.handle().shutdown().expect("running");
    timeout(PATIENCE, server.stopped()).await.expect("in time").expect("in order");
}

#[tokio::test]
async fn what_the_program_says_reaches_watchers_until_it_takes_it_back() {
    let server = server().bind().await.expect("started");
    let presence = server.presence_handler();
    let mut alice = Phone::of(&server, "alice").await;
    let first = alice.watch(BOB).await;
    assert!(first.contains("<basic>closed</basic>"), "{first}");

    presence.update_presence(BOB, PresenceState::Busy, "On air & <busy>", HOUR).await.expect("published");
    let busy = alice.notified().await;
    assert!(busy.contains("<basic>open</basic>") && busy.contains("On air &amp; &lt;busy&gt;"), "{busy}");
    let view = presence.get_presence("sip:BOB@example.com").await.expect("a view");
    assert_eq!(view.state, PresenceState::Offline, "the user part is case-sensitive");
    let view = presence.get_presence("sip:bob@EXAMPLE.com;transport=udp").await.expect("a view");
    assert_eq!((&*view.aor, view.state), (BOB, PresenceState::Busy));
    assert_eq!(view.note.as_deref(), Some("On air & <busy>"));
    assert_eq!(view.devices[0].source, PresenceSource::Host);
    assert!(busy.ends_with(&view.document), "watchers get the same document");

    presence.clone().withdraw_presence(BOB).await.expect("taken back");
    let gone = alice.notified().await;
    assert!(gone.contains("<basic>closed</basic>") && !gone.contains("On air"), "{gone}");
    let numbers = server.handle().snapshot().await.expect("numbers");
    assert_eq!(numbers.notify_latency.counts().iter().sum::<u64>(), 3);
    // There is nothing any more to take back.
    presence.withdraw_presence(BOB).await.expect("taken back");
    end(server).await;
}

#[tokio::test]
async fn what_the_program_says_ends_by_itself() {
    let server = server().bind().await.expect("started");
    let mut alice = Phone::of(&server, "alice").await;
    alice.watch(BOB).await;
    let presence = server.presence_handler();
    presence.update_presence(BOB, PresenceState::Away, "", Duration::ZERO).await.expect("published");
    let away = alice.notified().await;
    assert!(away.contains("<basic>open</basic>") && away.contains("away/>"), "{away}");
    let gone = alice.notified().await;
    assert!(gone.contains("<basic>closed</basic>"), "{gone}");
    assert_eq!(server.handle().snapshot().await.expect("numbers").sizes.publications, 0);
    end(server).await;
}

#[tokio::test]
async fn what_phones_say_reaches_the_program() {
    let server = server().bind().await.expect("started");
    let presence = server.presence_handler();
    let mut bob = Phone::of(&server, "bob").await;
    assert!(bob.ask("REGISTER", "example.com", "Expires: 600\r\n", "").await.starts_with("SIP/2.0 200 "));
    let view = presence.get_presence(BOB).await.expect("a view");
    assert_eq!((view.state, view.devices.len()), (PresenceState::Available, 1));
    assert_eq!(view.devices[0].source, PresenceSource::Registered);

    let document = "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:bob@example.com'><tuple id='a'><status>\
                    <basic>open</basic></status><note>Desk</note></tuple></presence>";
    let lines = "Event: presence\r\nExpires: 600\r\nContent-Type: application/pidf+xml\r\n";
    let answer = bob.ask("PUBLISH", BOB, lines, document).await;
    assert!(answer.starts_with("SIP/2.0 200 ") && answer.contains("\r\nSIP-ETag: "), "{answer}");
    let view = presence.get_presence(BOB).await.expect("a view");
    let published = view.devices.iter().find(|device| device.source == PresenceSource::Published);
    assert_eq!(published.and_then(|device| device.note.as_deref()), Some("Desk"));
    end(server).await;
}

#[tokio::test]
async fn who_listens_hears_of_changes_and_watchers_from_then_on() {
    let server = server().bind().await.expect("started");
    let presence = server.presence_handler();
    presence.update_presence(BOB, PresenceState::Away, "", HOUR).await.expect("published");
    let mut changes = presence.changes().expect("running");
    let known = presence.get_presence(BOB).await.expect("a view");
    presence.update_presence(BOB, PresenceState::Busy, "On air", HOUR).await.expect("published");
    let news = timeout(PATIENCE, changes.next()).await.expect("in time");
    let Some(PresenceNews::Changed(change)) = news else { panic!("{news:?}") };
    assert_eq!((&*change.aor, change.state), (BOB, PresenceState::Busy));
    assert_eq!((change.note.as_deref(), change.cause), (Some("On air"), PresenceCause::Host));
    assert!(change.version > known.version);
    let mut alice = Phone::of(&server, "alice").await;
    alice.watch(BOB).await;
    let news = timeout(PATIENCE, changes.next()).await.expect("in time");
    let Some(PresenceNews::Watcher(watcher)) = news else { panic!("{news:?}") };
    assert_eq!((watcher.step, &*watcher.watcher), (SubscriptionStep::Started, "alice@example.com"));
    end(server).await;
    assert_eq!(timeout(PATIENCE, changes.next()).await.expect("in time"), None);
}

#[tokio::test]
async fn the_program_decides_who_may_watch() {
    let server = server().configure(|config| {
        let rule = WatchRule {
            presentity: BOB.into(),
            watcher: "*@example.com".into(),
            action: WatchAction::Confirm,
        };
        config.presence.as_mut().expect("enabled").rules.push(rule);
    });
    let server = server.bind().await.expect("started");
    let presence = server.presence_handler();
    presence.update_presence(BOB, PresenceState::Busy, "", HOUR).await.expect("published");
    let mut alice = Phone::of(&server, "alice").await;
    let waiting = alice.watch(BOB).await;
    assert!(waiting.contains("Subscription-State: pending") && waiting.ends_with("\r\n\r\n"), "{waiting}");
    presence.allow_watcher(BOB, "alice@example.com").await.expect("decided");
    let seen = alice.notified().await;
    assert!(seen.contains("Subscription-State: active") && seen.contains("busy/>"), "{seen}");
    presence.block_watcher(BOB, "alice@example.com").await.expect("decided");
    let polite = alice.notified().await;
    assert!(polite.contains("Subscription-State: active") && !polite.contains("busy/>"), "{polite}");
    end(server).await;
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_its_reason() {
    use PresenceRefusal::{Full, NotOurs, Off, TooLong};
    let server = server().configure(|config| config.limits.publications = 1);
    let server = server.bind().await.expect("started");
    let presence = server.presence_handler();
    let say = async |aor: &str, note: &str| {
        presence.update_presence(aor, PresenceState::Available, note, HOUR).await
    };
    for nobody in ["bob@elsewhere.org", "example.com", "", "bob", "bob@exam ple.com"] {
        assert_eq!(say(nobody, "").await, Err(PresenceError::Refused(NotOurs)), "{nobody}");
        assert_eq!(presence.get_presence(nobody).await, Err(PresenceError::Refused(NotOurs)), "{nobody}");
    }
    assert_eq!(say(BOB, &"long ".repeat(10_000)).await, Err(PresenceError::Refused(TooLong)));
    assert_eq!(say(BOB, "").await, Ok(()));
    assert_eq!(say("carol@example.com", "").await, Err(PresenceError::Refused(Full)));
    // What there is can still be changed.
    assert_eq!(say(BOB, "Here").await, Ok(()));
    end(server).await;
    assert_eq!(presence.get_presence(BOB).await, Err(PresenceError::Stopped));

    let server = SimpleB2bua::new("Lobby", 0).listen([]).bind().await.expect("started");
    let presence = server.presence_handler();
    let refused = presence.get_presence("bob@localhost").await.expect_err("presence is off");
    assert_eq!(
        (refused, refused.to_string().as_str()),
        (PresenceError::Refused(Off), "presence is switched off")
    );
    end(server).await;
}

#[tokio::test]
async fn more_requests_than_may_wait_are_refused() {
    let presence = server().presence_handler();
    // Nobody runs yet: what is asked waits, up to a bound. The server is gone at once here.
    assert_eq!(presence.get_presence(BOB).await, Err(PresenceError::Stopped));
    let waiting = server();
    let handle = waiting.handle();
    while handle.drain(Duration::ZERO) != Err(HandleError::Busy) {}
    assert_eq!(waiting.presence_handler().get_presence(BOB).await, Err(PresenceError::Busy));
}

#[tokio::test]
async fn the_program_lights_the_lamp_of_a_phone() {
    use strowger_tokio::core::door::MessageSummary;
    let server = server().enable_message_summary().bind().await.expect("started");
    let mailboxes = server.presence_handler();
    let mut bob = Phone::of(&server, "bob").await;
    let answer = bob.ask("SUBSCRIBE", BOB, "Event: message-summary\r\nExpires: 600\r\n", "").await;
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    let dark = bob.notified().await;
    assert!(dark.contains("Messages-Waiting: no\r\n"), "{dark}");
    let two = MessageSummary::voice("sip:*97@example.com", 2, 0);
    mailboxes.set_message_summary(BOB, two.clone()).await.expect("said");
    let lit = bob.notified().await;
    assert!(lit.ends_with("Message-Account: sip:*97@example.com\r\nVoice-Message: 2/0\r\n"), "{lit}");
    assert_eq!(mailboxes.message_summary(BOB).await, Ok(Some(two)));
    mailboxes.withdraw_message_summary(BOB).await.expect("taken back");
    assert_eq!(mailboxes.message_summary(BOB).await, Ok(None));
    assert!(bob.notified().await.contains("Messages-Waiting: no\r\n"));
    end(server).await;
}

#[tokio::test]
async fn one_subscription_covers_all_buddies_and_the_program_sees_the_same() {
    let buddies =
        |server: SimpleB2bua| server.account("alice", "a").account("bob", "b").account("carol", "c");
    let server = buddies(server()).enable_buddy_lists().bind().await.expect("started");
    let presence = server.presence_handler();
    let mut alice = Phone::of(&server, "alice").await;
    let lines = "Event: presence\r\nExpires: 600\r\nSupported: eventlist\r\n";
    let answer = alice.ask("SUBSCRIBE", "buddies@example.com", lines, "").await;
    assert!(answer.starts_with("SIP/2.0 200 ") && answer.contains("\r\nRequire: eventlist\r\n"), "{answer}");
    let first = alice.notified().await;
    assert!(first.contains("fullState=\"true\"") && first.contains("sip:carol@example.com"), "{first}");
    presence.update_presence(BOB, PresenceState::Busy, "On air", HOUR).await.expect("published");
    let next = alice.notified().await;
    assert!(
        next.contains("fullState=\"false\"") && next.contains("On air") && !next.contains("carol"),
        "{next}"
    );
    let list = presence.get_buddy_list("alice@example.com").await.expect("a list");
    let states: Vec<_> = list.buddies.iter().map(|buddy| (&*buddy.aor, buddy.state)).collect();
    let (busy, offline) = (Some(PresenceState::Busy), Some(PresenceState::Offline));
    assert_eq!(states, [(BOB, busy), ("carol@example.com", offline)]);
    assert!(list.content_type.starts_with("multipart/related;type=\"application/rlmi+xml\""));
    let stranger = presence.get_list("team@example.com", "alice@example.com").await;
    assert_eq!(stranger, Err(PresenceError::Refused(PresenceRefusal::NoList)));
    end(server).await;
}
