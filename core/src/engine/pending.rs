//! Requests that wait for the host: tickets, parking, deadlines.
//!
//! A room that cannot decide returns "park" as a value. The engine keeps one copy of the request here, arms a deadline
//! and asks. Requests that wait for the same key set share one question. Tickets carry a generation: a late, double or
//! forged answer finds nothing.

use std::collections::BTreeMap;

use super::messages::{Further, Sender};
use crate::auth::{KEYS_PATIENCE, Verdict};
use crate::base::{Key, Slab, Time, TimerKey};
use crate::ctx::Origin;
use crate::door::{Identity, Ticket};
use crate::messages::DeliveryKey;
use crate::txn::{ServerKey, TxnId};
use crate::wire::Held;

pub(super) type ParkedKey = Key<Parked>;

/// A request that waits.
#[derive(Clone, Debug)]
pub(super) struct Parked {
    /// Where it came from.
    pub(super) origin: Origin,
    /// The request, owned.
    pub(super) held: Held,
    /// Its transaction: retransmissions are absorbed there.
    pub(super) server: ServerKey,
    /// The identity of that transaction.
    pub(super) id: TxnId,
    /// When it came.
    pub(super) since: Time,
    /// What it waits for.
    pub(super) waits: Waits,
    /// When it is given up, or let go.
    pub(super) timer: TimerKey,
}

/// What a request waits for.
#[derive(Clone, Debug)]
pub(super) enum Waits {
    /// The keys of an issuer.
    Keys(u16),
    /// What is said of the token with this SHA-256.
    Introspection([u8; 32]),
    /// The credentials of one user.
    Credentials,
    /// The host, to say where a message goes.
    MessageRoute(Box<Sender>),
    /// A relay, to say what the description in it becomes.
    Media(MediaWait),
    /// The answers of phones to this sender's message; and if they do not take it, others may be asked.
    Message { delivery: DeliveryKey, sender: Sender, further: Option<Box<Further>> },
    /// Nothing: it is decided, and goes out later, so that time tells nothing.
    Delay(Verdict),
}

/// What a request goes on as, when its description is known.
#[derive(Clone, Debug)]
pub(super) enum MediaWait {
    /// One within a call.
    Within,
    /// An INVITE that takes somebody's place, of this identity or over this trunk.
    Replaces(Box<Identity>, Option<u16>),
}

/// All that waits.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    parked: Slab<Parked>,
    // One question per issuer under way; its ticket's generation rises with each question.
    keys: Vec<KeysAsked>,
    // One question per token under way, as long as somebody waits for its answer.
    tokens: Slab<TokenAsked>,
    tokens_by_name: BTreeMap<[u8; 32], Key<TokenAsked>>,
}

#[derive(Clone, Debug)]
struct TokenAsked {
    name: [u8; 32],
    /// Not empty.
    waiting: Vec<ParkedKey>,
}

#[derive(Clone, Copy, Debug, Default)]
struct KeysAsked {
    generation: u32,
    under_way: Option<Time>,
}

impl Pending {
    pub(super) fn len(&self) -> usize {
        self.parked.len()
    }

    pub(super) fn park(&mut self, parked: Parked) -> ParkedKey {
        self.parked.insert(parked)
    }

    pub(super) fn take(&mut self, key: ParkedKey) -> Option<Parked> {
        let parked = self.parked.remove(key)?;
        if let Waits::Introspection(name) = &parked.waits
            && let Some(&asked) = self.tokens_by_name.get(name)
            && let Some(token) = self.tokens.get_mut(asked)
        {
            token.waiting.retain(|waiting| *waiting != key);
            if token.waiting.is_empty() {
                self.tokens.remove(asked);
                self.tokens_by_name.remove(name);
            }
        }
        Some(parked)
    }

    /// The request of a transaction.
    pub(super) fn of(&self, server: ServerKey) -> Option<ParkedKey> {
        self.parked.iter().find(|(_, parked)| parked.server == server).map(|(key, _)| key)
    }

    pub(super) fn get(&self, key: ParkedKey) -> Option<&Parked> {
        self.parked.get(key)
    }

    pub(super) fn get_mut(&mut self, key: ParkedKey) -> Option<&mut Parked> {
        self.parked.get_mut(key)
    }

    /// Requests that wait for an issuer's keys, in the order they came in.
    pub(super) fn waiting_for_keys(&self, issuer: u16) -> Vec<ParkedKey> {
        let mut keys: Vec<(Time, ParkedKey)> = self
            .parked
            .iter()
            .filter(|(_, parked)| matches!(parked.waits, Waits::Keys(i) if i == issuer))
            .map(|(key, parked)| (parked.since, key))
            .collect();
        keys.sort();
        keys.into_iter().map(|(_, key)| key).collect()
    }

    /// A ticket to ask for an issuer's keys, or `None` while that question is under way.
    pub(super) fn ask_keys<K>(&mut self, now: Time, issuer: u16) -> Option<Ticket<K>> {
        let at = usize::from(issuer);
        if self.keys.len() <= at {
            self.keys.resize(at + 1, KeysAsked::default());
        }
        let asked = self.keys.get_mut(at)?;
        if asked.under_way.is_some_and(|since| now.since(since) < KEYS_PATIENCE) {
            return None;
        }
        asked.under_way = Some(now);
        asked.generation = asked.generation.wrapping_add(1);
        Some(Ticket::new(u32::from(issuer), asked.generation))
    }

    /// Questions for keys and of tokens under way are forgotten: their answers will be late.
    pub(super) fn void_keys(&mut self) {
        // Taken out one by one, so that no later question has the ticket of one of these.
        for (_, asked) in core::mem::take(&mut self.tokens_by_name) {
            self.tokens.remove(asked);
        }
        for asked in &mut self.keys {
            asked.under_way = None;
        }
    }

    /// A ticket to ask about the token a parked request came with, or `None` while that question is under way.
    pub(super) fn ask_token<K>(&mut self, name: [u8; 32], waits: ParkedKey) -> Option<Ticket<K>> {
        if let Some(asked) = self.tokens_by_name.get(&name).and_then(|&asked| self.tokens.get_mut(asked)) {
            asked.waiting.push(waits);
            return None;
        }
        let asked = self.tokens.insert(TokenAsked { name, waiting: vec![waits] });
        self.tokens_by_name.insert(name, asked);
        Some(Ticket::from_bits(asked.to_bits()))
    }

    /// The token an answered ticket was for, and who waits for it, in the order they came in; `None` if it is late,
    /// double or forged.
    pub(super) fn token_answered<K>(&mut self, ticket: Ticket<K>) -> Option<([u8; 32], Vec<ParkedKey>)> {
        let TokenAsked { name, waiting } = self.tokens.remove(Key::from_bits(ticket.to_bits()))?;
        self.tokens_by_name.remove(&name);
        Some((name, waiting))
    }

    /// The issuer an answered ticket was for; `None` if it is late, double or forged.
    pub(super) fn keys_answered<K>(&mut self, ticket: Ticket<K>) -> Option<u16> {
        let asked = self.keys.get_mut(usize::try_from(ticket.index).ok()?)?;
        if asked.under_way.is_none() || asked.generation != ticket.generation {
            return None;
        }
        asked.under_way = None;
        u16::try_from(ticket.index).ok()
    }
}
