//! Byte helpers without allocation: classes of characters (RFC 3261 s25.1), hexadecimal, base64url (RFC 4648 s5),
//! decimal numbers, user parts.

use core::net::Ipv4Addr;

use bytes::BytesMut;
use smallvec::SmallVec;

/// A canonical AoR under construction: `user@domain` in ASCII.
pub type AorBuf = SmallVec<[u8; 96]>;

/// Something bytes are appended to: `Vec<u8>`, `SmallVec`, `BytesMut`.
pub trait Push {
    /// Appends bytes.
    fn push_bytes(&mut self, bytes: &[u8]);

    /// Appends one byte.
    #[inline]
    fn push_byte(&mut self, byte: u8) {
        self.push_bytes(&[byte]);
    }
}

impl Push for Vec<u8> {
    #[inline]
    fn push_bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl<const N: usize> Push for SmallVec<[u8; N]> {
    #[inline]
    fn push_bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Push for BytesMut {
    #[inline]
    fn push_bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Writes bytes where they fit; gives where they end.
#[inline(always)]
pub(crate) fn put<const N: usize>(out: &mut [u8; N], at: usize, bytes: &[u8]) -> usize {
    let end = at + bytes.len();
    if let Some(place) = out.get_mut(at..end) {
        place.copy_from_slice(bytes);
    }
    end
}

/// Each byte in decimal with a dot behind it, and how long that is.
static OCTETS: [([u8; 4], u8); 256] = {
    let mut table = [([b'.'; 4], 0); 256];
    let mut n = 0;
    while n < 256 {
        let digits = [b'0' + (n / 100) as u8, b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8];
        let skipped = if n >= 100 {
            0
        } else if n >= 10 {
            1
        } else {
            2
        };
        let mut i = skipped;
        while i < 3 {
            table[n].0[i - skipped] = digits[i];
            i += 1;
        }
        table[n].1 = (4 - skipped) as u8;
        n += 1;
    }
    table
};

/// Writes an IPv4 address; there must be room for 16 bytes.
#[inline(always)]
pub(crate) fn put_v4<const N: usize>(out: &mut [u8; N], mut at: usize, address: Ipv4Addr) -> usize {
    for octet in address.octets() {
        let (text, len) = OCTETS[usize::from(octet)];
        // Four bytes at once; what is too many is written over.
        put(out, at, &text);
        at += usize::from(len);
    }
    at - 1
}

/// The text of these bytes: nearly always they are text as they are; what is not UTF-8 in them is replaced.
pub(crate) fn owned(bytes: &[u8]) -> Box<str> {
    core::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes).into(), Box::from)
}

/// `ALPHA`.
pub const ALPHA: u8 = 1;
/// `DIGIT`.
pub const DIGIT: u8 = 1 << 1;
/// `HEXDIG`, either case.
pub const HEX: u8 = 1 << 2;
/// `token`: alphanum and ``-.!%*_+`'~``.
pub const TOKEN: u8 = 1 << 3;
/// `word`, of which a Call-ID is made: token and `()<>:\"/[]?{}`.
pub const WORD: u8 = 1 << 4;
/// What a user part shows unescaped: unreserved and `&=+$,;?/`. Not `%`.
pub const USER: u8 = 1 << 5;
/// What a URI parameter shows unescaped: unreserved and `[]/:&+$`. Not `%`.
pub const PARAM: u8 = 1 << 6;
/// Host names and IPv4 addresses: alphanum, `-`, `.`; and `_`, which is not in the grammar but in the field.
pub const HOST: u8 = 1 << 7;

/// The classes of every byte, as bits: `CLASS[b as usize] & TOKEN != 0`.
pub static CLASS: [u8; 256] = {
    const fn mark(mut table: [u8; 256], bytes: &[u8], class: u8) -> [u8; 256] {
        let mut i = 0;
        while i < bytes.len() {
            table[bytes[i] as usize] |= class;
            i += 1;
        }
        table
    }
    let mut table = [0; 256];
    let mut b = 0;
    while b < 128 {
        let byte = b as u8;
        if byte.is_ascii_alphabetic() {
            table[b] |= ALPHA;
        }
        if byte.is_ascii_digit() {
            table[b] |= DIGIT;
        }
        if byte.is_ascii_hexdigit() {
            table[b] |= HEX;
        }
        if byte.is_ascii_alphanumeric() {
            table[b] |= TOKEN | WORD | USER | PARAM | HOST;
        }
        b += 1;
    }
    table = mark(table, b"-.!%*_+`'~", TOKEN | WORD);
    table = mark(table, b"()<>:\\\"/[]?{}", WORD);
    table = mark(table, b"-_.!~*'()", USER | PARAM);
    table = mark(table, b"&=+$,;?/", USER);
    table = mark(table, b"[]/:&+$", PARAM);
    mark(table, b"-._", HOST)
};

/// Is the byte of one of these classes?
#[inline]
pub fn is(byte: u8, classes: u8) -> bool {
    CLASS[usize::from(byte)] & classes != 0
}

/// Are all bytes of one of these classes? True for none.
#[inline]
pub fn all(bytes: &[u8], classes: u8) -> bool {
    bytes.iter().all(|&b| is(b, classes))
}

/// Is it a `token`: one character or more of its class?
pub fn is_token(b: &[u8]) -> bool {
    !b.is_empty() && all(b, TOKEN)
}

/// Does it hold no white space and no controls? Bytes above ASCII pass.
#[inline]
pub fn is_visible(b: &[u8]) -> bool {
    // Sixteen bytes in one step, and the last sixteen once more instead of a remainder byte by byte.
    let visible = |b: &[u8]| b.iter().fold(true, |sound, &b| sound & (b > b' ') & (b != 0x7f));
    match (b.as_chunks::<16>(), b.last_chunk::<16>()) {
        ((chunks, _), Some(last)) => chunks.iter().all(|chunk| visible(chunk)) && visible(last),
        ((_, short), None) => visible(short),
    }
}

/// Equal but for the case of ASCII letters?
#[inline]
pub fn eq_ignore_case(a: &[u8], b: &[u8]) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// Without SP, HTAB, CR and LF at both ends.
#[inline]
pub fn trim(mut b: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = b {
        b = rest;
    }
    while let [rest @ .., b' ' | b'\t' | b'\r' | b'\n'] = b {
        b = rest;
    }
    b
}

/// A decimal number: digits only, at least one; `None` above `u32::MAX`.
pub fn decimal_u32(b: &[u8]) -> Option<u32> {
    decimal(b).and_then(|n| u32::try_from(n).ok())
}

/// A decimal number: digits only, at least one; above `u32::MAX` it is `u32::MAX`.
// RFC 3261 s20.19: delta-seconds go up to 2**32-1; a larger value is taken for that, and never for a removal.
pub fn clamp_u32(b: &[u8]) -> Option<u32> {
    decimal(b).map(|n| u32::try_from(n).unwrap_or(u32::MAX))
}

/// A decimal number: digits only, at least one; `None` above `u64::MAX`.
pub fn decimal_u64(b: &[u8]) -> Option<u64> {
    if b.is_empty() {
        return None;
    }
    b.iter().try_fold(0u64, |n, &c| {
        if !c.is_ascii_digit() {
            return None;
        }
        n.checked_mul(10)?.checked_add(u64::from(c - b'0'))
    })
}

/// Saturates above `u32::MAX`.
fn decimal(b: &[u8]) -> Option<u64> {
    if b.is_empty() {
        return None;
    }
    const BEYOND: u64 = 1 << 32;
    b.iter().try_fold(0u64, |n, &c| c.is_ascii_digit().then(|| (n * 10 + u64::from(c - b'0')).min(BEYOND)))
}

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// Writes bytes as lower-case hexadecimal to the front of `out` and returns what was written; as many whole bytes as
/// there is room for.
pub fn hex_into<'o>(bytes: &[u8], out: &'o mut [u8]) -> &'o [u8] {
    let fits = bytes.len().min(out.len() / 2);
    let (bytes, out) = (bytes.get(..fits).unwrap_or_default(), out.get_mut(..2 * fits).unwrap_or_default());
    let (fours, rest) = bytes.as_chunks();
    let (eights, last) = out.as_chunks_mut();
    for (eight, four) in eights.iter_mut().zip(fours) {
        *eight = hex_of(*four);
    }
    for (pair, byte) in last.as_chunks_mut::<2>().0.iter_mut().zip(rest) {
        *pair = [LOWER[usize::from(byte >> 4)], LOWER[usize::from(byte & 15)]];
    }
    out
}

