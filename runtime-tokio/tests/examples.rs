//! The example programs run and work with each other: the PBX, calls by presence, the client and the messenger.
#![allow(clippy::disallowed_methods)] // Tests of a process have the process's clock.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use strowger_tokio::SimpleB2bua;
use strowger_tokio::core::door::Transport;

const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "a long secret";

/// Where examples are; `None` if they were not built.
fn built(name: &str) -> Option<PathBuf> {
    let mut path = std::env::current_exe().ok()?;
    path.pop();
    path.pop();
    path.push("examples");
    path.push(name);
    if path.is_file() {
        return Some(path);
    }
    eprintln!("skipped: {name} was not built; cargo test without --test builds the examples");
    None
}

/// A program that runs; killed when dropped.
struct Program {
    name: String,
    child: Child,
    types: Option<ChildStdin>,
    says: Receiver<String>,
    said: Vec<String>,
}

impl Program {
    fn start(path: &PathBuf, args: &[&str]) -> Program {
        let mut command = Command::new(path);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("it starts");
        let (sender, says) = channel();
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let types = child.stdin.take();
        Program { name: format!("{} {args:?}", path.display()), child, types, says, said: Vec::new() }
    }

    fn types(&mut self, line: &str) {
        writeln!(self.types.as_mut().expect("it hears"), "{line}").expect("typed");
    }

    /// Waits until it says a line with this; `..` stands for anything: domains are named as the machine is.
    fn says(&mut self, wanted: &str) {
        let until = Instant::now() + PATIENCE;
        while let Ok(line) = self.says.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.said.push(line);
            let has = |line: &String| wanted.split("..").all(|part| line.contains(part));
            if self.said.last().is_some_and(has) {
                return;
            }
        }
        panic!("{} did not say {wanted:?}, but {:#?}", self.name, self.said);
    }

    /// Nothing more is typed: it ends by itself.
    fn ends(mut self) {
        self.types = None;
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{}: {status}; {:#?}", self.name, self.said);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server of this name that answers, and where it is.
fn server(name: &str) -> Option<(Program, String)> {
    let path = built(name)?;
    // A port may be taken before the server has it.
    let server = (0..5).find_map(|_| answers(name, &path, free_port()));
    Some(server.unwrap_or_else(|| panic!("{name} ends")))
}

/// A port that is free for UDP and TCP.
fn free_port() -> u16 {
    let found = (0..100).find_map(|_| {
        let tcp = TcpListener::bind("0.0.0.0:0").ok()?;
        let addr = tcp.local_addr().ok()?;
        UdpSocket::bind(addr).ok().map(|_| addr.port())
    });
    found.expect("a free port")
}

/// The server at this port when it answers; `None` if it ended.
fn answers(name: &str, path: &PathBuf, port: u16) -> Option<(Program, String)> {
    let (mut program, at) = (Program::start(path, &[&port.to_string()]), format!("127.0.0.1:{port}"));
    let probe = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    probe.connect(&at).expect("connected");
    probe.set_read_timeout(Some(Duration::from_millis(100))).expect("set");
    let here = probe.local_addr().expect("bound");
    let options = format!(
        "OPTIONS sip:localhost SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bKprobe;rport\r\nMax-Forwards: 70\r\n\
         From: <sip:probe@localhost>;tag=1\r\nTo: <sip:localhost>\r\nCall-ID: probe\r\nCSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    );
    let until = Instant::now() + PATIENCE;
    // Nobody may listen yet, which a send or a read reports.
    while probe.send(options.as_bytes()).and_then(|_| probe.recv(&mut [0; 2048])).is_err() {
        if program.child.try_wait().expect("it is ours").is_some() {
            return None;
        }
        assert!(Instant::now() < until, "{name} does not answer");
    }
    Some((program, at))
}

/// A client of this name that says this first.
fn client(name: &str, user: &str, server: &str, more: &[&str], first: &str) -> Option<Program> {
    let path = built(name)?;
    let aor = format!("sip:{user}@localhost");
    let args: Vec<&str> = [&*aor, PASSWORD, server].into_iter().chain(more.iter().copied()).collect();
    let mut program = Program::start(&path, &args);
    let said = program.says.recv_timeout(PATIENCE).unwrap_or_default();
    assert!(said.contains(first) && !said.starts_with("not "), "{user}: {said}");
    program.said.push(said);
    Some(program)
}

#[test]
fn two_clients_call_each_other_at_the_pbx() {
    let Some((_pbx, at)) = server("pbx") else { return };
    let Some(mut bob) = client("sip_client", "bob", &at, &[], "registered") else { return };
    let Some(mut alice) = client("sip_client", "alice", &at, &[], "registered") else { return };
    alice.types("call bob@localhost");
    bob.says("calls");
    alice.says("ringing: 180");
    alice.says("talking");
    bob.says("talking");
    alice.types("hold");
    bob.says("on hold");
    alice.types("digit 5");
    bob.says("Digit { digit: '5'");
    alice.types("hang up");
    alice.says("over: 200");
    bob.says("over: 200");
    alice.ends();
    bob.ends();
}

#[test]
fn who_does_not_want_to_be_disturbed_has_his_voicemail() {
    let Some((_exchange, at)) = server("presence_routing") else { return };
    let voicemail = client("sip_client", "voicemail", &at, &[], "registered");
    let alice = client("sip_client", "alice", &at, &[], "registered");
    let bob = client("instant_messenger", "bob", &at, &["bob@localhost"], "Registering");
    let (Some(mut voicemail), Some(mut alice), Some(mut bob)) = (voicemail, alice, bob) else { return };
    bob.says("sip:bob@.. is Available");
    bob.types("/dnd at the dentist");
    bob.says("sip:bob@.. is DoNotDisturb at the dentist");
    alice.types("call bob@localhost");
    voicemail.says("calls");
    alice.says("talking");
    alice.types("hang up");
    voicemail.says("over: 200");
    for program in [alice, voicemail, bob] {
        program.ends();
    }
}

#[tokio::test(flavor = "current_thread")]
async fn two_messengers_see_and_write_to_each_other() {
    let server = SimpleB2bua::new("Lobby", 0).account("alice", PASSWORD).account("bob", PASSWORD);
    let server =
        server.enable_registration().enable_presence().enable_messages().bind().await.expect("it starts");
    let udp = server.listeners().iter().find(|listener| listener.transport == Transport::Udp).expect("one");
    let at = format!("127.0.0.1:{}", udp.addr.port());
    let write = move || {
        let alice = client("instant_messenger", "alice", &at, &["bob@localhost"], "Registering");
        let bob = client("instant_messenger", "bob", &at, &["alice@localhost"], "Registering");
        let (Some(mut alice), Some(mut bob)) = (alice, bob) else { return };
        alice.says("sip:bob@.. is Available");
        bob.says("sip:alice@.. is Available");
        alice.types("bob@localhost There?");
        bob.says("sip:alice@..: There?");
        bob.types("/busy on the phone");
        alice.says("sip:bob@.. is Busy on the phone");
        alice.types("/quit");
        alice.ends();
        bob.ends();
    };
    tokio::task::spawn_blocking(write).await.expect("they wrote");
}
