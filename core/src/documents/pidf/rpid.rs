//! RPID: what a person does, feels and sees around, as elements of persons, tuples and devices (RFC 4480).

use super::read::{note, span};
use super::time::parse_time;
use super::write::{times, write_note};
use super::{Note, format_time};
use crate::base::Time;
use crate::documents::xml::{Element, Fragment, NcName, Tag, Writer, ns, trim};

/// An element of a person, a tuple or a device that says more than open or closed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rich {
    /// One of the elements that list words.
    Listed(ListKind, Listed),
    /// `<class>`: a name the presentity gives to like parts.
    Class(Box<str>),
    /// `<status-icon>`.
    Icon(Icon),
    /// `<time-offset>`.
    Offset(Offset),
    /// `<user-input>`.
    UserInput(UserInput),
    /// Anything else, and those above when they do not follow their grammar.
    Other(Fragment),
}

/// The elements of RPID that list words of a vocabulary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListKind {
    /// What the person does (s3.2).
    Activities,
    /// How the person feels (s3.5).
    Mood,
    /// What place it is (s3.7; the words are those of RFC 4589).
    PlaceType,
    /// What can be overheard (s3.8).
    Privacy,
    /// Who answers at an alternate contact (s3.9).
    Relationship,
    /// How a service is delivered (s3.10).
    ServiceClass,
    /// In which role the person acts (s3.11).
    Sphere,
}

const LISTS: [(ListKind, &str, &str); 7] = [
    (ListKind::Activities, "activities", "rpid:activities"),
    (ListKind::Mood, "mood", "rpid:mood"),
    (ListKind::PlaceType, "place-type", "rpid:place-type"),
    (ListKind::Privacy, "privacy", "rpid:privacy"),
    (ListKind::Relationship, "relationship", "rpid:relationship"),
    (ListKind::ServiceClass, "service-class", "rpid:service-class"),
    (ListKind::Sphere, "sphere", "rpid:sphere"),
];

/// From when to when an element holds, and its own name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// Names the element within the document.
    pub id: Option<Box<str>>,
    /// Since when.
    pub from: Option<Time>,
    /// Until when.
    pub until: Option<Time>,
}

/// Words of a vocabulary, with remarks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listed {
    /// When.
    pub span: Span,
    /// Remarks.
    pub notes: Vec<Note>,
    /// The words, in order.
    pub values: Vec<Value>,
}

/// One word of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// A word of RPID, or one that claims to be: `<rpid:busy/>`.
    Word(NcName),
    /// A text of its own: `<rpid:other>`.
    Other(Note),
    /// A word of another vocabulary.
    Foreign(Fragment),
}

impl Listed {
    /// Just these words.
    pub fn of(words: impl IntoIterator<Item = NcName>) -> Listed {
        Listed { values: words.into_iter().map(Value::Word).collect(), ..Listed::default() }
    }

    /// The local names of the words, of whatever vocabulary.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.values.iter().filter_map(|value| match value {
            Value::Word(word) => Some(&**word),
            Value::Other(_) => None,
            Value::Foreign(fragment) => Some(&*fragment.name().local),
        })
    }

    /// True if the word is there.
    pub fn has(&self, word: &str) -> bool {
        self.words().any(|w| w == word)
    }
}

/// A picture of the status (s3.12).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Icon {
    /// When.
    pub span: Span,
    /// Where it is.
    pub uri: Box<str>,
}

/// How far local time is from UTC (s3.13).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Offset {
    /// When.
    pub span: Span,
    /// East is positive.
    pub minutes: i32,
    /// The name of the zone.
    pub description: Option<Box<str>>,
}

/// Whether somebody uses the device or service (s3.14).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserInput {
    /// Names the element within the document.
    pub id: Option<Box<str>>,
    /// In use or not.
    pub input: Input,
    /// Seconds without input after which it counts as idle.
    pub idle_threshold: Option<u32>,
    /// When it was last used.
    pub last_input: Option<Time>,
}

/// In use or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    /// Used within the threshold.
    Active,
    /// Not used for longer.
    Idle,
}

