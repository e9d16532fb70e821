//! Presence documents: PIDF (RFC 3863), the data model of person, service and device (RFC 4479), RPID (RFC 4480).
//!
//! A [`Pidf`] is a value: [`Pidf::parse`] and [`Pidf::print`] are inverse to each other, and equal values print equal
//! bytes. What is not known is kept as [`Fragment`]s where it stood.
//!
//! Forgiven, because it does no harm: a missing or broken timestamp, an offset left out of one (UTC then), `pres:` or
//! `sip:` as the entity, a status without `basic` or with another word in it, a priority out of range (RFC 3863 s4.1.5),
//! elements out of order, missing ids of tuples (one is made up), ids that are not XML names, notes of the data model in
//! the namespace of PIDF and the reverse. Refused: another root, no entity, two tuples, persons or devices of one id.

mod read;
mod rpid;
mod state;
#[cfg(test)]
mod tests;
mod time;
mod write;

pub(crate) use read::thousandths;
pub use rpid::{Icon, Input, ListKind, Listed, Offset, Rich, Span, UserInput, Value};
pub use state::PresenceState;
pub(crate) use time::format_time;

use super::xml::Fragment;
use crate::base::{Time, text};
use crate::wire::Uri;

/// The media type of these documents (RFC 3863 s5.1).
pub const CONTENT_TYPE: &str = "application/pidf+xml";

/// A presence document.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pidf {
    /// The presentity's URI as it came, `pres:`, `sip:` or another scheme. Never empty.
    pub entity: Box<str>,
    /// The services (RFC 4479 s3.2).
    pub tuples: Vec<Tuple>,
    /// Notes about the presentity: those of each person without notes of its own (RFC 4479 s5).
    pub notes: Vec<Note>,
    /// The person, seldom more than one occurrence (RFC 4479 s3.3).
    pub persons: Vec<Person>,
    /// The devices (RFC 4479 s3.4).
    pub devices: Vec<Device>,
    /// What else stood in the root.
    pub extensions: Vec<Fragment>,
}

/// A service: one way to reach the presentity.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tuple {
    /// Names it within the document.
    pub id: Box<str>,
    /// Open or closed, if it says so.
    pub basic: Option<Basic>,
    /// Other status values.
    pub status: Vec<Fragment>,
    /// RPID elements and unknown ones, in order.
    pub elements: Vec<Rich>,
    /// The devices that contribute to the service (RFC 4479 s3.2, RFC 4480 s3.4): URNs.
    pub device_ids: Vec<Box<str>>,
    /// Where it is reached.
    pub contact: Option<Contact>,
    /// Remarks about it.
    pub notes: Vec<Note>,
    /// When its status last changed.
    pub timestamp: Option<Time>,
}

/// Whether a service can be used (RFC 3863 s4.1.4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Basic {
    /// Ready.
    Open,
    /// Not ready.
    Closed,
}

/// Where a service is reached (RFC 3863 s4.1.5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contact {
    /// A URI.
    pub uri: Box<str>,
    /// 0 to 1000 thousandths; `None` counts as the lowest.
    pub priority: Option<u16>,
}

/// A text for people.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Note {
    /// Its language (RFC 5646), its own or that of what it stands in.
    pub lang: Option<Box<str>>,
    /// The text as it came.
    pub text: Box<str>,
}

impl Note {
    /// A text in an unnamed language.
    pub fn new(text: &str) -> Note {
        Note { lang: None, text: text.into() }
    }
}

/// The human (RFC 4479 s3.3).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Person {
    /// Names this occurrence within the document.
    pub id: Box<str>,
    /// RPID elements and unknown ones, in order.
    pub elements: Vec<Rich>,
    /// Remarks.
    pub notes: Vec<Note>,
    /// When it last changed.
    pub timestamp: Option<Time>,
}

/// A device (RFC 4479 s3.4).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Device {
    /// Names this occurrence within the document.
    pub id: Box<str>,
    /// RPID elements and unknown ones, in order.
    pub elements: Vec<Rich>,
    /// The URN of the device, by which tuples name it; empty if it was left out.
    pub device_id: Box<str>,
    /// Remarks.
    pub notes: Vec<Note>,
    /// When it last changed.
    pub timestamp: Option<Time>,
}

impl Pidf {
    /// An empty document about a presentity.
    pub fn new(entity: &str) -> Pidf {
        Pidf { entity: entity.into(), ..Pidf::default() }
    }

    /// True if the document is about this SIP URI: `pres:bob@example.com` and `sip:bob@example.com` are one presentity
    /// (RFC 3856 s5, RFC 3861), whatever ports and parameters they have.
    pub fn is_about(&self, presentity: &Uri<'_>) -> bool {
        let entity = as_sip(&self.entity);
        let Ok(entity) = Uri::parse(entity.as_bytes()) else { return false };
        match (user_at_host(&entity), user_at_host(presentity)) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => false,
        }
    }
}

/// The address of record of a URI, canonical; `None` without a host.
fn user_at_host(uri: &Uri<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    if let Some(user) = uri.user() {
        text::canonical_user(user, &mut out);
        out.push(b'@');
    }
    uri.host()?.write_folded(&mut out);
    Some(out)
}

/// The URI with `sip:` in place of `pres:` and `im:` (RFC 3859, RFC 3860), or in front if there is no scheme at all.
fn as_sip(uri: &str) -> String {
    match uri.split_once(':') {
        Some((scheme, rest)) if ["pres", "im", "sips"].iter().any(|s| scheme.eq_ignore_ascii_case(s)) => {
            format!("sip:{rest}")
        }
        None => format!("sip:{uri}"),
        Some((scheme, _)) if scheme.contains('@') => format!("sip:{uri}"),
        _ => uri.to_owned(),
    }
}
