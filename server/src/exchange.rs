//! The running engine as the REST API sees it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use strowger_core::base::Time;
use strowger_core::door::{
    BindingView, CallStage, CallView, PresenceState, SubscriptionState, SubscriptionView,
};
use strowger_shell::calls::CallError;
use strowger_shell::presence::PresenceError;
use strowger_tokio::Handle;
use strowger_users::Seconds;
use strowger_users::rest::{Call, Exchange, ExchangeError, Health, Presence, Registration, Subscription};
use tokio::runtime;

/// An engine that does not answer for so long does not answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks the engine from threads that may wait.
#[derive(Debug)]
pub struct Switchboard {
    handle: Handle,
    runtime: runtime::Handle,
    draining: Arc<AtomicBool>,
}

impl Switchboard {
    /// To be made within the runtime that runs the server.
    pub fn new(handle: Handle, draining: Arc<AtomicBool>) -> Switchboard {
        Switchboard { handle, runtime: runtime::Handle::current(), draining }
    }

    fn ask<T, E: Into<Failed>>(&self, asked: impl Future<Output = Result<T, E>>) -> Result<T, ExchangeError> {
        let answer = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, asked).await });
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(failed)) => Err(failed.into().0),
            Err(_) => Err(ExchangeError::Unavailable),
        }
    }
}

/// Why the engine has no answer, as the API says it.
struct Failed(ExchangeError);

impl From<strowger_tokio::HandleError> for Failed {
    fn from(error: strowger_tokio::HandleError) -> Failed {
        Failed(match error {
            strowger_tokio::HandleError::Refused(why) => ExchangeError::Invalid(why),
            _ => ExchangeError::Unavailable,
        })
    }
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Failed {
        use strowger_core::door::CallRefusal;
        Failed(match error {
            CallError::Refused(CallRefusal::Unknown) => ExchangeError::NotFound,
            CallError::Refused(CallRefusal::Off) => ExchangeError::Unsupported,
            CallError::Refused(_) => ExchangeError::Invalid("not an address that can be called"),
            _ => ExchangeError::Unavailable,
        })
    }
}

impl From<PresenceError> for Failed {
    fn from(error: PresenceError) -> Failed {
        use strowger_core::door::PresenceRefusal;
        Failed(match error {
            PresenceError::Refused(PresenceRefusal::Off) => ExchangeError::Unsupported,
            PresenceError::Refused(PresenceRefusal::NotOurs) => ExchangeError::NotFound,
            PresenceError::Refused(_) => ExchangeError::Invalid("it cannot be"),
            _ => ExchangeError::Unavailable,
        })
    }
}

fn seconds(time: Time) -> Seconds {
    time.as_secs() as Seconds
}

fn registration(binding: BindingView) -> Registration {
    Registration {
        aor: binding.aor.into(),
        contact: binding.contact.into(),
        q: f32::from(binding.q) / 1000.0,
        since: seconds(binding.since),
        expires: seconds(binding.expires_at),
        transport: binding.transport.via_token().into(),
        received: binding.received.to_string(),
        user_agent: binding.user_agent.into(),
        instance: binding.instance.into(),
    }
}

fn call(view: CallView) -> Call {
    Call {
        id: view.id,
        caller: view.caller.into(),
        callee: view.callee.into(),
        stage: match view.stage {
            CallStage::Answered => "answered",
            CallStage::Ringing => "ringing",
        }
        .into(),
        since: seconds(view.since),
        legs: view.legs.len(),
    }
}

fn subscription(view: SubscriptionView) -> Subscription {
    Subscription {
        id: view.id,
        event: view.package.into(),
        watcher: view.watcher.into(),
        target: view.aor.into(),
        state: match view.state {
            SubscriptionState::Active => "active",
            SubscriptionState::Pending => "pending",
            SubscriptionState::Blocked => "blocked",
        }
        .into(),
        since: seconds(view.since),
        expires: seconds(view.expires_at),
    }
}

impl Exchange for Switchboard {
    fn registrations(&self, after: Option<&str>, aors: usize) -> Result<Vec<Registration>, ExchangeError> {
        let found = self.ask(self.handle.list(after, aors))?;
        Ok(found.into_iter().map(registration).collect())
    }

    fn registration(&self, aor: &str) -> Result<Vec<Registration>, ExchangeError> {
        let found = self.ask(self.handle.lookup(aor)).map_err(|error| match error {
            // What is no address here has no registrations.
            ExchangeError::Invalid(_) => ExchangeError::NotFound,
            error => error,
        })?;
        Ok(found.into_iter().map(registration).collect())
    }

    fn remove_registration(&self, aor: &str, contact: Option<&str>) -> Result<usize, ExchangeError> {
        self.registration(aor)?;
        self.ask(self.handle.remove(aor, contact))
    }

    fn presence(&self, aor: &str) -> Result<Presence, ExchangeError> {
        let presence = self.handle.presence_handler();
        let view = self.ask(presence.get_presence(aor))?;
        let activity = match view.state {
            PresenceState::Available | PresenceState::Offline => None,
            PresenceState::Busy => Some("busy"),
            PresenceState::DoNotDisturb => Some("do-not-disturb"),
            PresenceState::Away => Some("away"),
        };
        Ok(Presence {
            aor: view.aor.into(),
            open: view.state != PresenceState::Offline,
            activities: activity.map(String::from).into_iter().collect(),
            note: view.note.map(String::from).unwrap_or_default(),
            sources: view.sources.len(),
        })
    }

    fn subscriptions(&self, after: u64, limit: usize) -> Result<Vec<Subscription>, ExchangeError> {
        let presence = self.handle.presence_handler();
        Ok(self.ask(presence.subscriptions(after, limit))?.into_iter().map(subscription).collect())
    }

    fn calls(&self, after: u64, limit: usize) -> Result<Vec<Call>, ExchangeError> {
        let calls = self.handle.calls_handler();
        Ok(self.ask(calls.list(after, limit))?.into_iter().map(call).collect())
    }

    fn call(&self, id: u64) -> Result<Call, ExchangeError> {
        let calls = self.handle.calls_handler();
        self.ask(calls.look_up(id)).map(call)
    }

    fn end_call(&self, id: u64) -> Result<(), ExchangeError> {
        let calls = self.handle.calls_handler();
        self.ask(calls.hang_up(id))
    }

    fn health(&self) -> Health {
        let (ok, status) = match self.ask(self.handle.snapshot()) {
            _ if self.draining.load(Ordering::Relaxed) => (false, "draining"),
            Err(_) => (false, "the engine does not answer"),
            // It serves, and only new work shows whether the disk does again.
            Ok(now) if now.store.is_some_and(|store| store.failing) => (true, "state cannot be stored"),
            Ok(_) => (true, "ok"),
        };
        Health { ok, status: status.into() }
    }
}
