//! Which addresses of record accounts have, and have had: what was done under one that an account had, and none has any
//! more, ends.
//!
//! The list of those that accounts had last is a file of the state folder, `addresses`, so that this holds also for what
//! changed while no server ran. An address that never belonged to an account, such as one in the token of another
//! issuer, is in no list: nothing of it is touched. Without a list, which an earlier version has not written, nothing is.
//!
//! The list is written some time after a change, when what ended by it is durable, so that a server that is killed
//! meanwhile finds the old list and ends it again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use strowger_core::door::{Request, Waiting};
use strowger_tokio::Handle;
use tokio::sync::Mutex;

use crate::cli::Complaint;
use crate::state::StateDir;

/// The list, in the state folder.
const FILE: &str = "addresses";
/// How long after a change the list is written: longer than changes wait for their commit.
const SETTLED: Duration = Duration::from_secs(2);

/// Addresses of record in canonical form.
pub type Addresses = BTreeSet<Box<str>>;

/// What accounts have.
#[derive(Clone, Default, Debug)]
pub struct Owned {
    /// By accounts that work.
    pub now: Addresses,
    /// By accounts that are disabled: messages wait for them.
    pub disabled: Addresses,
}

impl Owned {
    /// What is to end of an address that no working account has any more.
    fn gone(&self, aor: &str) -> Waiting {
        if self.disabled.contains(aor) { Waiting::Keep } else { Waiting::Drop }
    }
}

/// The list.
#[derive(Debug)]
pub struct Roll {
    state: StateDir,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    aors: Addresses,
    /// When they became other than in the file.
    changed: Option<Instant>,
    /// They could not be written, and that was said.
    failed: bool,
}

impl Roll {
    /// For an engine that starts with accounts that have these addresses; and what it is to be asked before a phone reaches it.
    pub fn open(state: &StateDir, owned: &Owned) -> Result<(Roll, Vec<Request>), Complaint> {
        let before: Addresses =
            state.read(FILE)?.iter().flat_map(|list| list.lines()).map(Box::from).collect();
        let gone = before.difference(&owned.now).chain(owned.disabled.difference(&before));
        let gone =
            gone.map(|aor| Request::ForgetAor { aor: aor.clone(), messages: owned.gone(aor) }).collect();
        let changed = (before != owned.now).then(now);
        let known = Known { aors: owned.now.clone(), changed, failed: false };
        Ok((Roll { state: state.clone(), known: Mutex::new(known) }, gone))
    }

    /// Accounts have other addresses now.
    pub async fn update(&self, handle: &Handle, owned: Owned) {
        let mut known = self.known.lock().await;
        for aor in known.aors.difference(&owned.now) {
            // One of a domain that is none of ours any more has nothing that could be found.
            let _ = handle.forget(aor, owned.gone(aor)).await;
        }
        if known.aors != owned.now {
            (known.aors, known.changed) = (owned.now, Some(now()));
        }
    }

    /// Writes the list when it is time to, for as long as the server runs.
    pub async fn keep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(SETTLED / 2).await;
            self.write(SETTLED).await;
        }
    }

    /// All is durable that ever will be.
    pub async fn close(&self) {
        self.write(Duration::ZERO).await;
    }

    /// Writes the list if it changed so long ago.
    async fn write(&self, settled: Duration) {
        let mut known = self.known.lock().await;
        if known.changed.is_none_or(|changed| changed.elapsed() < settled) {
            return;
        }
        let list: String = known.aors.iter().flat_map(|aor| [aor, "\n"]).collect();
        let state = self.state.clone();
        match tokio::task::spawn_blocking(move || state.write(FILE, list.as_bytes())).await {
            Ok(Ok(_)) => (known.changed, known.failed) = (None, false),
            // Tried again with the next turn.
            Ok(Err(error)) if !core::mem::replace(&mut known.failed, true) => {
                tracing::warn!(target: "strowger::accounts", %error, "the list of addresses of record cannot be written");
            }
            Ok(Err(_)) | Err(_) => {}
        }
    }
}

#[allow(clippy::disallowed_methods)] // How long ago it was, by the clock of the process.
fn now() -> Instant {
    Instant::now()
}
