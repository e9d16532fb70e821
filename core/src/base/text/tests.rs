use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn user(raw: &[u8]) -> Vec<u8> {
    let mut out = AorBuf::new();
    canonical_user(raw, &mut out);
    out.to_vec()
}

#[test]
fn classes_are_those_of_the_grammar() {
    let members = |class| -> String {
        (0..=255u8).filter(|&b| is(b, class) && !b.is_ascii_alphanumeric()).map(char::from).collect()
    };
    assert_eq!(
        members(TOKEN),
        "!%'*+-.`_~".chars().collect::<std::collections::BTreeSet<_>>().iter().collect::<String>()
    );
    assert_eq!(members(WORD), "!\"%'()*+-./:<>?[\\]_`{}~");
    assert_eq!(members(USER), "!$&'()*+,-./;=?_~");
    assert_eq!(members(PARAM), "!$&'()*+-./:[]_~");
    assert_eq!(members(HOST), "-._");
    for b in 0..=255u8 {
        assert_eq!(is(b, ALPHA), b.is_ascii_alphabetic());
        assert_eq!(is(b, DIGIT), b.is_ascii_digit());
        assert_eq!(is(b, HEX), b.is_ascii_hexdigit());
        assert_eq!(
            is(b, TOKEN | WORD | USER | PARAM | HOST),
            b.is_ascii_alphanumeric() || is(b, WORD | USER)
        );
    }
    assert!(
        is_token(b"INVITE")
            && is_token(b"x-y.z%")
            && !is_token(b"")
            && !is_token(b"a b")
            && !is_token(b"\xe9")
    );
}

#[test]
fn numbers_clamp_or_refuse_and_take_only_digits() {
    for bad in [&b""[..], b"-1", b"+1", b" 1", b"1 ", b"0x1", b"1.0", b"\xd9\xa1"] {
        assert_eq!((decimal_u32(bad), clamp_u32(bad), decimal_u64(bad)), (None, None, None));
    }
    assert_eq!(decimal_u32(b"4294967295"), Some(u32::MAX));
    assert_eq!(decimal_u32(b"4294967296"), None);
    assert_eq!(clamp_u32(b"4294967296"), Some(u32::MAX));
    assert_eq!(clamp_u32(b"99999999999999999999999999999999999999"), Some(u32::MAX));
    assert_eq!(clamp_u32(b"99999999999999999999999999999999999999x"), None);
    assert_eq!(decimal_u32(b"00000000000000000000000000000000000042"), Some(42));
    assert_eq!(decimal_u64(b"18446744073709551615"), Some(u64::MAX));
    assert_eq!(decimal_u64(b"18446744073709551616"), None);
}

#[test]
fn trim_takes_white_space_off_both_ends_only() {
    assert_eq!(trim(b" \t\r\n a b \r\n\t "), b"a b");
    assert_eq!(trim(b" \r\n"), b"");
    assert_eq!(trim(b"\x0bx\0"), b"\x0bx\0");
}

#[test]
fn users_that_differ_by_escaping_are_one() {
    assert_eq!(user(b"alice"), b"alice");
    assert_eq!(user(b"%61lic%65"), b"alice");
    assert_eq!(user(b"+1-555;ext=7"), b"+1-555;ext=7");
    assert_eq!(user(b"%2b1-555%3Bext=7"), b"+1-555;ext=7");
    // Not what may stand there unescaped.
    assert_eq!(user(b"a%40b%3ac%23%c3%bc"), b"a%40b%3Ac%23%C3%BC");
    // Bytes a careless sender did not escape, and a careless escape.
    assert_eq!(user(b"a#\xc3\xbc b"), b"a%23%C3%BC%20b");
    assert_eq!(user(b"100%"), b"100%25");
    assert_eq!(user(b"100%2"), b"100%252");
    assert_eq!(user(b"100%zz"), b"100%25zz");
    assert_eq!(user(b"%00\0"), b"%00%00");
}

