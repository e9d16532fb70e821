//! The composition of DECISIONS 29, rule by rule.
//!
//! - **Tuples**: one of each publication, its best; then one of each binding that no publication names. Open before
//!   unsaid before closed, then by priority of the contact, then the newest.
//! - **A binding is named** by a publication that came from its device, or names its instance as a device, or its
//!   contact or GRUU as a contact.
//! - **Person**: one. Who says do-not-disturb wins, the newest of them; then a live call makes on-the-phone; then the
//!   newest timestamp, no later than it was received; then away. All closed is offline: no busy activity survives that,
//!   since some phones look for the activity alone.
//! - **Ids** are keyed hashes of presentity and lineage, so they survive refreshes, and say nothing.
//! - **Nothing known** is one closed tuple: what a blocked watcher sees as well.

use core::cmp::Reverse;

use super::{Compose, Composed, Inputs, Origin, Publication, Registration};
use crate::base::{IdKind, Time, ids};
use crate::documents::pidf::{
    Basic, Contact, ListKind, Listed, Person, Pidf, PresenceState, Rich, Tuple, Value,
};
use crate::documents::xml::NcName;
use crate::wire::Uri;

/// The composition used by default.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ByRule {
    /// How many tuples of one publication are shown.
    pub services: Services,
}

/// How many tuples of one publication are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Services {
    /// The best one: a publication is a device.
    #[default]
    Best,
    /// All of them.
    All,
}

impl Compose for ByRule {
    fn compose(&self, inputs: &Inputs<'_>) -> Composed {
        // Newest first, and no two alike: what follows depends on no order of the inputs.
        let mut publications: Vec<&Publication<'_>> = inputs.publications.iter().collect();
        publications.sort_by_key(|p| (Reverse(p.received), p.lineage));

        let mut services = self.services(inputs, &publications);
        for registration in inputs.registrations {
            if !publications.iter().any(|publication| speaks_for(publication, registration)) {
                services.push(Service::registered(inputs, registration));
            }
        }
        if services.is_empty() {
            services.push(Service::nobody(inputs));
        }
        services.sort_by(|a, b| a.rank().cmp(&b.rank()));

        let mut document = Pidf::new(inputs.entity);
        let origins = services.iter().map(|service| service.origin).collect();
        document.tuples = services.into_iter().map(|service| service.tuple).collect();
        let offline = document.tuples.iter().all(|tuple| tuple.basic == Some(Basic::Closed));
        document.persons = person(inputs, &publications, offline).into_iter().collect();
        document.notes = match document.persons.first() {
            Some(person) => person.notes.clone(),
            None => publications
                .iter()
                .map(|p| &p.document.notes)
                .find(|n| !n.is_empty())
                .cloned()
                .unwrap_or_default(),
        };
        for publication in &publications {
            add_devices(inputs, publication, &mut document);
            for extension in &publication.document.extensions {
                if !document.extensions.contains(extension) {
                    document.extensions.push(extension.clone());
                }
            }
        }
        document.devices.sort_by(|a, b| a.id.cmp(&b.id));
        document.extensions.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        Composed { document, origins }
    }
}

/// A tuple of the result, and what it is ordered by.
struct Service {
    tuple: Tuple,
    origin: Origin,
    changed: Time,
}

impl Service {
    /// Smaller is further in front.
    fn rank(&self) -> (u8, Reverse<u16>, Reverse<Time>, &str) {
        let (basic, priority) = (basic_rank(&self.tuple), priority(&self.tuple));
        (basic, Reverse(priority), Reverse(self.changed), &self.tuple.id)
    }

    fn registered(inputs: &Inputs<'_>, registration: &Registration<'_>) -> Service {
        let basic = if registration.reachable { Basic::Open } else { Basic::Closed };
        let device = (!registration.instance.is_empty()).then(|| registration.instance.into());
        let tuple = Tuple {
            id: id(inputs, 't', &[b"binding", &registration.lineage.to_be_bytes()]),
            basic: Some(basic),
            device_ids: device.into_iter().collect(),
            contact: Some(Contact { uri: registration.shown.into(), priority: registration.q }),
            timestamp: Some(Time::from_secs(registration.since.as_secs())),
            ..Tuple::default()
        };
        Service { tuple, origin: Origin::Registration(registration.lineage), changed: registration.since }
    }

