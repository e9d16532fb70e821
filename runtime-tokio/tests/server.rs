//! A server over real sockets on loopback: UDP and TCP, limits, back-pressure, handles, the end.

use std::net::SocketAddr;
use std::time::Duration;

use strowger_tokio::core::config::{AuthPolicy, ListenerConfig};
use strowger_tokio::core::door::{BindingCause, Event, Transport};
use strowger_tokio::shell::options::StreamOptions;
use strowger_tokio::{HandleError, Options, Server, SimpleB2bua, StartError};
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

async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    matches!(timeout(PATIENCE, stream.read_to_end(&mut rest)).await, Ok(Ok(_) | Err(_)))
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
async fn answers_to_what_came_before_the_peer_stopped_sending_still_go_out() {
    let server = open_server().bind().await.expect("started");
    let mut stream = TcpStream::connect(addr(&server, Transport::Tcp)).await.expect("connected");
    let local = stream.local_addr().expect("bound");
    let both = request("REGISTER", "alice", "TCP", local, 1) + &request("OPTIONS", "alice", "TCP", local, 2);
    stream.write_all(both.as_bytes()).await.expect("sent");
    stream.shutdown().await.expect("half closed");
    let mut all = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut all)).await.expect("in time").expect("closed in order");
    assert_eq!(all.matches("SIP/2.0 200 ").count(), 2, "{all}");
    end(server).await;
}

#[tokio::test]
async fn what_cannot_be_framed_is_answered_and_closed() {
    let server = open_server().bind().await.expect("started");
    let mut stream = TcpStream::connect(addr(&server, Transport::Tcp)).await.expect("connected");
    let text = request("OPTIONS", "alice", "TCP", stream.local_addr().expect("bound"), 1);
    let text = text.replace("Content-Length: 0", "Content-Length: -1");
    stream.write_all(text.as_bytes()).await.expect("sent");
    assert!(tcp_read(&mut stream).await.starts_with("SIP/2.0 400 "));
    assert!(is_closed(&mut stream).await);
    end(server).await;
}

fn strict(stream: StreamOptions) -> Options {
    Options { stream, ..Options::default() }
}

