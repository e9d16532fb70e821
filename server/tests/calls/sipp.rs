//! SIPp with scenarios of our own: a callee that registers and waits, and a caller; each checks what it is sent.

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::accounts;
use super::client::{self, Tunnel};
use super::launch::{Server, free};

const LIMIT: Duration = Duration::from_secs(120);
const CALLS: u32 = 20;

/// One SIPp of a user at an address.
struct Run<'s> {
    scenario: &'s str,
    user: &'s str,
    me: SocketAddr,
    transport: &'s str,
    calls: u32,
    /// Where it says that it hears, if its scenario has a voice.
    ear: Option<SocketAddr>,
}

impl Run<'_> {
    /// Runs it to its end; fails if a message is not as its scenario says.
    fn sipp(&self, server: &Server) {
        let Run { scenario, user, me, transport, calls, ear } = self;
        let name = format!("{}-{transport}", scenario.trim_end_matches(".xml"));
        let file = |kind: &str| server.dir().join(format!("{name}.{kind}"));
        let (users, errors) = (file("csv"), file("errors"));
        fs::write(
            &users,
            format!("SEQUENTIAL\n{user};[authentication username={user} password=wonderland]\n"),
        )
        .expect("a file for the test");
        let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/calls/scenarios");
        let mut sipp = Command::new("sipp");
        // The packaged SIPp was built without TLS.
        let tunnel = (*transport == "tls").then(|| Tunnel::open(server.dir(), free(), server.tls));
        let to = tunnel.as_ref().map_or(server.addr, |tunnel| tunnel.addr);
        let (stream, via) = match *transport {
            "u1" => ("u1", "UDP"),
            "t1" => ("t1", "TCP"),
            _ => ("t1", "TLS"),
        };
        sipp.arg(to.to_string()).current_dir(server.dir());
        sipp.arg("-sf").arg(scenarios.join(scenario)).arg("-inf").arg(&users);
        sipp.args(["-i", "127.0.0.1", "-p", &me.port().to_string(), "-t", stream, "-nostdin"]);
        sipp.args(["-key", "via", via]);
        if let Some(ear) = ear {
            sipp.args(["-mi", "127.0.0.1", "-key", "ear", &ear.port().to_string()]);
        }
        let whom = if *scenario == "register.xml" { "example.com" } else { "bob@example.com" };
        sipp.args(["-auth_uri", whom]);
        sipp.arg("-trace_err").arg("-error_file").arg(&errors);
        sipp.args(["-m", &calls.to_string(), "-r", "10", "-timeout", "100", "-timeout_error"]);
        sipp.args(["-recv_timeout", "60000"]);
        let output = client::run(&mut sipp, LIMIT);
        let errors = fs::read_to_string(errors).unwrap_or_default();
        let errors: String = errors.lines().take(60).map(|line| format!("{line}\n")).collect();
        assert!(output.status.success(), "{name} ended with {}:\n{errors}", output.status);
    }
}

/// Bob registers and waits, alice calls him; both scenarios come to their ends.
fn call(name: &str, caller: &str, callee: &str, transport: &str) {
    if client::is_there("sipp") {
        let server = Server::start(&format!("calls-{name}-{transport}"), &accounts(&["alice", "bob"]));
        calls(&server, [caller, callee], transport, CALLS, [None; 2]);
    }
}

/// So many calls, with the ears of both.
fn calls(
    server: &Server,
    [caller, callee]: [&str; 2],
    transport: &str,
    calls: u32,
    ears: [Option<SocketAddr>; 2],
) {
    let (alice, bob, [ear, other]) = (free(), free(), ears);
    Run { scenario: "register.xml", user: "bob", me: bob, transport: "u1", calls: 1, ear: None }.sipp(server);
    let caller = Run { scenario: caller, user: "alice", me: alice, transport, calls, ear };
    let callee = Run { scenario: callee, user: "bob", me: bob, transport: "u1", calls, ear: other };
    thread::scope(|scope| {
        let waiting =
            thread::Builder::new().name("callee".into()).spawn_scoped(scope, || callee.sipp(server));
        caller.sipp(server);
        waiting.expect("a thread").join().expect("the callee is content");
    });
}

#[test]
fn sipp_calls_sipp_over_udp_and_tcp() {
    for transport in ["u1", "t1"] {
        call("basic", "caller.xml", "callee.xml", transport);
    }
}

#[test]
fn sipp_calls_sipp_over_tls() {
    if client::is_there("stunnel") {
        call("secure", "caller.xml", "callee.xml", "tls");
    }
}

#[test]
fn sipp_gives_up_while_it_rings() {
    call("cancel", "caller_gives_up.xml", "callee_cancelled.xml", "u1");
}

#[test]
fn sipp_gives_up_before_the_callee_says_anything() {
    call("early", "caller_gives_up_early.xml", "callee_cancelled_late.xml", "u1");
}

#[test]
fn sipp_is_told_that_sipp_is_busy() {
    call("busy", "caller_refused.xml", "callee_busy.xml", "u1");
}

#[test]
fn sipp_puts_sipp_on_hold_and_takes_it_back() {
    call("hold", "caller_holds.xml", "callee_is_held.xml", "u1");
}

#[test]
fn sipp_acknowledges_the_reliable_response_of_sipp() {
    call("reliable", "caller_acknowledges.xml", "callee_reliable.xml", "u1");
}

/// The sources of the voices that an ear has heard: packets of RTP with the tone (RFC 3550 s5.1).
fn heard(ear: &UdpSocket, tone: &[u8]) -> BTreeSet<[u8; 4]> {
    ear.set_nonblocking(true).expect("set");
    let (mut sources, mut packet) = (BTreeSet::new(), [0; 2048]);
    while let Ok(len) = ear.recv(&mut packet) {
        let (head, voice) = packet[..len].split_at(12);
        // Version 2, the u-law of G.711.
        assert_eq!((head[0], head[1] & 0x7f), (0x80, 0), "{head:?}");
        assert_eq!(voice.len(), 160);
        assert!(voice.iter().all(|sample| tone.contains(sample)), "{voice:?}");
        sources.insert([head[8], head[9], head[10], head[11]]);
    }
    sources
}

/// Nobody but the session descriptions says where the voices go, and the server touches neither.
#[test]
fn the_voice_of_each_sipp_arrives_where_the_other_one_hears() {
    if !client::is_there("sipp") {
        return;
    }
    let server = Server::start("calls-voice", &accounts(&["alice", "bob"]));
    let tone: Vec<u8> = (0..800).map(|i| if i / 9 % 2 == 0 { 0x9f } else { 0x1f }).collect();
    fs::write(server.dir().join("voice.ulaw"), &tone).expect("a file for the test");
    let ears = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a socket"));
    let at = ears.each_ref().map(|ear| ear.local_addr().ok());
    // Few, so that the ears hold all that they hear.
    calls(&server, ["caller_plays.xml", "callee_plays.xml"], "u1", 4, at);
    for ear in ears {
        assert_eq!(heard(&ear, &tone).len(), 4, "a voice for each call");
    }
}
