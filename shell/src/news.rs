//! What the engine tells of presence, for whoever listens: a bounded queue per listener. One that is too slow loses the
//! oldest news and is told how many; the engine never waits.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use strowger_core::door::{Event, PresenceChange, Request, SubscriptionEvent};

/// News that wait for one listener at most.
pub const LONGEST: usize = 1024;

/// One piece of news about presence.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PresenceNews {
    /// What a presentity is changed.
    Changed(Box<PresenceChange>),
    /// Somebody watches, or does no more.
    Watcher(Box<SubscriptionEvent>),
    /// So many were lost, because they were not taken in time. What everybody is now, `get_presence` tells.
    Missed(u64),
}

/// A new queue: where news go in, and where they come out.
pub fn news() -> (Feed, Changes) {
    let shared = Arc::new(Shared { state: Mutex::default(), told: Condvar::new() });
    (Feed { shared: shared.clone() }, Changes { shared })
}

/// Where news go in.
#[derive(Debug)]
pub struct Feed {
    shared: Arc<Shared>,
}

/// The news, in order, from the moment the engine heard that somebody listens. Ends with the server.
///
/// Dropping it ends the listening: the engine then composes nothing for it any more.
#[derive(Debug)]
pub struct Changes {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    told: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<PresenceNews>,
    missed: u64,
    /// One of the ends is gone.
    over: bool,
    waker: Option<Waker>,
}

impl State {
    fn take(&mut self) -> Option<PresenceNews> {
        match core::mem::take(&mut self.missed) {
            0 => self.queue.pop_front(),
            missed => Some(PresenceNews::Missed(missed)),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is called while the lock is held, so no panic leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, change: impl FnOnce(&mut State)) {
        let waker = {
            let mut state = self.lock();
            change(&mut state);
            state.waker.take()
        };
        self.told.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Feed {
    /// True while somebody listens.
    fn is_heard(&self) -> bool {
        !self.shared.lock().over
    }

    fn tell(&self, news: PresenceNews) {
        self.shared.wake(|state| {
            if state.queue.len() >= LONGEST {
                state.queue.pop_front();
                state.missed += 1;
            }
            state.queue.push_back(news);
        });
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.shared.wake(|state| state.over = true);
    }
}

impl Changes {
    /// The next piece of news; `None` when the server has ended and everything was taken.
    pub async fn next(&mut self) -> Option<PresenceNews> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same for those who poll: the signature of a stream.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<PresenceNews>> {
        let mut state = self.shared.lock();
        match state.take() {
            None if !state.over => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            news => Poll::Ready(news),
        }
    }

    /// Blocks the thread for the next piece of news. For programs without an async runtime.
    pub fn wait(&mut self) -> Option<PresenceNews> {
        let mut state = self.shared.lock();
        loop {
            match state.take() {
                None if !state.over => {
                    state = self.shared.told.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                news => return news,
            }
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.shared.lock().over = true;
    }
}

/// All who listen. For runtimes: what [`open`](Listeners::open) and [`tell`](Listeners::tell) return goes to the engine
/// at once.
#[derive(Debug, Default)]
pub struct Listeners {
    feeds: Vec<Feed>,
}

impl Listeners {
    /// One more listens.
    pub fn open(&mut self, feed: Feed) -> Request {
        self.feeds.push(feed);
        Request::Listen { presence: true }
    }

    /// Hands an event on to all who listen. `Some` when there is nobody any more.
    pub fn tell(&mut self, event: &Event) -> Option<Request> {
        let news = match event {
            Event::Presence(change) => PresenceNews::Changed(change.clone()),
            Event::Subscription(step) => PresenceNews::Watcher(step.clone()),
            _ => return None,
        };
        let before = self.feeds.len();
        self.feeds.retain(Feed::is_heard);
        self.feeds.iter().for_each(|feed| feed.tell(news.clone()));
        (before > 0 && self.feeds.is_empty()).then_some(Request::Listen { presence: false })
    }
}

#[cfg(test)]
mod tests {
    use strowger_core::door::{PresenceCause, PresenceState};

    use super::*;

    fn change(version: u64) -> Event {
        Event::Presence(Box::new(PresenceChange {
            aor: "bob@example.com".into(),
            state: PresenceState::Away,
            note: None,
            version,
            cause: PresenceCause::Host,
        }))
    }

    fn version(news: Option<PresenceNews>) -> u64 {
        match news {
            Some(PresenceNews::Changed(change)) => change.version,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn news_come_out_in_order_until_the_end() {
        let mut listeners = Listeners::default();
        let (feed, mut changes) = news();
        assert!(matches!(listeners.open(feed), Request::Listen { presence: true }));
        assert!(changes.poll_next(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(listeners.tell(&change(1)).is_none());
        assert!(listeners.tell(&change(2)).is_none());
        assert_eq!((version(changes.wait()), version(changes.wait())), (1, 2));
        drop(listeners);
        assert_eq!(changes.wait(), None);
    }

    #[test]
    fn a_slow_listener_loses_the_oldest_and_is_told_how_many() {
        let mut listeners = Listeners::default();
        let (feed, mut changes) = news();
        listeners.open(feed);
        for version in 0..LONGEST as u64 + 3 {
            listeners.tell(&change(version));
        }
        assert_eq!(changes.wait(), Some(PresenceNews::Missed(3)));
        assert_eq!(version(changes.wait()), 3);
    }

    #[test]
    fn the_engine_is_told_when_nobody_listens_any_more() {
        let mut listeners = Listeners::default();
        let ((feed, changes), (other, others)) = (news(), news());
        listeners.open(feed);
        listeners.open(other);
        drop(changes);
        assert!(listeners.tell(&change(1)).is_none());
        drop(others);
        assert!(matches!(listeners.tell(&change(2)), Some(Request::Listen { presence: false })));
        assert!(listeners.tell(&change(3)).is_none());
    }
}
