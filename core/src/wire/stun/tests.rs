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
        0x00, 0x01, 0x00, 0x58, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa,
        0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x10, 0x53, 0x54, 0x55, 0x4e, 0x20, 0x74, 0x65, 0x73, 0x74, 0x20,
        0x63, 0x6c, 0x69, 0x65, 0x6e, 0x74, 0x00, 0x24, 0x00, 0x04, 0x6e, 0x00, 0x01, 0xff, 0x80, 0x29, 0x00,
        0x08, 0x93, 0x2f, 0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36, 0x00, 0x06, 0x00, 0x09, 0x65, 0x76, 0x74, 0x6a,
        0x3a, 0x68, 0x36, 0x76, 0x59, 0x20, 0x20, 0x20, 0x00, 0x08, 0x00, 0x14, 0x9a, 0xea, 0xa7, 0x0c, 0xbf,
        0xd8, 0xcb, 0x56, 0x78, 0x1e, 0xf2, 0xb5, 0xb2, 0xd3, 0xf2, 0x49, 0xc1, 0xb5, 0x71, 0xa2, 0x80, 0x28,
        0x00, 0x04, 0xe5, 0x7a, 0x3b, 0xcf,
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
    for bytes in [&good[..good.len() - 4], &wrong_sum, &indication, &response, &overlong, b"", &good[..19]] {
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

#[test]
fn a_request_of_ours_is_answered_with_our_address() {
    let id = *b"abcdefghijkl";
    for remote in ["192.0.2.1:32853", "[2001:db8:1234:5678:11:2233:4455:6677]:32853"] {
        let remote = remote.parse().expect("an address");
        let request = super::request(&id, &mut BytesMut::new());
        assert!(is_stun(&request));
        let answer = answer(&request, remote, &mut BytesMut::new()).expect("an answer");
        assert_eq!(mapped(&answer), Some((id, remote)));
        assert_eq!(mapped(&request), None);
        for cut in 0..answer.len() {
            assert_eq!(mapped(&answer[..cut]), None);
        }
        for at in 0..answer.len() {
            let mut changed = answer.to_vec();
            changed[at] ^= 0xff;
            let _ = mapped(&changed);
        }
    }
}
