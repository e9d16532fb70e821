//! Pager messages: RFC 3428. To all phones of the recipient at once, or kept for the next one that registers.
//!
//! - `letter`: what crosses, and how it is written.
//! - `spool`: what is kept.
//! - `outside`: what leaves, to other domains and over trunks.
//! - this file: what is on its way.
//!
//! A message of a sender is a *delivery*; each of its requests to a phone is a *leg*, and so is that of a kept message.
//! One leg at a time is on its way to a phone (RFC 3428 s8), the others wait for it. The first 2xx is the sender's; when
//! all have failed, it goes to the next step of its route as a call does, and in the end the best failure is the sender's:
//! each step has its share of the time he waits, and who is late may still take it. A sender who waits for too long is answered before he gives up (RFC 4320, DECISIONS
//! 17); what is on its way then goes on, and nobody hears of it.
//!
//! | a phone says | to a sender | of a kept message |
//! |---|---|---|
//! | 2xx | 200 | is forgotten, the next one follows |
//! | 405, 501 | as it is | another phone may take it |
//! | 408, 430, 480, 486, 491, 3xx | 480 | the next phone may take it |
//! | 401, 407 | 403 | is forgotten, the next one follows |
//! | 503 | 500 | the next phone may take it |
//! | other 5xx | as it is | the next phone may take it |
//! | anything else | as it is | is forgotten, the next one follows |
//! | nothing, or it cannot be reached | 480 | the next phone may take it |

mod letter;
mod outside;
mod spool;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::base::{Key, Slab};
use crate::config::MessagesConfig;
use crate::ctx::{Ctx, Locate, Refusal};
use crate::dialog::DATAGRAM;
use crate::door::{SaveSeq, StoredMessage};
use crate::stats::Counter;
use crate::txn::{Transactions, Usage};
use crate::wire::{Message, Method, PreparedLine, Status};
use spool::{KeptKey, Spool};

use outside::Abroad;

pub(crate) use letter::Letter;
pub(crate) use outside::Outside;
pub(crate) use spool::Wanted;

/// Names a leg while it is there.
pub(crate) type LegKey = Key<Leg>;
/// Names a delivery while its sender waits.
pub(crate) type DeliveryKey = Key<Delivery>;

/// One request to a phone.
#[derive(Clone, Debug)]
pub(crate) struct Leg {
    whose: Whose,
    to: To,
    /// What it sends.
    letter: Option<Arc<Letter>>,
}

/// Where a leg goes.
#[derive(Clone, Debug)]
enum To {
    /// To the phone of this binding; `tried` are those of the same instance that did not work (RFC 5626 s7).
    Phone { binding: u64, tried: Vec<u64> },
    /// Elsewhere.
    Abroad(Box<Abroad>, Box<str>),
}

/// Who takes one message at a time.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Place {
    Phone(u64),
    Uri(Box<str>),
}

impl To {
    fn phone(binding: u64) -> To {
        To::Phone { binding, tried: Vec::new() }
    }
}

impl Leg {
    fn abroad_mut(&mut self) -> Option<&mut Abroad> {
        match &mut self.to {
            To::Abroad(abroad, _) => Some(abroad),
            To::Phone { .. } => None,
        }
    }

    fn place(&self) -> Place {
        match &self.to {
            // The first one names the phone.
            To::Phone { binding, tried } => Place::Phone(tried.first().copied().unwrap_or(*binding)),
            To::Abroad(_, uri) => Place::Uri(uri.clone()),
        }
    }
}

/// Where a message goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// To the phone of this binding.
    Phone(u64),
    /// To another domain, or over a trunk.
    Outside(Outside),
}

/// For whom a leg goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whose {
    Sender(DeliveryKey),
    Spool(KeptKey),
}

/// What was sent to a phone, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// Its sender waits: his request, where the engine keeps it.
    Sender(u64),
    /// It was kept for this recipient.
    Kept(Box<str>),
    /// Nobody waits for it any more.
    Nobody,
}

