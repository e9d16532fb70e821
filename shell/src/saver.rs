//! The thread that stores: a commit blocks on the disk, and the engine must not. Every runtime uses it alike, and is told
//! by a closure when a batch is done.

use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;

use crate::gate::{Batch, Committed};
use crate::promise::{Awaited, promise};
use crate::store::{Store, StoreError};

/// Sends batches to the thread. Dropping it ends the thread, when it has done what it was sent.
pub struct Saver {
    batches: Sender<Batch>,
    ended: Option<Awaited<()>>,
}

impl fmt::Debug for Saver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Saver")
    }
}

impl Saver {
    /// Starts the thread. `done` is called in it after each batch and must not block for long.
    pub fn start(store: Box<dyn Store>, done: impl FnMut(Committed) + Send + 'static) -> io::Result<Saver> {
        let (batches, inbox) = channel();
        let (kept, ended) = promise();
        thread::Builder::new().name("strowger-store".into()).spawn(move || {
            run(store, inbox, done);
            kept.keep(());
        })?;
        Ok(Saver { batches, ended: Some(ended) })
    }

    /// Has a batch committed. If the thread is gone, it comes back as failed.
    pub fn commit(&self, batch: Batch) -> Result<(), Committed> {
        self.batches.send(batch).map_err(|refused| Committed {
            batch: refused.0,
            result: Err(StoreError::Io("the thread that stores has ended".into())),
            took: std::time::Duration::ZERO,
        })
    }

    /// Lets the thread end; resolves when the store is closed.
    pub fn close(mut self) -> Awaited<()> {
        self.ended.take().expect("invariant: it is taken once, here")
    }
}

#[allow(clippy::disallowed_methods)] // How long a commit took is measured where it runs.
fn run(mut store: Box<dyn Store>, inbox: Receiver<Batch>, mut done: impl FnMut(Committed)) {
    for batch in inbox {
        let began = Instant::now();
        let result = store.commit(&batch.changes);
        let mut batch = batch;
        if result.is_ok() {
            // The engine's thread has better things to do than to free them.
            batch.changes.clear();
        }
        done(Committed { batch, result, took: began.elapsed() });
    }
    store.close();
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;
    use crate::gate::tests::put;
    use crate::store::MemoryStore;

    #[test]
    fn batches_are_committed_in_order_and_come_back() {
        let store = MemoryStore::new();
        let (sender, done) = sync_channel(4);
        let saver = Saver::start(Box::new(store.clone()), move |committed| {
            sender.send(committed).expect("somebody waits");
        });
        let saver = saver.expect("a thread");
        saver.commit(Batch { changes: vec![put(1, 10)] }).expect("taken");
        let first = done.recv().expect("done");
        assert!(first.result.is_ok() && first.batch.changes.is_empty());
        store.fail(Some(StoreError::InUse));
        saver.commit(Batch { changes: vec![put(2, 10)] }).expect("taken");
        let second = done.recv().expect("done");
        assert_eq!((second.result, second.batch.changes), (Err(StoreError::InUse), vec![put(2, 10)]));
        drop(saver);
        assert!(done.recv().is_err(), "the thread has ended");
        assert_eq!(store.changes(), [put(1, 10)]);
    }
}
