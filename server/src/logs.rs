//! Logs: one line per request's outcome and per change of a binding, as text or JSON, never with a secret in it. All lines
//! are written by a thread of their own: whoever else has something to say puts it into its queue, and a disk, terminal or
//! pipe that takes nothing stops nobody else.
//!
//! Everything a peer sent is written escaped: control bytes cannot forge a line or drive a terminal.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use strowger_core::door::{
    AuthVerdict, BindingCause, BindingEvent, CallEvent, Event, Outcome, TrunkEvent, TrunkStep,
};
use strowger_core::stats::{AUTH_LABELS, auth_label};
use strowger_tokio::{Notice, OnEvent, OnNotice};
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::cli::{Complaint, LogFormat};
use crate::records::Records;

/// Lines that may wait for the writer; what comes beyond is lost and counted.
const QUEUE: usize = 8192;

/// How often the end looks whether there is room again.
const LOOK: Duration = Duration::from_millis(5);

thread_local! {
    /// This thread writes; all others queue.
    static WRITES: Cell<bool> = const { Cell::new(false) };
}

/// The log of the process, on standard error.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Way>>);

/// How a line gets there.
#[derive(Clone, Default)]
enum Way {
    /// Nothing runs yet that must not wait; or this is the writer.
    #[default]
    Direct,
    /// By the writer.
    Queued(Queue),
    /// Nobody writes any more.
    Closed,
}

/// Where to put what happens. Neither blocks.
pub struct Ears {
    /// What happens in the engine.
    pub on_event: OnEvent,
    /// How the operation goes.
    pub on_notice: OnNotice,
}

impl Log {
    /// Starts logging for the whole process.
    pub fn start(format: LogFormat, level: &str) -> Result<Log, Complaint> {
        let filter = filter(level).map_err(Complaint)?;
        let log = Log::default();
        let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(log.clone());
        let started = match format {
            LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).try_init(),
            LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
        };
        // A second start in one process keeps the first one's log.
        let _ = started;
        Ok(log)
    }

    /// Starts the writer, also of call records. Until then each line waits until it is written.
    pub fn open(&self, lost: Lost, records: Option<Records>) -> Result<Ears, Complaint> {
        let (entries, queued) = sync_channel(QUEUE);
        let run = move || write(queued, records);
        thread::Builder::new()
            .name("strowger-log".into())
            .spawn(run)
            .map_err(|error| Complaint(format!("cannot start a thread: {error}")))?;
        let queue = Queue { entries, lost };
        *self.way() = Way::Queued(queue.clone());
        let note = queue.clone();
        Ok(Ears {
            on_event: Box::new(move |event| queue.put(Entry::Event(event))),
            on_notice: Arc::new(move |notice| note.put(Entry::Notice(notice))),
        })
    }

    /// Waits until all that was said is written, and no longer than this: nobody may be reading. What is said later is
    /// not written.
    pub fn close(&self, limit: Duration) {
        let Way::Queued(queue) = std::mem::replace(&mut *self.way(), Way::Closed) else { return };
        let mut left = limit;
        // The writer drops its end of this one.
        let (over, written) = sync_channel(0);
        let mut last = Entry::Last(over);
        while let Err(TrySendError::Full(entry)) = queue.entries.try_send(last) {
            if left.is_zero() {
                return;
            }
            last = entry;
            thread::sleep(LOOK);
            left = left.saturating_sub(LOOK);
        }
        let _ = written.recv_timeout(left);
    }

    fn way(&self) -> MutexGuard<'_, Way> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line(if WRITES.get() { Way::Direct } else { self.way().clone() })
    }
}

/// What a line is written to.
pub struct Line(Way);

