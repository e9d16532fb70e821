//! Hosts and ports: names, IPv4 addresses, IPv6 references. RFC 3261 s25.1, RFC 5118 s4.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::grammar::{HOST, LABEL, cut, is};
use super::{Fault, ParseError};
use crate::base::text::{Push, decimal_u32};

/// The longest host name taken (RFC 1035 s2.3.4).
const NAME_BYTES: usize = 255;

/// A host as it stands in a URI or in Via. Equality ignores the case of names and the spelling of IPv6 addresses.
#[derive(Clone, Copy, Debug)]
pub enum Host<'m> {
    /// A domain name, as it was written.
    Name(&'m [u8]),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address; on the wire it stands in brackets.
    V6(Ipv6Addr),
}

impl<'m> Host<'m> {
    /// Reads a whole host; IPv6 in brackets. No port, no white space.
    pub fn parse(input: &'m [u8]) -> Result<Host<'m>, ParseError> {
        match Host::prefix(input) {
            Ok((host, [])) => Ok(host),
            Ok(_) => Err(ParseError::new("host", Fault::Malformed)),
            Err(fault) => Err(ParseError::new("host", fault)),
        }
    }

    /// Reads a whole host where IPv6 may also stand without brackets, as in the `received` and `maddr` of Via.
    pub fn parse_bare(input: &'m [u8]) -> Result<Host<'m>, ParseError> {
        // RFC 5118 s4.5: received is specified without brackets, and seen with them.
        match ipv6(input) {
            Some(address) => Ok(Host::V6(address)),
            None => Host::parse(input),
        }
    }

    /// Reads the host the input begins with, and gives what is behind it.
    #[inline(always)]
    pub(crate) fn prefix(input: &'m [u8]) -> Result<(Host<'m>, &'m [u8]), Fault> {
        match input {
            [b'[', behind @ ..] => return reference(behind),
            [b'0'..=b'9', ..] => {
                if let Some((address, rest)) = ipv4(input)
                    && !matches!(rest, [byte, ..] if is(*byte, HOST))
                {
                    return Ok((Host::V4(address), rest));
                }
            }
            _ => {}
        }
        let (name, rest) = labels(input, cut(input, LABEL).1).ok_or(Fault::Malformed)?;
        Ok((Host::named(name)?, rest))
    }

    /// A name out of [`labels`].
    #[inline(always)]
    pub(super) fn named(name: &'m [u8]) -> Result<Host<'m>, Fault> {
        match name {
            [] | [b'-' | b'.', ..] => Err(Fault::Malformed),
            _ if name.len() > NAME_BYTES => Err(Fault::TooLong),
            [.., last] if last.is_ascii_alphabetic() => Ok(Host::Name(name)),
            _ if ends_in_number(name) => Err(Fault::Malformed),
            _ => Ok(Host::Name(name)),
        }
    }

    /// The address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match *self {
            Host::Name(_) => None,
            Host::V4(address) => Some(IpAddr::V4(address)),
            Host::V6(address) => Some(IpAddr::V6(address)),
        }
    }

    /// Appends the form that equal hosts share: lower case, IPv6 as RFC 5952 spells it, no brackets.
    pub fn write_folded(&self, out: &mut impl Push) {
        match *self {
            Host::Name(name) => {
                for byte in name {
                    out.push_byte(byte.to_ascii_lowercase());
                }
            }
            Host::V4(address) => {
                for (index, octet) in address.octets().into_iter().enumerate() {
                    if index > 0 {
                        out.push_byte(b'.');
                    }
                    out.push_bytes(itoa::Buffer::new().format(octet).as_bytes());
                }
            }
            Host::V6(address) => write_address(out, &address),
        }
    }
}

impl PartialEq for Host<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Host::Name(a), Host::Name(b)) => a.eq_ignore_ascii_case(b),
            (Host::V4(a), Host::V4(b)) => a == b,
            (Host::V6(a), Host::V6(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Host<'_> {}

/// As it stands on the wire: IPv6 in brackets.
impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A parsed name is ASCII; one made by hand that is not prints nothing.
            Host::Name(name) => f.write_str(core::str::from_utf8(name).unwrap_or_default()),
            Host::V4(address) => address.fmt(f),
            Host::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// Cuts the input behind the labels that it begins with, and the dots between them; `rest` is what is behind the first
/// one. `None` if a label in the middle is empty.
#[inline(always)]
pub(super) fn labels<'m>(input: &'m [u8], mut rest: &'m [u8]) -> Option<(&'m [u8], &'m [u8])> {
    while let [b'.', behind @ ..] = rest {
        if let [b'.', ..] = behind {
            return None;
        }
        (_, rest) = cut(behind, LABEL);
    }
    input.split_at_checked(input.len() - rest.len())
}

/// Reads the port the input begins with, and gives what is behind it.
#[inline(always)]
pub(crate) fn port(input: &[u8]) -> Result<(u16, &[u8]), Fault> {
    let mut value = 0_u32;
    let mut rest = input;
    while let [byte @ b'0'..=b'9', behind @ ..] = rest {
        value = value.wrapping_mul(10).wrapping_add(u32::from(byte - b'0'));
        rest = behind;
    }
    match (input.len() - rest.len(), u16::try_from(value)) {
        (0, _) => Err(Fault::Malformed),
        (1..=9, Ok(port)) => Ok((port, rest)),
        (1..=9, Err(_)) => Err(Fault::Range),
        _ => long_port(input, rest),
    }
}

/// A port of ten digits or more, which may begin with zeros.
#[inline(never)]
fn long_port<'m>(input: &[u8], rest: &'m [u8]) -> Result<(u16, &'m [u8]), Fault> {
    let digits = input.get(..input.len() - rest.len()).unwrap_or_default();
    match decimal_u32(digits).map(u16::try_from) {
        Some(Ok(port)) => Ok((port, rest)),
        _ => Err(Fault::Range),
    }
}

