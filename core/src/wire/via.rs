//! Via: RFC 3261 s20.42, with `rport` of RFC 3581 and the addresses of RFC 5118 s4.

use core::net::IpAddr;

use nom::Parser;
use nom::sequence::{separated_pair, terminated};

use super::grammar::{SPACE, gap, is, mark, run, token};
use super::host::port;
use super::params::{Param, is_name};
use super::{Fault, Host, Params, ParseError};
use crate::base::text::trim;

/// One element of Via.
#[derive(Clone, Copy, Debug)]
pub struct Via<'m> {
    /// All of it as it came, without white space around it.
    pub raw: &'m [u8],
    /// The version behind `SIP/`; anything but `2.0` deserves a 505.
    pub version: &'m [u8],
    /// The transport token as written: `UDP`, `tcp`, `WSS`, `UNKNOWN`.
    pub transport: &'m [u8],
    /// The host of sent-by.
    pub host: Host<'m>,
    /// The port of sent-by, if one is written.
    pub port: Option<u16>,
    /// The parameters.
    pub params: Params<'m>,
    branch: Option<&'m [u8]>,
}

/// The `rport` of RFC 3581.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rport {
    /// Not there: the response goes to the port of sent-by.
    Absent,
    /// There without a usable value: the client asks for it.
    Empty,
    /// Filled in.
    Value(u16),
}

impl<'m> Via<'m> {
    /// Reads one element of a Via header, without the commas around it.
    ///
    /// White space may stand around `/`, `:` and `;`. A repeated branch is [`Fault::Repeated`].
    #[inline]
    pub fn parse(input: &'m [u8]) -> Result<Via<'m>, ParseError> {
        Via::read(input).map_err(|fault| ParseError::new("Via", fault))
    }

    #[inline]
    pub(crate) fn read(input: &'m [u8]) -> Result<Via<'m>, Fault> {
        let raw = trim(input);
        let (rest, (version, transport)) = match raw.strip_prefix(b"SIP/2.0/") {
            Some(rest) if !rest.first().is_some_and(|byte| is(*byte, SPACE)) => {
                terminated(token, gap).parse(rest).map(|(rest, transport)| (rest, (&b"2.0"[..], transport)))
            }
            _ => protocol(raw),
        }
        .map_err(|_| Fault::Malformed)?;
        let (host, end) = Host::prefix(rest)?;
        let mut at = end;
        let mut number = None;
        if rest.get(at).is_some_and(|byte| is(*byte, SPACE)) {
            at = run(rest, at, SPACE);
        }
        if rest.get(at) == Some(&b':') {
            let (port, end) = port(rest, run(rest, at + 1, SPACE))?;
            number = Some(port);
            at = end;
        }
        let mut branch = None;
        let mut branches = 0_u32;
        let params = Params::header(rest.get(at..).unwrap_or_default(), |param: Param<'m>| {
            if is_name(param.name, b"branch") {
                branch = param.value().filter(|value| !value.is_empty());
                branches += 1;
            }
        })?;
        if branches > 1 {
            return Err(Fault::Repeated);
        }
        Ok(Via { raw, version, transport, host, port: number, params, branch })
    }

    /// The branch, if it is there and not empty.
    pub fn branch(&self) -> Option<&'m [u8]> {
        self.branch
    }

    /// The `rport` parameter.
    pub fn rport(&self) -> Rport {
        match self.params.get(b"rport") {
            None => Rport::Absent,
            Some(value) => value.and_then(number).map_or(Rport::Empty, Rport::Value),
        }
    }

    /// The `received` address, in brackets or not; `None` also if it is no address.
    pub fn received(&self) -> Option<IpAddr> {
        self.params
            .value(b"received")
            .and_then(|value| Host::parse_bare(value).ok())
            .and_then(|host| host.ip())
    }

    /// The `maddr` host; `None` also if it is none.
    pub fn maddr(&self) -> Option<Host<'m>> {
        self.params.value(b"maddr").and_then(|value| Host::parse_bare(value).ok())
    }

    /// The `ttl`, 0 to 255; `None` also if it is out of range.
    pub fn ttl(&self) -> Option<u8> {
        self.params.value(b"ttl").and_then(number).and_then(|ttl| u8::try_from(ttl).ok())
    }
}

/// A number of 16 bits.
fn number(text: &[u8]) -> Option<u16> {
    port(text, 0).ok().filter(|(_, end)| *end == text.len()).map(|(number, _)| number)
}

/// `SIP / version / transport`, with white space anywhere, and of any version.
#[inline(never)]
fn protocol(input: &[u8]) -> super::grammar::Parsed<'_, (&[u8], &[u8])> {
    let (rest, name) = terminated(token, mark(b'/')).parse(input)?;
    if !name.eq_ignore_ascii_case(b"SIP") {
        return Err(nom::Err::Error(()));
    }
    terminated(separated_pair(token, mark(b'/'), token), gap).parse(rest)
}

#[cfg(test)]
mod tests {
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
}
