//! WebSocket on connections that we open (RFC 6455 s4.1, RFC 7118 s4): against our own server's side, and against servers
//! that do what they should not.

use tungstenite::handshake::derive_accept_key;

use super::layers::{Pki, accepting, dialling, drain, roomy, shuttle, tls_pair};
use super::*;

/// What is asked for, and with which key.
fn asked(conn: &mut Connection) -> (String, String) {
    let request = String::from_utf8(drain(conn)).expect("text");
    let key = request.split("\r\n").find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    (request.clone(), key.expect("a key").into())
}

fn answer(key: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: sip\r\n\r\n",
        derive_accept_key(key.as_bytes())
    )
}

/// A message and a keep-alive cross, and the answer to that comes.
fn says(from: &mut Connection, to: &mut Connection, backlog: &Backlog, piece: usize) {
    assert!(backlog.reserve(OPTIONS.len() + 4));
    from.queue(at(1), Bytes::from_static(OPTIONS));
    from.queue(at(1), Bytes::from_static(b"\r\n\r\n"));
    shuttle(from, to, piece);
    assert_eq!(arrivals(to, at(1)), [format!("message of {}", OPTIONS.len())]);
    shuttle(to, from, piece);
    assert_eq!(arrivals(from, at(1)), ["Pong"]);
    assert_eq!(backlog.waiting(), 0);
}

#[test]
fn messages_and_keepalives_cross_to_a_server_and_back() {
    let pki = Pki::new();
    let options = tls_pair(&pki);
    let whole = format!("message of {}", OPTIONS.len());
    for transport in [Transport::Ws, Transport::Wss] {
        for piece in [7, 100_000] {
            let (mut server, backlog) = accepting(transport, &options);
            let (mut client, own) = dialling(transport, &options, "localhost");
            assert_eq!((server.poll_up(), client.poll_up()), (None, None));
            // Queued before anything is agreed on.
            assert!(own.reserve(OPTIONS.len()));
            client.queue(at(0), Bytes::from_static(OPTIONS));
            shuttle(&mut client, &mut server, piece);
            assert_eq!(server.poll_up(), Some(Up { peer: None }));
            assert!(client.poll_up().is_some());
            assert_eq!(arrivals(&mut server, at(1)), [&*whole]);
            says(&mut server, &mut client, &backlog, piece);
            says(&mut client, &mut server, &own, piece);
            client.close(at(1), FlowDownReason::Idle);
            shuttle(&mut client, &mut server, piece);
            assert!(arrivals(&mut server, at(1)).is_empty());
            drain(&mut server);
            assert_eq!(server.poll_end(), Some(FlowDownReason::Closed));
        }
    }
}

