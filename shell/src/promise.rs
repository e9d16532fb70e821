//! One value, from the engine's thread to whoever waits for it: by `await` under any runtime, or by blocking, as
//! [`Wait`] lets any future be waited for.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Both ends of a promise: who keeps it, and who waits.
pub fn promise<T>() -> (Promise<T>, Awaited<T>) {
    let shared = Arc::new(Shared { state: Mutex::new(State { value: None, over: false, waker: None }) });
    (Promise { shared: shared.clone() }, Awaited { shared })
}

/// Keeps, or by being dropped breaks, a promise.
#[derive(Debug)]
pub struct Promise<T> {
    shared: Arc<Shared<T>>,
}

/// The promised value: a future, or [`wait`](Wait::wait). `None` when the promise was broken.
#[derive(Debug)]
pub struct Awaited<T> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
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
        if let Some(waker) = waker {
            waker.wake();
        }
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

/// Blocks a thread until a future is done, for programs without an async runtime: `handle.lookup("alice@localhost").wait()`.
/// Not for futures that need a runtime of their own, such as its sleep.
pub trait Wait: Future + Sized {
    /// Blocks until it is done.
    fn wait(self) -> Self::Output {
        let mut future = std::pin::pin!(self);
        let bell = Arc::new(Bell::new());
        let waker = Waker::from(bell.clone());
        let mut cx = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                return output;
            }
            while !bell.rung.swap(false, Ordering::Acquire) {
                thread::park();
            }
        }
    }

    /// Blocks until it is done, or for so long; then it is given up.
    #[allow(clippy::disallowed_methods)] // A thread that waits needs a clock of its own.
    fn wait_for(self, patience: Duration) -> Option<Self::Output> {
        let mut future = std::pin::pin!(self);
        let bell = Arc::new(Bell::new());
        let waker = Waker::from(bell.clone());
        let mut cx = Context::from_waker(&waker);
        let until = Instant::now().checked_add(patience);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                return Some(output);
            }
            while !bell.rung.swap(false, Ordering::Acquire) {
                let Some(until) = until else {
                    thread::park();
                    continue;
                };
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return None;
                }
                thread::park_timeout(left);
            }
        }
    }
}

impl<F: Future> Wait for F {}

/// Wakes a thread that waits.
struct Bell {
    thread: Thread,
    rung: AtomicBool,
}

impl Bell {
    fn new() -> Bell {
        Bell { thread: thread::current(), rung: AtomicBool::new(false) }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

#[cfg(test)]
mod tests {
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
    fn who_waits_does_so_no_longer_than_he_will() {
        let (promise, awaited) = promise::<u8>();
        assert_eq!(awaited.wait_for(Duration::from_millis(5)), None);
        drop(promise);
    }

    #[test]
    fn a_thread_may_block_for_it() {
        let (promise, awaited) = promise();
        let waiting = thread::Builder::new().spawn(move || awaited.wait()).expect("thread");
        promise.keep("here");
        assert_eq!(waiting.join().expect("joined"), Some("here"));
    }
}
