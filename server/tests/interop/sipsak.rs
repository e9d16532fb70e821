//! sipsak: an OPTIONS ping, and a binding with Digest.

use std::process::Command;
use std::time::Duration;

use super::client;
use super::launch::Server;

const LIMIT: Duration = Duration::from_secs(40);

/// Over TCP as well, where it was built with that (0.9.7).
const TRANSPORTS: [&str; 2] = ["udp", "tcp"];

#[test]
fn sipsak_pings_over_udp_and_tcp() {
    if !client::is_there("sipsak") {
        return;
    }
    let server = Server::start("sipsak-ping", "");
    for transport in TRANSPORTS {
        let mut sipsak = Command::new("sipsak");
        sipsak
            .args(["-vvv", "-E", transport, "-s", "sip:probe@127.0.0.1", "-p"])
            .arg(server.addr.to_string());
        let output = client::run(&mut sipsak, LIMIT);
        let said = client::said(&output);
        assert!(output.status.success() && said.contains("200 OK"), "{said}");
        // What it sent, and what came back of it.
        assert!(said.contains(&format!("Via: SIP/2.0/{} ", transport.to_uppercase())), "{said}");
    }
}

#[test]
fn sipsak_registers_with_digest_over_udp_and_tcp() {
    if !client::is_there("sipsak") {
        return;
    }
    let server = Server::start(
        "sipsak-register",
        "[[account]]\nusername = \"alice\"\npassword = \"wonderland\"\n[auth.digest]\nalgorithms = [\"MD5\"]\n",
    );
    let register = |transport: &str, password: &str| {
        let mut sipsak = Command::new("sipsak");
        sipsak.args(["-vvv", "-U", "-E", transport, "-C", "sip:alice@127.0.0.1:5099", "-x", "600"]);
        sipsak.args(["-u", "alice", "-a", password, "-s", "sip:alice@127.0.0.1", "-p"]);
        sipsak.arg(server.addr.to_string());
        client::run(&mut sipsak, LIMIT)
    };
    for transport in TRANSPORTS {
        let output = register(transport, "wonderland");
        let said = client::said(&output);
        assert!(output.status.success() && said.contains("200 OK"), "{said}");
        assert!(!register(transport, "looking-glass").status.success());
    }
}
