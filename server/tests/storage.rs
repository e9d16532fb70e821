//! What survives: the end of the server by a signal and by force, a disk that is full, and files it cannot use.
#![allow(clippy::disallowed_methods)] // Tests of a process have the process's clock.

#[path = "storage/calls.rs"]
mod calls;
mod common;
#[path = "storage/disk.rs"]
mod disk;
#[path = "storage/forgotten.rs"]
mod forgotten;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use common::dialog::{ask, cseq, take, with_body};
use common::{Folder, Phone, Running, becomes, header, metric, run, strowger, text, until};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};

const OPEN: &str = "[[domain]]\nname = \"example.com\"\n\
     [auth.policy]\nregister = \"open\"\npublish = \"open\"\nsubscribe = \"open\"\nmessage = \"open\"\n\
     [presence]\nwatchers = \"everyone\"\n[registrar]\nnat_keepalive = \"0s\"\n";

/// Longer than an interval and a commit take, on a machine that has much to do.
const LATE: Duration = Duration::from_secs(1);

fn config(folder: &Folder, storage: &str) -> String {
    let file = folder.write("strowger.toml", &format!("{OPEN}[storage]\n{storage}\n"));
    file.to_str().expect("utf-8").into()
}

/// A server at a port, 0 for a free one.
fn start(folder: &Folder, config: &str, port: u16) -> Running {
    let (state, listen) = (folder.path("state"), format!("udp:127.0.0.1:{port}"));
    let state = state.to_str().expect("utf-8");
    let http = ["--http", "127.0.0.1:0", "--log-level", "warn"];
    let args =
        ["serve", "-c", config, "--state-dir", state, "--listen", &listen, "--listen", "tcp:127.0.0.1:0"];
    Running::start(&[&args[..], &http].concat())
}

/// Waits until so many changes are stored.
fn stored(server: &Running, changes: u64) {
    let all = || metric(server, "strowger_store_committed_total");
    assert!(until(all, |all| *all >= changes) >= changes);
}

fn everything_survives(end: impl FnOnce(Running)) {
    let folder = Folder::new();
    let config = config(&folder, "interval = \"20ms\"");
    let server = start(&folder, &config, 0);
    let port = server.addr("udp").port();
    let to = SocketAddr::from(([127, 0, 0, 1], port));

    let mut bob = Phone::udp(to, "bob", "example.com");
    assert!(bob.ask("REGISTER", "Expires: 600\r\n").starts_with("SIP/2.0 200 "));
    let mut alice = Phone::udp(to, "alice", "example.com");
    let subscribe = alice.request("SUBSCRIBE", "Event: presence\r\nExpires: 600\r\n");
    let subscribe = subscribe.replacen("sip:example.com", "sip:bob@example.com", 1);
    let subscribe = subscribe.replace("To: <sip:alice@", "To: <sip:bob@");
    assert!(ask(&mut alice, &subscribe).starts_with("SIP/2.0 200 "));
    take(&mut alice, "NOTIFY");
    let body = "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@example.com\"><tuple id=\"t\"><status>\
                <basic>open</basic></status><note>At the lighthouse</note></tuple></presence>";
    let publish =
        bob.request("PUBLISH", "Event: presence\r\nExpires: 600\r\nContent-Type: application/pidf+xml\r\n");
    let publish = publish.replacen("sip:example.com", "sip:bob@example.com", 1);
    let published = ask(&mut bob, &with_body(&publish, body));
    let etag = header(&published, "SIP-ETag").expect("an entity tag").to_owned();
    let told = take(&mut alice, "NOTIFY");
    let message = bob.request("MESSAGE", "Content-Type: text/plain\r\n");
    let message = message.replacen("sip:example.com", "sip:carol@example.com", 1);
    let message = message.replace("To: <sip:bob@", "To: <sip:carol@");
    let kept = ask(&mut bob, &with_body(&message, "Come to the lighthouse"));
    assert!(kept.starts_with("SIP/2.0 202 "), "{kept}");
    stored(&server, 4);
    end(server);

    let server = start(&folder, &config, port);
    assert_eq!(metric(&server, "strowger_registered_contacts"), 1);
    assert_eq!(metric(&server, "strowger_publications"), 1);
    assert_eq!(metric(&server, "strowger_stored_messages"), 1);
    // The watcher is told again, with a number that was never used, in the same dialog, all there is.
    let again = take(&mut alice, "NOTIFY");
    assert!(cseq(&again) > cseq(&told), "{again}");
    // It never ended (DECISIONS 20).
    assert!(again.contains("\r\nSubscription-State: active"), "{again}");
    assert_eq!(header(&again, "Call-ID"), header(&told, "Call-ID"));
    assert_eq!(header(&again, "From"), header(&told, "From"));
    assert!(again.contains("At the lighthouse"), "{again}");
    let refresh =
        bob.request("PUBLISH", &format!("Event: presence\r\nExpires: 600\r\nSIP-If-Match: {etag}\r\n"));
    let refreshed = ask(&mut bob, &refresh.replacen("sip:example.com", "sip:bob@example.com", 1));
    assert!(refreshed.starts_with("SIP/2.0 200 "), "{refreshed}");
    let mut carol = Phone::udp(to, "carol", "example.com");
    assert!(carol.ask("REGISTER", "Expires: 600\r\n").starts_with("SIP/2.0 200 "));
    assert!(take(&mut carol, "MESSAGE").ends_with("Come to the lighthouse"));
    let fetched = bob
        .request("REGISTER", "")
        .replace(&format!("Contact: <sip:bob@{};transport=udp>\r\n", bob.local), "");
    let fetched = ask(&mut bob, &fetched);
    assert!(fetched.contains(&format!("Contact: <sip:bob@{}", bob.local)), "{fetched}");
}

