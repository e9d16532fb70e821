//! What the engine tells of a user agent, to whoever waits for it: events to their queue, steps of calls and messages to
//! theirs, by number, and a few promises. Called in the engine's thread, it never waits.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use strowger_core::door::{Request, UaCallRequest, UaCallStep, UaRegistration, UaRequest, UaState, UaStep};

use super::UA;
use crate::handle::{Call, Handle};
use crate::promise::{Awaited, Promise, promise};
use crate::queue::{Receiver, Refused, Sender, queue};

/// Events that wait at most.
const EVENTS: usize = 1024;
/// Steps of one call that wait at most.
const STEPS: usize = 256;
/// Calls and messages that nobody has asked about yet.
const UNCLAIMED: usize = 1024;

/// What happens: ready with, or refused with a status.
pub(super) type Outcome = Result<(), u16>;

/// An event on its way.
#[derive(Debug)]
pub(super) enum Item {
    Told(UaStep),
    Call { id: u64, from: Box<str>, display: Box<str>, sdp: Box<[u8]> },
}

pub(super) struct Desk {
    handle: Handle,
    state: Mutex<State>,
}

struct State {
    events: Sender<Item>,
    missed: u64,
    /// By the number of a call or a message; its other end until it is claimed.
    threads: BTreeMap<u64, (Sender<UaStep>, Option<Receiver<UaStep>>)>,
    registered: Vec<Promise<Outcome>>,
    unregistered: Vec<Promise<Outcome>>,
    published: Vec<Promise<Outcome>>,
    closed: Vec<Promise<()>>,
    over: bool,
}

impl Desk {
    pub(super) fn new(handle: Handle) -> (Desk, Receiver<Item>) {
        let (events, items) = queue(EVENTS);
        let state = State {
            events,
            missed: 0,
            threads: BTreeMap::new(),
            registered: Vec::new(),
            unregistered: Vec::new(),
            published: Vec::new(),
            closed: Vec::new(),
            over: false,
        };
        (Desk { handle, state: Mutex::new(state) }, items)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is called while the lock is held that could leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn registered(&self) -> Awaited<Outcome> {
        let (promise, awaited) = promise();
        self.lock().registered.push(promise);
        awaited
    }

    pub(super) fn unregistered(&self) -> Awaited<Outcome> {
        let (promise, awaited) = promise();
        self.lock().unregistered.push(promise);
        awaited
    }

    pub(super) fn published(&self) -> Awaited<Outcome> {
        let (promise, awaited) = promise();
        self.lock().published.push(promise);
        awaited
    }

    pub(super) fn closed(&self) -> Awaited<()> {
        let (promise, awaited) = promise();
        let mut state = self.lock();
        match state.over {
            true => promise.keep(()),
            false => state.closed.push(promise),
        }
        awaited
    }

    /// How many events were lost since the last time.
    pub(super) fn missed(&self) -> u64 {
        std::mem::take(&mut self.lock().missed)
    }

    /// What is told of a call or a message, from its beginning.
    pub(super) fn claim(&self, id: u64) -> Receiver<UaStep> {
        let mut state = self.lock();
        let (_, steps) = state.thread(id);
        steps.take().unwrap_or_else(|| queue(1).1)
    }

    /// Something happened.
    pub(super) fn told(&self, step: UaStep) {
        let mut state = self.lock();
        match &step {
            UaStep::Sent { id, .. } => return state.say(*id, step.clone(), true),
            UaStep::Call { call, step: UaCallStep::Incoming { from, display, sdp } } => {
                let id = *call;
                state.thread(id);
                let (from, display, sdp) = (from.clone(), display.clone(), sdp.clone());
                if !state.tell(Item::Call { id, from, display, sdp }) {
                    state.threads.remove(&id);
                    let request = UaRequest::Call(UaCallRequest::Reject { call: id, status: 480 });
                    // A server that has ended has no calls.
                    let _ = self.handle.send(Call::Ask(Request::Ua { ua: UA, request }, None));
                }
                return;
            }
            UaStep::Call { call, step: of_call } => {
                let last = matches!(of_call, UaCallStep::Ended { .. });
                return state.say(*call, step.clone(), last);
            }
            UaStep::Registration { state: registration, .. } => match registration {
                UaRegistration::Registered { .. } => settle(&mut state.registered, Ok(())),
                UaRegistration::Waiting { status, .. } | UaRegistration::Failed { status } => {
                    settle(&mut state.registered, Err(*status));
                }
                UaRegistration::Unregistered => {
                    settle(&mut state.registered, Err(487));
                    settle(&mut state.unregistered, Ok(()));
                }
                _ => {}
            },
            UaStep::Publication { state: publication, .. } => match publication {
                UaState::Active { .. } => settle(&mut state.published, Ok(())),
                UaState::Waiting { reason, .. } | UaState::Ended { reason } => {
                    settle(&mut state.published, Err(reason.parse().unwrap_or(487)));
                }
                _ => {}
            },
            UaStep::Closed => {
                state.over = true;
                std::mem::take(&mut state.closed).into_iter().for_each(|promise| promise.keep(()));
                state.threads.clear();
            }
            _ => {}
        }
        state.tell(Item::Told(step));
    }
}

impl State {
    /// False if nobody takes it.
    fn tell(&mut self, item: Item) -> bool {
        match self.events.try_send(item) {
            Ok(()) => true,
            Err(Refused::Full(_)) => {
                self.missed += 1;
                false
            }
            Err(Refused::Closed(_)) => false,
        }
    }

    fn thread(&mut self, id: u64) -> &mut (Sender<UaStep>, Option<Receiver<UaStep>>) {
        if self.threads.len() >= UNCLAIMED && !self.threads.contains_key(&id) {
            // Whoever has not asked until now was given up.
            let oldest = self.threads.iter().find(|(_, (_, steps))| steps.is_some()).map(|(id, _)| *id);
            oldest.and_then(|oldest| self.threads.remove(&oldest));
        }
        self.threads.entry(id).or_insert_with(|| {
            let (sender, steps) = queue(STEPS);
            (sender, Some(steps))
        })
    }

    fn say(&mut self, id: u64, step: UaStep, last: bool) {
        let (sender, steps) = self.thread(id);
        // The last one has to be heard; whoever took none of so many before will not miss one of them.
        let _ = sender.try_send(step);
        // An unclaimed one waits for who asked for it.
        if last && steps.is_none() {
            self.threads.remove(&id);
        }
    }
}

fn settle(waiting: &mut Vec<Promise<Outcome>>, outcome: Outcome) {
    std::mem::take(waiting).into_iter().for_each(|promise| promise.keep(outcome));
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Desk")
    }
}
