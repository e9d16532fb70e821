//! What a user agent publishes, and whom it watches: tasks of the room, with the way and the words of the user agent.

use super::{Kit, Of, UaKey, Uas, check_event, check_kind, check_size, sip};
use crate::agent::{OWN_IDS, Step, Told};
use crate::base::Key;
use crate::ctx::Ctx;
use crate::documents::pidf::{CONTENT_TYPE, Pidf};
use crate::documents::xml::Bounds;
use crate::door::{UaPresence, UaRefusal, UaState, UaStep};

use super::texts::Text;

/// Something published.
#[derive(Clone, Debug)]
pub(super) struct Publication {
    pub(super) event: Box<str>,
    kind: Box<str>,
    document: Box<[u8]>,
    expires: u32,
    pub(super) task: u64,
    pub(super) state: UaState,
}

/// Somebody watched; the number of the task is that of the subscription.
#[derive(Clone, Debug)]
pub(super) struct Subscription {
    pub(super) target: Box<str>,
    event: Box<str>,
    expires: u32,
    pub(super) state: UaState,
}

/// What waits until it is known where it goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Waiting {
    Publication(Box<str>),
    Subscription(u64),
    Text(Key<Text>),
    /// Its number, whom, and the offer.
    Call(u64, Box<str>, Box<[u8]>),
}

impl Uas {
    pub(super) fn publish(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: UaKey,
        event: Box<str>,
        (kind, document, expires): (Box<str>, Box<[u8]>, u32),
    ) -> Result<(), UaRefusal> {
        check_event(&event)?;
        check_kind(&kind)?;
        check_size(kit.ctx, &document)?;
        let ua = self.list.get_mut(key).filter(|ua| !ua.closing).ok_or(UaRefusal::Unknown)?;
        match ua.publications.iter_mut().find(|known| known.event == event) {
            Some(known) => (known.kind, known.document, known.expires) = (kind, document, expires),
            None => {
                if ua.publications.len() >= kit.ctx.settings.limits.per_user_agent {
                    return Err(UaRefusal::Full);
                }
                self.last += 1;
                let (task, state) = (self.last, UaState::Asking);
                ua.publications.push(Publication {
                    event: event.clone(),
                    kind,
                    document,
                    expires,
                    task,
                    state,
                });
            }
        }
        self.start(kit, key, Waiting::Publication(event));
        Ok(())
    }

    pub(super) fn unpublish(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: UaKey,
        event: &str,
    ) -> Result<(), UaRefusal> {
        let ua = self.list.get_mut(key).ok_or(UaRefusal::Unknown)?;
        let at = ua.publications.iter().position(|known| *known.event == *event).ok_or(UaRefusal::NoSuch)?;
        let task = ua.publications.get(at).map_or(0, |known| known.task);
        ua.waiting.retain(|waiting| *waiting != Waiting::Publication(event.into()));
        if !kit.agent.end(kit.ctx, kit.txn, OWN_IDS | task) {
            ua.publications.remove(at);
            let state = UaState::Ended { reason: Box::default() };
            self.tell(key, UaStep::Publication { event: event.into(), state });
        }
        Ok(())
    }

    pub(super) fn subscribe(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: UaKey,
        target: Box<str>,
        event: Box<str>,
        expires: u32,
    ) -> Result<u64, UaRefusal> {
        sip(&target)?;
        check_event(&event)?;
        let id = self.next();
        let ua = self.list.get_mut(key).filter(|ua| !ua.closing).ok_or(UaRefusal::Unknown)?;
        if ua.subscriptions.len() >= kit.ctx.settings.limits.per_user_agent {
            return Err(UaRefusal::Full);
        }
        ua.subscriptions.insert(id, Subscription { target, event, expires, state: UaState::Asking });
        self.start(kit, key, Waiting::Subscription(id));
        Ok(id)
    }

    pub(super) fn unsubscribe(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: UaKey,
        id: u64,
    ) -> Result<(), UaRefusal> {
        let ua = self.list.get_mut(key).ok_or(UaRefusal::Unknown)?;
        if !ua.subscriptions.contains_key(&id) {
            return Err(UaRefusal::NoSuch);
        }
        ua.waiting.retain(|waiting| *waiting != Waiting::Subscription(id));
        if !kit.agent.end(kit.ctx, kit.txn, OWN_IDS | id)
            && let Some(Subscription { target, .. }) = ua.subscriptions.remove(&id)
        {
            let state = UaState::Ended { reason: Box::default() };
            self.tell(key, UaStep::Subscription { id, target, state });
        }
        Ok(())
    }

    /// Begins something, or has it wait until it is known where it goes.
    pub(super) fn start(&mut self, kit: &mut Kit<'_, '_>, key: UaKey, what: Waiting) {
        let Some(ua) = self.list.get_mut(key) else { return };
        let Some((to, routes)) = ua.way(kit.ctx) else {
            if !ua.waiting.contains(&what) {
                ua.waiting.push(what);
            }
            return self.look_for_a_way(key);
        };
        let routes = routes.to_vec();
        match what {
            Waiting::Text(text) => self.send_text(kit, text, &to, &routes),
            Waiting::Call(number, whom, sdp) => {
                self.begin_call(kit, key, (number, &whom, sdp), (&to, &routes))
            }
            Waiting::Publication(event) => {
                let Some(p) = ua.publications.iter().find(|known| known.event == event) else { return };
                let wish = ua.wish(p.task, &to, &ua.account.aor, &event, p.expires);
                let content = (p.kind.clone(), p.document.clone());
                self.tasks.insert(wish.id, (key, Of::Publication));
                let id = wish.id;
                if !kit.agent.publish(kit.ctx, kit.txn, wish, content, &routes) {
                    self.on_told(kit, not_begun(id));
                }
            }
            Waiting::Subscription(id) => {
                let Some(s) = ua.subscriptions.get(&id) else { return };
                let wish = ua.wish(id, &to, &s.target, &s.event, s.expires);
                self.tasks.insert(wish.id, (key, Of::Subscription));
                let id = wish.id;
                if !kit.agent.subscribe(kit.ctx, kit.txn, wish, &routes) {
                    self.on_told(kit, not_begun(id));
                }
            }
        }
    }

