//! What the host itself asks for: sockets that come and go, look-ups, removal, restore, reload, drain.

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use super::{Engine, Rooms};
use crate::config::Settings;
use crate::ctx::{Flow, Timer};
use crate::door::{
    Change, CloseReason, Command, Event, FlowId, Input, PresenceCause, ReplyBody, Request, SaveSeq,
    SendError, Waiting,
};
use crate::stats::{Counter, DropReason};

/// What a draining server puts into Retry-After, in seconds.
pub(super) const DRAIN_RETRY_AFTER: u32 = 30;

impl Engine {
    pub(super) fn on_flow(&mut self, input: Input<'_>) {
        match input {
            Input::FlowUp { flow, listener, transport, local, remote, peer } => {
                let known = self.house.flows.get(flow).is_some();
                if !known && self.house.flows.len() >= self.house.settings.limits.flows {
                    self.house.stats.dropped(DropReason::FlowLimit);
                    self.house.out.push(Command::Close { flow, reason: CloseReason::Shutdown });
                    return;
                }
                let up = Flow { id: flow, listener, transport, local, remote, opening: false };
                self.rooms.registrar.flow_up(&up);
                self.rooms.events.flow_up(&up);
                self.house.flows.insert(up);
                if let Some(peer) = peer {
                    self.house.flows.proved(flow, peer);
                }
            }
            Input::FlowDown { flow, reason } => {
                let Some(gone) = self.house.flows.remove(flow) else { return };
                let mut ctx = self.house.ctx();
                let failed = self.rooms.txn.on_flow_down(&mut ctx, flow, gone.opening);
                self.rooms.registrar.flow_down(&mut ctx, flow, reason);
                self.rooms.registrar.tell_pending(&mut ctx);
                failed.into_iter().for_each(|event| self.on_client_failure(event));
                self.uas(|uas, kit| uas.flow_down(kit, flow));
            }
            _ => {}
        }
    }

    pub(super) fn on_send_failed(&mut self, flow: FlowId, remote: SocketAddr, _reason: SendError) {
        let mut ctx = self.house.ctx();
        let failed = self.rooms.txn.on_send_failed(&mut ctx, flow, remote);
        failed.into_iter().for_each(|event| self.on_client_failure(event));
    }

    pub(super) fn on_saved(&mut self, seq: SaveSeq) {
        self.rooms.registrar.on_saved(seq);
        self.rooms.presence.on_saved(seq);
        self.rooms.standing.saved(seq);
    }

    pub(super) fn on_save_failed(&mut self, seq: SaveSeq) {
        self.house.stats.count(Counter::SaveFailures);
        let mut ctx = self.house.ctx();
        if let Some(last) = self.rooms.registrar.on_save_failed(&mut ctx, seq) {
            self.fail_standing(last);
        }
        let mut ctx = self.house.ctx();
        if self.rooms.messages.on_save_failed(&mut ctx, seq) {
            self.fail_standing(seq);
        }
        // What was said to watchers because of it was not said.
        let mut ctx = self.house.ctx();
        let unsaid = self.rooms.txn.on_save_failed(&mut ctx, seq);
        unsaid.into_iter().for_each(|event| self.on_client_failure(event));
        let mut ctx = self.house.ctx();
        if let Some(aor) = self.rooms.presence.on_save_failed(&mut ctx, seq) {
            self.fail_standing(seq);
            self.presence_changed(&aor, PresenceCause::Published);
        }
        let mut ctx = self.house.ctx();
        self.rooms.registrar.tell_pending(&mut ctx);
    }

    pub(super) fn on_reload(&mut self, settings: Arc<Settings>) {
        let old = core::mem::replace(&mut self.house.settings, settings);
        self.lists_changed(&old);
        self.rooms.events.listen(self.is_heard());
        self.rooms.registrar.reload();
        let mut ctx = self.house.ctx();
        let new = ctx.settings.clone();
        let on = |s: &Settings| (s.message_summary.is_some(), s.calls.is_some());
        if old.presence != new.presence || on(&old) != on(&new) {
            self.rooms.events.unjudge(&mut ctx);
        }
        if self.rooms.auth.reload(&mut ctx) {
            self.rooms.pending.void_keys();
        }
        if old.presence.is_none() && new.presence.is_some() {
            self.note_calls();
        }
        self.ask_for_missing_keys();
        self.configure_trunks();
    }

