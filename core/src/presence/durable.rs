//! Publications and decisions as the store keeps them: saved, restored, and taken back when they could not be saved
//! (DECISIONS 19 and 31).
//!
//! A publication is saved with each PUBLISH, under its newest entity tag, so that a phone may refresh it in the next
//! life. What it was before is remembered until the host has confirmed the save; the log is bounded, and what falls out
//! of it counts as durable.

use core::net::SocketAddr;
use std::collections::VecDeque;

use super::publish::{HOST, Publication, PublicationKey};
use super::tie::Tie;
use super::{Presence, PresentityKey};
use crate::base::{Time, TimerKey};
use crate::config::PresenceConfig;
use crate::ctx::{Ctx, Timer};
use crate::documents::Bounds;
use crate::documents::pidf::Pidf;
use crate::door::{Change, SaveSeq, StoredPublication, StoredTie};

/// Saves remembered at most.
const LIMIT: usize = 16_384;
/// Room for so many is kept when there are none.
const USUAL: usize = 64;

/// What to take back should a save fail.
#[derive(Clone, Debug, Default)]
pub(super) struct Undo {
    log: VecDeque<Entry>,
    /// A change that has no number yet.
    open: Option<Entry>,
    /// The newest save that is durable.
    durable: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    seq: u64,
    aor: Box<str>,
    lineage: u64,
    /// `None` if there was none.
    before: Option<Box<Publication>>,
}

/// Whether a change can be taken back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Recall {
    /// Somebody waits for the answer: it fails with the save.
    Possible,
    /// Whatever becomes of the save, it stays.
    Never,
}

impl Presence {
    /// Remembers a publication before its change.
    pub(super) fn note(
        &mut self,
        ctx: &Ctx<'_>,
        presentity: PresentityKey,
        lineage: u64,
        before: Option<&Publication>,
    ) {
        if !ctx.settings.tell.changes {
            return;
        }
        let Some(presentity) = self.presentities.get(presentity) else { return };
        let before = before.filter(|_| !ctx.settings.tell.behind);
        let (aor, before) = (presentity.aor.clone(), before.cloned().map(Box::new));
        self.undo.open = Some(Entry { seq: 0, aor, lineage, before });
    }

    /// Saves the change that was made last; the number of the save.
    pub(crate) fn save(&mut self, ctx: &mut Ctx<'_>, recall: Recall) -> Option<SaveSeq> {
        let mut entry = self.undo.open.take()?;
        let publication = self.publications_of(&entry.aor).find(|p| p.lineage == entry.lineage);
        let change = match publication {
            Some(publication) => Change::PutPublication(Box::new(stored(ctx, &entry.aor, publication))),
            None => Change::RemovePublication { aor: entry.aor.clone(), lineage: entry.lineage },
        };
        let seq = ctx.out.save(change);
        if recall == Recall::Possible && !ctx.settings.tell.behind {
            if let Some(presentity) = self.find(&entry.aor).and_then(|key| self.presentities.get_mut(key)) {
                presentity.saved = Some(seq);
            }
            if self.undo.log.len() == LIMIT {
                self.undo.log.pop_front();
            }
            entry.seq = seq.0;
            self.undo.log.push_back(entry);
        }
        Some(seq)
    }

    /// The save a document about this presentity stands on, while it is not durable.
    pub(crate) fn unsaved(&self, aor: &str) -> Option<SaveSeq> {
        let presentity = self.find(aor).and_then(|key| self.presentities.get(key))?;
        presentity.saved.filter(|seq| seq.0 > self.undo.durable)
    }

    /// The newest save that is not durable: what a document about many stands on.
    pub(crate) fn newest_unsaved(&self) -> Option<SaveSeq> {
        self.undo.log.back().map(|entry| SaveSeq(entry.seq))
    }

    /// The change of that number, and all before it, are durable.
    pub(crate) fn on_saved(&mut self, seq: SaveSeq) {
        self.undo.durable = self.undo.durable.max(seq.0);
        let log = &mut self.undo.log;
        while log.front().is_some_and(|entry| entry.seq <= seq.0) {
            log.pop_front();
        }
        if log.is_empty() && log.capacity() > USUAL {
            self.undo.log = VecDeque::new();
        }
    }

