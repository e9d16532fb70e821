//! A program says where calls go, over real sockets: its answers on the wire, and what becomes of calls while it thinks.

use std::net::SocketAddr;
use std::time::Duration;

use strowger_tokio::core::config::{AuthPolicy, Config, ListenerConfig};
use strowger_tokio::core::door::{CallRefusal, CallStage, Notice, NoticeRefusal, PresenceState, Transport};
use strowger_tokio::{Route, RouteCall, Server, SimpleB2bua};
use tokio::net::UdpSocket;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// A server on loopback through which everybody may call.
fn open_server() -> SimpleB2bua {
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = ListenerConfig { transport: Transport::Udp, addr, advertised: None, algorithms: None };
    SimpleB2bua::new("Lobby", 0)
        .domain("example.com")
        .listen([listener])
        .account("bob", "a long secret")
        .enable_registration()
        .configure(|config| config.policies.invite = AuthPolicy::Open)
}

struct Phone(UdpSocket);

impl Phone {
    async fn new() -> Phone {
        Phone(UdpSocket::bind("127.0.0.1:0").await.expect("a socket"))
    }

    fn addr(&self) -> SocketAddr {
        self.0.local_addr().expect("bound")
    }

    async fn invite(&self, server: &Server, user: &str) {
        let local = self.addr();
        let text = format!(
            "INVITE sip:{user}@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{user};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=f\r\nTo: <sip:{user}@example.com>\r\n\
             Call-ID: {user}-{local}\r\nCSeq: 1 INVITE\r\nContact: <sip:alice@{local}>\r\nContent-Length: 0\r\n\r\n"
        );
        self.0.send_to(text.as_bytes(), server.listeners()[0].addr).await.expect("sent");
    }

    async fn write(&self, server: &Server, user: &str) {
        let local = self.addr();
        let text = format!(
            "MESSAGE sip:{user}@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKm{user};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=f\r\nTo: <sip:{user}@example.com>\r\n\
             Call-ID: m{user}-{local}\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"
        );
        self.0.send_to(text.as_bytes(), server.listeners()[0].addr).await.expect("sent");
    }

    /// Registers as bob.
    async fn register(&self, server: &Server) {
        let local = self.addr();
        let text = format!(
            "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKr;rport\r\nMax-Forwards: 70\r\n\
             From: <sip:bob@example.com>;tag=r\r\nTo: <sip:bob@example.com>\r\nCall-ID: r-{local}\r\n\
             CSeq: 1 REGISTER\r\nContact: <sip:bob@{local}>\r\nContent-Length: 0\r\n\r\n"
        );
        self.0.send_to(text.as_bytes(), server.listeners()[0].addr).await.expect("sent");
        assert_eq!(first_line(&self.read().await), "SIP/2.0 200 OK");
    }

