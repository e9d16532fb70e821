use core::net::Ipv6Addr;

use proptest::prelude::*;

use super::*;
use crate::base::HashKey;

const KEY: HashKey = HashKey::new([1, 2]);

fn uri(text: &str) -> Uri<'_> {
    Uri::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn assert_equivalence(a: &str, b: &str, expected: bool) {
    assert_eq!(uri(a).equivalent(&uri(b)), expected, "{a} and {b}");
    assert_eq!(uri(b).equivalent(&uri(a)), expected, "{b} and {a}");
    if expected {
        assert_eq!(uri(a).hash_equivalent(&KEY), uri(b).hash_equivalent(&KEY), "{a} and {b}");
    }
}

#[test]
fn a_sip_uri_falls_into_its_parts() {
    let uri = uri("sips:alice;x?y:se%20cret@Example.com:5061;transport=tcp;lr?Subject=a&Priority=urgent");
    assert_eq!((uri.scheme(), uri.is_secure(), uri.is_sip()), (UriScheme::Sips, true, true));
    assert_eq!(uri.user(), Some(&b"alice;x?y"[..]));
    assert_eq!(uri.password(), Some(&b"se%20cret"[..]));
    assert_eq!(uri.host(), Some(Host::Name(b"example.com")));
    assert_eq!(uri.port(), Some(5061));
    assert_eq!(uri.transport(), Some(&b"tcp"[..]));
    assert!(uri.has_lr());
    assert_eq!(uri.params().raw(), b";transport=tcp;lr");
    assert_eq!(uri.headers(), b"Subject=a&Priority=urgent");
}

#[test]
fn uris_that_are_seen_are_taken() {
    for text in [
        "sip:alice@atlanta.com",
        "SIP:atlanta.com",
        "sip:a:@h",
        "sip:alice@atlanta.com;maddr=239.255.255.1;ttl=15",
        "sip:+1-212-555-1212:1234@gateway.com;user=phone",
        "sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com",
        "sip:alice;day=tuesday@atlanta.com",
        "sip:my_host.local",
        "sip:a@host.",
        "sip:a@1and1.example2",
        "sip:a@h;;lr;",
        "sip:a@h;x=AAAA==;ftag=a",
        "sip:a@h?Route=%3Csip:example.com%3E",
        "sip:a@h?Subject=",
        // RFC 4475 s3.1.1.2, s3.1.1.3, s3.1.1.6
        "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
        "sip:sips%3Auser%40example.com@example.net",
        "sip:null-%00-null@example.com",
        // RFC 4475 s3.1.1.9: a semicolon in the user
        "sip:user;par=u%40example.net@example.com",
        // RFC 5118
        "sip:[2001:db8::10]",
        "sip:user@[2001:db8::10]:5070",
        "sip:[2001:db8::10:5070]",
        "sip:[2001:db8::9:1]:5070;transport=tcp",
        "sip:user@[2001:db8::10]",
        "sip:user@[::ffff:192.0.2.10]:19823",
        "tel:+358-555-1234567",
        "tel:7042;phone-context=example.com",
        "tel:863-1234;phone-context=+1-914-555",
        "TEL:911",
        "urn:service:sos",
        "http://www.example.com/x?y#z",
        "nobodyKnowsThisScheme:totallyopaquecontent",
        "mailto:watson@bell-telephone.com",
        "im:a%40b@example.com",
    ] {
        assert_eq!(uri(text).raw(), text.as_bytes());
    }
}