#[test]
fn everything_is_there_again_after_a_restart() {
    everything_survives(|server| {
        server.signal(Signal::TERM);
        let (status, log) = server.wait();
        assert!(status.success(), "{log}");
    });
}

#[test]
fn everything_is_there_again_after_a_kill() {
    everything_survives(drop);
}

/// Registers one user after the other until the server is gone; who was told that it worked, and when.
fn flood(to: SocketAddr, name: &str) -> Vec<(String, Instant)> {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(to).expect("connected");
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("set");
    let local = socket.local_addr().expect("bound");
    let mut registered = Vec::new();
    for number in 0.. {
        let user = format!("{name}{number}");
        let request = format!(
            "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{user};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:{user}@example.com>;tag=f\r\nTo: <sip:{user}@example.com>\r\nCall-ID: {user}\r\nCSeq: 1 REGISTER\r\n\
             Contact: <sip:{user}@{local}>\r\nExpires: 600\r\nContent-Length: 0\r\n\r\n"
        );
        let mut buf = [0; 4096];
        let own = format!("\r\nCall-ID: {user}\r\n");
        let answer = loop {
            match socket.send(request.as_bytes()).and_then(|_| socket.recv(&mut buf)) {
                // A disk may take longer than that: it is sent again, and what answers both of one before is passed over.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Ok(len) if !text(&buf[..len]).contains(&own) => {}
                answer => break answer,
            }
        };
        match answer {
            Ok(len) if buf[..len].starts_with(b"SIP/2.0 200 ") => registered.push((user, Instant::now())),
            Ok(_) => {}
            // Nobody is there any more.
            Err(_) => break,
        }
    }
    registered
}

/// Kills a server under load, several times; after each start `check` is given what the peers were told, each how long
/// before the end, and what is there.
fn kill_loop(storage: &str, check: impl Fn(&BTreeMap<String, Duration>, u64, &mut dyn FnMut(&str) -> bool)) {
    let folder = Folder::new();
    let config = config(&folder, storage);
    let mut told = BTreeMap::new();
    for round in 0..3 {
        let server = start(&folder, &config, 0);
        let to = server.addr("udp");
        let begin = Instant::now();
        let crowds: Vec<_> = (0..4)
            .map(|crowd| std::thread::spawn(move || flood(to, &format!("r{round}c{crowd}n"))))
            .collect();
        stored(&server, 100 + 50 * round);
        until(|| begin.elapsed(), |since| *since > 2 * LATE);
        let end = Instant::now();
        drop(server);
        for crowd in crowds {
            let registered = crowd.join().expect("it ended");
            told.extend(registered.into_iter().map(|(user, at)| (user, end.saturating_duration_since(at))));
        }
        let server = start(&folder, &config, 0);
        let restored = metric(&server, "strowger_registered_contacts");
        let mut phone = Phone::udp(server.addr("udp"), "nobody", "example.com");
        let mut is_there = |user: &str| {
            user.clone_into(&mut phone.user);
            let contact = format!("Contact: <sip:{user}@{};transport=udp>\r\n", phone.local);
            let query = phone.request("REGISTER", "").replace(&contact, "");
            ask(&mut phone, &query).contains(&format!("Contact: <sip:{user}@"))
        };
        check(&told, restored, &mut is_there);
    }
}

