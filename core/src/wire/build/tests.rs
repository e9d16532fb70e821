use std::net::Ipv4Addr;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::wire::{Bounds, Fault, Layout, Method, ParseError, Status, parse};

const REGISTER: &str = "REGISTER sip:example.com SIP/2.0
Via: SIP/2.0/UDP 10.0.0.5:5062;rport;branch=z9hG4bK-39234, SIP/2.0/TCP first.example.com;branch=z9hG4bK1
Max-Forwards: 70
From: \"Bob\" <sip:bob@example.com>;tag=93942939o2
To: <sip:bob@example.com>
Call-ID: clerr.0ha0isndaksdj@10.0.0.1
CSeq: 8 REGISTER
Contact: <sip:bob@10.0.0.5:5062>
v: SIP/2.0/UDP last.example.com
Timestamp: 54.3
Record-Route: <sip:p1.example.com;lr>
Record-Route: <sip:p2.example.com;lr>
Content-Length: 0

";

const NAT: Option<(IpAddr, u16)> = Some((IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 40_001));

/// The response to a request written with `\n`, shown with `\n`; a CR or LF out of place shows as `\r` or `\n`.
fn respond(
    request: &str,
    status: StatusLine<'_>,
    to_tag: Option<&str>,
    source: Option<(IpAddr, u16)>,
    more: impl FnOnce(&mut ResponseWriter<'_>),
) -> String {
    let raw = request.replace('\n', "\r\n").into_bytes();
    let mut layout = Layout::new();
    let message = match parse(&raw, &mut layout, &Bounds::default()) {
        Ok(message) => message,
        Err(reject) => reject.partial.expect("has a Via"),
    };
    let mut arena = Arena::new();
    let mut writer = ResponseWriter::new(&mut arena, message, status, to_tag, source);
    more(&mut writer);
    shown(&writer.finish())
}

fn shown(bytes: &[u8]) -> String {
    let lines: Vec<String> = String::from_utf8_lossy(bytes)
        .split("\r\n")
        .map(|l| l.replace('\r', "\\r").replace('\n', "\\n"))
        .collect();
    lines.join("\n")
}

fn ok() -> StatusLine<'static> {
    Status::OK.into()
}