/// Four bytes as lower-case hexadecimal, all digits at once.
#[inline]
pub(super) fn hex_of(four: [u8; 4]) -> [u8; 8] {
    const EACH: u64 = u64::MAX / 0xff;
    // The bytes two apart, then their halves one apart, the high one first.
    let bits = u64::from(u32::from_le_bytes(four));
    let bits = (bits | bits << 16) & 0x0000_ffff_0000_ffff;
    let bits = (bits | bits << 8) & 0x00ff_00ff_00ff_00ff;
    let digits = (bits >> 4 | bits << 8) & (EACH * 15);
    let letters = (digits + EACH * 6) >> 4 & EACH;
    (digits + EACH * u64::from(b'0') + letters * u64::from(b'a' - b'9' - 1)).to_le_bytes()
}

/// Appends bytes as lower-case hexadecimal.
pub fn push_hex(bytes: &[u8], out: &mut impl Push) {
    for byte in bytes {
        out.push_bytes(&[LOWER[usize::from(byte >> 4)], LOWER[usize::from(byte & 15)]]);
    }
}

/// Reads hexadecimal of either case. False, with `out` in an unknown state, unless it fills `out` exactly.
pub fn unhex(hex: &[u8], out: &mut [u8]) -> bool {
    if hex.len() != 2 * out.len() {
        return false;
    }
    // Without a branch per digit: a hash is noise, and its digits cannot be predicted.
    let mut bad = 0;
    let (blocks, hex) = hex.as_chunks::<32>();
    let (outs, out) = out.as_chunks_mut::<16>();
    for (block, out) in blocks.iter().zip(outs) {
        let digits = block.map(digit);
        for (pair, byte) in digits.as_chunks::<2>().0.iter().zip(out) {
            let [high, low] = *pair;
            bad |= high | low;
            *byte = high << 4 | low & 15;
        }
    }
    for (pair, byte) in hex.as_chunks::<2>().0.iter().zip(out) {
        let [high, low] = pair.map(|c| NIBBLE[usize::from(c)]);
        bad |= high | low;
        *byte = high << 4 | low & 15;
    }
    bad & NONE == 0
}

