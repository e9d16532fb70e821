//! The `ng` protocol against an rtpengine of our own.

use std::net::Ipv4Addr;
use std::sync::mpsc::channel;

use strowger_core::door::Ticket;

use super::*;

fn query(step: MediaStep, sdp: &str) -> Box<MediaQuery> {
    Box::new(MediaQuery {
        ticket: Ticket::new(3, 1),
        call: 7,
        step,
        from: "bob".into(),
        to: if step == MediaStep::Answer { "alice".into() } else { "".into() },
        source: None,
        near: Some(Ipv4Addr::LOCALHOST.into()),
        to_webrtc: false,
        sdp: sdp.as_bytes().into(),
    })
}

fn entry<'a>(message: &'a Bencode, key: &str) -> Option<&'a str> {
    let Bencode::Dictionary(entries) = message else { panic!("no dictionary") };
    match entries.get(key.as_bytes())? {
        Bencode::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

#[test]
fn bencoding_is_read_as_it_is_written() {
    let value = dictionary([
        ("command", text("ping")),
        ("n", Bencode::Number(-7)),
        ("list", list(&["a", ""])),
        ("in", dictionary([("k", Bencode::List(vec![]))])),
    ]);
    let mut bytes = Vec::new();
    value.write(&mut bytes);
    assert_eq!(bytes, b"d7:command4:ping2:ind1:klee4:listl1:a0:e1:ni-7ee");
    assert_eq!(Bencode::read(&bytes), Some(value));
    for end in 0..bytes.len() {
        assert_eq!(Bencode::read(&bytes[..end]), None);
    }
    let deep = [vec![b'l'; 40], vec![b'e'; 40]].concat();
    for odd in [&b"9:ab"[..], b"i12", b"ixe", b"-1:a", b"d1:ae", b"di1ei2ee", b"\xff:", b"3:abcd", &deep] {
        assert_eq!(Bencode::read(odd), None);
    }
}

#[test]
fn a_gateway_is_asked_to_speak_as_the_other_side_does() {
    let web = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=ice-ufrag:x\r\n";
    let asked = request("x", &query(MediaStep::Offer, web));
    assert_eq!(entry(&asked, "transport-protocol"), Some("RTP/AVP"));
    assert_eq!(entry(&asked, "ICE"), Some("remove"));
    // Nowhere yet, which is not the same as on hold.
    let mut early = query(
        MediaStep::Offer,
        "v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=ice-ufrag:x\r\n",
    );
    early.source = Some(Ipv4Addr::new(192, 0, 2, 7).into());
    assert!(
        entry(&request("x", &early), "sdp").is_some_and(|sdp| sdp.contains("\r\nc=IN IP4 192.0.2.7\r\n"))
    );
    let mut held = query(MediaStep::Offer, "v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio 9 RTP/AVP 0\r\n");
    held.source = early.source;
    assert!(entry(&request("x", &held), "sdp").is_some_and(|sdp| sdp.contains("0.0.0.0")));
    let mut back = query(MediaStep::Answer, "v=0\r\nm=audio 9 RTP/AVP 0\r\n");
    back.to_webrtc = true;
    let asked = request("x", &back);
    assert_eq!(entry(&asked, "transport-protocol"), Some("UDP/TLS/RTP/SAVPF"));
    assert_eq!((entry(&asked, "from-tag"), entry(&asked, "to-tag")), (Some("alice"), Some("bob")));
}

/// An rtpengine of a test.
struct Fake {
    socket: UdpSocket,
    /// Who asked last.
    from: Option<SocketAddr>,
}

impl Fake {
    fn new() -> Fake {
        Fake { socket: UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket"), from: None }
    }

    fn options(&self) -> RtpengineOptions {
        let mut options = RtpengineOptions::new(self.socket.local_addr().expect("bound"));
        options.timeout = Duration::from_millis(50);
        options.ping = Duration::from_millis(20);
        options
    }

    /// The next question: its cookie, and what is asked.
    fn take(&mut self) -> (String, Bencode) {
        let mut buffer = [0; 2048];
        let (len, from) = self.socket.recv_from(&mut buffer).expect("a question");
        self.from = Some(from);
        let at = buffer[..len].iter().position(|b| *b == b' ').expect("a cookie");
        let message = Bencode::read(&buffer[at + 1..len]).expect("bencoding");
        (String::from_utf8(buffer[..at].to_vec()).expect("text"), message)
    }

    /// The next question with this command; whether it is there is answered.
    fn asked(&mut self, command: &str) -> (String, Bencode) {
        loop {
            let (cookie, message) = self.take();
            match entry(&message, "command") {
                Some(found) if found == command => return (cookie, message),
                Some("ping") => self.reply(&cookie, &dictionary([("result", text("pong"))])),
                _ => {}
            }
        }
    }

    fn reply(&self, cookie: &str, message: &Bencode) {
        let mut bytes = format!("{cookie} ").into_bytes();
        message.write(&mut bytes);
        self.socket.send_to(&bytes, self.from.expect("somebody asked")).expect("sent");
    }
}

/// The way to it, and what is said.
fn started(options: RtpengineOptions) -> (Rtpengine, Receiver<Said>) {
    let (sender, said) = channel();
    let say = move |what| {
        let _ = sender.send(what);
    };
    (Rtpengine::start(options, "test".into(), Clock::start(), say).expect("a thread"), said)
}

fn described(sdp: &str) -> Bencode {
    dictionary([("result", text("ok")), ("sdp", text(sdp))])
}

#[test]
fn a_question_is_sent_again_until_it_is_answered_and_an_error_is_no_description() {
    let mut fake = Fake::new();
    let mut options = fake.options();
    options.tries = 1000;
    let (engine, said) = started(options);
    let (cookie, _) = fake.asked("ping");
    fake.reply(&cookie, &dictionary([("result", text("pong"))]));
    assert!(matches!(said.recv(), Ok(Said::Up(true))));

    engine.ask(query(MediaStep::Offer, "v=0\r\n")).expect("there is room");
    let (first, _) = fake.asked("offer");
    let (cookie, message) = fake.asked("offer");
    assert_eq!(first, cookie, "it is sent again as it was");
    assert_eq!(entry(&message, "call-id"), Some("test-7"));
    assert_eq!((entry(&message, "from-tag"), entry(&message, "to-tag")), (Some("bob"), None));
    fake.reply("another", &described("wrong"));
    fake.socket.send_to(b"garbage", fake.from.expect("somebody")).expect("sent");
    fake.reply(&cookie, &described("right"));
    let Ok(Said::Answer(Answer::Media(ticket, MediaAnswer::Description(sdp)))) = said.recv() else {
        panic!("no answer")
    };
    assert_eq!((ticket, &*sdp), (Ticket::new(3, 1), &b"right"[..]));

    engine.ask(query(MediaStep::Answer, "v=0\r\n")).expect("there is room");
    let (cookie, _) = fake.asked("answer");
    fake.reply(&cookie, &dictionary([("result", text("error")), ("error-reason", text("Unknown call"))]));
    assert!(matches!(said.recv(), Ok(Said::Answer(Answer::Media(_, MediaAnswer::Unavailable)))));

    engine.done(7);
    let (cookie, message) = fake.asked("delete");
    assert_eq!(entry(&message, "call-id"), Some("test-7"));
    fake.reply(&cookie, &dictionary([("result", text("ok"))]));
    fake.asked("ping");
    let stats = engine.stats();
    assert_eq!((stats.up, stats.described, stats.refused, stats.deleted), (true, 1, 1, 1));
}

#[test]
fn one_that_is_not_there_is_said_to_be_so_and_not_asked() {
    let nobody = Fake::new().options();
    let (engine, said) = started(nobody);
    assert!(matches!(said.recv(), Ok(Said::Up(false))));
    engine.ask(query(MediaStep::Offer, "v=0\r\n")).expect("there is room");
    assert!(matches!(said.recv(), Ok(Said::Answer(Answer::Media(_, MediaAnswer::Unavailable)))));
    let stats = engine.stats();
    assert_eq!((stats.up, stats.unanswered), (false, 1));
}

#[test]
fn what_ends_while_it_is_gone_is_deleted_when_it_is_there_again() {
    let mut fake = Fake::new();
    let (engine, said) = started(fake.options());
    fake.take();
    assert!(matches!(said.recv(), Ok(Said::Up(false))), "it was asked, and said nothing");
    engine.done(7);
    let (_, message) = fake.asked("delete");
    assert!(matches!(said.recv(), Ok(Said::Up(true))));
    assert_eq!(entry(&message, "call-id"), Some("test-7"));
}

#[test]
fn a_call_that_ends_before_its_offer_is_answered_is_deleted_after_it() {
    let mut fake = Fake::new();
    let mut options = fake.options();
    options.tries = 1000;
    let (engine, said) = started(options);
    engine.ask(query(MediaStep::Offer, "v=0\r\n")).expect("there is room");
    let (cookie, _) = fake.asked("offer");
    engine.done(7);
    fake.asked("offer");
    fake.reply(&cookie, &described("late"));
    let (cookie, _) = fake.asked("delete");
    fake.reply(&cookie, &dictionary([("result", text("ok"))]));
    assert!(matches!(said.recv(), Ok(Said::Up(true))));
    assert!(matches!(said.recv(), Ok(Said::Answer(_))), "the engine knows what to do with it");
    fake.asked("ping");
    assert_eq!(engine.stats().deleted, 1);
}
