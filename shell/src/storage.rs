//! The loop's side of the store: a gate, the thread behind it, and what comes back.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use strowger_core::Engine;
use strowger_core::base::Time;
use strowger_core::config::Settings;
use strowger_core::door::{Change, Input, Request};

use crate::gate::{Batch, Committed, Gate, Turn};
use crate::hooks::{Notice, OnNotice};
use crate::options::{Durability, StorageOptions};
use crate::promise::Wait;
use crate::queue::{Receiver, queue};
use crate::saver::Saver;
use crate::store::{Store, StoreError};

/// What an earlier life has left, in the order in which it is restored.
pub(crate) fn load(store: &mut dyn Store) -> Result<Vec<Change>, StoreError> {
    let mut kept = Vec::new();
    store.load(&mut |change| kept.push(change))?;
    Ok(kept)
}

/// Gives an engine that is new what an earlier life has left.
pub(crate) fn restore(engine: &mut Engine, now: Time, kept: Vec<Change>) {
    for change in kept {
        engine.handle(now, Input::Host { reply: None, request: Request::Restore(Box::new(change)) });
    }
}

/// Has the engine go by other settings. Those it had may name very many accounts: they are let go elsewhere, while it goes on.
pub(crate) fn reload(engine: &mut Engine, now: Time, settings: Arc<Settings>) {
    let old = Arc::clone(engine.settings());
    engine.handle(now, Input::Reload(settings));
    // Without a thread it takes its time here.
    let _ = thread::Builder::new().name("strowger-reload".into()).spawn(move || drop(old));
}

/// The engine saves if and only if there is a store, whatever a configuration says.
pub(crate) fn fit(settings: Arc<Settings>, durability: Option<Durability>) -> Arc<Settings> {
    let (changes, behind) = (durability.is_some(), durability == Some(Durability::WriteBehind));
    if (settings.tell.changes, settings.tell.behind) == (changes, behind) {
        return settings;
    }
    let mut settings = Arc::unwrap_or_clone(settings);
    (settings.tell.changes, settings.tell.behind) = (changes, behind);
    Arc::new(settings)
}

/// See the module.
pub(crate) struct Storage {
    pub(crate) gate: Gate,
    saver: Saver,
    done: Receiver<Committed>,
    /// Came without the thread.
    first: Option<Committed>,
    durability: Durability,
    last_commit: Duration,
    notices: OnNotice,
}

impl Storage {
    pub(crate) fn start(
        store: Box<dyn Store>,
        options: &StorageOptions,
        notices: OnNotice,
    ) -> std::io::Result<Storage> {
        // One commit runs at a time: this never fills up.
        let (sender, done) = queue(2);
        let saver = Saver::start(store, move |committed| {
            let _ = sender.try_send(committed);
        })?;
        Ok(Storage {
            gate: Gate::new(options.clone()),
            saver,
            done,
            first: None,
            durability: options.durability,
            last_commit: options.last_commit,
            notices,
        })
    }

    pub(crate) fn durability(&self) -> Durability {
        self.durability
    }

    /// Takes in what was committed, tells the engine, and begins the next commit if it is time for it. True if there was
    /// anything to do.
    pub(crate) fn turn(&mut self, now: Time, engine: &mut Engine) -> bool {
        let mut busy = false;
        while let Some(committed) = self.first.take().or_else(|| self.done.try_recv()) {
            busy = true;
            self.gate.done(now, committed);
        }
        while let Some(verdict) = self.gate.poll_verdict() {
            busy = true;
            engine.handle(now, verdict);
        }
        if let Some(turn) = self.gate.poll_turn() {
            (self.notices)(match turn {
                Turn::Fails(error) => Notice::StoreFails { error: error.to_string().into() },
                Turn::Recovered => Notice::StoreWorks,
            });
        }
        if let Some(batch) = self.gate.next_batch(now) {
            busy = true;
            self.commit(batch);
        }
        busy
    }

    fn commit(&mut self, batch: Batch) {
        if let Err(failed) = self.saver.commit(batch) {
            self.first = Some(failed);
        }
    }

    /// Ready when a commit is done.
    pub(crate) fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.first.is_some() {
            return Poll::Ready(());
        }
        match self.done.poll_recv(cx) {
            Poll::Ready(Some(committed)) => {
                self.first = Some(committed);
                Poll::Ready(())
            }
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// The server ends: waits for the running commit, or begins the last one. False if there is nothing left to wait for.
    pub(crate) fn flush(&mut self) -> bool {
        if let Some(batch) = self.gate.last_batch() {
            self.commit(batch);
        }
        if self.first.is_some() || !self.gate.is_busy() {
            return self.first.is_some();
        }
        match self.done.recv().wait_for(self.last_commit) {
            Some(Some(committed)) => {
                // What fails now is not tried again.
                let good = committed.result.is_ok();
                self.first = Some(committed);
                good || self.durability == Durability::Strict
            }
            Some(None) | None => false,
        }
    }

    /// Closes the store.
    pub(crate) fn close(self) {
        let _ = self.saver.close().wait_for(self.last_commit);
    }
}
