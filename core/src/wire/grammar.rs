//! The leaves of the grammar that the typed views share: RFC 3261 s25.1 tokens, white space, quoted strings, escapes.
//!
//! Each leaf is a nom parser with the unit error, written as a loop over a table of byte classes; views compose them
//! with nom's `complete` combinators, or call them straight where every instruction counts.

use nom::combinator::all_consuming;
use nom::{IResult, Parser};

use super::Fault;
use crate::base::text;

/// What a grammar leaf returns.
pub(crate) type Parsed<'m, O> = IResult<&'m [u8], O, ()>;

/// A set of bytes: a bit of a table of classes.
#[derive(Clone, Copy)]
pub(crate) struct Set(&'static [u8; 256], u8);

/// `token` of RFC 3261 s25.1.
pub(crate) const TOKEN: Set = Set(&text::CLASS, text::TOKEN);
/// `unreserved` and `user-unreserved`: what stands in a user part without an escape.
pub(crate) const USER: Set = Set(&text::CLASS, text::USER);
/// `unreserved` and `param-unreserved`: what stands in a URI parameter without an escape.
pub(crate) const PARAM: Set = Set(&text::CLASS, text::PARAM);
/// Letters, digits, `-`, `_` and `.`: a host name.
pub(crate) const HOST: Set = Set(&text::CLASS, text::HOST);
/// `unreserved` and `& = + $ ,`: what stands in a password without an escape.
pub(crate) const PASSWORD: Set = Set(&MORE, bit::PASSWORD);
/// What stands in the headers of a URI without an escape, with `=` and `&`.
pub(crate) const URI_HEADER: Set = Set(&MORE, bit::URI_HEADER);
/// An unquoted value of a header parameter, taken broadly: visible, and no separator of parameters or list elements.
pub(crate) const VALUE: Set = Set(&MORE, bit::VALUE);
/// The name of a parameter that was validated before: [`VALUE`] without `=`.
pub(crate) const NAME: Set = Set(&MORE, bit::NAME);
/// SP, HTAB and the CR LF of a folded line.
pub(crate) const SPACE: Set = Set(&MORE, bit::SPACE);
/// `token68` of RFC 7235 s2.1 without the padding.
pub(crate) const TOKEN68: Set = Set(&MORE, bit::TOKEN68);
/// A label of a host name: [`HOST`] without the dot.
pub(crate) const LABEL: Set = Set(&MORE, bit::LABEL);
/// An unquoted display name, taken broadly: anything but controls and `" : ; , < >`, so that dots and UTF-8 pass.
pub(crate) const DISPLAY: Set = Set(&MORE, bit::DISPLAY);

mod bit {
    pub(super) const PASSWORD: u8 = 1;
    pub(super) const URI_HEADER: u8 = 1 << 1;
    pub(super) const VALUE: u8 = 1 << 2;
    pub(super) const NAME: u8 = 1 << 3;
    pub(super) const SPACE: u8 = 1 << 4;
    pub(super) const TOKEN68: u8 = 1 << 5;
    pub(super) const LABEL: u8 = 1 << 6;
    pub(super) const DISPLAY: u8 = 1 << 7;
}

/// Classes that only the views of this room need.
static MORE: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = classes(byte as u8);
        byte += 1;
    }
    table
};

const fn classes(b: u8) -> u8 {
    let unreserved = b.is_ascii_alphanumeric()
        || matches!(b, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')');
    let space = matches!(b, b' ' | b'\t' | b'\r' | b'\n');
    let mut bits = 0;
    if unreserved || matches!(b, b'&' | b'=' | b'+' | b'$' | b',') {
        bits |= bit::PASSWORD;
    }
    if unreserved || matches!(b, b'[' | b']' | b'/' | b'?' | b':' | b'+' | b'$' | b'=' | b'&') {
        bits |= bit::URI_HEADER;
    }
    if b > b' ' && !matches!(b, b';' | b',' | b'"' | b'<' | b'>' | 0x7f) {
        bits |= bit::VALUE;
        if b != b'=' {
            bits |= bit::NAME;
        }
    }
    if space {
        bits |= bit::SPACE;
    }
    if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/') {
        bits |= bit::TOKEN68;
    }
    if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_') {
        bits |= bit::LABEL;
    }
    if (b >= b' ' || space) && !matches!(b, b'"' | b':' | b';' | b',' | b'<' | b'>' | 0x7f) {
        bits |= bit::DISPLAY;
    }
    bits
}

