//! How the server ends: by one signal when it is done, by a second one at once, and never with a request half served.
#![allow(clippy::disallowed_methods)] // Tests of a process have the process's clock.

mod common;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use common::dialog::{ask, call, take, within};
use common::{Folder, PATIENCE, Phone, Running, answered, header, metric, until};
use rustix::process::Signal;

/// Nobody is asked who he is, and a call may go on for longer than any test.
const OPEN: &str = "[server]\ndrain_timeout = \"1h\"\n[[domain]]\nname = \"example.com\"\n[auth.policy]\n\
     register = \"open\"\ninvite = \"open\"\nmessage = \"open\"\nsubscribe = \"open\"\npublish = \"open\"\n";

/// A server with a call, which keeps it from ending: alice, bob, and what she knows of their dialog.
fn in_a_call(folder: &Folder) -> (Running, Phone, Phone, String) {
    let file = folder.write("strowger.toml", OPEN);
    let server = Running::local(folder, &["-c", file.to_str().expect("utf-8")]);
    let [mut alice, mut bob] =
        ["alice", "bob"].map(|user| Phone::udp(server.addr("udp"), user, "example.com"));
    assert!(bob.ask("REGISTER", "Expires: 600\r\n").starts_with("SIP/2.0 200 "));
    let (dialog, _) = call(&mut alice, &mut bob);
    (server, alice, bob, dialog)
}

#[test]
fn a_second_signal_ends_it_at_once_whatever_goes_on() {
    for (first, second) in
        [(Signal::TERM, Signal::TERM), (Signal::TERM, Signal::INT), (Signal::INT, Signal::TERM)]
    {
        let folder = Folder::new();
        let (mut server, mut alice, _bob, _) = in_a_call(&folder);
        server.signal(first);
        server.wait_for_log("draining; a second signal ends at once");
        answered(|| alice.ask("OPTIONS", ""), 503);
        assert!(server.child.try_wait().expect("a child of ours").is_none(), "the call goes on");
        let told = Instant::now();
        server.signal(second);
        let (status, log) = server.wait();
        assert!(told.elapsed() < PATIENCE, "an hour would be left");
        // It did what it was told: no failure for whoever supervises it.
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.contains("told again to end: ending now") && !log.contains("stopped"), "{log}");
    }
}

/// A pipe that takes nothing stops whoever writes to it: that must be nobody who serves or obeys.
#[test]
fn a_server_whose_log_nobody_reads_serves_reloads_and_ends() {
    let folder = Folder::new();
    let file = folder.write("strowger.toml", OPEN);
    let args = ["-c", file.to_str().expect("utf-8"), "--http", "127.0.0.1:0", "--log-level", "debug"];
    let mut server = Running::local(&folder, &args);
    let mut phone = Phone::udp(server.addr("udp"), "alice", "example.com");
    let nonsense = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let lost = || metric(&server, "strowger_log_lines_lost_total");
    let more = || {
        for _ in 0..1000 {
            nonsense.send_to(b"nonsense", server.addr("udp")).expect("sent");
        }
        lost()
    };
    assert!(until(more, |lost| *lost > 0) > 0);
    let before = lost();
    server.signal(Signal::HUP);
    assert!(until(lost, |lost| *lost > before) > before, "it has something to say of the reload");
    assert!(phone.ask("REGISTER", "Expires: 600\r\n").starts_with("SIP/2.0 200 "));
    server.signal(Signal::TERM);
    let ended = until(|| server.child.try_wait().expect("a child of ours"), Option::is_some);
    assert_eq!(ended.and_then(|status| status.code()), Some(0));
}

/// A phone that refreshes its registration until it is told to stop, and counts; each is answered with 200. Over TCP nothing
/// is sent twice, so that one answer that is lost is missed.
fn refreshes(to: SocketAddr, user: &str, count: &AtomicUsize, enough: &AtomicBool) {
    let mut phone = Phone::tcp(to, user, "example.com");
    while !enough.load(Ordering::Relaxed) {
        let answer = phone.ask("REGISTER", "Expires: 600\r\n");
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// DECISIONS 20.
#[test]
fn a_server_that_is_told_to_end_under_load_answers_every_request_refuses_new_ones_and_lets_the_last_call_end()
{
    const PHONES: usize = 8;
    /// Requests served before the signal, and after it.
    const LEAST: usize = 200;
    let folder = Folder::new();
    let (mut server, mut alice, mut bob, dialog) = in_a_call(&folder);
    let (udp, tcp) = (server.addr("udp"), server.addr("tcp"));
    let (count, enough) = (AtomicUsize::new(0), AtomicBool::new(false));
    let served = || {
        std::thread::yield_now();
        count.load(Ordering::Relaxed)
    };
    let serves = |so_many: usize| {
        let count = until(served, |count| *count >= so_many);
        assert!(count >= so_many, "there is no load: {count}");
    };
    std::thread::scope(|scope| {
        for number in 0..PHONES {
            let (count, enough) = (&count, &enough);
            scope.spawn(move || refreshes(tcp, &format!("phone{number}"), count, enough));
        }
        serves(LEAST);
        server.signal(Signal::TERM);
        let mut carol = Phone::udp(udp, "carol", "example.com");
        let refused = answered(|| carol.ask("OPTIONS", ""), 503);
        assert!(header(&refused, "Retry-After").is_some(), "{refused}");
        for (method, more) in [("INVITE", ""), ("MESSAGE", ""), ("SUBSCRIBE", "Event: presence\r\n")] {
            let request = carol.request(method, more).replacen("sip:example.com", "sip:bob@example.com", 1);
            let refused = ask(&mut carol, &request);
            assert!(refused.starts_with("SIP/2.0 503 "), "{method}: {refused}");
            assert!(header(&refused, "Retry-After").is_some(), "{refused}");
        }
        serves(served() + LEAST);
        enough.store(true, Ordering::Relaxed);
    });
    assert!(server.child.try_wait().expect("a child of ours").is_none(), "the call goes on");
    // What belongs to the call is served to its end.
    let info = within(&alice, &dialog, "INFO", 99);
    alice.send(info.as_bytes());
    take(&mut bob, "INFO");
    let ok = ask(&mut alice, &info);
    assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
    let bye = within(&alice, &dialog, "BYE", 100);
    alice.send(bye.as_bytes());
    take(&mut bob, "BYE");
    let ended = ask(&mut alice, &bye);
    assert!(ended.starts_with("SIP/2.0 200 "), "{ended}");
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    // Those of the phones over TCP; Bob's is the other one.
    let logged = log.lines().filter(|line| line.contains("REGISTER") && line.contains("phone")).count();
    assert_eq!(logged, served(), "{log}");
}
