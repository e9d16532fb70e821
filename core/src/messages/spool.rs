//! Messages for those who are not there: kept, in the order they came, until a phone of theirs registers and takes them.
//!
//! A message goes to the binding that was registered, not to its address of record again: it cannot run in circles. One
//! that was taken, or refused for good, is forgotten; any other waits for the next phone, until it expires.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::letter::Letter;
use crate::base::{Key, Slab, Time, TimerKey};
use crate::config::MessagesConfig;
use crate::ctx::{Ctx, Refusal, Timer};
use crate::door::{Change, SaveSeq, StoredMessage};
use crate::stats::Counter;
use crate::wire::{Header, Message, PreparedLine, Status};

/// Names a kept message.
pub(super) type KeptKey = Key<Kept>;

/// One message.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// For whom it is: a canonical address of record.
    aor: Box<str>,
    letter: Arc<Letter>,
    timer: TimerKey,
    /// It is on its way to a phone.
    busy: bool,
    /// Names it in the store.
    id: u64,
    /// The save that put it there.
    saved: Option<SaveSeq>,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Spool {
    kept: Slab<Kept>,
    /// Of one recipient, oldest first.
    by_aor: BTreeMap<Box<str>, VecDeque<KeptKey>>,
    by_id: BTreeMap<u64, KeptKey>,
    last_id: u64,
}

/// What a message says of being kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// Seconds after which it is of no use.
    expires: Option<u32>,
    /// It says when it was sent.
    dated: bool,
    /// It is of no use later: that somebody is typing (RFC 3994).
    fleeting: bool,
}

impl Wanted {
    /// Of a request.
    pub(crate) fn of(msg: Message<'_>) -> Wanted {
        let kind = msg.header(Header::ContentType).unwrap_or_default();
        let kind = kind.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        Wanted {
            expires: msg.expires(),
            dated: msg.header(Header::Date).is_some(),
            fleeting: kind.eq_ignore_ascii_case(b"application/im-iscomposing+xml"),
        }
    }
}

impl Spool {
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Keeps a message; the save that makes it durable. A recipient who has no room is not there.
    pub(super) fn keep(
        &mut self,
        ctx: &mut Ctx<'_>,
        config: &MessagesConfig,
        (aor, letter, wanted): (&str, Letter, Wanted),
    ) -> Result<Option<SaveSeq>, Refusal> {
        const NOT_THERE: Refusal = Refusal::plain(Status::TEMPORARILY_UNAVAILABLE);
        let limits = &ctx.settings.limits;
        let expires = wanted.expires.unwrap_or(config.default_expires).min(config.max_expires);
        if !config.store || wanted.fleeting || expires == 0 {
            return Err(NOT_THERE);
        }
        if letter.body.len() > limits.message_bytes_stored {
            return Err(Refusal::plain(Status::ENTITY_TOO_LARGE));
        }
        let has = self.by_aor.get(aor).map_or(0, VecDeque::len);
        if self.kept.len() >= limits.stored_messages || has >= limits.stored_messages_per_aor {
            ctx.stats.count(Counter::Overload);
            return Err(NOT_THERE);
        }
        // Whoever reads it later shall know when it was sent.
        let letter = if wanted.dated {
            letter
        } else {
            let wall = ctx.wall();
            letter.dated(&ctx.out.date(wall))
        };
        ctx.stats.count(Counter::MessagesKept);
        let expires_at = ctx.now + Duration::from_secs(expires.into());
        self.last_id += 1;
        let id = self.last_id;
        let saved = ctx.settings.tell.changes.then(|| {
            let stored = StoredMessage {
                id,
                aor: aor.into(),
                received: ctx.wall(),
                expires_at: ctx.to_wall(expires_at),
                parties: [letter.from.clone(), letter.to.clone()],
                lines: letter.lines.bytes().into(),
                body: letter.body.clone(),
                max_forwards: letter.max_forwards,
            };
            ctx.out.save(Change::PutMessage(Box::new(stored)))
        });
        self.add(ctx, aor, letter, expires_at, (id, saved));
        Ok(saved)
    }

