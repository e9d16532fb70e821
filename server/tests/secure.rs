//! TLS and WebSocket from the binary, over real sockets: OpenSSL's s_client, SIPp, a WebSocket by hand, and what should
//! not get in.
#![allow(clippy::disallowed_methods)] // Tests of a process have the process's clock.

mod common;

#[path = "interop/client.rs"]
#[allow(dead_code)] // Every test binary uses its own part.
mod client;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{Folder, PATIENCE, Running, answered, becomes, metric, run, text};
use rustix::process::Signal;

/// Puts a fresh certificate for localhost, and its key, into the folder.
fn certify(folder: &Folder) -> PathBuf {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    folder.write("key.pem", &made.signing_key.serialize_pem());
    folder.write("cert.pem", &made.cert.pem())
}

fn config(folder: &Folder, more: &str) -> PathBuf {
    let path = |name| folder.path(name).display().to_string();
    let text = format!(
        "[[domain]]\nname = \"localhost\"\naliases = [\"127.0.0.1\"]\n\
         [[listen]]\nbind = \"udp:127.0.0.1:0\"\n[[listen]]\nbind = \"tls:127.0.0.1:0\"\n\
         [[listen]]\nbind = \"ws:127.0.0.1:0\"\n[[listen]]\nbind = \"wss:127.0.0.1:0\"\n\
         [tls]\ncertificate = \"{}\"\nkey = \"{}\"\n\
         [[account]]\nusername = \"alice\"\npassword = \"wonderland\"\n[auth.digest]\nalgorithms = [\"MD5\"]\n{more}",
        path("cert.pem"),
        path("key.pem"),
    );
    folder.write("strowger.toml", &text)
}

fn serve(folder: &Folder, more: &str) -> Running {
    certify(folder);
    let (file, state) = (config(folder, more), folder.path("state"));
    let path = |path: &PathBuf| path.display().to_string();
    Running::start(&["serve", "-c", &path(&file), "--state-dir", &path(&state), "--http", "127.0.0.1:0"])
}

fn options(transport: &str, n: u32) -> String {
    format!(
        "OPTIONS sip:localhost SIP/2.0\r\nVia: SIP/2.0/{transport} a.invalid;branch=z9hG4bKs{n}\r\nMax-Forwards: 70\r\n\
         From: <sip:probe@localhost>;tag=1\r\nTo: <sip:localhost>\r\nCall-ID: secure{n}\r\nCSeq: {n} OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// OpenSSL's client; killed when dropped.
struct OpenSsl(Child);

impl OpenSsl {
    fn start(server: SocketAddr, folder: &Folder, more: &[&str]) -> OpenSsl {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &server.to_string(), "-servername", "localhost", "-quiet"]);
        command.args(["-verify_return_error", "-CAfile", folder.path("cert.pem").to_str().expect("utf-8")]);
        command.args(more).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        OpenSsl(command.spawn().expect("openssl starts"))
    }

    /// Sends a request and gives the head of the answer; empty if the connection ends.
    fn ask(&mut self, request: &str) -> String {
        // It may have ended: then there is no answer either.
        let _ = self.0.stdin.as_mut().expect("piped").write_all(request.as_bytes());
        let mut head = String::new();
        let mut byte = [0];
        let stdout = self.0.stdout.as_mut().expect("piped");
        while !head.ends_with("\r\n\r\n") && stdout.read(&mut byte).is_ok_and(|read| read == 1) {
            head.push(char::from(byte[0]));
        }
        head
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        client::stop(&mut self.0);
    }
}

#[test]
fn openssl_talks_over_tls_of_both_versions() {
    if !client::is_there("openssl") {
        return;
    }
    let folder = Folder::new();
    let server = serve(&folder, "");
    for (n, version) in [(1, "-tls1_2"), (2, "-tls1_3")] {
        let mut openssl = OpenSsl::start(server.addr("tls"), &folder, &[version]);
        let answer = openssl.ask(&options("TLS", n));
        assert!(answer.starts_with("SIP/2.0 200 OK\r\nVia: SIP/2.0/TLS a.invalid;"), "{version}: {answer}");
        assert_eq!(openssl.ask("\r\n\r\n\r\n\r\n"), "\r\n\r\n", "two pings, two pongs");
    }
    let mut old = OpenSsl::start(server.addr("tls"), &folder, &["-tls1_1"]);
    assert_eq!(old.ask(&options("TLS", 3)), "", "TLS 1.1 is over (RFC 8996)");
}

