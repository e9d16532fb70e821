//! A program says where calls go, over real sockets: its answers on the wire, and what becomes of calls while it thinks.

use std::net::SocketAddr;
use std::time::Duration;

use strowger_tokio::core::config::{AuthPolicy, ListenerConfig};
use strowger_tokio::core::door::{CallRefusal, PresenceState, Transport};
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
