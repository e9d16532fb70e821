//! What connections may do to a server, and the program to itself, alike on every runtime: limits, slow peers, connections
//! that the server opens, a program that blocks or panics, a strict store.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use strowger_core::config::{AuthPolicy, CallsConfig, Config, DomainConfig, ListenerConfig};
use strowger_core::door::{FlowDownReason, Transport};
use strowger_shell::clock::Clock;
use strowger_shell::handle::Handle;
use strowger_shell::hooks::{Hooks, OnRoute};
use strowger_shell::options::{Durability, Options, StorageOptions, StreamOptions};
use strowger_shell::promise::Wait;
use strowger_shell::route::{Route, RouteCall};
use strowger_shell::store::MemoryStore;

use crate::phone::field;
use crate::servers::{Ended, Runtime, launch};

/// Long enough for a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server on loopback where everybody may do everything.
struct Open {
    handle: Handle,
    udp: SocketAddr,
    tcp: SocketAddr,
    ended: Ended,
}

impl Open {
    fn start(runtime: Runtime, stream: StreamOptions, hooks: Hooks) -> Open {
        let options = Options { stream, ..Options::default() };
        Open::with(runtime, options, hooks)
    }

    fn with(runtime: Runtime, options: Options, hooks: Hooks) -> Open {
        let mut config = Config::new("example.com");
        config.domains = vec![DomainConfig { name: "example.com".into(), ..DomainConfig::default() }];
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = |transport| ListenerConfig { transport, addr, advertised: None, algorithms: None };
        config.listeners = vec![listener(Transport::Udp), listener(Transport::Tcp)];
        config.policies.register = AuthPolicy::Open;
        config.policies.invite = AuthPolicy::Open;
        config.registrar.get_or_insert_default();
        config.calls = Some(CallsConfig::default());
        let ((handle, listeners), ended) = launch(runtime, config, options, hooks);
        Open { handle, udp: listeners[0].addr, tcp: listeners[1].addr, ended }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.tcp).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    fn end(self) {
        self.handle.shutdown().expect("running");
        assert!((self.ended)(), "it ends in order");
    }
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

fn ask(stream: &mut TcpStream, method: &str, user: &str, cseq: u32) -> String {
    let local = stream.local_addr().expect("bound");
    stream.write_all(request(method, user, "TCP", local, cseq).as_bytes()).expect("sent");
    read(stream)
}

/// Reads one message without a body.
fn read(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("an answer in time");
        text.push(byte[0]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn answers_to_what_came_before_the_peer_stopped_sending_still_go_out() {
    for runtime in Runtime::ALL {
        let server = Open::start(runtime, StreamOptions::default(), Hooks::default());
        let mut stream = server.connect();
        let local = stream.local_addr().expect("bound");
        let both =
            request("REGISTER", "alice", "TCP", local, 1) + &request("OPTIONS", "alice", "TCP", local, 2);
        stream.write_all(both.as_bytes()).expect("sent");
        stream.shutdown(Shutdown::Write).expect("half closed");
        let mut all = String::new();
        stream.read_to_string(&mut all).expect("closed in order");
        assert_eq!(all.matches("SIP/2.0 200 ").count(), 2, "{runtime:?}: {all}");
        server.end();
    }
}

#[test]
fn what_cannot_be_framed_is_answered_and_closed() {
    for runtime in Runtime::ALL {
        let server = Open::start(runtime, StreamOptions::default(), Hooks::default());
        let mut stream = server.connect();
        let text = request("OPTIONS", "alice", "TCP", stream.local_addr().expect("bound"), 1);
        stream.write_all(text.replace("Content-Length: 0", "Content-Length: -1").as_bytes()).expect("sent");
        assert!(read(&mut stream).starts_with("SIP/2.0 400 "), "{runtime:?}");
        assert!(is_closed(&mut stream), "{runtime:?}");
        server.end();
    }
}

#[test]
fn silent_and_dribbling_connections_are_closed_and_needed_ones_are_not() {
    for runtime in Runtime::ALL {
        let quick = Duration::from_millis(400);
        let options = StreamOptions { idle: quick, message_deadline: quick, ..StreamOptions::default() };
        let server = Open::start(runtime, options, Hooks::default());
        let [mut silent, mut dribbling, mut registered] = [(); 3].map(|()| server.connect());
        assert!(ask(&mut registered, "REGISTER", "alice", 1).starts_with("SIP/2.0 200 "));
        dribbling.write_all(b"OPTIONS sip:exa").expect("sent");
        assert!(is_closed(&mut silent) && is_closed(&mut dribbling), "{runtime:?}");
        // Both took at least the idle time; the registered one has been silent for as long and is still served.
        registered.set_read_timeout(Some(2 * quick)).expect("a timeout");
        let silence = registered.read(&mut [0]).expect_err("a connection with a binding was closed");
        assert!(matches!(silence.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut));
        registered.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        assert!(ask(&mut registered, "OPTIONS", "alice", 2).starts_with("SIP/2.0 200 "), "{runtime:?}");
        server.end();
    }
}

#[test]
fn a_peer_that_does_not_read_is_closed_and_the_others_are_served() {
    for runtime in Runtime::ALL {
        let options = StreamOptions { write_queue: 64 << 10, ..StreamOptions::default() };
        let server = Open::start(runtime, options, Hooks::default());
        let mut stuck = server.connect();
        stuck.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        let local = stuck.local_addr().expect("bound");
        let mut cseq = 0;
        let refused = loop {
            let mut batch = String::new();
            for _ in 0..50 {
                cseq += 1;
                batch += &request("OPTIONS", "mallory", "TCP", local, cseq);
            }
            if let Err(error) = stuck.write_all(batch.as_bytes()) {
                break error;
            }
        };
        let is_closed =
            matches!(refused.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe);
        assert!(is_closed, "{runtime:?}: {refused}");
        let clock = Clock::start();
        let until = clock.now() + PATIENCE;
        let ended = || server.handle.snapshot().wait().expect("numbers").sockets.ended;
        while ended().of(FlowDownReason::TooSlow) == 0 {
            assert!(clock.now() < until, "{runtime:?}: {:?}", ended());
        }
        assert!(ask(&mut server.connect(), "OPTIONS", "alice", 1).starts_with("SIP/2.0 200 "), "{runtime:?}");
        server.end();
    }
}

#[test]
fn a_source_over_its_limit_is_turned_away_until_one_leaves() {
    for runtime in Runtime::ALL {
        let options = StreamOptions { connections_per_source: 2, ..StreamOptions::default() };
        let server = Open::start(runtime, options, Hooks::default());
        let [first, mut second] = [(); 2].map(|()| server.connect());
        ask(&mut second, "OPTIONS", "alice", 1);
        assert!(is_closed(&mut server.connect()), "{runtime:?}");
        assert_eq!(server.handle.snapshot().wait().expect("numbers").sockets.turned_away, 1, "{runtime:?}");
        drop(first);
        // The seat is free once the server has seen the end.
        loop {
            let mut next = server.connect();
            let local = next.local_addr().expect("bound");
            let sent = next.write_all(request("OPTIONS", "bob", "TCP", local, 1).as_bytes());
            if sent.is_ok() && matches!(next.read(&mut [0]), Ok(1)) {
                break;
            }
        }
        server.end();
    }
}

#[test]
fn accepting_pauses_at_the_total_and_goes_on() {
    for runtime in Runtime::ALL {
        let options = StreamOptions { connections: 1, ..StreamOptions::default() };
        let server = Open::start(runtime, options, Hooks::default());
        let mut first = server.connect();
        ask(&mut first, "OPTIONS", "alice", 1);
        // The second waits in the system's queue, with its request, until the first leaves.
        let mut second = server.connect();
        let local = second.local_addr().expect("bound");
        second.write_all(request("OPTIONS", "bob", "TCP", local, 1).as_bytes()).expect("sent");
        drop(first);
        assert!(read(&mut second).starts_with("SIP/2.0 200 "), "{runtime:?}");
        server.end();
    }
}

#[test]
fn connections_come_and_go_without_a_trace() {
    for runtime in Runtime::ALL {
        let server = Open::start(runtime, StreamOptions::default(), Hooks::default());
        for round in 0..10 {
            let mut together: Vec<TcpStream> = (0..30).map(|_| server.connect()).collect();
            for (at, stream) in together.iter_mut().enumerate() {
                // Some leave without a word, some in the middle of one.
                match at % 3 {
                    0 => drop(ask(stream, "OPTIONS", "alice", round)),
                    1 => stream.write_all(b"OPTIONS sip:").expect("sent"),
                    _ => {}
                }
            }
        }
        // The last ones are gone once the server has seen their end.
        let numbers = || {
            let sockets = server.handle.snapshot().wait().expect("numbers").sockets;
            [sockets.connections, sockets.accepted].map(|counts| counts.of(Transport::Tcp))
        };
        let clock = Clock::start();
        let until = clock.now() + PATIENCE;
        while numbers() != [0, 300] {
            assert!(clock.now() < until, "{runtime:?}: {:?}", numbers());
        }
        server.end();
    }
}

/// A program that sends calls where the name of the callee says.
fn routes(to: impl Fn(&str) -> Route + Send + Sync + 'static) -> Hooks {
    let to = Arc::new(to);
    let on_route: OnRoute = Arc::new(move |call: RouteCall| {
        let to = to.clone();
        Box::pin(async move { to(call.to.split('@').next().unwrap_or_default()) })
    });
    Hooks { on_route: Some(on_route), ..Hooks::default() }
}

/// Calls somebody over UDP; the status of the final answer.
fn call(udp: SocketAddr, whom: &str) -> String {
    let phone = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    phone.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let local = phone.local_addr().expect("bound");
    let text = request("INVITE", "alice", "UDP", local, 1);
    let text = text.replacen("sip:example.com", &format!("sip:{whom}@example.com"), 1);
    phone.send_to(text.as_bytes(), udp).expect("sent");
    let mut buffer = vec![0; 65_536];
    loop {
        let length = phone.recv(&mut buffer).expect("an answer");
        let answer = String::from_utf8_lossy(&buffer[..length]);
        let status = answer.split(' ').nth(1).unwrap_or_default();
        if status >= "200" {
            return status.into();
        }
    }
}

/// What somebody says who is called and busy.
fn busy(invite: &str) -> String {
    let value = |name| field(invite, name).unwrap_or_default();
    format!(
        "SIP/2.0 486 Busy Here\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=s\r\nCall-ID: {}\r\nCSeq: {}\r\n\
         Content-Length: 0\r\n\r\n",
        value("Via"),
        value("From"),
        value("To"),
        value("Call-ID"),
        value("CSeq")
    )
}

#[test]
fn calls_go_out_over_connections_that_the_server_opens() {
    for runtime in Runtime::ALL {
        let service = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let there = service.local_addr().expect("bound");
        // Nobody listens where somebody did a moment ago.
        let nowhere = TcpListener::bind("127.0.0.1:0").and_then(|gone| gone.local_addr()).expect("a port");
        let hooks = routes(move |whom| match whom {
            "service" => Route::to(format!("sip:service@{there};transport=tcp")),
            _ => Route::to(format!("sip:service@{nowhere};transport=tcp")),
        });
        let server = Open::start(runtime, StreamOptions::default(), hooks);
        let serving = thread::Builder::new().spawn(move || {
            let (mut stream, _) = service.accept().expect("a connection");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let invite = read(&mut stream);
            assert!(invite.starts_with("INVITE sip:service@"), "{invite}");
            stream.write_all(busy(&invite).as_bytes()).expect("sent");
            assert!(read(&mut stream).starts_with("ACK "));
        });
        assert_eq!(call(server.udp, "service"), "486", "{runtime:?}");
        serving.expect("a thread").join().expect("served");
        let refused = call(server.udp, "nobody");
        assert!(refused.starts_with('5') || refused == "408", "{runtime:?}: {refused}");
        server.end();
    }
}

/// A name server that says of every name that it is this machine, and of those that begin with `big` that the answer does
/// not fit into a datagram.
fn name_server() -> SocketAddr {
    fn respond(query: &[u8], stream: bool) -> Vec<u8> {
        let mut answer = query.to_vec();
        (answer[2], answer[3]) = (0x81, 0x80);
        if query.windows(4).any(|name| name == b"\x03big") && !stream {
            answer[2] |= 0x02;
        } else if query[query.len() - 3] == 1 {
            answer[7] = 1;
            answer.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
        }
        answer
    }
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let addr = tcp.local_addr().expect("an address");
    let udp = UdpSocket::bind(addr).expect("the same port");
    let over_udp = move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = udp.recv_from(&mut buffer) {
            // What is forged is passed over.
            udp.send_to(b"forged", from).expect("sent");
            udp.send_to(&respond(&buffer[..length], false), from).expect("sent");
        }
    };
    let over_tcp = move || {
        for stream in tcp.incoming() {
            let mut stream = stream.expect("a connection");
            let mut length = [0; 2];
            stream.read_exact(&mut length).expect("a length");
            let mut query = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut query).expect("a query");
            let answer = respond(&query, true);
            stream.write_all(&(answer.len() as u16).to_be_bytes()).expect("written");
            stream.write_all(&answer).expect("written");
        }
    };
    thread::Builder::new().spawn(over_udp).expect("a thread");
    thread::Builder::new().spawn(over_tcp).expect("a thread");
    addr
}

#[test]
fn names_are_looked_up_over_datagrams_and_connections() {
    let names = name_server();
    for runtime in Runtime::ALL {
        let service = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        service.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let port = service.local_addr().expect("bound").port();
        let hooks = routes(move |whom| Route::to(format!("sip:service@{whom}.example.org:{port}")));
        let options = Options { name_servers: vec![names], ..Options::default() };
        let server = Open::with(runtime, options, hooks);
        for name in ["small", "big"] {
            let udp = server.udp;
            let calling = thread::Builder::new().spawn(move || call(udp, name)).expect("a thread");
            let mut buffer = vec![0; 65_536];
            let invite = loop {
                let (length, _) = service.recv_from(&mut buffer).expect("an INVITE");
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                // An ACK for the one before may come first.
                if text.starts_with("INVITE ") && text.contains(&format!("@{name}.example.org")) {
                    break text;
                }
            };
            service.send_to(busy(&invite).as_bytes(), server.udp).expect("sent");
            assert_eq!(calling.join().expect("called"), "486", "{runtime:?}: {name}");
        }
        server.end();
    }
}

#[test]
fn a_program_that_panics_fails_that_call_alone() {
    for runtime in Runtime::ALL {
        let hooks = routes(|whom| match whom {
            "panic" => panic!("as a program may"),
            _ => Route::busy(),
        });
        let server = Open::start(runtime, StreamOptions::default(), hooks);
        for _ in 0..20 {
            assert_eq!(call(server.udp, "panic"), "503", "{runtime:?}");
        }
        assert_eq!(call(server.udp, "bob"), "486", "{runtime:?}");
        server.end();
    }
}

#[test]
fn a_program_on_mio_may_block() {
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = std::sync::Mutex::new(blocked);
    let hooks = routes(move |whom| {
        if whom == "slow" {
            let _ = blocked.lock().expect("one at a time").recv();
        }
        Route::busy()
    });
    let server = Open::start(Runtime::Mio, StreamOptions::default(), hooks);
    let udp = server.udp;
    let slow = thread::Builder::new().spawn(move || call(udp, "slow"));
    // Others are served meanwhile, by the loop and by the program.
    assert!(ask(&mut server.connect(), "REGISTER", "alice", 1).starts_with("SIP/2.0 200 "));
    assert_eq!(call(server.udp, "quick"), "486");
    release.send(()).expect("it waits");
    assert_eq!(slow.expect("a thread").join().expect("called"), "486");
    server.end();
}

#[test]
fn what_is_answered_is_stored_before_and_there_again_after() {
    for runtime in Runtime::ALL {
        let store = MemoryStore::new();
        let options = Options { storage: StorageOptions::new(Durability::Strict), ..Options::default() };
        let kept = || Hooks { store: Some(Box::new(store.clone())), ..Hooks::default() };
        let server = Open::with(runtime, options.clone(), kept());
        assert!(
            ask(&mut server.connect(), "REGISTER", "alice", 1).starts_with("SIP/2.0 200 "),
            "{runtime:?}"
        );
        assert!(!store.changes().is_empty(), "{runtime:?}");
        server.end();
        let server = Open::with(runtime, options, kept());
        assert_eq!(
            server.handle.lookup("alice@example.com").wait().expect("a reply").len(),
            1,
            "{runtime:?}"
        );
        server.end();
    }
}

#[test]
fn many_requests_of_handles_at_once_are_all_answered() {
    for runtime in Runtime::ALL {
        let server = Open::start(runtime, StreamOptions::default(), Hooks::default());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let handle = server.handle.clone();
                let many =
                    move || (0..200).all(|_| handle.is_registered("alice@example.com").wait() == Ok(false));
                thread::Builder::new().spawn(many).expect("a thread")
            })
            .collect();
        assert!(threads.into_iter().all(|thread| thread.join().expect("joined")), "{runtime:?}");
        server.end();
    }
}
