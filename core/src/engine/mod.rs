//! The doors, and the three flat files where the rooms meet: `dispatch` (verdict to next room), `resume` (answer to
//! room), `tick` (timer to room). `pending` keeps what waits for the host; `answer` writes what rooms decided; `host`
//! serves the host's own requests; `again` is the short way of a REGISTER that says nothing new.

mod again;
mod agent;
mod answer;
mod calls;
mod dialogs;
mod dispatch;
mod host;
mod host_calls;
mod inspect;
mod lists;
mod loops;
mod mailboxes;
mod media;
mod messages;
mod news;
mod options;
mod pending;
mod presence;
mod resume;
mod routes;
mod standing;
mod tell;
#[cfg(test)]
mod tests;
mod tick;
mod trunks;
mod ua;

use core::fmt::{self, Write as _};
use core::hash::Hasher as _;
use std::sync::Arc;

use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::agent::{Agent, Notices, Trunks, Uas};
use crate::auth::Auth;
use crate::base::{Ids, Time, TimerKey, Wheel};
use crate::bridge::Bridge;
use crate::config::Settings;
use crate::ctx::{Ctx, Flows, Outbox, Overloaded, Timer};
use crate::door::{Command, FlowId, Input};
use crate::events::Events;
use crate::lines::Lines;
use crate::mailboxes::Mailboxes;
use crate::messages::Messages;
use crate::presence::Presence;
use crate::registrar::Registrar;
use crate::stats::{Counter, Sizes, Stats};
use crate::txn::Transactions;
use media::Media;
use news::News;
use pending::Pending;
use routes::Routings;
use standing::Standing;

/// A SIP server as a pure state machine: a function of (settings, seed, sequence of inputs).
///
/// It never reads a clock, draws randomness, opens a socket, spawns, locks or logs. Same settings, seed and inputs,
/// same commands, on every machine.
///
/// # Methods by class
///
/// - *handlers* take an event in: [`handle`](Engine::handle). Total: never fails, never panics on data.
/// - *pollers* give what came of it: [`poll_command`](Engine::poll_command), one FIFO in the order of cause, and
///   [`poll_timeout`](Engine::poll_timeout), the next time it wants to be called.
/// - *getters* look without touching: [`stats`](Engine::stats), [`sizes`](Engine::sizes),
///   [`fingerprint`](Engine::fingerprint).
///
/// # Contracts
///
/// - Every `handle` first advances timers to `now` (at most
///   [`Limits::timers_per_call`](crate::config::Limits::timers_per_call)), then takes its input.
/// - `handle` may be called any number of times before draining; draining after each input or only at the end gives
///   the same commands.
/// - Commands come in the order **change, wire, event**: a `Save` precedes the `Transmit` that acknowledges it.
/// - One `handle` does bounded work; what is left makes `poll_timeout` return a time that has come. An early or repeated
///   [`Input::Timeout`] is harmless, and after a due one something has moved.
/// - A `now` smaller than the last one is clamped and counted.
#[derive(Clone, Debug)]
pub struct Engine {
    house: House,
    rooms: Rooms,
}

/// What `Ctx` hands out, owned between passes.
#[derive(Clone, Debug)]
struct House {
    now: Time,
    wall_offset: i64,
    out: Outbox,
    timers: Wheel<Timer>,
    ids: Ids,
    stats: Stats,
    flows: Flows,
    overloaded: Overloaded,
    settings: Arc<Settings>,
}

/// The rooms with state.
#[derive(Clone, Debug)]
struct Rooms {
    txn: Transactions,
    auth: Auth,
    registrar: Registrar,
    events: Events,
    presence: Presence,
    mailboxes: Mailboxes,
    lines: Lines,
    messages: Messages,
    pending: Pending,
    standing: Standing,
    news: News,
    agent: Agent,
    notices: Notices,
    trunks: Trunks,
    uas: Uas,
    bridge: Bridge,
    media: Media,
    routes: Routings,
    draining: bool,
    /// When it has lasted long enough.
    drain: TimerKey,
}

/// Hashes the text that is written to it.
struct Hashed(SipHasher13);

impl fmt::Write for Hashed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

impl House {
    fn ctx(&mut self) -> Ctx<'_> {
        Ctx {
            now: self.now,
            wall_offset: self.wall_offset,
            out: &mut self.out,
            timers: &mut self.timers,
            ids: &mut self.ids,
            stats: &mut self.stats,
            flows: &mut self.flows,
            overloaded: &mut self.overloaded,
            settings: &self.settings,
        }
    }
}

impl Engine {
    /// An engine at `now`. Settings come from [`Config::validate`](crate::config::Config::validate); the seed must be
    /// fresh at every start in production, and fixed in tests.
    pub fn new(settings: Arc<Settings>, seed: [u8; 32], now: Time) -> Engine {
        Engine::with_ids(settings, Ids::new(&seed), now)
    }

    /// As [`new`](Engine::new), with hash tables keyed by a seed of their own. For tests: it may change nothing.
    #[doc(hidden)]
    pub fn with_hash_seed(settings: Arc<Settings>, seed: [u8; 32], hash_seed: [u8; 32], now: Time) -> Engine {
        Engine::with_ids(settings, Ids::new(&seed).with_hash_seed(&hash_seed), now)
    }

