//! Keeps what the engine knows of accounts as it is: a change made here is told at once, one of another process, such
//! as the command line, within a second.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use strowger_core::config::Config;
use strowger_tokio::Handle;
use strowger_users::store::Revoked;

use crate::office::{self, Office};
use crate::roll::Roll;
use crate::workroom::Workroom;

/// How often the file is looked at for what others did.
const LOOK: Duration = Duration::from_secs(1);
/// Every so many looks keys are turned, and what is over is dropped.
const SWEEP: u32 = 60;

/// Tells the engine of accounts.
pub struct Keeper {
    office: Arc<Office>,
    handle: Handle,
    /// The configuration without the accounts of the office.
    base: Mutex<Config>,
    roll: Arc<Roll>,
    workroom: Workroom,
    /// Which tokens the engine was told to be good no more.
    told: tokio::sync::Mutex<BTreeSet<(Revoked, i64)>>,
}

impl Keeper {
    /// Over an engine that was started with this configuration and the office's accounts.
    pub fn new(
        office: Arc<Office>,
        handle: Handle,
        base: Config,
        roll: Arc<Roll>,
        workroom: Workroom,
    ) -> Keeper {
        Keeper { office, handle, base: Mutex::new(base), roll, workroom, told: tokio::sync::Mutex::default() }
    }

    /// Another configuration holds from now on.
    pub async fn rebase(&self, base: Config) {
        *self.base.lock().unwrap_or_else(PoisonError::into_inner) = base;
        self.tell().await;
    }

    /// Runs for as long as the engine lives.
    pub async fn keep(self: Arc<Self>) {
        self.tell_revoked().await;
        let mut looks = 0;
        loop {
            let due = tokio::select! {
                () = self.office.changed() => true,
                () = tokio::time::sleep(LOOK) => {
                    looks += 1;
                    self.look(looks % SWEEP == 0).await
                }
            };
            if due {
                self.tell().await;
            }
        }
    }

    /// True if another process has changed something.
    async fn look(&self, sweeps: bool) -> bool {
        let office = Arc::clone(&self.office);
        let looked = tokio::task::spawn_blocking(move || {
            if sweeps && let Err(error) = office.sweep() {
                tracing::error!(target: "strowger::accounts", %error, "cannot keep the keys and the store in order");
            }
            office.refresh()
        });
        match looked.await {
            Ok(Ok(changed)) => changed,
            Ok(Err(error)) => {
                tracing::error!(target: "strowger::accounts", %error, "cannot look at the store");
                false
            }
            Err(_) => false,
        }
    }

    async fn tell(&self) {
        let mut config = self.base.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let office = Arc::clone(&self.office);
        let built = self.workroom.run(move || {
            let added = office.add_to(&mut config).map_err(|error| error.to_string())?;
            for account in added.left_out {
                tracing::warn!(target: "strowger::accounts", "not for phones: {account}");
            }
            let owned = office::owned(&config, added.disabled);
            let settings = config
                .validate()
                .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
            Ok::<_, String>((settings, owned))
        });
        let (settings, owned) = match built.await {
            Some(Ok(built)) => built,
            Some(Err(error)) => {
                return tracing::error!(target: "strowger::accounts", %error, "accounts were not taken over");
            }
            None => return,
        };
        if self.handle.reload(settings).is_err() {
            return;
        }
        self.roll.update(&self.handle, owned).await;
        self.tell_revoked().await;
    }

    async fn tell_revoked(&self) {
        let mut told = self.told.lock().await;
        let issuer = &self.office.login().issuer().config().issuer;
        let all = self.office.store().revocations().all();
        let mut known: BTreeSet<(Revoked, i64)> =
            all.iter().map(|one| (one.what.clone(), one.until)).collect();
        for one in all {
            let entry = (one.what.clone(), one.until);
            if told.contains(&entry) {
                continue;
            }
            let until = SystemTime::UNIX_EPOCH + Duration::from_secs(one.until.max(0) as u64);
            if let Err(error) = self.handle.revoke(issuer, one.tokens(), until).await {
                tracing::error!(target: "strowger::accounts", %error, "tokens that were taken back still work for phones");
                known.remove(&entry);
            }
        }
        *told = known;
    }
}
