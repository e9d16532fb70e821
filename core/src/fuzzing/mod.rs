//! Entry points for the fuzz targets in `fuzz/`, each a function of bytes that panics when something that must hold does
//! not. They live here so that clippy sees them and tests replay the committed corpora.

mod documents;
mod events;
mod program;

use std::net::{IpAddr, Ipv4Addr};

pub use documents::pidf;
pub use events::event_headers;
pub use program::{CallStep, Op, Pause, Program, Step, call_headers, engine_ops};

use crate::base::HashKey;
use crate::wire::framer::{Frame, Framer};
use crate::wire::{
    self, AuthValue, Bounds, Challenge, ContactValue, Credentials, Cseq, Date, Event, Header, Host, Layout,
    Message, NameAddr, Params, ResponseWriter, Status, SubscriptionState, Uri, Via, split,
};

const BOUNDS: Bounds = Bounds { message_bytes: 65_535, headers: 200 };

/// A whole message: what is read lies within it, nothing is lost, and the answer to it can be read again.
pub fn parse_message(data: &[u8]) {
    let mut layout = Layout::new();
    let (msg, fault) = match wire::parse(data, &mut layout, &BOUNDS) {
        Ok(msg) => (msg, None),
        Err(reject) => match reject.partial {
            Some(msg) => (msg, Some(reject.error)),
            None => return,
        },
    };
    look_at(msg);
    if fault.is_none() {
        let head: usize = msg.lines().map(|line| line.raw().len()).sum();
        assert!(msg.start_line().len() + head <= msg.head().len(), "lines are parts of the head");
        assert!(msg.head().len() + msg.body().len() <= data.len(), "the body lies in the message");
        let held = msg.to_held();
        assert_eq!(held.message().raw(), msg.raw(), "the owned form is the same message");
        assert_eq!(held.message().lines().count(), msg.lines().count());
    }
    if msg.is_request() && msg.via().is_ok() {
        answer_is_readable(msg);
    }
}

fn look_at(msg: Message<'_>) {
    for header in Header::ALL {
        let lines = msg.headers(header).count();
        assert_eq!(lines, msg.count(header), "{}", header.name());
        let _ = (msg.header(header), msg.values(header).count());
    }
    let _ =
        (msg.essentials(), msg.via(), msg.from(), msg.to(), msg.cseq(), msg.call_id(), msg.max_forwards());
    let _ = (msg.expires(), msg.content_length(), msg.content_type(), msg.status(), msg.kind());
    msg.contacts().take(100).filter_map(Result::ok).for_each(|c| {
        let _ = (c.q(), c.expires(), c.reg_id());
    });
    msg.vias().take(100).filter_map(Result::ok).for_each(|v| {
        let _ = (v.rport(), v.received(), v.ttl());
    });
}

/// RFC 3261 s7: whatever was copied from the request, the answer has whole lines and no other line ends.
fn answer_is_readable(msg: Message<'_>) {
    let mut arena = wire::Arena::new();
    let source = (IpAddr::V4(Ipv4Addr::LOCALHOST), 5060);
    let mut writer = ResponseWriter::new(&mut arena, msg, Status::BAD_REQUEST, Some("tag"), Some(source));
    writer.header(Header::Server, msg.header(Header::UserAgent).unwrap_or_default());
    let answer = writer.finish();
    let head = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("the head of an answer ends");
    let mut layout = Layout::new();
    let read = wire::parse(&answer, &mut layout, &Bounds { message_bytes: usize::MAX, headers: usize::MAX });
    let read = read.unwrap_or_else(|reject| panic!("{}: {}", reject.error, String::from_utf8_lossy(&answer)));
    assert_eq!((read.status(), read.body().len(), read.count(Header::Server)), (Some(400), 0, 1));
    assert_eq!(head + 4, answer.len(), "an answer is its head");
    for line in read.lines() {
        let bare = line.raw().split(|b| *b == b'\n').rev().skip(1).any(|part| !part.ends_with(b"\r"));
        assert!(!bare, "a bare line end in {:?}", String::from_utf8_lossy(line.raw()));
    }
}

/// A URI: comparison is reflexive and symmetric, and equal URIs hash equal (RFC 3261 s19.1.4).
pub fn uri(data: &[u8]) {
    let mut halves = data.splitn(2, |b| *b == b'\n');
    let (Some(a), b) = (halves.next(), halves.next().unwrap_or_default()) else { return };
    let _ = (Host::parse(a), Host::parse_bare(a));
    let Ok(a) = Uri::parse(a) else { return };
    let key = HashKey::new([1, 2]);
    assert!(a.equivalent(&a) || !a.is_sip(), "{:?} equals itself", String::from_utf8_lossy(a.raw()));
    let _ = (a.user(), a.password(), a.host(), a.port(), a.transport(), a.has_lr(), a.headers());
    a.params().iter().for_each(|p| {
        let _ = p.value();
    });
    let Ok(b) = Uri::parse(b) else { return };
    assert_eq!(a.equivalent(&b), b.equivalent(&a), "comparison is symmetric");
    if a.equivalent(&b) {
        assert_eq!(a.hash_equivalent(&key), b.hash_equivalent(&key), "equal URIs hash equal");
    }
}

