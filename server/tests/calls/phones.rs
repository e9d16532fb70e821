//! baresip calling baresip with a voice: it is answered and heard, held, transferred, refused, given up, and each hears of
//! its end; and baresip writing to baresip.

use std::fs;
use std::time::{Duration, Instant};

use super::accounts;
use super::client;
use super::headless::{Baresip, LIMIT, Setup};
use super::launch::Server;

/// A minute of a tone: 8000 samples of 16 bits a second, one channel.
fn tone() -> Vec<u8> {
    let samples: Vec<u8> = (0..480_000_u32)
        .flat_map(|i| (if i / 9 % 2 == 0 { 6_000_i16 } else { -6_000 }).to_le_bytes())
        .collect();
    let size = samples.len() as u32;
    let mut out = Vec::new();
    out.extend_from_slice(b"RIFF");
    out.extend_from_slice(&(36 + size).to_le_bytes());
    out.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    out.extend_from_slice(&8_000_u32.to_le_bytes());
    out.extend_from_slice(&16_000_u32.to_le_bytes());
    out.extend_from_slice(b"\x02\0\x10\0data");
    out.extend_from_slice(&size.to_le_bytes());
    out.extend_from_slice(&samples);
    out
}

/// A phone with a tone for a voice; `account` says whether it answers.
fn phone(server: &Server, user: &str, transport: &str, account: &str) -> Baresip {
    phone_with(server, user, transport, account, "")
}

/// With further lines of the configuration.
fn phone_with(server: &Server, user: &str, transport: &str, account: &str, more: &str) -> Baresip {
    let voice = server.dir().join("tone.wav");
    fs::write(&voice, tone()).expect("a file for the voice");
    let config = format!(
        "module aufile.so\naudio_source aufile,{}\naudio_player aufile,/dev/null\naudio_alert aufile,/dev/null\n\
         ausrc_srate 8000\nauplay_srate 8000\nausrc_channels 1\nauplay_channels 1\nrtp_ports 20000-29998\n{more}",
        voice.display()
    );
    let setup = Setup { user, password: "wonderland", transport, account, config: &config, contacts: "" };
    let mut phone = Baresip::start(server, &setup);
    assert!(phone.registers(), "{}", phone.log());
    phone
}

const ANSWERS: &str = ";answermode=auto";

/// Waits until a phone has said something, after what it said already.
fn says(phone: &mut Baresip, mut said: String, wanted: &str) -> String {
    let end = Instant::now() + LIMIT;
    while !said.contains(wanted) {
        assert!(Instant::now() < end, "it does not say {wanted:?}:\n{said}\n{}", phone.log());
        said.push_str(&phone.command("callstat"));
    }
    said
}

fn call(transport: &str, ends: usize) {
    if !client::is_there("baresip") {
        return;
    }
    let server = Server::start(&format!("call-{transport}-{ends}"), &accounts(&["alice", "bob"]));
    let mut bob = phone(&server, "bob", transport, ANSWERS);
    let mut alice = phone(&server, "alice", transport, "");
    let said = alice.tell("dial", "sip:bob@example.com");
    // Each hears the other.
    for (phone, said) in [(&mut alice, said), (&mut bob, String::new())] {
        let said = says(phone, said, "CALL_ESTABLISHED");
        says(phone, said, "CALL_RTPESTAB");
    }
    let mut both = [alice, bob];
    both[ends].command("hangup");
    says(&mut both[1 - ends], String::new(), "CALL_CLOSED");
    for phone in both {
        phone.quit();
    }
}

#[test]
fn baresip_calls_baresip_over_udp_and_the_caller_hangs_up() {
    call("udp", 0);
}

#[test]
fn baresip_calls_baresip_over_tcp_and_the_callee_hangs_up() {
    call("tcp", 1);
}

#[test]
fn a_call_is_held_resumed_and_transferred_to_a_third_phone() {
    if !client::is_there("baresip") {
        return;
    }
    let server = Server::start("call-transfer", &accounts(&["alice", "bob", "carol"]));
    let mut bob = phone(&server, "bob", "udp", ANSWERS);
    let mut carol = phone(&server, "carol", "udp", ANSWERS);
    let mut alice = phone(&server, "alice", "udp", "");
    let said = alice.tell("dial", "sip:bob@example.com");
    says(&mut alice, said, "CALL_ESTABLISHED");
    // An offer and its answer each.
    let said = alice.command("hold");
    says(&mut alice, said, "CALL_REMOTE_SDP");
    let said = alice.command("resume");
    says(&mut alice, said, "CALL_REMOTE_SDP");
    let said = alice.tell("transfer", "sip:carol@example.com");
    says(&mut alice, said, "Call transfered");
    says(&mut carol, String::new(), "CALL_RTPESTAB");
    // Bob and carol talk; when she goes, so does he.
    std::thread::sleep(Duration::from_millis(500));
    bob.command("callstat");
    carol.command("hangup");
    says(&mut bob, String::new(), "CALL_CLOSED");
    for phone in [alice, bob, carol] {
        phone.quit();
    }
}

