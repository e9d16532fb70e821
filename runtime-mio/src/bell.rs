//! Who is to be looked at next: a list that anybody may put himself on, from any thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// The list, and how the loop is woken when it sleeps.
pub(crate) struct Bells {
    rung: Mutex<Vec<usize>>,
    /// While the loop is awake it looks by itself.
    asleep: AtomicBool,
    waker: mio::Waker,
}

impl Bells {
    pub(crate) fn new(waker: mio::Waker) -> Arc<Bells> {
        Arc::new(Bells { rung: Mutex::default(), asleep: AtomicBool::new(false), waker })
    }

    /// Puts this number on the list when it is woken.
    pub(crate) fn bell(self: &Arc<Bells>, number: usize) -> Arc<Bell> {
        Arc::new(Bell { bells: self.clone(), number, is_rung: AtomicBool::new(false) })
    }

    /// The list until now, in place of `empty`.
    pub(crate) fn take(&self, empty: Vec<usize>) -> Vec<usize> {
        std::mem::replace(&mut *self.rung.lock().unwrap_or_else(PoisonError::into_inner), empty)
    }

    /// The loop goes to sleep; false if it should not, because somebody is on the list.
    pub(crate) fn sleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        if self.rung.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return true;
        }
        self.asleep.store(false, Ordering::SeqCst);
        false
    }

    /// The loop is awake.
    pub(crate) fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }
}

/// One who may be put on the list.
pub(crate) struct Bell {
    bells: Arc<Bells>,
    number: usize,
    is_rung: AtomicBool,
}

impl Bell {
    pub(crate) fn waker(self: &Arc<Bell>) -> Waker {
        Waker::from(self.clone())
    }

    /// He is being looked at: from now on he may be put on the list again.
    pub(crate) fn answer(&self) {
        self.is_rung.store(false, Ordering::SeqCst);
    }

    /// Puts him on the list, in the thread of the loop.
    pub(crate) fn ring(&self) {
        if !self.is_rung.swap(true, Ordering::SeqCst) {
            self.bells.rung.lock().unwrap_or_else(PoisonError::into_inner).push(self.number);
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
        if self.bells.asleep.swap(false, Ordering::SeqCst) {
            // The loop wakes at its next deadline at the latest.
            let _ = self.bells.waker.wake();
        }
    }
}
