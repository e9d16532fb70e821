use proptest::prelude::*;

use super::*;

fn contact(text: &str) -> ContactValue<'_> {
    ContactValue::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn a_star_is_alone() {
    assert!(matches!(contact(" * "), ContactValue::Star));
    assert!(contact("*").addr().is_none());
    assert_eq!((contact("*").q(), contact("*").expires()), (Ok(1000), ExpiresParam::Absent));
    for text in ["**", "*;expires=0", "<*>"] {
        assert!(ContactValue::parse(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn an_outbound_contact_shows_its_parameters() {
    // RFC 5626 s3.3
    let contact = contact(
        "<sip:line1@192.0.2.2;transport=tcp>; reg-id=1;q=.5;expires=600;methods=\"INVITE,ACK\";\
         +sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\";audio",
    );
    assert_eq!(contact.instance(), Some(&b"urn:uuid:00000000-0000-1000-8000-000A95A0E128"[..]));
    assert_eq!(
        (contact.reg_id(), contact.q(), contact.expires()),
        (Some(1), Ok(500), ExpiresParam::Value(600))
    );
    let others: Vec<_> = contact.other_params().map(|param| (param.name, param.raw)).collect();
    assert_eq!(others, [(&b"methods"[..], Some(&b"\"INVITE,ACK\""[..])), (b"audio", None)]);
}

#[test]
fn parameters_without_brackets_are_those_of_the_header() {
    let contact = contact("sip:a@h;expires=60;transport=tcp");
    assert_eq!(contact.expires(), ExpiresParam::Value(60));
    assert_eq!(contact.addr().and_then(|addr| addr.uri.transport()), None);
}

#[test]
fn q_is_read_in_thousandths() {
    let fault = |fault| Err(ParseError::new("Contact", fault));
    for (q, expected) in [
        ("", Ok(1000)),
        (";q=1", Ok(1000)),
        (";q=1.", Ok(1000)),
        (";q=1.000", Ok(1000)),
        (";q=0", Ok(0)),
        (";q=0.", Ok(0)),
        (";q=.7", Ok(700)),
        (";q=0.7", Ok(700)),
        (";Q=0.07", Ok(70)),
        (";q=0.123", Ok(123)),
        (";q=\"0.5\"", Ok(500)),
        (";q=5", fault(Fault::Range)),
        (";q=1.001", fault(Fault::Range)),
        (";q=99999999999", fault(Fault::Range)),
        (";q=0.1234", fault(Fault::Malformed)),
        (";q=", fault(Fault::Malformed)),
        (";q", fault(Fault::Malformed)),
        (";q=.", fault(Fault::Malformed)),
        (";q=-1", fault(Fault::Malformed)),
        (";q=a", fault(Fault::Malformed)),
        (";q=0.5.5", fault(Fault::Malformed)),
    ] {
        assert_eq!(contact(&format!("<sip:a@h>{q}")).q(), expected, "{q}");
    }
}

#[test]
fn a_malformed_expires_is_told_from_none() {
    for (params, expected) in [
        ("", ExpiresParam::Absent),
        (";expires=0", ExpiresParam::Value(0)),
        (";Expires=\"3600\"", ExpiresParam::Value(3600)),
        (";expires=4294967295", ExpiresParam::Value(u32::MAX)),
        (";expires=4294967296", ExpiresParam::Value(u32::MAX)),
        (";expires=99999999999999999999999", ExpiresParam::Value(u32::MAX)),
        (";expires=abc", ExpiresParam::Malformed),
        (";expires=-1", ExpiresParam::Malformed),
        (";expires=", ExpiresParam::Malformed),
        (";expires", ExpiresParam::Malformed),
    ] {
        assert_eq!(contact(&format!("<sip:a@h>{params}")).expires(), expected, "{params}");
    }
}

#[test]
fn an_instance_or_reg_id_that_is_none_is_absent() {
    for text in [
        "<sip:a@h>",
        "<sip:a@h>;reg-id=0;+sip.instance",
        "<sip:a@h>;reg-id=2147483648;+sip.instance=\"<>\"",
        "*",
    ] {
        let contact = contact(text);
        assert_eq!((contact.reg_id(), contact.instance()), (None, None), "{text}");
    }
    assert_eq!(contact("<sip:a@h>;+sip.instance=\"urn:uuid:1\"").instance(), Some(&b"urn:uuid:1"[..]));
}

proptest! {
    #[test]
    fn every_thousandth_reads_back(q in 0..=1000_u16) {
        let text = format!("<sip:a@h>;q={}.{:03}", q / 1000, q % 1000);
        prop_assert_eq!(contact(&text).q(), Ok(q));
    }
}
