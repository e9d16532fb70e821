//! Where lists meet their neighbours: what of a list is due to whom, and what a new configuration does to those who watch
//! one. RFC 4662.

use super::{Engine, Rooms};
use crate::config::{List, Settings};
use crate::ctx::Refusal;
use crate::documents::pidf::Pidf;
use crate::documents::xml::Bounds;
use crate::door::{Buddy, BuddyList, Identity, PresenceRefusal, ReplyBody, Scheme};
use crate::events::{Body, Due, End, Form, Package, Progress, Standing};
use crate::presence::{ListBody, Telling, Told};
use crate::wire::Message;

/// Largest body of what cannot be told in several: a fetch.
const AT_ONCE: usize = 48_000;

impl Engine {
    /// In which form a subscriber is told, and as whom he subscribes; his standing, if the address is that of a list. Where
    /// it is not for him, he is told what is told of an address about which nothing is known (DECISIONS 4).
    pub(super) fn form_of<'w>(
        &self,
        package: Package,
        resource: &str,
        (watcher, who): (&'w str, &'w Identity),
        msg: Message<'_>,
    ) -> Result<(Form, &'w str, Option<Standing>), Refusal> {
        let list = self.house.settings.lists.get(resource).filter(|_| package == Package::Presence);
        let subscriber = list.and_then(|list| list.subscriber(watcher, who));
        let form = Form::of(package, subscriber.is_some(), msg)?;
        let standing = match (list, subscriber) {
            (Some(_), Some(_)) => Some(Standing::Active),
            (Some(_), None) => Some(Standing::Blocked),
            (None, _) => None,
        };
        Ok((form, subscriber.unwrap_or(watcher), standing))
    }

    /// Does somebody watch a presentity, by itself or in a list?
    pub(super) fn is_watched(&self, aor: &str) -> bool {
        let events = &self.rooms.events;
        let lists = &self.house.settings.lists;
        events.is_watched(Package::Presence, aor)
            || lists.of(aor).any(|(list, _)| events.is_list_watched(&list.aor))
    }

    /// A presentity changed and may be told: whoever watches it in a list is due.
    pub(super) fn tell_lists(&mut self, aor: &str) {
        let settings = self.house.settings.clone();
        let mut ctx = self.house.ctx();
        for (list, member) in settings.lists.of(aor) {
            if self.rooms.events.is_list_watched(&list.aor) {
                self.rooms.presence.list_changed(list, member);
                self.rooms.events.changed(&mut ctx, Package::Presence, &list.aor);
            }
        }
    }

    /// Nobody watches this address any more: if it is a list, nobody watches its members by it.
    pub(super) fn list_unwatched(&mut self, aor: &str) {
        let settings = self.house.settings.clone();
        if let Some(list) = settings.lists.get(aor) {
            self.rooms.presence.forget_list(aor);
            self.tidy_members(list);
        }
    }

    fn tidy_members(&mut self, list: &List) {
        for member in &list.members {
            let watched = self.is_watched(member);
            let mut ctx = self.house.ctx();
            self.rooms.presence.tidy(&mut ctx, member, watched);
        }
    }

    /// It was decided whether a watcher may see a member of lists: those he watches are told anew.
    pub(super) fn decided_in_lists(&mut self, aor: &str, watcher: &str) {
        let settings = self.house.settings.clone();
        let mut ctx = self.house.ctx();
        for (list, _) in settings.lists.of(aor) {
            if self.rooms.events.renew_list(&mut ctx, &list.aor, Some(watcher)) {
                self.rooms.events.changed(&mut ctx, Package::Winfo, aor);
            }
        }
    }

    /// What is due to a watcher of a list.
    pub(super) fn notify_list(&mut self, due: &Due) {
        let settings = self.house.settings.clone();
        let mut ctx = self.house.ctx();
        let Rooms { events, presence, registrar, txn, .. } = &mut self.rooms;
        let resource: Box<str> = events.resource(due.key).into();
        let list = settings.lists.get(&resource);
        if due.progress.whole && !due.last && due.version > 0 {
            // The configuration may be another one than before a restart.
            events.end_list(&mut ctx, &resource, |watcher| ends(&settings, list, watcher));
            if events.is_ending(due.key) {
                return;
            }
        }
        // Who leaves needs no state; who fetches has nothing else.
        let list = list.filter(|_| !due.last || due.version == 0);
        let Some(list) = list else { return events.notify(&mut ctx, txn, registrar, due, None) };
        let watcher: Box<str> = events.watcher(due.key).into();
        let Progress { form, whole, members, changes } = due.progress;
        let telling = Telling {
            watcher: &watcher,
            told: Told { changes, members },
            whole,
            version: due.version,
            limit: if due.last { AT_ONCE } else { settings.limits.list_notify_bytes },
        };
        let progress =
            |told: Told| Progress { form, whole: false, members: told.members, changes: told.changes };
        match presence.list_body(&settings, list, &telling, |member| registrar.phones(&ctx, member)) {
            Err(told) => events.skip(due.key, progress(told)),
            Ok(ListBody { content_type, body, told, more }) => {
                let after = presence.newest_unsaved();
                let body = Body { kind: &content_type, bytes: &body, progress: progress(told), more, after };
                events.notify(&mut ctx, txn, registrar, due, Some(body));
            }
        }
    }

    /// A new configuration: who watches a list that is no more, or no more for him, is told so; who watches one with
    /// other members gets it anew.
    pub(super) fn lists_changed(&mut self, old: &Settings) {
        let settings = self.house.settings.clone();
        let rules = old.presence != settings.presence;
        for list in old.lists.all() {
            if !self.rooms.events.is_list_watched(&list.aor) {
                continue;
            }
            let new = settings.lists.get(&list.aor);
            let mut ctx = self.house.ctx();
            self.rooms.events.end_list(&mut ctx, &list.aor, |watcher| ends(&settings, new, watcher));
            if rules || new.is_none_or(|new| new != list) {
                self.rooms.presence.forget_list(&list.aor);
                let mut ctx = self.house.ctx();
                self.rooms.events.renew_list(&mut ctx, &list.aor, None);
            }
            self.tidy_members(list);
        }
    }

    /// A list as somebody sees it, for the host.
    pub(super) fn view_list(&mut self, watcher: &str, list: Option<&str>) -> ReplyBody {
        match self.look_at_list(watcher, list) {
            Ok(list) => ReplyBody::BuddyList(Box::new(list)),
            Err(refusal) => ReplyBody::NoPresence(refusal),
        }
    }

    fn look_at_list(&mut self, watcher: &str, list: Option<&str>) -> Result<BuddyList, PresenceRefusal> {
        let settings = self.house.settings.clone();
        if settings.presence.is_none() {
            return Err(PresenceRefusal::Off);
        }
        let watcher = self.canonical(watcher).ok_or(PresenceRefusal::NotOurs)?;
        let who = known(&settings, &watcher);
        let wanted = list.map(|list| self.canonical(list).ok_or(PresenceRefusal::NotOurs)).transpose()?;
        let fits = |list: &&List| match &wanted {
            Some(wanted) => list.aor == *wanted,
            None => list.automatic,
        };
        let list = settings.lists.all().iter().filter(fits).find(|list| list.is_for(&watcher, &who));
        let list = list.ok_or(PresenceRefusal::NoList)?;
        let watched = self.rooms.events.is_list_watched(&list.aor);
        let ctx = self.house.ctx();
        let Rooms { presence, registrar, .. } = &mut self.rooms;
        let told = Told::default();
        let telling = Telling { watcher: &watcher, told, whole: true, version: 0, limit: usize::MAX };
        let body = presence.list_body(&settings, list, &telling, |member| registrar.phones(&ctx, member));
        let Ok(ListBody { content_type, body, .. }) = body else { return Err(PresenceRefusal::NoList) };
        let buddies = presence.members(&settings, list, &watcher).into_iter().map(|(member, standing)| {
            let document = match standing {
                Standing::Active => Some(presence.document(member, || registrar.phones(&ctx, member))),
                Standing::Blocked => Some(presence.neutral(member)),
                Standing::Pending => None,
            };
            let document = document.and_then(|bytes| Pidf::parse(&bytes, &Bounds::ours()).ok());
            let note = document.as_ref().and_then(|document| document.note().map(|note| note.text.clone()));
            Buddy { aor: member.into(), state: document.map(|document| document.state()), note }
        });
        let buddies = buddies.collect();
        if !watched {
            self.rooms.presence.forget_list(&list.aor);
        }
        self.tidy_members(list);
        Ok(BuddyList { aor: list.aor.clone(), name: list.name.clone(), buddies, content_type, body })
    }
}

/// Why a subscription to a list ends, if it does.
fn ends(settings: &Settings, list: Option<&List>, watcher: &str) -> Option<End> {
    match list {
        None => Some(End::NoResource),
        Some(list) => (!list.is_for(watcher, &known(settings, watcher))).then_some(End::Deactivated),
    }
}

/// Who somebody is as far as the accounts know.
pub(super) fn known(settings: &Settings, aor: &str) -> Identity {
    let account = settings.accounts.by_aor(aor);
    let aors = account.map_or_else(|| vec![aor.into()], |account| account.identity.aors.clone());
    Identity {
        scheme: Scheme::Digest,
        account: aor.into(),
        aors,
        scopes: Vec::new(),
        foreign_contacts: false,
    }
}
