//! The thread on which everything is made that is as large as all accounts are.
//!
//! The allocator of the system has a heap for each thread, and what is freed goes back to the heap it came from. The
//! accounts are read again with each change: were that done by whichever thread is idle, each of them would come to hold
//! as much as all of it takes.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use tokio::sync::oneshot;

type Work = Box<dyn FnOnce() + Send>;

/// Dropping it ends the thread, when it has done what it was given.
#[derive(Debug)]
pub struct Workroom(Sender<Work>);

impl Workroom {
    /// Starts the thread.
    pub fn open() -> io::Result<Workroom> {
        let (sender, inbox) = channel::<Work>();
        thread::Builder::new()
            .name("strowger-office".into())
            .spawn(move || inbox.into_iter().for_each(|work| work()))?;
        Ok(Workroom(sender))
    }

    /// Has something done there, after what was given before; `None` if it panicked.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (sender, done) = oneshot::channel();
        let work = move || {
            let _ = sender.send(work());
        };
        self.0.send(Box::new(work)).ok()?;
        done.await.ok()
    }
}
