//! Partial notification (RFC 5263): the whole document first, then what has changed, as `application/pidf-diff+xml`.
//!
//! Both are printed once for each version of a presentity, with a gap for the number that counts in each subscription. Who
//! missed a version is told the whole document, and so is everybody where a diff would not be shorter.

use bytes::Bytes;

use super::Presence;
use crate::ctx::Phone;
use crate::documents::Bounds;
use crate::documents::diff;
use crate::documents::pidf::Pidf;
use crate::documents::xml::Versioned;
use crate::events::Standing;

/// The newest document in the forms of RFC 5262. Kept while the presentity is watched, once somebody wanted it.
#[derive(Clone, Debug)]
pub(super) struct Partial {
    /// What it was made of.
    body: Bytes,
    document: Pidf,
    /// Counts the documents of the presentity.
    version: u64,
    full: Versioned,
    /// What turns the one before into this one.
    changes: Option<Versioned>,
}

impl Partial {
    /// After the one before. `None` never happens: what we printed we can read.
    fn after(before: Option<&Partial>, body: Bytes) -> Option<Partial> {
        let document = Pidf::parse(&body, &Bounds::ours()).ok()?;
        let changes = before.and_then(|before| diff::changes(&before.document, &document));
        let version = before.map_or(1, |before| before.version + 1);
        Some(Partial { full: diff::full(&document), body, document, version, changes })
    }
}

impl Presence {
    /// The next body of a subscription that was told the version `told`, with this number of its own; and the version it
    /// has been told then. `None` if there is nothing new; never if it is to be `whole`.
    pub(crate) fn partial(
        &mut self,
        aor: &str,
        standing: Standing,
        (told, whole): (u64, bool),
        number: u32,
        registered: impl FnOnce() -> Vec<Phone>,
    ) -> Option<(String, u64)> {
        if standing != Standing::Active {
            return Some((Partial::after(None, self.neutral(aor))?.full.body(number), 0));
        }
        let body = self.document(aor, registered);
        let key = self.find_or_add(aor);
        let partial = &mut self.presentities.get_mut(key)?.partial;
        if partial.as_ref().is_none_or(|partial| partial.body != body) {
            let newest = Partial::after(partial.as_deref(), body)?;
            *partial = Some(Box::new(newest));
        }
        let partial = partial.as_deref()?;
        let printed = match &partial.changes {
            _ if !whole && told == partial.version => return None,
            Some(changes) if !whole && told + 1 == partial.version => changes,
            _ => &partial.full,
        };
        Some((printed.body(number), partial.version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Ids;
    use crate::config::Config;
    use crate::ctx::fixture::Fixture;
    use crate::documents::diff::{Applied, Replica};
    use crate::documents::pidf::PresenceState;

    const BOB: &str = "bob@example.com";

    struct Watcher {
        told: u64,
        number: u32,
        copy: Replica,
    }

    impl Watcher {
        fn hear(&mut self, room: &mut Presence, whole: bool) -> Option<Applied> {
            let number = self.number + 1;
            let told = (self.told, whole);
            let (body, told) = room.partial(BOB, Standing::Active, told, number, Vec::new)?;
            (self.told, self.number) = (told, number);
            let applied = self.copy.apply(body.as_bytes(), &Bounds::ours()).expect("a good body");
            let held = self.copy.document().map(Pidf::print).unwrap_or_default();
            assert_eq!(held.as_bytes(), room.document(BOB, Vec::new), "the copy is the document");
            Some(applied)
        }
    }

    fn says(room: &mut Presence, fixture: &mut Fixture, state: PresenceState, note: &str) {
        let mut document = Presence::document_of(BOB, state, note);
        // Something that stays, so that a diff is worth its while.
        document.notes = vec![crate::documents::pidf::Note::new(&"here to stay ".repeat(40))];
        room.publish_own(&mut fixture.ctx(), BOB, Some(document), 600).expect("room");
        room.outdate(BOB);
    }

    #[test]
    fn who_missed_nothing_is_told_the_changes_and_everybody_else_the_whole() {
        let mut config = Config::new("example.com");
        config.presence = Some(crate::config::PresenceConfig::default());
        let mut fixture = Fixture::with(config);
        let mut room = Presence::new(&Ids::new(&[1; 32]));
        let watcher = || Watcher { told: 0, number: 0, copy: Replica::default() };
        let (mut steady, mut absent) = (watcher(), watcher());
        says(&mut room, &mut fixture, PresenceState::Available, "one");
        assert_eq!(steady.hear(&mut room, true), Some(Applied::Full));
        assert_eq!(absent.hear(&mut room, true), Some(Applied::Full));
        assert_eq!(steady.hear(&mut room, false), None, "nothing is new");
        says(&mut room, &mut fixture, PresenceState::Available, "two");
        assert_eq!(steady.hear(&mut room, false), Some(Applied::Patched));
        says(&mut room, &mut fixture, PresenceState::Busy, "two");
        assert_eq!(steady.hear(&mut room, false), Some(Applied::Patched));
        assert_eq!(absent.hear(&mut room, false), Some(Applied::Full), "two versions at once");
        assert_eq!(steady.hear(&mut room, true), Some(Applied::Full), "as after a SUBSCRIBE");
        room.publish_own(&mut fixture.ctx(), BOB, None, 0).expect("it goes");
        room.outdate(BOB);
        assert_eq!(steady.hear(&mut room, false), Some(Applied::Full), "a diff would be longer");
        // Nobody watches: nothing is kept.
        room.tidy(&mut fixture.ctx(), BOB, false);
        assert_eq!(room.len(), 0);
    }

    #[test]
    fn who_may_see_nothing_is_shown_the_whole_of_nothing() {
        let mut room = Presence::new(&Ids::new(&[1; 32]));
        let (body, told) = room.partial(BOB, Standing::Blocked, (0, true), 1, Vec::new).expect("a body");
        let unknown = room.partial(BOB, Standing::Active, (0, true), 1, Vec::new).expect("a body");
        assert_eq!((&body, told), (&unknown.0, 0));
        assert!(body.contains("pidf-full") && body.contains("closed"), "{body}");
    }
}
