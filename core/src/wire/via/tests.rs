use proptest::prelude::*;

use super::*;

fn via(text: &str) -> Via<'_> {
    Via::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn vias_that_are_seen_are_taken() {
    for (text, transport, host, port, branch) in [
        (
            "SIP/2.0/UDP erlang.bell-telephone.com:5060;branch=z9hG4bK87asdks7",
            "UDP",
            "erlang.bell-telephone.com",
            5060,
            "z9hG4bK87asdks7",
        ),
        (
            "SIP / 2.0 / UDP first.example.com: 4000;ttl=16\r\n ;maddr=224.2.0.1 ;branch=z9hG4bKa7c6a8dlze.1",
            "UDP",
            "first.example.com",
            4000,
            "z9hG4bKa7c6a8dlze.1",
        ),
        ("SIP/2.0/udp 192.0.2.1", "udp", "192.0.2.1", 0, ""),
        ("  sip/2.0/TLS\t[2001:db8::9:1]:5061;rport;;branch=b ", "TLS", "[2001:db8::9:1]", 5061, "b"),
        ("SIP/2.0/ TCP h ; branch = \"q\"", "TCP", "h", 0, "q"),
        // RFC 4475 s3.1.1.1, s3.1.1.10
        ("SIP  / 2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw", "UDP", "192.0.2.2", 0, "390skdjuw"),
        (
            "SIP/2.0/UNKNOWN t5.example.com;branch=z9hG4bK-39234-23523",
            "UNKNOWN",
            "t5.example.com",
            0,
            "z9hG4bK-39234-23523",
        ),
        ("SIP/2.0/WSS df7jal23ls0d.invalid;branch=", "WSS", "df7jal23ls0d.invalid", 0, ""),
    ] {
        let via = via(text);
        assert_eq!(via.transport, transport.as_bytes(), "{text}");
        assert_eq!(via.host.to_string(), host, "{text}");
        assert_eq!(via.port.unwrap_or_default(), port, "{text}");
        assert_eq!(via.branch().unwrap_or_default(), branch.as_bytes(), "{text}");
        assert_eq!(via.version, b"2.0", "{text}");
        assert_eq!(via.raw, text.trim().as_bytes());
    }
}

#[test]
fn another_version_is_read_so_that_it_can_be_answered() {
    // RFC 4475 s3.1.2.16
    let via = via("SIP/7.0/UDP c.example.com;branch=z9hG4bKkdjuw");
    assert_eq!((via.version, via.branch()), (&b"7.0"[..], Some(&b"z9hG4bKkdjuw"[..])));
}

#[test]
fn what_is_no_via_is_refused() {
    for (text, fault) in [
        ("", Fault::Malformed),
        ("SIP/2.0/UDP", Fault::Malformed),
        ("SIP/2.0/UDP ", Fault::Malformed),
        ("SIP/2.0 UDP h", Fault::Malformed),
        ("SIP/2.0/ h", Fault::Malformed),
        ("SIP/2.0/UDP;branch=x", Fault::Malformed),
        ("SIP/2.0/UDP[::1]", Fault::Malformed),
        ("HTTP/2.0/UDP h", Fault::Malformed),
        ("SIP/2.0/UDP h x", Fault::Malformed),
        ("SIP/2.0/UDP h:", Fault::Malformed),
        ("SIP/2.0/UDP h:x", Fault::Malformed),
        ("SIP/2.0/UDP h:65536", Fault::Range),
        ("SIP/2.0/UDP 2001:db8::1", Fault::Malformed),
        ("SIP/2.0/UDP [2001:db8::1", Fault::Malformed),
        ("SIP/2.0/UDP h;branch=\"x", Fault::Malformed),
        ("SIP/2.0/UDP h;branch=x y", Fault::Malformed),
        ("SIP/2.0/UDP h;branch=x, SIP/2.0/UDP i", Fault::Malformed),
        ("SIP/2.0/UDP h;branch=x;BRANCH=y", Fault::Repeated),
    ] {
        assert_eq!(Via::parse(text.as_bytes()).expect_err(text).fault, fault, "{text}");
    }
}

#[test]
fn rport_is_asked_for_or_filled_in() {
    for (params, rport) in [
        ("", Rport::Absent),
        (";rport", Rport::Empty),
        (";RPORT=", Rport::Empty),
        (";rport=x", Rport::Empty),
        (";rport=99999", Rport::Empty),
        (";branch=b;rport = 9988", Rport::Value(9988)),
    ] {
        assert_eq!(via(&format!("SIP/2.0/UDP h{params}")).rport(), rport, "{params}");
    }
}

#[test]
fn received_may_stand_in_brackets_or_not() {
    // RFC 5118 s4.5
    for (params, received) in [
        (";received=2001:db8::9:255", Some("2001:db8::9:255")),
        (";received=[2001:db8::9:255]", Some("2001:db8::9:255")),
        (";received=192.0.2.5", Some("192.0.2.5")),
        (";received=host.example", None),
        (";received", None),
        ("", None),
    ] {
        let text = format!("SIP/2.0/UDP [2001:db8::9:1]{params};branch=z9hG4bKas3-111");
        assert_eq!(via(&text).received().map(|ip| ip.to_string()).as_deref(), received, "{params}");
    }
}

#[test]
fn ttl_and_maddr_are_read_if_they_are_sound() {
    let sound = via("SIP/2.0/UDP h;ttl=16;maddr=224.2.0.1");
    assert_eq!(
        (sound.ttl(), sound.maddr().map(|host| host.to_string()).as_deref()),
        (Some(16), Some("224.2.0.1"))
    );
    let unsound = via("SIP/2.0/UDP h;ttl=256;maddr=a..b");
    assert_eq!((unsound.ttl(), unsound.maddr()), (None, None));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(prop_oneof![
        Just(b' '), Just(b'/'), Just(b':'), Just(b';'), Just(b'['), Just(b'='), Just(b'a'), any::<u8>()], 0..30)) {
        for start in ["SIP/2.0/UDP ", "SIP /", "SIP/2.0/", ""] {
            if let Ok(via) = Via::parse(&[start.as_bytes(), &bytes].concat()) {
                let _ = (via.rport(), via.received(), via.maddr(), via.ttl());
            }
        }
    }
}
