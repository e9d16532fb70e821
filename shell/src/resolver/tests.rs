//! The resolver over loopback sockets, with a name server of the test.

use std::io::{self, IoSlice, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};
use std::thread;

use socket2::{SockRef, Socket};
use strowger_core::door::Ticket;

use super::*;
use crate::dns::Asking;
use crate::socket::Io;

static SERVER: OnceLock<SocketAddr> = OnceLock::new();

fn config() -> StubConfig {
    StubConfig { servers: SERVER.get().copied().into_iter().collect(), ..StubConfig::default() }
}

/// Says that `big.example.com` does not fit into a datagram, and that every name is at 127.0.0.9.
fn respond(query: &[u8], stream: bool) -> Vec<u8> {
    let mut answer = query.to_vec();
    (answer[2], answer[3]) = (0x81, 0x80);
    let is_address = query[query.len() - 3] == 1;
    if query.windows(4).any(|name| name == b"\x03big") && !stream {
        answer[2] |= 0x02;
    } else if is_address {
        answer[7] = 1;
        answer.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 9]);
    }
    answer
}

fn name_server() {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let addr = tcp.local_addr().expect("an address");
    let udp = UdpSocket::bind(addr).expect("the same port");
    SERVER.set(addr).expect("one server");
    let over_udp = move || {
        let mut buffer = [0; 512];
        loop {
            let (length, from) = udp.recv_from(&mut buffer).expect("a query");
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
}

/// Nobody watches it: it is always worth while to try, and trying blocks.
struct Blocking(Socket);

impl Io for Blocking {
    fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_writable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }

    fn try_write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.send_vectored(pieces)
    }

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.0)
    }
}

fn carry_out(exchange: Exchange) -> Option<Vec<u8>> {
    let (mut exchanging, socket) = exchange.begin().ok()?;
    let socket = match socket {
        Asking::Datagram(socket) => Socket::from(socket),
        Asking::Stream(socket) => Socket::from(socket),
    };
    // As far as a name server on loopback is concerned, a connection is opened at once.
    socket.set_nonblocking(false).expect("blocking");
    match exchanging.poll(&mut Context::from_waker(Waker::noop()), &mut Blocking(socket)) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("it blocks"),
    }
}

fn listener(transport: Transport, addr: &str) -> ListenerConfig {
    ListenerConfig { transport, addr: addr.parse().expect("an address"), advertised: None, algorithms: None }
}

#[test]
fn names_are_found_and_our_side_of_the_way_is_named() {
    name_server();
    let listeners = [
        listener(Transport::Tcp, "[::1]:5070"),
        listener(Transport::Udp, "0.0.0.0:5070"),
        listener(Transport::Tcp, "127.0.0.1:5071"),
    ];
    let mut resolver = Resolver::new(listeners.into(), config);
    let now = Time::from_secs(1_000_000);
    let mut ask = |host: &str, port, transport| {
        let near = ([127, 0, 0, 1], 5070).into();
        let query = ResolveQuery {
            ticket: Ticket::new(3, 1),
            host: host.into(),
            port,
            transport,
            secure: false,
            near,
        };
        resolver.ask(now, query);
        while let Some(exchange) = resolver.poll_exchange() {
            let number = exchange.number;
            resolver.answered(now, number, carry_out(exchange).as_deref());
        }
        match resolver.poll_answer() {
            Some(Answer::Resolved(ticket, ways)) if ticket == Ticket::new(3, 1) => ways,
            other => panic!("{other:?}"),
        }
    };
    let way = |transport, remote: &str, listener, local: &str| Resolved {
        transport,
        remote: remote.parse().expect("an address"),
        listener,
        local: local.parse().expect("an address"),
        server_name: None,
    };
    // Under a wildcard it is the address that packets leave from, whatever that is towards there.
    let source = source_towards("127.0.0.9:1".parse().expect("an address")).expect("loopback");
    let udp = vec![way(Transport::Udp, "127.0.0.9:5080", 1, &format!("{source}:5070"))];
    assert_eq!(ask("sip.example.com", Some(5080), None), udp);
    let tcp = vec![way(Transport::Tcp, "127.0.0.9:5060", 2, "127.0.0.1:5071")];
    assert_eq!(ask("big.example.com", None, Some(Transport::Tcp)), tcp);
    // We do not call ourselves, and there is no TLS yet.
    assert_eq!(ask("127.0.0.1", Some(5070), None), []);
    assert_eq!(ask("sip.example.com", Some(5061), Some(Transport::Tls)), []);
}
