//! Bodies printed, read back, and refused.

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::documents::fixture::lines;

fn contact(id: &str, event: ContactEvent) -> RegContact {
    RegContact {
        id: id.into(),
        event,
        uri: "sip:user@192.0.2.1".into(),
        display_name: None,
        duration_registered: None,
        expires: None,
        retry_after: None,
        q: None,
        call_id: None,
        cseq: None,
        params: Vec::new(),
        public_gruu: None,
        temporary_gruu: None,
    }
}

fn registration(contacts: Vec<RegContact>) -> Registration {
    Registration {
        aor: "sip:user@example.com".into(),
        id: "as9".into(),
        state: RegistrationState::Active,
        contacts,
    }
}

fn parse(text: &str) -> Result<(Reginfo, u32), DocumentError> {
    Reginfo::parse(text.as_bytes(), &Bounds::default())
}

#[test]
fn the_example_of_the_rfc_is_read() {
    let text = r#"<?xml version="1.0"?>
       <reginfo xmlns="urn:ietf:params:xml:ns:reginfo"
           xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
                    version="0" state="full">
         <registration aor="sip:user@example.com" id="as9"
                       state="active">
           <contact id="76" state="active" event="registered"
                    duration-registered="7322"
                    q="0.8">
                    <uri>sip:user@pc887.example.com</uri>
           </contact>
           <contact id="77" state="terminated" event="expired"
                    duration-registered="3600"
                    q="0.5">
                    <uri>sip:user@university.edu</uri>
           </contact>
         </registration>
       </reginfo>"#;
    let (reginfo, version) = parse(text).expect("RFC 3680 s5.3");
    assert_snapshot!(lines(&reginfo.print().body(version)));
    assert_eq!(parse(&reginfo.print().body(7)), Ok((reginfo, 7)));
}

#[test]
fn a_contact_with_everything_is_printed_as_rfc_5628_shows_it() {
    let full = RegContact {
        display_name: Some("Bob <1>".into()),
        duration_registered: Some(36_001),
        expires: Some(3_599),
        retry_after: Some(30),
        q: Some(800),
        call_id: Some("1j9FpLxk3uxtm8tn@192.0.2.1".into()),
        cseq: Some(54_321),
        params: vec![
            ("+sip.instance".into(), "\"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>\"".into()),
            ("audio".into(), "".into()),
        ],
        public_gruu: Some("sip:user@example.com;gr=hha9s8d-999a".into()),
        temporary_gruu: Some(("sip:8ffkas08af7fasklzi9@example.com;gr".into(), 54_301)),
        ..contact("76", ContactEvent::Registered)
    };
    let mut contacts = vec![full];
    contacts.extend(ContactEvent::ALL.iter().enumerate().map(|(n, event)| contact(&n.to_string(), *event)));
    let reginfo = Reginfo { extent: Extent::Partial, registrations: vec![registration(contacts)] };
    assert_snapshot!(lines(&reginfo.print().body(3)));
    assert_eq!(parse(&reginfo.print().body(3)), Ok((reginfo, 3)));
}

#[test]
fn incomplete_documents_are_refused() {
    let root = |inner: &str| {
        format!("<reginfo xmlns='urn:ietf:params:xml:ns:reginfo' version='0' state='full'>{inner}</reginfo>")
    };
    let one =
        |inner: &str| root(&format!("<registration aor='sip:a' id='1' state='init'>{inner}</registration>"));
    let good = "<contact id='2' state='active' event='created'><uri>sip:b</uri></contact>";
    assert!(parse(&one(good)).is_ok());
    for (text, what, fault) in [
        (root("").replace("state='full'", ""), "state", Fault::Missing),
        (root("").replace("reginfo", "watcherinfo"), "reginfo", Fault::Root),
        (one("").replace("aor='sip:a'", ""), "aor", Fault::Missing),
        (one("").replace("id='1'", ""), "id", Fault::Missing),
        (one("").replace("init", "idle"), "state", Fault::Malformed),
        (one(&good.replace("id='2'", "")), "id", Fault::Missing),
        (one(&good.replace("created", "made")), "event", Fault::Malformed),
        (one(&good.replace("sip:b", "")), "uri", Fault::Missing),
        (one(&good.replace("<uri>", "<unknown-param/><uri>")), "name", Fault::Missing),
        ("<!DOCTYPE a><a/>".to_owned(), "document", Fault::Doctype),
        ("<a>".repeat(10_000), "element", Fault::Depth),
    ] {
        let error = parse(&text).expect_err(&text);
        assert_eq!((error.what, error.fault), (what, fault), "{text}");
    }
}

proptest! {
    #[test]
    fn what_is_printed_is_read(
        rows in proptest::collection::vec(
            ("[!-~é]{1,9}", 0..9_usize, proptest::option::of(0..=1000_u16), any::<Option<u64>>(), "[!-~]{0,5}"), 0..5),
        version: u32,
    ) {
        let contacts = rows.iter().map(|(uri, event, q, number, param)| RegContact {
            uri: uri.as_str().into(),
            q: *q,
            expires: *number,
            cseq: *number,
            params: vec![("p".into(), param.as_str().into())],
            temporary_gruu: number.map(|n| (uri.as_str().into(), n)),
            ..contact("c", ContactEvent::ALL[*event])
        });
        let reginfo = Reginfo { extent: Extent::Full, registrations: vec![registration(contacts.collect())] };
        prop_assert_eq!(parse(&reginfo.print().body(version)), Ok((reginfo, version)));
    }
}