#[test]
fn base64url_gives_the_texts_of_rfc_4648() {
    let texts =
        [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("foobar", "Zm9vYmFy")];
    let mut out = [0; 16];
    for (plain, text) in texts {
        assert_eq!(base64url(plain.as_bytes(), &mut out), Some(text.as_bytes()));
        assert_eq!(unbase64url(text.as_bytes(), &mut out), Some(plain.as_bytes()));
    }
    assert_eq!(base64url(b"\xfb\xff\xfe", &mut out), Some(&b"-__-"[..]));
    for bad in ["Z", "Zg==", "Zh", "Zm9", "Zm+v", "Zm/v", "Zm 9", "Zm9vY"] {
        assert_eq!(unbase64url(bad.as_bytes(), &mut out), None, "{bad}");
    }
    assert_eq!(base64url(b"foo", &mut [0; 3]), None);
    assert_eq!(unbase64url(b"Zm9v", &mut [0; 2]), None);
}

#[test]
fn a_byte_that_is_no_digit_is_found_wherever_it_stands() {
    let text = *b"0123456789abcdefABCDEF00112233445566778899";
    for at in 0..text.len() {
        for byte in 0..=255 {
            let mut text = text;
            text[at] = byte;
            let mut out = [0; 21];
            assert_eq!(unhex(&text, &mut out), byte.is_ascii_hexdigit(), "{byte} at {at}");
            if let Some(value) = nibble(byte) {
                assert_eq!(out[at / 2] >> (4 * (1 - at % 2)) & 15, value);
            }
        }
    }
}

#[test]
fn hexadecimal_fills_its_room_exactly() {
    let mut out = [0; 2];
    assert!(unhex(b"c0Fe", &mut out) && out == [0xc0, 0xfe]);
    assert!(!unhex(b"c0f", &mut out) && !unhex(b"c0fe00", &mut out) && !unhex(b"c0fg", &mut out));
    assert!(unhex(b"", &mut []));
    assert_eq!(hex_into(&[0xc0, 0xfe], &mut [0; 5]), b"c0fe");
    assert_eq!(hex_into(&[0xc0, 0xfe], &mut [0; 3]), b"c0");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_survive_hexadecimal_and_base64url(bytes in vec(any::<u8>(), 0..80)) {
        let (mut text, mut back) = ([0; 160], [0; 80]);
        let back = &mut back[..bytes.len()];
        prop_assert!(unhex(hex_into(&bytes, &mut text), back));
        prop_assert_eq!(&*back, &bytes[..]);
        prop_assert!(unhex(&text[..2 * bytes.len()].to_ascii_uppercase(), back));
        prop_assert_eq!(&*back, &bytes[..]);
        let mut pushed = Vec::new();
        push_hex(&bytes, &mut pushed);
        prop_assert_eq!(&pushed[..], &text[..2 * bytes.len()]);
        let text = base64url(&bytes, &mut text).expect("there is room");
        prop_assert_eq!(text.len(), base64url_len(bytes.len()));
        prop_assert_eq!(unbase64url(text, back), Some(&bytes[..]));
    }

    #[test]
    fn no_two_texts_of_base64url_are_one_value(text in "[A-Za-z0-9_-]{0,12}") {
        let (mut bytes, mut again) = ([0; 16], [0; 16]);
        if let Some(bytes) = unbase64url(text.as_bytes(), &mut bytes) {
            prop_assert_eq!(base64url(bytes, &mut again), Some(text.as_bytes()));
        }
    }

    #[test]
    fn a_canonical_user_is_its_own_canonical_form(raw in vec(prop_oneof![Just(b'%'), any::<u8>(), b'0'..=b'f'], 0..40)) {
        let once = user(&raw);
        prop_assert_eq!(user(&once), once.clone());
        prop_assert!(once.iter().all(|&b| is(b, USER) || b == b'%'));
        // Escaping any of it more changes nothing.
        let mut escaped = Vec::new();
        let mut rest = &raw[..];
        while let Some((byte, _)) = unescape_next(&mut rest) {
            escaped.push(b'%');
            push_hex(&[byte], &mut escaped);
        }
        prop_assert_eq!(user(&escaped), once);
    }

    #[test]
    fn numbers_survive_their_text(n in any::<u64>()) {
        let text = n.to_string();
        prop_assert_eq!(decimal_u64(text.as_bytes()), Some(n));
        prop_assert_eq!(decimal_u32(text.as_bytes()), u32::try_from(n).ok());
        prop_assert_eq!(clamp_u32(text.as_bytes()), Some(u32::try_from(n).unwrap_or(u32::MAX)));
    }
}