/// What [`NIBBLE`] says, by arithmetic that is done on many digits at once.
#[inline(always)]
fn digit(c: u8) -> u8 {
    let (figure, letter) = (c.wrapping_sub(b'0'), (c | 0x20).wrapping_sub(b'a'));
    match () {
        () if figure < 10 => figure,
        () if letter < 6 => letter + 10,
        () => NONE,
    }
}

/// Marks what is no digit in the tables of digits.
const NONE: u8 = 0x80;

static NIBBLE: [u8; 256] = {
    let mut table = [NONE; 256];
    let mut i = 0;
    while i < 256 {
        if let Some(value) = nibble(i as u8) {
            table[i] = value;
        }
        i += 1;
    }
    table
};

/// The value of a hexadecimal digit.
#[inline]
pub const fn nibble(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        b'A'..=b'F' => Some(c - b'A' + 10),
        _ => None,
    }
}

/// What is to stand between quotes to mean this: quotes and backslashes become quoted pairs (RFC 3261 s25.1).
pub fn quotable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Takes one character off a text with `%XX` escapes: its byte and whether it was escaped. A `%` without two
/// hexadecimal digits stands for itself.
// RFC 3261 s19.1.4: a character is equal to its escape, unless it is reserved.
#[inline]
pub fn unescape_next<'b>(b: &mut &'b [u8]) -> Option<(u8, bool)> {
    let whole: &'b [u8] = b;
    let (&first, rest) = whole.split_first()?;
    if first == b'%'
        && let [high, low, after @ ..] = rest
        && let (Some(high), Some(low)) = (nibble(*high), nibble(*low))
    {
        *b = after;
        return Some((high << 4 | low, true));
    }
    *b = rest;
    Some((first, false))
}

