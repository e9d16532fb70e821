//! The server with nothing configured, as a newcomer meets it.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;

use common::{Folder, PATIENCE, Phone, Running, demo_password, get, text};
use rustix::process::Signal;
use strowger_core::base::hash::DigestAlgorithm;

#[test]
fn a_phone_with_a_demo_account_registers_over_udp_and_tcp() {
    let folder = Folder::new();
    let server = Running::local(&folder, &[]);
    let password = demo_password(&folder.path("state"), "1001");
    // The machine's address is its domain: what a newcomer types into a phone.
    let mut udp = Phone::udp(server.addr("udp"), "1001", "127.0.0.1");
    let ok = udp.register(DigestAlgorithm::Md5, &password);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    let mut tcp = Phone::tcp(server.addr("tcp"), "1001", "localhost");
    let ok = tcp.register(DigestAlgorithm::Md5, &password);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    assert_eq!(
        ok.matches("Contact:").count() + ok.matches(", <sip:").count(),
        2,
        "both phones are bindings: {ok}"
    );
    let mut stranger = Phone::udp(server.addr("udp"), "1002", "127.0.0.1");
    let refused = stranger.register(DigestAlgorithm::Md5, "guess");
    assert!(refused.starts_with("SIP/2.0 401 "), "{refused}");
}

#[test]
fn it_says_where_it_listens_and_keeps_passwords_out_of_pipes() {
    let folder = Folder::new();
    let server = Running::local(&folder, &["--http", "127.0.0.1:0"]);
    let password = demo_password(&folder.path("state"), "1002");
    for wanted in [
        "Strowger",
        "udp:127.0.0.1:",
        "tcp:127.0.0.1:",
        "1001, 1002, 1003",
        "accounts.toml",
        "/metrics",
        "Domain",
    ] {
        assert!(server.banner.contains(wanted), "{wanted} in {}", server.banner);
    }
    assert!(!server.banner.contains(&password));
    let (status, metrics) = get(server.http(), "/metrics");
    assert!(status.contains("200") && metrics.contains("strowger_registered_aors 0"), "{metrics}");
}

/// The SIP side reads them as it reads those of any issuer, and so may everybody else.
#[test]
fn its_keys_are_published_and_asked_for_no_more_often_than_they_change() {
    let folder = Folder::new();
    let mut server = Running::local(&folder, &["--http", "127.0.0.1:0"]);
    let log = server.wait_for_log("keys fetched");
    assert!(log.contains("jwks.json"), "{log}");
    let ask = |more: &str| {
        let mut stream = TcpStream::connect(server.http()).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        let request =
            format!("GET /auth/jwks.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let field = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.unwrap_or_default().to_owned()
        };
        let status = head.split(' ').nth(1).expect("a status").to_owned();
        (status, field("etag"), field("cache-control"), body.to_owned())
    };
    let (status, etag, cache, body) = ask("");
    let keys = fs::read_to_string(folder.path("state").join("jwks.json")).expect("what the SIP side reads");
    assert_eq!((&*status, &body), ("200", &keys));
    assert!(etag.starts_with('"') && cache.contains("max-age="), "{etag} {cache}");
    assert!(body.contains("\"RS256\"") && !body.contains("\"d\""), "{body}");
    let known = ask(&format!("If-None-Match: \"other\", {etag}\r\n"));
    assert_eq!(known, ("304".into(), etag.clone(), cache.clone(), String::new()));
    assert_eq!(ask("If-None-Match: \"other\"\r\n"), (status, etag, cache, body));
}

/// What a pseudo-terminal shows of a start.
#[cfg(unix)]
fn shown(folder: &Folder) -> (String, String) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&terminal).and_then(|()| unlockpt(&terminal)).expect("ours");
    let name = ptsname(&terminal, Vec::new()).expect("its name");
    let other = fs::File::options().write(true).open(name.to_str().expect("ASCII")).expect("its other side");
    let state = folder.path("state");
    let mut command =
        common::strowger(&["serve", "--listen", "udp:127.0.0.1:0", "--http", "off", "--state-dir"]);
    let mut child = command.arg(state).stdout(other).spawn().expect("the binary runs");
    // The other side must be its alone, or its end would not be noticed.
    drop(command);
    let mut reader = BufReader::new(fs::File::from(terminal));
    let mut banner = String::new();
    while !banner.contains("To register a softphone") {
        assert!(reader.read_line(&mut banner).is_ok_and(|read| read > 0), "{banner}");
    }
    child.kill().expect("running");
    let mut log = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut log).expect("text");
    child.wait().expect("ended");
    (banner, log)
}

#[cfg(unix)]
#[test]
fn the_first_password_of_the_administrator_is_shown_once_to_a_person_and_never_to_a_log() {
    let password = |folder: &Folder| {
        let file = fs::read_to_string(folder.path("state").join("admin.txt")).expect("the first password");
        file.trim().to_owned()
    };
    let folder = Folder::new();
    let (banner, log) = shown(&folder);
    let first = password(&folder);
    assert_eq!(banner.matches(&first).count(), 1, "{banner}");
    assert!(!log.contains(&first), "{log}");
    let (banner, log) = shown(&folder);
    assert!(
        !banner.contains(&first) && banner.contains("admin.txt") && !log.contains(&first),
        "{banner}{log}"
    );
    assert_eq!(password(&folder), first, "there is one first password");
    // Into a pipe, a file or a journal: never.
    let folder = Folder::new();
    let server = Running::local(&folder, &["--log-level", "trace"]);
    let (banner, first) = (server.banner.clone(), password(&folder));
    server.signal(Signal::TERM);
    let (_, log) = server.wait();
    assert!(!banner.contains(&first) && !log.contains(&first) && log.len() > 100, "{banner}{log}");
}

