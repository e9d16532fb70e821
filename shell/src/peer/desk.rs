//! What the engine tells of a user agent, to whoever waits for it: events to their queue, steps of calls and messages to
//! theirs, by number, and a few promises. Called in the engine's thread, it never waits.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use strowger_core::door::{Request, UaCallRequest, UaCallStep, UaRegistration, UaRequest, UaState, UaStep};

use super::UA;
use super::call::Invited;
use super::tokens::Refusals;
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
    Call(u64, Invited),
}

pub(super) struct Desk {
    handle: Handle,
    /// Who keeps its token hears that a server has not taken it.
    refusals: Option<Refusals>,
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
    pub(super) fn new(handle: Handle, refusals: Option<Refusals>) -> (Desk, Receiver<Item>) {
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
        (Desk { handle, refusals, state: Mutex::new(state) }, items)
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
            UaStep::Call {
                call,
                step: UaCallStep::Incoming { from, display, to, diverted, sdp, replaces },
            } => {
                let id = *call;
                state.thread(id);
                let invited = Invited {
                    other: from.clone(),
                    display: display.clone(),
                    called: to.clone(),
                    diverted: diverted.clone(),
                    sdp: sdp.clone(),
                    replaces: *replaces,
                };
                if !state.tell(Item::Call(id, invited)) {
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
                    if let (401, Some(refusals)) = (*status, &self.refusals) {
                        let _ = refusals.send(());
                    }
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use strowger_core::base::Time;

    use super::*;
    use crate::handle::HandleError;
    use crate::promise::Wait as _;

    /// A desk, its events, and what it asked of the engine.
    fn desk() -> (Desk, Receiver<Item>, Arc<Mutex<Vec<Call>>>) {
        let asked: Arc<Mutex<Vec<Call>>> = Arc::default();
        let handle = Handle::new({
            let asked = asked.clone();
            move |call| {
                asked.lock().map_err(|_| HandleError::Stopped)?.push(call);
                Ok(())
            }
        });
        let (desk, items) = Desk::new(handle, None);
        (desk, items, asked)
    }

    fn of_call(call: u64, step: UaCallStep) -> UaStep {
        UaStep::Call { call, step }
    }

    fn incoming(call: u64) -> UaStep {
        let (from, display) = ("sip:bob@example.com".into(), "".into());
        let (to, diverted, sdp) = (Box::default(), Box::default(), Box::default());
        of_call(call, UaCallStep::Incoming { from, display, to, diverted, sdp, replaces: None })
    }

    fn state(state: UaRegistration) -> UaStep {
        UaStep::Registration { server: 1, state }
    }

    #[test]
    fn what_is_told_before_somebody_asks_for_it_waits_for_him() {
        let (desk, _items, _) = desk();
        let ended = of_call(1, UaCallStep::Ended { status: 486, remote: true });
        desk.told(of_call(1, UaCallStep::Progress { status: 180, sdp: Box::default() }));
        desk.told(ended.clone());
        desk.told(UaStep::Sent { id: 2, status: 200 });
        let mut steps = desk.claim(1);
        assert!(matches!(steps.try_recv(), Some(UaStep::Call { call: 1, .. })));
        assert_eq!(steps.try_recv(), Some(ended));
        assert_eq!(desk.claim(2).try_recv(), Some(UaStep::Sent { id: 2, status: 200 }));
        // Whoever asked has them all, and then an end.
        let mut steps = desk.claim(3);
        desk.told(of_call(3, UaCallStep::Ended { status: 200, remote: false }));
        assert!(steps.recv().wait().is_some() && steps.recv().wait().is_none());
    }

    #[test]
    fn a_call_that_nobody_takes_is_refused() {
        let (desk, mut items, asked) = desk();
        desk.told(incoming(1));
        assert!(matches!(items.try_recv(), Some(Item::Call(1, _))));
        for n in 0..=EVENTS as u64 {
            desk.told(state(UaRegistration::Failed { status: n as u16 }));
        }
        desk.told(incoming(2));
        assert_eq!(desk.missed(), 2, "one event, and the call");
        drop(items);
        desk.told(incoming(3));
        let asked = asked.lock().expect("asked");
        let refused = asked.iter().filter_map(|call| match call {
            Call::Ask(
                Request::Ua { request: UaRequest::Call(UaCallRequest::Reject { call, status }), .. },
                None,
            ) => Some((*call, *status)),
            _ => None,
        });
        assert_eq!(refused.collect::<Vec<_>>(), [(2, 480), (3, 480)]);
    }

    #[test]
    fn whoever_waits_hears_how_it_went() {
        let (desk, _items, _) = desk();
        let (first, second) = (desk.registered(), desk.registered());
        desk.told(state(UaRegistration::Registering));
        desk.told(state(UaRegistration::Registered { until: Time::ZERO }));
        assert_eq!((first.wait(), second.wait()), (Some(Ok(())), Some(Ok(()))));
        let third = desk.registered();
        desk.told(state(UaRegistration::Waiting { status: 503, again: Time::ZERO }));
        assert_eq!(third.wait(), Some(Err(503)));
        let (fourth, gone) = (desk.registered(), desk.unregistered());
        desk.told(state(UaRegistration::Unregistered));
        assert_eq!((fourth.wait(), gone.wait()), (Some(Err(487)), Some(Ok(()))));
        let published = desk.published();
        let (event, reason) = ("presence".into(), "489".into());
        desk.told(UaStep::Publication { event, state: UaState::Ended { reason } });
        assert_eq!(published.wait(), Some(Err(489)));
        let closed = desk.closed();
        desk.told(UaStep::Closed);
        assert_eq!((closed.wait(), desk.closed().wait()), (Some(()), Some(())));
        // The engine has ended without a word.
        let never = desk.registered();
        drop(desk);
        assert_eq!(never.wait(), None);
    }
}
