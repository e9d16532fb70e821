//! Connections, whatever comes and however it is cut: plain streams (RFC 3261 s18.3) and WebSocket (RFC 6455, RFC 7118).

use std::io::IoSlice;

use strowger_core::base::Time;
use strowger_core::door::{FlowDownReason, Transport};
use strowger_shell::backlog::Backlog;
use strowger_shell::connection::{Arrival, Connection, Layers, Opened, PIECES};
use strowger_shell::options::StreamOptions;

/// What asks for SIP over WebSocket (RFC 7118 s4).
const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\r\n";

/// Far longer than anything a target is given.
const LONGEST: usize = 65_535;

/// What came of it: what arrived, what was answered, how it ended.
type Heard = (Vec<String>, Vec<u8>, Option<FlowDownReason>);

/// What the bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// A plain stream that the peer opened.
    Plain,
    /// A plain stream that we opened.
    PlainOfOurs,
    /// A WebSocket from its first byte, the request.
    Web,
    /// What follows a good request: raw.
    WebBytes,
    /// The same, as frames: each its first byte, its length and its payload, masked here.
    WebFrames,
}

/// The first byte says what the others are, the next four how they are cut.
pub(crate) fn connection(data: &[u8]) {
    let Some(([kind, cuts @ ..], rest)) = data.split_first_chunk::<5>() else { return };
    let kind = match kind % 5 {
        0 => Kind::Plain,
        1 => Kind::PlainOfOurs,
        2 => Kind::Web,
        3 => Kind::WebBytes,
        _ => Kind::WebFrames,
    };
    let rest = rest.get(..rest.len().min(8_192)).unwrap_or_default();
    let bytes = match kind {
        Kind::Plain | Kind::PlainOfOurs | Kind::Web => rest.to_vec(),
        Kind::WebBytes => [UPGRADE, rest].concat(),
        Kind::WebFrames => [UPGRADE, &frames(rest)].concat(),
    };
    let whole = hear(kind, &bytes, &mut std::iter::repeat(usize::MAX));
    let mut pieces = cuts.iter().cycle().map(|cut| usize::from(*cut) + 1);
    let cut = hear(kind, &bytes, &mut pieces);
    // What follows a request in one piece with it is refused (clients wait), so that its end must be known.
    if kind != Kind::Web {
        assert_eq!(cut, whole, "{kind:?}");
    }
}

fn hear(kind: Kind, bytes: &[u8], pieces: &mut dyn Iterator<Item = usize>) -> Heard {
    let (options, now) = (StreamOptions::default(), Time::from_secs(1_000_000));
    let backlog = Backlog::new(options.write_queue);
    let opened = if kind == Kind::PlainOfOurs { Opened::ByUs } else { Opened::ByPeer };
    let layers = match kind {
        Kind::Plain | Kind::PlainOfOurs => Layers::default(),
        _ => Layers::accept(Transport::Ws, LONGEST, &options, None).expect("layers without TLS"),
    };
    let mut conn = Connection::new(now, opened, layers, LONGEST, &options, backlog.clone());
    let mut head = if matches!(kind, Kind::WebBytes | Kind::WebFrames) { UPGRADE.len() } else { 0 };
    let (mut seen, mut said, mut rest) = (Vec::new(), Vec::new(), bytes);
    while !rest.is_empty() {
        let most = if head > 0 { head } else { rest.len() };
        let (piece, behind) = rest.split_at(pieces.next().unwrap_or(1).min(most));
        (rest, head) = (behind, head.saturating_sub(piece.len()));
        conn.received(now, piece);
        let _ = conn.poll_up();
        while let Some(arrival) = conn.poll_arrival() {
            seen.push(match arrival {
                Arrival::Message(message) => format!("message {}", message.escape_ascii()),
                Arrival::KeepAlive(kind) => format!("{kind:?}"),
                // Of its head there is as much as came.
                Arrival::Bad { reason, .. } => format!("{reason:?}"),
            });
        }
        conn.settle(now);
        while conn.wants_write() {
            let mut slots = [IoSlice::new(&[]); PIECES];
            let filled = conn.output(&mut slots);
            let out: Vec<u8> = slots.iter().take(filled).flat_map(|slot| slot.to_vec()).collect();
            assert!(!out.is_empty(), "it wants to write nothing");
            conn.sent(now, out.len());
            said.extend(out);
        }
    }
    let _ = (conn.poll_deadline(), conn.on_deadline(now));
    let end = conn.poll_end();
    drop(conn);
    assert_eq!(backlog.waiting(), 0, "nothing waits for a connection that is gone");
    (seen, said, end)
}

/// RFC 6455 s5.2: frames of a client, masked; a byte of length, so that none is long.
fn frames(mut rest: &[u8]) -> Vec<u8> {
    let (mask, mut out) = ([1, 2, 3, 4], Vec::new());
    while let Some(([first, length], behind)) = rest.split_first_chunk::<2>() {
        let (payload, behind) = behind.split_at(usize::from(*length).min(behind.len()));
        rest = behind;
        out.push(*first);
        match payload.len() {
            short @ ..126 => out.push(0x80 | short as u8),
            long => out.extend([0x80 | 126, 0, long as u8]),
        }
        out.extend(mask);
        out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }
    out
}
