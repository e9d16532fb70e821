//! A tree of elements to a presence document.

use super::time::parse_time;
use super::{Basic, Contact, Device, Note, Person, Pidf, Rich, Span, Tuple, Value};
use crate::documents::xml::{self, Bounds, DocumentError, Element, Fault, Fragment, ns, trim};

impl Pidf {
    /// Reads a document of [`CONTENT_TYPE`](super::CONTENT_TYPE).
    ///
    /// # Errors
    ///
    /// XML that [`xml::read`] refuses, another root, no entity, ids that name two parts, and unknown parts that written
    /// out on their own would be longer than [`Bounds::bytes`].
    pub fn parse(document: &[u8], bounds: &Bounds) -> Result<Pidf, DocumentError> {
        let root = xml::read(document, bounds)?;
        if !root.is(ns::PIDF, "presence") {
            return Err(root.fault("presence", Fault::Root));
        }
        Pidf::of_root(&root, bounds)
    }

    /// Reads the content of a root element, whatever it is called.
    pub(crate) fn of_root(root: &Element, bounds: &Bounds) -> Result<Pidf, DocumentError> {
        let entity = root.attribute("entity").map(trim).filter(|entity| !entity.is_empty());
        let entity = entity.ok_or(root.fault("entity", Fault::Missing))?;
        let mut pidf = Pidf::new(entity);
        let lang = root.lang();
        for child in root.elements() {
            if child.is(ns::PIDF, "tuple") {
                pidf.tuples.push(tuple(child, lang));
            } else if is_note(child) {
                pidf.notes.push(note(child, lang));
            } else if child.is(ns::DATA_MODEL, "person") {
                pidf.persons.push(person(child, lang));
            } else if child.is(ns::DATA_MODEL, "device") {
                pidf.devices.push(device(child, lang));
            } else {
                pidf.extensions.push(Fragment::of(child));
            }
        }
        // XML Schema has one space of ids for all; clients that share one between a tuple and a person do no harm.
        name_all(pidf.tuples.iter_mut().map(|t| &mut t.id), 't', "tuple", root)?;
        name_all(pidf.persons.iter_mut().map(|p| &mut p.id), 'p', "person", root)?;
        name_all(pidf.devices.iter_mut().map(|d| &mut d.id), 'd', "device", root)?;
        if pidf.fragment_bytes() > bounds.bytes {
            return Err(root.fault("presence", Fault::TooLong));
        }
        Ok(pidf)
    }

    /// Bytes of all fragments: each declares its own namespaces, so many may be longer than they came.
    fn fragment_bytes(&self) -> usize {
        let bytes = |fragments: &[Fragment]| fragments.iter().map(|f| f.as_str().len()).sum::<usize>();
        let rich = |elements: &[Rich]| elements.iter().map(Rich::fragment_bytes).sum::<usize>();
        bytes(&self.extensions)
            + self.tuples.iter().map(|t| bytes(&t.status) + rich(&t.elements)).sum::<usize>()
            + self.persons.iter().map(|p| rich(&p.elements)).sum::<usize>()
            + self.devices.iter().map(|d| rich(&d.elements)).sum::<usize>()
    }
}

impl Rich {
    fn fragment_bytes(&self) -> usize {
        match self {
            Rich::Other(fragment) => fragment.as_str().len(),
            Rich::Listed(_, listed) => listed.values.iter().map(Value::fragment_bytes).sum(),
            _ => 0,
        }
    }
}

impl Value {
    fn fragment_bytes(&self) -> usize {
        match self {
            Value::Foreign(fragment) => fragment.as_str().len(),
            Value::Word(_) | Value::Other(_) => 0,
        }
    }
}

/// Ids left out are made up, the first free ones in order; an id that stands twice is refused.
fn name_all<'a>(
    ids: impl Iterator<Item = &'a mut Box<str>>,
    letter: char,
    what: &'static str,
    root: &Element,
) -> Result<(), DocumentError> {
    let mut ids: Vec<&mut Box<str>> = ids.collect();
    let mut taken: Vec<Box<str>> = ids.iter().filter(|id| !id.is_empty()).map(|id| (**id).clone()).collect();
    taken.sort_unstable();
    if taken.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
        return Err(root.fault(what, Fault::Repeated));
    }
    let mut number = 0;
    for id in ids.iter_mut().filter(|id| id.is_empty()) {
        loop {
            number += 1;
            let made_up = format!("{letter}{number}").into_boxed_str();
            if taken.binary_search(&made_up).is_err() {
                **id = made_up;
                break;
            }
        }
    }
    Ok(())
}

