//! From an answer of the host back to the request that waited for it.

use super::Engine;
use super::dispatch::Pass;
use super::pending::{Parked, ParkedKey, Waits};
use crate::auth::{Need, Wait};
use crate::base::Key;
use crate::door::{
    Answer, CredentialsQuery, IntrospectAnswer, IntrospectQuery, KeysAnswer, KeysQuery, Query, Secret, Ticket,
};
use crate::stats::{Counter, DropReason};
use crate::wire::Essentials;

impl Engine {
    /// Asks the host for what a parked request needs. Requests that need the same keys share one question.
    pub(super) fn ask(&mut self, key: ParkedKey, need: Need) {
        match need {
            Need::Keys(issuer) => self.ask_for_keys(issuer),
            Need::Introspection { name, token } => self.ask_about_token(key, name, token),
            Need::Credentials { username, realm, algorithm } => {
                let ticket = Ticket::from_bits(key.to_bits());
                self.house.out.ask(Query::Credentials(CredentialsQuery {
                    ticket,
                    username,
                    realm,
                    algorithm,
                }));
            }
        }
    }

    pub(super) fn ask_for_keys(&mut self, issuer: u16) {
        let Some((source, discover)) = self
            .house
            .settings
            .jwt
            .as_ref()
            .and_then(|jwt| jwt.issuers.get(usize::from(issuer)))
            .map(|issuer| issuer.key_source())
        else {
            return;
        };
        if let Some(ticket) = self.rooms.pending.ask_keys(self.house.now, issuer) {
            self.house.stats.count(Counter::KeyFetches);
            let source = source.into();
            self.house.out.ask(Query::Keys(KeysQuery { ticket, issuer, source, discover }));
        }
    }

    fn ask_about_token(&mut self, key: ParkedKey, name: [u8; 32], token: Secret<Box<[u8]>>) {
        let jwt = self.house.settings.jwt.as_ref();
        let Some(asked) = jwt.and_then(|jwt| jwt.introspection.as_ref()) else { return };
        if let Some(ticket) = self.rooms.pending.ask_token(name, key) {
            self.house.stats.count(Counter::Introspections);
            self.house.out.ask(Query::Introspect(IntrospectQuery {
                ticket,
                endpoint: asked.endpoint.as_str().into(),
                client_id: asked.client_id.as_str().into(),
                client_secret: Secret(asked.client_secret.0.as_str().into()),
                token,
            }));
        }
    }

    /// Key sets are asked for at once: the first token shall not wait for them.
    pub(super) fn ask_for_missing_keys(&mut self) {
        let mut ctx = self.house.ctx();
        for issuer in self.rooms.auth.wants_keys_at_start(&mut ctx) {
            self.ask_for_keys(issuer);
        }
    }

    pub(super) fn on_answer(&mut self, answer: Answer) {
        match answer {
            Answer::Keys(ticket, keys) => self.on_keys(ticket, keys),
            Answer::Introspected(ticket, answer) => self.on_introspected(ticket, &answer),
            Answer::Credentials(ticket, credentials) => {
                let key = Key::from_bits(ticket.to_bits());
                let waits =
                    self.rooms.pending.get_mut(key).is_some_and(|p| matches!(p.waits, Waits::Credentials));
                if !waits {
                    return self.house.stats.dropped(DropReason::BadTicket);
                }
                self.resume(key, Wait::WithCredentials(credentials));
            }
            Answer::Route(ticket, answer) => self.on_route(ticket, answer),
            Answer::Resolved(ticket, ways) => self.on_resolved(ticket, ways),
            Answer::Media(ticket, answer) => self.on_media(ticket, answer),
        }
    }

    fn on_keys(&mut self, ticket: Ticket<KeysQuery>, keys: KeysAnswer) {
        let Some(issuer) = self.rooms.pending.keys_answered(ticket) else {
            return self.house.stats.dropped(DropReason::BadTicket);
        };
        let mut ctx = self.house.ctx();
        self.rooms.auth.keys_answer(&mut ctx, issuer, keys);
        for key in self.rooms.pending.waiting_for_keys(issuer) {
            self.resume(key, Wait::KeysDone);
        }
    }

    fn on_introspected(&mut self, ticket: Ticket<IntrospectQuery>, answer: &IntrospectAnswer) {
        let Some((name, waiting)) = self.rooms.pending.token_answered(ticket) else {
            return self.house.stats.dropped(DropReason::BadTicket);
        };
        let mut ctx = self.house.ctx();
        self.rooms.auth.introspected(&mut ctx, &name, answer);
        for key in waiting {
            self.resume(key, Wait::KeysDone);
        }
    }

    /// Takes a parked request out and lets its room decide again.
    pub(super) fn resume(&mut self, key: ParkedKey, wait: Wait) {
        let Some(parked) = self.unpark(key) else { return };
        let Some(ess) = essentials_of(&parked) else { return };
        self.authenticate(&mut pass_of(&parked, &ess), wait);
    }

    /// A parked request has waited long enough.
    pub(super) fn on_parked_timer(&mut self, key: ParkedKey) {
        match self.rooms.pending.get_mut(key).map(|parked| &parked.waits) {
            None => {}
            // The verdict was held back, so that time tells nothing.
            Some(Waits::Delay(_)) => {
                let Some(parked) = self.unpark(key) else { return };
                let Some(ess) = essentials_of(&parked) else { return };
                if let Waits::Delay(verdict) = parked.waits.clone() {
                    self.obey(&mut pass_of(&parked, &ess), verdict);
                }
            }
            Some(Waits::Media(_)) => self.on_media_overdue(key),
            Some(Waits::MessageRoute(_)) => {
                self.house.stats.count(Counter::ParkTimeouts);
                self.on_message_route_timer(key);
            }
            Some(&Waits::Message { delivery, .. }) => self.on_message_overdue(key, delivery),
            Some(Waits::Keys(_) | Waits::Introspection(_) | Waits::Credentials) => {
                self.house.stats.count(Counter::ParkTimeouts);
                self.resume(key, Wait::Final);
            }
        }
    }

    /// Takes a parked request out and does something else with it.
    pub(super) fn with_parked(&mut self, key: ParkedKey, act: impl FnOnce(&mut Engine, &Pass<'_>)) {
        let Some(parked) = self.unpark(key) else { return };
        let Some(ess) = essentials_of(&parked) else { return };
        act(self, &pass_of(&parked, &ess));
    }

    /// The same with what may park once more.
    pub(super) fn with_parked_mut(&mut self, key: ParkedKey, act: impl FnOnce(&mut Engine, &mut Pass<'_>)) {
        let Some(parked) = self.unpark(key) else { return };
        let Some(ess) = essentials_of(&parked) else { return };
        act(self, &mut pass_of(&parked, &ess));
    }

    fn unpark(&mut self, key: ParkedKey) -> Option<Parked> {
        let parked = self.rooms.pending.take(key)?;
        self.house.timers.disarm(parked.timer);
        Some(parked)
    }
}

/// They were well-formed when the request parked, and its bytes have not changed.
pub(super) fn essentials_of(parked: &Parked) -> Option<Essentials<'_>> {
    parked.held.message().essentials().ok()
}

/// The request as it was when it parked.
pub(super) fn pass_of<'p>(parked: &'p Parked, ess: &'p Essentials<'p>) -> Pass<'p> {
    let Parked { origin, id, since, server, .. } = *parked;
    let mut pass = Pass::new(origin, parked.held.message(), ess, id, since);
    pass.asker.server = Some(server);
    pass
}