    /// What is said where no service is known, or none may be known.
    fn nobody(inputs: &Inputs<'_>) -> Service {
        let id = id(inputs, 't', &[b"nobody"]);
        let tuple = Tuple { id, basic: Some(Basic::Closed), ..Tuple::default() };
        Service { tuple, origin: Origin::Nobody, changed: Time::ZERO }
    }
}

fn basic_rank(tuple: &Tuple) -> u8 {
    match tuple.basic {
        Some(Basic::Open) => 0,
        None => 1,
        Some(Basic::Closed) => 2,
    }
}

/// RFC 3863 s4.1.5: none is the lowest.
fn priority(tuple: &Tuple) -> u16 {
    tuple.contact.as_ref().and_then(|contact| contact.priority).unwrap_or(0)
}

/// A clock that is ahead must not win for ever.
fn changed(stamp: Option<Time>, publication: &Publication<'_>) -> Time {
    stamp.map_or(publication.received, |stamp| stamp.min(publication.received))
}

impl ByRule {
    fn services(&self, inputs: &Inputs<'_>, publications: &[&Publication<'_>]) -> Vec<Service> {
        let mut services = Vec::with_capacity(publications.len() + inputs.registrations.len());
        for publication in publications {
            let lineage = publication.lineage.to_be_bytes();
            let mut shown: Vec<Service> = publication
                .document
                .tuples
                .iter()
                .map(|tuple| Service {
                    changed: changed(tuple.timestamp, publication),
                    tuple: tuple.clone(),
                    origin: Origin::Publication(publication.lineage),
                })
                .collect();
            if self.services == Services::Best {
                shown.sort_by(|a, b| a.rank().cmp(&b.rank()));
                shown.truncate(1);
            }
            for mut service in shown {
                service.tuple.id = match self.services {
                    Services::Best => id(inputs, 't', &[&lineage]),
                    Services::All => id(inputs, 't', &[&lineage, service.tuple.id.as_bytes()]),
                };
                // RFC 3863 s4.1.7: a tuple should have one.
                service.tuple.timestamp.get_or_insert(Time::from_secs(publication.received.as_secs()));
                services.push(service);
            }
        }
        services
    }
}

/// True if the publication speaks for the device of the binding.
fn speaks_for(publication: &Publication<'_>, registration: &Registration<'_>) -> bool {
    let Registration { contact, shown, instance, .. } = *registration;
    publication.binding == Some(registration.lineage) || names(publication.document, contact, shown, instance)
}

/// True if a document is about the device that is bound by this contact, is shown as this URI and has this instance.
pub(crate) fn names(document: &Pidf, contact: &str, shown: &str, instance: &str) -> bool {
    let contact = Uri::parse(contact.as_bytes()).ok();
    let same_contact = |tuple: &Tuple| {
        tuple.contact.as_ref().is_some_and(|published| {
            let same = |uri: &Uri<'_>| {
                Uri::parse(published.uri.as_bytes()).is_ok_and(|published| published.equivalent(uri))
            };
            let gruu = shown.contains(";gr") && *published.uri == *shown;
            gruu || contact.as_ref().is_some_and(same)
        })
    };
    let devices = document.devices.iter().map(|device| &device.device_id);
    let mut named = devices.chain(document.tuples.iter().flat_map(|tuple| &tuple.device_ids));
    (!instance.is_empty() && named.any(|urn| urn.eq_ignore_ascii_case(instance)))
        || document.tuples.iter().any(same_contact)
}

/// An occurrence of the person, and what it is picked by.
struct Candidate<'a> {
    state: PresenceState,
    changed: Time,
    person: &'a Person,
    publication: &'a Publication<'a>,
}

