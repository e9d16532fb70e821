//! Sound over the relay of the built binary, and over a real rtpengine: packets both ways, strangers, and ports that come
//! back.
//!
//! Where rtpengine is not installed its test says that it was skipped; `STROWGER_REQUIRE_CLIENTS=1` makes that a failure.
#![allow(clippy::disallowed_methods)] // Tests of a process have the process's clock.

#[path = "interop/client.rs"]
#[allow(dead_code)] // Every test binary uses its own part.
mod client;
mod common;
#[path = "media/phone.rs"]
mod phone;
#[path = "media/rtpengine.rs"]
mod rtpengine;

use std::net::{SocketAddr, UdpSocket};

use common::{Folder, Running, becomes, header, metric};
use phone::{Phone, packet, wanted};
use rtpengine::Rtpengine;
use rustix::process::Signal;

const CONFIG: &str = "[[domain]]\nname = \"example.com\"\n[auth.policy]\nregister = \"open\"\ninvite = \"open\"\n\
    [[account]]\nusername = \"bob\"\npassword = \"builder\"\n[media]\n";

/// A server with this in `[media]`, and two phones of it; Bob is registered.
fn house(folder: &Folder, media: &str) -> (Running, Phone, Phone) {
    let file = folder.write("strowger.toml", &format!("{CONFIG}{media}\n"));
    let server = Running::local(folder, &["-c", file.to_str().expect("utf-8"), "--http", "127.0.0.1:0"]);
    let to = server.addr("udp");
    let (alice, bob) = (Phone::new(to), Phone::new(to));
    let own = "From: <sip:bob@example.com>;tag=r\r\nTo: <sip:bob@example.com>\r\nCall-ID: reg\r\n";
    bob.send(&bob.request("REGISTER", "sip:example.com", 1, own, ""));
    bob.receive("SIP/2.0 200 ");
    (server, alice, bob)
}

/// A call that was answered.
struct Call {
    /// Where Bob is to send, and Alice.
    for_bob: SocketAddr,
    for_alice: SocketAddr,
    /// Where her requests go, and what they say.
    contact: String,
    within: String,
}

impl Call {
    /// Alice calls Bob.
    fn begin(alice: &Phone, bob: &Phone, sdp: [String; 2]) -> Call {
        let from = "From: <sip:guest@elsewhere.example>;tag=caller\r\n";
        let lines = format!("{from}To: <sip:bob@example.com>\r\nCall-ID: one\r\n");
        let [offer, answer] = sdp;
        alice.send(&alice.request("INVITE", "sip:bob@example.com", 1, &lines, &offer));
        let invite = bob.receive("INVITE ");
        bob.accept(&invite, &answer);
        let ok = alice.receive("SIP/2.0 200 ");
        let contact = header(&ok, "Contact").and_then(|c| c.split('<').nth(1)?.split('>').next());
        let contact = contact.expect("a Contact").to_owned();
        let within = format!("{from}To: {}\r\nCall-ID: one\r\n", header(&ok, "To").expect("a To"));
        alice.send(&alice.request("ACK", &contact, 1, &within, ""));
        bob.receive("ACK ");
        Call { for_bob: wanted(&invite), for_alice: wanted(&ok), contact, within }
    }

    /// Alice hangs up.
    fn end(&self, alice: &Phone, bob: &Phone) {
        alice.send(&alice.request("BYE", &self.contact, 2, &self.within, ""));
        bob.accept(&bob.receive("BYE "), "");
    }
}

