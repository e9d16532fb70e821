//! The rules of composition as a table of worlds, and that order does not matter.

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::documents::fixture::{self, lines};
use crate::documents::xml::Bounds;

const NOW: Time = Time::from_secs(1_800_000_000);

fn later(seconds: u64) -> Time {
    NOW + core::time::Duration::from_secs(seconds)
}

/// A document: a tuple with basic and contact, a person with these elements.
fn document(basic: &str, contact: &str, person: &str) -> Pidf {
    let person = match person {
        "" => String::new(),
        inner => format!("<dm:person id='p'>{inner}</dm:person>"),
    };
    raw(&format!("<tuple id='t'><status><basic>{basic}</basic></status>{contact}</tuple>{person}"))
}

fn raw(inner: &str) -> Pidf {
    let text = format!(
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' \
         xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid' entity='sip:bob@example.com'>{inner}</presence>"
    );
    Pidf::parse(text.as_bytes(), &Bounds::default()).expect("a document")
}

fn activity(word: &str) -> String {
    format!("<rpid:activities><rpid:{word}/></rpid:activities>")
}

fn publication(lineage: u64, document: &Pidf) -> Publication<'_> {
    Publication { lineage, received: later(lineage), document, binding: None }
}

fn registration(lineage: u64) -> Registration<'static> {
    Registration {
        lineage,
        contact: "sip:bob@192.0.2.7:5060",
        shown: "sip:bob@example.com",
        instance: "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        q: None,
        since: later(lineage),
        reachable: true,
    }
}

