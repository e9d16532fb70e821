//! TLS and WebSocket on every runtime: what does not come to an agreement is closed and counted, in its time, and others
//! are served meanwhile; certificates change while a server runs.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use strowger_core::config::{AuthPolicy, Config, DomainConfig, ListenerConfig};
use strowger_core::door::{FlowDownReason, Transport};
use strowger_shell::clock::Clock;
use strowger_shell::handle::Handle;
use strowger_shell::hooks::Hooks;
use strowger_shell::options::Options;
use strowger_shell::promise::Wait;

use crate::secure::Certificate;
use crate::servers::{Ended, Runtime, launch};
use crate::wire::{Duplex, PATIENCE, Wire, plain};

const TRANSPORTS: [Transport; 4] = [Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];

/// A server on loopback that speaks all of them, and answers OPTIONS of everybody.
pub(crate) struct Open {
    pub(crate) handle: Handle,
    addrs: Vec<SocketAddr>,
    pub(crate) certificate: Certificate,
    ended: Ended,
}

impl Open {
    fn start(runtime: Runtime, change: impl FnOnce(&mut Options)) -> Open {
        Open::with(runtime, change, |_| {})
    }

    pub(crate) fn with(
        runtime: Runtime,
        change: impl FnOnce(&mut Options),
        configure: impl FnOnce(&mut Config),
    ) -> Open {
        let mut config = Config::new("example.com");
        config.domains = vec![DomainConfig { name: "example.com".into(), ..DomainConfig::default() }];
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = |transport| ListenerConfig { transport, addr, advertised: None, algorithms: None };
        config.listeners = TRANSPORTS.into_iter().map(listener).collect();
        config.policies.register = AuthPolicy::Open;
        config.registrar.get_or_insert_default();
        configure(&mut config);
        let certificate = Certificate::new();
        let mut options = Options::default();
        options.stream.tls = Some(certificate.server.clone());
        change(&mut options);
        let ((handle, listeners), ended) = launch(runtime, config, options, Hooks::default());
        let addrs = listeners.iter().map(|listener| listener.addr).collect();
        Open { handle, addrs, certificate, ended }
    }

    pub(crate) fn addr(&self, transport: Transport) -> SocketAddr {
        let at = TRANSPORTS.iter().position(|one| *one == transport).expect("one of them");
        self.addrs[at]
    }