#[test]
fn strict_has_every_binding_back_that_was_acknowledged() {
    kill_loop("mode = \"strict\"", |told, restored, is_there| {
        assert!(restored >= told.len() as u64);
        for user in told.keys() {
            assert!(is_there(user), "{user} was told that it is registered");
        }
    });
}

#[test]
fn write_behind_has_everything_back_but_what_came_in_the_last_interval() {
    // By the interval alone: never because there are so many.
    kill_loop("interval = \"50ms\"\nbatch = 1000000", |told, _, is_there| {
        let due: Vec<_> = told.iter().filter(|(_, before)| **before > LATE).collect();
        assert!(due.len() > 100, "{} of {}", due.len(), told.len());
        for (user, before) in due {
            assert!(is_there(user), "{user} was told so {before:?} before the end");
        }
    });
}

/// A server that can write files up to a size only: to it, the disk is full then.
fn start_on_small_disk(folder: &Folder, config: &str, blocks: u32) -> Running {
    start_on_small_disk_with_log(folder, config, blocks, "warn,strowger::storage=info")
}

fn start_on_small_disk_with_log(folder: &Folder, config: &str, blocks: u32, log: &str) -> Running {
    let state = folder.path("state");
    let program = strowger(&[]).get_program().to_str().expect("utf-8").to_owned();
    let command = format!(
        "trap '' XFSZ; ulimit -S -f {blocks}; exec {program} serve -c {config} --state-dir {} --listen udp:127.0.0.1:0 \
         --listen tcp:127.0.0.1:0 --http 127.0.0.1:0 --log-level {log}",
        state.display()
    );
    Running::spawn(std::process::Command::new("sh").args(["-c", &command]))
}

/// The disk of a running server has room again.
fn make_room(server: &Running) {
    let none = Rlimit { current: None, maximum: None };
    prlimit(Some(Pid::from_child(&server.child)), Resource::Fsize, none).expect("the limit is ours");
}

fn publish(phone: &mut Phone) -> String {
    let more = "Event: presence\r\nExpires: 600\r\nContent-Type: application/pidf+xml\r\n";
    let publish = phone.request("PUBLISH", more);
    let publish = publish.replacen("sip:example.com", &format!("sip:{}@example.com", phone.user), 1);
    let body = format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:{}@example.com\"><tuple id=\"t\"><status><basic>open\
         </basic></status></tuple></presence>",
        phone.user
    );
    ask(phone, &with_body(&publish, &body))
}

#[test]
fn strict_answers_500_and_504_while_the_disk_is_full_and_200_when_there_is_room_again() {
    let folder = Folder::new();
    let config = config(&folder, "mode = \"strict\"");
    let mut server = start_on_small_disk(&folder, &config, 300);
    let mut phone = Phone::udp(server.addr("udp"), "u", "example.com");
    let mut registered = 0;
    let refused = loop {
        phone.user = format!("u{registered}");
        let answer = phone.ask("REGISTER", "Expires: 600\r\n");
        if !answer.starts_with("SIP/2.0 200 ") {
            break answer;
        }
        registered += 1;
        assert!(registered < 5000, "the disk is larger than it should be");
    };
    assert!(refused.starts_with("SIP/2.0 500 "), "{refused}");
    assert!(publish(&mut phone).starts_with("SIP/2.0 504 "));
    server.wait_for_log("state cannot be stored");
    assert_eq!(metric(&server, "strowger_registered_contacts"), registered, "what failed was taken back");
    assert!(metric(&server, "strowger_store_failures_total") >= 2);
    assert_eq!(metric(&server, "strowger_store_held_messages"), 0);
    make_room(&server);
    let answer = phone.ask("REGISTER", "Expires: 600\r\n");
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    assert!(publish(&mut phone).starts_with("SIP/2.0 200 "));
    server.wait_for_log("state is stored again");
    drop(server);
    // All that was acknowledged is there, and nothing that was refused.
    assert_eq!(metric(&start(&folder, &config, 0), "strowger_registered_contacts"), registered + 1);
}