#[test]
fn a_call_that_is_refused_ends_for_the_caller() {
    if !client::is_there("baresip") {
        return;
    }
    let server = Server::start("call-refused", &accounts(&["alice", "bob"]));
    let mut bob = phone(&server, "bob", "udp", "");
    let mut alice = phone(&server, "alice", "udp", "");
    let said = alice.tell("dial", "sip:bob@example.com");
    says(&mut alice, said, "CALL_RINGING");
    says(&mut bob, String::new(), "CALL_INCOMING");
    bob.command("hangup");
    says(&mut alice, String::new(), "CALL_CLOSED");
    for phone in [alice, bob] {
        phone.quit();
    }
}

#[test]
fn a_caller_who_gives_up_stops_the_ringing_and_may_call_again() {
    if !client::is_there("baresip") {
        return;
    }
    let server = Server::start("call-cancelled", &accounts(&["alice", "bob"]));
    let mut bob = phone(&server, "bob", "udp", "");
    let mut alice = phone(&server, "alice", "udp", "");
    for _ in 0..2 {
        let said = alice.tell("dial", "sip:bob@example.com");
        says(&mut alice, said, "CALL_RINGING");
        says(&mut bob, String::new(), "CALL_INCOMING");
        let said = alice.command("hangup");
        says(&mut alice, said, "CALL_CLOSED");
        says(&mut bob, String::new(), "CALL_CLOSED");
    }
    for phone in [alice, bob] {
        phone.quit();
    }
}

#[test]
fn who_talks_already_is_busy_for_a_third_phone_and_talks_on() {
    if !client::is_there("baresip") {
        return;
    }
    let server = Server::start("call-busy", &accounts(&["alice", "bob", "carol"]));
    let mut bob = phone_with(&server, "bob", "udp", ANSWERS, "call_max_calls 1\n");
    let mut alice = phone(&server, "alice", "udp", "");
    let mut carol = phone(&server, "carol", "udp", "");
    let said = alice.tell("dial", "sip:bob@example.com");
    says(&mut alice, said, "CALL_ESTABLISHED");
    let said = carol.tell("dial", "sip:bob@example.com");
    let said = says(&mut carol, said, "CALL_CLOSED");
    assert!(said.contains("486 "), "{said}");
    let said = alice.command("hangup");
    says(&mut alice, said, "CALL_CLOSED");
    let said = says(&mut bob, String::new(), "CALL_CLOSED");
    assert_eq!(said.matches("CALL_CLOSED").count(), 1, "{said}");
    for phone in [alice, bob, carol] {
        phone.quit();
    }
}

/// A phone that writes to this one.
fn writer(server: &Server, user: &str, to: &str) -> Baresip {
    let contacts = format!("\"Peer\" <sip:{to}@example.com>\n");
    // The terminal shows what is written to its user.
    let config = "module_app contact.so\nmodule stdio.so\n";
    let setup =
        Setup { user, password: "wonderland", transport: "udp", account: "", config, contacts: &contacts };
    let mut phone = Baresip::start(server, &setup);
    assert!(phone.registers(), "{}", phone.log());
    phone.command("contact_next");
    phone
}

/// Waits until a phone shows what was written.
fn reads(phone: &mut Baresip, from: &str, text: &str) {
    let shown = format!("sip:{from}@example.com: \"{text}\"");
    let end = Instant::now() + LIMIT;
    while !phone.log().contains(&shown) {
        assert!(Instant::now() < end, "it does not show {shown}:\n{}", phone.log());
        phone.command("reginfo");
    }
}

#[test]
fn baresip_writes_to_baresip_now_and_before_it_is_there() {
    if !client::is_there("baresip") {
        return;
    }
    let server = Server::start("call-message", &accounts(&["alice", "bob"]));
    let mut alice = writer(&server, "alice", "bob");
    alice.tell("message", "Are you up?");
    let mut bob = writer(&server, "bob", "alice");
    reads(&mut bob, "alice", "Are you up?");
    bob.tell("message", "Now I am.");
    reads(&mut alice, "bob", "Now I am.");
    alice.tell("message", "Lunch?");
    reads(&mut bob, "alice", "Lunch?");
    for phone in [alice, bob] {
        let log = phone.quit();
        assert!(!log.contains("message_send"), "{log}");
    }
}
