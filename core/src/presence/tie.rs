//! What ties a publication to the phone it speaks for, so that it does not outlive the phone (DECISIONS 11 and 29).
//!
//! | a publication | is tied to |
//! |---|---|
//! | sent from where a binding registered from, or naming its instance as a device, or its contact or GRUU | that binding |
//! | of a presentity with bindings, none of which it names | all of them together |
//! | of a presentity without bindings | nothing: it lives as long as it is refreshed |
//! | of the host | nothing |
//!
//! It is decided anew with each PUBLISH, and a binding that comes later may still claim what is its own. A publication
//! whose bindings have ended says nothing any more after the grace
//! ([`offline_grace`](crate::config::PresenceConfig::offline_grace)); one whose bindings cannot be reached, whose grace
//! is over already, says nothing at once. It is kept until its own end: when the phone registers or publishes again it
//! speaks again, under the same entity tag and without another word.

use super::publish::{HOST, Publication, PublicationKey};
use super::{Presence, entity};
use crate::base::TimerKey;
use crate::config::PresenceConfig;
use crate::ctx::{Ctx, Phone, Timer};
use crate::documents::compose;

/// What a publication lives with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tie {
    /// Nothing.
    Free,
    /// The binding of this lineage.
    Binding(u64),
    /// All bindings of the presentity.
    Any,
}

impl Tie {
    fn of(publication: &Publication, aor: &str, phones: &[Phone]) -> Tie {
        if publication.source == HOST {
            return Tie::Free;
        }
        let mut live = phones.iter().filter(|phone| phone.reachable).peekable();
        match (live.peek().is_some(), own(publication, aor, phones)) {
            (_, Some(lineage)) => Tie::Binding(lineage),
            (true, None) => Tie::Any,
            (false, None) => Tie::Free,
        }
    }

    /// The binding it speaks for, if it is a certain one.
    pub(super) fn binding(self) -> Option<u64> {
        match self {
            Tie::Binding(lineage) => Some(lineage),
            Tie::Free | Tie::Any => None,
        }
    }

    fn covers(self, phone: &Phone) -> bool {
        match self {
            Tie::Free => false,
            Tie::Binding(lineage) => phone.lineage == lineage,
            Tie::Any => true,
        }
    }
}

/// The binding that can be reached and is a publication's own.
fn own(publication: &Publication, aor: &str, phones: &[Phone]) -> Option<u64> {
    let same_source = |phone: &&Phone| phone.source == publication.source;
    let named =
        |phone: &&Phone| compose::names(&publication.document, &phone.contact, &entity(aor), &phone.instance);
    let live = || phones.iter().filter(|phone| phone.reachable);
    live().find(same_source).or_else(|| live().find(named)).map(|phone| phone.lineage)
}

impl Presence {
    /// A publication was heard of, under this newest entity tag: it speaks, whatever became of its phone before. True if
    /// that changed what the presentity is.
    pub(crate) fn tie(&mut self, ctx: &mut Ctx<'_>, aor: &str, etag: &[u8], phones: &[Phone]) -> bool {
        let Some(publication) = self.with_etag(aor, etag).and_then(|key| self.publications.get_mut(key))
        else {
            return false;
        };
        ctx.timers.disarm(core::mem::take(&mut publication.grace));
        let before = (publication.tie.binding(), core::mem::take(&mut publication.hidden));
        publication.tie = Tie::of(publication, aor, phones);
        before != (publication.tie.binding(), false)
    }

    /// The bindings of a presentity changed.
    pub(crate) fn on_bindings(
        &mut self,
        ctx: &mut Ctx<'_>,
        config: &PresenceConfig,
        aor: &str,
        phones: &[Phone],
    ) {
        let Some(presentity) = self.find(aor).and_then(|key| self.presentities.get(key)) else { return };
        for key in &presentity.publications {
            let Some(publication) = self.publications.get_mut(*key) else { continue };
            let mut covered = phones.iter().filter(|phone| publication.tie.covers(phone)).peekable();
            let gone = covered.peek().is_none();
            let mut alive = publication.tie == Tie::Free || covered.any(|phone| phone.reachable);
            // One that it knows better than those it is tied to.
            let certain = alive && publication.tie.binding().is_some();
            if let Some(lineage) =
                own(publication, aor, phones).filter(|_| !certain && publication.source != HOST)
            {
                publication.tie = Tie::Binding(lineage);
                alive = true;
            }
            if alive {
                ctx.timers.disarm(core::mem::take(&mut publication.grace));
            } else if gone && !config.offline_grace.is_zero() && !publication.hidden {
                if publication.grace.is_none() {
                    let deadline = ctx.now + config.offline_grace;
                    publication.grace = ctx.timers.arm(deadline, Timer::PublicationGrace(key.to_bits()));
                }
                continue;
            }
            publication.hidden = !alive && !config.publications_outlive_bindings;
        }
    }

    /// The presentity of a publication whose grace is over.
    pub(crate) fn in_grace(&self, bits: u64) -> Option<Box<str>> {
        let publication = self.publications.get(PublicationKey::from_bits(bits))?;
        Some(self.presentities.get(publication.presentity)?.aor.clone())
    }

    /// The bindings of a publication have ended. True if none came back in time.
    pub(crate) fn on_grace(
        &mut self,
        config: &PresenceConfig,
        aor: &str,
        bits: u64,
        phones: &[Phone],
    ) -> bool {
        let key = PublicationKey::from_bits(bits);
        let Some(publication) = self.publications.get_mut(key) else { return false };
        publication.grace = TimerKey::NONE;
        if let Some(lineage) = own(publication, aor, phones) {
            publication.tie = Tie::Binding(lineage);
        }
        let alive = phones.iter().any(|phone| phone.reachable && publication.tie.covers(phone));
        publication.hidden = !alive && !config.publications_outlive_bindings;
        publication.hidden
    }
}