#[test]
fn a_log_that_nobody_reads_loses_lines_and_stops_nothing() {
    let folder = Folder::new();
    let config = config(&folder, "interval = \"5ms\"");
    let mut server = start_on_small_disk_with_log(&folder, &config, 100, "info");
    let mut phone = Phone::udp(server.addr("udp"), "u", "example.com");
    // Two lines for each: more than the pipe and the queue hold.
    for n in 0..6000 {
        phone.user = format!("u{n}");
        let answer = phone.ask("REGISTER", "Expires: 600\r\n");
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    }
    assert!(metric(&server, "strowger_store_failures_total") > 0, "the disk is larger than it should be");
    assert!(metric(&server, "strowger_log_lines_lost_total") > 0);
    // Whoever begins to read finds a log that goes on.
    server.wait_for_log("state cannot be stored");
}

#[test]
fn write_behind_serves_on_while_the_disk_is_full_and_stores_all_of_it_when_there_is_room_again() {
    let folder = Folder::new();
    let config = config(&folder, "interval = \"5ms\"");
    let mut server = start_on_small_disk(&folder, &config, 100);
    let mut phone = Phone::udp(server.addr("udp"), "u", "example.com");
    let mut registered = 0;
    while metric(&server, "strowger_store_failures_total") == 0 {
        for _ in 0..50 {
            phone.user = format!("u{registered}");
            let answer = phone.ask("REGISTER", "Expires: 600\r\n");
            assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
            registered += 1;
        }
        assert!(registered < 20_000, "the disk is larger than it should be");
    }
    assert!(publish(&mut phone).starts_with("SIP/2.0 200 "));
    server.wait_for_log("state cannot be stored");
    assert_eq!(metric(&server, "strowger_registered_contacts"), registered);
    assert!(metric(&server, "strowger_store_pending") > 0);
    make_room(&server);
    server.wait_for_log("state is stored again");
    becomes(|| metric(&server, "strowger_store_pending"), 0);
    assert_eq!(metric(&server, "strowger_store_lost_total"), 0);
    drop(server);
    assert_eq!(metric(&start(&folder, &config, 0), "strowger_registered_contacts"), registered);
}

#[test]
fn a_server_that_cannot_store_its_last_changes_ends_all_the_same() {
    let folder = Folder::new();
    let config = config(&folder, "interval = \"5ms\"");
    let server = start_on_small_disk(&folder, &config, 100);
    let mut phone = Phone::udp(server.addr("udp"), "u", "example.com");
    for n in 0.. {
        phone.user = format!("u{n}");
        phone.ask("REGISTER", "Expires: 600\r\n");
        if n % 50 == 0 && metric(&server, "strowger_store_failures_total") > 0 {
            break;
        }
    }
    server.signal(Signal::TERM);
    assert!(server.wait().0.success(), "it ends although the last commit fails");
}

fn refused_to_start(folder: &Folder, wanted: &str) {
    let state = folder.path("state");
    let state = state.to_str().expect("utf-8");
    let ended = run(&["serve", "--state-dir", state, "--listen", "udp:127.0.0.1:0", "--http", "off"]);
    let said = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.contains("state.db") && said.contains(wanted), "{said}");
}

fn unchanged(path: &Path, folder: &Folder, wanted: &str) {
    let before = std::fs::read(path).expect("readable");
    refused_to_start(folder, wanted);
    assert_eq!(std::fs::read(path).expect("readable"), before);
}

#[test]
fn a_file_that_is_damaged_or_not_ours_is_left_alone_and_the_server_does_not_start() {
    let folder = Folder::new();
    let server = Running::local(&folder, &["--public"]);
    let path = folder.path("state").join("state.db");
    refused_to_start(&folder, "another server uses it");
    server.signal(Signal::TERM);
    assert!(server.wait().0.success());
    let good = std::fs::read(&path).expect("it was made");
    // The first page says what the file is.
    let page = usize::from(u16::from_be_bytes([good[16], good[17]]));
    assert!(good.len() > page);
    let bad: Vec<u8> =
        good.iter().enumerate().map(|(at, byte)| if at < page { *byte } else { !byte }).collect();
    std::fs::write(&path, bad).expect("written");
    unchanged(&path, &folder, "damaged");
    std::fs::write(&path, "dear diary").expect("written");
    unchanged(&path, &folder, "not a state file of Strowger");
    std::fs::write(&path, &good).expect("written");
    drop(Running::local(&folder, &[]));
}