    fn add(
        &mut self,
        ctx: &mut Ctx<'_>,
        aor: &str,
        letter: Letter,
        expires_at: Time,
        (id, saved): (u64, Option<SaveSeq>),
    ) {
        let letter = Arc::new(letter);
        let kept = Kept { aor: aor.into(), letter, timer: TimerKey::NONE, busy: false, id, saved };
        let key = self.kept.insert(kept);
        let timer = ctx.timers.arm(expires_at, Timer::KeptMessage(key.to_bits()));
        if let Some(kept) = self.kept.get_mut(key) {
            kept.timer = timer;
        }
        self.by_id.insert(id, key);
        match self.by_aor.get_mut(aor) {
            Some(queue) => queue.push_back(key),
            None => drop(self.by_aor.insert(aor.into(), VecDeque::from([key]))),
        }
    }

    /// The oldest message for a recipient that is not on its way; it is from now on.
    pub(super) fn take_next(&mut self, aor: &str) -> Option<(KeptKey, Arc<Letter>)> {
        let queue = self.by_aor.get(aor)?;
        let key = queue.iter().copied().find(|key| self.kept.get(*key).is_some_and(|kept| !kept.busy))?;
        let kept = self.kept.get_mut(key)?;
        kept.busy = true;
        Some((key, kept.letter.clone()))
    }

    /// For whom a message is, while it is kept.
    pub(super) fn recipient(&self, key: KeptKey) -> Option<Box<str>> {
        self.kept.get(key).map(|kept| kept.aor.clone())
    }

    /// A phone did not take it now: another one may, or this one later.
    pub(super) fn put_back(&mut self, key: KeptKey) {
        if let Some(kept) = self.kept.get_mut(key) {
            kept.busy = false;
        }
    }

    /// It was taken, or is given up.
    pub(super) fn forget(&mut self, ctx: &mut Ctx<'_>, key: KeptKey) -> bool {
        let Some(kept) = self.kept.remove(key) else { return false };
        ctx.timers.disarm(kept.timer);
        self.by_id.remove(&kept.id);
        if let Some(queue) = self.by_aor.get_mut(&kept.aor) {
            queue.retain(|other| *other != key);
            if queue.is_empty() {
                self.by_aor.remove(&kept.aor);
            }
        }
        if ctx.settings.tell.changes {
            ctx.out.save(Change::RemoveMessage { id: kept.id });
        }
        true
    }

    /// All for one recipient are given up; one on its way may still arrive.
    pub(super) fn drop_all(&mut self, ctx: &mut Ctx<'_>, aor: &str) {
        let keys: Vec<KeptKey> = self.by_aor.get(aor).into_iter().flatten().copied().collect();
        for key in keys {
            self.forget(ctx, key);
        }
    }

    /// Nobody came for it in time.
    pub(super) fn on_expiry(&mut self, ctx: &mut Ctx<'_>, bits: u64) {
        if self.forget(ctx, KeptKey::from_bits(bits)) {
            ctx.stats.count(Counter::MessagesExpired);
        }
    }

    /// What was to make a message durable failed: it is not kept. True if there is such a message.
    pub(super) fn on_save_failed(&mut self, ctx: &mut Ctx<'_>, seq: SaveSeq) -> bool {
        let failed = self.kept.iter().find(|(_, kept)| kept.saved == Some(seq)).map(|(key, _)| key);
        failed.is_some_and(|key| self.forget(ctx, key))
    }

    /// Takes over a message of an earlier life.
    pub(super) fn restore(&mut self, ctx: &mut Ctx<'_>, stored: StoredMessage) {
        let StoredMessage { id, aor, expires_at, parties: [from, to], lines, body, max_forwards, .. } =
            stored;
        self.last_id = self.last_id.max(id);
        let expires_at = ctx.at_wall(expires_at);
        let known = self.by_id.contains_key(&id);
        if known || expires_at <= ctx.now || self.kept.len() >= ctx.settings.limits.stored_messages {
            if !known && ctx.settings.tell.changes {
                ctx.out.save(Change::RemoveMessage { id });
            }
            return;
        }
        let letter = Letter { from, to, lines: PreparedLine::restored(lines), body, max_forwards };
        self.add(ctx, &aor, letter, expires_at, (id, None));
    }

    /// It was taken in that life.
    pub(super) fn restore_removal(&mut self, ctx: &mut Ctx<'_>, id: u64) {
        self.last_id = self.last_id.max(id);
        if let Some(key) = self.by_id.get(&id).copied() {
            self.forget(ctx, key);
        }
    }
}