    /// A connection on which nothing was said.
    fn silent(&self, transport: Transport) -> TcpStream {
        let stream = TcpStream::connect(self.addr(transport)).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    /// One on which TLS was agreed on, where there is any.
    fn within_tls(&self, transport: Transport) -> Box<dyn Duplex> {
        plain(transport, self.silent(transport), Some(&self.certificate.believer())).expect("agreed")
    }

    fn phone(&self, transport: Transport) -> std::io::Result<Wire> {
        Wire::open(transport, self.addr(transport), Some(&self.certificate.believer()))
    }

    fn serves(&self, transport: Transport) {
        options(&mut self.phone(transport).expect("a way there"), transport);
    }

    /// Those that failed and those that are there, of these.
    fn counts(&self, transport: Transport) -> [u64; 2] {
        let sockets = self.handle.snapshot().wait().expect("numbers").sockets;
        [sockets.handshakes_failed, sockets.connections].map(|counts| counts.of(transport))
    }

    /// Waits until the counts are these.
    fn comes_to(&self, transport: Transport, wanted: [u64; 2], what: &str) {
        let clock = Clock::start();
        let until = clock.now() + PATIENCE;
        while self.counts(transport) != wanted {
            assert!(clock.now() < until, "{what}: {:?}", self.counts(transport));
        }
    }

    /// Waits until so many have ended for this reason.
    fn ended(&self, reason: FlowDownReason, wanted: u64) {
        let clock = Clock::start();
        let until = clock.now() + PATIENCE;
        let ended = || self.handle.snapshot().wait().expect("numbers").sockets.ended;
        while ended().of(reason) < wanted {
            assert!(clock.now() < until, "{wanted} of {reason:?}: {:?}", ended());
        }
    }

    pub(crate) fn end(self) {
        self.handle.shutdown().expect("running");
        assert!((self.ended)(), "it ends in order");
    }
}

/// Another OPTIONS each time.
fn request(wire: &Wire, transport: Transport) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let (via, local) = (transport.via_token(), wire.local);
    format!(
        "OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/{via} {local};branch=z9hG4bK{number}\r\nMax-Forwards: 70\r\n\
         From: <sip:a@example.com>;tag=f\r\nTo: <sip:example.com>\r\nCall-ID: {number}\r\nCSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// Is answered.
fn options(wire: &mut Wire, transport: Transport) {
    wire.write(&request(wire, transport)).expect("sent");
    let answer = wire.read().expect("an answer");
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
}

fn is_closed(stream: &mut dyn Duplex) -> Vec<u8> {
    let mut said = Vec::new();
    // However it ends: an alert may be followed by a reset.
    match stream.read_to_end(&mut said) {
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
        {
            panic!("it is open")
        }
        _ => said,
    }
}

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

#[test]
fn what_does_not_agree_on_tls_or_websocket_is_closed_and_counted_and_others_are_served() {
    for runtime in Runtime::ALL {
        let server = Open::start(runtime, |_| {});
        for transport in [Transport::Tls, Transport::Wss] {
            for garbage in
                [&b"OPTIONS sip:example.com SIP/2.0\r\n\r\n"[..], b"GET / HTTP/1.1\r\n\r\n", &[0x80; 600]]
            {
                let mut stream = server.silent(transport);
                stream.write_all(garbage).expect("sent");
                let said = is_closed(&mut stream);
                // RFC 8446 s6: an alert says why.
                assert!(said.is_empty() || said[0] == 21, "{runtime:?}: {said:?}");
            }
            server.comes_to(transport, [3, 0], "garbage");
            server.serves(transport);
        }
        for (transport, before) in [(Transport::Ws, 0), (Transport::Wss, 3)] {
            for (asks, status) in [(UPGRADE, "400 "), ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "426 ")] {
                let mut stream = server.within_tls(transport);
                stream.write_all(asks.as_bytes()).expect("sent");
                let said = is_closed(&mut stream);
                let said = String::from_utf8_lossy(&said).into_owned();
                assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{runtime:?}: {said}");
            }
            server.comes_to(transport, [before + 2, 0], "no upgrade");
            server.serves(transport);
        }
        server.end();
    }
}

#[test]
fn who_stalls_while_agreeing_is_closed_in_time_and_many_of_them_keep_nobody_out() {
    for runtime in Runtime::ALL {
        let server = Open::start(runtime, |options| {
            options.stream.handshake_deadline = Duration::from_millis(700);
        });
        for transport in [Transport::Tls, Transport::Ws, Transport::Wss] {
            // Some say nothing at all, some begin.
            let mut stalled: Vec<TcpStream> = (0..40).map(|_| server.silent(transport)).collect();
            for stream in stalled.iter_mut().step_by(2) {
                let begins: &[u8] = if transport.is_secure() { &[0x16, 3, 1, 1, 0, 1] } else { b"GET / HT" };
                stream.write_all(begins).expect("sent");
            }
            server.serves(transport);
            for mut stream in stalled {
                is_closed(&mut stream);
            }
            server.comes_to(transport, [40, 0], "stalled");
        }
        server.end();
    }
}

#[test]
fn who_never_reads_is_closed_whatever_is_spoken_and_others_are_served() {
    for runtime in Runtime::ALL {
        let server = Open::start(runtime, |options| options.stream.write_queue = 64 << 10);
        let mut ended = 0;
        for transport in [Transport::Tls, Transport::Ws, Transport::Wss] {
            let mut stuck = server.phone(transport).expect("a way there");
            let request = request(&stuck, transport);
            while stuck.write(&request).is_ok() {}
            ended += 1;
            server.ended(FlowDownReason::TooSlow, ended);
            server.serves(transport);
        }
        server.end();
    }
}

#[test]
fn keep_alives_are_answered_up_to_a_number_and_who_sends_more_is_closed() {
    for runtime in Runtime::ALL {
        let server = Open::start(runtime, |options| options.stream.keep_alives = 20);
        for (transport, ended) in TRANSPORTS.into_iter().zip(1..) {
            let mut flood = server.phone(transport).expect("a way there");
            for _ in 0..2 {
                for _ in 0..20 {
                    flood.keep_alive().expect("an answer");
                }
                options(&mut flood, transport);
            }
            for _ in 0..20 {
                flood.keep_alive().expect("an answer");
            }
            // The last ping of WebSocket is answered before the end is said.
            let closed = (0..2).find_map(|_| flood.keep_alive().err()).expect("one too many").to_string();
            // RFC 6455 s7.4.1.
            assert!(!transport.is_web() || closed == "1008", "{runtime:?} {transport:?}: {closed}");
            server.ended(FlowDownReason::Limit, ended);
            server.serves(transport);
        }
        server.end();
    }
}

#[test]
fn certificates_change_under_a_server_that_runs_and_a_broken_one_changes_nothing() {
    for runtime in Runtime::ALL {
        let server = Open::start(runtime, |_| {});
        let old = server.certificate.believer();
        let goes_in = |transport, trust| Wire::open(transport, server.addr(transport), Some(trust));
        let mut before = goes_in(Transport::Tls, &old).expect("agreed");
        options(&mut before, Transport::Tls);
        server.certificate.renew();
        let renewed = server.certificate.believer();
        server.certificate.spoil();
        server.certificate.server.reload().expect_err("no certificate");
        goes_in(Transport::Wss, &old).expect("the old one is shown");
        server.certificate.renew();
        assert!(goes_in(Transport::Tls, &renewed).is_err(), "{runtime:?}: that one was never shown");
        server.certificate.server.reload().expect("a certificate");
        assert!(goes_in(Transport::Tls, &old).is_err(), "{runtime:?}");
        server.serves(Transport::Tls);
        server.serves(Transport::Wss);
        // What was agreed on stays.
        options(&mut before, Transport::Tls);
        server.end();
    }
}

#[test]
fn connections_of_every_transport_come_and_go_without_a_trace() {
    for runtime in Runtime::ALL {
        let server = Open::start(runtime, |_| {});
        for transport in TRANSPORTS {
            for round in 0..3 {
                let mut together: Vec<Wire> =
                    (0..12).map(|_| server.phone(transport).expect("a way there")).collect();
                for (at, wire) in together.iter_mut().enumerate() {
                    if at % 3 == round {
                        options(wire, transport);
                    }
                }
            }
            server.comes_to(transport, [0, 0], "all are gone");
        }
        server.end();
    }
}
