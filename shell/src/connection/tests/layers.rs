//! TLS and WebSocket, end against end in memory.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::tls::{TlsClient, TlsError, TlsFiles};

/// A directory of PEM files, gone with the test.
pub(crate) struct Pki(PathBuf);

impl Pki {
    pub(crate) fn new() -> Pki {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("strowger-pki-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        Pki(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn put(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), text).expect("written");
        self.path(name)
    }

    /// A certificate that vouches for itself.
    fn certified(&self, name: &str) -> TlsFiles {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        TlsFiles {
            certificate: self.put(&format!("{name}.pem"), made.cert.pem()),
            key: self.put(&format!("{name}.key"), made.signing_key.serialize_pem()),
            ..TlsFiles::default()
        }
    }

    fn server(&self) -> TlsServer {
        TlsServer::open(self.certified("localhost")).expect("certificates")
    }

    fn client(&self) -> TlsClient {
        TlsClient::open(Some(&self.path("localhost.pem")), None).expect("authorities")
    }
}

impl Drop for Pki {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn accepting(transport: Transport, options: &StreamOptions) -> (Connection, Backlog) {
    let backlog = Backlog::new(options.write_queue);
    let layers = Layers::accept(transport, 65_535, options, options.tls.as_ref()).expect("layers");
    (Connection::new(at(0), Opened::ByPeer, layers, 65_535, options, backlog.clone()), backlog)
}

fn opening(options: &StreamOptions, name: &str) -> (Connection, Backlog) {
    dialling(Transport::Tls, options, name)
}

pub(super) fn dialling(transport: Transport, options: &StreamOptions, name: &str) -> (Connection, Backlog) {
    let backlog = Backlog::new(options.write_queue);
    let layers = Layers::connect(transport, (Some(name), 8443), 65_535, options).expect("layers");
    (Connection::new(at(0), Opened::ByUs, layers, 65_535, options, backlog.clone()), backlog)
}

pub(super) fn roomy() -> StreamOptions {
    StreamOptions { write_queue: 1 << 20, ..options() }
}

/// Takes everything that is to be written.
pub(super) fn drain(conn: &mut Connection) -> Vec<u8> {
    let mut all = Vec::new();
    while conn.wants_write() {
        let out = output(conn);
        conn.sent(at(1), out.len());
        all.extend(out);
    }
    all
}

/// Moves bytes both ways until nothing moves, in pieces of this size.
pub(super) fn shuttle(one: &mut Connection, other: &mut Connection, piece: usize) {
    loop {
        let (there, back) = (drain(one), drain(other));
        if there.is_empty() && back.is_empty() {
            return;
        }
        there.chunks(piece).for_each(|bytes| other.received(at(1), bytes));
        back.chunks(piece).for_each(|bytes| one.received(at(1), bytes));
    }
}

pub(super) fn tls_pair(pki: &Pki) -> StreamOptions {
    StreamOptions { tls: Some(pki.server()), tls_client: Some(pki.client()), ..roomy() }
}

#[test]
fn messages_cross_tls_both_ways_whatever_the_pieces() {
    let pki = Pki::new();
    let options = tls_pair(&pki);
    for piece in [1, 7, 100_000] {
        let (mut server, backlog) = accepting(Transport::Tls, &options);
        let (mut client, _) = opening(&options, "localhost");
        assert_eq!((server.poll_up(), client.poll_up()), (None, None));
        // Queued before the handshake is over.
        client.queue(at(0), Bytes::from_static(OPTIONS));
        shuttle(&mut client, &mut server, piece);
        assert_eq!(
            (server.poll_up(), client.poll_up()),
            (Some(Up { peer: None }), Some(Up { peer: client_saw() }))
        );
        assert_eq!(arrivals(&mut server, at(1)), [format!("message of {}", OPTIONS.len())]);
        assert!(backlog.reserve(OPTIONS.len()));
        server.queue(at(1), Bytes::from_static(OPTIONS));
        shuttle(&mut server, &mut client, piece);
        assert_eq!(arrivals(&mut client, at(1)), [format!("message of {}", OPTIONS.len())]);
        assert_eq!(backlog.waiting(), 0);
        server.close(at(1), FlowDownReason::Idle);
        shuttle(&mut server, &mut client, piece);
        client.settle(at(1));
        assert_eq!(
            (server.poll_end(), client.poll_end()),
            (Some(FlowDownReason::Idle), Some(FlowDownReason::Closed))
        );
    }
}

fn client_saw() -> Option<PeerIdentity> {
    Some(PeerIdentity { names: vec!["localhost".into()] })
}

#[test]
fn who_shows_a_certificate_is_known_by_its_names() {
    let pki = Pki::new();
    let own = pki.certified("trunk.example.com");
    let files = TlsFiles { client_authorities: Some(own.certificate.clone()), ..pki.certified("localhost") };
    let client = |own| TlsClient::open(Some(&pki.path("localhost.pem")), own).expect("certificates");
    for (shows, required, known) in [
        (true, false, Some(Some("trunk.example.com"))),
        (true, true, Some(Some("trunk.example.com"))),
        (false, false, Some(None)),
        (false, true, None),
    ] {
        let files = TlsFiles { client_required: required, ..files.clone() };
        let tls = Some(TlsServer::open(files).expect("certificates"));
        let options = StreamOptions { tls, tls_client: Some(client(shows.then_some(&own))), ..roomy() };
        let (mut server, _) = accepting(Transport::Tls, &options);
        let (mut client, _) = opening(&options, "localhost");
        shuttle(&mut client, &mut server, 50);
        let up = server.poll_up().map(|up| up.peer.map(|peer| peer.names[0].to_string()));
        assert_eq!(up, known.map(|name| name.map(str::to_owned)), "shows {shows}, required {required}");
        assert_eq!(server.poll_end(), known.is_none().then_some(FlowDownReason::Handshake));
    }
}

#[test]
fn a_server_of_another_name_is_not_spoken_to() {
    let pki = Pki::new();
    let options = tls_pair(&pki);
    let (mut server, _) = accepting(Transport::Tls, &options);
    let (mut client, _) = opening(&options, "elsewhere.example");
    shuttle(&mut client, &mut server, 5_000);
    assert_eq!((server.poll_up(), client.poll_up()), (None, None));
    assert_eq!(client.poll_end(), Some(FlowDownReason::Handshake));
    assert_eq!(server.poll_end(), Some(FlowDownReason::Handshake));
}

/// A phone that speaks plain SIP on the TLS port gets an alert and is closed; so is noise.
#[test]
fn what_is_no_tls_is_closed_with_an_alert() {
    let pki = Pki::new();
    let options = tls_pair(&pki);
    for garbage in [OPTIONS, b"\0\0\0\0", &[0x16, 3, 1, 0xff, 0xff, 0, 0], &[0x80; 600]] {
        let (mut server, backlog) = accepting(Transport::Tls, &options);
        server.received(at(1), garbage);
        let said = drain(&mut server);
        assert!(server.poll_up().is_none() && arrivals(&mut server, at(1)).is_empty());
        // Some of it could still become a handshake: that has its deadline.
        match server.poll_end() {
            Some(reason) => {
                assert_eq!((reason, said.first()), (FlowDownReason::Handshake, Some(&21)), "{garbage:x?}");
            }
            None => {
                assert_eq!(server.poll_deadline(), at(10));
                assert_eq!(server.on_deadline(at(10)), Due::Close(FlowDownReason::Handshake));
            }
        }
        assert_eq!(backlog.waiting(), 0);
    }
}

#[test]
fn certificates_are_read_again_and_stay_when_that_fails() {
    let pki = Pki::new();
    let files = pki.certified("localhost");
    let tls = TlsServer::open(files.clone()).expect("certificates");
    let old = pki.client();
    let talks = |client: &TlsClient| {
        let options = StreamOptions { tls: Some(tls.clone()), tls_client: Some(client.clone()), ..roomy() };
        let (mut server, _) = accepting(Transport::Tls, &options);
        let (mut client, _) = opening(&options, "localhost");
        shuttle(&mut client, &mut server, 5_000);
        client.poll_up().is_some()
    };
    assert!(talks(&old));
    // A new certificate under the same name, and the key of the old one.
    let key = std::fs::read(&files.key).expect("a key");
    pki.certified("localhost");
    let new_key = std::fs::read(&files.key).expect("a key");
    std::fs::write(&files.key, key).expect("written");
    assert!(matches!(tls.reload(), Err(TlsError::Unusable { .. })));
    assert!(talks(&old), "what was there stays");
    std::fs::write(&files.key, new_key).expect("written");
    tls.reload().expect("a whole pair");
    assert!(!talks(&old) && talks(&pki.client()));
}

#[test]
fn what_is_wrong_with_files_is_said() {
    let pki = Pki::new();
    let good = pki.certified("localhost");
    let fault = |files: TlsFiles| {
        let text = TlsServer::open(files).expect_err("a fault").to_string();
        text.replace(&format!("{}/", pki.0.display()), "")
    };
    let certificate = pki.path("missing.pem");
    assert_eq!(
        fault(TlsFiles { certificate, ..good.clone() }),
        "missing.pem: No such file or directory (os error 2)"
    );
    let certificate = good.key.clone();
    let text = "localhost.key: no certificate in PEM format is in this file";
    assert_eq!(fault(TlsFiles { certificate, ..good.clone() }), text);
    let key = good.certificate.clone();
    let text = "localhost.pem: no private key in PEM format is in this file";
    assert_eq!(fault(TlsFiles { key, ..good.clone() }), text);
    let key = pki.put("half.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n");
    assert_eq!(fault(TlsFiles { key, ..good.clone() }), "half.key: a PEM section has no end");
    let key = pki.certified("other").key;
    assert!(fault(TlsFiles { key, ..good }).starts_with("localhost.pem: "));
}

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\r\n";

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A frame as a client sends it: masked (RFC 6455 s5.2).
fn frame(opcode: u8, last: bool, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut bytes = vec![opcode | u8::from(last) << 7];
    match payload.len() {
        short @ ..126 => bytes.push(0x80 | short as u8),
        long => {
            bytes.push(0x80 | 126);
            bytes.extend((long as u16).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

fn text(payload: &[u8]) -> Vec<u8> {
    frame(TEXT, true, payload)
}

fn upgraded() -> (Connection, Backlog) {
    let (mut conn, backlog) = accepting(Transport::Ws, &options());
    conn.received(at(1), UPGRADE.as_bytes());
    assert_eq!(conn.poll_up(), Some(Up { peer: None }));
    let answer = String::from_utf8(drain(&mut conn)).expect("text");
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    let answer = answer.to_ascii_lowercase();
    assert!(answer.contains("sec-websocket-protocol: sip\r\n"), "{answer}");
    assert!(answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{answer}");
    (conn, backlog)
}

#[test]
fn a_message_of_websocket_is_one_of_sip() {
    let (mut conn, backlog) = upgraded();
    let without_length = &OPTIONS[..OPTIONS.len() - 21];
    conn.received(at(1), &[text(without_length), text(OPTIONS)].concat());
    let wanted = [format!("message of {}", without_length.len()), format!("message of {}", OPTIONS.len())];
    assert_eq!(arrivals(&mut conn, at(1)), wanted);
    // In pieces, with a ping between them that the connection answers by itself.
    let half = OPTIONS.len() / 2;
    let pieces = [
        frame(BINARY, false, &OPTIONS[..half]),
        frame(PING, true, b"still there?"),
        frame(CONTINUATION, true, &OPTIONS[half..]),
    ];
    conn.received(at(1), &pieces.concat());
    assert_eq!(arrivals(&mut conn, at(1)), [format!("message of {}", OPTIONS.len())]);
    assert_eq!(drain(&mut conn), b"\x8a\x0cstill there?");
    assert!(backlog.reserve(5));
    conn.queue(at(1), Bytes::from_static(b"hello"));
    assert_eq!(drain(&mut conn), b"\x81\x05hello");
    assert!(backlog.reserve(2));
    conn.queue(at(1), Bytes::from_static(b"\xff\xfe"));
    assert_eq!(drain(&mut conn), b"\x82\x02\xff\xfe", "what is no text goes as bytes");
    assert_eq!(backlog.waiting(), 0);
}

#[test]
fn keepalives_of_both_kinds_cross_a_websocket() {
    let (mut conn, backlog) = upgraded();
    conn.received(at(1), &[text(b"\r\n\r\n"), text(b"\r\n"), text(b""), frame(PONG, true, b"")].concat());
    assert_eq!(arrivals(&mut conn, at(1)), ["Ping", "Pong", "Pong"]);
    for (said, framed) in [(&b"\r\n"[..], &b"\x81\x02\r\n"[..]), (b"\r\n\r\n", b"\x89\x00")] {
        assert!(backlog.reserve(said.len()));
        conn.queue(at(1), Bytes::copy_from_slice(said));
        assert_eq!(drain(&mut conn), framed);
    }
    assert_eq!(backlog.waiting(), 0);
}

#[test]
fn a_closing_handshake_is_answered_and_ours_is_said() {
    let (mut conn, _) = upgraded();
    conn.received(at(1), &frame(CLOSE, true, &1001u16.to_be_bytes()));
    assert!(arrivals(&mut conn, at(1)).is_empty());
    assert_eq!(drain(&mut conn), b"\x88\x02\x03\xe9");
    assert_eq!(conn.poll_end(), Some(FlowDownReason::Closed));
    let (mut conn, _) = upgraded();
    conn.close(at(1), FlowDownReason::Idle);
    assert_eq!(drain(&mut conn), b"\x88\x02\x03\xe9");
    assert_eq!(conn.poll_end(), Some(FlowDownReason::Idle));
}

#[test]
fn who_breaks_the_rules_of_websocket_is_told_why_and_closed() {
    let unmasked = b"\x81\x05hello".to_vec();
    let compressed = {
        let mut bytes = text(b"hello");
        bytes[0] |= 0x40;
        bytes
    };
    let giant = b"\x81\xff\x00\x00\x00\x01\x00\x00\x00\x00\x01\x02\x03\x04".to_vec();
    let lone_continuation = frame(CONTINUATION, true, b"x");
    let long_ping = frame(PING, true, &[b'x'; 126]);
    let broken_ping = frame(PING, false, b"x");
    let other_within = [frame(TEXT, false, b"x"), text(b"y")].concat();
    let unknown = frame(3, true, b"x");
    // None of its parts is too long.
    let part = |opcode| frame(opcode, false, &[b'x'; 60_000]);
    let giant_in_parts = [part(BINARY), part(CONTINUATION)].concat();
    let cases = [
        ("unmasked", unmasked, 1002),
        ("compressed", compressed, 1002),
        ("giant", giant, 1009),
        ("a continuation of nothing", lone_continuation, 1002),
        ("a ping that is too long", long_ping, 1002),
        ("a ping in parts", broken_ping, 1002),
        ("a message within another", other_within, 1002),
        ("a frame of no kind", unknown, 1002),
        ("giant in parts", giant_in_parts, 1009),
        ("no UTF-8", text(b"\xff\xff"), 1007),
    ];
    for (what, bytes, code) in cases {
        let (mut conn, backlog) = upgraded();
        conn.received(at(1), &bytes);
        assert!(arrivals(&mut conn, at(1)).is_empty(), "{what}");
        let out = drain(&mut conn);
        assert_eq!(out.get(2..4), Some(&u16::to_be_bytes(code)[..]), "{what}: {out:x?}");
        assert_eq!(conn.poll_end(), Some(FlowDownReason::Protocol), "{what}");
        assert_eq!(backlog.waiting(), 0, "{what}");
    }
}

#[test]
fn who_pings_without_end_is_answered_up_to_a_number_and_closed_with_1008() {
    for one in [frame(PING, true, b""), frame(PONG, true, b""), text(b""), text(b"\r\n\r\n"), text(b"\r\n")] {
        let (mut conn, backlog) = upgraded();
        let most = one.repeat(StreamOptions::default().keep_alives as usize);
        for bytes in [&most, &text(OPTIONS), &most] {
            conn.received(at(1), bytes);
            arrivals(&mut conn, at(1));
            // It reads what it is told.
            drain(&mut conn);
        }
        assert!(conn.wants_read() && conn.poll_end().is_none());
        conn.received(at(2), &one);
        assert!(arrivals(&mut conn, at(2)).is_empty());
        let said = drain(&mut conn);
        assert!(said.ends_with(b"\x88\x02\x03\xf0"), "1008: {said:x?}");
        assert_eq!((conn.poll_end(), backlog.waiting()), (Some(FlowDownReason::Limit), 0));
    }
}

#[test]
fn what_is_no_upgrade_to_sip_gets_an_answer_of_http() {
    let cases = [
        ("no subprotocol", UPGRADE.replace("Sec-WebSocket-Protocol: sip\r\n", ""), "HTTP/1.1 400 "),
        ("another one", UPGRADE.replace(": sip\r", ": chat\r"), "HTTP/1.1 400 "),
        ("no upgrade", "GET / HTTP/1.1\r\nHost: x\r\n\r\n".into(), "HTTP/1.1 426 "),
        ("another version", UPGRADE.replace(": 13", ": 8"), "HTTP/1.1 426 "),
        ("another method", UPGRADE.replace("GET", "POST"), "HTTP/1.1 405 "),
        ("SIP without WebSocket", String::from_utf8_lossy(OPTIONS).into(), "HTTP/1.1 "),
        ("noise", "\0\x01\x02\x03\r\n\r\n".into(), "HTTP/1.1 400 "),
        ("more than a head", "GET / HTTP/1.1\r\nX: ".to_owned() + &"y".repeat(70_000), "HTTP/1.1 400 "),
    ];
    for (what, request, status) in cases {
        let (mut conn, _) = accepting(Transport::Ws, &options());
        for piece in request.as_bytes().chunks(16_384) {
            conn.received(at(1), piece);
        }
        let answer = String::from_utf8(drain(&mut conn)).expect("text");
        assert!(
            answer.starts_with(status) && answer.to_ascii_lowercase().contains("connection: close"),
            "{what}: {answer}"
        );
        assert!(conn.poll_up().is_none(), "{what}");
        assert_eq!(conn.poll_end(), Some(FlowDownReason::Handshake), "{what}");
    }
}

#[test]
fn pages_of_other_origins_do_not_connect() {
    let web = crate::options::WebOptions {
        origins: vec!["https://phone.example.com".into()],
        ..Default::default()
    };
    let options = StreamOptions { web: web.into(), ..options() };
    for (origin, up) in [
        ("", true),
        ("Origin: https://phone.example.com\r\n", true),
        ("Origin: https://evil.example\r\n", false),
    ] {
        let (mut conn, _) = accepting(Transport::Ws, &options);
        conn.received(at(1), UPGRADE.replace("Upgrade: ", &format!("{origin}Upgrade: ")).as_bytes());
        assert_eq!(conn.poll_up().is_some(), up, "{origin}");
        let answer = String::from_utf8(drain(&mut conn)).expect("text");
        assert_eq!(answer.starts_with("HTTP/1.1 403 "), !up, "{answer}");
    }
}

#[test]
fn a_peer_that_pings_and_does_not_read_is_closed() {
    let (mut conn, backlog) = upgraded();
    let pings = frame(PING, true, &[b'p'; 125]).repeat(4);
    for _ in 0..10 {
        conn.received(at(1), &pings);
        arrivals(&mut conn, at(1));
    }
    assert!(!conn.wants_read());
    assert!(backlog.waiting() <= options().write_queue + 600, "{}", backlog.waiting());
}

#[test]
fn a_message_that_never_ends_has_its_deadline_on_a_websocket_too() {
    let (mut conn, _) = upgraded();
    let message = text(OPTIONS);
    conn.received(at(2), &message);
    arrivals(&mut conn, at(2));
    conn.received(at(10), &message[..9]);
    arrivals(&mut conn, at(10));
    assert_eq!(conn.poll_deadline(), at(40));
    conn.received(at(20), &frame(PING, true, b""));
    assert_eq!(conn.on_deadline(at(40)), Due::Close(FlowDownReason::Idle));
}

#[test]
fn a_ping_of_websocket_keeps_the_connection_and_begins_no_message() {
    let (mut conn, _) = upgraded();
    let idle = options().idle;
    for (second, bytes) in [(2, text(OPTIONS)), (10, frame(PING, true, b"p")), (20, text(b""))] {
        conn.received(at(second), &bytes);
        arrivals(&mut conn, at(second));
        drain(&mut conn);
        assert_eq!(conn.poll_deadline(), at(second) + idle, "at {second}");
    }
    // Half of a ping is a frame that began.
    conn.received(at(30), &frame(PING, true, b"p")[..3]);
    arrivals(&mut conn, at(30));
    assert_eq!(conn.poll_deadline(), at(60));
}

#[test]
fn sip_crosses_websocket_over_tls() {
    let pki = Pki::new();
    let options = tls_pair(&pki);
    let (mut server, backlog) = accepting(Transport::Wss, &options);
    let mut session = pki.client().connect("localhost").expect("a session");
    let mut come = Vec::new();
    for said in [UPGRADE.as_bytes(), &text(OPTIONS)] {
        std::io::Write::write_all(&mut session.writer(), said).expect("memory");
        for _ in 0..4 {
            let mut wire = Vec::new();
            while session.wants_write() {
                session.write_tls(&mut wire).expect("memory");
            }
            server.received(at(1), &wire);
            let back = drain(&mut server);
            let mut back = &back[..];
            while !back.is_empty() {
                session.read_tls(&mut back).expect("memory");
                let state = session.process_new_packets().expect("TLS");
                let mut plain = vec![0; state.plaintext_bytes_to_read()];
                std::io::Read::read_exact(&mut session.reader(), &mut plain).expect("memory");
                come.extend(plain);
            }
        }
    }
    assert_eq!(server.poll_up(), Some(Up { peer: None }));
    assert!(come.starts_with(b"HTTP/1.1 101 "));
    assert_eq!(arrivals(&mut server, at(1)), [format!("message of {}", OPTIONS.len())]);
    assert_eq!(backlog.waiting(), 0);
}

proptest! {
    /// However the bytes of a WebSocket are cut, the same comes out.
    #[test]
    fn any_split_of_the_bytes_gives_the_same_messages(
        kinds in prop::collection::vec((0u8..6, 0usize..300), 0..8),
        cuts in prop::collection::vec(1usize..90, 1..60),
    ) {
        let mut bytes = UPGRADE.as_bytes().to_vec();
        for (kind, size) in kinds {
            let payload = vec![b'a'; size];
            bytes.extend(match kind {
                0 | 1 => text(&payload),
                2 => frame(PING, true, &payload[..size.min(125)]),
                3 => [frame(TEXT, false, &payload), frame(CONTINUATION, true, b"z")].concat(),
                4 => text(b"\r\n\r\n"),
                _ => frame(CLOSE, true, b""),
            });
        }
        // tungstenite takes what follows a request in one piece with it for an attack: clients wait.
        let hear = |pieces: &mut dyn Iterator<Item = usize>| {
            let (mut conn, _) = accepting(Transport::Ws, &roomy());
            let (mut seen, mut said) = (Vec::new(), Vec::new());
            let (mut rest, mut head) = (&bytes[..], UPGRADE.len());
            while !rest.is_empty() {
                let most = if head > 0 { head } else { rest.len() };
                // It also takes a request in very many pieces for one.
                let least = if head > 0 { UPGRADE.len() / 60 + 1 } else { 1 };
                let take = pieces.next().unwrap_or(1).max(least).min(most);
                head = head.saturating_sub(take);
                conn.received(at(1), &rest[..take]);
                rest = &rest[take..];
                seen.extend(arrivals(&mut conn, at(1)));
                said.extend(drain(&mut conn));
            }
            (seen, said, conn.poll_end())
        };
        let whole = hear(&mut std::iter::repeat(usize::MAX));
        prop_assert_eq!(hear(&mut cuts.into_iter().cycle()), whole);
    }
}