impl Write for Line {
    /// A line comes as a whole.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Way::Direct => io::stderr().write_all(line)?,
            Way::Queued(queue) => queue.put(Entry::Line(line.into())),
            Way::Closed => {}
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Understands a log level, or says what is wrong with it.
pub fn filter(level: &str) -> Result<EnvFilter, String> {
    const HINT: &str = "write error, warn, info or debug, or directives such as info,strowger::request=warn";
    // A word that is no level would be taken for a part of the program, and nothing else were logged.
    let is_known = |word: &str| {
        word.contains(['=', ':', '[']) || word == "strowger" || word.parse::<LevelFilter>().is_ok()
    };
    let words: Vec<&str> = level.split(',').map(str::trim).collect();
    if let Some(word) = words.iter().find(|word| !is_known(word)) {
        return Err(format!("{word:?} is not a log level: {HINT}"));
    }
    EnvFilter::try_new(words.join(","))
        .map_err(|error| format!("{level:?} is not a log level: {error}; {HINT}"))
}

/// Which events the engine shall tell, by what would be written; `records`: call records are.
pub fn choose(tell: &mut strowger_core::config::Tell, records: bool) {
    tell.outcomes = tracing::enabled!(target: "strowger::request", Level::INFO);
    tell.bindings = tracing::enabled!(target: "strowger::binding", Level::INFO);
    tell.presence = tracing::enabled!(target: "strowger::presence", Level::DEBUG);
    tell.calls = records || tracing::enabled!(target: "strowger::call", Level::INFO);
    tell.drops = tracing::enabled!(target: "strowger::drop", Level::DEBUG);
}

/// Lines lost because the writer was too slow.
#[derive(Clone, Debug, Default)]
pub struct Lost(Arc<AtomicU64>);

impl Lost {
    /// How many.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What waits for the writer.
enum Entry {
    Event(Event),
    Notice(Notice),
    /// Written by somebody else.
    Line(Box<[u8]>),
    /// Nothing more is written; dropped then.
    Last(#[expect(dead_code, reason = "only that it is dropped counts")] SyncSender<()>),
}

/// The way to the writer.
#[derive(Clone)]
struct Queue {
    entries: SyncSender<Entry>,
    lost: Lost,
}

impl Queue {
    fn put(&self, entry: Entry) {
        if self.entries.try_send(entry).is_err() {
            self.lost.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write(entries: Receiver<Entry>, mut records: Option<Records>) {
    WRITES.set(true);
    for entry in entries {
        let event = match entry {
            Entry::Event(event) => event,
            Entry::Notice(of) => {
                notice(of);
                continue;
            }
            Entry::Line(line) => {
                // There is no other place to say that this one takes nothing.
                let _ = io::stderr().write_all(&line);
                continue;
            }
            Entry::Last(_) => return,
        };
        match event {
            Event::Outcome(outcome) => request(&outcome),
            Event::Binding(change) => binding(&change),
            Event::Dropped { remote, reason } => {
                tracing::debug!(target: "strowger::drop", %remote, reason = reason.text(), "dropped");
            }
            Event::FlowLost { flow, bindings } => {
                tracing::info!(target: "strowger::binding", flow = flow.0, bindings, "connection lost");
            }
            Event::Presence(change) => {
                let (aor, note) = (&*change.aor, change.note.as_deref().unwrap_or_default());
                let (state, cause, version) = (change.state, change.cause, change.version);
                tracing::debug!(target: "strowger::presence", aor, ?state, note, ?cause, version, "presence");
            }
            Event::Subscription(change) => {
                let (package, aor, watcher) = (change.package, &*change.aor, &*change.watcher);
                tracing::debug!(target: "strowger::presence", package, aor, watcher, step = ?change.step, "watcher");
            }
            Event::Call(event) => {
                call(&event);
                let (CallEvent::Ended(record), Some(to)) = (&*event, &mut records) else { continue };
                if let Err(error) = to.write(record) {
                    tracing::error!(target: "strowger::call", %error, id = record.id, "a call record is lost");
                }
            }
            Event::Trunk(event) => trunk(&event),
            Event::Drained => tracing::info!(target: "strowger", "drained"),
            _ => {}
        }
    }
}

fn request(outcome: &Outcome) {
    let Outcome { method, status, call_id, aor, remote, transport, auth, identity, nanos } = outcome;
    let (method, call_id, aor): (&str, &str, &str) = (method, call_id, aor);
    // Empty for whoever proved nothing.
    let account: &str = identity.as_ref().map_or("", |identity| &identity.account);
    let (transport, auth) = (transport.name(), verdict(*auth));
    let ms = *nanos as f64 / 1e6;
    tracing::info!(target: "strowger::request", method, status, aor, call_id, %remote, transport, auth, account, ms, "request");
}

fn binding(change: &BindingEvent) {
    let BindingEvent { cause, binding } = change;
    let (aor, contact): (&str, &str) = (&binding.aor, &binding.contact);
    let (source, transport) = (binding.received, binding.transport.name());
    let (expires, reachable) = (binding.expires_at.as_secs(), binding.reachable);
    let user_agent: &str = &binding.user_agent;
    let cause = match cause {
        BindingCause::Registered => "registered",
        // One line per refresh of every phone would say little: the request's own line has it.
        BindingCause::Refreshed => {
            tracing::debug!(target: "strowger::binding", cause = "refreshed", aor, contact, %source, expires, "binding");
            return;
        }
        BindingCause::Moved => "moved",
        BindingCause::Expired => "expired",
        BindingCause::Unregistered => "unregistered",
        BindingCause::Replaced => "replaced",
        BindingCause::Removed => "removed",
        BindingCause::Unreachable => "unreachable",
        BindingCause::Expiring => "expiring",
    };
    tracing::info!(
        target: "strowger::binding", cause, aor, contact, %source, transport, expires, reachable, user_agent, "binding"
    );
}

/// One line for a call that is over; how it went on its way is for those who look closely.
fn call(event: &CallEvent) {
    match event {
        CallEvent::Began { id, caller, callee } => {
            tracing::debug!(target: "strowger::call", id, caller = &**caller, callee = &**callee, "call began");
        }
        CallEvent::Ringing { id } => tracing::debug!(target: "strowger::call", id, "call rings"),
        CallEvent::Answered { id, by } => {
            tracing::debug!(target: "strowger::call", id, by = &**by, "call answered");
        }
        CallEvent::Ended(record) => {
            let (id, status, cause, legs) = (record.id, record.status, record.end.text(), record.legs.len());
            let (caller, callee, call_id) = (&*record.caller, &*record.callee, &*record.call_id);
            let seconds = record.answered.map(|answered| record.ended.since(answered).as_secs_f64());
            tracing::info!(
                target: "strowger::call", id, caller, callee, call_id, source = %record.source, status, cause, seconds, legs, "call"
            );
        }
        _ => {}
    }
}

/// One line for each change of a trunk.
fn trunk(event: &TrunkEvent) {
    let name = &*event.name;
    match &event.step {
        TrunkStep::Up => tracing::info!(target: "strowger::trunk", name, "trunk answers again"),
        TrunkStep::Down { reason } => {
            tracing::warn!(target: "strowger::trunk", name, reason = &**reason, "trunk does not answer");
        }
        TrunkStep::Registered { expires } => {
            tracing::info!(target: "strowger::trunk", name, expires, "registered at trunk");
        }
        TrunkStep::NotRegistered { reason, .. } => {
            tracing::warn!(target: "strowger::trunk", name, reason = &**reason, "not registered at trunk, will retry");
        }
        TrunkStep::Unregistered => tracing::info!(target: "strowger::trunk", name, "unregistered at trunk"),
        _ => {}
    }
}

fn verdict(verdict: AuthVerdict) -> &'static str {
    AUTH_LABELS.get(auth_label(verdict)).copied().unwrap_or("unknown")
}

/// How the operation goes.
fn notice(notice: Notice) {
    match notice {
        Notice::KeysFetched { source } => {
            tracing::info!(target: "strowger::keys", source = &*source, "keys fetched")
        }
        Notice::KeysUnavailable { source, error } => {
            tracing::warn!(target: "strowger::keys", source = &*source, error = &*error, "keys unavailable, will retry");
        }
        Notice::IntrospectionUnavailable { endpoint, error } => {
            tracing::warn!(target: "strowger::keys", endpoint = &*endpoint, error = &*error, "token cannot be asked about");
        }
        Notice::StoreFails { error } => {
            tracing::error!(target: "strowger::storage", error = &*error, "state cannot be stored");
        }
        Notice::StoreWorks => tracing::info!(target: "strowger::storage", "state is stored again"),
        Notice::RelayFails { address } => {
            tracing::error!(target: "strowger::media", %address, "rtpengine does not answer, calls that need it are refused");
        }
        Notice::RelayWorks { address } => {
            tracing::info!(target: "strowger::media", %address, "rtpengine answers")
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_level_is_named() {
        for level in ["strowger=loud", "loud", "info,loud"] {
            let error = filter(level).expect_err("no such level");
            assert!(error.contains("loud"), "{error}");
        }
        for level in
            ["info", "WARN", "off", "info,strowger::request=warn", "strowger::keys", "debug, hyper=error"]
        {
            filter(level).expect(level);
        }
    }
}
