//! A server over real sockets on loopback: UDP and TCP, handles, the end. What connections may do to it is tried on every
//! runtime by the tests package.

use std::net::SocketAddr;
use std::time::Duration;

use strowger_tokio::core::config::{AuthPolicy, ListenerConfig};
use strowger_tokio::core::door::{BindingCause, Event, Transport};
use strowger_tokio::{HandleError, Server, SimpleB2bua, StartError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

fn listeners() -> Vec<ListenerConfig> {
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = |transport| ListenerConfig { transport, addr, advertised: None, algorithms: None };
    vec![listener(Transport::Udp), listener(Transport::Tcp)]
}

/// A server on loopback where everybody may register.
fn open_server() -> SimpleB2bua {
    SimpleB2bua::new("Lobby", 0)
        .domain("example.com")
        .listen(listeners())
        .enable_registration()
        .configure(|config| config.policies.register = AuthPolicy::Open)
}

fn addr(server: &Server, transport: Transport) -> SocketAddr {
    server.listeners().iter().find(|l| l.transport == transport).expect("a listener").addr
}

fn request(method: &str, user: &str, transport: &str, local: SocketAddr, cseq: u32) -> String {
    format!(
        "{method} sip:example.com SIP/2.0\r\nVia: SIP/2.0/{transport} {local};branch=z9hG4bK{user}{cseq};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{user}@example.com>;tag=f\r\nTo: <sip:{user}@example.com>\r\n\
         Call-ID: {user}-{local}\r\nCSeq: {cseq} {method}\r\nContact: <sip:{user}@{local};transport={}>\r\n\
         Expires: 600\r\nContent-Length: 0\r\n\r\n",
        transport.to_lowercase()
    )
}

async fn udp_ask(client: &UdpSocket, to: SocketAddr, text: &str) -> String {
    client.send_to(text.as_bytes(), to).await.expect("sent");
    let mut buf = vec![0; 65_536];
    let (len, from) =
        timeout(PATIENCE, client.recv_from(&mut buf)).await.expect("an answer in time").expect("received");
    assert_eq!(from, to);
    String::from_utf8_lossy(&buf[..len]).into_owned()
}

/// Reads one message without a body.
async fn tcp_read(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        let byte = timeout(PATIENCE, stream.read_u8()).await.expect("an answer in time").expect("open");
        text.push(byte);
    }
    String::from_utf8_lossy(&text).into_owned()
}

async fn end(server: Server) {
    server.handle().shutdown().expect("running");
    timeout(PATIENCE, server.stopped()).await.expect("in time").expect("in order");
}

#[tokio::test]
async fn a_phone_registers_over_udp_and_is_found() {
    let server = open_server().bind().await.expect("started");
    let client = UdpSocket::bind("127.0.0.1:0").await.expect("client");
    let local = client.local_addr().expect("bound");
    let answer =
        udp_ask(&client, addr(&server, Transport::Udp), &request("REGISTER", "alice", "UDP", local, 1)).await;
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    assert!(answer.contains(&format!("rport={}", local.port())), "{answer}");

    let handle = server.handle();
    let found = handle.lookup("alice@example.com").await.expect("a reply");
    assert_eq!((found.len(), found[0].received), (1, local));
    assert_eq!(handle.is_registered("sip:alice@example.com").await, Ok(true));
    assert_eq!(handle.is_registered("bob@example.com").await, Ok(false));
    assert_eq!(handle.lookup_contact(&found[0].contact).await.expect("a reply").len(), 1);
    assert_eq!(handle.list(None, 10).await.expect("a reply").len(), 1);
    assert!(matches!(handle.lookup("not an address").await, Err(HandleError::Refused(_))));
    let numbers = handle.snapshot().await.expect("numbers");
    assert_eq!(
        (numbers.sizes.bindings, numbers.sockets.datagrams_received, numbers.sockets.datagrams_sent),
        (1, 1, 1)
    );
    assert_eq!(handle.remove("alice@example.com", None).await, Ok(1));
    assert_eq!(handle.is_registered("alice@example.com").await, Ok(false));
    end(server).await;
    assert_eq!(handle.lookup("alice@example.com").await, Err(HandleError::Stopped));
}

