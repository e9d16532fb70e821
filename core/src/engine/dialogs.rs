//! Where calls meet the package `dialog` and presence: what the bridge tells, and who is told (RFC 4235, DECISIONS 1
//! and 29).

use super::lists::known;
use super::{Engine, Rooms};
use crate::config::Settings;
use crate::ctx::{CallState, Refusal};
use crate::documents::dialog_info;
use crate::door::{Identity, PresenceCause};
use crate::events::{Body, Due, Package, Progress, Standing};
use crate::presence::Presence;
use crate::wire::Status;

/// What a watcher may be told of the calls of a user: who may watch his presence may know whether he is in a call.
pub(super) fn may_watch(
    settings: &Settings,
    presence: &Presence,
    (watcher, who): (&str, &Identity),
    resource: &str,
) -> Result<Standing, Refusal> {
    match &settings.presence {
        Some(config) => Ok(presence.standing(config, who, watcher, resource)),
        None if watcher == resource || who.owns(resource) => Ok(Standing::Active),
        None => Err(Refusal::plain(Status::FORBIDDEN)),
    }
}

/// Is it the user himself, or who picks up for him and so has to know the dialogs? Where nobody is asked to prove who he
/// is, the one he says he is.
fn may_know_all(settings: &Settings, watcher: &str, resource: &str) -> bool {
    watcher == resource
        || known(settings, watcher).owns(resource)
        || settings.accounts.pick_up_together(watcher, resource)
}

impl Engine {
    /// One side of a call stands elsewhere.
    pub(super) fn on_call_state(&mut self, call: CallState) {
        let names = call.names.clone();
        let aor = names.aor();
        let Rooms { lines, events, presence, .. } = &mut self.rooms;
        let mut ctx = self.house.ctx();
        let watched = events.is_watched(Package::Dialog, aor);
        let phoned = lines.on_call(&ctx.settings.limits, ctx.now, call, watched);
        if watched {
            events.changed(&mut ctx, Package::Dialog, aor);
        }
        if phoned.changed && ctx.settings.presence.is_some() {
            presence.on_calls(aor, phoned.since);
            // Most calls are where nobody watches.
            if !self.is_alone() {
                self.presence_changed(aor, PresenceCause::Call);
            }
        }
    }

    /// Presence is served from now on: who is on the phone is so since before.
    pub(super) fn note_calls(&mut self) {
        let Rooms { lines, presence, .. } = &mut self.rooms;
        lines.on_phone().for_each(|(aor, since)| presence.on_calls(aor, Some(since)));
    }

    /// Somebody is to be told of the calls of a user.
    pub(super) fn notify_dialogs(&mut self, due: &Due) {
        let mut ctx = self.house.ctx();
        let Rooms { events, lines, registrar, txn, .. } = &mut self.rooms;
        let (resource, progress) = (events.resource(due.key), Progress { whole: false, ..due.progress });
        let told = (!due.progress.whole && !due.last).then_some(progress.changes);
        let own = may_know_all(ctx.settings, events.watcher(due.key), resource);
        let newest = match due.standing {
            Standing::Active if own => lines.document(resource, ctx.now, told, due.version),
            standing => lines.outline(resource, standing == Standing::Blocked, told, due.version),
        };
        let Some((body, changes)) = newest else { return events.skip(due.key, progress) };
        let progress = Progress { changes, ..progress };
        let (kind, bytes) = (dialog_info::CONTENT_TYPE, body.as_bytes());
        events.notify(
            &mut ctx,
            txn,
            registrar,
            due,
            Some(Body { kind, bytes, progress, more: false, after: None }),
        );
    }
}