impl Rich {
    pub(super) fn read(element: &Element, lang: Option<&str>) -> Rich {
        known(element, lang).unwrap_or_else(|| Rich::Other(Fragment::of(element)))
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        match self {
            Rich::Listed(kind, listed) => listed.write(*kind, writer),
            Rich::Class(class) => writer.leaf("rpid:class", class),
            Rich::Icon(icon) => icon.span.on(writer.tag("rpid:status-icon")).text(&icon.uri),
            Rich::Offset(offset) => {
                let tag = offset.span.on(writer.tag("rpid:time-offset"));
                tag.maybe("description", offset.description.as_deref()).text(&offset.minutes.to_string());
            }
            Rich::UserInput(user) => {
                let tag = writer.tag("rpid:user-input").maybe("id", user.id.as_deref());
                let tag = tag.number("idle-threshold", user.idle_threshold.map(u64::from));
                let tag = tag.maybe("last-input", user.last_input.map(format_time).as_deref());
                tag.text(match user.input {
                    Input::Active => "active",
                    Input::Idle => "idle",
                });
            }
            Rich::Other(fragment) => writer.fragment(fragment),
        }
    }
}

impl Span {
    fn on<'w>(&self, tag: Tag<'w>) -> Tag<'w> {
        times(tag.maybe("id", self.id.as_deref()), self.from, self.until)
    }
}

impl Listed {
    fn write(&self, kind: ListKind, writer: &mut Writer) {
        let name = LISTS.iter().find(|(k, ..)| *k == kind).map_or("rpid:activities", |(.., name)| name);
        let tag = self.span.on(writer.tag(name));
        if self.notes.is_empty() && self.values.is_empty() {
            return tag.empty();
        }
        tag.open();
        self.notes.iter().for_each(|note| write_note("rpid:note", note, writer));
        for value in &self.values {
            match value {
                Value::Word(word) => writer.tag_named("rpid", word).empty(),
                Value::Other(note) => write_note("rpid:other", note, writer),
                Value::Foreign(fragment) => writer.fragment(fragment),
            }
        }
        writer.close();
    }
}

/// `None` for what this module has no value for.
fn known(element: &Element, lang: Option<&str>) -> Option<Rich> {
    if *element.name.namespace != *ns::RPID {
        return None;
    }
    let text_only = element.elements().next().is_none();
    match &*element.name.local {
        "class" if text_only => element.trimmed().map(Rich::Class),
        "status-icon" if text_only => Some(Rich::Icon(Icon { span: span(element), uri: element.trimmed()? })),
        "time-offset" if text_only => Some(Rich::Offset(Offset {
            span: span(element),
            minutes: element.trimmed()?.parse().ok()?,
            description: element.attribute("description").map(Box::from),
        })),
        "user-input" if text_only => {
            let input = match &*element.trimmed()? {
                "active" => Input::Active,
                "idle" => Input::Idle,
                _ => return None,
            };
            Some(Rich::UserInput(UserInput {
                id: element.attribute("id").map(Box::from),
                input,
                idle_threshold: element.attribute("idle-threshold").and_then(|v| trim(v).parse().ok()),
                last_input: element.attribute("last-input").and_then(parse_time),
            }))
        }
        local => {
            let (kind, ..) = LISTS.iter().find(|(_, name, _)| *name == local)?;
            // Text between the words is not RPID: keep the element as it is. Some phones write a word as text.
            if !trim(&element.text()).is_empty() {
                return None;
            }
            Some(Rich::Listed(*kind, listed(element, lang)))
        }
    }
}

fn listed(element: &Element, lang: Option<&str>) -> Listed {
    let mut listed = Listed { span: span(element), ..Listed::default() };
    let lang = element.lang().or(lang);
    for child in element.elements() {
        if child.is(ns::RPID, "note") {
            listed.notes.push(note(child, lang));
        } else if child.is(ns::RPID, "other") && child.elements().next().is_none() {
            listed.values.push(Value::Other(note(child, lang)));
        } else if *child.name.namespace == *ns::RPID
            && child.attributes.is_empty()
            && child.elements().next().is_none()
            && child.trimmed().is_none()
        {
            listed.values.push(Value::Word(child.name.local.clone()));
        } else {
            listed.values.push(Value::Foreign(Fragment::of(child)));
        }
    }
    listed
}
