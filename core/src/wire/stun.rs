//! STUN Binding requests on a SIP port, the keep-alive of RFC 5626 s4.4.2, and their answers: RFC 8489.
//!
//! There is no long-term or short-term credential here: a Binding answer gives nothing away but the sender's address.

use core::net::{IpAddr, SocketAddr};

use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

const COOKIE: u32 = 0x2112_A442;
const HEADER_BYTES: usize = 20;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const FINGERPRINT: u16 = 0x8028;

/// The most unknown attributes an answer names, so that it is never much longer than the request.
const MOST_UNKNOWN: usize = 8;

/// Whether a datagram is STUN and not SIP: two zero bits, a length that is a multiple of four, the magic cookie.
// RFC 8489 s6.3: what tells STUN from another protocol on the same port.
pub fn is_stun(datagram: &[u8]) -> bool {
    matches!(datagram, [0..=0x3f, _, _, low, 0x21, 0x12, 0xA4, 0x42, ..] if low & 3 == 0)
        && datagram.len() >= HEADER_BYTES
}

/// The answer to a Binding request from `remote`: its address, or a 420 that names the attributes that are unknown and
/// must be understood. `None` if no answer is due: not a Binding request, truncated, or a wrong fingerprint.
///
/// The answer has a FINGERPRINT if the request has one. It is written behind what is in `arena` and split off it.
pub fn answer(request: &[u8], remote: SocketAddr, arena: &mut BytesMut) -> Option<Bytes> {
    if !is_stun(request) {
        return None;
    }
    let (header, attributes) = request.split_at_checked(HEADER_BYTES)?;
    let (kind, length) = (word(header, 0)?, word(header, 2)?);
    // RFC 8489 s6.3: a message that is not whole is discarded.
    if kind != BINDING_REQUEST || usize::from(length) != attributes.len() {
        return None;
    }
    let mut unknown: SmallVec<[u16; MOST_UNKNOWN]> = SmallVec::new();
    let fingerprint = walk(request, attributes, &mut unknown)?;

    let mut out = arena.split_off(arena.len());
    out.reserve(64);
    out.put_u16(if unknown.is_empty() { BINDING_SUCCESS } else { BINDING_ERROR });
    out.put_u16(0);
    // The cookie and the transaction id.
    out.put_slice(header.get(4..)?);
    if unknown.is_empty() {
        put_mapped(&mut out, remote, header.get(8..)?);
    } else {
        put_unknown(&mut out, &unknown);
    }
    let body = out.len() - HEADER_BYTES + if fingerprint { 8 } else { 0 };
    out.get_mut(2..4)?.copy_from_slice(&u16::try_from(body).ok()?.to_be_bytes());
    if fingerprint {
        // RFC 8489 s14.7: over the message up to here, with the final length in its header.
        let sum = crc32(&out) ^ 0x5354_554E;
        out.put_u16(FINGERPRINT);
        out.put_u16(4);
        out.put_u32(sum);
    }
    let answer = out.split().freeze();
    arena.unsplit(out);
    Some(answer)
}

/// The bytes by which an answer is known for that of a request.
pub type Transaction = [u8; 12];

/// A Binding request, written behind what is in `arena` and split off it.
pub fn request(transaction: &Transaction, arena: &mut BytesMut) -> Bytes {
    let mut out = arena.split_off(arena.len());
    out.reserve(HEADER_BYTES);
    out.put_u16(BINDING_REQUEST);
    out.put_u16(0);
    out.put_u32(COOKIE);
    out.put_slice(transaction);
    let request = out.split().freeze();
    arena.unsplit(out);
    request
}

/// What the answer to a Binding request says: which one it was, and our address as the other side sees it. `None` if it is
/// no such answer, or broken.
pub fn mapped(answer: &[u8]) -> Option<(Transaction, SocketAddr)> {
    let (header, attributes) = answer.split_at_checked(HEADER_BYTES)?;
    let (kind, length) = (word(header, 0)?, word(header, 2)?);
    if !is_stun(answer) || kind != BINDING_SUCCESS || usize::from(length) != attributes.len() {
        return None;
    }
    let transaction: Transaction = header.get(8..)?.try_into().ok()?;
    let mut at = 0;
    loop {
        let (kind, length) = (word(attributes, at)?, usize::from(word(attributes, at + 2)?));
        let value = attributes.get(at + 4..at + 4 + length)?;
        if kind == XOR_MAPPED_ADDRESS {
            return Some((transaction, read_mapped(value, &transaction)?));
        }
        at += 4 + length.next_multiple_of(4);
    }
}

