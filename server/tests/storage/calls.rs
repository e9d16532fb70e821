//! What becomes of calls when the server ends: by a signal, and by force.

use std::net::SocketAddr;

use rustix::process::Signal;

use super::common::dialog::{ask, call, take, within};
use super::common::{Folder, Phone, answered, header, metric};
use super::{OPEN, start, stored};

fn open_calls(folder: &Folder) -> String {
    let text = OPEN.replace("register = ", "invite = \"open\"\nregister = ");
    let file = folder.write("strowger.toml", &format!("{text}[storage]\ninterval = \"20ms\"\n"));
    file.to_str().expect("utf-8").into()
}

/// Nothing is kept of calls: what comes within one is told so (RFC 3261 s12.2.2), and phones end it (s12.2.1.2).
#[test]
fn whoever_was_in_a_call_when_the_server_was_killed_is_told_that_it_is_over_and_calls_again() {
    let folder = Folder::new();
    let config = open_calls(&folder);
    let server = start(&folder, &config, 0);
    let port = server.addr("udp").port();
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let [mut alice, mut bob] = ["alice", "bob"].map(|user| Phone::udp(to, user, "example.com"));
    assert!(bob.ask("REGISTER", "Expires: 600\r\n").starts_with("SIP/2.0 200 "));
    let (alices, bobs) = call(&mut alice, &mut bob);
    stored(&server, 1);
    drop(server);
    let server = start(&folder, &config, port);
    let hold = within(&bob, &bobs, "INVITE", 100);
    let refused = ask(&mut bob, &hold);
    assert!(refused.starts_with("SIP/2.0 481 "), "{refused}");
    let bye = within(&alice, &alices, "BYE", 100);
    let refused = ask(&mut alice, &bye);
    assert!(refused.starts_with("SIP/2.0 481 "), "{refused}");
    call(&mut alice, &mut bob);
    assert_eq!(metric(&server, "strowger_calls_begun_total"), 1);
}

/// DECISIONS 20.
#[test]
fn a_server_told_to_end_lets_the_calls_there_are_come_to_their_end() {
    let folder = Folder::new();
    let server = start(&folder, &open_calls(&folder), 0);
    let to = server.addr("udp");
    let [mut alice, mut bob] = ["alice", "bob"].map(|user| Phone::udp(to, user, "example.com"));
    assert!(bob.ask("REGISTER", "Expires: 600\r\n").starts_with("SIP/2.0 200 "));
    let (alices, _) = call(&mut alice, &mut bob);
    server.signal(Signal::TERM);
    let refused = answered(|| alice.ask("OPTIONS", ""), 503);
    assert!(header(&refused, "Retry-After").is_some(), "{refused}");
    let invite = alice.request("INVITE", "").replacen("sip:example.com", "sip:bob@example.com", 1);
    let refused = ask(&mut alice, &invite);
    assert!(refused.starts_with("SIP/2.0 503 "), "{refused}");
    let bye = within(&alice, &alices, "BYE", 100);
    alice.send(bye.as_bytes());
    take(&mut bob, "BYE");
    let ended = ask(&mut alice, &bye);
    assert!(ended.starts_with("SIP/2.0 200 "), "{ended}");
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
}