/// Appends the one way to write a user part: escapes decoded where the character needs none (RFC 3261 s25.1 `user`),
/// everything else as `%XX` in upper case. Users that differ only by escaping give the same bytes.
pub fn canonical_user(mut raw: &[u8], out: &mut impl Push) {
    // Nearly every user is plain already.
    let plain = raw.iter().position(|&b| !is(b, USER)).unwrap_or(raw.len());
    let (head, tail) = raw.split_at(plain);
    out.push_bytes(head);
    raw = tail;
    while let Some((byte, _)) = unescape_next(&mut raw) {
        if is(byte, USER) {
            out.push_byte(byte);
        } else {
            out.push_bytes(&[b'%', UPPER[usize::from(byte >> 4)], UPPER[usize::from(byte & 15)]]);
        }
    }
}

const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// How long the base64url of `n` bytes is, without padding.
pub const fn base64url_len(n: usize) -> usize {
    n / 3 * 4 + [0, 2, 3][n % 3]
}

/// Writes bytes as base64url without padding to the front of `out` and returns what was written; `None` if there is
/// too little room.
pub fn base64url<'o>(bytes: &[u8], out: &'o mut [u8]) -> Option<&'o [u8]> {
    let out = out.get_mut(..base64url_len(bytes.len()))?;
    for (chunk, quad) in bytes.chunks(3).zip(out.chunks_mut(4)) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for (i, c) in quad.iter_mut().enumerate() {
            *c = BASE64URL[(bits >> (18 - 6 * i) & 63) as usize];
        }
    }
    Some(out)
}

/// Reads base64url without padding into the front of `out` and returns what was read. `None` for any other character,
/// a length that cannot be, bits that are not zero behind the end (each value has one text), or too little room.
pub fn unbase64url<'o>(text: &[u8], out: &'o mut [u8]) -> Option<&'o [u8]> {
    let tail = match text.len() % 4 {
        0 => 0,
        2 => 1,
        3 => 2,
        _ => return None,
    };
    let out = out.get_mut(..text.len() / 4 * 3 + tail)?;
    let (quads, rest) = text.as_chunks::<4>();
    let (triples, last) = out.as_chunks_mut::<3>();
    let mut bad = 0;
    for (quad, triple) in quads.iter().zip(triples) {
        let values = quad.map(|c| SEXTET[usize::from(c)]);
        bad |= values[0] | values[1] | values[2] | values[3];
        let [_, bytes @ ..] = sextets(values).to_be_bytes();
        *triple = bytes;
    }
    let mut values = [0; 4];
    for (value, c) in values.iter_mut().zip(rest) {
        *value = SEXTET[usize::from(*c)];
        bad |= *value;
    }
    let [_, bytes @ ..] = sextets(values).to_be_bytes();
    let (kept, lost) = bytes.split_at(last.len());
    last.copy_from_slice(kept);
    let whole = lost.iter().all(|&b| b == 0);
    (bad & NONE == 0 && whole).then_some(&*out)
}

fn sextets(values: [u8; 4]) -> u32 {
    values.iter().fold(0, |bits, &value| bits << 6 | u32::from(value & 63))
}

static SEXTET: [u8; 256] = {
    let mut table = [NONE; 256];
    let mut i = 0;
    while i < BASE64URL.len() {
        table[BASE64URL[i] as usize] = i as u8;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests;