#[test]
fn what_is_no_uri_is_refused() {
    for (text, fault) in [
        ("", Fault::Scheme),
        ("alice", Fault::Scheme),
        (":alice", Fault::Scheme),
        ("1a:b", Fault::Scheme),
        ("<sip:a@h>", Fault::Scheme),
        ("sip:", Fault::Malformed),
        ("sip:@h", Fault::Malformed),
        ("sip::pw@h", Fault::Malformed),
        ("sip:a@", Fault::Malformed),
        ("sip:a@b@c", Fault::Malformed),
        ("sip:a b@c", Fault::Malformed),
        ("sip:a@h b", Fault::Malformed),
        (" sip:a@h", Fault::Scheme),
        ("sip:a@h ", Fault::Malformed),
        ("sip:a\"b@h", Fault::Malformed),
        ("sip:a%4@h", Fault::Malformed),
        ("sip:a%zz@h", Fault::Malformed),
        ("sip:a%@h", Fault::Malformed),
        ("sip:a:p;w@h", Fault::Malformed),
        ("sip:a:p%xx@h", Fault::Malformed),
        ("sip:ü@h", Fault::Malformed),
        ("sip:a@hö.example", Fault::Malformed),
        ("sip:a@h%41", Fault::Malformed),
        ("sip:a@.h", Fault::Malformed),
        ("sip:a@h..example", Fault::Malformed),
        ("sip:a@-h", Fault::Malformed),
        ("sip:a@300.1.1.1", Fault::Malformed),
        ("sip:a@1.2.3", Fault::Malformed),
        ("sip:a@192.168.010.1", Fault::Malformed),
        ("sip:1000", Fault::Malformed),
        ("sip:a@h:", Fault::Malformed),
        ("sip:a@h:x", Fault::Malformed),
        ("sip:a@h:-1", Fault::Malformed),
        ("sip:a@h:65536", Fault::Range),
        ("sip:a@h:99999999999999999999", Fault::Range),
        ("sip:a@2001:db8::1", Fault::Malformed),
        ("sip:a@[2001:db8::1", Fault::Malformed),
        ("sip:a@[2001:db8::1]x", Fault::Malformed),
        ("sip:a@[2001:db8::1]]", Fault::Malformed),
        ("sip:a@[]", Fault::Malformed),
        ("sip:a@[192.0.2.1]", Fault::Malformed),
        ("sip:a@[fe80::1%25eth0]", Fault::Malformed),
        ("sip:a@[fe80::1%eth0]", Fault::Malformed),
        ("sip:a@[1::2::3]", Fault::Malformed),
        ("sip:a@[12345::]", Fault::Malformed),
        ("sip:a@h;=x", Fault::Malformed),
        ("sip:a@h;x=%", Fault::Malformed),
        ("sip:a@h;x=a b", Fault::Malformed),
        ("sip:a@h;x=\"a\"", Fault::Malformed),
        ("sip:a@h;x=<a>", Fault::Malformed),
        ("sip:a@h?", Fault::Malformed),
        ("sip:a@h?x", Fault::Malformed),
        ("sip:a@h?=x", Fault::Malformed),
        ("sip:a@h?a=b&&c=d", Fault::Malformed),
        ("sip:a@h?a=%4", Fault::Malformed),
        ("sip:a@h?a=<b>", Fault::Malformed),
        ("tel:", Fault::Malformed),
        ("tel:+", Fault::Malformed),
        ("tel:--", Fault::Malformed),
        ("tel:+1a", Fault::Malformed),
        ("tel:+1*", Fault::Malformed),
        ("tel:1 2", Fault::Malformed),
        ("tel:+1?a=b", Fault::Malformed),
        ("http:", Fault::Malformed),
        ("http:a b", Fault::Malformed),
        ("http:a\r\nb", Fault::Malformed),
        ("http:<a>", Fault::Malformed),
    ] {
        let error = Uri::parse(text.as_bytes()).expect_err(text);
        assert_eq!(error.fault, fault, "{text}");
    }
}

#[test]
fn parameters_and_headers_are_bounded() {
    let parse = |text: String| Uri::parse(text.as_bytes()).map(|_| ()).map_err(|error| error.fault);
    assert_eq!(parse(format!("sip:h{}", ";a=b".repeat(64))), Ok(()));
    assert_eq!(parse(format!("sip:h{}", ";a=b".repeat(65))), Err(Fault::TooMany));
    assert_eq!(parse(format!("sip:h?a=b{}", "&a=b".repeat(31))), Ok(()));
    assert_eq!(parse(format!("sip:h?a=b{}", "&a=b".repeat(32))), Err(Fault::TooMany));
    assert_eq!(parse(format!("sip:{}", "a".repeat(256))), Err(Fault::TooLong));
}

#[test]
fn a_port_behind_ipv6_is_told_by_the_brackets() {
    let host = |text: &str| text.parse::<Ipv6Addr>().map(Host::V6).ok();
    // RFC 5118 s4.1, s4.2, s4.3
    assert_eq!(uri("sip:[2001:db8::10:5070]").host(), host("2001:db8::10:5070"));
    assert_eq!(uri("sip:[2001:db8::10:5070]").port(), None);
    assert_eq!(uri("sip:[2001:db8::10]:5070").host(), host("2001:db8::10"));
    assert_eq!(uri("sip:[2001:db8::10]:5070").port(), Some(5070));
    assert_eq!(uri("sip:[::ffff:192.0.2.1]").host(), host("::ffff:c000:201"));
}

#[test]
fn equivalent_uris_of_the_rfc_are_equivalent() {
    // RFC 3261 s19.1.4: the first list of examples.
    for (a, b) in [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
    ] {
        assert_equivalence(a, b, true);
    }
}