/// What becomes of the other kept messages when one of them is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Then {
    /// The next one follows.
    GoOn,
    /// They wait for a phone to register.
    Stop,
}

/// A message whose sender waits.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// His request, where the engine keeps it.
    request: u64,
    /// Legs that may still succeed.
    open: usize,
    /// The best of those that failed.
    best: Option<Failure>,
    /// The best of those of the step that was sent last.
    step: Option<Failure>,
    /// When all have failed, others may be asked.
    more: bool,
}

/// Why a message was not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    /// What the sender is told.
    pub(crate) status: Status,
    /// Headers that explain it.
    pub(crate) lines: PreparedLine,
}

/// A delivery that is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Done {
    /// The request of the sender.
    pub(crate) request: u64,
    /// What became of it.
    pub(crate) result: Result<(), Failure>,
}

/// A delivery that nobody took yet, and others may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Unmet {
    /// The request of the sender.
    pub(crate) request: u64,
    /// What the last ones said of it.
    pub(crate) status: Status,
}

/// What goes to one phone, one at a time.
#[derive(Clone, Debug, Default)]
struct Lane {
    busy: Option<LegKey>,
    waiting: VecDeque<LegKey>,
    /// One of them is kept for this recipient, and the next one will follow it.
    emptying: Option<Box<str>>,
}

/// All messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Messages {
    legs: Slab<Leg>,
    deliveries: Slab<Delivery>,
    lanes: BTreeMap<Place, Lane>,
    /// Legs that leave and whose ways the engine is to find.
    looking: Vec<(LegKey, Box<str>)>,
    /// Those whose ways it was asked for.
    sought: BTreeSet<LegKey>,
    /// Legs whose turn it is.
    due: VecDeque<LegKey>,
    done: Vec<Done>,
    /// Deliveries that all have failed, where others may be asked.
    unmet: Vec<Unmet>,
    spool: Spool,
}

impl Failure {
    /// The recipient has phones, and none of them answers.
    fn unreached() -> Failure {
        Failure::plain(Status::TEMPORARILY_UNAVAILABLE)
    }

    fn plain(status: Status) -> Failure {
        Failure { status, lines: PreparedLine::default() }
    }

    /// Of a response of a phone.
    fn of(status: u16, msg: Message<'_>) -> Failure {
        let told = match status {
            // DECISIONS 3: that is between the phone and us.
            401 | 407 => return Failure::plain(Status::FORBIDDEN),
            // RFC 4320 s4.2 for 408; nobody else can follow a redirection, or knows the flow.
            300..=399 | 408 | 430 => Status::TEMPORARILY_UNAVAILABLE,
            // RFC 3261 s16.7 step 6: it is the phone that has no time, not we.
            503 => return Failure::plain(Status::SERVER_ERROR),
            _ => Status(status),
        };
        Failure { status: told, lines: letter::explanation(msg) }
    }

    /// RFC 3261 s16.7 step 6: smaller is better.
    fn rank(&self) -> u8 {
        match self.status.0 {
            600.. => 0,
            // It says what to change.
            413 | 415 | 420 | 484 => 1,
            // It says least.
            480 => 3,
            ..=499 => 2,
            500..=599 => 4,
        }
    }
}

/// May another phone take what was answered so, or this one later?
fn may_be_taken_later(status: u16) -> bool {
    matches!(status, 300..=399 | 405 | 408 | 430 | 480 | 486 | 491 | 500..=599)
}

impl Messages {
    /// How many are on their way.
    pub(crate) fn len(&self) -> usize {
        self.deliveries.len() + self.legs.len()
    }

    /// How many are kept.
    pub(crate) fn kept(&self) -> usize {
        self.spool.len()
    }

    /// What a request of ours is for.
    pub(crate) fn purpose(&self, bits: u64) -> Purpose {
        let leg = self.legs.get(LegKey::from_bits(bits));
        let purpose = leg.and_then(|leg| match leg.whose {
            Whose::Sender(key) => self.deliveries.get(key).map(|sent| Purpose::Sender(sent.request)),
            Whose::Spool(key) => self.spool.recipient(key).map(Purpose::Kept),
        });
        purpose.unwrap_or(Purpose::Nobody)
    }

