//! Where presence meets its neighbours: SUBSCRIBE and PUBLISH on their way in, NOTIFY on its way out, the registrar's
//! changes in between. RFC 6665, RFC 3903, RFC 3856.

use bytes::Bytes;

use super::dialogs::may_watch;
use super::dispatch::Pass;
use super::lists::known;
use super::mailboxes::{may_hear, may_say};
use super::{Engine, Rooms, tell};
use crate::auth::Allowed;
use crate::base::ids;
use crate::config::{AorBuf, Domains, PresenceConfig};
use crate::ctx::{Extra, Published, Refusal};
use crate::dialog::OwnAddress;
use crate::documents::diff;
use crate::door::{
    AuthVerdict, Change, Identity, OwnPresence, PresenceCause, PresenceRefusal, ReplyBody, Scheme,
};
use crate::events::{
    Body, DialogKey, Due, EVENTLIST, Events, Form, Found, Joining, Package, Party, Progress, Standing,
    SubscriptionKey, Wanted,
};
use crate::presence::{Presence, Recall, Seen};
use crate::registrar::with_uri;
use crate::txn::{ClientEvent, Usage};
use crate::wire::{Event, Header, Status};

/// Subscriptions judged anew in one call.
const JUDGED_PER_CALL: usize = 1_024;

impl Engine {
    /// A SUBSCRIBE that makes a subscription, or fetches; its sender was let in.
    pub(super) fn serve_subscribe(&mut self, pass: &Pass<'_>, allowed: &Allowed) {
        match self.subscribe(pass, &allowed.identity) {
            Ok(granted) => self.answer_subscribed(pass, granted, allowed.verdict),
            Err(refusal) => self.refuse_as(pass, &refusal, allowed.verdict),
        }
    }

    fn subscribe(&mut self, pass: &Pass<'_>, who: &Identity) -> Result<(u32, Form), Refusal> {
        let settings = self.house.settings.clone();
        let what = Package::of(&settings, pass.msg)?;
        self.refuse_if_draining()?;
        let mut aor = AorBuf::new();
        let resource = asked_for(&settings.domains, pass, &mut aor)?;
        let mut own = AorBuf::new();
        let watcher = watcher_of(&settings.domains, pass, who, &mut own);
        let (wanted, watcher) = self.wanted(pass, what, resource, (watcher, who))?;
        let mut ctx = self.house.ctx();
        let tag = ids::write(pass.id.tag());
        let trusted = matches!(who.scheme, Scheme::None | Scheme::Trusted);
        let party = Party { watcher, trusted, tag };
        self.rooms.events.subscribe(&mut ctx, &pass.origin, (pass.msg, pass.ess), &party, &wanted)?;
        Ok((wanted.granted, wanted.form))
    }

    /// What a new subscription may be told, in which form and for how long, and who subscribes.
    fn wanted<'w>(
        &mut self,
        pass: &Pass<'_>,
        (package, event): (Package, Event<'w>),
        resource: &'w str,
        (watcher, who): (&'w str, &'w Identity),
    ) -> Result<(Wanted<'w>, &'w str), Refusal> {
        let settings = self.house.settings.clone();
        let standing = match package {
            Package::Presence => {
                let config = settings.presence.as_ref().expect("invariant: the package is served");
                self.rooms.presence.standing(config, who, watcher, resource)
            }
            Package::Dialog => may_watch(&settings, &self.rooms.presence, (watcher, who), resource)?,
            // DECISIONS 1: these tell what is the owner's business alone, whoever he is (DECISIONS 4).
            _ if who.owns(resource) => Standing::Active,
            Package::MessageSummary if may_hear(&settings, watcher, resource) => Standing::Active,
            _ => return Err(Refusal::plain(Status::FORBIDDEN)),
        };
        let (form, watcher, of_list) = self.form_of(package, resource, (watcher, who), pass.msg)?;
        let standing = of_list.unwrap_or(standing);
        let granted = Events::grant(&self.house.ctx(), pass.msg)?;
        Ok((Wanted { package, event, resource, standing, granted, form }, watcher))
    }