/// What does not belong there ends, and nobody else notices.
#[test]
fn what_is_no_tls_is_closed_and_counted_and_others_go_on() {
    let folder = Folder::new();
    let server = serve(&folder, "");
    let mut phone = common::Phone::udp(server.addr("udp"), "alice", "localhost");
    for garbage in [options("TLS", 1).as_bytes(), b"GET / HTTP/1.1\r\n\r\n", &[0x16, 3, 1, 0, 4, 9, 0, 0, 0]]
    {
        let mut socket = TcpStream::connect(server.addr("tls")).expect("connected");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        socket.write_all(garbage).expect("sent");
        let mut alert = Vec::new();
        let _ = socket.read_to_end(&mut alert);
        assert_eq!(alert.first(), Some(&21), "an alert of TLS: {alert:?}");
    }
    // Half a handshake, held open.
    let mut held = TcpStream::connect(server.addr("tls")).expect("connected");
    held.write_all(&[0x16, 3, 1]).expect("sent");
    assert!(phone.ask("OPTIONS", "").starts_with("SIP/2.0 200 "));
    becomes(|| metric(&server, "strowger_handshakes_failed_total{transport=\"tls\"}"), 3);
}

#[test]
fn certificates_are_reloaded_and_bad_ones_are_refused() {
    if !client::is_there("openssl") {
        return;
    }
    let folder = Folder::new();
    let mut server = serve(&folder, "");
    let mut early = OpenSsl::start(server.addr("tls"), &folder, &[]);
    assert!(early.ask(&options("TLS", 1)).starts_with("SIP/2.0 200 "));
    let old = fs::read_to_string(folder.path("cert.pem")).expect("there");
    folder.write("cert.pem", "nothing of use");
    server.signal(Signal::HUP);
    let log = server.wait_for_log("certificates not reloaded, the old ones stay");
    assert!(log.contains("no certificate in PEM format is in this file"), "{log}");
    folder.write("cert.pem", &old);
    let mut still = OpenSsl::start(server.addr("tls"), &folder, &[]);
    assert!(still.ask(&options("TLS", 2)).starts_with("SIP/2.0 200 "));
    certify(&folder);
    server.signal(Signal::HUP);
    server.wait_for_log("certificates reloaded");
    let mut late = OpenSsl::start(server.addr("tls"), &folder, &[]);
    assert!(late.ask(&options("TLS", 3)).starts_with("SIP/2.0 200 "));
    assert!(early.ask(&options("TLS", 4)).starts_with("SIP/2.0 200 "), "what is up stays up");
}

/// A phone that has shown a certificate stays who it is: its subscription is renewed over another connection with that
/// certificate, and with no other.
#[test]
fn a_dialog_is_of_who_has_shown_a_certificate() {
    if !client::is_there("openssl") {
        return;
    }
    let folder = Folder::new();
    let mut all = String::new();
    for name in ["carol", "mallory"] {
        let made = rcgen::generate_simple_self_signed([format!("{name}.example")]).expect("a certificate");
        folder.write(&format!("{name}.key"), &made.signing_key.serialize_pem());
        folder.write(&format!("{name}.pem"), &made.cert.pem());
        all.push_str(&made.cert.pem());
    }
    let authorities = folder.write("clients.pem", &all).display().to_string();
    certify(&folder);
    let file = config(&folder, "[auth.policy]\nsubscribe = \"open\"\n[presence]\n");
    let text = fs::read_to_string(&file).expect("there");
    let line = format!("[tls]\nclient_authorities = \"{authorities}\"\n");
    fs::write(&file, text.replace("[tls]\n", &line)).expect("written");
    let state = folder.path("state").display().to_string();
    let file = file.display().to_string();
    let server = Running::start(&["serve", "-c", &file, "--state-dir", &state, "--http", "off"]);
    let connect = |name: &str| {
        let path = |end: &str| folder.path(&format!("{name}.{end}")).display().to_string();
        OpenSsl::start(server.addr("tls"), &folder, &["-cert", &path("pem"), "-key", &path("key")])
    };
    let subscribe = |n: u32, tag: &str| {
        let to = if tag.is_empty() { String::new() } else { format!(";tag={tag}") };
        format!(
            "SUBSCRIBE sip:alice@localhost SIP/2.0\r\nVia: SIP/2.0/TLS c.invalid;branch=z9hG4bKp{n}\r\nMax-Forwards: 70\r\n\
             From: <sip:carol@carol.example>;tag=1\r\nTo: <sip:alice@localhost>{to}\r\nCall-ID: peer\r\n\
             CSeq: {n} SUBSCRIBE\r\nEvent: presence\r\nExpires: 600\r\nAccept: application/pidf+xml\r\n\
             Contact: <sip:carol@c.invalid;transport=tls>\r\nContent-Length: 0\r\n\r\n"
        )
    };
    let mut first = connect("carol");
    let answer = first.ask(&subscribe(1, ""));
    assert!(answer.starts_with("SIP/2.0 200 OK\r\n"), "{answer}");
    let to = common::header(&answer, "To").and_then(|to| to.split(";tag=").nth(1)).expect("a tag").to_owned();
    let answer = connect("mallory").ask(&subscribe(2, &to));
    assert!(answer.starts_with("SIP/2.0 403 Another Peer\r\n"), "{answer}");
    let mut bare = OpenSsl::start(server.addr("tls"), &folder, &[]);
    let answer = bare.ask(&subscribe(3, &to));
    assert!(answer.starts_with("SIP/2.0 403 Another Peer\r\n"), "{answer}");
    let answer = connect("carol").ask(&subscribe(4, &to));
    assert!(answer.starts_with("SIP/2.0 200 OK\r\n"), "{answer}");
}

