//! Presence: RFC 3856 on the notifier of `events`, fed by the event state compositor of RFC 3903 and by the registrar.
//!
//! - `publish`: PUBLISH, its entity tags and its soft state.
//! - `tie`: which phone a publication speaks for, and what becomes of it without.
//! - `durable`: publications over restarts.
//! - `watch`: who may see what.
//! - `view`: what the host sees.
//! - this file: presentities, what they are all in all, and when a change may be told.
//!
//! A presentity is there while it is published for, registered or watched. What it is all in all is composed when
//! somebody is to be told, once per version, and printed once for all its watchers.
//!
//! Pacing (RFC 3856 s6.10, DECISIONS 28): the first change is told at once; what changes within the interval after it is
//! told at its end, in one.

mod durable;
mod lists;
mod partial;
mod publish;
mod tie;
mod view;
mod watch;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::base::{HashKey, Ids, Index, Key, Slab, Time, TimerKey};
use crate::config::PresenceConfig;
use crate::ctx::{Ctx, Phone, Timer};
use crate::documents::compose::{ByRule, Compose, Inputs, Registration};
use crate::documents::pidf::{Pidf, PresenceState};
use crate::door::SaveSeq;
use crate::events::Package;

pub(crate) use durable::Recall;
pub(crate) use lists::{ListBody, Telling, Told};

use publish::{Publication, PublicationKey};

/// Content-Type of PIDF (RFC 3863 s5).
pub(crate) const PIDF: &str = Package::Presence.kind();

/// Names a presentity while it is there.
pub(crate) type PresentityKey = Key<Presentity>;

/// One address of record whose presence somebody publishes or watches.
#[derive(Clone, Debug)]
pub(crate) struct Presentity {
    aor: Box<str>,
    publications: Vec<PublicationKey>,
    /// The newest composition, printed.
    body: Option<Bytes>,
    /// The same for those who want to be told what has changed.
    partial: Option<Box<partial::Partial>>,
    /// What those get who may know nothing.
    neutral: Option<Bytes>,
    /// Something changed since.
    outdated: bool,
    /// When a change was told last.
    told: Time,
    /// A change waits for the end of the interval.
    paced: TimerKey,
    /// The last save it stands on.
    saved: Option<SaveSeq>,
}

/// What a presentity is, and what it says about it.
#[derive(Clone, Debug)]
pub(crate) struct Seen(pub(crate) PresenceState, pub(crate) Option<Box<str>>);

/// All presentities.
#[derive(Clone, Debug)]
pub(crate) struct Presence {
    hash: HashKey,
    presentities: Slab<Presentity>,
    publications: Slab<Publication>,
    by_aor: Index<PresentityKey>,
    /// What presentities decided about watchers: by both names.
    decisions: BTreeMap<(Box<str>, Box<str>), bool>,
    /// Since when presentities are on the phone, those who are.
    on_phone: BTreeMap<Box<str>, Time>,
    /// The lists that somebody watches.
    lists: lists::Watched,
    undo: durable::Undo,
    /// Ids of tuples and persons are keyed by the seed.
    ids: Ids,
}

impl Presence {
    /// Without presentities.
    pub(crate) fn new(ids: &Ids) -> Presence {
        Presence {
            hash: ids.hash_key(),
            presentities: Slab::new(),
            publications: Slab::new(),
            by_aor: Index::new(),
            decisions: BTreeMap::new(),
            on_phone: BTreeMap::new(),
            lists: BTreeMap::new(),
            undo: durable::Undo::default(),
            ids: ids.clone(),
        }
    }

    /// How many presentities are kept.
    pub(crate) fn len(&self) -> usize {
        self.presentities.len()
    }

    /// How many publications there are.
    pub(crate) fn publications(&self) -> usize {
        self.publications.len()
    }

    fn find(&self, aor: &str) -> Option<PresentityKey> {
        self.by_aor.find(self.hash.hash(aor.as_bytes()), |key| {
            self.presentities.get(key).is_some_and(|presentity| *presentity.aor == *aor)
        })
    }

    fn find_or_add(&mut self, aor: &str) -> PresentityKey {
        if let Some(key) = self.find(aor) {
            return key;
        }
        let key = self.presentities.insert(Presentity {
            aor: aor.into(),
            publications: Vec::new(),
            body: None,
            partial: None,
            neutral: None,
            outdated: false,
            told: Time::ZERO,
            paced: TimerKey::NONE,
            saved: None,
        });
        self.by_aor.insert(self.hash.hash(aor.as_bytes()), key);
        key
    }

    /// Something of a presentity changed: what was composed holds no longer.
    pub(crate) fn outdate(&mut self, aor: &str) {
        if let Some(presentity) = self.find(aor).and_then(|key| self.presentities.get_mut(key)) {
            presentity.outdated = true;
        }
    }

    /// A presentity is on the phone since then, or no more.
    pub(crate) fn on_calls(&mut self, aor: &str, since: Option<Time>) {
        match since {
            Some(since) => drop(self.on_phone.insert(aor.into(), since)),
            None => drop(self.on_phone.remove(aor)),
        }
    }

    /// True if anything is kept about it.
    pub(crate) fn knows(&self, aor: &str) -> bool {
        self.find(aor).is_some()
    }

    /// True if what was composed is thought to hold.
    pub(crate) fn is_composed(&self, aor: &str) -> bool {
        let presentity = self.find(aor).and_then(|key| self.presentities.get(key));
        presentity.is_some_and(|presentity| !presentity.outdated && presentity.body.is_some())
    }

