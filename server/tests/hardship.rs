//! Peers that misbehave: the server keeps answering everybody else within a second.
#![allow(clippy::disallowed_methods)] // Tests of a process have the process's clock.

mod common;

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use common::{Folder, PATIENCE, Phone, Running, becomes, demo_password, header, metric, rest};
use serde_json::json;
use strowger_core::base::hash::DigestAlgorithm;

/// How soon others are served, whatever goes on.
const SOON: Duration = Duration::from_secs(1);

/// A well-behaved phone is served, and soon.
fn serves(server: &Running, state: &Path) {
    serves_by(|| Phone::udp(server.addr("udp"), "1001", "127.0.0.1"), state);
}

/// The same for phones that are made so. The machine of the test may have other things to do, and not each time.
fn serves_by(phone: impl Fn() -> Phone, state: &Path) {
    let password = demo_password(state, "1001");
    let took = || {
        let start = Instant::now();
        assert!(phone().register(DigestAlgorithm::Md5, &password).starts_with("SIP/2.0 200 "));
        start.elapsed()
    };
    let mut times = Vec::new();
    while times.last().is_none_or(|last| *last > SOON) {
        assert!(times.len() < 5, "never within {SOON:?}: {times:?}");
        times.push(took());
    }
}

/// Bytes of memory in use.
fn memory(server: &Running) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("in use");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("kilobytes") << 10
}

fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

fn connect(to: SocketAddr) -> TcpStream {
    TcpStream::connect(to).expect("connected")
}

#[test]
fn five_thousand_idle_connections() {
    /// What one costs at most. It is half of that; the allocator keeps some for later.
    const BYTES: usize = 12 << 10;
    raise_file_limit();
    let folder = Folder::new();
    let state = folder.path("state");
    // The accounts of a first run, with another limit.
    drop(Running::local(&folder, &[]));
    let accounts = std::fs::read_to_string(state.join("accounts.toml")).expect("accounts");
    let config = folder.write("strowger.toml", &format!("[connections]\nper_source = 6000\n{accounts}"));
    let server = Running::local(&folder, &["-c", config.to_str().expect("utf-8"), "--http", "127.0.0.1:0"]);
    let to = server.addr("tcp");
    let up = || metric(&server, "strowger_connections{transport=\"tcp\"}");
    serves(&server, &state);
    let before = memory(&server);
    let idle: Vec<TcpStream> = (0..5000).map(|_| connect(to)).collect();
    becomes(up, 5000);
    let each = memory(&server).saturating_sub(before) / idle.len();
    assert!(each < BYTES, "{each} bytes for each connection");
    let mut phone = Phone::tcp(to, "1001", "localhost");
    assert!(phone.ask("OPTIONS", "").starts_with("SIP/2.0 200 "));
    serves(&server, &state);
    // Nobody was turned away to make room.
    assert_eq!(up(), 5001);
    for stream in &idle {
        stream.set_nonblocking(true).expect("set");
        let nothing = stream.peek(&mut [0]).expect_err("neither closed nor spoken to");
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    }
    drop(idle);
    becomes(up, 1);
}

#[test]
fn slow_tcp() {
    let folder = Folder::new();
    let server = Running::local(&folder, &[]);
    let mut slow: Vec<TcpStream> = (0..50).map(|_| connect(server.addr("tcp"))).collect();
    for byte in b"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/TCP x" {
        for stream in &mut slow {
            stream.write_all(&[*byte]).expect("taken");
        }
    }
    serves(&server, &folder.path("state"));
}

/// Sends so many guesses, each by another name.
fn flood(to: SocketAddr, guesses: u32) {
    let mut flood = Phone::udp(to, "mallory", "127.0.0.1");
    for guess in 0..guesses {
        flood.user = format!("guess{guess}");
        let request = flood.request("REGISTER", "Authorization: Digest username=\"x\", realm=\"r\", nonce=\"n\", uri=\"sip:127.0.0.1\", response=\"0\"\r\n");
        flood.send(request.as_bytes());
    }
}

