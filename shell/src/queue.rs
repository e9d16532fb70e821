//! A bounded queue from many to one, for tasks of any runtime and for threads: who sends may wait for room before he has
//! anything to send, and who receives is woken by a [`Waker`].

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Both ends of a queue in which at most `capacity` items, and permits to send one, may be.
pub fn queue<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let state = State {
        items: VecDeque::new(),
        capacity: capacity.max(1),
        promised: 0,
        senders: 1,
        open: true,
        reader: None,
        for_room: BTreeMap::new(),
        for_end: BTreeMap::new(),
        last: 0,
    };
    let shared = Arc::new(Shared { state: Mutex::new(state), length: AtomicUsize::new(0) });
    (Sender { shared: shared.clone() }, Receiver { shared })
}

/// The receiver is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Closed;

/// Why an item was not taken; it is given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused<T> {
    /// There is no room now.
    Full(T),
    /// The receiver is gone.
    Closed(T),
}

/// Where items go in. Cheap to clone.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// Where items come out.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

/// Room for one item.
pub struct Permit<T> {
    shared: Arc<Shared<T>>,
    used: bool,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    /// As many items as there are: an empty queue is looked at without its lock.
    length: AtomicUsize,
}

struct State<T> {
    items: VecDeque<T>,
    capacity: usize,
    promised: usize,
    senders: usize,
    open: bool,
    reader: Option<Waker>,
    /// Those who wait for room, in the order in which they came.
    for_room: BTreeMap<u64, Waker>,
    /// Those who wait until the receiver is gone.
    for_end: BTreeMap<u64, Waker>,
    last: u64,
}

impl<T> State<T> {
    fn has_room(&self) -> bool {
        self.items.len() + self.promised < self.capacity
    }