/// RFC 8898: over TLS a token of its own is offered and taken, with nothing said of keys or of clear text.
#[test]
fn a_token_of_its_own_registers_over_tls_and_not_over_udp() {
    if !client::is_there("openssl") {
        return;
    }
    let folder = Folder::new();
    let own = "[accounts]\n[auth.jwt]\nauthz_server = \"https://localhost/auth/login\"\n";
    let mut server = serve(&folder, own);
    server.wait_for_log("keys fetched");
    let path = |name: &str| folder.path(name).display().to_string();
    let password = folder.write("password", "carols secret\n").display().to_string();
    let desk = |args: &[&str]| {
        let done = run(&[args, &["-c", &path("strowger.toml"), "--state-dir", &path("state")]].concat());
        assert!(done.status.success(), "{}", text(&done.stderr));
        text(&done.stdout)
    };
    desk(&["user", "add", "carol", "--password-file", &password]);
    let token = desk(&["token", "issue", "carol", "--scope", "sip"]);
    let register = |transport: &str, n: u32, token: &str| {
        let shown =
            if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        format!(
            "REGISTER sip:localhost SIP/2.0\r\nVia: SIP/2.0/{transport} a.invalid;branch=z9hG4bKo{n}\r\nMax-Forwards: 70\r\n\
             From: <sip:carol@localhost>;tag=1\r\nTo: <sip:carol@localhost>\r\nCall-ID: own\r\nCSeq: {n} REGISTER\r\n\
             Contact: <sip:carol@127.0.0.1:9;transport={transport}>\r\n{shown}Content-Length: 0\r\n\r\n"
        )
    };
    let mut phone = OpenSsl::start(server.addr("tls"), &folder, &[]);
    let challenge = phone.ask(&register("TLS", 1, ""));
    assert!(challenge.contains("WWW-Authenticate: Bearer realm="), "{challenge}");
    let mut n = 1;
    let mut ask = || {
        n += 1;
        phone.ask(&register("TLS", n, token.trim()))
    };
    // Added by another process: taken over within a second.
    answered(&mut ask, 200);
    let mut plain = common::Phone::udp(server.addr("udp"), "carol", "localhost");
    let refused = plain.ask("REGISTER", &format!("Authorization: Bearer {}\r\n", token.trim()));
    assert!(refused.starts_with("SIP/2.0 401 ") && !refused.contains("Bearer realm="), "{refused}");
}

/// A page over HTTPS: the whole answer; empty if there is none.
fn https(server: SocketAddr, folder: &Folder, request: &str) -> String {
    let mut client = OpenSsl::start(server, folder, &[]);
    let stdin = client.0.stdin.as_mut().expect("piped");
    let _ = stdin.write_all(request.as_bytes());
    let mut answer = String::new();
    client.0.stdout.as_mut().expect("piped").read_to_string(&mut answer).expect("text");
    answer
}

