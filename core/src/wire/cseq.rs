//! The CSeq value. RFC 3261 s20.16, s8.1.1.5.

use super::{Fault, Method, ParseError};
use crate::base::text;

/// A CSeq value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cseq<'m> {
    /// The sequence number. RFC 3261 s8.1.1.5 asks senders to stay below 2**31; up to 2**32-1 is read.
    pub number: u32,
    /// The method.
    pub method: Method,
    /// Its name as it came.
    pub method_raw: &'m [u8],
}

impl<'m> Cseq<'m> {
    /// Reads a value: digits, white space, a token.
    pub fn parse(value: &'m [u8]) -> Result<Cseq<'m>, ParseError> {
        const WHAT: &str = "CSeq";
        let (number, rest) = digits(value);
        // One space, nearly always.
        let method_raw = match rest {
            [b' ', name @ ..] if matches!(name, [b'A'..=b'Z', .., b'A'..=b'Z']) => name,
            [b' ' | b'\t' | b'\r' | b'\n', ..] => text::trim(rest),
            _ => return Err(ParseError::new(WHAT, Fault::Malformed)),
        };
        if rest.len() == value.len() {
            return Err(ParseError::new(WHAT, Fault::Malformed));
        }
        let method = Method::from_bytes(method_raw);
        if method == Method::Other && !text::is_token(method_raw) {
            return Err(ParseError::new(WHAT, Fault::Malformed));
        }
        let number = u32::try_from(number).map_err(|_| ParseError::new(WHAT, Fault::Range))?;
        Ok(Cseq { number, method, method_raw })
    }

    /// True if both name the same method, by the bytes where it is not in the table.
    pub fn is_for(&self, method: Method, method_raw: &[u8]) -> bool {
        self.method == method && (method != Method::Other || self.method_raw == method_raw)
    }
}

/// The number the value begins with, and what stands behind it.
#[inline]
fn digits(value: &[u8]) -> (u64, &[u8]) {
    let mut number = 0_u64;
    for (i, &byte) in value.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return (number, value.get(i..).unwrap_or_default());
        }
        // What is past the range stays there, however many digits follow.
        number = if number >> 32 == 0 { number * 10 + u64::from(digit) } else { number };
    }
    (number, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_zeros_and_folds_are_read() {
        let cseq = Cseq::parse(b"0009\r\n  INVITE").expect("RFC 4475 s3.1.1.1");
        assert_eq!((cseq.number, cseq.method), (9, Method::Invite));
    }

    #[test]
    fn an_unknown_method_keeps_its_name() {
        let cseq = Cseq::parse(b"4294967295 NEW%4d").expect("largest number");
        assert_eq!((cseq.number, cseq.method, cseq.method_raw), (u32::MAX, Method::Other, &b"NEW%4d"[..]));
        assert!(cseq.is_for(Method::Other, b"NEW%4d"));
        assert!(!cseq.is_for(Method::Other, b"NEWM"));
        assert!(!cseq.is_for(Method::Invite, b"INVITE"));
    }

    #[test]
    fn numbers_past_32_bits_are_out_of_range() {
        assert_eq!(Cseq::parse(b"36893488147419103232 REGISTER"), Err(ParseError::new("CSeq", Fault::Range)));
        assert_eq!(Cseq::parse(b"4294967296 REGISTER"), Err(ParseError::new("CSeq", Fault::Range)));
    }

    #[test]
    fn what_is_not_a_cseq_is_malformed() {
        for value in [
            "",
            "1",
            "1INVITE",
            "INVITE",
            "INVITE 1",
            "-1 INVITE",
            "1 IN VITE",
            "1 ",
            "+1 INVITE",
            "1 INV\u{e9}",
        ] {
            let fault = Cseq::parse(value.as_bytes()).expect_err(value).fault;
            assert_eq!(fault, Fault::Malformed, "{value}");
        }
    }
}
