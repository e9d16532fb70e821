//! Where calls meet a relay: a message with a session description waits here until the relay has said what the description
//! becomes, and then goes on as if it had come so. RFC 3264, RFC 7092 s3.1.4.
//!
//! | described by | goes on as |
//! |---|---|
//! | INVITE of a call, when it is known who will ring | that INVITE, to all of them |
//! | a response to a request of ours | that response |
//! | INVITE, UPDATE, PRACK within a call, ACK, INVITE with Replaces | that request |
//!
//! What else comes of the same session waits behind it, so that the order stays. A call whose parties reach each other never
//! comes here; one that does stays relayed to its end, and with it all calls that go on as it.

mod session;

use core::time::Duration;

use super::Engine;
use super::dispatch::Pass;
use super::pending::{MediaWait, ParkedKey, Waits};
use crate::base::Key;
use crate::base::ids::IdKind;
use crate::bridge::{CallKey, Hop, Shown, is_session};
use crate::config::{MediaConfig, MediaMode};
use crate::ctx::{Extra, Origin, Refusal, Timer};
use crate::dialog::Replaces;
use crate::dialog::reliable::number_of;
use crate::door::{Event, Identity, MediaAnswer, MediaQuery, MediaStep, Query, Ticket};
use crate::stats::{Counter, DropReason};
use crate::txn::ClientKey;
use crate::wire::sdp::{connection, is_webrtc};
use crate::wire::{Essentials, Held, Message, Method, Status};

pub(super) use session::Media;
use session::{
    Asking, Last, Parcel, Place, Question, SAME, Session, are_apart, is_of_invite, is_web, place_of,
};

impl Engine {
    fn media_config(&self) -> Option<&MediaConfig> {
        let media = self.house.settings.calls.as_ref().map(|calls| &calls.media);
        media.filter(|media| media.mode != MediaMode::Off)
    }

    fn session_mut(&mut self, session: u64) -> Option<&mut Session> {
        self.rooms.media.sessions.get_mut(&session)
    }

    fn is_relayed(&self, session: u64) -> bool {
        self.rooms.media.sessions.get(&session).is_some_and(|session| session.relayed)
    }

    fn is_asking(&self, session: u64) -> bool {
        self.rooms.media.sessions.get(&session).is_some_and(|session| session.asking.is_some())
    }

    /// It is known who will ring for a call.
    pub(super) fn ring_call(&mut self, key: CallKey, mut groups: Vec<Vec<Hop>>, ring: Duration) {
        if self.media_config().is_some()
            && let Some(offered) = self.rooms.bridge.offered(key)
            && is_session(offered.invite.message())
        {
            // One offer is for all: those who could not answer it are not asked.
            let web = is_webrtc(offered.invite.message().body());
            if groups.iter().flatten().any(|hop| is_web(hop.to.transport) == web) {
                groups.iter_mut().for_each(|group| group.retain(|hop| is_web(hop.to.transport) == web));
            }
            return self.consider(offered.session, Parcel::Ring { key, groups, ring });
        }
        self.bridge(|bridge, kit| bridge.ring(kit, key, groups, ring));
    }

    /// A response to a request of a call. True if it is taken care of.
    pub(super) fn relay_response(
        &mut self,
        bits: u64,
        client: ClientKey,
        status: u16,
        msg: Message<'_>,
    ) -> bool {
        let key = CallKey::from_bits(bits);
        let Some(session) = self.rooms.bridge.session(key) else { return false };
        // What was answered needs no relay when its answer comes again.
        if !self.rooms.bridge.is_open(key, client) || (!self.is_asking(session) && !is_session(msg)) {
            return false;
        }
        // It is sent again until it has come through: one of them waits.
        if self.rooms.media.has(session, client, msg) {
            return true;
        }
        let dialog = self.rooms.bridge.dialog_of_answer(msg);
        self.consider(session, Parcel::Response { bits, client, status, held: msg.to_held(), dialog });
        true
    }

    /// A request of who has answered already, in a dialog that is made when his response has been through the relay: it
    /// waits behind that. True if it is one.
    pub(super) fn relay_behind_answer(&mut self, pass: &mut Pass<'_>) -> bool {
        if self.rooms.media.sessions.is_empty() {
            return false;
        }
        let dialog = self.rooms.bridge.dialog_of(pass.ess);
        let Some(session) = self.rooms.media.awaits(dialog) else { return false };
        if !self.open(&mut pass.asker) {
            return true;
        }
        match self.unsupported(pass) {
            Some(refusal) => self.refuse(pass, &refusal),
            None => self.park_request(pass, session),
        }
        true
    }