    /// Sends a message to all of these. The sender's request is kept until this is over. With `more` it is not over when all
    /// have failed.
    pub(crate) fn deliver(
        &mut self,
        ctx: &mut Ctx<'_>,
        request: u64,
        targets: Vec<(Target, Arc<Letter>)>,
        more: bool,
    ) -> DeliveryKey {
        let key = self.deliveries.insert(Delivery { request, open: 0, best: None, step: None, more });
        self.deliver_on(ctx, key, targets, more);
        key
    }

    /// Sends it to these as well.
    pub(crate) fn deliver_on(
        &mut self,
        ctx: &mut Ctx<'_>,
        key: DeliveryKey,
        targets: Vec<(Target, Arc<Letter>)>,
        more: bool,
    ) {
        let Some(delivery) = self.deliveries.get_mut(key) else { return };
        delivery.open += targets.len();
        delivery.more = more;
        for (target, letter) in targets {
            let to = match target {
                Target::Phone(binding) => To::phone(binding),
                Target::Outside(outside) => {
                    let uri = outside.uri.clone();
                    To::Abroad(Box::new(Abroad::new(outside)), uri)
                }
            };
            let leg = Leg { whose: Whose::Sender(key), to, letter: Some(letter) };
            let full = |lane: &Lane| lane.waiting.len() >= ctx.settings.limits.messages_waiting;
            if self.lanes.get(&leg.place()).is_some_and(full) {
                ctx.stats.count(Counter::Overload);
                self.leg_failed(key, Failure::unreached());
            } else {
                self.line_up(leg);
            }
        }
    }

    /// Nobody else is asked: it is over when all have failed.
    pub(crate) fn no_more(&mut self, key: DeliveryKey) {
        let Some(delivery) = self.deliveries.get_mut(key) else { return };
        delivery.more = false;
        if delivery.open == 0 {
            let best = delivery.best.take().unwrap_or_else(Failure::unreached);
            self.finish(key, Err(best));
        }
    }

    /// Keeps a message for a recipient who is not there.
    pub(crate) fn keep(
        &mut self,
        ctx: &mut Ctx<'_>,
        config: &MessagesConfig,
        what: (&str, Letter, Wanted),
    ) -> Result<Option<SaveSeq>, Refusal> {
        self.spool.keep(ctx, config, what)
    }

    /// A phone has registered: it gets what was kept, one after the other.
    pub(crate) fn arrived(&mut self, aor: &str, binding: u64) {
        if self.lanes.get(&Place::Phone(binding)).is_none_or(|lane| lane.emptying.is_none()) {
            self.send_kept(aor, binding);
        }
    }

    fn send_kept(&mut self, aor: &str, binding: u64) {
        let Some((key, letter)) = self.spool.take_next(aor) else { return };
        self.line_up(Leg { whose: Whose::Spool(key), to: To::phone(binding), letter: Some(letter) });
        if let Some(lane) = self.lanes.get_mut(&Place::Phone(binding)) {
            lane.emptying = Some(aor.into());
        }
    }

    fn line_up(&mut self, leg: Leg) {
        let place = leg.place();
        let key = self.legs.insert(leg);
        let lane = self.lanes.entry(place).or_default();
        match lane.busy {
            Some(_) => lane.waiting.push_back(key),
            None => {
                lane.busy = Some(key);
                self.due.push_back(key);
            }
        }
    }

    /// Sends what is due.
    pub(crate) fn send_due(&mut self, ctx: &mut Ctx<'_>, txn: &mut Transactions, phones: &dyn Locate) {
        while let Some(key) = self.due.pop_front() {
            if !self.is_wanted(key) {
                self.end(key, Then::GoOn);
            } else if !self.send(ctx, txn, phones, key) && !self.other_flow(ctx, phones, key) {
                self.fail(key);
            }
        }
        if self.due.capacity() > 64 {
            self.due = VecDeque::new();
        }
    }