fn compose(
    publications: &[Publication<'_>],
    registrations: &[Registration<'_>],
    in_call: Option<Time>,
) -> Composed {
    let ids = Ids::new(&[7; 32]);
    ByRule::default().compose(&Inputs {
        entity: "sip:bob@example.com",
        publications,
        registrations,
        in_call,
        ids: &ids,
    })
}

#[test]
fn bodies_of_the_common_worlds() {
    let desk = document(
        "open",
        "<contact priority='0.5'>sip:bob@192.0.2.7</contact><note>desk</note>",
        &activity("busy"),
    );
    let mobile = raw("<tuple id='a'><status><basic>closed</basic></status></tuple>\
         <tuple id='b'><status><basic>open</basic></status><dm:deviceID>urn:x:mobile</dm:deviceID>\
         <contact priority='0.9'>sip:bob@192.0.2.8</contact><timestamp>2026-03-01T10:00:00Z</timestamp></tuple>\
         <note xml:lang='en'>on the road</note>\
         <dm:person id='p'><rpid:activities><rpid:in-transit/></rpid:activities></dm:person>\
         <dm:device id='d'><dm:deviceID>urn:x:mobile</dm:deviceID></dm:device><x xmlns='urn:x'/>");
    let laptop = document("closed", "", "");
    let three = [publication(1, &desk), publication(2, &mobile), publication(3, &laptop)];
    let worlds: [(&str, Composed); 6] = [
        ("nothing is known", compose(&[], &[], None)),
        ("registered, nothing published", compose(&[], &[registration(9)], None)),
        (
            "registered, the flow is dead",
            compose(&[], &[Registration { reachable: false, ..registration(9) }], None),
        ),
        ("three devices", compose(&three, &[], None)),
        (
            "three devices and a phone, in a call",
            compose(
                &three,
                &[Registration { contact: "sip:bob@192.0.2.9", ..registration(9) }],
                Some(later(8)),
            ),
        ),
        ("the laptop alone", compose(&three[2..], &[], None)),
    ];
    let mut out = String::new();
    for (name, composed) in &worlds {
        let note = composed.note().map_or("", |note| &*note.text);
        out += &format!(
            "# {name}: {:?} {note:?}\n{:?}\n{}\n\n",
            composed.state(),
            composed.origins,
            lines(&composed.document.print())
        );
    }
    assert_snapshot!(out);
}

#[test]
fn tuples_are_open_first_then_by_priority_then_the_newest() {
    let contact = |priority: &str| format!("<contact priority='{priority}'>sip:x{priority}</contact>");
    let documents = [
        document("closed", &contact("1"), ""),
        document("open", &contact("0.2"), ""),
        document("unkown", &contact("0.9"), ""),
        document("open", &contact("0.7"), ""),
        document("open", &contact("0.2"), ""),
        document("open", "", ""),
    ];
    let publications: Vec<_> =
        documents.iter().zip(1..).map(|(d, lineage)| publication(lineage, d)).collect();
    let origins = compose(&publications, &[], None).origins;
    assert_eq!(origins, [4, 5, 2, 6, 3, 1].map(Origin::Publication));
}

#[test]
fn all_tuples_of_a_publication_are_shown_where_that_is_asked() {
    let two = raw(
        "<tuple id='a'><status><basic>closed</basic></status></tuple><tuple id='b'><status><basic>open</basic></status></tuple>",
    );
    let ids = Ids::new(&[7; 32]);
    let publications = [publication(1, &two)];
    let inputs = Inputs {
        entity: "sip:bob@example.com",
        publications: &publications,
        registrations: &[],
        in_call: None,
        ids: &ids,
    };
    assert_eq!(ByRule { services: Services::Best }.compose(&inputs).document.tuples.len(), 1);
    let all = ByRule { services: Services::All }.compose(&inputs).document;
    assert_eq!(all.tuples.len(), 2);
    assert_ne!(all.tuples[0].id, all.tuples[1].id);
}

#[test]
fn a_binding_that_a_publication_names_is_not_told_twice() {
    let shown = |document: &Pidf, binding, registration: Registration<'_>| {
        let publication = Publication { binding, ..publication(1, document) };
        compose(&[publication], &[registration], None).origins.len() == 2
    };
    let plain = document("closed", "<contact>sip:bob@example.com</contact>", "");
    assert!(shown(&plain, None, registration(9)), "the address of record names no device");
    assert!(shown(&plain, Some(8), registration(9)));
    assert!(!shown(&plain, Some(9), registration(9)), "it came from that device");
    let contact = document("open", "<contact>SIP:bob@192.0.2.7:5060</contact>", "");
    assert!(!shown(&contact, None, registration(9)), "it names the contact");
    let device = raw(
        "<tuple id='t'/><dm:device id='d'><dm:deviceID>URN:UUID:F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6</dm:deviceID></dm:device>",
    );
    assert!(!shown(&device, None, registration(9)), "it names the device");
    assert!(shown(&device, None, Registration { instance: "", ..registration(9) }));
    let gruu = document("open", "<contact>sip:bob@example.com;gr=x</contact>", "");
    assert!(!shown(&gruu, None, Registration { shown: "sip:bob@example.com;gr=x", ..registration(9) }));
    assert!(shown(&gruu, None, Registration { shown: "sip:bob@example.com;gr=y", ..registration(9) }));
}

#[test]
fn one_person_is_picked_by_rule() {
    use PresenceState::*;
    let stamped = |word: &str, seconds: u64| {
        let time = crate::documents::pidf::format_time(later(seconds));
        document("open", "", &format!("{}<dm:timestamp>{time}</dm:timestamp>", activity(word)))
    };
    let available = document("open", "", "<rpid:activities/>");
    let away = document("open", "", &activity("away"));
    let busy = document("open", "", &activity("busy"));
    let dnd =
        document("open", "", "<rpid:activities><rpid:busy/><rpid:other>dnd</rpid:other></rpid:activities>");
    let closed = document("closed", "", &activity("busy"));
    let silent = document("open", "", "");
    let (early, ahead) = (stamped("away", 1), stamped("away", 1_000));
    let table: [(&str, &[&Pidf], bool, PresenceState); 12] = [
        ("the newest speaks", &[&busy, &away], false, Away),
        ("back from busy", &[&busy, &available], false, Available),
        ("who says nothing of the person does not count", &[&busy, &silent], false, Busy),
        ("do-not-disturb outlasts what is newer", &[&dnd, &available], false, DoNotDisturb),
        ("a call is seen over what is published", &[&available, &away], true, Busy),
        ("a call does not make reachable who is not", &[], true, Offline),
        ("a call does not hide do-not-disturb", &[&dnd], true, DoNotDisturb),
        ("an early timestamp counts as early", &[&busy, &early], false, Busy),
        ("a clock that is ahead gains nothing", &[&ahead, &busy], false, Busy),
        ("all closed is offline", &[&closed], false, Offline),
        ("all closed is offline in a call as well", &[&closed, &closed], true, Offline),
        ("one open device is enough", &[&closed, &available], false, Available),
    ];
    for (name, documents, in_call, state) in table {
        let publications: Vec<_> =
            documents.iter().zip(10..).map(|(d, lineage)| publication(lineage, d)).collect();
        let composed = compose(&publications, &[], in_call.then_some(later(99)));
        assert_eq!(composed.state(), state, "{name}:\n{}", lines(&composed.document.print()));
        if state == Offline {
            let text = composed.document.print();
            assert!(
                !text.contains("<rpid:busy/>") && !text.contains("on-the-phone"),
                "{name}: some look for bytes"
            );
        }
    }
    // On a tie of times away wins.
    let tie = [
        Publication { received: NOW, ..publication(1, &available) },
        Publication { received: NOW, ..publication(2, &away) },
    ];
    assert_eq!(compose(&tie, &[], None).state(), Away);
}

#[test]
fn ids_outlive_refreshes_and_tell_nothing() {
    let (first, second) = (document("open", "", &activity("busy")), document("closed", "", ""));
    let before = compose(&[publication(1, &first)], &[], None).document;
    let after =
        compose(&[Publication { received: later(60), ..publication(1, &second) }], &[], None).document;
    assert_eq!(before.tuples[0].id, after.tuples[0].id);
    let other = compose(&[publication(2, &first)], &[], None).document;
    assert_ne!(before.tuples[0].id, other.tuples[0].id);
    assert_eq!(before.persons[0].id, other.persons[0].id, "the person is one, whoever speaks of it");
}

proptest! {
    #[test]
    fn the_order_of_inputs_does_not_matter(
        documents in proptest::collection::vec((fixture::pidf(), 0..3_u64), 0..5).prop_shuffle(),
        turn in 0..5_usize,
        in_call: bool,
    ) {
        let publications: Vec<_> = documents
            .iter()
            .zip(0..)
            .map(|((document, received), lineage)| Publication { received: later(*received), ..publication(lineage, document) })
            .collect();
        let registrations = [registration(50), Registration { q: Some(500), instance: "", ..registration(51) }];
        let in_call = in_call.then_some(NOW);
        let once = compose(&publications, &registrations, in_call);
        let mut turned = publications.clone();
        turned.rotate_left(turn.min(publications.len()));
        turned.reverse();
        let again = compose(&turned, &[registrations[1], registrations[0]], in_call);
        prop_assert_eq!(&again, &once);
        let printed = once.document.print();
        prop_assert_eq!(again.document.print(), printed.as_str());
        // What is composed is a document that can be read, and its ids are its own.
                prop_assert_eq!(Pidf::parse(printed.as_bytes(), &Bounds::ours()), Ok(once.document));
        prop_assert_eq!(once.origins.len(), again.document.tuples.len());
    }
}