    /// Whoever has waited longest, if there is room for him.
    fn next_in_line(&mut self) -> Option<Waker> {
        if !self.has_room() {
            return None;
        }
        self.for_room.pop_first().map(|(_, waker)| waker)
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing is called while the lock is held, so no panic leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an item in; `promised` gives back a permit.
    fn push(&self, item: T, promised: usize) -> Result<(), Refused<T>> {
        let reader = {
            let mut state = self.lock();
            state.promised -= promised;
            if !state.open {
                return Err(Refused::Closed(item));
            }
            if !state.has_room() {
                return Err(Refused::Full(item));
            }
            state.items.push_back(item);
            self.length.store(state.items.len(), Ordering::Release);
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(())
    }

    fn pop(&self, state: &mut State<T>) -> Option<(T, Option<Waker>)> {
        let item = state.items.pop_front()?;
        if state.items.is_empty() && state.items.capacity() > 64 {
            // A burst gives its memory back.
            state.items = VecDeque::new();
        }
        self.length.store(state.items.len(), Ordering::Release);
        Some((item, state.next_in_line()))
    }
}

impl<T> Sender<T> {
    /// Puts an item in, if there is room.
    pub fn try_send(&self, item: T) -> Result<(), Refused<T>> {
        self.shared.push(item, 0)
    }

    /// Waits for room, then puts an item in.
    pub async fn send(&self, item: T) -> Result<(), Closed> {
        self.reserve().await?.send(item);
        Ok(())
    }

    /// Waits for room without having anything to send yet.
    pub fn reserve(&self) -> Reserve<T> {
        Reserve { shared: self.shared.clone(), ticket: None }
    }

    /// Room, if there is any now.
    pub fn try_reserve(&self) -> Option<Permit<T>> {
        let mut state = self.shared.lock();
        if !state.open || !state.has_room() {
            return None;
        }
        state.promised += 1;
        Some(Permit { shared: self.shared.clone(), used: false })
    }

    /// Waits until the receiver is gone.
    pub fn closed(&self) -> Ended<T> {
        Ended { shared: self.shared.clone(), ticket: None }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared.lock().senders += 1;
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let reader = {
            let mut state = self.shared.lock();
            state.senders -= 1;
            if state.senders == 0 { state.reader.take() } else { None }
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl<T> Receiver<T> {
    /// The next item, if there is one now.
    pub fn try_recv(&mut self) -> Option<T> {
        if self.shared.length.load(Ordering::Acquire) == 0 {
            return None;
        }
        let (item, waker) = self.shared.pop(&mut self.shared.lock())?;
        if let Some(waker) = waker {
            waker.wake();
        }
        Some(item)
    }

    /// The next item. `None` when nothing is left and nobody can send any more.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let (item, waker) = {
            let mut state = self.shared.lock();
            match self.shared.pop(&mut state) {
                Some(popped) => popped,
                None if state.senders == 0 => return Poll::Ready(None),
                None => {
                    remember(&mut state.reader, cx);
                    return Poll::Pending;
                }
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Poll::Ready(Some(item))
    }

    /// Ready when there is something to receive.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.shared.lock();
        if !state.items.is_empty() {
            return Poll::Ready(());
        }
        remember(&mut state.reader, cx);
        Poll::Pending
    }

    /// Waits for the next item. `None` when nothing is left and nobody can send any more.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }
}

fn remember(place: &mut Option<Waker>, cx: &Context<'_>) {
    if !place.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *place = Some(cx.waker().clone());
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let (items, for_room, for_end) = {
            let mut state = self.shared.lock();
            state.open = false;
            self.shared.length.store(0, Ordering::Release);
            let State { items, for_room, for_end, .. } = &mut *state;
            (std::mem::take(items), std::mem::take(for_room), std::mem::take(for_end))
        };
        drop(items);
        for (_, waker) in for_room.into_iter().chain(for_end) {
            waker.wake();
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver")
    }
}

impl<T> Permit<T> {
    /// Puts the item in. When the receiver is gone it is dropped.
    pub fn send(mut self, item: T) {
        self.used = true;
        let _ = self.shared.push(item, 1);
    }
}

impl<T> Drop for Permit<T> {
    fn drop(&mut self) {
        if self.used {
            return;
        }
        let waker = {
            let mut state = self.shared.lock();
            state.promised -= 1;
            state.next_in_line()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> fmt::Debug for Permit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

/// See [`Sender::reserve`].
#[must_use = "a future does nothing until it is polled"]
pub struct Reserve<T> {
    shared: Arc<Shared<T>>,
    ticket: Option<u64>,
}

impl<T> Future for Reserve<T> {
    type Output = Result<Permit<T>, Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut state = this.shared.lock();
        if state.open && !state.has_room() {
            let ticket = *this.ticket.get_or_insert_with(|| draw(&mut state.last));
            state.for_room.insert(ticket, cx.waker().clone());
            return Poll::Pending;
        }
        if let Some(ticket) = this.ticket.take() {
            state.for_room.remove(&ticket);
        }
        if !state.open {
            return Poll::Ready(Err(Closed));
        }
        state.promised += 1;
        Poll::Ready(Ok(Permit { shared: this.shared.clone(), used: false }))
    }
}

impl<T> Drop for Reserve<T> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let waker = {
            let mut state = self.shared.lock();
            // Whoever was told that there is room, and does not take it, tells the next one.
            if state.for_room.remove(&ticket).is_some() { None } else { state.next_in_line() }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> fmt::Debug for Reserve<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reserve")
    }
}

/// See [`Sender::closed`].
#[must_use = "a future does nothing until it is polled"]
pub struct Ended<T> {
    shared: Arc<Shared<T>>,
    ticket: Option<u64>,
}

impl<T> Future for Ended<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut state = this.shared.lock();
        if !state.open {
            return Poll::Ready(());
        }
        let ticket = *this.ticket.get_or_insert_with(|| draw(&mut state.last));
        state.for_end.insert(ticket, cx.waker().clone());
        Poll::Pending
    }
}

impl<T> Drop for Ended<T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.shared.lock().for_end.remove(&ticket);
        }
    }
}

impl<T> fmt::Debug for Ended<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ended")
    }
}

fn draw(last: &mut u64) -> u64 {
    *last += 1;
    *last
}

#[cfg(test)]
mod tests;