#[test]
fn a_server_is_asked_for_sip_by_its_name_port_and_path() {
    let options = StreamOptions {
        web: crate::options::WebOptions { path: "/ws".into(), ..Default::default() }.into(),
        ..roomy()
    };
    for (name, port, path, host) in [
        ("sip.example.com", 80, "/ws", "sip.example.com"),
        ("sip.example.com", 8080, "/ws", "sip.example.com:8080"),
        ("2001:db8::1", 80, "/ws", "[2001:db8::1]"),
        ("[2001:db8::1]", 443, "/ws", "[2001:db8::1]:443"),
    ] {
        let layers = Layers::connect(Transport::Ws, (Some(name), port), 65_535, &options).expect("layers");
        let backlog = Backlog::new(options.write_queue);
        let mut conn = Connection::new(at(0), Opened::ByUs, layers, 65_535, &options, backlog);
        let (request, key) = asked(&mut conn);
        assert!(request.starts_with(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n")), "{request}");
        for line in [
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: sip",
        ] {
            assert!(request.contains(&format!("\r\n{line}\r\n")), "{request}");
        }
        assert_eq!(key.len(), 24);
        conn.received(at(1), answer(&key).as_bytes());
        assert!(conn.poll_up().is_some(), "{name}");
    }
    for name in [None, Some("a b"), Some("a\r\nX: y"), Some("a/b@c"), Some("")] {
        let layers = Layers::connect(Transport::Ws, (name, 80), 65_535, &options);
        let asks = |layers| {
            let conn = Connection::new(at(0), Opened::ByUs, layers, 65_535, &options, Backlog::new(1 << 20));
            output(&conn)
        };
        let said = layers.map(asks).map(|said| String::from_utf8_lossy(&said).into_owned());
        assert!(said.as_ref().is_none_or(|said| !said.contains("X: y")), "{name:?}: {said:?}");
    }
}

/// What a server says to who asked with this key.
type Answers = Box<dyn Fn(&str) -> String>;

#[test]
fn a_server_that_does_not_agree_to_sip_is_left() {
    let good = |key: &str| answer(key);
    let cases: [(&str, Answers); 12] = [
        ("the key of another", Box::new(move |_| good("dGhlIHNhbXBsZSBub25jZQ=="))),
        ("no key", Box::new(move |key| good(key).replace("Sec-WebSocket-Accept", "X-Accept"))),
        ("no subprotocol", Box::new(move |key| good(key).replace("Sec-WebSocket-Protocol: sip\r\n", ""))),
        ("another one", Box::new(move |key| good(key).replace(": sip\r", ": chat\r"))),
        (
            "an extension",
            Box::new(move |key| {
                good(key).replace("Upgrade: ", "Sec-WebSocket-Extensions: permessage-deflate\r\nUpgrade: ")
            }),
        ),
        ("no upgrade", Box::new(move |key| good(key).replace("Upgrade: websocket\r\n", ""))),
        (
            "a connection that stays as it is",
            Box::new(move |key| good(key).replace(": Upgrade\r", ": close\r")),
        ),
        ("forbidden", Box::new(|_| "HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno\n".into())),
        ("not found", Box::new(|_| "HTTP/1.1 404 Not Found\r\n\r\n".into())),
        ("elsewhere", Box::new(|_| "HTTP/1.1 302 Found\r\nLocation: ws://evil.example/\r\n\r\n".into())),
        ("SIP", Box::new(|_| "SIP/2.0 400 Bad Request\r\n\r\n".into())),
        ("no end", Box::new(|_| "HTTP/1.1 101 Y\r\nX: ".to_owned() + &"y".repeat(70_000))),
    ];
    for (what, answer) in cases {
        let (mut conn, backlog) = dialling(Transport::Ws, &roomy(), "localhost");
        let (_, key) = asked(&mut conn);
        assert!(backlog.reserve(OPTIONS.len()));
        conn.queue(at(0), Bytes::from_static(OPTIONS));
        for piece in answer(&key).as_bytes().chunks(16_384) {
            conn.received(at(1), piece);
        }
        assert!(conn.poll_up().is_none() && arrivals(&mut conn, at(1)).is_empty(), "{what}");
        assert_eq!(
            (drain(&mut conn), conn.poll_end()),
            (Vec::new(), Some(FlowDownReason::Handshake)),
            "{what}"
        );
        drop(conn);
        assert_eq!(backlog.waiting(), 0, "{what}");
    }
    // One that says nothing has its time.
    let (mut conn, _) = dialling(Transport::Ws, &roomy(), "localhost");
    conn.received(at(1), b"HTTP/1.1 101 Sw");
    assert_eq!(conn.poll_deadline(), at(10));
    assert_eq!(conn.on_deadline(at(10)), Due::Close(FlowDownReason::Handshake));
}

#[test]
fn what_we_send_is_masked_and_what_comes_masked_breaks_the_rules() {
    let opened = || {
        let (mut conn, backlog) = dialling(Transport::Ws, &roomy(), "localhost");
        let (_, key) = asked(&mut conn);
        (conn, backlog, answer(&key).into_bytes())
    };
    let (mut conn, backlog, answer) = opened();
    // The first message may come in one piece with the answer.
    conn.received(at(1), &[&answer[..], b"\x81\x05hello"].concat());
    assert!(conn.poll_up().is_some());
    assert_eq!(arrivals(&mut conn, at(1)), ["message of 5"]);
    assert!(backlog.reserve(5));
    conn.queue(at(1), Bytes::from_static(b"hello"));
    let said = drain(&mut conn);
    assert_eq!((said.len(), &said[..2]), (11, &b"\x81\x85"[..]), "{said:x?}");
    let unmasked: Vec<u8> = said[6..].iter().zip(said[2..6].iter().cycle()).map(|(a, b)| a ^ b).collect();
    assert_eq!(unmasked, b"hello");
    for (what, bytes, code) in [
        ("masked", b"\x81\x85\x01\x02\x03\x04igohn".to_vec(), 1002u16),
        ("compressed", b"\xc1\x05hello".to_vec(), 1002),
        ("giant", b"\x81\x7f\x00\x00\x00\x01\x00\x00\x00\x00".to_vec(), 1009),
        ("no UTF-8", b"\x81\x02\xff\xff".to_vec(), 1007),
    ] {
        let (mut conn, backlog, answer) = opened();
        conn.received(at(1), &answer);
        assert!(conn.poll_up().is_some(), "{what}");
        conn.received(at(1), &bytes);
        assert!(arrivals(&mut conn, at(1)).is_empty(), "{what}");
        let out = drain(&mut conn);
        let said: Vec<u8> = out[6..].iter().zip(out[2..6].iter().cycle()).map(|(a, b)| a ^ b).collect();
        assert_eq!((out[0], &said[..2]), (0x88, &code.to_be_bytes()[..]), "{what}: {out:x?}");
        assert_eq!(conn.poll_end(), Some(FlowDownReason::Protocol), "{what}");
        assert_eq!(backlog.waiting(), 0, "{what}");
    }
}