#[test]
fn a_flood_of_unknown_users() {
    const GUESSES: u32 = 50_000;
    /// What a guess may leave behind: nothing, but for what the allocator has not given back.
    const BYTES: usize = 64;
    let folder = Folder::new();
    let server = Running::local(&folder, &["--log-level", "warn", "--http", "127.0.0.1:0"]);
    let (to, state) = (server.addr("udp"), folder.path("state"));
    let mut bob = Phone::udp(to, "1002", "127.0.0.1");
    let ok = bob.register(DigestAlgorithm::Md5, &demo_password(&state, "1002"));
    let contact = header(&ok, "Contact").and_then(|contact| contact.split(['<', '>']).nth(1));
    let contact = contact.expect("his contact").to_owned();
    let token = rest::admin(&folder, server.http());
    let bobs = || {
        let (_, found) = rest::ask(server.http(), "GET", "/registrations/1002@localhost", &token, None);
        found["items"][0]["contact"].as_str().map(str::to_owned)
    };
    assert_eq!(bobs(), Some(contact.clone()));
    // A datagram may find no room in the socket, as long as the flood is read; a connection has room of its own.
    let serves = || serves_by(|| Phone::tcp(server.addr("tcp"), "1001", "localhost"), &state);
    // Buffers grow to what they need.
    flood(to, 10_000);
    serves();
    let before = memory(&server);
    let flooding = std::thread::spawn(move || flood(to, GUESSES));
    let mut rounds = 0;
    while !flooding.is_finished() || rounds == 0 {
        serves();
        assert_eq!(metric(&server, "strowger_registered_aors"), 2, "who was registered is");
        rounds += 1;
    }
    flooding.join().expect("sent");
    serves();
    assert_eq!(bobs(), Some(contact));
    let left = memory(&server).saturating_sub(before);
    assert!(left < BYTES * GUESSES as usize, "{left} bytes after {GUESSES} guesses");
}

/// Credential stuffing by REST: what a password check costs is not paid by phones, and who guesses is slowed down.
#[test]
fn a_flood_of_logins() {
    let folder = Folder::new();
    let server = Running::local(&folder, &["--log-level", "error", "--http", "127.0.0.1:0"]);
    let (http, state) = (server.http(), folder.path("state"));
    let guess = move |crowd: u32| {
        let names = ["1001", "admin", "nobody", "1002"];
        let attempt = |(n, name): (usize, &str)| {
            let body = json!({ "username": name, "password": format!("guess {crowd} {n}") });
            rest::ask(http, "POST", "/auth/login", "", Some(body)).0
        };
        names.into_iter().cycle().take(12).enumerate().map(attempt).collect::<Vec<_>>()
    };
    let crowds: Vec<_> = (0..32).map(|crowd| std::thread::spawn(move || guess(crowd))).collect();
    for _ in 0..20 {
        serves(&server, &state);
    }
    let answers: Vec<u16> = crowds.into_iter().flat_map(|crowd| crowd.join().expect("answered")).collect();
    assert!(answers.iter().all(|status| [401, 429, 503].contains(status)), "{answers:?}");
    assert!(answers.contains(&429), "{answers:?}");
    // Guesses at an account lock logins by password, and not its phones.
    serves(&server, &state);
}

#[test]
fn datagrams_that_are_no_messages() {
    let folder = Folder::new();
    let server = Running::local(&folder, &["--http", "127.0.0.1:0"]);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let to = server.addr("udp");
    let headers = [&b"OPTIONS sip:a@b SIP/2.0\r\n"[..], &b"a:1\r\n".repeat(10_000), b"\r\n"].concat();
    let large = vec![b'A'; 65_507];
    let nul = b"REGISTER sip:\0 SIP/2.0\r\nVia: \0\r\n\r\n";
    for bytes in
        [&b""[..], b"\r\n\r\n", b"\0\0\0\0", nul, &large, &headers, b"SIP/2.0 200 OK\r\n\r\n", &[0xff; 1500]]
    {
        socket.send_to(bytes, to).expect("sent");
    }
    serves(&server, &folder.path("state"));
    let metrics = common::get(server.http(), "/metrics").1;
    let dropped = metrics.lines().filter_map(|line| line.strip_prefix("strowger_dropped_total{reason="));
    let dropped: u64 = dropped.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
    assert_eq!(dropped, 8, "{metrics}");
}

#[test]
fn ten_thousand_headers() {
    let folder = Folder::new();
    let server = Running::local(&folder, &[]);
    let mut phone = Phone::udp(server.addr("udp"), "1001", "127.0.0.1");
    let refused = phone.ask("OPTIONS", &"a:1\r\n".repeat(10_000));
    assert!(refused.starts_with("SIP/2.0 400 "), "{refused}");
    serves(&server, &folder.path("state"));
}

#[test]
fn a_large_message_passes_both_ways() {
    let folder = Folder::new();
    let server = Running::local(&folder, &[]);
    let mut phone = Phone::udp(server.addr("udp"), "1001", "127.0.0.1");
    // Everything in Via comes back in the answer: both directions are larger than any network's frame.
    let padding = "x".repeat(20_000);
    let request = phone.request("OPTIONS", "").replace(";rport", &format!(";rport;padding={padding}"));
    phone.send(request.as_bytes());
    let answer = phone.receive();
    assert!(answer.starts_with("SIP/2.0 200 ") && answer.contains(&padding), "{} bytes", answer.len());
}

#[test]
fn a_connection_that_speaks_something_else() {
    let folder = Folder::new();
    let server = Running::local(&folder, &[]);
    let mut stream = connect(server.addr("tcp"));
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    let mut rest = Vec::new();
    let ended = std::io::Read::read_to_end(&mut stream, &mut rest);
    assert!(ended.is_ok() || ended.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset), "closed in time");
    serves(&server, &folder.path("state"));
}
