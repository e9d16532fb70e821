//! One value, from the engine's thread to whoever waits for it: by `await` under any runtime, or by blocking.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Both ends of a promise: who keeps it, and who waits.
pub fn promise<T>() -> (Promise<T>, Awaited<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State { value: None, over: false, waker: None }),
        told: Condvar::new(),
    });
    (Promise { shared: shared.clone() }, Awaited { shared })
}

/// Keeps, or by being dropped breaks, a promise.
#[derive(Debug)]
pub struct Promise<T> {
    shared: Arc<Shared<T>>,
}

/// The promised value: a future, or [`wait`](Awaited::wait). `None` when the promise was broken.
#[derive(Debug)]
pub struct Awaited<T> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    told: Condvar,
}

#[derive(Debug)]
struct State<T> {
    value: Option<T>,
    over: bool,
    waker: Option<Waker>,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing is called while the lock is held, so no panic leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Promise<T> {
    /// Gives the value.
    pub fn keep(self, value: T) {
        self.shared.lock().value = Some(value);
        // Dropping wakes.
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        let waker = {
            let mut state = self.shared.lock();
            state.over = true;
            state.waker.take()
        };
        self.shared.told.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Awaited<T> {
    /// Blocks the thread until the value is there. For programs without an async runtime.
    pub fn wait(self) -> Option<T> {
        let mut state = self.shared.lock();
        while !state.over {
            state = self.shared.told.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.value.take()
    }
}

impl<T> Future for Awaited<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.shared.lock();
        if state.over {
            return Poll::Ready(state.value.take());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::task::Wake;
    use std::thread;

    use super::*;

    struct Flag(Mutex<bool>);
    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            *self.0.lock().expect("flag") = true;
        }
    }

    #[test]
    fn a_kept_promise_wakes_whoever_awaits() {
        let (promise, mut awaited) = promise();
        let flag = Arc::new(Flag(Mutex::new(false)));
        let waker = Waker::from(flag.clone());
        let mut cx = Context::from_waker(&waker);
        assert_eq!(Pin::new(&mut awaited).poll(&mut cx), Poll::Pending);
        promise.keep(7);
        assert!(*flag.0.lock().expect("flag"));
        assert_eq!(Pin::new(&mut awaited).poll(&mut cx), Poll::Ready(Some(7)));
    }

    #[test]
    fn a_broken_promise_is_none() {
        let (promise, awaited) = promise::<u8>();
        drop(promise);
        assert_eq!(awaited.wait(), None);
    }

    #[test]
    fn a_thread_may_block_for_it() {
        let (promise, awaited) = promise();
        let waiting = thread::Builder::new().spawn(move || awaited.wait()).expect("thread");
        promise.keep("here");
        assert_eq!(waiting.join().expect("joined"), Some("here"));
    }
}