#[test]
fn a_response_copies_what_it_must() {
    let text = respond(REGISTER, ok(), Some("0tag"), NAT, |w| {
        w.record_route();
        w.timestamp();
        w.value(Header::Contact, |v| {
            v.text(b"<sip:bob@10.0.0.5:5062>;expires=");
            v.number(3600);
            v.text(b";+sip.instance=");
            v.quoted(b"<urn:uuid:\"1\\2>");
        });
        w.list(Header::Supported, ["path", "outbound", "gruu"]);
        w.list(Header::Unsupported, [""; 0]);
        w.number(Header::MinExpires, 60);
    });
    assert_snapshot!(text, @r#"
    SIP/2.0 200 OK
    Via: SIP/2.0/UDP 10.0.0.5:5062;branch=z9hG4bK-39234;received=192.0.2.1;rport=40001, SIP/2.0/TCP first.example.com;branch=z9hG4bK1
    From: "Bob" <sip:bob@example.com>;tag=93942939o2
    To: <sip:bob@example.com>;tag=0tag
    Call-ID: clerr.0ha0isndaksdj@10.0.0.1
    CSeq: 8 REGISTER
    v: SIP/2.0/UDP last.example.com
    Record-Route: <sip:p1.example.com;lr>
    Record-Route: <sip:p2.example.com;lr>
    Timestamp: 54.3
    Contact: <sip:bob@10.0.0.5:5062>;expires=3600;+sip.instance="<urn:uuid:\"1\\2>"
    Supported: path, outbound, gruu
    Min-Expires: 60
    Content-Length: 0
    "#);
}

#[test]
fn a_trying_has_no_to_tag_of_ours() {
    let text = respond(REGISTER, Status::TRYING.into(), Some("0tag"), None, |_| {});
    assert_snapshot!(text, @r#"
    SIP/2.0 100 Trying
    Via: SIP/2.0/UDP 10.0.0.5:5062;rport;branch=z9hG4bK-39234, SIP/2.0/TCP first.example.com;branch=z9hG4bK1
    From: "Bob" <sip:bob@example.com>;tag=93942939o2
    To: <sip:bob@example.com>
    Call-ID: clerr.0ha0isndaksdj@10.0.0.1
    CSeq: 8 REGISTER
    v: SIP/2.0/UDP last.example.com
    Content-Length: 0
    "#);
}

#[test]
fn a_tag_in_to_is_kept() {
    for to in ["To: <sip:bob@example.com>;x;TAG=abc", "t: sip:bob@example.com;tag=abc"] {
        let text =
            respond(&REGISTER.replace("To: <sip:bob@example.com>", to), ok(), Some("0tag"), NAT, |_| {});
        assert!(text.contains(&format!("\n{to}\n")) && !text.contains("0tag"), "{text}");
    }
    let text = respond(&REGISTER.replace("To: <sip", "t: <sip"), ok(), Some("0tag"), NAT, |_| {});
    assert!(text.contains("\nt: <sip:bob@example.com>;tag=0tag\n"), "{text}");
    let text = respond(
        &REGISTER.replace("To: <sip:bob@example.com>", "To: sip:bob@example.com;x=1"),
        ok(),
        Some("0tag"),
        NAT,
        |_| {},
    );
    assert!(text.contains("\nTo: sip:bob@example.com;x=1;tag=0tag\n"), "{text}");
}

#[test]
fn folded_lines_leave_on_one_line_with_crlf() {
    let folded = "OPTIONS sip:a@b SIP/2.0
v:  SIP  / 2.0  / UDP     10.0.0.5   ;
  branch  =   z9hG4bK9ikj8  ;
  received = 1.2.3.4 ;  rport
 = 9 ,
 SIP  /    2.0   / UDP  192.168.255.111   ; branch=
 z9hG4bK30239
TO :
 sip:vivekg@chair-dnrc.example.com ;   x    = 1918181833n
from   : \"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com>
  ;
  tag = 98asjd8
Call-ID: wsinv.ndaksdj@192.0.2.1
cseq: 0009
  OPTIONS

";
    let text = respond(folded, ok(), Some("0tag"), NAT, |_| {});
    assert_snapshot!(text, @r#"
    SIP/2.0 200 OK
    v: SIP  / 2.0  / UDP     10.0.0.5   ; branch  =   z9hG4bK9ikj8  ;received=192.0.2.1;rport=40001, SIP  /    2.0   / UDP  192.168.255.111   ; branch= z9hG4bK30239
    TO: sip:vivekg@chair-dnrc.example.com ;   x    = 1918181833n;tag=0tag
    from: "J Rosenberg \\\""       <sip:jdrosen@example.com> ; tag = 98asjd8
    Call-ID: wsinv.ndaksdj@192.0.2.1
    cseq: 0009 OPTIONS
    Content-Length: 0
    "#);
    let bare = respond(folded, ok(), None, None, |_| {});
    assert!(bare.lines().nth(1).is_some_and(|l| l.ends_with("branch= z9hG4bK30239")), "{bare}");
}

#[test]
fn bare_line_feeds_do_not_leave() {
    let mut layout = Layout::new();
    let message = parse(REGISTER.as_bytes(), &mut layout, &Bounds::default()).expect("tolerated");
    let mut arena = Arena::new();
    let mut writer = ResponseWriter::new(&mut arena, message, Status::OK, Some("0tag"), NAT);
    writer.record_route();
    let text = shown(&writer.finish());
    assert!(!text.contains("\\n"), "{text}");
    assert_eq!(text.lines().count(), 11);
}

#[test]
fn the_top_via_tells_the_client_where_it_is_seen() {
    let via = |via: &str, source: &str, port: u16| {
        let request = format!("OPTIONS sip:a@b SIP/2.0\nVia: {via}\n\n");
        let source = Some((source.parse().expect("an address"), port));
        let text = respond(&request, ok(), None, source, |_| {});
        text.lines().nth(1).expect("Via").to_owned()
    };
    let all = [
        // RFC 3261 s18.2.1: the same address needs nothing.
        via("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1", "192.0.2.1", 5060),
        via("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1", "::ffff:192.0.2.1", 5060),
        via("SIP/2.0/UDP [2001:DB8::1]:5060;branch=z9hG4bK1", "2001:db8::1", 5060),
        // A name, or another address, gets received.
        via("SIP/2.0/UDP host.example.com;branch=z9hG4bK1", "192.0.2.1", 5060),
        via("SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1", "2001:db8::1", 5060),
        // RFC 3581 s4: rport is filled in, and received with it even for the same address.
        via("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;rport", "192.0.2.1", 5060),
        via("SIP/2.0/UDP 192.0.2.1;RPORT=7;branch=z9hG4bK1", "192.0.2.1", 5060),
        // What the client wrote itself is replaced.
        via("SIP/2.0/UDP 10.0.0.1;received=6.6.6.6;branch=z9hG4bK1;Received=7.7.7.7;x", "192.0.2.1", 9),
        via("SIP/2.0/UDP 192.0.2.1;received=6.6.6.6", "192.0.2.1", 9),
        via("SIP/2.0/UDP 10.0.0.1;rport;x=\";rport;\";receivedx=1", "192.0.2.1", 9),
    ];
    assert_snapshot!(all.join("\n"), @r#"
    Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1
    Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1
    Via: SIP/2.0/UDP [2001:DB8::1]:5060;branch=z9hG4bK1
    Via: SIP/2.0/UDP host.example.com;branch=z9hG4bK1;received=192.0.2.1
    Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1;received=2001:db8::1
    Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;received=192.0.2.1;rport=5060
    Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;received=192.0.2.1;rport=5060
    Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1;x;received=192.0.2.1
    Via: SIP/2.0/UDP 192.0.2.1
    Via: SIP/2.0/UDP 10.0.0.1;x=";rport;";receivedx=1;received=192.0.2.1;rport=9
    "#);
}

#[test]
fn an_empty_via_line_is_not_the_top() {
    let request =
        "OPTIONS sip:a@b SIP/2.0\nVia:\nVia: , ,\nVia: ,SIP/2.0/UDP h;rport , SIP/2.0/UDP i;rport\n\n";
    let text = respond(request, ok(), None, NAT, |_| {});
    let expected = "Via: SIP/2.0/UDP h;received=192.0.2.1;rport=40001, SIP/2.0/UDP i;rport";
    assert_eq!(text.lines().nth(3), Some(expected));
}

#[test]
fn a_faulty_request_is_answered_with_what_could_be_read() {
    let faulty = "OPTIONS sip:a@b SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1
To: \"J <sip:a@b>
To: <sip:c@d>
nonsense
From: <sip:a@b>;tag=1
CSeq: 1 OPTIONS

";
    let error = ParseError::new("To", Fault::Malformed);
    let text = respond(faulty, error.into(), Some("0tag"), NAT, |_| {});
    assert_snapshot!(text, @r#"
    SIP/2.0 400 Bad Request (To: malformed)
    Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1
    To: "J <sip:a@b>;tag=0tag
    From: <sip:a@b>;tag=1
    CSeq: 1 OPTIONS
    Content-Length: 0
    "#);
    let text = respond(faulty, ParseError::new("Request-Line", Fault::Version).into(), None, NAT, |_| {});
    assert!(text.starts_with("SIP/2.0 505 Version Not Supported\n"), "{text}");
}

#[test]
fn a_request_is_written_with_its_body() {
    let mut arena = Arena::new();
    let mut writer =
        RequestWriter::new(&mut arena, Method::Message, b"sip:bob@[2001:db8::1]:5062;transport=tcp");
    writer.via("UDP", ("192.0.2.9", Some(5060)), "z9hG4bKabc", false);
    writer.number(Header::MaxForwards, 70).header(Header::From, b"<sip:a@example.com>;tag=1");
    writer.header(Header::To, b"<sip:bob@example.com>").header(Header::CallId, b"x@y");
    writer.cseq(7, b"MESSAGE");
    writer.other(b"X-Own", b"1").other(b"not a name", b"2").header(Header::Other, b"3");
    writer.body(b"text/plain", b"two\r\nlines");
    let bytes = writer.finish();
    assert_snapshot!(shown(&bytes), @r"
    MESSAGE sip:bob@[2001:db8::1]:5062;transport=tcp SIP/2.0
    Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKabc;rport
    Max-Forwards: 70
    From: <sip:a@example.com>;tag=1
    To: <sip:bob@example.com>
    Call-ID: x@y
    CSeq: 7 MESSAGE
    X-Own: 1
    Content-Type: text/plain
    Content-Length: 10

    two
    lines
    ");
    let mut layout = Layout::new();
    let message = parse(&bytes, &mut layout, &Bounds::default()).expect("what is written is read");
    assert!(message.essentials().is_ok());
    assert!(arena.is_empty());
}

#[test]
fn lines_cross_as_they_came() {
    let raw = b"OPTIONS sip:a@b SIP/2.0\r\nX-One:  kept\t, so \r\nX-Two : un\r\n\t folded\nX-Three: lf\n\r\n";
    let mut layout = Layout::new();
    let message = parse(raw, &mut layout, &Bounds::default()).expect("well-formed");
    let mut arena = Arena::new();
    let mut writer = RequestWriter::new(&mut arena, Method::Options, b"sip:c@d");
    for line in message.lines() {
        writer.raw_line(line);
    }
    assert_eq!(
        &*writer.finish(),
        b"OPTIONS sip:c@d SIP/2.0\r\nX-One:  kept\t, so \r\nX-Two: un folded\r\nX-Three: lf\r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn an_unfinished_message_leaves_nothing_behind() {
    let mut arena = Arena::new();
    RequestWriter::new(&mut arena, Method::Options, b"sip:a@b").number(Header::MaxForwards, 1);
    let bytes = RequestWriter::new(&mut arena, Method::Bye, b"sip:a@b").finish();
    assert_eq!(&*bytes, b"BYE sip:a@b SIP/2.0\r\nContent-Length: 0\r\n\r\n");
}

proptest! {
    #[test]
    fn no_value_can_end_its_line(evil in proptest::collection::vec(prop_oneof![
        Just(b'\r'), Just(b'\n'), Just(0u8), Just(b' '), Just(b':'), Just(b'"'), Just(b'\\'), any::<u8>()
    ], 0..40)) {
        let text = String::from_utf8_lossy(&evil).into_owned();
        let raw = REGISTER.replace('\n', "\r\n").into_bytes();
        let mut layout = Layout::new();
        let message = parse(&raw, &mut layout, &Bounds::default()).expect("well-formed");
        let mut arena = Arena::new();
        let mut w = ResponseWriter::new(&mut arena, message, (Status::OK, text.as_str()), Some(&text), NAT);
        w.header(Header::Subject, &evil);
        w.other(&evil, b"x").other(b"X-Own", &evil);
        w.header_fmt(Header::Server, format_args!("{text}"));
        w.list(Header::Supported, [&evil, &evil]);
        w.value(Header::Reason, |v| v.quoted(&evil));
        let bytes = w.finish();
        let named = usize::from(text::is_token(&evil));
        check(&bytes, 13 + named)?;

        let mut w = RequestWriter::named(&mut arena, &evil, &evil);
        w.via(&text, (&text, Some(5060)), &text, false).cseq(1, &evil);
        w.body(&evil, &evil);
        let bytes = w.finish();
        let head = bytes.len() - evil.len();
        check(&bytes[..head], 5)?;
    }
}

/// A head with that many lines: nothing but CRLF ends one, and no other control byte is in it.
fn check(head: &[u8], lines: usize) -> Result<(), TestCaseError> {
    let text = String::from_utf8_lossy(head).replace("\r\n", "|");
    prop_assert!(!text.contains(['\r', '\n']), "{}", text);
    prop_assert!(!head.iter().any(|&b| is_control(b) && b != b'\r' && b != b'\n'));
    let ends = head.windows(2).filter(|pair| pair == b"\r\n").count();
    prop_assert_eq!(ends, lines + 1, "{}", text);
    Ok(())
}