    /// A SUBSCRIBE within a dialog: authorised by it, whatever its source (DECISIONS 2).
    pub(super) fn subscribe_in_dialog(&mut self, pass: &mut Pass<'_>) {
        // Nothing is kept of a request that names no dialog of ours: it proves nothing.
        let found = Package::of(&self.house.settings, pass.msg).and_then(|(package, event)| {
            let found = self.rooms.events.find(pass.ess, package, &event);
            Ok((package, event, found.ok_or(Refusal::plain(Status::NO_TRANSACTION))?))
        });
        let (package, event, found) = match found {
            Ok(found) => found,
            Err(refusal) => return self.refuse(pass, &refusal),
        };
        if !self.open(&mut pass.asker) {
            return;
        }
        let granted = match found {
            Found::Subscription(key) => self.refresh(pass, (package, event), key),
            Found::Dialog(key, joining) => self.join(pass, (package, event), key, &joining),
        };
        match granted {
            Ok(granted) => self.answer_subscribed(pass, granted, AuthVerdict::NotAsked),
            Err(refusal) => self.refuse(pass, &refusal),
        }
    }

    fn refresh(
        &mut self,
        pass: &Pass<'_>,
        (package, event): (Package, Event<'_>),
        key: SubscriptionKey,
    ) -> Result<(u32, Form), Refusal> {
        let mut ctx = self.house.ctx();
        let granted = Events::grant(&ctx, pass.msg)?;
        // What it names now, if it names anything.
        let form = pass.msg.header(Header::Accept).and_then(|_| Form::of(package, false, pass.msg).ok());
        let request = (pass.msg, pass.ess);
        self.rooms.events.refresh(&mut ctx, key, &pass.origin, request, (granted, form, &event))?;
        Ok((granted, self.rooms.events.form(key)))
    }

    /// RFC 6665 s4.5.2: one more subscription in a dialog, about the same resource and by the same watcher.
    fn join(
        &mut self,
        pass: &Pass<'_>,
        what: (Package, Event<'_>),
        key: DialogKey,
        joining: &Joining,
    ) -> Result<(u32, Form), Refusal> {
        self.refuse_if_draining()?;
        let Joining { resource, watcher, trusted } = joining;
        let mut who = known(&self.house.settings, watcher);
        if *trusted {
            who.scheme = Scheme::None;
        }
        let (wanted, _) = self.wanted(pass, what, resource, (watcher, &who))?;
        let mut ctx = self.house.ctx();
        self.rooms.events.join(&mut ctx, key, &pass.origin, (pass.msg, pass.ess), &wanted)?;
        Ok((wanted.granted, wanted.form))
    }

    /// DECISIONS 20.
    pub(super) fn refuse_if_draining(&self) -> Result<(), Refusal> {
        let after = Extra::RetryAfter(super::host::DRAIN_RETRY_AFTER);
        match self.rooms.draining {
            true => Err(Refusal::with(Status::SERVICE_UNAVAILABLE, after)),
            false => Ok(()),
        }
    }

    /// RFC 6665 s4.2.1.1: always 200, never 202; the NOTIFY follows it (DECISIONS 30).
    fn answer_subscribed(&mut self, pass: &Pass<'_>, (granted, form): (u32, Form), verdict: AuthVerdict) {
        self.respond(pass, Status::OK, |ctx, writer| {
            writer.record_route();
            OwnAddress::towards(ctx.settings, &pass.origin).write_contact(writer, &pass.origin);
            writer.number(Header::Expires, granted);
            if form == Form::List {
                writer.header(Header::Require, EVENTLIST.as_bytes());
            }
        });
        self.tell_outcome(pass, Status::OK, verdict);
    }

    /// A PUBLISH whose sender was let in.
    pub(super) fn serve_publish(&mut self, pass: &Pass<'_>, allowed: &Allowed) {
        let published = self.publish(pass, &allowed.identity);
        match published {
            Ok((package, aor, published)) => {
                // RFC 3903 s6: it is answered when it is done, and that may be when it is durable (DECISIONS 19).
                let mut ctx = self.house.ctx();
                let save = self.rooms.presence.save(&mut ctx, Recall::Possible);
                self.answer_published(pass, &published, save);
                self.tell_outcome(pass, Status::OK, allowed.verdict);
                match package {
                    _ if !published.changed => {}
                    Package::MessageSummary => self.mailbox_changed(&aor),
                    _ => self.presence_changed(&aor, PresenceCause::Published),
                }
            }
            Err(refusal) => self.refuse_as(pass, &refusal, allowed.verdict),
        }
    }

    fn publish(
        &mut self,
        pass: &Pass<'_>,
        who: &Identity,
    ) -> Result<(Package, Box<str>, Published), Refusal> {
        let settings = self.house.settings.clone();
        // RFC 3903 s6 step 1, then 2; between them who may (DECISIONS 1).
        let mut aor = AorBuf::new();
        let aor = asked_for(&settings.domains, pass, &mut aor)?;
        let package = Package::of(&settings, pass.msg).map(|(package, _)| package);
        let may = match package {
            Ok(Package::MessageSummary) => may_say(&settings, who, aor),
            _ => who.owns(aor),
        };
        if !may {
            return Err(Refusal::plain(Status::FORBIDDEN));
        }
        let package = package?;
        let mut ctx = self.house.ctx();
        let published = match (package, &settings.presence, &settings.message_summary) {
            (Package::Presence, Some(config), _) => {
                let presence = &mut self.rooms.presence;
                let mut published =
                    presence.publish(&mut ctx, config, &pass.origin, pass.msg, pass.ess, aor)?;
                let phones = self.rooms.registrar.phones(&ctx, aor);
                published.changed |= presence.tie(&mut ctx, aor, published.etag.as_bytes(), &phones);
                published
            }
            (Package::MessageSummary, _, Some(config)) => {
                self.rooms.mailboxes.publish(&mut ctx, config, pass.msg, aor)?
            }
            _ => return Err(Refusal::with(Status::BAD_EVENT, Extra::AllowEvents)),
        };
        Ok((package, aor.into(), published))
    }

    /// Something of a presentity changed: its watchers are due, now or when its interval is over.
    pub(super) fn presence_changed(&mut self, aor: &str, cause: PresenceCause) {
        self.rooms.presence.outdate(aor);
        self.tell_watchers(aor, cause, None);
    }

    /// The bindings of a publication are gone for too long.
    pub(super) fn on_publication_grace(&mut self, bits: u64) {
        let settings = self.house.settings.clone();
        let Some(config) = &settings.presence else { return };
        let Some(aor) = self.rooms.presence.in_grace(bits) else { return };
        let ctx = self.house.ctx();
        let phones = self.rooms.registrar.phones(&ctx, &aor);
        if self.rooms.presence.on_grace(config, &aor, bits, &phones) {
            self.presence_changed(&aor, PresenceCause::Registration);
        }
    }

    /// The bindings of an address of record changed: that is news if it can be seen.
    fn bindings_changed(&mut self, aor: &str) {
        let settings = self.house.settings.clone();
        let Some(config) = &settings.presence else { return };
        if !self.rooms.presence.knows(aor) {
            return self.presence_changed(aor, PresenceCause::Registration);
        }
        let mut ctx = self.house.ctx();
        let phones = self.rooms.registrar.phones(&ctx, aor);
        self.rooms.presence.on_bindings(&mut ctx, config, aor, &phones);
        if !self.rooms.presence.is_composed(aor) {
            return self.presence_changed(aor, PresenceCause::Registration);
        }
        let seen = self.rooms.presence.compose_anew(aor, &phones);
        if seen.is_some() {
            self.tell_watchers(aor, PresenceCause::Registration, seen);
        }
    }

    fn tell_watchers(&mut self, aor: &str, cause: PresenceCause, seen: Option<Seen>) {
        let settings = self.house.settings.clone();
        let Some(config) = &settings.presence else {
            // It was switched off: what is left goes as it ends.
            let watched = self.is_watched(aor);
            let mut ctx = self.house.ctx();
            return self.rooms.presence.tidy(&mut ctx, aor, watched);
        };
        self.note_change(aor, cause, seen);
        let mut ctx = self.house.ctx();
        if self.rooms.presence.changed(&mut ctx, config, aor) {
            self.rooms.events.changed(&mut ctx, Package::Presence, aor);
            self.tell_lists(aor);
        }
        let watched = self.is_watched(aor);
        let mut ctx = self.house.ctx();
        self.rooms.presence.tidy(&mut ctx, aor, watched);
    }

    /// The interval of a presentity is over.
    pub(super) fn on_paced(&mut self, bits: u64) {
        let mut ctx = self.house.ctx();
        if let Some(aor) = self.rooms.presence.on_paced(&mut ctx, bits) {
            self.rooms.events.changed(&mut ctx, Package::Presence, &aor);
            self.tell_lists(&aor);
        }
    }

    /// True if nobody publishes, watches or listens.
    pub(super) fn is_alone(&self) -> bool {
        self.rooms.presence.len() == 0 && self.rooms.events.len() == 0 && !self.is_heard()
    }

    /// What is left to do when an input has been served: the registrar's changes, then the NOTIFY requests that are due.
    pub(super) fn settle_presence(&mut self) {
        let touched = self.rooms.registrar.take_touched();
        if touched.is_empty() && self.rooms.events.is_settled() && !self.has_news() {
            return;
        }
        // Most phones register where nobody watches.
        let alone = self.is_alone();
        for aor in touched.into_iter().filter(|_| !alone) {
            self.bindings_changed(&aor);
            let mut ctx = self.house.ctx();
            self.rooms.events.changed(&mut ctx, Package::Reg, &aor);
        }
        self.judge_anew();
        let changes = self.take_changes();
        for _ in 0..self.house.settings.limits.notifies_per_call {
            // A NOTIFY may end a subscription, and that is news for whoever watches the watchers.
            self.settle_watchers();
            let mut ctx = self.house.ctx();
            let Some(due) = self.rooms.events.next_due(&mut ctx) else { break };
            self.notify(&due);
        }
        self.settle_watchers();
        let mut ctx = self.house.ctx();
        self.rooms.events.arm_pump(&mut ctx);
        for (package, aor) in self.rooms.events.take_unwatched() {
            if package == Package::Dialog {
                self.rooms.lines.forget(&aor);
            }
            if package == Package::Presence {
                let watched = self.is_watched(&aor);
                let mut ctx = self.house.ctx();
                self.rooms.presence.tidy(&mut ctx, &aor, watched);
                self.list_unwatched(&aor);
            }
        }
        self.tell_news(changes);
    }

    /// A new configuration: who may watch now what he watches, some at a time.
    fn judge_anew(&mut self) {
        let settings = self.house.settings.clone();
        for _ in 0..JUDGED_PER_CALL {
            let Some((key, package, joining)) = self.rooms.events.next_unjudged() else { break };
            let served = Package::served(&settings).any(|other| other == package);
            let Joining { resource, watcher, trusted } = &joining;
            let standing = match (&settings.presence, package) {
                _ if !served => None,
                (Some(_), Package::Presence) if settings.lists.get(resource).is_some() => continue,
                (Some(_), Package::Presence) | (_, Package::Dialog) => {
                    let mut who = known(&settings, watcher);
                    if *trusted {
                        who.scheme = Scheme::None;
                    }
                    may_watch(&settings, &self.rooms.presence, (watcher, &who), resource).ok()
                }
                _ => continue,
            };
            let mut ctx = self.house.ctx();
            self.rooms.events.judge(&mut ctx, key, standing);
        }
    }

    /// RFC 3857: who watches the watchers is due.
    fn settle_watchers(&mut self) {
        let lists = self.house.settings.clone();
        let mut ctx = self.house.ctx();
        for aor in self.rooms.events.take_rewatched() {
            let events = &mut self.rooms.events;
            events.changed(&mut ctx, Package::Winfo, &aor);
            for member in lists.lists.get(&aor).map_or(&[][..], |list| &list.members) {
                events.changed(&mut ctx, Package::Winfo, member);
            }
        }
    }

    fn notify(&mut self, due: &Due) {
        match (due.progress.form, due.standing) {
            (Form::List, _) => return self.notify_list(due),
            (Form::Diff, Standing::Active | Standing::Blocked) => return self.notify_changes(due),
            (_, Standing::Active | Standing::Blocked) if due.package == Package::Dialog => {
                return self.notify_dialogs(due);
            }
            _ => {}
        }
        let mut ctx = self.house.ctx();
        let Rooms { events, presence, registrar, mailboxes, txn, .. } = &mut self.rooms;
        let resource = events.resource(due.key);
        let document: Option<Bytes> = match (due.package, due.standing) {
            (Package::Presence, Standing::Active) => {
                Some(presence.document(resource, || registrar.phones(&ctx, resource)))
            }
            (Package::Presence, Standing::Blocked) => Some(presence.neutral(resource)),
            (Package::Winfo, Standing::Active) => {
                Some(tell::watchers(&ctx, events, presence, resource, due.version).into())
            }
            (Package::Reg, Standing::Active) => Some(
                tell::registrations(&registrar.phones(&ctx, resource), ctx.now, resource, due.version).into(),
            ),
            (Package::MessageSummary, Standing::Active) => {
                let config = ctx.settings.message_summary.as_ref();
                config.map(|config| mailboxes.document(config, resource).into())
            }
            (Package::Dialog, _) | (_, Standing::Pending | Standing::Blocked) => None,
        };
        let progress = Progress { whole: false, ..due.progress };
        let after = (due.package == Package::Presence).then(|| presence.unsaved(resource)).flatten();
        let kind = due.package.kind();
        let body = document.as_ref().map(|bytes| Body { kind, bytes, progress, more: false, after });
        events.notify(&mut ctx, txn, registrar, due, body);
    }

    /// RFC 5263: what has changed since the last NOTIFY, or everything.
    fn notify_changes(&mut self, due: &Due) {
        let mut ctx = self.house.ctx();
        let Rooms { events, presence, registrar, txn, .. } = &mut self.rooms;
        let (resource, progress) = (events.resource(due.key), Progress { whole: false, ..due.progress });
        let told = (progress.changes, due.progress.whole || due.last);
        // RFC 5263 s4.4: the first number is 1.
        let phones = || registrar.phones(&ctx, resource);
        let newest = presence.partial(resource, due.standing, told, due.version + 1, phones);
        let Some((body, changes)) = newest else { return events.skip(due.key, progress) };
        let progress = Progress { changes, ..progress };
        let after = presence.unsaved(resource);
        let body = Body { kind: diff::CONTENT_TYPE, bytes: body.as_bytes(), progress, more: false, after };
        events.notify(&mut ctx, txn, registrar, due, Some(body));
    }

    /// It was decided whether a watcher may see a presentity.
    pub(super) fn decide(&mut self, aor: &str, watcher: &str, allow: bool) -> ReplyBody {
        if self.house.settings.presence.is_none() {
            return ReplyBody::NoPresence(PresenceRefusal::Off);
        }
        let (Some(aor), Some(watcher)) = (self.canonical(aor), self.canonical(watcher)) else {
            return ReplyBody::NoPresence(PresenceRefusal::NotOurs);
        };
        if !self.rooms.presence.decide(&self.house.settings.limits, &aor, &watcher, allow) {
            return ReplyBody::NoPresence(PresenceRefusal::Full);
        }
        let standing = if allow { Standing::Active } else { Standing::Blocked };
        let mut ctx = self.house.ctx();
        if ctx.settings.tell.changes {
            ctx.out.save(Change::PutDecision { aor: aor.clone(), watcher: watcher.clone(), allow });
        }
        for package in [Package::Presence, Package::Dialog] {
            self.rooms.events.decide(&mut ctx, package, &aor, &watcher, standing);
        }
        self.decided_in_lists(&aor, &watcher);
        ReplyBody::Done
    }

    /// A request of ours failed without a response.
    pub(super) fn on_client_failure(&mut self, event: ClientEvent) {
        let mut ctx = self.house.ctx();
        match event.usage {
            Usage::Notify(bits) => self.rooms.events.on_failure(&mut ctx, bits, event.what),
            Usage::Agent(bits) => {
                self.rooms.agent.on_failure(&mut ctx, bits, event.what);
                self.tell_wishes();
            }
            Usage::Message(bits) => self.on_message_failure(bits),
            Usage::UaCall(bits) => self.uas(|uas, kit| uas.on_call_failure(kit, bits, event)),
            Usage::UaText(bits) => self.uas(|uas, kit| uas.on_text_failure(kit, bits, event.what)),
            Usage::Trunk(bits) => self.rooms.trunks.on_failure(&mut ctx, bits),
            Usage::Notice(bits) => self.rooms.notices.on_failure(&mut ctx, bits),
            Usage::Call(bits) => self.on_call_failure(bits, event),
            Usage::Nothing => {}
        }
    }

    /// What a presentity is now.
    pub(super) fn view_presence(&mut self, aor: &str) -> ReplyBody {
        if self.house.settings.presence.is_none() {
            return ReplyBody::NoPresence(PresenceRefusal::Off);
        }
        let Some(aor) = self.canonical(aor) else { return ReplyBody::NoPresence(PresenceRefusal::NotOurs) };
        let ctx = self.house.ctx();
        let phones = self.rooms.registrar.phones(&ctx, &aor);
        let version = self.rooms.news.version;
        ReplyBody::Presence(Box::new(self.rooms.presence.view(&ctx, &aor, &phones, version)))
    }

    /// The host publishes.
    pub(super) fn publish_own(&mut self, aor: &str, own: Option<OwnPresence>) -> ReplyBody {
        match self.take_own(aor, own) {
            Ok(()) => ReplyBody::Done,
            Err(refusal) => ReplyBody::NoPresence(refusal),
        }
    }

    fn take_own(&mut self, aor: &str, own: Option<OwnPresence>) -> Result<(), PresenceRefusal> {
        let settings = self.house.settings.clone();
        let config = settings.presence.as_ref().ok_or(PresenceRefusal::Off)?;
        let aor = self.canonical(aor).ok_or(PresenceRefusal::NotOurs)?;
        if own.as_ref().is_some_and(|own| own.note.len() > config.max_document_bytes) {
            return Err(PresenceRefusal::TooLong);
        }
        let document = own.as_ref().map(|own| Presence::document_of(&aor, own.state, &own.note));
        let expires = own.map_or(0, |own| expires_of(config, &own));
        let mut ctx = self.house.ctx();
        let changed = self.rooms.presence.publish_own(&mut ctx, &aor, document, expires);
        self.rooms.presence.save(&mut ctx, Recall::Never);
        if changed.map_err(|_| PresenceRefusal::Full)? {
            self.presence_changed(&aor, PresenceCause::Host);
        }
        Ok(())
    }

    /// The canonical AoR of a URI or of `user@domain`.
    pub(super) fn canonical(&self, text: &str) -> Option<Box<str>> {
        let mut aor = AorBuf::new();
        let domains = &self.house.settings.domains;
        let ours = with_uri(text, |uri| domains.aor(uri, &mut aor))?;
        ours.then(|| core::str::from_utf8(&aor).ok().map(Into::into))?
    }
}

/// Whole seconds, at least one, at most what a phone would get.
fn expires_of(config: &PresenceConfig, own: &OwnPresence) -> u32 {
    u32::try_from(own.lasts.as_secs()).unwrap_or(u32::MAX).clamp(1, config.publish_max_expires.max(1))
}

/// The AoR a request asks about: that of its Request-URI. 404 means: not of our domain (DECISIONS 4).
pub(super) fn asked_for<'b>(
    domains: &Domains,
    pass: &Pass<'_>,
    out: &'b mut AorBuf,
) -> Result<&'b str, Refusal> {
    const NOT_FOUND: Refusal = Refusal::plain(Status::NOT_FOUND);
    let uri = pass.ess.uri.ok_or(NOT_FOUND)?;
    if !domains.aor(&uri, out) {
        return Err(NOT_FOUND);
    }
    core::str::from_utf8(out).map_err(|_| NOT_FOUND)
}

/// Who watches: the address of From if it is one of the account's own, else the account's first.
fn watcher_of<'b>(domains: &Domains, pass: &Pass<'_>, who: &'b Identity, out: &'b mut AorBuf) -> &'b str {
    let named = domains.aor(&pass.ess.from.uri, out);
    match core::str::from_utf8(out) {
        Ok(from) if named && who.owns(from) => from,
        _ => who.aors.first().map_or("", |aor| aor),
    }
}