#[test]
fn sound_goes_both_ways_over_the_relay_and_strangers_are_not_heard() {
    let folder = Folder::new();
    let (server, alice, bob) =
        house(&folder, "mode = \"always\"\naddress = \"127.0.0.1\"\nports = [41000, 41999]");
    // Both are at addresses that nobody here can reach.
    let call = Call::begin(&alice, &bob, [alice.sdp("10.0.0.9"), bob.sdp("10.0.0.9")]);
    let (for_bob, for_alice) = (call.for_bob, call.for_alice);
    for at in [for_bob, for_alice] {
        assert!(at.ip().is_loopback() && (41000..42000).contains(&at.port()), "{at}");
    }
    assert_eq!(metric(&server, "strowger_relay_ports"), 4);

    // Who has sent nothing is sent nothing: the first packet only says where Alice is.
    alice.sound.send_to(&packet(1), for_alice).expect("sent");
    becomes(|| metric_of(&server, "early"), 1);
    bob.sound.send_to(&packet(2), for_bob).expect("sent");
    assert_eq!(alice.hears(), Some((packet(2), for_alice)));
    for number in 3..20 {
        alice.sound.send_to(&packet(number), for_alice).expect("sent");
        assert_eq!(bob.hears(), Some((packet(number), for_bob)));
        bob.sound.send_to(&packet(number), for_bob).expect("sent");
        assert_eq!(alice.hears(), Some((packet(number), for_alice)));
    }
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    stranger.send_to(&packet(99), for_alice).expect("sent");
    becomes(|| metric_of(&server, "foreign"), 1);
    alice.sound.send_to(&packet(100), for_alice).expect("sent");
    assert_eq!(bob.hears(), Some((packet(100), for_bob)), "what comes next is Alice's");

    call.end(&alice, &bob);
    becomes(|| metric(&server, "strowger_relay_ports"), 0);
    assert_eq!(metric(&server, "strowger_relay_sessions"), 0);
}

#[test]
fn a_call_for_which_no_ports_are_left_is_refused_and_counted() {
    let folder = Folder::new();
    let (server, alice, bob) =
        house(&folder, "mode = \"always\"\naddress = \"127.0.0.1\"\nports = [40900, 40903]");
    let call = Call::begin(&alice, &bob, [alice.sdp("10.0.0.9"), bob.sdp("10.0.0.9")]);
    let more =
        "From: <sip:guest@elsewhere.example>;tag=more\r\nTo: <sip:bob@example.com>\r\nCall-ID: two\r\n";
    let carol = Phone::new(server.addr("udp"));
    carol.send(&carol.request("INVITE", "sip:bob@example.com", 1, more, &carol.sdp("10.0.0.9")));
    carol.receive("SIP/2.0 503 ");
    assert_eq!(metric(&server, "strowger_relay_refused_total"), 1);
    assert_eq!(metric(&server, "strowger_relay_ports"), 4);
    call.end(&alice, &bob);
    becomes(|| metric(&server, "strowger_relay_ports"), 0);
}

#[test]
fn a_relay_that_comes_into_the_file_waits_for_a_restart() {
    let folder = Folder::new();
    let (mut server, alice, bob) = house(&folder, "mode = \"off\"");
    let relay = "mode = \"always\"\naddress = \"127.0.0.1\"\nports = [40910, 40919]\n";
    folder.write("strowger.toml", &format!("{CONFIG}{relay}"));
    server.signal(Signal::HUP);
    server.wait_for_log("addresses of the relay and storage need a restart");
    server.wait_for_log("reloaded");
    let call = Call::begin(&alice, &bob, [alice.sdp("10.0.0.9"), bob.sdp("10.0.0.9")]);
    assert_eq!(call.for_bob.ip().to_string(), "10.0.0.9", "as it was before");
    call.end(&alice, &bob);
}

#[test]
fn an_rtpengine_that_is_not_there_is_said_so_and_calls_are_refused() {
    let folder = Folder::new();
    let nobody = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let media = format!("mode = \"always\"\nrtpengine = \"udp:{nobody}\"");
    let (mut server, alice, _bob) = house(&folder, &media);
    server.wait_for_log("rtpengine does not answer");
    let lines = "From: <sip:guest@elsewhere.example>;tag=a\r\nTo: <sip:bob@example.com>\r\nCall-ID: one\r\n";
    alice.send(&alice.request("INVITE", "sip:bob@example.com", 1, lines, &alice.sdp("127.0.0.1")));
    alice.receive("SIP/2.0 503 ");
    assert_eq!(metric(&server, "strowger_rtpengine_up"), 0);
    assert_eq!(metric(&server, "strowger_rtpengine_questions_total{result=\"unanswered\"}"), 1);
}

