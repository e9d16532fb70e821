//! baresip, headless, driven over its control port: registers with Digest over UDP and TCP, unregisters when it ends.

use super::client;
use super::common::desk::desk;
use super::headless::{Baresip, Setup};
use super::launch::Server;

fn alice<'s>(transport: &'s str, password: &'s str) -> Setup<'s> {
    Setup { user: "alice", password, transport, account: "", config: "", contacts: "" }
}

const ALICE: &str = "[[account]]\nusername = \"alice\"\npassword = \"wonderland\"\n";

fn lives(name: &str, transport: &str, more: &str) {
    if !client::is_there("baresip") {
        return;
    }
    let server = Server::start(name, &format!("{ALICE}{more}"));
    let mut phone = Baresip::start(&server, &alice(transport, "wonderland"));
    assert!(phone.registers(), "{}", phone.log());
    phone.quit();
}

const MD5: &str = "[auth.digest]\nalgorithms = [\"MD5\"]\n";

#[test]
fn baresip_registers_with_md5_over_udp() {
    lives("baresip-udp", "udp", MD5);
}

#[test]
fn baresip_registers_with_md5_over_tcp() {
    lives("baresip-tcp", "tcp", MD5);
}

#[test]
fn baresip_registers_over_tls() {
    lives("baresip-tls", "tls", MD5);
}

#[test]
fn baresip_with_a_wrong_password_does_not_register() {
    if !client::is_there("baresip") {
        return;
    }
    let server = Server::start("baresip-wrong", &format!("{ALICE}{MD5}"));
    let mut phone = Baresip::start(&server, &alice("udp", "looking-glass"));
    assert!(!phone.registers());
    phone.quit();
}

/// Whether it can do SHA-256 depends on its age: 1.0 of Debian 12 knows MD5 only, and gives up on a response that offers
/// SHA-256 at all, wherever the MD5 challenge stands (RFC 7616 s3.7 asks clients to pass over what they do not know).
#[test]
fn baresip_registers_with_sha256_where_it_can() {
    if !client::is_there("baresip") {
        return;
    }
    for (name, more) in [("sha256", "[auth.digest]\nalgorithms = [\"SHA-256\"]\n"), ("default", "")] {
        let server = Server::start(&format!("baresip-{name}"), &format!("{ALICE}{more}"));
        let mut phone = Baresip::start(&server, &alice("udp", "wonderland"));
        if !phone.registers() {
            eprintln!("skipped: this baresip cannot do Digest with SHA-256 ({name})");
        }
        phone.quit();
    }
}

#[test]
fn baresip_registers_with_an_account_of_the_store_until_that_is_disabled() {
    if !client::is_there("baresip") {
        return;
    }
    let server = Server::start("baresip-store", &format!("[accounts]\n{MD5}"));
    // What another process does is noticed within a second: a phone may be too early.
    let soon = |wanted: bool| {
        (0..5).any(|_| {
            let mut phone = Baresip::start(&server, &alice("udp", "wonderland"));
            let registered = phone.registers();
            phone.quit();
            registered == wanted
        })
    };
    let run = |args: &[&str], input: &str| {
        let (good, said) = desk(server.dir(), args, input);
        assert!(good, "{args:?}: {said}");
    };
    run(&["user", "add", "alice", "--digest", "--password-file", "-"], "wonderland\n");
    assert!(soon(true));
    run(&["user", "disable", "alice"], "");
    assert!(soon(false));
    run(&["user", "enable", "alice"], "");
    assert!(soon(true));
}