#[test]
fn metrics_health_and_the_rest_api_are_served_over_tls_with_the_same_certificate() {
    if !client::is_there("openssl") {
        return;
    }
    let folder = Folder::new();
    let mut server = serve(&folder, "[accounts]\n[http]\ntls = true\n");
    let url = server.banner.split_whitespace().find_map(|word| word.strip_prefix("https://"));
    let at = url.and_then(|url| url.split('/').next()?.parse().ok()).expect("an address");
    let page = |path: &str| {
        https(at, &folder, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
    };
    assert!(page("/health").ends_with("\r\n\r\n{\"ok\":true,\"status\":\"ok\"}"));
    assert!(page("/metrics").contains("\nstrowger_registered_aors 0\n"));
    let document = page("/openapi.json");
    assert!(document.starts_with("HTTP/1.1 200 OK\r\n") && document.len() > 50_000, "several records");
    assert!(page("/users").starts_with("HTTP/1.1 401 Unauthorized\r\n"));
    let body = "{\"username\":\"admin\",\"password\":\"wrong wrong\"}";
    let login = format!(
        "POST /auth/login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert!(https(at, &folder, &login).starts_with("HTTP/1.1 401 Unauthorized\r\n"));

    // What is no TLS is told so by TLS, and half a handshake keeps nobody out.
    let mut plain = TcpStream::connect(at).expect("connected");
    plain.set_read_timeout(Some(PATIENCE)).expect("set");
    plain.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut alert = Vec::new();
    let _ = plain.read_to_end(&mut alert);
    assert_eq!(alert.first(), Some(&21), "an alert of TLS: {alert:?}");
    let mut held = TcpStream::connect(at).expect("connected");
    held.write_all(&[0x16, 3, 1]).expect("sent");

    certify(&folder);
    assert_eq!(page("/health"), "", "the old certificate is not that of the file");
    server.signal(Signal::HUP);
    server.wait_for_log("certificates reloaded");
    assert!(page("/health").starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn sipp_registers_over_tls() {
    if !client::is_there("sipp") {
        return;
    }
    let folder = Folder::new();
    let server = serve(&folder, "[auth.policy]\nregister = \"open\"\n");
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/scenarios/life.xml");
    let users: String =
        (0..50).map(|n| format!("u{n:05};[authentication username=u{n:05} password=x]\n")).collect();
    let users = folder.write("users.csv", &format!("SEQUENTIAL\n{users}"));
    let (cert, key) = (folder.path("cert.pem"), folder.path("key.pem"));
    let path = |path: &PathBuf| path.display().to_string();
    let mut sipp = Command::new("sipp");
    sipp.arg(server.addr("tls").to_string()).args([
        "-t",
        "l1",
        "-tls_cert",
        &path(&cert),
        "-tls_key",
        &path(&key),
    ]);
    sipp.args([
        "-sf",
        scenario,
        "-inf",
        &path(&users),
        "-i",
        "127.0.0.1",
        "-m",
        "50",
        "-r",
        "50",
        "-nostdin",
    ]);
    sipp.args(["-timeout", "60", "-timeout_error"]).current_dir(folder.path(""));
    let output = client::run(&mut sipp, Duration::from_secs(90));
    let said = client::said(&output);
    if said.contains("you must compile SIPp with OpenSSL") {
        eprintln!("skipped: this sipp was built without TLS");
        return;
    }
    assert!(output.status.success(), "{said}");
}

/// A WebSocket as a page opens it.
struct Web(BufReader<TcpStream>);

impl Web {
    fn upgrade(server: SocketAddr, more: &str) -> (Web, String) {
        let mut socket = TcpStream::connect(server).expect("connected");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
        );
        socket.write_all(request.as_bytes()).expect("sent");
        let mut web = Web(BufReader::new(socket));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") && web.0.read_line(&mut head).expect("an answer") > 0 {}
        (web, head)
    }

    fn send(&mut self, message: &[u8]) {
        let mut frame = vec![0x81, 0x80 | 126];
        frame.extend((message.len() as u16).to_be_bytes());
        // A mask of zeros changes nothing.
        frame.extend([0; 4]);
        frame.extend(message);
        self.0.get_mut().write_all(&frame).expect("sent");
    }

    /// The next frame: its first byte and what it carries.
    fn receive(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).expect("a frame");
        let len = match head[1] {
            126 => {
                let mut long = [0; 2];
                self.0.read_exact(&mut long).expect("a length");
                usize::from(u16::from_be_bytes(long))
            }
            short => usize::from(short),
        };
        let mut payload = vec![0; len];
        self.0.read_exact(&mut payload).expect("a frame");
        (head[0], payload)
    }
}

/// RFC 7118: the registration of a page, whose Contact names nothing that could be connected to, and a message to it.
#[test]
fn a_page_registers_over_websocket_and_is_reached_on_its_connection() {
    let folder = Folder::new();
    let server = serve(&folder, "[auth.policy]\nregister = \"open\"\nmessage = \"open\"\n");
    let (mut web, answer) = Web::upgrade(server.addr("ws"), "Sec-WebSocket-Protocol: sip\r\n");
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    // No Content-Length: the frame says where the message ends.
    let register = "REGISTER sip:localhost SIP/2.0\r\nVia: SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bKr\r\n\
         Max-Forwards: 70\r\nFrom: <sip:alice@localhost>;tag=1\r\nTo: <sip:alice@localhost>\r\nCall-ID: page\r\n\
         CSeq: 1 REGISTER\r\nContact: <sip:alice@df7jal23ls0d.invalid;transport=ws>;expires=600\r\n\r\n";
    web.send(register.as_bytes());
    let (opcode, answer) = web.receive();
    let answer = text(&answer);
    assert_eq!(opcode, 0x81, "one message in one frame of text");
    assert!(answer.starts_with("SIP/2.0 200 OK\r\nVia: SIP/2.0/WS df7jal23ls0d.invalid;"), "{answer}");
    let mut phone = common::Phone::udp(server.addr("udp"), "bob", "localhost");
    let mut message = phone.request("MESSAGE", "Content-Type: text/plain\r\n");
    message = message.replacen("sip:localhost", "sip:alice@localhost", 1);
    phone.send(message.as_bytes());
    let (_, come) = web.receive();
    let come = text(&come);
    assert!(come.starts_with("MESSAGE sip:alice@df7jal23ls0d.invalid;transport=ws SIP/2.0\r\n"), "{come}");
    assert!(come.contains("Via: SIP/2.0/WS "), "{come}");
}

#[test]
fn an_upgrade_without_sip_is_refused() {
    let folder = Folder::new();
    let server = serve(&folder, "[websocket]\norigins = [\"https://phone.example.com\"]\n");
    for (more, status) in [
        ("", "HTTP/1.1 400 "),
        ("Sec-WebSocket-Protocol: chat\r\n", "HTTP/1.1 400 "),
        ("Sec-WebSocket-Protocol: chat, sip\r\n", "HTTP/1.1 101 "),
        ("Sec-WebSocket-Protocol: sip\r\nOrigin: https://evil.example\r\n", "HTTP/1.1 403 "),
        ("Sec-WebSocket-Protocol: sip\r\nOrigin: https://phone.example.com\r\n", "HTTP/1.1 101 "),
    ] {
        let (_, answer) = Web::upgrade(server.addr("ws"), more);
        assert!(answer.starts_with(status), "{more}: {answer}");
    }
}

#[test]
fn check_and_serve_say_what_certificates_lack() {
    let folder = Folder::new();
    let file = config(&folder, "");
    let check = || run(&["check", "-c", file.to_str().expect("utf-8")]);
    let said = text(&check().stderr);
    assert!(said.contains("[tls]") && said.contains("cert.pem: No such file"), "{said}");
    certify(&folder);
    assert!(check().status.success());
    let file = folder.write("bare.toml", "[[listen]]\nbind = \"wss:127.0.0.1:0\"\n");
    let said = text(&run(&["check", "-c", file.to_str().expect("utf-8")]).stderr);
    assert!(said.contains("wss needs a certificate: write [tls]"), "{said}");
    for (section, complaint) in [
        ("tls = true", "http.tls: needs certificate and key, here or in [tls]"),
        ("tls = true\nkey = \"k.pem\"", "http.key: needs its certificate"),
        ("tls = true\ncertificate = \"c.pem\"", "http.certificate: needs its key"),
        ("key = \"k.pem\"", "http.tls: a certificate is of use with tls = true only"),
        ("tls = true\ncertificate = \"/no/c.pem\"\nkey = \"/no/k.pem\"", "[http] /no/c.pem: No such file"),
    ] {
        let file = folder.write("rest.toml", &format!("[http]\n{section}\n"));
        let said = text(&run(&["check", "-c", file.to_str().expect("utf-8")]).stderr);
        assert!(said.contains(complaint), "{section}: {said}");
    }
    let state = folder.path("state");
    let args = ["serve", "--listen", "tls:127.0.0.1:0", "--state-dir", state.to_str().expect("utf-8")];
    let said = text(&run(&args).stderr);
    assert!(said.contains("cannot listen on tls without a certificate"), "{said}");
}
