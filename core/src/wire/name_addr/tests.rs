use proptest::prelude::*;

use super::*;

fn addr(text: &str) -> NameAddr<'_> {
    NameAddr::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn addresses_that_are_seen_are_taken() {
    for (text, display, uri, tag) in [
        // RFC 3261 s20.10, s20.20, s20.39
        ("\"Mr. Watson\" <sip:watson@h.com>;q=0.7; expires=3600", "Mr. Watson", "sip:watson@h.com", ""),
        (
            "\"A. G. Bell\" <sip:agb@bell-telephone.com> ;tag=a48s",
            "A. G. Bell",
            "sip:agb@bell-telephone.com",
            "a48s",
        ),
        (
            "sip:+12125551212@server.phone2net.com;tag=887s",
            "",
            "sip:+12125551212@server.phone2net.com",
            "887s",
        ),
        (
            "Anonymous <sip:c8oqz84zk7z@privacy.org>;tag=hyh8",
            "Anonymous",
            "sip:c8oqz84zk7z@privacy.org",
            "hyh8",
        ),
        ("<sip:a@h;tag=uri>", "", "sip:a@h;tag=uri", ""),
        ("<sip:a@h;x=1?y=2>;tag=t", "", "sip:a@h;x=1?y=2", "t"),
        ("sip:a@h ; tag=t", "", "sip:a@h", "t"),
        ("sip:a@h", "", "sip:a@h", ""),
        ("\"\" <sip:a@h>", "", "sip:a@h", ""),
        ("\"\"<sip:a@h>", "", "sip:a@h", ""),
        ("  Bob\r\n Smith<sip:a@h> ", "Bob\r\n Smith", "sip:a@h", ""),
        ("Jörg Müller <sip:a@h>", "Jörg Müller", "sip:a@h", ""),
        ("bob@example.com (work) <sip:a@h>", "bob@example.com (work)", "sip:a@h", ""),
        ("\"a \\\" <b>;c\" <sip:a@h>;TAG=t", "a \\\" <b>;c", "sip:a@h", "t"),
        ("\"日本\" <tel:+1-201-555-0123>;tag=\"q\"", "日本", "tel:+1-201-555-0123", "q"),
        ("<urn:service:sos>;tag=", "", "urn:service:sos", ""),
        ("<http://www.example.com/a,b;c>", "", "http://www.example.com/a,b;c", ""),
        ("sip:a@[2001:db8::1]:5060;tag=t", "", "sip:a@[2001:db8::1]:5060", "t"),
    ] {
        let addr = addr(text);
        assert_eq!(
            addr.display.map(String::from_utf8_lossy).as_deref().unwrap_or_default(),
            display,
            "{text}"
        );
        assert_eq!(addr.uri.raw(), uri.as_bytes(), "{text}");
        assert_eq!(addr.tag().unwrap_or_default(), tag.as_bytes(), "{text}");
    }
}

#[test]
fn what_is_no_address_is_refused() {
    for text in [
        "",
        "*",
        "Bob",
        "<>",
        "<sip:a@h",
        "sip:a@h>",
        "<sip:a@h>>",
        "<<sip:a@h>>",
        "< sip:a@h >",
        "\"Bob <sip:a@h>",
        "\"Bob\\\" <sip:a@h>",
        "\"Bob\" Smith <sip:a@h>",
        "\"Bob\" sip:a@h",
        "Bob \"B\" <sip:a@h>",
        // RFC 4475 s3.1.2.15: a comma in a display name without quotes.
        "Bell, Alexander <sip:a.g.bell@example.com>;tag=43",
        "<sip:a@h> x",
        "<sip:a@h>tag=1",
        "<sip:a@h>, <sip:b@h>",
        // RFC 4475 s3.1.2.13: headers need brackets.
        "sip:user@example.com?Route=%3Csip:sip.example.com%3E",
        "sip:a,b@h",
        "<sip:a@h>;tag=\"x",
    ] {
        assert_eq!(NameAddr::parse(text.as_bytes()).expect_err(text).fault, Fault::Malformed, "{text}");
    }
}

#[test]
fn a_second_tag_is_a_fault() {
    let fault = |text: &str| NameAddr::parse(text.as_bytes()).expect_err(text).fault;
    assert_eq!(fault("<sip:a@h>;tag=1;TAG=2"), Fault::Repeated);
    assert_eq!(fault("sip:a@h;tag=1;tag=1"), Fault::Repeated);
}

proptest! {
    #[test]
    fn a_printed_address_reads_as_its_parts(
        display in proptest::option::of("([ !#-\\[\\]-~ü]|\\\\[\"\\\\]){1,12}"),
        user in "[a-z]{1,6}",
        tag in proptest::option::of("[a-z0-9.-]{1,8}"),
    ) {
        let mut text = String::new();
        if let Some(display) = &display {
            text.push_str(&format!("\"{display}\" "));
        }
        text.push_str(&format!("<sip:{user}@h>"));
        if let Some(tag) = &tag {
            text.push_str(&format!(";x;tag={tag}"));
        }
        let addr = addr(&text);
        prop_assert_eq!(addr.display, display.as_ref().map(|display| display.as_bytes()));
        prop_assert_eq!(addr.uri.user(), Some(user.as_bytes()));
        prop_assert_eq!(addr.tag(), tag.as_ref().map(|tag| tag.as_bytes()));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(prop_oneof![
        Just(b"sip:a@h".to_vec()), Just(b"<".to_vec()), Just(b">".to_vec()), Just(b"\"".to_vec()),
        Just(b"\\".to_vec()), Just(b";".to_vec()), Just(b" ".to_vec()), any::<u8>().prop_map(|byte| vec![byte])], 0..12)) {
        let _ = NameAddr::parse(&bytes.concat());
    }
}
