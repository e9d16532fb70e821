//! Starting the binary, and a phone small enough to be read: written apart from the server, so that both cannot share
//! a mistake.
#![allow(dead_code)] // Every test file uses its own part.
#![allow(clippy::disallowed_methods)] // Tests of a process have the process's clock.

pub(crate) mod desk;
pub(crate) mod dialog;
pub(crate) mod rest;

use std::fmt::Debug;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use strowger_core::base::hash::{DigestAlgorithm, digest};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// When a request over UDP is sent again.
const T1: Duration = Duration::from_millis(500);

/// A folder of one test, removed at its end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("strowger-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a temporary folder");
        Folder(path)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("written");
        path
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The binary with nothing of this machine's own settings.
pub(crate) fn strowger(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strowger"));
    command
        .args(args)
        .env_remove("STROWGER_CONFIG")
        .env_remove("STROWGER_STATE_DIR")
        .env_remove("STROWGER_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs to the end: for what ends by itself.
pub(crate) fn run(args: &[&str]) -> Output {
    strowger(args).output().expect("the binary runs")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A running server; killed when dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) banner: String,
    stdout: BufReader<ChildStdout>,
    pub(crate) stderr: BufReader<ChildStderr>,
}

impl Running {
    /// Starts with these arguments and waits until it says that it is up.
    pub(crate) fn start(args: &[&str]) -> Running {
        Running::spawn(&mut strowger(args))
    }

    /// The same by another command.
    pub(crate) fn spawn(command: &mut Command) -> Running {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut banner = String::new();
        while !banner.contains("To register a softphone") {
            if stdout.read_line(&mut banner).expect("readable") == 0 {
                let mut errors = String::new();
                let mut stderr = stderr;
                let _ = stderr.read_to_string(&mut errors);
                panic!("it did not start: {banner}{errors}");
            }
        }
        Running { child, banner, stdout, stderr }
    }

    /// On loopback, UDP and TCP on free ports, state in this folder, no metrics.
    pub(crate) fn local(folder: &Folder, more: &[&str]) -> Running {
        let state = folder.path("state");
        let mut args = vec!["serve", "--listen", "udp:127.0.0.1:0", "--listen", "tcp:127.0.0.1:0"];
        args.extend(["--state-dir", state.to_str().expect("utf-8")]);
        if !more.contains(&"--http") {
            args.extend(["--http", "off"]);
        }
        args.extend(more);
        Running::start(&args)
    }

    /// Where it listens for `udp` or `tcp`, as it printed.
    pub(crate) fn addr(&self, proto: &str) -> SocketAddr {
        let prefix = format!("{proto}:");
        let mut words = self.banner.split_whitespace();
        let found = words.find_map(|word| word.strip_prefix(&prefix)).expect("printed");
        found.parse().expect("an address")
    }

    /// Where it serves HTTP, as it printed.
    pub(crate) fn http(&self) -> SocketAddr {
        let url =
            self.banner.split_whitespace().find_map(|word| word.strip_prefix("http://")).expect("printed");
        url.split('/').next().expect("an authority").parse().expect("an address")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it is there");
    }

    /// Reads its log up to a line with this text.
    pub(crate) fn wait_for_log(&mut self, wanted: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            let read = self.stderr.read_line(&mut line).expect("readable");
            assert!(read > 0, "the log ended without {wanted:?}:\n{seen}");
            seen.push_str(&line);
            if line.contains(wanted) {
                return seen;
            }
        }
    }

    /// Waits for its end; the rest of its log.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let mut log = String::new();
        let _ = self.stderr.read_to_string(&mut log);
        (self.child.wait().expect("ended"), log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The passwords of the demo accounts, read from their file.
pub(crate) fn demo_password(state: &Path, user: &str) -> String {
    let file = fs::read_to_string(state.join("accounts.toml")).expect("the accounts file");
    let after = file.split(&format!("username = \"{user}\"")).nth(1).expect("the account");
    after.split("password = \"").nth(1).expect("a password").split('"').next().expect("its end").into()
}

/// A phone over one socket.
pub(crate) struct Phone {
    wire: Wire,
    pub(crate) user: String,
    pub(crate) domain: String,
    pub(crate) local: SocketAddr,
    cseq: u32,
    call: String,
}

enum Wire {
    Udp(UdpSocket),
    Tcp(BufReader<TcpStream>),
}

impl Phone {
    pub(crate) fn udp(server: SocketAddr, user: &str, domain: &str) -> Phone {
        let own = if server.is_ipv6() { "[::1]:0" } else { "127.0.0.1:0" };
        let socket = UdpSocket::bind(own).expect("a socket");
        socket.connect(server).expect("connected");
        socket.set_read_timeout(Some(T1)).expect("set");
        let local = socket.local_addr().expect("bound");
        Phone::new(Wire::Udp(socket), local, user, domain)
    }

    pub(crate) fn tcp(server: SocketAddr, user: &str, domain: &str) -> Phone {
        let stream = TcpStream::connect(server).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        let local = stream.local_addr().expect("bound");
        Phone::new(Wire::Tcp(BufReader::new(stream)), local, user, domain)
    }

    fn new(wire: Wire, local: SocketAddr, user: &str, domain: &str) -> Phone {
        let call = format!("call-{local}");
        Phone { wire, user: user.into(), domain: domain.into(), local, cseq: 0, call }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        match &mut self.wire {
            Wire::Udp(socket) => drop(socket.send(bytes).expect("sent")),
            Wire::Tcp(stream) => stream.get_mut().write_all(bytes).expect("sent"),
        }
    }

    /// The next message.
    pub(crate) fn receive(&mut self) -> String {
        match &mut self.wire {
            Wire::Udp(socket) => {
                let mut buf = vec![0; 65_536];
                let len = until(|| socket.recv(&mut buf), Result::is_ok).expect("an answer in time");
                text(&buf[..len])
            }
            Wire::Tcp(stream) => {
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    assert!(
                        stream.read_line(&mut head).expect("an answer in time") > 0,
                        "closed after {head:?}"
                    );
                }
                let mut body =
                    vec![0; header(&head, "Content-Length").and_then(|v| v.parse().ok()).unwrap_or(0)];
                stream.read_exact(&mut body).expect("the body");
                head + &text(&body)
            }
        }
    }

    /// A request with these further header lines, each with its CRLF.
    pub(crate) fn request(&mut self, method: &str, more: &str) -> String {
        self.cseq += 1;
        let Phone { user, domain, local, cseq, call, .. } = self;
        let transport = if matches!(self.wire, Wire::Udp(_)) { "UDP" } else { "TCP" };
        let contact = format!("<sip:{user}@{local};transport={}>", transport.to_lowercase());
        format!(
            "{method} sip:{domain} SIP/2.0\r\nVia: SIP/2.0/{transport} {local};branch=z9hG4bK{cseq}x{};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@{domain}>;tag=f{cseq}\r\nTo: <sip:{user}@{domain}>\r\nCall-ID: {call}\r\n\
             CSeq: {cseq} {method}\r\nContact: {contact}\r\n{more}Content-Length: 0\r\n\r\n",
            local.port()
        )
    }

    /// Sends a request and waits for its answer, retransmitting over UDP as phones do (RFC 3261 s17.1.2.2).
    pub(crate) fn ask(&mut self, method: &str, more: &str) -> String {
        let request = self.request(method, more);
        let cseq = format!("{} {method}", self.cseq);
        self.send(request.as_bytes());
        let start = Instant::now();
        loop {
            let Wire::Udp(socket) = &self.wire else { return self.receive() };
            let mut buf = vec![0; 65_536];
            match socket.recv(&mut buf).map(|len| text(&buf[..len])) {
                Ok(answer) if header(&answer, "CSeq") == Some(&cseq) => return answer,
                // To an earlier request that was sent twice.
                Ok(_) => {}
                Err(error) => {
                    assert!(start.elapsed() < PATIENCE, "no answer: {error}");
                    self.send(request.as_bytes());
                }
            }
        }
    }

    /// Sends a request once and gives the answer, if there is one soon: to a server that may not be there yet.
    pub(crate) fn try_ask(&mut self, method: &str, more: &str) -> Option<String> {
        let request = self.request(method, more);
        let cseq = format!("{} {method}", self.cseq);
        let Wire::Udp(socket) = &self.wire else { return None };
        socket.send(request.as_bytes()).ok()?;
        let mut buf = vec![0; 65_536];
        loop {
            let read = socket.recv(&mut buf).ok()?;
            let answer = text(&buf[..read]);
            if header(&answer, "CSeq") == Some(&cseq) {
                return Some(answer);
            }
        }
    }

    /// REGISTER, answering the challenge of this algorithm; the last answer.
    pub(crate) fn register(&mut self, algorithm: DigestAlgorithm, password: &str) -> String {
        let challenge = self.ask("REGISTER", "Expires: 600\r\n");
        assert!(challenge.starts_with("SIP/2.0 401 "), "{challenge}");
        let credentials = self.answer(&challenge, algorithm, password, 1);
        self.ask("REGISTER", &format!("Expires: 600\r\n{credentials}"))
    }

    /// The Authorization line for a challenge (RFC 7616 s3.4).
    pub(crate) fn answer(
        &self,
        challenge: &str,
        algorithm: DigestAlgorithm,
        password: &str,
        nc: u32,
    ) -> String {
        let token = algorithm.token();
        let line = challenge
            .lines()
            .filter(|line| line.starts_with("WWW-Authenticate: Digest"))
            .find(|line| {
                line.contains(&format!("algorithm={token},")) || line.ends_with(&format!("algorithm={token}"))
            })
            .unwrap_or_else(|| panic!("no challenge for {token} in {challenge}"));
        let param = |name: &str| {
            let after = line.split(&format!("{name}=\"")).nth(1).unwrap_or_default();
            after.split('"').next().unwrap_or_default().to_owned()
        };
        let (realm, nonce) = (param("realm"), param("nonce"));
        let Phone { user, domain, .. } = self;
        let (uri, nc, cnonce) = (format!("sip:{domain}"), format!("{nc:08x}"), "0a4f113b");
        let ha1 = hash(algorithm, &format!("{user}:{realm}:{password}"));
        let ha2 = hash(algorithm, &format!("REGISTER:{uri}"));
        let response = hash(algorithm, &format!("{ha1}:{nonce}:{nc}:{cnonce}:auth:{ha2}"));
        let opaque = param("opaque");
        let opaque = if opaque.is_empty() { opaque } else { format!(", opaque=\"{opaque}\"") };
        format!(
            "Authorization: Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\", algorithm={token}, qop=auth, nc={nc}, cnonce=\"{cnonce}\"{opaque}\r\n"
        )
    }
}

fn hash(algorithm: DigestAlgorithm, text: &str) -> String {
    let all = digest(algorithm, &[text.as_bytes()]);
    all[..algorithm.len()].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first value of a header, by its full name.
pub(crate) fn header<'m>(message: &'m str, name: &str) -> Option<&'m str> {
    message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// GET over plain HTTP: status line and body.
pub(crate) fn get(addr: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(addr).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n").expect("sent");
    let mut all = String::new();
    stream.read_to_string(&mut all).expect("answered");
    let (head, body) = all.split_once("\r\n\r\n").expect("a head");
    (head.lines().next().unwrap_or_default().into(), body.into())
}

/// A number out of the metrics, by its name and its labels as they stand there.
#[track_caller]
pub(crate) fn metric(server: &Running, name: &str) -> u64 {
    metric_at(server.http(), name)
}

/// The same of a server that serves HTTP there.
#[track_caller]
pub(crate) fn metric_at(http: SocketAddr, name: &str) -> u64 {
    let (_, metrics) = get(http, "/metrics");
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {metrics}"))
}

/// Asks until this comes of it, and fails if it never does.
#[track_caller]
pub(crate) fn becomes<T: PartialEq + Debug>(ask: impl FnMut() -> T, wanted: T) {
    assert_eq!(until(ask, |answer| *answer == wanted), wanted);
}

/// Asks until it is answered with this status, and fails if it never is.
#[track_caller]
pub(crate) fn answered(ask: impl FnMut() -> String, status: u16) -> String {
    let wanted = format!("SIP/2.0 {status} ");
    let answer = until(ask, |answer| answer.starts_with(&wanted));
    assert!(answer.starts_with(&wanted), "no {status}: {answer}");
    answer
}

/// Asks until the answer is as wanted: for what takes effect a moment after a signal.
pub(crate) fn until<T>(mut ask: impl FnMut() -> T, wanted: impl Fn(&T) -> bool) -> T {
    let start = Instant::now();
    loop {
        let answer = ask();
        if wanted(&answer) || start.elapsed() > PATIENCE {
            return answer;
        }
    }
}
