//! What the host hears of presence: who changed, who watches. Nothing is composed or kept for it while nobody listens.

use super::Engine;
use crate::door::{Event, PresenceCause, PresenceChange};
use crate::presence::Seen;

/// What is to be told when an input has been served.
#[derive(Clone, Debug, Default)]
pub(super) struct News {
    /// The host listens.
    listening: bool,
    /// Number of the last change of any presentity.
    pub(super) version: u64,
    /// Who changed, and by what, in the order of the changes.
    changed: Vec<Changed>,
}

#[derive(Clone, Debug)]
struct Changed {
    aor: Box<str>,
    cause: PresenceCause,
    /// What it became, if it was composed.
    seen: Option<Seen>,
}

impl Engine {
    /// True if somebody wants to hear.
    pub(super) fn is_heard(&self) -> bool {
        self.rooms.news.listening || self.house.settings.tell.presence
    }

    /// The host begins to listen, or ends.
    pub(super) fn listen(&mut self, presence: bool) {
        self.rooms.news.listening = presence;
        self.rooms.events.listen(self.is_heard());
    }

    /// What a presentity is may have changed.
    pub(super) fn note_change(&mut self, aor: &str, cause: PresenceCause, seen: Option<Seen>) {
        self.rooms.news.version += 1;
        if !self.is_heard() {
            return;
        }
        let changed = &mut self.rooms.news.changed;
        match changed.iter_mut().find(|known| *known.aor == *aor) {
            Some(known) => *known = Changed { aor: aor.into(), cause, seen: seen.or(known.seen.take()) },
            None => changed.push(Changed { aor: aor.into(), cause, seen }),
        }
    }

    /// True if something is to be told.
    pub(super) fn has_news(&self) -> bool {
        !self.rooms.news.changed.is_empty() || self.rooms.events.has_news()
    }

    /// The changes since the last call that can be seen, ready to be told.
    pub(super) fn take_changes(&mut self) -> Vec<Event> {
        let changed = core::mem::take(&mut self.rooms.news.changed);
        let version = self.rooms.news.version;
        let ctx = self.house.ctx();
        let (presence, registrar) = (&mut self.rooms.presence, &self.rooms.registrar);
        let seen = |Changed { aor, cause, seen }: Changed| {
            let newest = match presence.is_composed(&aor) {
                true => None,
                false => presence.compose_anew(&aor, &registrar.phones(&ctx, &aor)),
            };
            let Seen(state, note) = newest.or(seen)?;
            Some(Event::Presence(Box::new(PresenceChange { aor, state, note, version, cause })))
        };
        changed.into_iter().filter_map(seen).collect()
    }

    /// Tells what is new: after everything that was sent because of it.
    pub(super) fn tell_news(&mut self, changes: Vec<Event>) {
        let steps = self.rooms.events.take_news().into_iter().map(|step| Event::Subscription(Box::new(step)));
        changes.into_iter().chain(steps).for_each(|event| self.house.out.tell(event));
    }
}