    /// Not if its sender has been answered, or it has expired.
    fn is_wanted(&self, key: LegKey) -> bool {
        self.legs.get(key).is_some_and(|leg| match leg.whose {
            Whose::Sender(delivery) => self.deliveries.contains(delivery),
            Whose::Spool(kept) => self.spool.recipient(kept).is_some(),
        })
    }

    /// False if the phone cannot be reached now, or there is no room for a transaction.
    fn send(&mut self, ctx: &mut Ctx<'_>, txn: &mut Transactions, phones: &dyn Locate, key: LegKey) -> bool {
        let Some(leg) = self.legs.get_mut(key) else { return true };
        let To::Phone { binding, .. } = leg.to else { return self.send_abroad(ctx, txn, key) };
        let Some(letter) = leg.letter.clone() else { return true };
        let Some(mut phone) = phones.bound(ctx, binding, false) else { return false };
        let (mut payload, mut branch) = letter.write(ctx, &phone);
        if payload.len() > DATAGRAM && !phone.to.transport.is_reliable() {
            // DECISIONS 14.
            match phones.bound(ctx, binding, true) {
                Some(other) if other.to.transport.is_reliable() => {
                    phone = other;
                    (payload, branch) = letter.write(ctx, &phone);
                }
                _ => ctx.stats.count(Counter::LargeDatagrams),
            }
        }
        let usage = Usage::Message(key.to_bits());
        let sent = txn.send(ctx, &phone.to, Method::Message, usage, &branch, payload);
        if sent.is_err() {
            ctx.stats.count(Counter::Overload);
        }
        sent.is_ok()
    }

