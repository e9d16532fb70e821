//! What becomes of calls when the server ends: by a signal, and by force.

use std::net::SocketAddr;

use rustix::process::Signal;

use super::common::{Folder, Phone, header, until};
use super::{OPEN, ask, cseq, metric, start, stored, take};

/// The next request of a phone in the dialog of this message: its own name is in From, as the message has it.
fn within(phone: &Phone, dialog: &str, method: &str, cseq: u32) -> String {
    let of = |name: &str| header(dialog, name).unwrap_or_else(|| panic!("no {name} in {dialog}"));
    let Phone { user, local, .. } = phone;
    let target = of("Contact").trim_matches(['<', '>']);
    format!(
        "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{method}{cseq};rport\r\nMax-Forwards: 70\r\n\
         From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\nContact: <sip:{user}@{local}>\r\n\
         Content-Length: 0\r\n\r\n",
        of("From"),
        of("To"),
        of("Call-ID")
    )
}

/// Alice calls bob, who answers: what each of them knows of the dialog.
fn call(alice: &mut Phone, bob: &mut Phone) -> (String, String) {
    let invite = alice.request("INVITE", "").replacen("sip:example.com", "sip:bob@example.com", 1);
    alice.send(invite.replace("To: <sip:alice@", "To: <sip:bob@").as_bytes());
    let received = |phone: &mut Phone, wanted: &dyn Fn(&str) -> bool| loop {
        let message = phone.receive();
        if wanted(&message) {
            return message;
        }
    };
    let asked = received(bob, &|text| text.starts_with("INVITE "));
    let of = |name: &str| header(&asked, name).expect("a header");
    let own = format!("{};tag=bob", of("To"));
    bob.send(
        format!(
            "SIP/2.0 200 OK\r\nVia: {}\r\nFrom: {}\r\nTo: {own}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Contact: <sip:bob@{}>\r\nContent-Length: 0\r\n\r\n",
            of("Via"),
            of("From"),
            of("Call-ID"),
            of("CSeq"),
            bob.local
        )
        .as_bytes(),
    );
    let ok = received(alice, &|text| text.starts_with("SIP/2.0 200 ") && text.contains(" INVITE\r\n"));
    alice.send(within(alice, &ok, "ACK", cseq(&ok)).as_bytes());
    received(bob, &|text| text.starts_with("ACK "));
    let bobs = format!(
        "From: {own}\r\nTo: {}\r\nCall-ID: {}\r\nContact: {}\r\n",
        of("From"),
        of("Call-ID"),
        of("Contact")
    );
    (ok, bobs)
}

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
    let refused = until(|| alice.ask("OPTIONS", ""), |answer| answer.starts_with("SIP/2.0 503 "));
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
