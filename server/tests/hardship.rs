//! Peers that misbehave: the server keeps answering everybody else within a second.
#![allow(clippy::disallowed_methods)] // Tests of a process have the process's clock.

mod common;

use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use common::{Folder, PATIENCE, Phone, Running, demo_password, rest};
use serde_json::json;
use strowger_core::base::hash::DigestAlgorithm;

/// A well-behaved phone is served, and soon.
fn serves(server: &Running, state: &std::path::Path) {
    let password = demo_password(state, "1001");
    let mut phone = Phone::udp(server.addr("udp"), "1001", "127.0.0.1");
    let start = Instant::now();
    assert!(phone.register(DigestAlgorithm::Md5, &password).starts_with("SIP/2.0 200 "));
    // Two round trips; the machine of the test may be busy with other things.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
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
    raise_file_limit();
    let folder = Folder::new();
    let config = folder.write("strowger.toml", "[connections]\nper_source = 6000\n");
    let state = folder.path("state");
    // The accounts of a first run, with another limit.
    drop(Running::local(&folder, &[]));
    let accounts = std::fs::read_to_string(state.join("accounts.toml")).expect("accounts");
    std::fs::write(&config, format!("[connections]\nper_source = 6000\n{accounts}")).expect("written");
    let server = Running::local(&folder, &["-c", config.to_str().expect("utf-8")]);
    let to = server.addr("tcp");
    let idle: Vec<TcpStream> = (0..5000).map(|_| connect(to)).collect();
    let mut phone = Phone::tcp(to, "1001", "localhost");
    assert!(phone.ask("OPTIONS", "").starts_with("SIP/2.0 200 "));
    serves(&server, &state);
    assert_eq!(idle.len(), 5000);
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

#[test]
fn a_flood_of_unknown_users() {
    let folder = Folder::new();
    let server = Running::local(&folder, &["--log-level", "warn", "--http", "127.0.0.1:0"]);
    let to = server.addr("udp");
    let mut flood = Phone::udp(to, "mallory", "127.0.0.1");
    for i in 0..20_000 {
        flood.user = format!("guess{i}");
        let request = flood.request("REGISTER", "Authorization: Digest username=\"x\", realm=\"r\", nonce=\"n\", uri=\"sip:127.0.0.1\", response=\"0\"\r\n");
        flood.send(request.as_bytes());
    }
    serves(&server, &folder.path("state"));
    let metrics = common::get(server.http(), "/metrics").1;
    assert!(metrics.contains("strowger_registered_aors 1\n"), "{metrics}");
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
    let server = Running::local(&folder, &[]);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let to = server.addr("udp");
    let mut headers = b"OPTIONS sip:a@b SIP/2.0\r\n".to_vec();
    for i in 0..10_000u32 {
        headers.extend_from_slice(format!("X{i}:\r\n").as_bytes());
        if headers.len() > 65_000 {
            break;
        }
    }
    headers.extend_from_slice(b"\r\n");
    let large = vec![b'A'; 65_507];
    let nul = b"REGISTER sip:\0 SIP/2.0\r\nVia: \0\r\n\r\n";
    for bytes in
        [&b""[..], b"\r\n\r\n", b"\0\0\0\0", nul, &large, &headers, b"SIP/2.0 200 OK\r\n\r\n", &[0xff; 1500]]
    {
        socket.send_to(bytes, to).expect("sent");
    }
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
    assert!(
        ended.is_ok() || ended.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset),
        "closed in time"
    );
    serves(&server, &folder.path("state"));
}