    /// A phone answered.
    pub(crate) fn on_response(
        &mut self,
        ctx: &mut Ctx<'_>,
        phones: &dyn Locate,
        bits: u64,
        (status, msg): (u16, Message<'_>),
    ) {
        let key = LegKey::from_bits(bits);
        let Some(whose) = self.legs.get(key).filter(|_| status >= 200).map(|leg| leg.whose) else { return };
        if status < 300 {
            ctx.stats.count(Counter::MessagesTaken);
        }
        if let (503, Some(seconds), Some(server)) = (status, msg.retry_after(), self.server_of(key)) {
            ctx.leave_alone(server, seconds);
        }
        if self.again_abroad(key, status, Some(msg)) || status == 430 && self.other_flow(ctx, phones, key) {
            return;
        }
        match whose {
            Whose::Sender(delivery) if status < 300 => self.finish(delivery, Ok(())),
            Whose::Sender(delivery) => self.leg_failed(delivery, Failure::of(status, msg)),
            Whose::Spool(kept) if may_be_taken_later(status) => {
                self.spool.put_back(kept);
                return self.end(key, Then::Stop);
            }
            Whose::Spool(kept) => _ = self.spool.forget(ctx, kept),
        }
        self.end(key, Then::GoOn);
    }

    /// A phone did not answer, or cannot be reached.
    pub(crate) fn on_failure(&mut self, ctx: &Ctx<'_>, phones: &dyn Locate, bits: u64) {
        let key = LegKey::from_bits(bits);
        if self.again_abroad(key, 408, None) || self.other_flow(ctx, phones, key) {
            return;
        }
        self.fail(key);
    }

    /// RFC 5626 s7: another flow of the same instance, after 430 or silence. False if there is none.
    fn other_flow(&mut self, ctx: &Ctx<'_>, phones: &dyn Locate, key: LegKey) -> bool {
        let Some(To::Phone { binding, tried }) = self.legs.get_mut(key).map(|leg| &mut leg.to) else {
            return false;
        };
        tried.push(*binding);
        match phones.other_flow(ctx, tried) {
            Some(other) => {
                *binding = other;
                self.due.push_back(key);
                true
            }
            None => {
                tried.pop();
                false
            }
        }
    }

    fn fail(&mut self, key: LegKey) {
        match self.legs.get(key).map(|leg| leg.whose) {
            Some(Whose::Sender(delivery)) => self.leg_failed(delivery, Failure::unreached()),
            Some(Whose::Spool(kept)) => self.spool.put_back(kept),
            None => return,
        }
        self.end(key, Then::Stop);
    }

    fn leg_failed(&mut self, key: DeliveryKey, failure: Failure) {
        let Some(delivery) = self.deliveries.get_mut(key) else { return };
        delivery.open = delivery.open.saturating_sub(1);
        let better = |than: &Option<Failure>| than.as_ref().is_none_or(|best| failure.rank() < best.rank());
        if better(&delivery.best) {
            delivery.best = Some(failure.clone());
        }
        if better(&delivery.step) {
            delivery.step = Some(failure);
        }
        if delivery.open > 0 {
            return;
        }
        match delivery.step.take().filter(|_| delivery.more) {
            Some(Failure { status, .. }) => self.unmet.push(Unmet { request: delivery.request, status }),
            None => self.no_more(key),
        }
    }

    fn finish(&mut self, key: DeliveryKey, result: Result<(), Failure>) {
        if let Some(Delivery { request, .. }) = self.remove(key) {
            self.done.push(Done { request, result });
        }
    }

    /// The sender will wait no longer: what he is told.
    pub(crate) fn give_up(&mut self, key: DeliveryKey) -> Option<Failure> {
        self.remove(key).map(|delivery| delivery.best.unwrap_or_else(Failure::unreached))
    }

    fn remove(&mut self, key: DeliveryKey) -> Option<Delivery> {
        let delivery = self.deliveries.remove(key)?;
        // Nobody waits for where it is, and who was asked may never say.
        let of = |leg: &LegKey| self.legs.get(*leg).is_none_or(|leg| leg.whose == Whose::Sender(key));
        let lost: Vec<LegKey> = self.sought.iter().copied().filter(of).collect();
        for leg in lost {
            self.sought.remove(&leg);
            self.end(leg, Then::GoOn);
        }
        Some(delivery)
    }

    /// What nobody took since the last call, and others may.
    pub(crate) fn take_unmet(&mut self) -> Vec<Unmet> {
        core::mem::take(&mut self.unmet)
    }

    /// What is over since the last call.
    pub(crate) fn take_done(&mut self) -> Vec<Done> {
        core::mem::take(&mut self.done)
    }

    /// A leg is over; the next one to its phone follows.
    fn end(&mut self, key: LegKey, then: Then) {
        let Some(leg) = self.legs.remove(key) else { return };
        let (place, whose) = (leg.place(), leg.whose);
        let Some(lane) = self.lanes.get_mut(&place) else { return };
        let kept = matches!(whose, Whose::Spool(_));
        let recipient = if kept { lane.emptying.take() } else { None };
        lane.busy = lane.waiting.pop_front();
        self.due.extend(lane.busy);
        if lane.busy.is_none() {
            self.lanes.remove(&place);
        }
        if let (Some(aor), Place::Phone(binding)) = (recipient.filter(|_| then == Then::GoOn), place) {
            self.send_kept(&aor, binding);
        }
    }

    /// A message was kept for long enough.
    pub(crate) fn on_expiry(&mut self, ctx: &mut Ctx<'_>, bits: u64) {
        self.spool.on_expiry(ctx, bits);
    }

    /// Nothing is kept for this recipient any more.
    pub(crate) fn drop_kept(&mut self, ctx: &mut Ctx<'_>, aor: &str) {
        self.spool.drop_all(ctx, aor);
    }

    /// What was to make a message durable failed: it is not kept. True if there was such a message.
    pub(crate) fn on_save_failed(&mut self, ctx: &mut Ctx<'_>, seq: SaveSeq) -> bool {
        self.spool.on_save_failed(ctx, seq)
    }

    /// Takes over a message of an earlier life.
    pub(crate) fn restore(&mut self, ctx: &mut Ctx<'_>, stored: StoredMessage) {
        self.spool.restore(ctx, stored);
    }

    /// It was taken in that life.
    pub(crate) fn restore_removal(&mut self, ctx: &mut Ctx<'_>, id: u64) {
        self.spool.restore_removal(ctx, id);
    }
}
