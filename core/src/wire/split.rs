//! Splitting of header values at commas and semicolons outside quoted strings and angle brackets.
//! RFC 3261 s7.3.1, s25.1.
//!
//! Nothing here recurses: a quoted string ends at its first unescaped quote and an angle bracket at its first `>`, so
//! that nesting is at most one deep. Comments have no meaning: no header that is a list has them, and a URI may hold
//! parentheses. An unterminated quote or bracket swallows the rest of the value, which its grammar then refuses.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memchr3};

use crate::base::text::trim;

/// The elements of a comma-separated value, trimmed, in order; empty ones are skipped.
pub fn commas(value: &[u8]) -> Split<'_> {
    Split { rest: value, at: b',' }
}

/// The parts of a value between semicolons, trimmed, in order; empty ones are skipped.
pub fn semicolons(value: &[u8]) -> Split<'_> {
    Split { rest: value, at: b';' }
}

/// Iterator of [`commas`] and [`semicolons`].
#[derive(Clone, Copy, Debug)]
pub struct Split<'m> {
    rest: &'m [u8],
    at: u8,
}

impl Split<'_> {
    /// Nothing is left.
    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

impl<'m> Iterator for Split<'m> {
    type Item = &'m [u8];

    fn next(&mut self) -> Option<&'m [u8]> {
        while !self.rest.is_empty() {
            let part = match find(self.rest, self.at) {
                Some(i) => {
                    let (part, rest) = self.rest.split_at(i);
                    self.rest = rest.get(1..).unwrap_or_default();
                    part
                }
                None => core::mem::take(&mut self.rest),
            };
            let part = trim(part);
            if !part.is_empty() {
                return Some(part);
            }
        }
        None
    }
}

/// Position of the first `needle` outside quoted strings and angle brackets. `needle` is neither a quote nor `<`.
#[inline]
pub fn find(bytes: &[u8], needle: u8) -> Option<usize> {
    // Most values are one element: a single look for the needle settles them.
    memchr(needle, bytes)?;
    let mut at = 0;
    loop {
        let rest = bytes.get(at..)?;
        let i = memchr3(needle, b'"', b'<', rest)?;
        let from = rest.get(i..)?;
        match from.first()? {
            b'"' => at += i + quoted_end(from)?,
            b'<' => at += i + memchr(b'>', from)? + 1,
            _ => return Some(at + i),
        }
    }
}

/// Length of the quoted string that `bytes` begins with, both quotes included; `None` if it does not begin with a quote
/// or has no end. RFC 3261 s25.1: a backslash takes the meaning of the byte behind it.
#[inline]
pub fn quoted_end(bytes: &[u8]) -> Option<usize> {
    let [b'"', inside @ ..] = bytes else { return None };
    let i = quote_or_backslash(inside)?;
    if inside.get(i) == Some(&b'"') { Some(i + 2) } else { behind_backslash(bytes, i + 1) }
}

/// The rest of [`quoted_end`], from the first backslash.
#[inline(never)]
fn behind_backslash(bytes: &[u8], backslash: usize) -> Option<usize> {
    let mut at = backslash + 2;
    loop {
        let i = at + quote_or_backslash(bytes.get(at..)?)?;
        match bytes.get(i)? {
            b'"' => return Some(i + 1),
            _ => at = i + 2,
        }
    }
}

/// Position of the first quote or backslash. It is near, mostly: a call costs more than looking at two words.
#[inline(always)]
fn quote_or_backslash(bytes: &[u8]) -> Option<usize> {
    let look = |word| marks(word, b'"') | marks(word, b'\\');
    in_two_words(bytes, look, |rest| memchr2(b'"', b'\\', rest))
}

/// Position of the first byte of this kind, which is near.
#[inline(always)]
pub(super) fn near(bytes: &[u8], needle: u8) -> Option<usize> {
    in_two_words(bytes, |word| marks(word, needle), |rest| memchr(needle, rest))
}