#[test]
fn sound_goes_over_a_real_rtpengine_and_its_end_is_noticed() {
    if !client::is_there("rtpengine") {
        return;
    }
    let mut engine = Rtpengine::start();
    let folder = Folder::new();
    let (server, alice, bob) =
        house(&folder, &format!("mode = \"always\"\nrtpengine = \"udp:{}\"", engine.at));
    let here = [alice.sdp("127.0.0.1"), bob.sdp("127.0.0.1")];
    let call = Call::begin(&alice, &bob, here);
    for at in [call.for_bob, call.for_alice] {
        assert!(at.ip().is_loopback() && (42000..43000).contains(&at.port()), "{at}");
    }
    let calls = |engine: &Rtpengine| engine.ask("d7:command4:list5:limiti9ee");
    assert!(calls(&engine).contains("5:callsl") && calls(&engine).contains("strowger"));
    for number in 1..20 {
        alice.sound.send_to(&packet(number), call.for_alice).expect("sent");
        assert_eq!(bob.hears(), Some((packet(number), call.for_bob)));
        bob.sound.send_to(&packet(number), call.for_bob).expect("sent");
        assert_eq!(alice.hears(), Some((packet(number), call.for_alice)));
    }
    call.end(&alice, &bob);
    becomes(|| calls(&engine).contains("5:callsle"), true);
    assert_eq!(metric(&server, "strowger_rtpengine_up"), 1);
    assert_eq!(metric(&server, "strowger_rtpengine_questions_total{result=\"described\"}"), 2);
    assert_eq!(metric(&server, "strowger_rtpengine_questions_total{result=\"deleted\"}"), 1);

    // A browser calls Bob's plain phone: each is shown what he speaks.
    let browser = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\n\
        a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=setup:actpass\r\na=sendrecv\r\na=rtcp-mux\r\n\
        a=fingerprint:sha-256 A1:B2:C3:D4:E5:F6:07:18:29:3A:4B:5C:6D:7E:8F:90:A1:B2:C3:D4:E5:F6:07:18:29:3A:4B:5C:6D:7E:8F:90\r\n";
    let carol = Phone::new(server.addr("udp"));
    let from = "From: <sip:web@elsewhere.example>;tag=web\r\nTo: <sip:bob@example.com>\r\nCall-ID: web\r\n";
    carol.send(&carol.request("INVITE", "sip:bob@example.com", 1, from, browser));
    let invite = bob.receive("INVITE ");
    assert!(invite.contains(" RTP/AVP 0") && !invite.contains("a=ice-") && !invite.contains("a=sendonly"));
    bob.accept(&invite, &bob.sdp("127.0.0.1"));
    let ok = carol.receive("SIP/2.0 200 ");
    for line in [" UDP/TLS/RTP/SAVPF 0", "a=ice-ufrag:", "a=candidate:", "a=fingerprint:", "a=rtcp-mux"] {
        assert!(ok.contains(line) && !ok.contains("a=crypto"), "{ok}");
    }

    client::stop(&mut engine.child);
    let lost =
        "From: <sip:guest@elsewhere.example>;tag=late\r\nTo: <sip:bob@example.com>\r\nCall-ID: late\r\n";
    let dave = Phone::new(server.addr("udp"));
    dave.send(&dave.request("INVITE", "sip:bob@example.com", 1, lost, &dave.sdp("127.0.0.1")));
    dave.receive("SIP/2.0 503 ");
    becomes(|| metric(&server, "strowger_rtpengine_up"), 0);
    assert!(metric(&server, "strowger_rtpengine_questions_total{result=\"unanswered\"}") >= 1);
}

fn metric_of(server: &Running, reason: &str) -> u64 {
    metric(server, &format!("strowger_relay_dropped_total{{reason=\"{reason}\"}}"))
}
