//! Users of the host's store, remembered for a while, so that it is asked once and not with each request.
//!
//! Only who exists is remembered: names that are made up would push out those that are real.

use std::sync::Arc;

use smallvec::SmallVec;

use super::cache::Cache;
use crate::base::hash::DigestAlgorithm;
use crate::base::{HashKey, TimerKey};
use crate::config::HashedCredential;
use crate::ctx::{Ctx, Timer};
use crate::door::Identity;

/// What is known of a user: the hash for one algorithm, and who he is.
pub(super) type Known = (HashedCredential, Arc<Identity>);

/// The users that are remembered.
#[derive(Clone, Debug)]
pub(super) struct Users {
    cache: Cache<Known>,
    timer: TimerKey,
}

impl Users {
    pub(super) fn new(hash_key: HashKey) -> Users {
        Users { cache: Cache::new(hash_key), timer: TimerKey::NONE }
    }

    /// What is known of a user, if that is not too long ago.
    pub(super) fn find(&mut self, ctx: &Ctx<'_>, name: &str, algorithm: DigestAlgorithm) -> Option<Known> {
        if self.cache.len() == 0 {
            return None;
        }
        self.cache.hit(&key(name, algorithm), ctx.now).cloned()
    }

    /// Remembers him for `DigestConfig::foreign_lifetime`.
    pub(super) fn keep(&mut self, ctx: &mut Ctx<'_>, known: Known) {
        let (life, limit) = (ctx.settings.digest.foreign_lifetime, ctx.settings.limits.users);
        if life.is_zero() {
            return;
        }
        let name = key(&known.1.account, known.0.algorithm);
        self.cache.insert(&name, known, ctx.now + life, limit);
        self.arm(ctx);
    }

    /// Forgets what is known of a user.
    pub(super) fn forget(&mut self, name: &str) {
        for algorithm in DigestAlgorithm::STRONGEST_FIRST {
            self.cache.forget(&key(name, algorithm));
        }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self, ctx: &mut Ctx<'_>) {
        self.cache.clear();
        ctx.timers.disarm(core::mem::take(&mut self.timer));
    }

    /// The first of them may be known for too long.
    pub(super) fn on_timer(&mut self, ctx: &mut Ctx<'_>) {
        self.timer = TimerKey::NONE;
        self.cache.expire(ctx.now);
        self.arm(ctx);
    }

    pub(super) fn len(&self) -> usize {
        self.cache.len()
    }

    fn arm(&mut self, ctx: &mut Ctx<'_>) {
        if self.timer.is_none()
            && let Some(death) = self.cache.next_death()
        {
            self.timer = ctx.timers.arm(death, Timer::Users);
        }
    }
}

fn key(name: &str, algorithm: DigestAlgorithm) -> SmallVec<[u8; 48]> {
    let mut key = SmallVec::from_slice(name.as_bytes());
    key.push(algorithm as u8);
    key
}
