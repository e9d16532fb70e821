use proptest::prelude::*;

use super::*;
use crate::wire::{Bounds, Fault, ParseError, parse};

/// A message written with `\n` for line ends, on the wire.
fn wire(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

const REGISTER: &str = "REGISTER sip:example.com SIP/2.0
Via: SIP/2.0/UDP host5.example.com:5060;branch=z9hG4bK-39234;rport
Max-Forwards: 70
f: <sip:bob@example.com>;tag=93942939o2
TO : <sip:bob@example.com>
i: clerr.0ha0isndaksdj@10.0.0.1
CSeq: 8 REGISTER
Contact: <sip:bob@10.0.0.1;x=\"a,b\">;q=0.5 , ,
\t\"B, b\" <sip:bob@10.0.0.2>
m: <sip:bob@10.0.0.3>
X-Unknown:  kept, as it is 
Subject:
Content-Length: 4

body";

#[track_caller]
fn rejected(raw: &[u8]) -> (&'static str, Fault, bool) {
    let mut layout = Layout::new();
    let reject = parse(raw, &mut layout, &Bounds::default()).expect_err("is faulty");
    (reject.error.what, reject.error.fault, reject.partial.is_some())
}

fn request(lines: &str) -> Vec<u8> {
    wire(&format!("OPTIONS sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\n{lines}\n"))
}

#[test]
fn a_request_is_taken_apart() {
    let raw = wire(REGISTER);
    let mut layout = Layout::new();
    let message = parse(&raw, &mut layout, &Bounds::default()).expect("well-formed");
    assert_eq!(
        message.kind(),
        Kind::Request { method: Method::Register, method_raw: b"REGISTER", uri: b"sip:example.com" }
    );
    assert_eq!(message.header(Header::From), Some(&b"<sip:bob@example.com>;tag=93942939o2"[..]));
    assert_eq!(message.header(Header::To), Some(&b"<sip:bob@example.com>"[..]));
    assert_eq!(message.header(Header::Subject), Some(&b""[..]));
    assert_eq!(message.header(Header::Date), None);
    assert_eq!(message.other(b"x-unknown"), Some(&b"kept, as it is"[..]));
    assert_eq!(message.other(b"x-unknow"), None);
    assert_eq!(message.count(Header::Contact), 2);
    let contacts: Vec<_> = message.values(Header::Contact).collect();
    let expected: [&[u8]; 3] =
        [b"<sip:bob@10.0.0.1;x=\"a,b\">;q=0.5", b"\"B, b\" <sip:bob@10.0.0.2>", b"<sip:bob@10.0.0.3>"];
    assert_eq!(contacts, expected);
    assert_eq!(message.values(Header::Subject).count(), 0);
    assert_eq!(message.body(), b"body");
    assert!(message.first_line(Header::Contact).is_some_and(|l| l.is_folded() && !l.is_plain()));
}

#[test]
fn a_response_is_taken_apart() {
    for (line, status, reason) in [
        ("SIP/2.0 200 OK", 200, "OK"),
        ("sip/2.0 180 Es klingelt \u{fc}berall", 180, "Es klingelt \u{fc}berall"),
        ("SIP/2.0 100 ", 100, ""),
        ("SIP/2.0 699", 699, ""),
    ] {
        let raw = wire(&format!("{line}\nVia: SIP/2.0/UDP h\n\n"));
        let mut layout = Layout::new();
        let message = parse(&raw, &mut layout, &Bounds::default()).expect(line);
        assert_eq!(message.kind(), Kind::Response { status, reason: reason.as_bytes() });
    }
}

#[test]
fn line_ends_before_the_message_are_ignored() {
    let raw = [b"\r\n\r\n", &wire(REGISTER)[..]].concat();
    let mut layout = Layout::new();
    let message = parse(&raw, &mut layout, &Bounds::default()).expect("RFC 3261 s7.5");
    assert_eq!(message.raw(), wire(REGISTER));
}

#[test]
fn bare_line_feeds_end_lines() {
    let mut layout = Layout::new();
    let message = parse(REGISTER.as_bytes(), &mut layout, &Bounds::default()).expect("tolerated");
    assert_eq!(message.body(), b"body");
    assert!(message.lines().all(|l| !l.is_plain()));
}

#[test]
fn a_layout_can_be_used_again() {
    let mut layout = Layout::new();
    let raw = wire(REGISTER);
    parse(&raw, &mut layout, &Bounds::default()).expect("well-formed");
    let raw = request("");
    let message = parse(&raw, &mut layout, &Bounds::default()).expect("well-formed");
    assert_eq!(message.lines().count(), 1);
    assert_eq!(message.header(Header::From), None);
}

#[test]
fn faulty_start_lines_are_told_apart() {
    let fault = |line: &str| rejected(&wire(&format!("{line}\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\n\n")));
    assert_eq!(fault("OPTIONS sip:a@b SIP/7.0"), ("Request-Line", Fault::Version, true));
    assert_eq!(fault("OPTIONS sip:a@b SIP/2"), ("Request-Line", Fault::NotSip, false));
    assert_eq!(fault("OPTIONS  sip:a@b  SIP/2.0"), ("Request-Line", Fault::Malformed, true));
    assert_eq!(fault("OPTIONS sip:a@b SIP/2.0  "), ("Request-Line", Fault::Malformed, true));
    assert_eq!(fault("OPTIONS sip:a@b; lr SIP/2.0"), ("Request-Line", Fault::Malformed, true));
    assert_eq!(fault("OPTIONS  SIP/2.0"), ("Request-Line", Fault::Malformed, true));
    assert_eq!(fault("OPTIONS SIP/2.0"), ("Request-Line", Fault::Malformed, false));
    assert_eq!(fault("OPT(ONS sip:a@b SIP/2.0"), ("Request-Line", Fault::Malformed, false));
    assert_eq!(fault("GET / HTTP/1.1"), ("Request-Line", Fault::NotSip, false));
    assert_eq!(fault("SIP/2.0"), ("Status-Line", Fault::Malformed, false));
    assert_eq!(fault("SIP/2.0 20 OK"), ("Status-Line", Fault::Range, false));
    assert_eq!(fault("SIP/2.0 0200 OK"), ("Status-Line", Fault::Range, false));
    assert_eq!(fault("SIP/2.0 4294967301 better not"), ("Status-Line", Fault::Range, false));
    assert_eq!(fault("SIP/2.0 700 x"), ("Status-Line", Fault::Range, false));
    assert_eq!(fault("SIP/2.0 -20 x"), ("Status-Line", Fault::Malformed, false));
    assert_eq!(fault("SIP/3.0 200 OK"), ("Status-Line", Fault::Version, false));
    assert_eq!(fault("\u{1}\u{2}"), ("Request-Line", Fault::NotSip, false));
}

#[test]
fn faulty_header_lines_are_refused_and_the_others_still_seen() {
    assert_eq!(rejected(&request("no colon\n")), ("header", Fault::Malformed, true));
    assert_eq!(rejected(&request(": no name\n")), ("header", Fault::Malformed, true));
    assert_eq!(rejected(&request("a b: no token\n")), ("header", Fault::Malformed, true));
    assert_eq!(rejected(&request("From\u{b}: x\n")), ("header", Fault::Malformed, true));
    assert_eq!(rejected(&request("From: a\rb\n")), ("From", Fault::Malformed, true));
    assert_eq!(rejected(&request("From: a\0b\n")), ("From", Fault::Malformed, true));
    assert_eq!(rejected(&request("X-Y: a\0b\n")), ("header", Fault::Malformed, true));
    // White space before the first header line continues nothing.
    let raw = wire("OPTIONS sip:a@b SIP/2.0\n Via: x\nVia: SIP/2.0/UDP h\n\n");
    assert_eq!(rejected(&raw), ("header", Fault::Malformed, true));

    let raw = request("From: a\rb\nTo: <sip:x@y>\n");
    let mut layout = Layout::new();
    let reject = parse(&raw, &mut layout, &Bounds::default()).expect_err("a bare CR");
    let partial = reject.partial.expect("has a Via");
    assert_eq!(partial.header(Header::From), None);
    assert_eq!(partial.header(Header::To), Some(&b"<sip:x@y>"[..]));
}

#[test]
fn a_quoted_nul_is_a_character_like_others() {
    // RFC 4475 s3.1.1.2
    let raw = request("To: \"NUL:\\\0 DEL:\\\u{7f}\" <sip:a@b>\n");
    let mut layout = Layout::new();
    assert!(parse(&raw, &mut layout, &Bounds::default()).is_ok());
}

#[test]
fn headers_that_stand_once_may_not_be_repeated() {
    assert_eq!(rejected(&request("To: <sip:a@b>\nt: <sip:a@b>\n")), ("To", Fault::Repeated, true));
    assert_eq!(rejected(&request("CSeq: 1 OPTIONS\nCSeq: 1 OPTIONS\n")), ("CSeq", Fault::Repeated, true));
    assert_eq!(rejected(&request("Expires: 1\nExpires: 1\n")), ("Expires", Fault::Repeated, true));
    let raw = request("Allow: INVITE\nAllow: ACK\nUser-Agent: a\nUser-Agent: b\n");
    let mut layout = Layout::new();
    assert!(parse(&raw, &mut layout, &Bounds::default()).is_ok());
}

#[test]
fn content_length_ends_the_body() {
    let body = |lines: &str, body: &str| {
        let raw = [&request(lines)[..], body.as_bytes()].concat();
        let mut layout = Layout::new();
        match parse(&raw, &mut layout, &Bounds::default()) {
            Ok(message) => Ok(String::from_utf8_lossy(message.body()).into_owned()),
            Err(reject) => Err((reject.error.what, reject.error.fault)),
        }
    };
    assert_eq!(body("", "the rest"), Ok("the rest".into()));
    assert_eq!(body("l: 3\n", "the rest"), Ok("the".into()));
    assert_eq!(body("l: 3\nContent-Length: 003\n", "the rest"), Ok("the".into()));
    assert_eq!(body("l: 0\n", ""), Ok(String::new()));
    assert_eq!(body("Content-Length:\n\t3\n", "the rest"), Ok("the".into()));
    assert_eq!(body("l: 9\n", "the rest"), Err(("body", Fault::Truncated)));
    assert_eq!(body("l: 99999999999999999999\n", "the rest"), Err(("body", Fault::Truncated)));
    assert_eq!(body("l: 5\nl: 4\n", "the rest"), Err(("Content-Length", Fault::Repeated)));
    for value in ["-1", "five", "", "+3", "3, 3", "3 3", "0x3"] {
        assert_eq!(
            body(&format!("l: {value}\n"), "the rest"),
            Err(("Content-Length", Fault::Malformed)),
            "{value}"
        );
    }
}

#[test]
fn bounds_are_kept() {
    let raw = request("A: 1\nB: 2\n");
    let mut layout = Layout::new();
    let bounds = Bounds { message_bytes: raw.len(), headers: 3 };
    assert!(parse(&raw, &mut layout, &bounds).is_ok());
    let tight = Bounds { headers: 2, ..bounds };
    let reject = parse(&raw, &mut layout, &tight).expect_err("three lines");
    assert_eq!(reject.error, ParseError::new("message", Fault::TooMany));
    assert_eq!(reject.partial.map(|m| m.lines().count()), Some(2));
    let tight = Bounds { message_bytes: raw.len() - 1, ..bounds };
    let reject = parse(&raw, &mut layout, &tight).expect_err("one byte too long");
    assert_eq!(reject.error, ParseError::new("message", Fault::TooLong));
    assert!(reject.partial.is_some());
}

#[test]
fn more_than_the_inline_lines_are_kept() {
    let lines: String = (0..150).map(|i| format!("X-{i}: {i}\n")).collect();
    let raw = request(&lines);
    let mut layout = Layout::new();
    let message = parse(&raw, &mut layout, &Bounds::default()).expect("within bounds");
    assert_eq!(message.lines().count(), 151);
    assert_eq!(message.other(b"x-149"), Some(&b"149"[..]));
}

#[test]
fn ten_thousand_lines_of_64_kib_are_refused() {
    let raw = request(&"a:\n".repeat(16_000));
    assert_eq!(rejected(&raw), ("message", Fault::TooMany, true));
    let long = request(&format!("Subject: {}\n", "x".repeat(70_000)));
    assert_eq!(rejected(&long), ("message", Fault::TooLong, true));
}

#[test]
fn a_message_cut_anywhere_is_refused() {
    let raw = wire(REGISTER);
    for n in 0..raw.len() {
        let mut layout = Layout::new();
        let reject = parse(&raw[..n], &mut layout, &Bounds::default()).expect_err("cut");
        assert!(matches!(reject.error.fault, Fault::Truncated | Fault::NotSip), "{n}: {:?}", reject.error);
    }
}

#[test]
fn a_held_message_reads_like_the_borrowed_one() {
    let raw = [&wire(REGISTER)[..], b"extra"].concat();
    let mut layout = Layout::new();
    let message = parse(&raw, &mut layout, &Bounds::default()).expect("well-formed");
    let held = message.to_held();
    assert_eq!(held.bytes(), &wire(REGISTER));
    assert!(held.message().lines().eq(message.lines()));
    assert_eq!(held.message().kind(), message.kind());
}

#[test]
fn the_layout_stays_small() {
    // It is a local of every call that takes a message.
    assert!(size_of::<Layout>() <= 1024, "{}", size_of::<Layout>());
    assert_eq!(size_of::<Entry>(), 12);
}

fn lossless(raw: &[u8]) -> Result<(), TestCaseError> {
    let mut layout = Layout::new();
    let Ok(message) = parse(raw, &mut layout, &Bounds::default()) else { return Ok(()) };
    let mut again = message.start_line().to_vec();
    message.lines().for_each(|l| again.extend_from_slice(l.raw()));
    let empty = &message.head()[again.len()..];
    prop_assert!(empty == b"\r\n" || empty == b"\n");
    again.extend_from_slice(empty);
    again.extend_from_slice(message.body());
    prop_assert_eq!(&again[..], message.raw());
    prop_assert_eq!(again.len() <= raw.len(), true);
    Ok(())
}

proptest! {
    #[test]
    fn mutated_messages_never_panic_and_parsed_ones_lose_nothing(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), prop_oneof![
            any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b' '), Just(b':'), Just(0u8), Just(b',')
        ], 0u8..3), 0..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut raw = wire(REGISTER);
        for (at, byte, edit) in edits {
            let at = at.index(raw.len());
            match edit {
                0 => raw[at] = byte,
                1 => raw.insert(at, byte),
                _ => { raw.remove(at); }
            }
        }
        if let Some(cut) = cut {
            raw.truncate(cut.index(raw.len()));
        }
        lossless(&raw)?;
        let mut layout = Layout::new();
        let message = match parse(&raw, &mut layout, &Bounds::default()) {
            Ok(message) => Some(message),
            Err(reject) => reject.partial,
        };
        if let Some(message) = message {
            for header in Header::ALL {
                prop_assert_eq!(message.headers(header).count(), message.count(header));
                message.values(header).for_each(drop);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(raw in proptest::collection::vec(any::<u8>(), 0..300)) {
        lossless(&raw)?;
    }
}