    fn with_ids(settings: Arc<Settings>, mut ids: Ids, now: Time) -> Engine {
        let rooms = Rooms {
            txn: Transactions::new(&ids),
            auth: Auth::new(&mut ids, &settings),
            registrar: Registrar::new(&mut ids),
            events: Events::new(&ids),
            presence: Presence::new(&ids),
            mailboxes: Mailboxes::default(),
            lines: Lines::default(),
            messages: Messages::default(),
            pending: Pending::default(),
            standing: Standing::default(),
            news: News::default(),
            agent: Agent::default(),
            notices: Notices::default(),
            trunks: Trunks::default(),
            uas: Uas::default(),
            bridge: Bridge::new(&ids),
            media: Media::default(),
            routes: Routings::default(),
            draining: false,
            drain: TimerKey::NONE,
        };
        let house = House {
            now,
            wall_offset: 0,
            out: Outbox::default(),
            timers: Wheel::new(now),
            ids,
            stats: Stats::default(),
            flows: Flows::default(),
            overloaded: Overloaded::default(),
            settings,
        };
        let mut engine = Engine { house, rooms };
        engine.listen(false);
        engine.ask_for_missing_keys();
        engine.configure_trunks();
        engine
    }

    /// Takes one input at the host's time. Bad input becomes a response or a counted drop.
    pub fn handle(&mut self, now: Time, input: Input<'_>) {
        if now < self.house.now {
            self.house.stats.count(Counter::ClockBackwards);
        } else {
            self.house.now = now;
        }
        self.rooms.registrar.show_changes(!self.is_alone());
        self.run_timers();
        match input {
            Input::Message { flow, remote, local, data } => self.on_message(flow, remote, local, data),
            Input::Timeout => {}
            Input::KeepAlive { flow, remote, kind } => self.on_keepalive(flow, remote, kind),
            Input::FlowUp { .. } | Input::FlowDown { .. } => self.on_flow(input),
            Input::BadFrame { flow, head, reason } => self.on_bad_frame(flow, head, reason),
            Input::SendFailed { flow, remote, reason } => self.on_send_failed(flow, remote, reason),
            Input::Answer(answer) => self.on_answer(answer),
            Input::Saved(seq) => self.on_saved(seq),
            Input::SaveFailed(seq) => self.on_save_failed(seq),
            Input::Host { reply, request } => self.on_host(reply, request),
            Input::Clock { wall_offset } => self.house.wall_offset = wall_offset,
            Input::Reload(settings) => self.on_reload(settings),
        }
        self.settle_calls();
        self.settle_messages();
        if self.house.settings.has_events() || self.rooms.events.len() > 0 {
            self.settle_presence();
        }
    }

    /// The next command, oldest first. `None` until another input is handled.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.house.out.pop()
    }

    /// When `handle` wants to be called again at the latest; `None` if nothing is due ever. It may be the time of a timer
    /// that is no longer needed: then the call does nothing but tell the next time.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.house.timers.next_deadline()
    }

    /// All counters.
    pub fn stats(&self) -> &Stats {
        &self.house.stats
    }

    /// How large the tables are now.
    pub fn sizes(&self) -> Sizes {
        let Rooms {
            txn,
            auth,
            registrar,
            events,
            presence,
            mailboxes,
            lines,
            messages,
            pending,
            agent,
            notices,
            trunks,
            uas,
            bridge,
            media,
            routes,
            ..
        } = &self.rooms;
        let (users, revocations) = auth.remembered();
        Sizes {
            aors: registrar.aors(),
            bindings: registrar.bindings(),
            transactions: txn.len(),
            transaction_bytes: txn.bytes(),
            flows: self.house.flows.len(),
            parked: pending.len(),
            subscriptions: events.len(),
            publications: presence.publications(),
            presentities: presence.len(),
            wishes: agent.len() + notices.len() + uas.begun(),
            user_agents: uas.len(),
            mailboxes: mailboxes.len(),
            lines: lines.len(),
            trunks_down: trunks.down(),
            trunks_registered: trunks.registered(),
            servers_overloaded: self.house.overloaded.len(),
            calls: bridge.len(),
            call_dialogs: bridge.dialogs(),
            call_keys: bridge.keys(),
            media_sessions: media.len(),
            routes: routes.len(),
            messages: messages.len(),
            stored_messages: messages.kept(),
            nonces: auth.nonces(),
            tokens: auth.tokens(),
            users,
            revocations,
            timers: self.house.timers.len(),
            commands: self.house.out.len(),
        }
    }

    /// Whether anything here needs this connection to stay open although it is silent (DECISIONS 11). A host asks before
    /// it closes an idle one.
    pub fn is_flow_in_use(&self, flow: FlowId) -> bool {
        self.rooms.registrar.uses_flow(flow)
            || self.rooms.events.uses_flow(flow)
            || self.rooms.bridge.uses_flow(flow)
            || self.rooms.uas.uses_flow(flow)
            || self.house.flows.is_alias(flow)
    }

    /// A hash of the whole state but for counters and waiting commands: equal after equal histories. For explorers of
    /// interleavings and for replay; it walks everything and is not for hot paths.
    pub fn fingerprint(&self) -> u128 {
        let House { now, wall_offset, timers, ids, flows, overloaded, .. } = &self.house;
        let mut text = Hashed(SipHasher13::new());
        // What Debug shows of a state is all of it but secrets, which do not change.
        write!(text, "{now:?}{wall_offset}{timers:?}{flows:?}{overloaded:?}{:?}", self.rooms)
            .expect("invariant: hashing never fails");
        for kind in Ids::kinds() {
            text.0.write_u64(ids.drawn(kind));
        }
        text.0.finish128().as_u128()
    }

    /// The settings in force.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.house.settings
    }
}
