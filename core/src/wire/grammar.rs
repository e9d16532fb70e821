//! The leaves of the grammar that the typed views share: RFC 3261 s25.1 tokens, white space, quoted strings, escapes.
//!
//! Each leaf is a nom parser with the unit error, written as a loop over a table of byte classes; views compose them
//! with nom's `complete` combinators, or call them straight where every instruction counts.

use nom::combinator::all_consuming;
use nom::{IResult, Parser};

use super::Fault;

/// What a grammar leaf returns.
pub(crate) type Parsed<'m, O> = IResult<&'m [u8], O, ()>;

/// `token` of RFC 3261 s25.1.
pub(crate) const TOKEN: u16 = 1;
/// `unreserved` and `user-unreserved`: what stands in a user part without an escape.
pub(crate) const USER: u16 = 1 << 1;
/// `unreserved` and `& = + $ ,`: what stands in a password without an escape.
pub(crate) const PASSWORD: u16 = 1 << 2;
/// `unreserved` and `param-unreserved`: what stands in a URI parameter without an escape.
pub(crate) const PARAM: u16 = 1 << 3;
/// What stands in the headers of a URI without an escape, with `=` and `&`.
pub(crate) const URI_HEADER: u16 = 1 << 4;
/// Letters, digits, `-`, `_` and `.`: a host name.
pub(crate) const HOST: u16 = 1 << 5;
/// An unquoted value of a header parameter, taken broadly: visible, and no separator of parameters or list elements.
pub(crate) const VALUE: u16 = 1 << 6;
/// The name of a parameter that was validated before: [`VALUE`] without `=`.
pub(crate) const NAME: u16 = 1 << 7;
/// SP, HTAB and the CR LF of a folded line.
pub(crate) const SPACE: u16 = 1 << 8;
/// `token68` of RFC 7235 s2.1 without the padding.
pub(crate) const TOKEN68: u16 = 1 << 9;
/// What an opaque URI is made of: visible ASCII without `<`, `>` and `"`.
pub(crate) const OPAQUE: u16 = 1 << 10;

/// Classes of each byte.
pub(crate) static CLASS: [u16; 256] = classes();

const fn classes() -> [u16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = classes_of(byte as u8);
        byte += 1;
    }
    table
}

const fn classes_of(b: u8) -> u16 {
    let alphanum = b.is_ascii_alphanumeric();
    let unreserved = alphanum || matches!(b, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')');
    let mut bits = 0;
    if alphanum || matches!(b, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~') {
        bits |= TOKEN;
    }
    if unreserved || matches!(b, b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/') {
        bits |= USER;
    }
    if unreserved || matches!(b, b'&' | b'=' | b'+' | b'$' | b',') {
        bits |= PASSWORD;
    }
    if unreserved || matches!(b, b'[' | b']' | b'/' | b':' | b'&' | b'+' | b'$') {
        bits |= PARAM;
    }
    if unreserved || matches!(b, b'[' | b']' | b'/' | b'?' | b':' | b'+' | b'$' | b'=' | b'&') {
        bits |= URI_HEADER;
    }
    if alphanum || matches!(b, b'-' | b'_' | b'.') {
        bits |= HOST;
    }
    if b > b' ' && !matches!(b, b';' | b',' | b'"' | b'<' | b'>' | 0x7f) {
        bits |= VALUE;
        if b != b'=' {
            bits |= NAME;
        }
    }
    if matches!(b, b' ' | b'\t' | b'\r' | b'\n') {
        bits |= SPACE;
    }
    if alphanum || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/') {
        bits |= TOKEN68;
    }
    if b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"') {
        bits |= OPAQUE;
    }
    bits
}

/// Whether a byte is of one of the classes.
#[inline(always)]
pub(crate) fn is(byte: u8, classes: u16) -> bool {
    CLASS[usize::from(byte)] & classes != 0
}

/// The end of the run of these classes that begins at `from`.
#[inline(always)]
pub(crate) fn run(input: &[u8], from: usize, classes: u16) -> usize {
    let mut at = from;
    while let Some(&byte) = input.get(at)
        && is(byte, classes)
    {
        at += 1;
    }
    at
}