    /// A request within a call. True if it is taken care of.
    pub(super) fn relay_request(&mut self, pass: &mut Pass<'_>, key: CallKey) -> bool {
        let Some(session) = self.rooms.bridge.session(key) else { return false };
        let concerns = self.is_relayed(session) && is_session(pass.msg);
        if !concerns && !self.is_asking(session) {
            return false;
        }
        match self.offers_twice(pass, key, session) {
            true => {
                let wait = self.house.ctx().ids.below(IdKind::Jitter, 10) as u32;
                self.refuse(pass, &Refusal::with(Status::SERVER_ERROR, Extra::RetryAfter(wait)));
            }
            false => self.park_request(pass, session),
        }
        true
    }

    /// RFC 3264 s4, RFC 3261 s14.2, RFC 3311 s5.2: is it an offer of who has made another one, which has no answer that he
    /// could know of? What waits for the relay has none.
    fn offers_twice(&self, pass: &Pass<'_>, key: CallKey, session: u64) -> bool {
        let offers =
            |msg: Message<'_>| matches!(msg.method(), Method::Invite | Method::Update) && is_session(msg);
        let (call_id, from) = (pass.ess.call_id, pass.ess.from.tag());
        let his = |msg: Message<'_>| {
            msg.call_id() == Ok(call_id) && msg.from().is_ok_and(|other| other.tag() == from) && offers(msg)
        };
        let waits = |parked: ParkedKey| self.rooms.pending.get(parked).is_some_and(|p| his(p.held.message()));
        offers(pass.msg)
            && (self.rooms.bridge.has_offered(key, pass.ess) || self.rooms.media.requests(session).any(waits))
    }

    fn park_request(&mut self, pass: &mut Pass<'_>, session: u64) {
        let deadline = self.house.now + self.house.settings.limits.park_timeout;
        if let Some(parked) = self.park_until(pass, Waits::Media(MediaWait::Within), deadline) {
            if let Some(server) = pass.server.filter(|_| pass.method == Method::Invite) {
                self.rooms.bridge.invite_waits(pass.ess, server);
            }
            self.consider(session, Parcel::Request { parked });
        }
    }

    /// An INVITE that may take somebody's place. True if it is taken care of.
    pub(super) fn relay_replacing(
        &mut self,
        pass: &Pass<'_>,
        identity: &Identity,
        trunk: Option<u16>,
    ) -> bool {
        if self.media_config().is_none() || !is_session(pass.msg) {
            return false;
        }
        let Ok(Some(replaces)) = Replaces::of(pass.msg) else { return false };
        let Some(session) = self.rooms.bridge.session_of(&replaces) else { return false };
        let waits = Waits::Media(MediaWait::Replaces(Box::new(identity.clone()), trunk));
        let deadline = self.house.now + self.house.settings.limits.park_timeout;
        if let Some(parked) = self.park_until(&mut pass.clone(), waits, deadline) {
            self.consider(session, Parcel::Replaces { parked });
        }
        true
    }

    /// An ACK. True if it is taken care of.
    pub(super) fn relay_ack(&mut self, origin: &Origin, msg: Message<'_>, ess: &Essentials<'_>) -> bool {
        if self.rooms.media.sessions.is_empty() {
            return false;
        }
        let key = self.rooms.bridge.find(ess);
        let Some(session) = key.and_then(|key| self.rooms.bridge.session(key)) else { return false };
        // One that says nothing of media stops a 2xx that is sent again: it waits for nobody (RFC 3261 s13.3.1.4).
        if !is_session(msg) || !(self.is_asking(session) || self.is_relayed(session)) {
            return false;
        }
        self.rooms.bridge.ack_waits(ess);
        self.consider(session, Parcel::Ack { origin: *origin, held: msg.to_held() });
        true
    }

    /// It waits, is asked about, or goes on.
    fn consider(&mut self, session: u64, parcel: Parcel) {
        if self.is_asking(session) {
            if let Err(parcel) = self.rooms.media.wait(session, parcel) {
                self.refuse_parcel(parcel, Status::SERVICE_UNAVAILABLE);
            }
            return;
        }
        match self.question(session, &parcel) {
            Some((question, sdp)) => match self.said_before(session, &question, &sdp) {
                Some(shown) => self.go_on(parcel, Some(&shown)),
                None => self.ask_media(session, question, sdp, parcel),
            },
            None => self.go_on(parcel, None),
        }
    }

    /// What the same question was answered a moment ago, if nothing else was asked since: a response that is sent again,
    /// or a final one that says what a provisional one said.
    fn said_before(&self, session: u64, question: &Question, sdp: &[u8]) -> Option<Box<[u8]>> {
        let last = self.rooms.media.sessions.get(&session)?.last.as_deref()?;
        let of = |question: &Question| (question.step, question.from.clone(), question.to.clone());
        let same = of(&last.question) == of(question) && *last.sdp == *sdp;
        let recent = self.house.now.since(last.at) < SAME;
        (same && recent).then(|| last.shown.clone())
    }

    fn ask_media(&mut self, session: u64, question: Question, sdp: Box<[u8]>, parcel: Parcel) {
        self.house.stats.count(Counter::MediaAsked);
        let patience = self.media_config().map_or(Duration::from_secs(1), |media| media.patience);
        let ticket = self.rooms.media.asked.insert(session);
        let deadline = self.house.now + patience;
        let timer = self.house.timers.arm(deadline, Timer::Media(ticket.to_bits()));
        let Question { step, from, to, source, near, webrtc } = question.clone();
        self.rooms.media.ask(session, Asking { ticket, timer, question, parcel });
        self.house.out.ask(Query::Media(Box::new(MediaQuery {
            ticket: Ticket::from_bits(ticket.to_bits()),
            call: session,
            step,
            from,
            to,
            source,
            near,
            to_webrtc: webrtc,
            sdp,
        })));
    }

    /// The relay says what a description becomes.
    pub(super) fn on_media(&mut self, ticket: Ticket<MediaQuery>, answer: MediaAnswer) {
        let Some((session, asking)) = self.rooms.media.answered(Key::from_bits(ticket.to_bits())) else {
            return self.house.stats.dropped(DropReason::BadTicket);
        };
        self.house.timers.disarm(asking.timer);
        let Asking { question, parcel, .. } = asking;
        match answer {
            MediaAnswer::Description(sdp) => {
                let (before, at) = (self.body_of(&parcel), self.house.now);
                if let Some(state) = self.session_mut(session) {
                    state.relayed = true;
                    state.learn(&question, before.as_deref().is_some_and(is_webrtc));
                    state.last =
                        before.map(|before| Box::new(Last { at, question, sdp: before, shown: sdp.clone() }));
                }
                self.go_on(parcel, Some(&sdp));
            }
            refusal => {
                self.house.stats.count(Counter::MediaRefused);
                // Better no call than one in which nobody is heard.
                self.refuse_parcel(
                    parcel,
                    match refusal {
                        MediaAnswer::Unsupported => Status::NOT_ACCEPTABLE_HERE,
                        _ => Status::SERVICE_UNAVAILABLE,
                    },
                );
            }
        }
        // Each comes to calls that have done what they had to after the one before.
        self.settle_calls();
        while let Some(next) = self.rooms.media.next(session) {
            self.consider(session, next);
            self.settle_calls();
        }
    }

    /// It takes too long.
    pub(super) fn on_media_timer(&mut self, ticket: u64) {
        self.on_media(Ticket::from_bits(ticket), MediaAnswer::Unavailable);
    }

    /// A request waits for longer than any may. One that describes nothing has waited for its turn only: who hangs up, for
    /// one, has done so (RFC 3261 s15.1.2).
    pub(super) fn on_media_overdue(&mut self, key: ParkedKey) {
        self.house.stats.count(Counter::ParkTimeouts);
        match self.rooms.pending.get(key).is_some_and(|parked| is_session(parked.held.message())) {
            true => self.refuse_parked(key, Status::SERVICE_UNAVAILABLE),
            false => self.go_on(Parcel::Request { parked: key }, None),
        }
    }

    /// No call is in this session any more.
    pub(super) fn forget_media(&mut self, session: u64) {
        let Some((asking, waiting)) = self.rooms.media.forget(session) else { return };
        self.house.out.tell(Event::MediaDone { call: session });
        let asked = asking.map(|asking| {
            self.house.timers.disarm(asking.timer);
            asking.parcel
        });
        for parcel in asked.into_iter().chain(waiting) {
            self.go_on(parcel, None);
        }
    }

    /// What a parcel describes.
    fn body_of(&mut self, parcel: &Parcel) -> Option<Box<[u8]>> {
        let body = |msg: Message<'_>| is_session(msg).then(|| msg.body().into());
        match parcel {
            Parcel::Ring { key, .. } => body(self.rooms.bridge.offered(*key)?.invite.message()),
            Parcel::Response { held, .. } | Parcel::Ack { held, .. } => body(held.message()),
            Parcel::Request { parked } | Parcel::Replaces { parked } => {
                body(self.rooms.pending.get_mut(*parked)?.held.message())
            }
        }
    }

    /// What the relay is to be asked of it, if anything.
    fn question(&mut self, session: u64, parcel: &Parcel) -> Option<(Question, Box<[u8]>)> {
        let sdp = self.body_of(parcel)?;
        let relayed = self.is_relayed(session);
        let nothing = Session::default();
        let state = self.rooms.media.sessions.get(&session).unwrap_or(&nothing);
        let question = match parcel {
            Parcel::Ring { .. } if relayed => None,
            Parcel::Ring { key, groups, .. } => self.question_of_offer(*key, groups, &sdp),
            Parcel::Response { bits, client, status, held, .. } => {
                let msg = held.message();
                let offers = is_of_invite(msg) && self.rooms.txn.is_bare(*client);
                let wanted = (101..300).contains(status)
                    && (relayed || (offers && self.is_wanted(CallKey::from_bits(*bits), *client, &sdp)));
                let step = if offers { MediaStep::Offer } else { MediaStep::Answer };
                let to = msg.to().ok()?;
                let source = self.rooms.bridge.asked_at(CallKey::from_bits(*bits), *client);
                wanted.then(|| state.question(step, to.tag().unwrap_or_default(), source, &sdp)).flatten()
            }
            Parcel::Request { parked } | Parcel::Replaces { parked } => {
                let replaces = matches!(parcel, Parcel::Replaces { .. });
                let wanted = relayed || (replaces && self.media_config().is_some() && !is_webrtc(&sdp));
                let parked = self.rooms.pending.get(*parked)?;
                let (source, msg) = (Some(parked.origin.remote.ip()), parked.held.message());
                let from = msg.from().ok()?;
                let tag = from.tag().unwrap_or_default();
                // RFC 3262 s5: a PRACK answers what a response offered.
                let answers =
                    msg.method() == Method::Prack && state.open && *state.offerer.as_bytes() != *tag;
                let step = if answers { MediaStep::Answer } else { MediaStep::Offer };
                wanted.then(|| state.question(step, tag, source, &sdp)).flatten()
            }
            Parcel::Ack { origin, held } => {
                let source = Some(origin.remote.ip());
                let from = held.message().from().ok()?;
                relayed.then_some(())?;
                state.question(MediaStep::Answer, from.tag().unwrap_or_default(), source, &sdp)
            }
        };
        question.map(|question| (question, sdp))
    }

    /// What a caller offers, to all who will ring.
    fn question_of_offer(&self, key: CallKey, groups: &[Vec<Hop>], sdp: &[u8]) -> Option<Question> {
        let media = self.media_config()?;
        let offered = self.rooms.bridge.offered(key)?;
        let own = is_webrtc(sdp);
        let webrtc = groups.iter().flatten().next().is_some_and(|hop| is_web(hop.to.transport));
        let remote = offered.origin.remote.ip();
        let caller = Place { media: connection(sdp).unwrap_or(remote), remote };
        let apart = || groups.iter().flatten().any(|hop| are_apart(media, caller, place_of(hop)));
        let wanted = match (own, webrtc) {
            (true, true) => false,
            // Only a gateway connects these.
            (true, false) | (false, true) => true,
            (false, false) => media.mode == MediaMode::Always || apart(),
        };
        let (from, to) = (offered.tag, Box::default());
        let near = groups.iter().flatten().next().map(|hop| hop.to.remote.ip().to_canonical());
        let source = Some(remote.to_canonical());
        wanted.then_some(Question { step: MediaStep::Offer, from, to, source, near, webrtc })
    }

    /// Is what a response offers to be relayed? Where it is not known who will be shown it, it is.
    fn is_wanted(&self, key: CallKey, client: ClientKey, sdp: &[u8]) -> bool {
        let Some(media) = self.media_config().filter(|_| !is_webrtc(sdp)) else { return false };
        let (from, to) = match self.rooms.bridge.shown_to(key, client) {
            Shown::Caller { from, to } => (from, to),
            // They reach each other already.
            Shown::Asker => return false,
            Shown::Unknown => return true,
        };
        let to = Place { media: to, remote: to };
        let from = Place { media: connection(sdp).unwrap_or(from), remote: from };
        media.mode == MediaMode::Always || are_apart(media, from, to)
    }

    /// It goes on to the calls, with this description.
    fn go_on(&mut self, parcel: Parcel, sdp: Option<&[u8]>) {
        let changed = |held: Held| sdp.and_then(|sdp| held.message().with_body(sdp)).unwrap_or(held);
        match parcel {
            Parcel::Ring { key, groups, ring } => self.bridge(|bridge, kit| {
                if let Some(sdp) = sdp {
                    bridge.offer_instead(key, sdp);
                }
                bridge.ring(kit, key, groups, ring);
            }),
            Parcel::Response { bits, client, status, held, .. } => {
                let held = changed(held);
                self.bridge(|bridge, kit| bridge.on_response(kit, bits, client, status, held.message()));
            }
            Parcel::Request { parked } => {
                if let Some(parked) = self.rooms.pending.get_mut(parked) {
                    parked.held = changed(parked.held.clone());
                }
                self.with_parked(parked, |engine, pass| {
                    // It may have gone on as another meanwhile, or be over (RFC 3261 s12.2.2).
                    match engine.rooms.bridge.find(pass.ess) {
                        Some(key) => engine.take_in_call(pass, key),
                        None => engine.refuse(pass, &Refusal::plain(Status::NO_TRANSACTION)),
                    }
                });
            }
            Parcel::Replaces { parked } => {
                let Some(waiting) = self.rooms.pending.get_mut(parked) else { return };
                waiting.held = changed(waiting.held.clone());
                let Waits::Media(MediaWait::Replaces(identity, trunk)) = waiting.waits.clone() else {
                    return;
                };
                self.with_parked(parked, |engine, pass| {
                    if let Err(refusal) = engine.begin_call(pass, &identity, trunk) {
                        engine.refuse(pass, &refusal);
                    }
                });
            }
            Parcel::Ack { origin, held } => {
                let held = changed(held);
                if let Ok(ess) = held.message().essentials() {
                    self.take_ack(&origin, held.message(), &ess);
                }
            }
        }
    }

    /// It cannot go on. What answers somebody does all the same: he would wait for it. A provisional response says nothing of
    /// the session then, for its final one says it again. Whose call is answered like that for the first time, or so that
    /// it need not be said again (RFC 3262 s5), is told no instead, and who answered hears it (RFC 3261 s13.2.2.4).
    fn refuse_parcel(&mut self, parcel: Parcel, status: Status) {
        match parcel {
            Parcel::Ring { key, .. } => self.bridge(|bridge, kit| bridge.refuse(kit, key, status)),
            Parcel::Response { bits, ref held, .. }
                if answers_first(held.message())
                    && self.rooms.bridge.offered(CallKey::from_bits(bits)).is_some() =>
            {
                self.bridge(|bridge, kit| bridge.refuse(kit, CallKey::from_bits(bits), status));
                self.go_on(parcel, None);
            }
            Parcel::Request { parked } | Parcel::Replaces { parked } => {
                self.refuse_parked(parked, status);
            }
            Parcel::Response { status: 101..200, ref held, .. } if is_session(held.message()) => {
                self.go_on(parcel, Some(b""));
            }
            Parcel::Response { .. } | Parcel::Ack { .. } => self.go_on(parcel, None),
        }
    }

    fn refuse_parked(&mut self, key: ParkedKey, status: Status) {
        self.with_parked(key, |engine, pass| engine.refuse(pass, &Refusal::plain(status)));
    }
}

/// Is it a response to an INVITE after which nothing has to say again what it says of the session?
fn answers_first(msg: Message<'_>) -> bool {
    let accepts = msg.status().is_some_and(|status| (200..300).contains(&status));
    is_of_invite(msg) && (accepts || (is_session(msg) && number_of(msg).is_some()))
}