impl<'a> Candidate<'a> {
    fn new(person: &'a Person, publication: &'a Publication<'a>) -> Candidate<'a> {
        Candidate {
            state: person.state(),
            changed: changed(person.timestamp, publication),
            person,
            publication,
        }
    }
}

/// The newest, then away.
fn rank(candidate: &Candidate<'_>) -> (Time, bool) {
    (candidate.changed, candidate.state == PresenceState::Away)
}

fn person(inputs: &Inputs<'_>, publications: &[&Publication<'_>], offline: bool) -> Option<Person> {
    // Newest publication first; a document may hold several occurrences of the person.
    let candidates: Vec<Candidate<'_>> = publications
        .iter()
        .flat_map(|publication| publication.document.persons.iter().map(|p| Candidate::new(p, publication)))
        .collect();
    let disturbed = |c: &&Candidate<'_>| c.state == PresenceState::DoNotDisturb;
    // On a tie the one of the newer publication stands, which came first.
    let newest = |a, b| if rank(b) > rank(a) { b } else { a };
    let manual = candidates.iter().filter(disturbed).reduce(newest);
    let picked = manual.or_else(|| candidates.iter().reduce(newest));
    let in_call = inputs.in_call.filter(|_| !offline && manual.is_none());
    if picked.is_none() && in_call.is_none() {
        return None;
    }
    let mut person = picked.map(|Candidate { person, publication, .. }| {
        let mut person = Person::clone(person);
        // RFC 4479 s5: the notes of the presentity are those of a person without any.
        if person.notes.is_empty() {
            person.notes.clone_from(&publication.document.notes);
        }
        person
    });
    if let Some(since) = in_call {
        let person = person.get_or_insert_default();
        on_the_phone(person);
        let since = Time::from_secs(since.as_secs());
        person.timestamp = Some(person.timestamp.map_or(since, |stamp| stamp.max(since)));
    }
    let mut person = person?;
    person.id = id(inputs, 'p', &[b"person"]);
    if offline {
        person.elements.retain(|element| match element {
            Rich::Listed(ListKind::Activities, listed) => {
                let state = PresenceState::of_activities(listed);
                !matches!(state, PresenceState::Busy | PresenceState::DoNotDisturb)
            }
            _ => true,
        });
    }
    Some(person)
}

/// A live call is seen first, and away from the desk nobody talks on the phone.
fn on_the_phone(person: &mut Person) {
    const ON_THE_PHONE: NcName = NcName::known("on-the-phone");
    let mut activities = Listed::of([ON_THE_PHONE]);
    for element in &person.elements {
        if let Rich::Listed(ListKind::Activities, listed) = element
            && PresenceState::of_activities(listed) == PresenceState::Busy
        {
            let others =
                listed.values.iter().filter(|v| !matches!(v, Value::Word(w) if **w == *ON_THE_PHONE));
            activities.values.extend(others.cloned());
            activities.notes.extend(listed.notes.iter().cloned());
        }
    }
    person.elements.retain(|e| !matches!(e, Rich::Listed(ListKind::Activities, _)));
    person.elements.insert(0, Rich::Listed(ListKind::Activities, activities));
}

/// The newest word about each device; `document` holds what newer publications said.
fn add_devices(inputs: &Inputs<'_>, publication: &Publication<'_>, document: &mut Pidf) {
    for device in &publication.document.devices {
        let known = |urn: &str| document.devices.iter().any(|d| d.device_id.eq_ignore_ascii_case(urn));
        if !device.device_id.is_empty() && known(&device.device_id) {
            continue;
        }
        let mut device = device.clone();
        let lineage = publication.lineage.to_be_bytes();
        device.id = match &*device.device_id {
            "" => id(inputs, 'd', &[b"device", &lineage, device.id.as_bytes()]),
            urn => id(inputs, 'd', &[b"urn", urn.to_ascii_lowercase().as_bytes()]),
        };
        document.devices.push(device);
    }
}

/// An id of XML: a letter, then the keyed hash of the presentity and what the id is for.
fn id(inputs: &Inputs<'_>, letter: char, parts: &[&[u8]]) -> Box<str> {
    let mut all: Vec<&[u8]> = vec![inputs.entity.as_bytes()];
    all.extend_from_slice(parts);
    let id = ids::write(inputs.ids.keyed(IdKind::Tuple, &all));
    format!("{letter}{}", &*id).into_boxed_str()
}
