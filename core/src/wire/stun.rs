//! Answers to STUN Binding requests on a SIP port, the keep-alive of RFC 5626 s4.4.2: RFC 8489.
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRANSACTION: &[u8; 12] = b"abcdefghijkl";

    fn request(attributes: &[(u16, &[u8])], fingerprint: bool) -> Vec<u8> {
        let mut out = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
        out.extend(TRANSACTION);
        for (kind, value) in attributes {
            out.extend(kind.to_be_bytes());
            out.extend((value.len() as u16).to_be_bytes());
            out.extend(*value);
            out.resize(out.len().next_multiple_of(4), 0);
        }
        let length = out.len() - 20 + if fingerprint { 8 } else { 0 };
        out[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        if fingerprint {
            let sum = crc32(&out) ^ 0x5354_554E;
            out.extend([0x80, 0x28, 0, 4]);
            out.extend(sum.to_be_bytes());
        }
        out
    }

    fn answer_to(request: &[u8], remote: &str) -> Option<Vec<u8>> {
        let mut arena = BytesMut::from(&b"before"[..]);
        let answer = answer(request, remote.parse().expect("an address"), &mut arena);
        assert_eq!(&arena[..], b"before");
        answer.map(|bytes| bytes.to_vec())
    }

    #[test]
    fn the_sum_is_that_of_v42() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_binding_request_learns_its_address() {
        // The address and the port of RFC 5769 s2.2.
        let answer = answer_to(&request(&[], false), "192.0.2.1:32853").expect("an answer");
        let mut expected = vec![1, 1, 0, 12, 0x21, 0x12, 0xA4, 0x42];
        expected.extend(TRANSACTION);
        expected.extend([0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
        assert_eq!(answer, expected);
        assert_eq!(answer_to(&request(&[], false), "[::ffff:192.0.2.1]:32853"), Some(expected));
    }

    #[test]
    fn an_ipv6_address_is_masked_with_the_transaction_too() {
        let answer = answer_to(&request(&[], false), "[2001:db8::1]:5060").expect("an answer");
        assert_eq!(answer[20..28], [0, 0x20, 0, 20, 0, 2, 0x13 ^ 0x21, 0xc4 ^ 0x12]);
        let mask: Vec<u8> = COOKIE.to_be_bytes().into_iter().chain(*TRANSACTION).collect();
        let address: Vec<u8> = answer[28..].iter().zip(mask).map(|(a, b)| a ^ b).collect();
        assert_eq!(address, "2001:db8::1".parse::<core::net::Ipv6Addr>().expect("an address").octets());
    }

    #[test]
    fn a_fingerprint_is_answered_with_one() {
        let answer = answer_to(&request(&[(0x8022, b"phone")], true), "192.0.2.1:1").expect("an answer");
        assert_eq!(answer.len(), 20 + 12 + 8);
        assert_eq!(answer[2..4], [0, 20]);
        assert_eq!(answer[32..36], [0x80, 0x28, 0, 4]);
        assert_eq!(answer[36..], (crc32(&answer[..32]) ^ 0x5354_554E).to_be_bytes());
    }

    #[test]
    fn the_sample_request_of_rfc_5769_is_answered() {
        let sample: &[u8] = &[
            0x00, 0x01, 0x00, 0x58, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86,
            0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x10, 0x53, 0x54, 0x55, 0x4e, 0x20, 0x74, 0x65, 0x73,
            0x74, 0x20, 0x63, 0x6c, 0x69, 0x65, 0x6e, 0x74, 0x00, 0x24, 0x00, 0x04, 0x6e, 0x00, 0x01, 0xff,
            0x80, 0x29, 0x00, 0x08, 0x93, 0x2f, 0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36, 0x00, 0x06, 0x00, 0x09,
            0x65, 0x76, 0x74, 0x6a, 0x3a, 0x68, 0x36, 0x76, 0x59, 0x20, 0x20, 0x20, 0x00, 0x08, 0x00, 0x14,
            0x9a, 0xea, 0xa7, 0x0c, 0xbf, 0xd8, 0xcb, 0x56, 0x78, 0x1e, 0xf2, 0xb5, 0xb2, 0xd3, 0xf2, 0x49,
            0xc1, 0xb5, 0x71, 0xa2, 0x80, 0x28, 0x00, 0x04, 0xe5, 0x7a, 0x3b, 0xcf,
        ];
        // PRIORITY belongs to ICE, which is not spoken here.
        let answer = answer_to(sample, "192.0.2.1:1").expect("its fingerprint is right");
        assert_eq!(answer[..2], [1, 0x11]);
        assert!(answer.windows(6).any(|bytes| bytes == [0, 0x0a, 0, 2, 0, 0x24]));
    }

    #[test]
    fn an_unknown_attribute_that_must_be_understood_is_named() {
        let answer =
            answer_to(&request(&[(0x7001, b"x"), (0x0003, &[0; 4]), (0x7001, b"")], false), "192.0.2.1:1")
                .expect("an answer");
        assert_eq!(answer[..4], [1, 0x11, 0, 36]);
        assert_eq!(answer[20..28], [0, 9, 0, 21, 0, 0, 4, 20]);
        assert_eq!(answer[48..], [0, 0x0a, 0, 4, 0x70, 0x01, 0, 3]);
    }

    #[test]
    fn what_is_not_a_whole_binding_request_is_not_answered() {
        let good = request(&[(0x8022, b"phone")], true);
        let mut wrong_sum = good.clone();
        wrong_sum[21] ^= 1;
        let mut indication = request(&[], false);
        indication[1] = 0x11;
        let mut response = request(&[], false);
        response[0] = 1;
        let mut overlong = request(&[(0x8022, b"phone")], false);
        overlong[23] = 200;
        for bytes in
            [&good[..good.len() - 4], &wrong_sum, &indication, &response, &overlong, b"", &good[..19]]
        {
            assert_eq!(answer_to(bytes, "192.0.2.1:1"), None, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn sip_is_not_stun() {
        assert!(is_stun(&request(&[], false)));
        assert!(!is_stun(b"REGISTER sip:example.com SIP/2.0\r\n"));
        assert!(!is_stun(b"\r\n\r\n"));
        assert!(!is_stun(b""));
    }

    proptest! {
        #[test]
        fn an_answer_is_bounded_and_nothing_panics(
            tail in proptest::collection::vec(any::<u8>(), 0..120),
            remote in any::<(IpAddr, u16)>(),
        ) {
            let mut bytes = request(&[], false);
            bytes.extend(&tail);
            bytes[2..4].copy_from_slice(&(tail.len() as u16).to_be_bytes());
            if let Some(answer) = answer(&bytes, remote.into(), &mut BytesMut::new()) {
                prop_assert!(answer.len() <= 20 + 28 + 4 + 2 * MOST_UNKNOWN + 8);
                prop_assert_eq!(answer.len() % 4, 0);
            }
        }
    }
}