    /// Composes once more, since something may have changed: what the presentity is and says, unless it is what was
    /// composed before.
    pub(crate) fn compose_anew(&mut self, aor: &str, registered: &[Phone]) -> Option<Seen> {
        let composed = self.compose(aor, registered);
        let seen = Seen(composed.state(), composed.note().map(|note| note.text.clone()));
        if let Some(presentity) = self.find(aor).and_then(|key| self.presentities.get_mut(key)) {
            let body = composed.document.print();
            presentity.outdated = false;
            if presentity.body.as_deref() == Some(body.as_bytes()) {
                return None;
            }
            presentity.body = Some(Bytes::from(body));
        }
        Some(seen)
    }

    /// What is to be told of a presentity has changed. True if those who watch it are to be told now; else they are told when the
    /// interval is over.
    pub(crate) fn changed(&mut self, ctx: &mut Ctx<'_>, config: &PresenceConfig, aor: &str) -> bool {
        // Nobody has been told anything yet.
        let Some(key) = self.find(aor) else { return true };
        let Some(presentity) = self.presentities.get_mut(key) else { return true };
        let next = presentity.told + config.pacing;
        if ctx.now >= next || config.pacing.is_zero() {
            ctx.timers.disarm(core::mem::take(&mut presentity.paced));
            presentity.told = ctx.now;
            return true;
        }
        if presentity.paced.is_none() {
            presentity.paced = ctx.timers.arm(next, Timer::Paced(key.to_bits()));
        }
        false
    }

    /// The interval of a presentity is over: the name of the one whose watchers are to be told.
    pub(crate) fn on_paced(&mut self, ctx: &mut Ctx<'_>, bits: u64) -> Option<Box<str>> {
        let presentity = self.presentities.get_mut(PresentityKey::from_bits(bits))?;
        presentity.paced = TimerKey::NONE;
        presentity.told = ctx.now;
        Some(presentity.aor.clone())
    }

    /// Forgets a presentity about which there is nothing to know: not published, not watched.
    pub(crate) fn tidy(&mut self, ctx: &mut Ctx<'_>, aor: &str, watched: bool) {
        let Some(key) = self.find(aor) else { return };
        if let Some(presentity) = self.presentities.get_mut(key).filter(|_| !watched) {
            presentity.partial = None;
        }
        let idle = |presentity: &Presentity| presentity.publications.is_empty() && !watched;
        if self.presentities.get(key).is_some_and(idle)
            && let Some(presentity) = self.presentities.remove(key)
        {
            ctx.timers.disarm(presentity.paced);
            self.by_aor.remove(self.hash.hash(aor.as_bytes()), |other| other == key);
        }
    }

    /// The document for those who may see it. `registered` is asked for the bindings only if the document has to be made
    /// anew.
    pub(crate) fn document(&mut self, aor: &str, registered: impl FnOnce() -> Vec<Phone>) -> Bytes {
        let key = self.find_or_add(aor);
        let valid = self.presentities.get(key).filter(|presentity| !presentity.outdated);
        if let Some(body) = valid.and_then(|presentity| presentity.body.clone()) {
            return body;
        }
        let body = Bytes::from(self.compose(aor, &registered()).document.print());
        if let Some(presentity) = self.presentities.get_mut(key) {
            presentity.body = Some(body.clone());
            presentity.outdated = false;
        }
        body
    }

    /// What somebody gets who may know nothing: the same as of a presentity about which nothing is known.
    pub(crate) fn neutral(&mut self, aor: &str) -> Bytes {
        let key = self.find(aor);
        let made =
            key.and_then(|key| self.presentities.get(key)).and_then(|presentity| presentity.neutral.clone());
        if let Some(body) = made {
            return body;
        }
        let body = self.compose_neutral(aor);
        if let Some(presentity) = key.and_then(|key| self.presentities.get_mut(key)) {
            presentity.neutral = Some(body.clone());
        }
        body
    }

    fn compose_neutral(&self, aor: &str) -> Bytes {
        let inputs = Inputs {
            entity: &entity(aor),
            publications: &[],
            registrations: &[],
            in_call: None,
            ids: &self.ids,
        };
        Bytes::from(ByRule::default().compose(&inputs).document.print())
    }

    fn publications_of(&self, aor: &str) -> impl Iterator<Item = &Publication> {
        let presentity = self.find(aor).and_then(|key| self.presentities.get(key));
        let keys = presentity.map_or(&[][..], |presentity| &presentity.publications);
        keys.iter().filter_map(|key| self.publications.get(*key))
    }

    fn compose(&self, aor: &str, registered: &[Phone]) -> crate::documents::compose::Composed {
        let publications: Vec<_> = self
            .publications_of(aor)
            .filter(|publication| !publication.hidden)
            .map(|publication| crate::documents::compose::Publication {
                lineage: publication.lineage,
                received: publication.received,
                document: &publication.document,
                binding: publication.tie.binding(),
            })
            .collect();
        let shown = entity(aor);
        let registrations: Vec<_> = registered
            .iter()
            .map(|r| Registration {
                lineage: r.lineage,
                contact: &r.contact,
                shown: &shown,
                instance: &r.instance,
                q: r.q,
                since: r.since,
                reachable: r.reachable,
            })
            .collect();
        let inputs = Inputs {
            entity: &shown,
            publications: &publications,
            registrations: &registrations,
            in_call: self.on_phone.get(aor).copied(),
            ids: &self.ids,
        };
        ByRule::default().compose(&inputs)
    }

    /// A document that says this state, for a publication by the host.
    pub(crate) fn document_of(aor: &str, state: PresenceState, note: &str) -> Pidf {
        Pidf::of_state(&entity(aor), None, state, note)
    }
}

/// The URI watchers know a presentity by.
fn entity(aor: &str) -> String {
    format!("sip:{aor}")
}