    pub(super) fn on_host(&mut self, reply: Option<u64>, request: Request) {
        match request {
            Request::Presence { aor } => {
                let body = self.view_presence(&aor);
                self.house.out.reply(reply, body);
            }
            Request::Publish { aor, presence } => {
                let body = self.publish_own(&aor, presence);
                self.house.out.reply(reply, body);
            }
            Request::BuddyList { watcher, list } => {
                let body = self.view_list(&watcher, list.as_deref());
                self.house.out.reply(reply, body);
            }
            request @ (Request::SubscribeAt(_) | Request::PublishAt { .. } | Request::EndWish { .. }) => {
                let body = self.wish(request);
                self.house.out.reply(reply, body);
            }
            Request::Ua { ua, request } => {
                let body = self.on_ua(ua, request);
                self.house.out.reply(reply, body);
            }
            Request::Subscriptions { after, limit } => {
                let views = self.rooms.events.views(after, limit.min(1000));
                self.house.out.reply(reply, ReplyBody::Subscriptions(views));
            }
            Request::Listen { presence } => {
                self.listen(presence);
                self.house.out.reply(reply, ReplyBody::Done);
            }
            Request::DecideWatcher { aor, watcher, allow } => {
                let body = self.decide(&aor, &watcher, allow);
                self.house.out.reply(reply, body);
            }
            Request::MessageSummary { aor } => {
                let body = self.view_mailbox(&aor);
                self.house.out.reply(reply, body);
            }
            Request::SetMessageSummary { aor, summary } => {
                let body = self.say_mailbox(&aor, summary);
                self.house.out.reply(reply, body);
            }
            request @ (Request::Calls { .. }
            | Request::Call { .. }
            | Request::HangUp { .. }
            | Request::Dial { .. }) => {
                let body = self.on_calls(request);
                self.house.out.reply(reply, body);
            }
            Request::SendNotify { aor, notice } => {
                if let Err(refusal) = self.send_notice(reply, &aor, &notice) {
                    self.house.out.reply(reply, ReplyBody::NoNotice(refusal));
                }
            }
            Request::ForgetUser { username } => {
                self.rooms.auth.forget_user(&username);
                self.house.out.reply(reply, ReplyBody::Done);
            }
            Request::ForgetAor { aor, messages } => {
                let body = self.forget_aor(&aor, messages);
                self.house.out.reply(reply, body);
            }
            Request::Revoke { issuer, tokens, until } => {
                let done = self.rooms.auth.revoke(&mut self.house.ctx(), &issuer, &tokens, until);
                self.house.out.reply(reply, if done { ReplyBody::Done } else { ReplyBody::Full });
            }
            request => self.on_location(reply, request),
        }
    }

    fn on_location(&mut self, reply: Option<u64>, request: Request) {
        let mut ctx = self.house.ctx();
        let registrar = &mut self.rooms.registrar;
        let body = match request {
            Request::Lookup { aor } => match registrar.lookup(&ctx, &aor) {
                Some(found) => ReplyBody::Bindings(found),
                None => ReplyBody::Refused("not an address of record of a configured domain"),
            },
            Request::LookupContact { contact } => match registrar.lookup_contact(&ctx, &contact) {
                Some(found) => ReplyBody::Bindings(found),
                None => ReplyBody::Refused("not a URI"),
            },
            Request::List { after, limit } => {
                ReplyBody::Bindings(registrar.list(&ctx, after.as_deref(), limit.min(1000)))
            }
            Request::RemoveBinding { aor, contact } => {
                match registrar.remove(&mut ctx, &aor, contact.as_deref()) {
                    Some(removed) => ReplyBody::Removed(removed),
                    None => {
                        ReplyBody::Refused("not an address of record of a configured domain, or not a URI")
                    }
                }
            }
            Request::ForgetUser { .. }
            | Request::ForgetAor { .. }
            | Request::Revoke { .. }
            | Request::Presence { .. }
            | Request::Publish { .. }
            | Request::Subscriptions { .. }
            | Request::Listen { .. }
            | Request::SubscribeAt(_)
            | Request::PublishAt { .. }
            | Request::EndWish { .. }
            | Request::Ua { .. }
            | Request::BuddyList { .. }
            | Request::DecideWatcher { .. }
            | Request::MessageSummary { .. }
            | Request::SetMessageSummary { .. }
            | Request::Calls { .. }
            | Request::Call { .. }
            | Request::HangUp { .. }
            | Request::Dial { .. }
            | Request::SendNotify { .. } => return,
            Request::Restore(change) => {
                self.restore(*change);
                ReplyBody::Done
            }
            Request::Drain { timeout } => {
                self.drain(timeout);
                ReplyBody::Done
            }
        };
        let mut ctx = self.house.ctx();
        self.rooms.registrar.tell_pending(&mut ctx);
        self.house.out.reply(reply, body);
    }