    /// There is none: the first server is looked for, unless that waits for its time.
    fn look_for_a_way(&mut self, key: UaKey) {
        if self.list.get(key).is_some_and(|ua| ua.registrations.iter().all(|r| r.is_idle())) {
            self.find(key, 0);
        }
    }

    /// A server was found, or has registered us: what waits begins, what has lost its way takes this one.
    pub(super) fn way_found(&mut self, kit: &mut Kit<'_, '_>, key: UaKey) {
        let Some(ua) = self.list.get_mut(key) else { return };
        let waiting = core::mem::take(&mut ua.waiting);
        if let Some((to, routes)) = ua.way(kit.ctx) {
            for id in ua.standing() {
                kit.agent.go_by(kit.ctx, OWN_IDS | id, (&to, routes));
            }
        }
        waiting.into_iter().for_each(|what| self.start(kit, key, what));
    }

    /// There is no way for now: messages and calls do not wait for one.
    pub(super) fn no_way(&mut self, key: UaKey) {
        let Some(ua) = self.list.get_mut(key) else { return };
        let of_now = |waiting: &Waiting| matches!(waiting, Waiting::Text(_) | Waiting::Call(..));
        let (now, rest): (Vec<_>, Vec<_>) = core::mem::take(&mut ua.waiting).into_iter().partition(of_now);
        ua.waiting = rest;
        for waiting in now {
            match waiting {
                Waiting::Text(text) => self.drop_lane(text),
                Waiting::Call(number, ..) => self.tell_call(key, number, super::call::no_way()),
                Waiting::Publication(_) | Waiting::Subscription(_) => {}
            }
        }
    }

    pub(super) fn on_publication(&mut self, kit: &mut Kit<'_, '_>, key: UaKey, told: Told) {
        let Some(ua) = self.list.get_mut(key) else { return };
        let of_it = |p: &Publication| OWN_IDS | p.task == told.id;
        let Some(at) = ua.publications.iter().position(of_it) else { return };
        let Some(publication) = ua.publications.get_mut(at) else { return };
        let Some(state) = state_of(&told.step) else { return };
        let over = matches!(state, UaState::Ended { .. });
        let lost = matches!(state, UaState::Waiting { .. });
        let event = publication.event.clone();
        let changed = core::mem::replace(&mut publication.state, state.clone()) != state;
        if over {
            ua.publications.remove(at);
        }
        if changed {
            self.tell(key, UaStep::Publication { event, state });
        }
        if lost {
            self.check_way(kit.ctx, key);
        }
    }

    pub(super) fn on_subscription(&mut self, kit: &mut Kit<'_, '_>, key: UaKey, told: Told) {
        let id = told.id & !OWN_IDS;
        let Some(ua) = self.list.get_mut(key) else { return };
        let Some(subscription) = ua.subscriptions.get_mut(&id) else { return };
        if let Step::Notified { active, kind, body } = told.step {
            return self.tell(key, notified(id, active, &kind, body));
        }
        let Some(state) = state_of(&told.step) else { return };
        let over = matches!(state, UaState::Ended { .. });
        let lost = matches!(state, UaState::Waiting { .. });
        let target = subscription.target.clone();
        let changed = core::mem::replace(&mut subscription.state, state.clone()) != state;
        if over {
            ua.subscriptions.remove(&id);
        }
        if changed {
            self.tell(key, UaStep::Subscription { id, target, state });
        }
        if lost {
            self.check_way(kit.ctx, key);
        }
    }

    /// Something did not work: perhaps because the connection is gone.
    fn check_way(&mut self, ctx: &Ctx<'_>, key: UaKey) {
        if self.list.get(key).is_some_and(|ua| ua.way(ctx).is_none()) {
            self.look_for_a_way(key);
        }
    }
}

/// It is too large, or the socket is gone.
fn not_begun(id: u64) -> Told {
    Told { id, step: Step::Ended { reason: "503".into() } }
}

fn state_of(step: &Step) -> Option<UaState> {
    Some(match step {
        Step::Granted { expires, .. } => UaState::Active { expires: *expires },
        Step::Interrupted { reason, again, .. } => UaState::Waiting { reason: reason.clone(), again: *again },
        Step::Ended { reason } => UaState::Ended { reason: reason.clone() },
        Step::Refreshing | Step::Notified { .. } => return None,
    })
}

/// Somebody's presence, if it can be read, or what came.
fn notified(id: u64, active: bool, kind: &str, body: Box<[u8]>) -> UaStep {
    let media = kind.split(';').next().unwrap_or_default().trim();
    let is_presence = media.eq_ignore_ascii_case(CONTENT_TYPE);
    match Pidf::parse(&body, &Bounds::default()).ok().filter(|_| is_presence) {
        Some(pidf) => {
            let note = pidf.note().map(|note| note.text.clone());
            let (entity, state) = (pidf.entity.clone(), pidf.state());
            let presence = UaPresence { entity, state, note, active, document: body };
            UaStep::Presence { id, presence: Box::new(presence) }
        }
        None => UaStep::Notified { id, active, kind: kind.into(), body },
    }
}