#[tokio::test]
async fn silent_and_dribbling_connections_are_closed_and_needed_ones_are_not() {
    let quick = Duration::from_millis(400);
    let options = strict(StreamOptions { idle: quick, message_deadline: quick, ..StreamOptions::default() });
    let server = open_server().options(options).bind().await.expect("started");
    let to = addr(&server, Transport::Tcp);
    let mut silent = TcpStream::connect(to).await.expect("connected");
    let mut dribbling = TcpStream::connect(to).await.expect("connected");
    let mut registered = TcpStream::connect(to).await.expect("connected");
    let local = registered.local_addr().expect("bound");
    registered.write_all(request("REGISTER", "alice", "TCP", local, 1).as_bytes()).await.expect("sent");
    assert!(tcp_read(&mut registered).await.starts_with("SIP/2.0 200 "));
    dribbling.write_all(b"OPTIONS sip:exa").await.expect("sent");
    assert!(is_closed(&mut silent).await);
    assert!(is_closed(&mut dribbling).await);
    // Both took at least the idle time; the registered one has been silent for as long and is still served.
    let mut byte = [0];
    let silence = timeout(2 * quick, registered.read(&mut byte)).await;
    assert!(silence.is_err(), "a connection with a binding was closed");
    registered.write_all(request("OPTIONS", "alice", "TCP", local, 2).as_bytes()).await.expect("sent");
    assert!(tcp_read(&mut registered).await.starts_with("SIP/2.0 200 "));
    end(server).await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_closed_and_the_others_are_served() {
    let options = strict(StreamOptions { write_queue: 64 << 10, ..StreamOptions::default() });
    let server = open_server().options(options).bind().await.expect("started");
    let to = addr(&server, Transport::Tcp);
    let mut stuck = TcpStream::connect(to).await.expect("connected");
    let local = stuck.local_addr().expect("bound");
    let (mut cseq, mut batch) = (0, String::new());
    let flood = async {
        loop {
            batch.clear();
            for _ in 0..50 {
                cseq += 1;
                batch.push_str(&request("OPTIONS", "mallory", "TCP", local, cseq));
            }
            if stuck.write_all(batch.as_bytes()).await.is_err() {
                return;
            }
        }
    };
    timeout(PATIENCE, flood).await.expect("closed in time");
    let numbers = server.handle().snapshot().await.expect("numbers");
    assert!(numbers.sockets.too_slow > 0, "{:?}", numbers.sockets);
    let client = UdpSocket::bind("127.0.0.1:0").await.expect("client");
    let local = client.local_addr().expect("bound");
    let answer =
        udp_ask(&client, addr(&server, Transport::Udp), &request("OPTIONS", "alice", "UDP", local, 1)).await;
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    end(server).await;
}

#[tokio::test]
async fn a_source_over_its_limit_is_turned_away_until_one_leaves() {
    let options = strict(StreamOptions { connections_per_source: 2, ..StreamOptions::default() });
    let server = open_server().options(options).bind().await.expect("started");
    let to = addr(&server, Transport::Tcp);
    let first = TcpStream::connect(to).await.expect("connected");
    let mut second = TcpStream::connect(to).await.expect("connected");
    let local = second.local_addr().expect("bound");
    second.write_all(request("OPTIONS", "alice", "TCP", local, 1).as_bytes()).await.expect("sent");
    tcp_read(&mut second).await;
    let mut third = TcpStream::connect(to).await.expect("the system accepts");
    assert!(is_closed(&mut third).await);
    drop(first);
    // The seat is free once the server has seen the end.
    let served = async {
        loop {
            let mut next = TcpStream::connect(to).await.expect("the system accepts");
            let local = next.local_addr().expect("bound");
            let sent = next.write_all(request("OPTIONS", "bob", "TCP", local, 1).as_bytes()).await;
            let mut byte = [0];
            if sent.is_ok() && matches!(next.read(&mut byte).await, Ok(1)) {
                return;
            }
        }
    };
    timeout(PATIENCE, served).await.expect("served in time");
    end(server).await;
}

#[tokio::test]
async fn accepting_pauses_at_the_total_and_goes_on() {
    let options = strict(StreamOptions { connections: 1, ..StreamOptions::default() });
    let server = open_server().options(options).bind().await.expect("started");
    let to = addr(&server, Transport::Tcp);
    let mut first = TcpStream::connect(to).await.expect("connected");
    let local = first.local_addr().expect("bound");
    first.write_all(request("OPTIONS", "alice", "TCP", local, 1).as_bytes()).await.expect("sent");
    tcp_read(&mut first).await;
    // The second waits in the system's queue, with its request, until the first leaves.
    let mut second = TcpStream::connect(to).await.expect("queued by the system");
    let local = second.local_addr().expect("bound");
    second.write_all(request("OPTIONS", "bob", "TCP", local, 1).as_bytes()).await.expect("sent");
    drop(first);
    assert!(tcp_read(&mut second).await.starts_with("SIP/2.0 200 "));
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

#[tokio::test]
async fn many_requests_at_once_are_all_answered() {
    let server = open_server().bind().await.expect("started");
    let to = addr(&server, Transport::Udp);
    let client = UdpSocket::bind("127.0.0.1:0").await.expect("client");
    let local = client.local_addr().expect("bound");
    let mut buf = vec![0; 4096];
    let mut answered = 0;
    for round in 0..20 {
        for i in 0..50 {
            let user = format!("u{round}x{i}");
            client.send_to(request("REGISTER", &user, "UDP", local, 1).as_bytes(), to).await.expect("sent");
        }
        for _ in 0..50 {
            let (len, _) =
                timeout(PATIENCE, client.recv_from(&mut buf)).await.expect("in time").expect("received");
            answered += usize::from(buf[..len].starts_with(b"SIP/2.0 200 "));
        }
    }
    assert_eq!(answered, 1000);
    assert_eq!(server.handle().snapshot().await.expect("numbers").sizes.aors, 1000);
    end(server).await;
}
