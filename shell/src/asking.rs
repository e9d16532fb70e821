//! Asks the program where calls go: as many at once as may be, never in the engine's thread, and not for longer than it
//! may think. A runtime runs the questions; everything else is here.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use strowger_core::base::Time;
use strowger_core::config::Settings;
use strowger_core::door::{Answer, RouteAnswer, RouteQuery, Ticket};

use crate::hooks::{OnRoute, Routed};
use crate::inbox::Inbound;
use crate::options::RoutingOptions;
use crate::queue::Sender;

/// Something to be run beside the engine, to its end or until nobody wants it any more.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A question: when it is answered without the program, and its number.
pub type Asked = (Time, u64);

/// Whom to ask, and who is being asked.
pub(crate) struct Asking {
    hook: Option<OnRoute>,
    options: RoutingOptions,
    waiting: BTreeMap<Asked, (Ticket<RouteQuery>, Stop)>,
    last: u64,
}

impl Asking {
    pub(crate) fn new(hook: Option<OnRoute>, options: &RoutingOptions) -> Asking {
        Asking { hook, options: options.clone(), waiting: BTreeMap::new(), last: 0 }
    }

    /// What is to be run; its answer goes into the inbox. Without anybody to ask, or when too much is being asked, the
    /// answer is known at once.
    pub(crate) fn ask(
        &mut self,
        now: Time,
        query: RouteQuery,
        inbox: &Sender<Inbound>,
    ) -> Result<Work, Answer> {
        let ticket = query.ticket;
        let Some(hook) = self.hook.clone() else { return Err(Answer::Route(ticket, RouteAnswer::Default)) };
        if self.waiting.len() >= self.options.at_once {
            return Err(Answer::Route(ticket, RouteAnswer::Unavailable));
        }
        self.last += 1;
        let asked = (now + self.options.patience, self.last);
        let stop = Stop::default();
        self.waiting.insert(asked, (ticket, stop.clone()));
        let inbox = inbox.clone();
        Ok(Box::pin(async move {
            // The closure itself is called where its future runs: it may think before its first await.
            let thinking: Routed = Box::pin(async move { hook(query.into()).await });
            let answer = match (Thinking { future: Some(thinking), stop }).await {
                End::Said(route) => route.into(),
                // A program that panics owes the caller an answer all the same.
                End::Panicked => RouteAnswer::Unavailable,
                End::Stopped => return,
            };
            let _ = inbox.send(Inbound::Routed(asked, answer)).await;
        }))
    }

    /// The program has answered; nothing if it took too long.
    pub(crate) fn answered(&mut self, asked: Asked, answer: RouteAnswer) -> Option<Answer> {
        self.waiting.remove(&asked).map(|(ticket, _)| Answer::Route(ticket, answer))
    }

    /// Gives up the next question that takes too long.
    pub(crate) fn poll_late(&mut self, now: Time) -> Option<Answer> {
        let late = self.waiting.first_entry().filter(|first| first.key().0 <= now)?;
        let (ticket, stop) = late.remove();
        stop.stop();
        Some(Answer::Route(ticket, RouteAnswer::Unavailable))
    }

    /// When the next one takes too long.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    /// The engine asks if and only if there is somebody to ask, whatever a configuration says.
    pub(crate) fn fit(&self, settings: Arc<Settings>) -> Arc<Settings> {
        let ask = self.hook.is_some();
        match &settings.calls {
            Some(calls) if calls.ask_route != ask => {
                let mut settings = Arc::unwrap_or_clone(settings);
                if let Some(calls) = &mut settings.calls {
                    calls.ask_route = ask;
                }
                Arc::new(settings)
            }
            _ => settings,
        }
    }
}

/// Ends a question from outside.
#[derive(Clone, Default)]
struct Stop(Arc<Mutex<Stopped>>);

#[derive(Default)]
struct Stopped {
    is_stopped: bool,
    waker: Option<Waker>,
}

impl Stop {
    fn lock(&self) -> MutexGuard<'_, Stopped> {
        // Nothing is called while the lock is held, so no panic leaves the state half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        let waker = {
            let mut state = self.lock();
            state.is_stopped = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

enum End {
    Said(crate::route::Route),
    Panicked,
    Stopped,
}

/// A question while it is being asked.
struct Thinking {
    future: Option<Routed>,
    stop: Stop,
}

impl Future for Thinking {
    type Output = End;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        {
            let mut state = self.stop.lock();
            if state.is_stopped {
                drop(state);
                self.future = None;
                return Poll::Ready(End::Stopped);
            }
            state.waker = Some(cx.waker().clone());
        }
        let Some(future) = &mut self.future else { return Poll::Ready(End::Stopped) };
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        match polled {
            Ok(Poll::Ready(route)) => Poll::Ready(End::Said(route)),
            Ok(Poll::Pending) => Poll::Pending,
            // What is left of it is not touched again.
            Err(_) => Poll::Ready(End::Panicked),
        }
    }
}

#[cfg(test)]
mod tests;
