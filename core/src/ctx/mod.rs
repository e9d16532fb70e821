//! What each room is handed for one pass: the time, the outbox, the timers, ids, counters, flows and settings.
//! `Ctx` is passed, never stored.

#[cfg(test)]
pub(crate) mod fixture;
mod flows;
mod outbox;
mod phone;
mod published;
mod refusal;
mod timer;

pub(crate) use flows::{Flow, Flows, Origin};
pub(crate) use outbox::Outbox;
pub(crate) use phone::Phone;
pub(crate) use published::Published;
pub(crate) use refusal::{Extra, Refusal};
pub(crate) use timer::{ClientTimer, ServerTimer, Timer};

use std::sync::Arc;

use crate::base::{Ids, Time, Wheel};
use crate::config::Settings;
use crate::stats::Stats;

/// Everything a room may use beside its own state, for the length of one pass.
pub(crate) struct Ctx<'e> {
    /// The engine's time of this pass.
    pub(crate) now: Time,
    /// Wall time is `now` plus this many nanoseconds (`Input::Clock`); only Date, token claims and stored expiries use it.
    pub(crate) wall_offset: i64,
    /// Where commands go, and the arena messages are written into.
    pub(crate) out: &'e mut Outbox,
    /// All timers of the engine.
    pub(crate) timers: &'e mut Wheel<Timer>,
    /// Identifiers, drawn per kind.
    pub(crate) ids: &'e mut Ids,
    /// Counters.
    pub(crate) stats: &'e mut Stats,
    /// Sockets that are up.
    pub(crate) flows: &'e Flows,
    /// The configuration of this pass.
    pub(crate) settings: &'e Arc<Settings>,
}

impl Ctx<'_> {
    /// Wall-clock time: for Date headers, token claims and whatever else is compared with other machines' clocks.
    pub(crate) fn wall(&self) -> Time {
        self.to_wall(self.now)
    }

    /// A time of the engine by the wall clock: what is stored is compared with that of the next life.
    pub(crate) fn to_wall(&self, time: Time) -> Time {
        Time::from_nanos(time.as_nanos().saturating_add_signed(self.wall_offset))
    }

    /// The other way round.
    pub(crate) fn at_wall(&self, time: Time) -> Time {
        Time::from_nanos(time.as_nanos().saturating_add_signed(self.wall_offset.saturating_neg()))
    }
}
