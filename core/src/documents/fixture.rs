//! Documents at random, for the property tests of every module here, and bodies laid out for snapshots.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::pidf::{
    Basic, Contact, Device, Icon, Input, ListKind, Listed, Note, Offset, Person, Pidf, Rich, Span, Tuple,
    UserInput, Value,
};
use super::xml::{Fragment, NcName};
use crate::base::Time;

/// The exact bytes, a line for each element: nothing in our bodies stands between two tags but on purpose.
pub(crate) fn lines(body: &str) -> String {
    body.replace("><", ">\n<")
}

/// A line of text without white space at its ends.
fn word() -> impl Strategy<Value = Box<str>> {
    prop_oneof!["[a-z]{1,6}", "[!-~]{1,8}", "[é<>&\"'\u{10400}]{1,3}"].prop_map(String::into_boxed_str)
}

fn text() -> impl Strategy<Value = Box<str>> {
    prop_oneof![Just(String::new()), "[ -~\t\n\ré]{0,12}"].prop_map(String::into_boxed_str)
}

fn note() -> impl Strategy<Value = Note> {
    (option::of("[a-z]{2}"), text()).prop_map(|(lang, text)| Note { lang: lang.map(Into::into), text })
}

fn time() -> impl Strategy<Value = Option<Time>> {
    option::of(prop_oneof![
        (0..4_000_000_000_u64).prop_map(Time::from_secs),
        any::<u64>().prop_map(Time::from_nanos)
    ])
}

pub(crate) fn fragment() -> impl Strategy<Value = Fragment> {
    prop_oneof![
        "[a-c]{1,3}".prop_map(|name| format!("<{name}/>")),
        ("[a-c]", "[u-w]", text()).prop_map(|(name, ns, text)| {
            let mut writer = super::xml::Writer::document();
            writer.tag("x").attr("xmlns", &format!("urn:{ns}")).attr("k", &text).open();
            writer.tag("y").attr("xmlns", &format!("urn:{name}")).attr("id", &text).text(&text);
            writer.text(&text);
            writer.finish()
        }),
        Just("<caps:servcaps xmlns:caps='urn:ietf:params:xml:ns:pidf:caps'><caps:audio>true</caps:audio></caps:servcaps>".to_owned()),
        Just("<p:x xmlns:p='urn:ietf:params:xml:ns:pidf' p:mustUnderstand='1'> <p:note xml:lang='en'/> </p:x>".to_owned()),
    ]
    .prop_map(|text| Fragment::parse(&text).expect("well-formed"))
}

fn span() -> impl Strategy<Value = Span> {
    (option::of(word()), time(), time()).prop_map(|(id, from, until)| Span { id, from, until })
}

pub(crate) fn rich() -> impl Strategy<Value = Rich> {
    let kind = prop_oneof![
        Just(ListKind::Activities),
        Just(ListKind::Activities),
        Just(ListKind::Mood),
        Just(ListKind::PlaceType),
        Just(ListKind::Privacy),
        Just(ListKind::Relationship),
        Just(ListKind::ServiceClass),
        Just(ListKind::Sphere)
    ];
    let words =
        prop_oneof![Just("busy"), Just("away"), Just("on-the-phone"), Just("unknown"), Just("meeting")];
    let value = prop_oneof![
        4 => words.prop_map(|w| Value::Word(NcName::known(w))),
        1 => note().prop_map(Value::Other),
        1 => Just(Value::Foreign(Fragment::parse("<dnd xmlns='urn:v'/>").expect("well-formed"))),
    ];
    let listed = (span(), vec(note(), 0..2), vec(value, 0..3));
    let listed = listed.prop_map(|(span, notes, values)| Listed { span, notes, values });
    let input = prop_oneof![Just(Input::Active), Just(Input::Idle)];
    prop_oneof![
        4 => (kind, listed).prop_map(|(kind, listed)| Rich::Listed(kind, listed)),
        1 => word().prop_map(Rich::Class),
        1 => (span(), word()).prop_map(|(span, uri)| Rich::Icon(Icon { span, uri })),
        1 => (span(), -900..900_i32, option::of(word()))
            .prop_map(|(span, minutes, description)| Rich::Offset(Offset { span, minutes, description })),
        1 => (option::of(word()), input, option::of(1..900_u32), time())
            .prop_map(|(id, input, idle_threshold, last_input)| Rich::UserInput(UserInput { id, input, idle_threshold, last_input })),
        2 => fragment().prop_filter_map("means something", |fragment| {
            let known = ["note", "timestamp", "deviceID", "contact", "status"].contains(&&*fragment.name().local);
            (!known).then_some(Rich::Other(fragment))
        }),
    ]
}

fn tuple() -> impl Strategy<Value = Tuple> {
    let basic = option::of(prop_oneof![Just(Basic::Open), Just(Basic::Closed)]);
    let contact = (word(), option::of(0..=1000_u16)).prop_map(|(uri, priority)| Contact { uri, priority });
    (
        basic,
        vec(fragment(), 0..2),
        vec(rich(), 0..2),
        vec(word(), 0..2),
        option::of(contact),
        vec(note(), 0..2),
        time(),
    )
        .prop_map(|(basic, status, elements, device_ids, contact, notes, timestamp)| Tuple {
            id: "".into(),
            basic,
            status,
            elements,
            device_ids,
            contact,
            notes,
            timestamp,
        })
}

/// Documents that a reader could have given: ids are there and differ.
pub(crate) fn pidf() -> impl Strategy<Value = Pidf> {
    let person = (vec(rich(), 0..3), vec(note(), 0..2), time())
        .prop_map(|(elements, notes, timestamp)| Person { id: "".into(), elements, notes, timestamp });
    let device = (vec(rich(), 0..2), prop_oneof![Just("".into()), word()], vec(note(), 0..2), time())
        .prop_map(|(elements, device_id, notes, timestamp)| Device {
            id: "".into(),
            elements,
            device_id,
            notes,
            timestamp,
        });
    let ids = Just((0..6_u8).collect::<Vec<_>>()).prop_shuffle();
    (vec(tuple(), 0..5), vec(note(), 0..3), vec(person, 0..3), vec(device, 0..3), vec(fragment(), 0..2), ids)
        .prop_map(|(tuples, notes, persons, devices, extensions, ids)| {
            let mut pidf =
                Pidf { entity: "sip:bob@example.com".into(), tuples, notes, persons, devices, extensions };
            pidf.tuples.iter_mut().zip(&ids).for_each(|(t, i)| t.id = format!("t{i}'\"&{i}").into());
            pidf.persons.iter_mut().zip(&ids).for_each(|(p, i)| p.id = format!("p{i}").into());
            pidf.devices.iter_mut().zip(&ids).for_each(|(d, i)| d.id = format!("d{i}").into());
            pidf
        })
}
