//! SIPp with scenarios of our own: a callee that registers and waits, and a caller; each checks what it is sent.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::accounts;
use super::client;
use super::launch::{Server, free};

const LIMIT: Duration = Duration::from_secs(120);
const CALLS: u32 = 20;

/// One SIPp of a user at an address; fails if a message is not as its scenario says.
fn sipp(server: &Server, scenario: &str, user: &str, me: SocketAddr, transport: &str, calls: u32) {
    let name = format!("{}-{transport}", scenario.trim_end_matches(".xml"));
    let file = |kind: &str| server.dir().join(format!("{name}.{kind}"));
    let (users, errors) = (file("csv"), file("errors"));
    fs::write(&users, format!("SEQUENTIAL\n{user};[authentication username={user} password=wonderland]\n"))
        .expect("a file for the test");
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/calls/scenarios");
    let mut sipp = Command::new("sipp");
    sipp.arg(server.addr.to_string()).current_dir(server.dir());
    sipp.arg("-sf").arg(scenarios.join(scenario)).arg("-inf").arg(&users);
    sipp.args(["-i", "127.0.0.1", "-p", &me.port().to_string(), "-t", transport, "-nostdin"]);
    let whom = if scenario == "register.xml" { "example.com" } else { "bob@example.com" };
    sipp.args(["-auth_uri", whom]);
    sipp.arg("-trace_err").arg("-error_file").arg(&errors);
    sipp.args(["-m", &calls.to_string(), "-r", "10", "-timeout", "100", "-timeout_error"]);
    sipp.args(["-recv_timeout", "60000"]);
    let output = client::run(&mut sipp, LIMIT);
    let errors = fs::read_to_string(errors).unwrap_or_default();
    let errors: String = errors.lines().take(60).map(|line| format!("{line}\n")).collect();
    assert!(output.status.success(), "{name} ended with {}:\n{errors}", output.status);
}

/// Bob registers and waits, alice calls him; both scenarios come to their ends.
fn call(name: &str, caller: &str, callee: &str, transport: &str) {
    if !client::is_there("sipp") {
        return;
    }
    let server = Server::start(&format!("calls-{name}-{transport}"), &accounts(&["alice", "bob"]));
    let (alice, bob) = (free(), free());
    sipp(&server, "register.xml", "bob", bob, "u1", 1);
    thread::scope(|scope| {
        let wait = || sipp(&server, callee, "bob", bob, "u1", CALLS);
        let callee = thread::Builder::new().name("callee".into()).spawn_scoped(scope, wait);
        sipp(&server, caller, "alice", alice, transport, CALLS);
        callee.expect("a thread").join().expect("the callee is content");
    });
}

#[test]
fn sipp_calls_sipp_over_udp_and_tcp() {
    for transport in ["u1", "t1"] {
        call("basic", "caller.xml", "callee.xml", transport);
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
