use super::*;
use crate::base::text;

fn hex(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    text::push_hex(bytes, &mut out);
    String::from_utf8(out).expect("hexadecimal is ASCII")
}

fn of(algorithm: DigestAlgorithm, parts: &[&[u8]]) -> String {
    hex(&digest(algorithm, parts)[..algorithm.len()])
}

/// The response of RFC 7616 s3.4.1 with qop.
fn response(algorithm: DigestAlgorithm) -> String {
    let a1 = of(algorithm, &[b"Mufasa:http-auth@example.org:", b"Circle of Life"]);
    let a2 = of(algorithm, &[b"GET", b":", b"/dir/index.html"]);
    let nonce = b"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
    let cnonce = b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
    of(algorithm, &[a1.as_bytes(), b":", nonce, b":00000001:", cnonce, b":auth:", a2.as_bytes()])
}

#[test]
fn digest_gives_the_responses_of_rfc_7616() {
    assert_eq!(response(DigestAlgorithm::Md5), "8ca523f5e9506fed4657c9700eebdbec");
    assert_eq!(
        response(DigestAlgorithm::Sha256),
        "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
    );
}

#[test]
fn hashes_of_abc_are_those_of_their_standards() {
    // RFC 1321 A.5, FIPS 180-4.
    assert_eq!(of(DigestAlgorithm::Md5, &[b"abc"]), "900150983cd24fb0d6963f7d28e17f72");
    assert_eq!(
        of(DigestAlgorithm::Sha256, &[b"abc"]),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert_eq!(
        of(DigestAlgorithm::Sha512_256, &[b"abc"]),
        "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"
    );
}

#[test]
fn parts_are_concatenated_and_md5_leaves_the_rest_zero() {
    for algorithm in DigestAlgorithm::STRONGEST_FIRST {
        assert_eq!(digest(algorithm, &[b"al", b"", b"ice"]), digest(algorithm, &[b"alice"]));
    }
    assert_eq!(sha256(&[b"al", b"ice"]), digest(DigestAlgorithm::Sha256, &[b"alice"]));
    assert_eq!(digest(DigestAlgorithm::Md5, &[b"abc"])[16..], [0; 16]);
}

#[test]
fn a_hash_under_way_is_that_of_the_whole_wherever_it_is_cut() {
    let text: Vec<u8> = (0..=255).collect();
    for algorithm in DigestAlgorithm::STRONGEST_FIRST {
        for length in 0..=text.len() {
            let text = &text[..length];
            for cut in [0, 1, 55, 56, 63, 64, 65, 128, 200, length].map(|cut| cut.min(length)) {
                let (a, b) = text.split_at(cut);
                let running = Running::new(algorithm, &[a]);
                assert_eq!(running.finish(&[b]), digest(algorithm, &[text]), "{algorithm:?} {length} {cut}");
                assert_eq!(running.finish(&[b]), Running::new(algorithm, &[a, b]).finish(&[]));
            }
            if let Some((first, rest)) = text.split_first_chunk() {
                let (a, b) = rest.split_at(rest.len() / 2);
                assert_eq!(Running::after(&FirstBlock::new(first), &[a]).finish(&[b]), sha256(&[text]));
            }
        }
    }
}

#[test]
fn hmac_gives_the_codes_of_rfc_4231() {
    type Case<'a> = (&'a [u8], &'a [&'a [u8]], &'a str);
    let cases: [Case<'_>; 6] = [
        (
            &[0x0b; 20],
            &[b"Hi ", b"There"],
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe",
            &[b"what do ya want ", b"for nothing?"],
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (&[0xaa; 20], &[&[0xdd; 50]], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
        (
            &core::array::from_fn::<u8, 25, _>(|i| i as u8 + 1),
            &[&[0xcd; 50]],
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        ),
        (
            &[0xaa; 131],
            &[b"Test Using Larger Than Block-Size Key - Hash Key First"],
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            &[0xaa; 131],
            &[
                b"This is a test using a larger than block-size key and a larger than block-size data. ",
                b"The key needs to be hashed before being used by the HMAC algorithm.",
            ],
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        ),
    ];
    for (key, parts, code) in cases {
        assert_eq!(hex(&HmacSha256::new(key).mac(parts)), code);
    }
}

#[test]
fn a_key_of_one_block_is_used_as_it_is() {
    let block = HmacSha256::new(&[7; 64]);
    let longer = HmacSha256::new(&[7; 65]);
    let hashed = HmacSha256::new(&sha256(&[&[7; 65]]));
    assert_eq!(longer.mac(&[b"x"]), hashed.mac(&[b"x"]));
    assert_ne!(block.mac(&[b"x"]), longer.mac(&[b"x"]));
}

#[test]
fn debug_shows_no_key() {
    assert_eq!(format!("{:?}", HmacSha256::new(b"key")), "HmacSha256(<secret>)");
    assert_eq!(format!("{:?}", FirstBlock::new(&[7; 64])), "FirstBlock(<secret>)");
}