#[tokio::test]
async fn a_phone_registers_over_tcp_and_its_connection_is_its_flow() {
    let (told, mut events) = mpsc::unbounded_channel();
    let server = open_server().on_event(move |event| drop(told.send(event))).bind().await.expect("started");
    let mut stream = TcpStream::connect(addr(&server, Transport::Tcp)).await.expect("connected");
    let local = stream.local_addr().expect("bound");
    let text = request("REGISTER", "alice", "TCP", local, 1);
    // In two pieces, and with a keep-alive before it.
    stream.write_all(b"\r\n\r\n").await.expect("sent");
    stream.write_all(&text.as_bytes()[..100]).await.expect("sent");
    stream.flush().await.expect("sent");
    stream.write_all(&text.as_bytes()[100..]).await.expect("sent");
    let mut pong = [0; 2];
    stream.read_exact(&mut pong).await.expect("a pong");
    assert_eq!(&pong, b"\r\n");
    assert!(tcp_read(&mut stream).await.starts_with("SIP/2.0 200 "));
    let found = server.handle().lookup("alice@example.com").await.expect("a reply");
    assert!(found[0].flow.is_some() && found[0].transport == Transport::Tcp);
    let cause = |event: Event| match event {
        Event::Binding(change) => Some(change.cause),
        _ => None,
    };
    let first = timeout(PATIENCE, events.recv()).await.expect("in time").expect("an event");
    assert_eq!(cause(first), Some(BindingCause::Registered));
    drop(stream);
    let lost = timeout(PATIENCE, events.recv()).await.expect("in time").expect("an event");
    assert!(matches!(lost, Event::FlowLost { .. } | Event::Binding(_)), "{lost:?}");
    end(server).await;
}

#[tokio::test]
async fn a_drained_server_ends() {
    let server = open_server().bind().await.expect("started");
    server.handle().drain(Duration::from_secs(5)).expect("running");
    timeout(PATIENCE, server.stopped()).await.expect("in time").expect("in order");
}

#[tokio::test]
async fn new_settings_take_effect_while_it_runs() {
    let server = open_server().bind().await.expect("started");
    let client = UdpSocket::bind("127.0.0.1:0").await.expect("client");
    let (to, local) = (addr(&server, Transport::Udp), client.local_addr().expect("bound"));
    assert!(
        udp_ask(&client, to, &request("REGISTER", "alice", "UDP", local, 1))
            .await
            .starts_with("SIP/2.0 200 ")
    );
    let mut config = strowger_tokio::core::config::Config::new("example.com");
    config.listeners = server.listeners().to_vec();
    config.registrar = Some(Default::default());
    server.handle().reload(config.validate().expect("valid")).expect("running");
    let answer = udp_ask(&client, to, &request("REGISTER", "bob", "UDP", local, 2)).await;
    assert!(answer.starts_with("SIP/2.0 401 "), "{answer}");
    end(server).await;
}

#[tokio::test]
async fn faults_are_told_before_anything_is_bound() {
    let faulty = open_server().configure(|config| config.digest.realm = "a\"b".into()).bind().await;
    assert!(matches!(faulty, Err(StartError::Config(_))));
    let first = open_server().bind().await.expect("started");
    let taken = SimpleB2bua::new("Second", 0).listen(first.listeners().to_vec()).bind().await;
    assert!(matches!(taken, Err(StartError::Bind { .. })));
    end(first).await;
}

#[tokio::test]
async fn a_handle_from_before_the_start_works_after_it() {
    let server = open_server();
    let handle = server.handle();
    let running = tokio::spawn(server.start());
    assert!(handle.lookup("alice@example.com").await.expect("a reply").is_empty());
    handle.shutdown().expect("running");
    timeout(PATIENCE, running).await.expect("in time").expect("joined").expect("in order");
}