/// The grammars of header values, one after the other.
pub fn header_values(data: &[u8]) {
    let _ = NameAddr::parse(data).map(|a| (a.tag().is_some(), a.params.iter().count(), a.uri.port()));
    let _ = ContactValue::parse(data)
        .map(|c| (c.q(), c.expires(), c.instance(), c.reg_id(), c.other_params().count()));
    let _ = Via::parse(data).map(|v| (v.branch(), v.rport(), v.received(), v.maddr(), v.ttl()));
    let _ = (Cseq::parse(data), Event::parse(data), Date::parse(data), SubscriptionState::parse(data));
    let _ = Params::parse(data).map(|p| {
        p.iter().for_each(|p| {
            let _ = p.value();
        })
    });
    let pieces: usize = split::commas(data).map(<[u8]>::len).sum();
    assert!(pieces <= data.len(), "elements are parts of the value");
    assert!(split::unfold(data).len() <= data.len(), "unfolding does not lengthen");
    if let Ok(time) = Date::parse(data) {
        assert_eq!(Date::parse(Date::of(time).as_bytes()), Ok(time), "what is written is read");
    }
}

/// A stream: frames do not depend on how it was cut into pieces.
pub fn framer(data: &[u8]) {
    let Some((cut, stream)) = data.split_first() else { return };
    let frames = |piece: usize| {
        let mut framer = Framer::new(4096);
        let (mut out, mut most) = (Vec::new(), 0);
        for piece in stream.chunks(piece.max(1)) {
            framer.push(piece);
            while let Some(frame) = framer.next() {
                let last = matches!(frame, Frame::Bad { .. });
                out.push(match frame {
                    Frame::Message(bytes) => (0, bytes.to_vec()),
                    Frame::Ping => (1, Vec::new()),
                    Frame::Pong => (2, Vec::new()),
                    Frame::Bad { reason, .. } => (3 + reason as u8, Vec::new()),
                });
                if last {
                    return (out, most);
                }
            }
            most = most.max(framer.buffered());
        }
        (out, most)
    };
    let (whole, _) = frames(stream.len());
    let (pieces, most) = frames(usize::from(*cut));
    // Two keep-alives that run together are one ping or two pongs, depending on when they were seen.
    let messages = |f: &[(u8, Vec<u8>)]| {
        f.iter().filter(|(kind, _)| *kind != 1 && *kind != 2).cloned().collect::<Vec<_>>()
    };
    assert_eq!(messages(&whole), messages(&pieces));
    assert!(most <= 4096 + 256, "the buffer is bounded: {most}");
}

/// Digest credentials and challenges: views over parameters.
pub fn digest_credentials(data: &[u8]) {
    let look = |value: Option<AuthValue<'_>>| {
        let Some(value) = value else { return };
        let mut out = Vec::new();
        value.unquote_into(&mut out);
        assert!(out.len() <= value.raw().len());
        assert!(value.is(&out), "a value equals its own bytes");
        assert_eq!(value.bytes().collect::<Vec<_>>(), out);
        let _ = (value.plain(), value.is_quoted(), value.tokens().count());
    };
    if let Ok(Credentials::Digest(d)) = Credentials::parse(data) {
        for value in [
            d.username,
            d.username_star,
            d.realm,
            d.nonce,
            d.uri,
            d.response,
            d.algorithm,
            d.qop,
            d.nc,
            d.cnonce,
        ] {
            look(value);
        }
    }
    if let Ok(Challenge::Digest(d)) = Challenge::parse(data) {
        for value in
            [d.realm, d.domain, d.nonce, d.opaque, d.stale, d.algorithm, d.qop, d.charset, d.userhash]
        {
            look(value);
        }
    }
    program::authorization(data, program::Scheme::Digest);
}

/// Bearer credentials and challenges: a token is never more than its alphabet.
pub fn bearer_credentials(data: &[u8]) {
    if let Ok(Credentials::Bearer(token)) = Credentials::parse(data) {
        let known = |b: &u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(b);
        assert!(!token.is_empty() && token.iter().all(known), "{:?}", String::from_utf8_lossy(token));
    }
    let _ = Challenge::parse(data);
    program::authorization(data, program::Scheme::Bearer);
}