    /// Nobody may act under this address any more.
    fn forget_aor(&mut self, aor: &str, messages: Waiting) -> ReplyBody {
        let mut ctx = self.house.ctx();
        let removed = self.rooms.registrar.remove(&mut ctx, aor, None);
        self.rooms.registrar.tell_pending(&mut ctx);
        let (Some(removed), Some(aor)) = (removed, self.canonical(aor)) else {
            return ReplyBody::Refused("not an address of record of a configured domain");
        };
        let mut ctx = self.house.ctx();
        self.rooms.events.end_of_watcher(&mut ctx, &aor);
        if messages == Waiting::Drop {
            self.rooms.messages.drop_kept(&mut ctx, &aor);
        }
        if self.rooms.presence.end_of(&mut ctx, &aor) {
            self.presence_changed(&aor, PresenceCause::PublicationEnded);
        }
        ReplyBody::Removed(removed)
    }

    /// A change of an earlier life, to the room whose it is.
    fn restore(&mut self, change: Change) {
        let settings = self.house.settings.clone();
        let mut ctx = self.house.ctx();
        let Rooms { registrar, events, presence, messages, .. } = &mut self.rooms;
        match (change, &settings.presence) {
            (
                change @ (Change::PutBinding(_)
                | Change::RefreshBinding { .. }
                | Change::RemoveBinding { .. }),
                _,
            ) => {
                registrar.restore(&mut ctx, change);
            }
            (Change::PutPublication(stored), Some(config)) => presence.restore(&mut ctx, config, *stored),
            (Change::RemovePublication { aor, lineage }, Some(_)) => {
                presence.restore_removal(&mut ctx, &aor, lineage);
            }
            (Change::PutMessage(stored), _) => messages.restore(&mut ctx, *stored),
            (Change::RemoveMessage { id }, _) => messages.restore_removal(&mut ctx, id),
            (Change::PutSubscription(stored), _) if settings.has_events() => {
                events.restore(&mut ctx, *stored);
            }
            (Change::RemoveSubscription { id }, _) => events.restore_removal(&mut ctx, id),
            (Change::PutDecision { aor, watcher, allow }, Some(_)) => {
                presence.decide(&settings.limits, &aor, &watcher, allow);
            }
            (Change::PutSubscription(_), _) | (_, None) => {}
        }
    }

    /// DECISIONS 20: new work is refused, live work is served. Calls end by themselves, or when it has taken long enough.
    fn drain(&mut self, timeout: Duration) {
        if self.rooms.draining {
            return;
        }
        self.rooms.draining = true;
        self.drain_trunks();
        let mut ctx = self.house.ctx();
        let told = self.rooms.events.leave(&mut ctx);
        self.uas(|uas, kit| uas.close_all(kit));
        let calls = self.rooms.bridge.len() > 0 || self.rooms.uas.len() > 0;
        if self.rooms.pending.len() == 0 && !told && !calls {
            self.house.out.tell(Event::Drained);
            return;
        }
        let longest = self.house.settings.limits.park_timeout;
        let wait = if calls { timeout } else { timeout.min(longest) };
        self.rooms.drain = self.house.timers.arm(self.house.now + wait, Timer::Drain);
    }
}
