//! baresip watching baresip: each sees the other come, be occupied and go.

use std::time::Instant;

use super::accounts;
use super::client;
use super::headless::{Baresip, LIMIT, Setup};
use super::launch::Server;
use super::sipp::{Load, sipp};

/// A phone that publishes and watches its peer.
fn phone(server: &Server, user: &str, peer: &str, transport: &str) -> Baresip {
    let contacts = format!("\"Peer\" <sip:{peer}@example.com>;presence=p2p\n");
    let setup = Setup {
        user,
        password: "wonderland",
        transport,
        account: ";pubint=600",
        config: "module_app contact.so\nmodule_app presence.so\n",
        contacts: &contacts,
    };
    let mut phone = Baresip::start(server, &setup);
    assert!(phone.registers(), "{}", phone.log());
    phone
}

/// Waits until a phone shows its peer so.
fn shows(phone: &mut Baresip, state: &str) {
    let end = Instant::now() + LIMIT;
    let mut said = String::new();
    while Instant::now() < end {
        said = phone.command("contacts");
        // In colour: an escape sequence ends right before the word.
        if said.contains(&format!("m{state}\\u001B")) {
            return;
        }
    }
    panic!("it does not show its peer {state}:\n{said}\n{}", phone.log());
}

fn see_each_other(transport: &str) {
    if !client::is_there("baresip") {
        return;
    }
    let server = Server::start(&format!("presence-{transport}"), &accounts(&["alice", "bob"]));
    let mut alice = phone(&server, "alice", "bob", transport);
    shows(&mut alice, "Offline");
    let mut bob = phone(&server, "bob", "alice", transport);
    shows(&mut alice, "Online");
    shows(&mut bob, "Online");

    bob.command("presence_offline");
    shows(&mut alice, "Offline");
    alice.command("presence_offline");
    shows(&mut bob, "Offline");
    bob.command("presence_online");
    shows(&mut alice, "Online");
    alice.command("presence_online");
    shows(&mut bob, "Online");

    bob.quit();
    shows(&mut alice, "Offline");
    // And back again: what was is not in the way.
    let mut bob = phone(&server, "bob", "alice", transport);
    shows(&mut alice, "Online");
    alice.quit();
    shows(&mut bob, "Offline");
    bob.quit();
}

#[test]
fn two_baresips_see_each_other_come_and_go_over_udp() {
    see_each_other("udp");
}

#[test]
fn two_baresips_see_each_other_come_and_go_over_tcp() {
    see_each_other("tcp");
}

#[test]
fn a_baresip_sees_that_its_peer_is_occupied() {
    if !client::is_there("baresip") || !client::is_there("sipp") {
        return;
    }
    let server = Server::start("presence-busy", &accounts(&["alice", "bob"]));
    let mut alice = phone(&server, "alice", "bob", "udp");
    shows(&mut alice, "Offline");
    sipp(&server, &Load { scenario: "busy.xml", users: 1, transport: "u1", whom: "bob" });
    shows(&mut alice, "Busy");
    alice.quit();
}
