//! SIPp with scenarios of our own: watchers who subscribe, are told, refresh and leave; publishers who publish, refresh,
//! modify and remove.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::accounts;
use super::client;
use super::launch::{Server, free};

const LIMIT: Duration = Duration::from_secs(120);

pub(crate) struct Load {
    pub(crate) scenario: &'static str,
    pub(crate) users: u32,
    /// `u1` or `t1`: one socket for all.
    pub(crate) transport: &'static str,
    /// Whom the requests are sent to, which Digest covers too.
    pub(crate) whom: &'static str,
}

/// Runs a scenario once for each user; SIPp checks every message and fails if one is not as it should be.
pub(crate) fn sipp(server: &Server, load: &Load) {
    let name = load.scenario.trim_end_matches(".xml");
    let file = |kind: &str| server.dir().join(format!("{name}.{kind}"));
    let (users, errors) = (file("csv"), file("errors"));
    let mut lines = String::from("SEQUENTIAL\n");
    for user in (0..load.users).map(|n| named(load, n)) {
        let _ = writeln!(lines, "{user};[authentication username={user} password=wonderland]");
    }
    fs::write(&users, lines).expect("a file for the test");
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/presence/scenarios");
    let mut sipp = Command::new("sipp");
    sipp.arg(server.addr.to_string()).current_dir(server.dir());
    sipp.arg("-sf").arg(scenarios.join(load.scenario)).arg("-inf").arg(&users);
    sipp.args(["-i", "127.0.0.1", "-p", &free().port().to_string(), "-t", load.transport, "-nostdin"]);
    sipp.args(["-auth_uri", &format!("{}@example.com", load.whom)]);
    sipp.arg("-trace_err").arg("-error_file").arg(&errors);
    sipp.args(["-m", &load.users.to_string(), "-r", "100", "-timeout", "100", "-timeout_error"]);
    sipp.args(["-recv_timeout", "60000", "-buff_size", "4194304"]);
    let output = client::run(&mut sipp, LIMIT);
    let errors = fs::read_to_string(errors).unwrap_or_default();
    let errors: String = errors.lines().take(60).map(|line| format!("{line}\n")).collect();
    assert!(output.status.success(), "{name} ended with {}:\n{errors}", output.status);
}

/// Publishers publish for themselves; watchers have names of their own.
fn named(load: &Load, n: u32) -> String {
    match load.scenario {
        "busy.xml" | "publisher.xml" => load.whom.into(),
        _ => format!("u{n:05}"),
    }
}

fn server(name: &str, watchers: u32) -> Server {
    let users: Vec<String> = (0..watchers).map(|n| format!("u{n:05}")).collect();
    let mut users: Vec<&str> = users.iter().map(String::as_str).collect();
    users.push("bob");
    Server::start(name, &accounts(&users))
}

#[test]
fn sipp_watches_refreshes_and_leaves_over_udp_and_tcp() {
    if !client::is_there("sipp") {
        return;
    }
    for transport in ["u1", "t1"] {
        let server = server(&format!("watcher-{transport}"), 100);
        sipp(&server, &Load { scenario: "watcher.xml", users: 100, transport, whom: "bob" });
    }
}

#[test]
fn sipp_publishes_refreshes_modifies_and_removes_over_udp_and_tcp() {
    if !client::is_there("sipp") {
        return;
    }
    for transport in ["u1", "t1"] {
        let server = server(&format!("publisher-{transport}"), 0);
        sipp(&server, &Load { scenario: "publisher.xml", users: 10, transport, whom: "bob" });
    }
}

#[test]
fn sipp_watchers_are_told_what_a_sipp_publisher_says() {
    if !client::is_there("sipp") {
        return;
    }
    for transport in ["u1", "t1"] {
        let server = server(&format!("told-{transport}"), 100);
        thread::scope(|scope| {
            let watch = || sipp(&server, &Load { scenario: "told.xml", users: 100, transport, whom: "bob" });
            let watchers = thread::Builder::new().name("watchers".into()).spawn_scoped(scope, watch);
            let watchers = watchers.expect("a thread");
            let end = Instant::now() + LIMIT;
            let subscribed = || server.log().matches("method=\"SUBSCRIBE\" status=200").count();
            while subscribed() < 100 {
                assert!(Instant::now() < end && !watchers.is_finished(), "they do not subscribe");
                thread::sleep(Duration::from_millis(20));
            }
            sipp(&server, &Load { scenario: "busy.xml", users: 1, transport, whom: "bob" });
        });
    }
}