#[test]
fn different_uris_of_the_rfc_are_different() {
    // RFC 3261 s19.1.4: the second list of examples, and the pair that shows equivalence not to be transitive.
    for (a, b) in [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
    ] {
        assert_equivalence(a, b, false);
    }
}

#[test]
fn the_rules_of_equivalence_hold_one_by_one() {
    for (a, b, expected) in [
        ("sip:a@h", "sips:a@h", false),
        ("sip:a@h", "SIP:a@H", true),
        ("sip:a@h", "sip:A@h", false),
        ("sip:a@h", "sip:h", false),
        ("sip:a:p@h", "sip:a@h", false),
        ("sip:a:p@h", "sip:a:P@h", false),
        ("sip:a:%70@h", "sip:a:p@h", true),
        ("sip:%62ob@h", "sip:bob@h", true),
        ("sip:%62%6F%62@h", "sip:bob@h", true),
        ("sip:a%2fb@h", "sip:a%2Fb@h", true),
        // An escaped reserved character is not the character.
        ("sip:a%3Bb@h", "sip:a;b@h", false),
        ("sip:a%2Bb@h", "sip:a+b@h", false),
        ("sip:a%40b@h", "sip:a%40B@h", false),
        ("sip:a%25b@h", "sip:a%25b@h", true),
        ("sip:a@h;user=phone", "sip:a@h", false),
        ("sip:a@h;ttl=1", "sip:a@h", false),
        ("sip:a@h;method=INVITE", "sip:a@h", false),
        ("sip:a@h;maddr=192.0.2.1", "sip:a@h", false),
        ("sip:a@h;%6daddr=192.0.2.1", "sip:a@h", false),
        ("sip:a@h;%6daddr=192.0.2.1", "sip:a@h;maddr=192.0.2.1", true),
        ("sip:a@h;lr", "sip:a@h", true),
        ("sip:a@h;lr;;", "sip:a@h;lr", true),
        ("sip:a@h;x=A;y=%62", "sip:a@h;Y=B;X=a", true),
        ("sip:a@h;x=%2F", "sip:a@h;x=/", false),
        ("sip:a@h?a=1&a=2", "sip:a@h?a=2&a=1", true),
        ("sip:a@h?a=1&a=1", "sip:a@h?a=1&a=2", false),
        ("sip:a@h?a=1&a=1&a=2", "sip:a@h?a=1&a=2&a=2", false),
        ("sip:a@h?Subject=%61", "sip:a@h?subject=a", true),
        ("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0:0::0001]", true),
        ("sip:a@[::ffff:192.0.2.1]", "sip:a@[::ffff:c000:201]", true),
        ("sip:a@[::ffff:192.0.2.1]", "sip:a@192.0.2.1", false),
        ("sip:a@h:5060", "sip:a@h:05060", true),
        ("urn:service:sos", "urn:service:sos", true),
        ("urn:service:sos", "urn:service:sos.fire", false),
        ("http://h/A", "http://h/a", false),
        ("tel:+1-201-555-0123", "tel:+1(201)555.0123", true),
        ("tel:+12015550123", "TEL:+12015550123", true),
        ("tel:+12015550123", "tel:12015550123", false),
        ("tel:7042;phone-context=example.com", "tel:70-42;Phone-Context=EXAMPLE.com", true),
        ("tel:7042;phone-context=+1-914", "tel:7042;phone-context=+1914", true),
        ("tel:7042;phone-context=example.com", "tel:7042;phone-context=example.org", false),
        ("tel:7042;phone-context=example.com", "tel:7042", false),
        ("tel:7042;a=1;b=2", "tel:7042;b=2;a=1", true),
        ("tel:7042;ext=1-2", "tel:7042;ext=12", true),
        ("tel:12ab", "tel:12AB", true),
        ("tel:123", "sip:123@h", false),
    ] {
        assert_equivalence(a, b, expected);
    }
}

/// A URI and the parts it was made of.
#[derive(Clone, Debug)]
struct Parts {
    scheme: &'static str,
    user: Option<String>,
    password: Option<String>,
    host: String,
    port: Option<u16>,
    params: Vec<(String, Option<String>)>,
    headers: Vec<(String, String)>,
}

