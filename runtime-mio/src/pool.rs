//! Threads for what the program is asked: it may block, and the loop must not.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use strowger_shell::asking::Work;
use strowger_shell::promise::Wait;

/// Questions of which the program is asked at once; others wait for their turn.
pub const WORKERS: usize = 8;

/// Questions that may wait. How many there can be is bounded by whoever asks.
const QUEUE: usize = 4_096;

/// The threads, started as they are needed.
pub(crate) struct Pool {
    work: SyncSender<Work>,
    queue: Arc<Mutex<Receiver<Work>>>,
    threads: usize,
}

impl Pool {
    pub(crate) fn new() -> Pool {
        let (work, queue) = sync_channel(QUEUE);
        Pool { work, queue: Arc::new(Mutex::new(queue)), threads: 0 }
    }

    /// Has this run to its end. What there is no room for is dropped: nobody answers, and the question's time runs out.
    pub(crate) fn run(&mut self, work: Work) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.work.try_send(work) {
            return;
        }
        // One more for each of the first questions, whether another thread is free or not: they are few.
        if self.threads < WORKERS {
            let queue = self.queue.clone();
            let started = thread::Builder::new().name("strowger-work".into()).spawn(move || serve(&queue));
            self.threads += usize::from(started.is_ok());
        }
    }
}

/// Ends with the pool.
fn serve(queue: &Mutex<Receiver<Work>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = next else { return };
        // A program that panics fails this question, and no other.
        let _ = catch_unwind(AssertUnwindSafe(|| work.wait()));
    }
}
