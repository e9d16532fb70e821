//! sipsak: an OPTIONS ping, and a binding with Digest.

use std::process::Command;
use std::time::Duration;

use super::client;
use super::launch::Server;

const LIMIT: Duration = Duration::from_secs(40);

#[test]
fn sipsak_pings() {
    if !client::is_there("sipsak") {
        return;
    }
    let server = Server::start("sipsak-ping", "");
    let output = client::run(
        Command::new("sipsak").args(["-vv", "-s", "sip:probe@127.0.0.1", "-p"]).arg(server.addr.to_string()),
        LIMIT,
    );
    let said = client::said(&output);
    assert!(output.status.success() && said.contains("200 OK"), "{said}");
}

#[test]
fn sipsak_registers_with_digest() {
    if !client::is_there("sipsak") {
        return;
    }
    let server = Server::start(
        "sipsak-register",
        "[[account]]\nusername = \"alice\"\npassword = \"wonderland\"\n[auth.digest]\nalgorithms = [\"MD5\"]\n",
    );
    let register = |password: &str| {
        let mut sipsak = Command::new("sipsak");
        sipsak.args([
            "-vvv",
            "-U",
            "-C",
            "sip:alice@127.0.0.1:5099",
            "-x",
            "600",
            "-u",
            "alice",
            "-a",
            password,
        ]);
        sipsak.args(["-s", "sip:alice@127.0.0.1", "-p"]).arg(server.addr.to_string());
        client::run(&mut sipsak, LIMIT)
    };
    let output = register("wonderland");
    let said = client::said(&output);
    assert!(output.status.success() && said.contains("200 OK"), "{said}");
    assert!(!register("looking-glass").status.success());
}