impl Parts {
    fn print(&self) -> String {
        let mut text = format!("{}:", self.scheme);
        if let Some(user) = &self.user {
            text.push_str(user);
            if let Some(password) = &self.password {
                text.push(':');
                text.push_str(password);
            }
            text.push('@');
        }
        text.push_str(&self.host);
        if let Some(port) = self.port {
            text.push_str(&format!(":{port}"));
        }
        for (name, value) in &self.params {
            text.push_str(&format!(";{name}"));
            if let Some(value) = value {
                text.push_str(&format!("={value}"));
            }
        }
        for (index, (name, value)) in self.headers.iter().enumerate() {
            text.push_str(&format!("{}{name}={value}", if index == 0 { '?' } else { '&' }));
        }
        text
    }
}

/// Few characters and short texts, so that two of them are often equivalent.
fn parts() -> impl Strategy<Value = Parts> {
    let host = prop_oneof![
        "[aB]{1,2}",
        "[aB]{1,2}\\.ex-1\\.[cO]",
        Just("192.0.2.1".to_owned()),
        Just("[2001:db8::1]".to_owned()),
        Just("[2001:DB8:0::1]".to_owned()),
    ];
    let param = prop_oneof![Just("lr"), Just("LR"), Just("ttl"), Just("Transport"), Just("x"), Just("%78")];
    (
        prop_oneof![Just("sip"), Just("SIP"), Just("sips")],
        proptest::option::of("(a|b|%61|%62|;|%3[bB]|\\+|%2B|\\?){1,3}"),
        proptest::option::of("(a|%61|&|,){0,2}"),
        host,
        proptest::option::of(5060..5062_u16),
        proptest::collection::vec(
            (param.prop_map(str::to_owned), proptest::option::of("(a|A|%41|/){0,2}")),
            0..3,
        ),
        proptest::collection::vec(("(to|TO|t%6F)", "(a|%61|%20){0,2}"), 0..3),
    )
        .prop_map(|(scheme, user, password, host, port, params, headers)| Parts {
            scheme,
            user,
            password,
            host,
            port,
            params,
            headers,
        })
}

proptest! {
    #[test]
    fn a_printed_uri_reads_as_its_parts(parts in parts()) {
        let text = parts.print();
        let uri = uri(&text);
        prop_assert_eq!(uri.is_secure(), parts.scheme == "sips");
        prop_assert_eq!(uri.user(), parts.user.as_ref().map(|user| user.as_bytes()));
        let password = parts.user.as_ref().and(parts.password.as_ref());
        prop_assert_eq!(uri.password(), password.map(|password| password.as_bytes()));
        prop_assert_eq!(uri.host(), Host::parse(parts.host.as_bytes()).ok());
        prop_assert_eq!(uri.port(), parts.port);
        let params: Vec<_> = uri.params().iter().map(|param| (param.name, param.raw)).collect();
        let expected: Vec<_> = parts.params.iter()
            .map(|(name, value)| (name.as_bytes(), value.as_ref().map(|value| value.as_bytes()))).collect();
        prop_assert_eq!(params, expected);
        prop_assert_eq!(text.ends_with(core::str::from_utf8(uri.headers()).expect("ASCII")), true);
    }

    #[test]
    fn equivalence_is_reflexive_and_symmetric_and_the_hash_follows(a in parts(), b in parts()) {
        let (a, b) = (a.print(), b.print());
        let (a, b) = (uri(&a), uri(&b));
        prop_assert!(a.equivalent(&a) && b.equivalent(&b));
        prop_assert_eq!(a.equivalent(&b), b.equivalent(&a));
        if a.equivalent(&b) {
            prop_assert_eq!(a.hash_equivalent(&KEY), b.hash_equivalent(&KEY));
        }
    }

    #[test]
    fn escaping_unreserved_characters_changes_nothing(user in "[a-z0-9]{1,8}", mask in any::<u8>()) {
        let escaped: String = user.bytes().enumerate().map(|(index, byte)| {
            if mask >> index & 1 == 1 { format!("%{byte:02x}") } else { char::from(byte).to_string() }
        }).collect();
        assert_equivalence(&format!("sip:{user}@h"), &format!("sip:{escaped}@h"), true);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(prop_oneof![
        Just(b'@'), Just(b':'), Just(b';'), Just(b'?'), Just(b'%'), Just(b'['), Just(b']'), Just(b'.'), Just(b'='),
        Just(b'a'), Just(b'1'), any::<u8>()], 0..40)) {
        for scheme in ["sip:", "tel:", "x:", ""] {
            let text = [scheme.as_bytes(), &bytes].concat();
            if let Ok(uri) = Uri::parse(&text) {
                prop_assert!(uri.equivalent(&uri));
                let _ = (uri.hash_equivalent(&KEY), uri.params().iter().count(), uri.has_lr());
            }
        }
    }
}