fn tuple(element: &Element, lang: Option<&str>) -> Tuple {
    let lang = element.lang().or(lang);
    let mut tuple = Tuple { id: id(element), ..Tuple::default() };
    for child in element.elements() {
        if child.is(ns::PIDF, "status") {
            for value in child.elements() {
                if value.is(ns::PIDF, "basic") {
                    tuple.basic = tuple.basic.or_else(|| basic(value));
                } else {
                    tuple.status.push(Fragment::of(value));
                }
            }
        } else if child.is(ns::PIDF, "contact") {
            tuple.contact = tuple.contact.take().or_else(|| contact(child));
        } else if is_device_id(child) {
            tuple.device_ids.extend(child.trimmed());
        } else if is_note(child) {
            tuple.notes.push(note(child, lang));
        } else if is_timestamp(child) {
            tuple.timestamp = tuple.timestamp.or_else(|| parse_time(&child.text()));
        } else {
            tuple.elements.push(Rich::read(child, lang));
        }
    }
    tuple
}

fn person(element: &Element, lang: Option<&str>) -> Person {
    let lang = element.lang().or(lang);
    let mut person = Person { id: id(element), ..Person::default() };
    for child in element.elements() {
        if is_note(child) {
            person.notes.push(note(child, lang));
        } else if is_timestamp(child) {
            person.timestamp = person.timestamp.or_else(|| parse_time(&child.text()));
        } else {
            person.elements.push(Rich::read(child, lang));
        }
    }
    person
}

fn device(element: &Element, lang: Option<&str>) -> Device {
    let lang = element.lang().or(lang);
    let mut device = Device { id: id(element), ..Device::default() };
    for child in element.elements() {
        if is_device_id(child) && device.device_id.is_empty() {
            device.device_id = child.trimmed().unwrap_or_default();
        } else if is_note(child) {
            device.notes.push(note(child, lang));
        } else if is_timestamp(child) {
            device.timestamp = device.timestamp.or_else(|| parse_time(&child.text()));
        } else {
            device.elements.push(Rich::read(child, lang));
        }
    }
    device
}

fn id(element: &Element) -> Box<str> {
    element.attribute("id").map(trim).unwrap_or_default().into()
}

fn is_note(element: &Element) -> bool {
    element.is(ns::PIDF, "note") || element.is(ns::DATA_MODEL, "note")
}

fn is_timestamp(element: &Element) -> bool {
    element.is(ns::PIDF, "timestamp") || element.is(ns::DATA_MODEL, "timestamp")
}

/// RFC 4480 s3.4 speaks of the element as if it were of RPID; some believed it.
fn is_device_id(element: &Element) -> bool {
    element.is(ns::DATA_MODEL, "deviceID") || element.is(ns::RPID, "deviceID")
}

pub(super) fn note(element: &Element, lang: Option<&str>) -> Note {
    let lang = element.lang().or(lang).map(trim).filter(|lang| !lang.is_empty());
    Note { lang: lang.map(Box::from), text: element.text().into() }
}

pub(super) fn span(element: &Element) -> Span {
    Span {
        id: element.attribute("id").map(Box::from),
        from: element.attribute("from").and_then(parse_time),
        until: element.attribute("until").and_then(parse_time),
    }
}

/// Anything but the two words says nothing: baresip sends `unkown`.
fn basic(element: &Element) -> Option<Basic> {
    match element.trimmed()?.to_ascii_lowercase().as_str() {
        "open" => Some(Basic::Open),
        "closed" => Some(Basic::Closed),
        _ => None,
    }
}

fn contact(element: &Element) -> Option<Contact> {
    let priority = element.attribute("priority").and_then(|text| thousandths(trim(text)));
    Some(Contact { uri: element.trimmed()?, priority })
}

/// A decimal number from 0 to 1, in thousandths; further digits are cut off.
pub(crate) fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let mut thousandths: u16 = 0;
    for place in 0..3 {
        let digit = fraction.as_bytes().get(place).map_or(0, |b| u16::from(b - b'0'));
        thousandths = thousandths * 10 + digit;
    }
    match whole.trim_start_matches('0') {
        "" => Some(thousandths),
        "1" if fraction.bytes().all(|b| b == b'0') => Some(1000),
        _ => None,
    }
}