/// RFC 8489 s14.2.
fn read_mapped(value: &[u8], transaction: &Transaction) -> Option<SocketAddr> {
    let port = word(value, 2)? ^ (COOKIE >> 16) as u16;
    let mut mask = COOKIE.to_be_bytes().into_iter().chain(transaction.iter().copied());
    let mut masked = value.get(4..)?.iter().map(|byte| byte ^ mask.next().unwrap_or_default());
    let ip = match (value.get(1)?, value.len()) {
        (1, 8) => IpAddr::from(core::array::from_fn::<u8, 4, _>(|_| masked.next().unwrap_or_default())),
        (2, 20) => IpAddr::from(core::array::from_fn::<u8, 16, _>(|_| masked.next().unwrap_or_default())),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Reads the attributes: notes those that must be understood and are not, and says whether there is a fingerprint.
/// `None` if they are malformed or the fingerprint is wrong.
fn walk(request: &[u8], attributes: &[u8], unknown: &mut SmallVec<[u16; MOST_UNKNOWN]>) -> Option<bool> {
    let mut at = 0;
    while at < attributes.len() {
        let (kind, length) = (word(attributes, at)?, usize::from(word(attributes, at + 2)?));
        let value = attributes.get(at + 4..at + 4 + length)?;
        let next = at + 4 + length.next_multiple_of(4);
        if next > attributes.len() {
            return None;
        }
        match kind {
            // RFC 8489 s14.7: it is the last attribute, over all that is before it.
            FINGERPRINT => {
                let sum = crc32(request.get(..HEADER_BYTES + at)?) ^ 0x5354_554E;
                return (next == attributes.len() && value == sum.to_be_bytes()).then_some(true);
            }
            // RFC 8489 s18.3: what it defines and a server may see in a request, and so understands.
            0x0001 | 0x0006 | 0x0008..=0x000A | 0x0014 | 0x0015 | 0x001C..=0x001E | 0x0020 | 0x8000.. => {}
            _ if unknown.len() < MOST_UNKNOWN && !unknown.contains(&kind) => unknown.push(kind),
            _ => {}
        }
        at = next;
    }
    Some(false)
}

/// RFC 8489 s14.2: the address under the cookie and the transaction id, so that no middlebox rewrites it.
fn put_mapped(out: &mut BytesMut, remote: SocketAddr, transaction: &[u8]) {
    let ip = remote.ip().to_canonical();
    out.put_u16(XOR_MAPPED_ADDRESS);
    out.put_u16(if ip.is_ipv4() { 8 } else { 20 });
    out.put_u16(if ip.is_ipv4() { 1 } else { 2 });
    out.put_u16(remote.port() ^ (COOKIE >> 16) as u16);
    let mask = COOKIE.to_be_bytes().into_iter().chain(transaction.iter().copied());
    match ip {
        IpAddr::V4(ip) => ip.octets().into_iter().zip(mask).for_each(|(a, b)| out.put_u8(a ^ b)),
        IpAddr::V6(ip) => ip.octets().into_iter().zip(mask).for_each(|(a, b)| out.put_u8(a ^ b)),
    }
}

fn put_unknown(out: &mut BytesMut, unknown: &[u16]) {
    let reason = b"Unknown Attribute";
    out.put_u16(ERROR_CODE);
    out.put_u16(4 + reason.len() as u16);
    // RFC 8489 s14.8: class 4, number 20.
    out.put_slice(&[0, 0, 4, 20]);
    out.put_slice(reason);
    out.put_bytes(0, reason.len().next_multiple_of(4) - reason.len());
    out.put_u16(UNKNOWN_ATTRIBUTES);
    out.put_u16(2 * unknown.len() as u16);
    for kind in unknown {
        out.put_u16(*kind);
    }
    out.put_bytes(0, if unknown.len() % 2 == 1 { 2 } else { 0 });
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    match bytes.get(at..at + 2)? {
        [high, low] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

/// The CRC-32 of ITU V.42.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| sum >> 8 ^ CRC_TABLE[usize::from(sum as u8 ^ byte)])
}

static CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut sum = index as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0xEDB8_8320 } else { sum >> 1 };
            bit += 1;
        }
        table[index] = sum;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests;