    /// The change of that number could not be made durable: it is taken back. The presentity it was about.
    pub(crate) fn on_save_failed(&mut self, ctx: &mut Ctx<'_>, seq: SaveSeq) -> Option<Box<str>> {
        let at = self.undo.log.iter().position(|entry| entry.seq == seq.0)?;
        let Entry { aor, lineage, before, .. } = self.undo.log.remove(at)?;
        if let Some(presentity) = self.find(&aor).and_then(|key| self.presentities.get_mut(key))
            && presentity.saved == Some(seq)
        {
            presentity.saved = None;
        }
        // A later change of it is whole by itself, and stands or falls by its own save.
        if let Some(later) = self.undo.log.iter_mut().find(|entry| entry.lineage == lineage) {
            later.before = before;
            return Some(aor);
        }
        let present = self.key_of(&aor, lineage);
        if let Some(key) = present {
            self.close_quietly(ctx, key);
        }
        if let Some(before) = before.filter(|before| before.expires_at > ctx.now) {
            self.put(ctx, &aor, *before);
        }
        Some(aor)
    }

    fn key_of(&self, aor: &str, lineage: u64) -> Option<PublicationKey> {
        let presentity = self.presentities.get(self.find(aor)?)?;
        let is_it =
            |key: &&PublicationKey| self.publications.get(**key).is_some_and(|p| p.lineage == lineage);
        presentity.publications.iter().find(is_it).copied()
    }

    fn put(&mut self, ctx: &mut Ctx<'_>, aor: &str, mut publication: Publication) -> PublicationKey {
        let presentity = self.find_or_add(aor);
        publication.presentity = presentity;
        (publication.timer, publication.grace) = (TimerKey::NONE, TimerKey::NONE);
        let expires_at = publication.expires_at;
        let key = self.publications.insert(publication);
        if let Some(presentity) = self.presentities.get_mut(presentity) {
            presentity.publications.push(key);
        }
        let timer = ctx.timers.arm(expires_at, Timer::Publication(key.to_bits()));
        if let Some(publication) = self.publications.get_mut(key) {
            publication.timer = timer;
        }
        key
    }

    /// Takes over a publication of an earlier life. It has the grace to find its phone again.
    pub(crate) fn restore(&mut self, ctx: &mut Ctx<'_>, config: &PresenceConfig, stored: StoredPublication) {
        let StoredPublication { aor, lineage, etag, received, expires_at, source, tie, document } = stored;
        let expires_at = ctx.at_wall(expires_at);
        if let Some(key) = self.key_of(&aor, lineage) {
            self.close_quietly(ctx, key);
        }
        let document = Pidf::parse(document.as_bytes(), &Bounds::default()).ok();
        let Some(document) = document.filter(|_| expires_at > ctx.now) else {
            if ctx.settings.tell.changes {
                ctx.out.save(Change::RemovePublication { aor, lineage });
            }
            return;
        };
        if self.publications.len() >= ctx.settings.limits.publications {
            return;
        }
        let publication = Publication {
            presentity: PresentityKey::from_bits(0),
            etag,
            lineage,
            received,
            document,
            source: source.unwrap_or(HOST),
            expires_at,
            timer: TimerKey::NONE,
            tie: match tie {
                StoredTie::Free => Tie::Free,
                StoredTie::Binding(id) => Tie::Binding(id),
                StoredTie::Any => Tie::Any,
            },
            hidden: false,
            grace: TimerKey::NONE,
        };
        let free = publication.tie == Tie::Free;
        let key = self.put(ctx, &aor, publication);
        if !free && let Some(publication) = self.publications.get_mut(key) {
            let deadline = ctx.now + config.offline_grace;
            publication.grace = ctx.timers.arm(deadline, Timer::PublicationGrace(key.to_bits()));
        }
    }

    /// Forgets a publication that the store no longer has.
    pub(crate) fn restore_removal(&mut self, ctx: &mut Ctx<'_>, aor: &str, lineage: u64) {
        if let Some(key) = self.key_of(aor, lineage) {
            self.close_quietly(ctx, key);
        }
    }
}

fn stored(ctx: &Ctx<'_>, aor: &str, publication: &Publication) -> StoredPublication {
    let source: Option<SocketAddr> = Some(publication.source).filter(|source| *source != HOST);
    let received: Time = publication.received;
    StoredPublication {
        aor: aor.into(),
        lineage: publication.lineage,
        etag: publication.etag,
        received,
        expires_at: ctx.to_wall(publication.expires_at),
        source,
        tie: match publication.tie {
            Tie::Free => StoredTie::Free,
            Tie::Binding(lineage) => StoredTie::Binding(lineage),
            Tie::Any => StoredTie::Any,
        },
        document: publication.document.print().into(),
    }
}