#[inline(always)]
fn in_two_words(
    bytes: &[u8],
    look: impl Fn(u64) -> u64,
    beyond: impl FnOnce(&[u8]) -> Option<usize>,
) -> Option<usize> {
    let mut at = 0;
    for word in bytes.as_chunks::<8>().0.iter().take(2) {
        let found = look(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(at + (found.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    Some(at + beyond(bytes.get(at..)?)?)
}

/// The lowest mark is that of the first byte of this kind.
#[inline(always)]
fn marks(word: u64, needle: u8) -> u64 {
    const EACH: u64 = u64::MAX / 0xff;
    let word = word ^ (EACH * needle as u64);
    word.wrapping_sub(EACH) & !word & (EACH * 0x80)
}

/// The value on one line. RFC 3261 s7.3.1: a line end with the white space behind it means one space. Allocates only if
/// the value is folded.
pub fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr2(b'\r', b'\n', value).is_none() {
        return Cow::Borrowed(value);
    }
    let mut out = Vec::with_capacity(value.len());
    unfold_into(value, |part| out.extend_from_slice(part));
    Cow::Owned(out)
}

/// Hands the parts of a folded value to `push`, a single space for each fold.
pub(super) fn unfold_into(value: &[u8], mut push: impl FnMut(&[u8])) {
    for (i, part) in
        value.split(|&b| b == b'\r' || b == b'\n').map(trim).filter(|p| !p.is_empty()).enumerate()
    {
        if i > 0 {
            push(b" ");
        }
        push(part);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(value: &str) -> Vec<String> {
        commas(value.as_bytes()).map(|v| String::from_utf8_lossy(v).into_owned()).collect()
    }

    #[test]
    fn commas_in_quotes_and_brackets_do_not_split() {
        assert_eq!(
            list("\"Bell, \\\"A\\\", x\" <sip:a,b@c;x=1>;q=1 , <sip:d@e>"),
            ["\"Bell, \\\"A\\\", x\" <sip:a,b@c;x=1>;q=1", "<sip:d@e>"]
        );
    }

    #[test]
    fn empty_elements_are_skipped() {
        assert_eq!(list(" ,, a ,\r\n b,,"), ["a", "b"]);
        assert!(list(" , ,").is_empty());
        assert!(list("").is_empty());
    }

    #[test]
    fn an_unterminated_quote_or_bracket_swallows_the_rest() {
        assert_eq!(list("a, \"b, c"), ["a", "\"b, c"]);
        assert_eq!(list("a, <b, c"), ["a", "<b, c"]);
        assert_eq!(list("a, \"b\\\", c"), ["a", "\"b\\\", c"]);
    }

    #[test]
    fn parentheses_group_nothing() {
        assert_eq!(list("sip:a(b@c, sip:d)e@f"), ["sip:a(b@c", "sip:d)e@f"]);
    }

    #[test]
    fn semicolons_split_outside_quotes_only() {
        let parts: Vec<&[u8]> = semicolons(b"a;b=\"x;y\" ; ;c").collect();
        assert_eq!(parts, [&b"a"[..], b"b=\"x;y\"", b"c"]);
    }

    #[test]
    fn a_quoted_string_ends_at_its_first_unescaped_quote() {
        assert_eq!(quoted_end(b"\"a\\\"b\" c"), Some(6));
        assert_eq!(quoted_end(b"\"\""), Some(2));
        assert_eq!(quoted_end(b"\"a"), None);
        assert_eq!(quoted_end(b"\"a\\"), None);
        assert_eq!(quoted_end(b"a\""), None);
        assert_eq!(quoted_end(b""), None);
    }

    #[test]
    fn a_fold_becomes_one_space() {
        assert_eq!(&*unfold(b"a  \r\n \t b\n c"), b"a b c");
        assert!(matches!(unfold(b"a  b"), Cow::Borrowed(b"a  b")));
    }

    proptest! {
        #[test]
        fn splitting_never_panics_and_loses_nothing_but_separators(value in proptest::collection::vec(
            prop_oneof![Just(b','), Just(b'"'), Just(b'<'), Just(b'>'), Just(b'\\'), Just(b' '), Just(b'a')], 0..40)) {
            let kept: usize = commas(&value).map(<[u8]>::len).sum();
            prop_assert!(kept <= value.len());
            let letters = |b: &[u8]| b.iter().filter(|&&b| b == b'a').count();
            prop_assert_eq!(commas(&value).map(letters).sum::<usize>(), letters(&value));
        }
    }
}