/// Whether a byte is in the set.
#[inline(always)]
pub(crate) fn is(byte: u8, set: Set) -> bool {
    set.0[usize::from(byte)] & set.1 != 0
}

/// The end of the run of this set that begins at `from`.
#[inline(always)]
pub(crate) fn run(input: &[u8], from: usize, set: Set) -> usize {
    let mut at = from;
    // Four bytes to a look at the length.
    while let Some([a, b, c, d]) = input.get(at..).and_then(<[u8]>::first_chunk::<4>) {
        match () {
            () if !is(*a, set) => return at,
            () if !is(*b, set) => return at + 1,
            () if !is(*c, set) => return at + 2,
            () if !is(*d, set) => return at + 3,
            () => at += 4,
        }
    }
    while let Some(&byte) = input.get(at)
        && is(byte, set)
    {
        at += 1;
    }
    at
}

/// The end of the white space at `from`, of which there is mostly none.
#[inline(always)]
pub(crate) fn behind_space(input: &[u8], from: usize) -> usize {
    match input.get(from) {
        Some(byte) if is(*byte, SPACE) => run(input, from + 1, SPACE),
        _ => from,
    }
}

/// Cuts the input behind the bytes of this set that it begins with.
#[inline(always)]
pub(crate) fn cut(input: &[u8], set: Set) -> (&[u8], &[u8]) {
    match input.split_at_checked(run(input, 0, set)) {
        Some(parts) => parts,
        None => (input, nothing()),
    }
}

/// What stands where nothing can be. A call, so that the compiler makes a branch, which is never taken, and no sum of
/// conditional moves, which are always made.
#[cold]
#[inline(never)]
pub(super) fn nothing() -> &'static [u8] {
    b""
}

/// Like [`cut`], for bytes of this set and well-formed escapes (`%` HEX HEX).
#[inline(always)]
pub(crate) fn cut_escaped(input: &[u8], set: Set) -> (&[u8], &[u8]) {
    match cut(input, set) {
        (_, rest @ [b'%', ..]) => behind_escapes(input, rest, set),
        plain => plain,
    }
}

/// The rest of [`cut_escaped`], from the first escape.
#[inline(never)]
fn behind_escapes<'m>(input: &'m [u8], mut rest: &'m [u8], set: Set) -> (&'m [u8], &'m [u8]) {
    while let [b'%', high, low, behind @ ..] = rest
        && high.is_ascii_hexdigit()
        && low.is_ascii_hexdigit()
    {
        rest = cut(behind, set).1;
    }
    input.split_at(input.len() - rest.len())
}

/// What is behind the white space that the input begins with.
#[inline(always)]
pub(crate) fn skip_space(mut input: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = input
        && is(*first, SPACE)
    {
        input = rest;
    }
    input
}

/// A non-empty token.
#[inline(always)]
pub(crate) fn token(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (head, rest) = cut(input, TOKEN);
    if head.is_empty() { Err(nom::Err::Error(())) } else { Ok((rest, head)) }
}

/// Any white space.
#[inline(always)]
pub(crate) fn space(input: &[u8]) -> Parsed<'_, ()> {
    Ok((skip_space(input), ()))
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
    move |input| match skip_space(input) {
        [first, rest @ ..] if *first == byte => space(rest),
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

/// The bytes that stand between quotes, as they are meant; of text that is not `quoted`, as they came.
pub(crate) fn meant(inner: &[u8], quoted: bool) -> impl Iterator<Item = u8> {
    let mut rest = inner.iter();
    core::iter::from_fn(move || match rest.next()? {
        // RFC 3261 s25.1: a backslash stands for the character behind it.
        b'\\' if quoted => rest.next().copied(),
        byte => Some(*byte),
    })
}