/// An IPv6 address behind its opening bracket.
#[inline(never)]
fn reference(input: &[u8]) -> Result<(Host<'_>, &[u8]), Fault> {
    let end = memchr::memchr(b']', input).ok_or(Fault::Malformed)?;
    let (address, rest) = input.split_at_checked(end).ok_or(Fault::Malformed)?;
    let address = ipv6(address).ok_or(Fault::Malformed)?;
    Ok((Host::V6(address), rest.get(1..).unwrap_or_default()))
}

/// An IPv6 address without brackets and without a zone.
fn ipv6(input: &[u8]) -> Option<Ipv6Addr> {
    // The longest spelling is 45 bytes long.
    if input.len() > 45 || !input.contains(&b':') {
        return None;
    }
    let text = core::str::from_utf8(input).ok()?;
    match text.parse() {
        Ok(address) => Some(address),
        Err(_) => with_spare_colon(text),
    }
}

/// RFC 5118 s4.10: the grammar of RFC 3261 allows a third colon before an IPv4 part, and it must be tolerated.
#[cold]
fn with_spare_colon(text: &str) -> Option<Ipv6Addr> {
    let (before, v4) = text.split_once(":::")?;
    let mut address = [0; 48];
    let end = before.len() + 2 + v4.len();
    address.get_mut(..before.len())?.copy_from_slice(before.as_bytes());
    address.get_mut(before.len()..before.len() + 2)?.copy_from_slice(b"::");
    address.get_mut(before.len() + 2..end)?.copy_from_slice(v4.as_bytes());
    v4.parse::<Ipv4Addr>().ok()?;
    core::str::from_utf8(address.get(..end)?).ok()?.parse().ok()
}

/// Whether the last label is a number.
// RFC 3261 s25.1: the last label begins with a letter. Names that end in a digit exist; a number alone is an address
// gone wrong.
#[inline(never)]
fn ends_in_number(name: &[u8]) -> bool {
    let name = name.strip_suffix(b".").unwrap_or(name);
    name.rsplit(|byte| *byte == b'.').next().is_some_and(|top| top.iter().all(u8::is_ascii_digit))
}

/// The IPv4 address the input begins with, and what is behind it.
#[inline(always)]
fn ipv4(input: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let (address, end) = match input.first_chunk() {
        Some(window) => ipv4_in(window)?,
        None => short_ipv4(input)?,
    };
    Some((address, input.get(end..)?))
}

#[inline(never)]
fn short_ipv4(input: &[u8]) -> Option<(Ipv4Addr, usize)> {
    let mut window = [0; 16];
    window.iter_mut().zip(input).for_each(|(to, byte)| *to = *byte);
    ipv4_in(&window)
}