#[cfg(unix)]
#[test]
fn what_it_keeps_is_for_its_owner_only_and_stays() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let read = |name: &str| fs::read_to_string(folder.path("state").join(name)).expect(name);
    drop(Running::local(&folder, &[]));
    let (secret, accounts, boot) = (read("secret"), read("accounts.toml"), read("boot"));
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    let (mut folders, mut files) = (vec![folder.path("state")], Vec::new());
    while let Some(inner) = folders.pop() {
        assert_eq!(mode(&inner), 0o700, "{}", inner.display());
        for entry in fs::read_dir(inner).expect("a folder") {
            let entry = entry.expect("readable");
            let is_folder = entry.file_type().expect("known").is_dir();
            if is_folder { folders.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    for file in &files {
        assert_eq!(mode(file), 0o600, "{}", file.display());
    }
    // Databases with their journals, a key, and what the server wrote itself.
    for name in
        ["secret", "accounts.toml", "admin.txt", "accounts.db", "accounts.db-wal", "state.db", "jwks.json"]
    {
        assert!(files.contains(&folder.path("state").join(name)), "{name} in {files:?}");
    }
    assert!(files.iter().any(|file| file.starts_with(folder.path("state").join("keys"))), "{files:?}");
    drop(Running::local(&folder, &[]));
    assert_eq!((read("secret"), read("accounts.toml")), (secret, accounts));
    assert_ne!(read("boot"), boot);
}

#[test]
fn a_nonce_from_before_a_restart_is_stale_and_not_wrong() {
    let folder = Folder::new();
    let server = Running::local(&folder, &["--domain", "example.com"]);
    let password = demo_password(&folder.path("state"), "1001");
    let mut phone = Phone::udp(server.addr("udp"), "1001", "example.com");
    let challenge = phone.ask("REGISTER", "");
    drop(server);
    let server = Running::local(&folder, &["--domain", "example.com"]);
    let mut phone = Phone::udp(server.addr("udp"), "1001", "example.com");
    let credentials = phone.answer(&challenge, DigestAlgorithm::Md5, &password, 1);
    let again = phone.ask("REGISTER", &credentials);
    assert!(again.starts_with("SIP/2.0 401 ") && again.contains("stale=true"), "{again}");
    let credentials = phone.answer(&again, DigestAlgorithm::Md5, &password, 1);
    assert!(phone.ask("REGISTER", &credentials).starts_with("SIP/2.0 200 "));
}

#[test]
fn it_ends_in_order_when_told_to() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = Folder::new();
        let server = Running::local(&folder, &[]);
        let mut phone = Phone::udp(server.addr("udp"), "1001", "127.0.0.1");
        assert!(phone.ask("OPTIONS", "").starts_with("SIP/2.0 200 "));
        server.signal(signal);
        let (status, log) = server.wait();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.contains("draining") && log.contains("stopped"), "{log}");
    }
}

/// The listeners there are without any argument (`server/src/plan.rs` shows which), but for their port, which may be taken on
/// the machine of the test.
#[test]
fn phones_register_over_udp_and_tcp_and_ipv4_and_ipv6_on_all_addresses() {
    let folder = Folder::new();
    let state = folder.path("state");
    let mut args = vec!["--state-dir", state.to_str().expect("utf-8"), "--http", "off"];
    for listener in ["udp:0.0.0.0:0", "tcp:0.0.0.0:0", "udp:[::]:0", "tcp:[::]:0"] {
        args.extend(["--listen", listener]);
    }
    let server = Running::start(&args);
    let password = demo_password(&state, "1001");
    let ports = |proto: &str| -> Vec<SocketAddr> {
        let of_proto = |word: &str| word.strip_prefix(&format!("{proto}:"))?.parse().ok();
        server.banner.split_whitespace().filter_map(of_proto).collect()
    };
    for (proto, phone) in [("udp", Phone::udp as fn(SocketAddr, &str, &str) -> Phone), ("tcp", Phone::tcp)] {
        for listener in ports(proto) {
            let (ip, domain) = match listener {
                SocketAddr::V4(_) => (IpAddr::from([127, 0, 0, 1]), "127.0.0.1"),
                SocketAddr::V6(_) => (IpAddr::V6(Ipv6Addr::LOCALHOST), "[::1]"),
            };
            let mut phone = phone(SocketAddr::new(ip, listener.port()), "1001", domain);
            let served = phone.ask("OPTIONS", "");
            let ok = phone.register(DigestAlgorithm::Md5, &password);
            assert!(ok.contains(&phone.local.to_string()), "{ok}");
            for answer in [served, ok] {
                assert!(answer.starts_with("SIP/2.0 200 "), "{proto}:{listener}: {answer}");
                assert!(
                    !answer.contains("0.0.0.0") && !answer.contains("[::]"),
                    "a wildcard leaked: {answer}"
                );
            }
        }
        assert_eq!(ports(proto).len(), 2, "{}", server.banner);
    }
}

#[test]
fn help_teaches() {
    let help = common::run(&["--help"]);
    let help = text(&help.stdout);
    for wanted in ["Examples:", "strowger check /etc", "--listen", "--public", "Signals:"] {
        assert!(help.contains(wanted), "{wanted} in {help}");
    }
}
