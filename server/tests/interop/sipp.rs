//! SIPp with scenarios of our own: register, refresh, query and unregister, with Digest, 10,000 users in one go.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::client::{self, Tunnel};
use super::common::metric_at;
use super::launch::{Server, free};

const LIMIT: Duration = Duration::from_secs(240);

struct Load {
    scenario: &'static str,
    users: u32,
    rate: u32,
    via: Via,
}

/// What SIPp speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Via {
    Udp,
    Tcp,
    /// Through a tunnel: the packaged SIPp was built without it.
    Tls,
}

impl Via {
    /// As it stands in Via.
    fn name(self) -> &'static str {
        match self {
            Via::Udp => "UDP",
            Via::Tcp => "TCP",
            Via::Tls => "TLS",
        }
    }
}

/// Runs a scenario once for each user; SIPp checks every answer and fails if one is not as it should be.
fn sipp(server: &Server, load: &Load) {
    let dir = server.dir();
    let users = dir.join("users.csv");
    let mut lines = String::from("SEQUENTIAL\n");
    for user in 0..load.users {
        let _ = writeln!(lines, "u{user:05};[authentication username=u{user:05} password=secret{user:05}]");
    }
    fs::write(&users, lines).expect("a file for the test");
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/scenarios");
    let mut sipp = Command::new("sipp");
    let tunnel = (load.via == Via::Tls).then(|| Tunnel::open(dir, free(), server.tls));
    let to = tunnel.as_ref().map_or(server.addr, |tunnel| tunnel.addr);
    sipp.arg(to.to_string()).current_dir(dir);
    sipp.arg("-sf").arg(scenarios.join(load.scenario)).arg("-inf").arg(&users);
    sipp.args([
        "-i",
        "127.0.0.1",
        "-p",
        &free().port().to_string(),
        "-t",
        if load.via == Via::Udp { "u1" } else { "t1" },
        "-key",
        "via",
        load.via.name(),
        "-nostdin",
        "-trace_err",
        "-error_file",
        "errors",
    ]);
    sipp.args(["-m", &load.users.to_string(), "-r", &load.rate.to_string(), "-l", "2000", "-timeout", "200"]);
    // A loaded machine may lose datagrams: they come again by timer E, not by failing the call.
    sipp.args(["-timeout_error", "-recv_timeout", "60000", "-buff_size", "4194304"]);
    let output = client::run(&mut sipp, LIMIT);
    let errors = fs::read_to_string(dir.join("errors")).unwrap_or_default();
    let errors: String = errors.lines().take(60).map(|line| format!("{line}\n")).collect();
    let said = client::said(&output);
    let end: Vec<&str> = said.lines().rev().take(60).collect();
    let end = end.into_iter().rev().collect::<Vec<_>>().join("\n");
    assert!(output.status.success(), "{} ended with {}:\n{errors}\n{end}", load.scenario, output.status);
}

fn accounts(count: u32) -> String {
    let mut config = String::new();
    for user in 0..count {
        let _ = write!(config, "[[account]]\nusername = \"u{user:05}\"\npassword = \"secret{user:05}\"\n");
    }
    config + "[auth.digest]\nalgorithms = [\"MD5\"]\n"
}

#[test]
fn sipp_registers_refreshes_queries_and_unregisters_over_udp_and_tcp() {
    if !client::is_there("sipp") {
        return;
    }
    let server = Server::start("sipp-life", "[auth.policy]\nregister = \"open\"\n");
    for via in [Via::Udp, Via::Tcp] {
        sipp(&server, &Load { scenario: "life.xml", users: 200, rate: 200, via });
        assert_eq!(metric_at(server.http(), "strowger_registered_aors"), 0, "{via:?}");
    }
}

/// Registers so many users, who are all there then.
fn registers(name: &str, users: u32, rate: u32, via: Via) {
    if !client::is_there("sipp") {
        return;
    }
    let server = Server::start(name, &accounts(users));
    sipp(&server, &Load { scenario: "digest.xml", users, rate, via });
    for metric in ["strowger_registered_aors", "strowger_registered_contacts"] {
        assert_eq!(metric_at(server.http(), metric), u64::from(users), "{metric}");
    }
}

#[test]
fn sipp_registers_with_digest_over_tcp() {
    registers("sipp-tcp", 100, 100, Via::Tcp);
}

#[test]
fn sipp_registers_with_digest_over_tls() {
    if client::is_there("stunnel") {
        registers("sipp-tls", 100, 100, Via::Tls);
    }
}

#[test]
fn sipp_registers_ten_thousand_users_with_digest() {
    registers("sipp-10000", 10_000, 1_000, Via::Udp);
}
