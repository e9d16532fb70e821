//! Documents as clients write them, what is forgiven and what is refused, and that printing is the inverse of reading.

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::documents::fixture::{self, lines};
use crate::documents::xml::{Bounds, DocumentError, Fault};

mod clients;

fn parse(text: &str) -> Result<Pidf, DocumentError> {
    Pidf::parse(text.as_bytes(), &Bounds::default())
}

fn read(text: &str) -> Pidf {
    parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// A document with this in its root, prefixes declared.
fn wrap(inner: &str) -> String {
    format!(
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' \
         xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid' entity='sip:bob@example.com'>{inner}</presence>"
    )
}

#[test]
fn what_clients_send_is_understood_and_printed_our_way() {
    let mut out = String::new();
    for (name, body) in clients::BODIES {
        let pidf = read(body);
        let printed = pidf.print();
        assert_eq!(read(&printed), pidf, "{name}: what is printed reads the same");
        let note = pidf.note().map_or("", |note| &*note.text);
        out += &format!("# {name}: {:?} {note:?}\n{}\n\n", pidf.state(), lines(&printed));
    }
    assert_snapshot!("clients", out);
}

#[test]
fn harmless_mistakes_are_forgiven() {
    let tuple = |inner: &str| read(&wrap(&format!("<tuple id='t'>{inner}</tuple>"))).tuples.remove(0);
    assert_eq!(tuple("").basic, None);
    assert_eq!(tuple("<status><basic> OPEN\n</basic></status>").basic, Some(Basic::Open));
    assert_eq!(tuple("<status><basic>unkown</basic></status>").basic, None);
    assert_eq!(tuple("<contact> sip:x </contact><status/>").contact.expect("one").uri.as_ref(), "sip:x");
    assert_eq!(tuple("<contact/>").contact, None);
    assert_eq!(tuple("<timestamp>yesterday</timestamp>").timestamp, None);
    for (text, expected) in [
        ("0", Some(0)),
        ("0.", Some(0)),
        ("0.5", Some(500)),
        (".5", Some(500)),
        ("0.0219", Some(21)),
        ("1.000", Some(1000)),
        ("01", Some(1000)),
        ("1.001", None),
        ("2", None),
        ("-1", None),
        ("", None),
        (".", None),
        ("1e0", None),
        ("99999999999999999999", None),
    ] {
        let contact = tuple(&format!("<contact priority='{text}'>sip:x</contact>")).contact;
        assert_eq!(contact.expect("a contact").priority, expected, "{text:?}");
    }
    let nameless = read(&wrap("<tuple/><tuple id='t1'/><tuple id=''/><dm:person/><dm:device/>"));
    let ids: Vec<_> = nameless.tuples.iter().map(|t| &*t.id).collect();
    assert_eq!(ids, ["t2", "t1", "t3"], "ids are made up around those that are there");
    assert_eq!((&*nameless.persons[0].id, &*nameless.devices[0].id), ("p1", "d1"));
}

#[test]
fn the_language_of_a_note_is_that_of_what_it_stands_in() {
    let text = wrap(
        "<tuple id='t' xml:lang='fr'><note>a</note><note xml:lang='de'>b</note><note xml:lang=''>c</note></tuple><note>d</note>",
    );
    let pidf = read(&text.replace("entity=", "xml:lang='en' entity="));
    let langs: Vec<_> = pidf.tuples[0].notes.iter().chain(&pidf.notes).map(|n| n.lang.as_deref()).collect();
    assert_eq!(langs, [Some("fr"), Some("de"), None, Some("en")]);
}

#[test]
fn documents_that_say_nothing_certain_are_refused() {
    let pidf = "xmlns='urn:ietf:params:xml:ns:pidf'";
    for (text, what, fault) in [
        ("<presence entity='sip:a@b'/>".to_owned(), "presence", Fault::Root),
        (format!("<tuple {pidf} entity='sip:a@b'/>"), "presence", Fault::Root),
        (
            "<presence xmlns='urn:ietf:params:xml:ns:cpim-pidf:' entity='sip:a@b'/>".to_owned(),
            "presence",
            Fault::Root,
        ),
        ("<watcherinfo xmlns='urn:ietf:params:xml:ns:watcherinfo'/>".to_owned(), "presence", Fault::Root),
        (format!("<presence {pidf}/>"), "entity", Fault::Missing),
        (format!("<presence {pidf} entity=' '/>"), "entity", Fault::Missing),
        (
            "<p:presence xmlns:p='urn:ietf:params:xml:ns:pidf' p:entity='sip:a@b'/>".to_owned(),
            "entity",
            Fault::Missing,
        ),
        (wrap("<tuple id='a'/><tuple id='b'/><tuple id=' a'/>"), "tuple", Fault::Repeated),
        (wrap("<dm:person id='a'/><dm:person id='a'/>"), "person", Fault::Repeated),
        (wrap("<dm:device id='a'/><dm:device id='a'/>"), "device", Fault::Repeated),
    ] {
        let error = parse(&text).expect_err(&text);
        assert_eq!((error.what, error.fault), (what, fault), "{text}");
    }
}

#[test]
fn fragments_do_not_grow_without_bound() {
    // One long namespace, declared once, that each of many unknown elements would declare again.
    let text = wrap(&"<x:y/>".repeat(1_000))
        .replace("entity=", &format!("xmlns:x='urn:{}' entity=", "x".repeat(2_000)));
    assert_eq!(parse(&text).map_err(|e| e.fault), Err(Fault::TooLong));
}

#[test]
fn the_five_states_are_printed_and_read_back() {
    let mut out = String::new();
    for state in PresenceState::ALL {
        for note in ["", "Back at 4 <pm>"] {
            let contact = Contact { uri: "sip:bob@example.com".into(), priority: Some(800) };
            let pidf = Pidf::of_state("sip:bob@example.com", Some(contact), state, note);
            let printed = pidf.print();
            out += &format!("# {state:?} {note:?}\n{}\n\n", lines(&printed));
            assert_eq!(read(&printed), pidf);
            assert_eq!(pidf.state(), state);
            assert_eq!(pidf.note().map_or("", |note| &*note.text), note);
        }
    }
    assert_snapshot!("states", out);
}

#[test]
fn activities_mean_one_of_the_five_states() {
    use PresenceState::*;
    let person = |inner: &str| {
        read(&wrap(&format!(
            "<tuple id='t'><status><basic>open</basic></status></tuple><dm:person id='p'>{inner}</dm:person>"
        )))
        .state()
    };
    let activities = |inner: &str| person(&format!("<rpid:activities>{inner}</rpid:activities>"));
    for (inner, state) in [
        ("", Available),
        ("<rpid:unknown/>", Available),
        ("<rpid:working/>", Available),
        ("<rpid:busy/>", Busy),
        ("<rpid:away/><rpid:on-the-phone/>", Busy),
        ("<rpid:vacation/>", Away),
        ("<rpid:other>Do Not Disturb</rpid:other>", DoNotDisturb),
        ("<rpid:other>lunch</rpid:other>", Available),
        ("<ce:dnd xmlns:ce='urn:cisco:params:xml:ns:pidf:rpid'/>", DoNotDisturb),
        ("<rpid:busy since='x'/>", Busy),
        ("<dm:busy/>", Busy),
    ] {
        assert_eq!(activities(inner), state, "{inner}");
    }
    assert_eq!(person("<rpid:user-input>idle</rpid:user-input>"), Away);
    assert_eq!(person("<rpid:user-input>active</rpid:user-input>"), Available);
    assert_eq!(
        person("<rpid:activities><rpid:busy/></rpid:activities><rpid:user-input>idle</rpid:user-input>"),
        Busy
    );
    assert_eq!(read(&wrap("")).state(), Offline, "nothing is known: nobody is there");
    let closed = "<tuple id='t'><status><basic>closed</basic></status></tuple>";
    let busy = "<dm:person id='p'><rpid:activities><rpid:busy/></rpid:activities></dm:person>";
    assert_eq!(read(&wrap(&format!("{closed}{busy}"))).state(), Offline, "all closed is offline");
    assert_eq!(
        read(&wrap("<tuple id='t'><status/></tuple>")).state(),
        Available,
        "without basic it is not closed"
    );
}

#[test]
fn an_entity_is_about_a_presentity_whatever_its_scheme() {
    let uri = Uri::parse(b"sip:bob@EXAMPLE.com").expect("a URI");
    for (entity, about) in [
        ("sip:bob@example.com", true),
        ("pres:bob@example.com", true),
        ("SIPS:bob@example.com", true),
        ("bob@example.com", true),
        ("sip:bo%62@example.com;transport=tcp", true),
        ("sip:Bob@example.com", false),
        ("sip:bob@example.org", false),
        ("sip:example.com", false),
        ("tel:+4930123", false),
        ("urn:x", false),
        ("sip:", false),
        (":", false),
    ] {
        assert_eq!(Pidf::new(entity).is_about(&uri), about, "{entity}");
    }
}

proptest! {
    #[test]
    fn printing_is_the_inverse_of_reading(pidf in fixture::pidf()) {
        let printed = pidf.print();
        let again = Pidf::parse(printed.as_bytes(), &Bounds::ours()).expect("what we print we read");
        prop_assert_eq!(&again, &pidf);
        prop_assert_eq!(again.print(), printed);
    }
}