/// The IPv4 address a text begins with, and its length, which is 15 at most.
#[inline(never)]
fn ipv4_in(text: &[u8; 16]) -> Option<(Ipv4Addr, usize)> {
    // Two numbers with a dot fit into a word.
    let (a, b, half) = octets(u64::from_le_bytes(*text.first_chunk()?))?;
    let Some(([b'.'], second)) = text.get(half..)?.split_first_chunk() else { return None };
    let (c, d, end) = octets(u64::from_le_bytes(*second.first_chunk()?))?;
    Some((Ipv4Addr::new(a, b, c, d), half + 1 + end))
}

/// The two numbers that a text begins with, with a dot between them, and their length.
#[inline(always)]
fn octets(text: u64) -> Option<(u8, u8, usize)> {
    let (first, len, rest) = octet(text)?;
    if rest as u8 != b'.' {
        return None;
    }
    let (second, more, _) = octet(rest >> 8)?;
    Some((first, second, len + 1 + more))
}

/// The number of up to 255 that a text begins with, its length, and what is behind it, which is no digit.
#[inline(always)]
fn octet(text: u64) -> Option<(u8, usize, u64)> {
    let digit = |n: u32| ((text >> (8 * n)) as u8).wrapping_sub(b'0');
    let (first, second) = (digit(0), digit(1));
    if first > 9 {
        return None;
    }
    if second > 9 {
        return Some((first, 1, text >> 8));
    }
    // A leading zero reads as octal elsewhere; such a host is not taken.
    if first == 0 {
        return None;
    }
    let (value, third) = (first * 10 + second, digit(2));
    if third > 9 {
        return Some((value, 2, text >> 16));
    }
    let value = u32::from(value) * 10 + u32::from(third);
    if value > 255 || digit(3) <= 9 { None } else { Some((value as u8, 3, text >> 24)) }
}

fn write_address(out: &mut impl Push, address: &impl fmt::Display) {
    struct Into<'a, P>(&'a mut P);
    impl<P: Push> fmt::Write for Into<'_, P> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.push_bytes(text.as_bytes());
            Ok(())
        }
    }
    // Appending cannot fail.
    let _ = fmt::write(&mut Into(out), format_args!("{address}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(host: &Host<'_>) -> String {
        let mut out = Vec::new();
        host.write_folded(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn hosts_print_and_fold() {
        for (text, printed, fold) in [
            ("Example.COM", "Example.COM", "example.com"),
            ("example.com.", "example.com.", "example.com."),
            ("my_host", "my_host", "my_host"),
            ("7.example", "7.example", "7.example"),
            ("a1b2-3", "a1b2-3", "a1b2-3"),
            ("192.0.2.255", "192.0.2.255", "192.0.2.255"),
            ("0.0.0.0", "0.0.0.0", "0.0.0.0"),
            ("[2001:DB8:0:0:0::1]", "[2001:db8::1]", "2001:db8::1"),
            ("[::]", "[::]", "::"),
        ] {
            let host = Host::parse(text.as_bytes()).expect(text);
            assert_eq!((host.to_string().as_str(), folded(&host).as_str()), (printed, fold));
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "-a",
            "a b",
            "a,b",
            "é",
            "1",
            "1.2.3",
            "1.2.3.4.5",
            "256.1.1.1",
            "01.1.1.1",
            "a.12",
            "::1",
            "[::1",
            "::1]",
            "[::1]:5060",
            "a:5060",
            "[::1%1]",
            "[:::]",
            "[1:2:3:4:5:6:7:8:9]",
            "[::1.2.3.256]",
        ] {
            assert!(Host::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn an_ipv6_address_may_be_bare_where_no_port_can_follow() {
        // RFC 5118 s4.5
        let with = Host::parse_bare(b"[2001:db8::9:255]").expect("brackets");
        let without = Host::parse_bare(b"2001:db8::9:255").expect("no brackets");
        assert_eq!(with, without);
        assert_eq!(with.ip().map(|ip| ip.to_string()).as_deref(), Some("2001:db8::9:255"));
        assert_eq!(Host::parse_bare(b"Example.com"), Ok(Host::Name(b"example.com")));
    }
}
