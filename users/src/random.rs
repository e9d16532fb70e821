//! Random values and how they are written.

use strowger_core::base::text;

/// Bytes of the operating system. It has none only while it starts up, and then there is nothing better to do than to
/// stop: a guessable secret would be worse.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// Random bytes as text without padding.
pub(crate) fn text<const N: usize>() -> String {
    base64url(&bytes::<N>())
}

/// RFC 4648 s5, without padding.
pub(crate) fn base64url(bytes: &[u8]) -> String {
    let mut out = vec![0; text::base64url_len(bytes.len())];
    let length = text::base64url(bytes, &mut out).map_or(0, <[u8]>::len);
    out.truncate(length);
    String::from_utf8(out).unwrap_or_default()
}

/// The other way round; `None` unless it is the one way to write these bytes.
pub(crate) fn unbase64url(text: &str) -> Option<Vec<u8>> {
    let mut out = vec![0; text.len().div_ceil(4) * 3];
    let length = text::unbase64url(text.as_bytes(), &mut out)?.len();
    out.truncate(length);
    Some(out)
}

/// Lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut out = vec![0; 2 * bytes.len()];
    text::hex_into(bytes, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_nothing_else_is() {
        for length in 0..40 {
            let bytes: Vec<u8> = (0..length).map(|i: u8| i.wrapping_mul(37)).collect();
            assert_eq!(unbase64url(&base64url(&bytes)), Some(bytes));
        }
        assert_eq!((unbase64url("A"), unbase64url("AB=="), unbase64url("A+BC")), (None, None, None));
        assert_eq!(hex(&[0, 0xff]), "00ff");
        assert_ne!(text::<16>(), text::<16>());
    }
}