    /// Answers a request that was read.
    async fn answer(&self, server: &Server, request: &str, status: &str) {
        let copied = |line: &&str| {
            ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name))
        };
        let lines: String = request.lines().filter(copied).map(|line| format!("{line}\r\n")).collect();
        let lines = lines.replace("\r\nCall-ID", ";tag=b\r\nCall-ID");
        let text = format!("SIP/2.0 {status}\r\n{lines}Content-Length: 0\r\n\r\n");
        self.0.send_to(text.as_bytes(), server.listeners()[0].addr).await.expect("sent");
    }

    async fn read(&self) -> String {
        let mut buffer = vec![0; 65_536];
        let (length, _) =
            timeout(PATIENCE, self.0.recv_from(&mut buffer)).await.expect("in time").expect("received");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// The next message that is no 100 Trying.
    async fn told(&self) -> String {
        loop {
            let text = self.read().await;
            if !text.starts_with("SIP/2.0 100 ") {
                return text;
            }
        }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[tokio::test]
async fn the_program_says_where_calls_go() {
    let service = Phone::new().await;
    let port = service.addr().port();
    let server = open_server()
        .enable_presence()
        .on_route(move |call: RouteCall| async move {
            match (&*call.to, call.state()) {
                ("bob@example.com", Some(PresenceState::DoNotDisturb)) => Route::reject(480),
                ("bob@example.com", _) => Route::busy(),
                ("desk@example.com", _) => Route::redirect(["sip:desk@192.0.2.1"]),
                ("service@example.com", _) => Route::to(format!("sip:service@localhost:{port}")),
                _ => Route::default(),
            }
        })
        .bind()
        .await
        .expect("started");
    let caller = Phone::new().await;
    caller.invite(&server, "bob").await;
    assert_eq!(first_line(&caller.read().await), "SIP/2.0 100 Trying", "before the program has thought");
    assert_eq!(first_line(&caller.told().await), "SIP/2.0 486 Busy Here");

    let minute = Duration::from_secs(60);
    let presence = server.presence_handler();
    presence.update_presence("bob@example.com", PresenceState::DoNotDisturb, "", minute).await.expect("said");
    let other = Phone::new().await;
    other.invite(&server, "bob").await;
    assert_eq!(first_line(&other.told().await), "SIP/2.0 480 Temporarily Unavailable");

    let caller = Phone::new().await;
    caller.invite(&server, "desk").await;
    let moved = caller.told().await;
    assert!(moved.starts_with("SIP/2.0 302 ") && moved.contains("sip:desk@192.0.2.1"), "{moved}");

    // A name outside is looked up, and the call arrives there.
    let caller = Phone::new().await;
    caller.invite(&server, "service").await;
    let invite = service.told().await;
    assert_eq!(first_line(&invite), format!("INVITE sip:service@localhost:{port} SIP/2.0"));
    let via = format!("Via: SIP/2.0/UDP {}", server.listeners()[0].addr);
    assert!(invite.contains(&via), "our side of the way is named: {invite}");

    // Where it says nothing, it is as if it were not there.
    let caller = Phone::new().await;
    caller.invite(&server, "nobody").await;
    assert_eq!(first_line(&caller.told().await), "SIP/2.0 480 Temporarily Unavailable");
    server.handle().shutdown().expect("running");
}

#[tokio::test]
async fn a_program_that_thinks_too_long_holds_nobody_else_up() {
    let server = open_server()
        .on_route(async |call: RouteCall| match &*call.to {
            "slow@example.com" => std::future::pending().await,
            _ => Route::busy(),
        })
        .configure(|config| config.limits.park_timeout = Duration::from_millis(500))
        .bind()
        .await
        .expect("started");
    let (slow, quick) = (Phone::new().await, Phone::new().await);
    slow.invite(&server, "slow").await;
    quick.invite(&server, "bob").await;
    assert_eq!(first_line(&quick.told().await), "SIP/2.0 486 Busy Here");
    assert_eq!(first_line(&slow.told().await), "SIP/2.0 503 Service Unavailable");
    server.handle().shutdown().expect("running");
}

#[tokio::test]
async fn the_program_asks_and_acts_by_handles_while_it_thinks() {
    let service = Phone::new().await;
    let port = service.addr().port();
    let builder = open_server().enable_presence();
    let (engine, presence, calls) = (builder.handle(), builder.presence_handler(), builder.calls_handler());
    let server = builder
        .on_route(move |call: RouteCall| {
            let (engine, presence, calls) = (engine.clone(), presence.clone(), calls.clone());
            async move {
                let lives = calls.list(0, 10).await.expect("calls");
                let registered = engine.is_registered("bob@example.com").await.expect("an answer");
                let state = presence.get_presence("bob@example.com").await.expect("a view").state;
                match &*call.to {
                    // Whoever is called by the second one puts an end to all calls before it.
                    "break@example.com" => {
                        for other in lives.iter().filter(|other| *other.callee != *call.to) {
                            calls.hang_up(other.id).await.expect("it lives");
                        }
                        assert!(!registered && state == PresenceState::Offline);
                        Route::busy()
                    }
                    _ => Route::to(format!("sip:service@127.0.0.1:{port}")),
                }
            }
        })
        .bind()
        .await
        .expect("started");
    let first = Phone::new().await;
    first.invite(&server, "desk").await;
    assert!(first_line(&service.told().await).starts_with("INVITE sip:service@"));
    let calls = server.calls_handler();
    let live = calls.list(0, 10).await.expect("calls");
    assert_eq!((live.len(), &*live[0].callee, live[0].legs.len()), (1, "desk@example.com", 2), "{live:?}");
    assert_eq!(calls.look_up(live[0].id).await.as_ref(), Ok(&live[0]));
    let second = Phone::new().await;
    second.invite(&server, "break").await;
    assert_eq!(first_line(&second.told().await), "SIP/2.0 486 Busy Here");
    assert_eq!(first_line(&first.told().await), "SIP/2.0 480 Temporarily Unavailable");
    let gone = calls.hang_up(live[0].id).await;
    assert_eq!(gone, Err(CallRefusal::Unknown.into()));
    server.handle().shutdown().expect("running");
}

#[tokio::test]
async fn a_whole_server_changes_nothing_of_a_route_that_was_there() {
    let routed = |whole: bool| async move {
        let builder = open_server().enable_messages().on_route(async |call: RouteCall| match &*call.to {
            "bob@example.com" => Route::busy(),
            "desk@example.com" => Route::redirect(["sip:desk@192.0.2.1"]),
            "quiet@example.com" if call.is_message => Route::unavailable(),
            _ => Route::reject(403),
        });
        let builder = match whole {
            true => builder.enable_sip_server("/nowhere/keys.json"),
            false => builder,
        };
        let open = |config: &mut Config| config.policies.message = AuthPolicy::Open;
        let server = builder.configure(open).bind().await.expect("started");
        let caller = Phone::new().await;
        let mut told = Vec::new();
        for user in ["bob", "desk", "nobody"] {
            caller.invite(&server, user).await;
            told.push(first_line(&caller.told().await).to_owned());
        }
        for user in ["quiet", "bob"] {
            let writer = Phone::new().await;
            writer.write(&server, user).await;
            told.push(first_line(&writer.told().await).to_owned());
        }
        server.handle().shutdown().expect("running");
        told
    };
    let (plain, whole) = (routed(false).await, routed(true).await);
    assert_eq!(plain, whole);
    let statuses: Vec<&str> = plain.iter().map(|line| &line[8..11]).collect();
    assert_eq!(statuses, ["486", "302", "403", "480", "486"]);
}

#[tokio::test]
async fn a_notify_nobody_asked_for_reaches_the_phone_and_its_answer_the_program() {
    let server = open_server()
        .configure(|config| config.policies.register = AuthPolicy::Open)
        .bind()
        .await
        .expect("started");
    let phone = Phone::new().await;
    phone.register(&server).await;
    let told = server.send_notify("bob@example.com", Notice::new("check-sync;reboot=false"));
    let answered = async {
        let notify = phone.read().await;
        assert!(
            notify.starts_with("NOTIFY ") && notify.contains("Event: check-sync;reboot=false"),
            "{notify}"
        );
        phone.answer(&server, &notify, "200 OK").await;
    };
    let (told, ()) = tokio::join!(told, answered);
    let told = told.expect("it is sent");
    assert_eq!((told.len(), told[0].status, told[0].remote), (1, 200, phone.addr()));
    let refused = server.handle().send_notify("bob@example.com", Notice::new("a\r\nb")).await;
    assert_eq!(refused, Err(NoticeRefusal::BadEvent.into()));
    server.handle().shutdown().expect("running");
}

#[tokio::test]
async fn the_program_connects_two() {
    let service = Phone::new().await;
    let server = open_server()
        .configure(|config| config.policies.register = AuthPolicy::Open)
        .enable_calls()
        .bind()
        .await
        .expect("started");
    let bob = Phone::new().await;
    bob.register(&server).await;
    let calls = server.calls_handler();
    let there = format!("sip:service@{}", service.addr());
    let id = calls.dial("bob", &there).await.expect("dialled");
    let invite = bob.told().await;
    assert!(
        invite.starts_with("INVITE sip:bob@") && invite.contains(&format!("From: <{there}>")),
        "{invite}"
    );
    assert_eq!(calls.look_up(id).await.expect("it lives").stage, CallStage::Ringing);
    calls.hang_up(id).await.expect("it ends");
    assert_eq!(calls.look_up(id).await, Err(CallRefusal::Unknown.into()));
    server.handle().shutdown().expect("running");
}