/// The end of the run of these classes and of well-formed escapes (`%` HEX HEX) that begins at `from`.
#[inline(always)]
pub(crate) fn run_escaped(input: &[u8], from: usize, classes: u16) -> usize {
    let mut at = from;
    loop {
        at = run(input, at, classes);
        match input.get(at..) {
            Some([b'%', high, low, ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => at += 3,
            _ => return at,
        }
    }
}

/// Whether all of it is of these classes; true for nothing.
#[inline]
pub(crate) fn all(input: &[u8], classes: u16) -> bool {
    run(input, 0, classes) == input.len()
}

/// Without white space at both ends.
#[inline]
pub(crate) fn trim(mut input: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = input
        && is(*first, SPACE)
    {
        input = rest;
    }
    while let [rest @ .., last] = input
        && is(*last, SPACE)
    {
        input = rest;
    }
    input
}

/// The end of the quoted string whose opening quote is at `from`: the place behind the closing quote.
#[inline]
pub(crate) fn quoted_end(input: &[u8], from: usize) -> Option<usize> {
    let mut at = from + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', input.get(at..)?)?;
        match input.get(at)? {
            b'"' => return Some(at + 1),
            // RFC 3261 s25.1: quoted-pair, any ASCII but CR and LF.
            _ => {
                if !matches!(input.get(at + 1)?, 0..=9 | 11 | 12 | 14..=127) {
                    return None;
                }
                at += 2;
            }
        }
    }
}

/// A non-empty token.
#[inline(always)]
pub(crate) fn token(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (head, rest) = input.split_at(run(input, 0, TOKEN));
    if head.is_empty() { Err(nom::Err::Error(())) } else { Ok((rest, head)) }
}

/// Any white space.
#[inline(always)]
pub(crate) fn space(input: &[u8]) -> Parsed<'_, ()> {
    Ok((input.get(run(input, 0, SPACE)..).unwrap_or_default(), ()))
}

/// Some white space.
#[inline(always)]
pub(crate) fn gap(input: &[u8]) -> Parsed<'_, ()> {
    match input.first() {
        Some(first) if is(*first, SPACE) => space(input),
        _ => Err(nom::Err::Error(())),
    }
}

/// A separator with white space around it: `SLASH`, `EQUAL`, `COMMA` of RFC 3261 s25.1.
#[inline(always)]
pub(crate) fn mark<'m>(byte: u8) -> impl Fn(&'m [u8]) -> Parsed<'m, ()> {
    move |input| match input.get(run(input, 0, SPACE)..) {
        Some([first, rest @ ..]) if *first == byte => space(rest),
        _ => Err(nom::Err::Error(())),
    }
}

/// A quoted string with its quotes.
#[inline]
pub(crate) fn quoted(input: &[u8]) -> Parsed<'_, &[u8]> {
    match input.first() {
        Some(b'"') => match quoted_end(input, 0) {
            Some(end) => {
                let (head, rest) = input.split_at(end);
                Ok((rest, head))
            }
            None => Err(nom::Err::Error(())),
        },
        _ => Err(nom::Err::Error(())),
    }
}

/// Runs a parser over all of the input.
#[inline]
pub(crate) fn whole<'m, O>(
    input: &'m [u8],
    parser: impl Parser<&'m [u8], Output = O, Error = ()>,
) -> Result<O, Fault> {
    match all_consuming(parser).parse(input) {
        Ok((_, value)) => Ok(value),
        Err(_) => Err(Fault::Malformed),
    }
}

/// A decimal number that fits 32 bits; `None` for anything else.
#[inline]
pub(crate) fn decimal(input: &[u8]) -> Option<u32> {
    if input.is_empty() || input.len() > 10 {
        return None;
    }
    let mut value = 0_u64;
    for byte in input {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    u32::try_from(value).ok()
}

/// A decimal number of any length; what does not fit 32 bits is the largest that does.
#[inline]
pub(crate) fn decimal_clamped(input: &[u8]) -> Option<u32> {
    if input.is_empty() || !input.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(input.iter().fold(0_u32, |sum, byte| sum.saturating_mul(10).saturating_add(u32::from(byte - b'0'))))
}
