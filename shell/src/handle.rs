//! How the rest of the program talks to a running engine: a cheap clone of a sender. A request goes in, a reply comes
//! out; nothing is shared and nothing is locked.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use strowger_core::base::Time;
use strowger_core::config::Settings;
use strowger_core::door::{
    BindingView, DeviceTold, FlowDownReason, Notice, NoticeRefusal, Reply, ReplyBody, Request, Revoked,
    Transport, Waiting,
};
use strowger_core::stats::{Sizes, Stats};
use thiserror::Error;

use crate::calls::CallsHandle;
use crate::gate::StoreStats;
use crate::latency::Latency;
use crate::news::{Changes, Feed, news};
use crate::presence::PresenceHandle;
use crate::promise::{Awaited, Promise, promise};
use crate::relay::{RelayStats, RtpengineStats};

/// What a handle sends to the loop that owns the engine.
#[derive(Debug)]
pub enum Call {
    /// Ask the engine; the reply, if any, keeps the promise.
    Ask(Request, Option<Promise<ReplyBody>>),
    /// Tell news of presence from now on.
    Listen(Feed),
    /// Copy all numbers out.
    Snapshot(Promise<Box<Snapshot>>),
    /// Use these settings from now on.
    Reload(Arc<Settings>),
    /// End now, without draining.
    Stop,
}

/// All numbers of a running server at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The engine's counters.
    pub stats: Stats,
    /// The sizes of its tables.
    pub sizes: Sizes,
    /// What the sockets counted.
    pub sockets: SocketStats,
    /// From the input to the socket, for every message sent.
    pub latency: Latency,
    /// The same for NOTIFY requests alone: from the PUBLISH, the SUBSCRIBE, or the end of the pacing interval.
    pub notify_latency: Latency,
    /// What was stored, where there is a store.
    pub store: Option<StoreStats>,
    /// What the relay of media has done, where there is one in this process.
    pub relay: Option<RelayStats>,
    /// What the rtpengine has done, where there is one.
    pub rtpengine: Option<RtpengineStats>,
}

/// A count for each stream transport.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PerTransport([u64; Transport::ALL.len()]);

impl<const N: usize> From<[(Transport, u64); N]> for PerTransport {
    fn from(counts: [(Transport, u64); N]) -> PerTransport {
        let mut all = PerTransport::default();
        counts.into_iter().for_each(|(transport, count)| *all.count(transport) = count);
        all
    }
}

impl PerTransport {
    /// The count of one transport.
    pub fn of(&self, transport: Transport) -> u64 {
        self.0[transport as usize]
    }

    pub(crate) fn count(&mut self, transport: Transport) -> &mut u64 {
        &mut self.0[transport as usize]
    }

    /// The counts of stream transports, by name.
    pub fn iter(&self) -> impl Iterator<Item = (Transport, u64)> {
        let all = Transport::ALL.into_iter().zip(self.0);
        all.filter(|(transport, _)| transport.is_reliable())
    }
}

/// A count for each reason why a stream connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PerReason([u64; FlowDownReason::ALL.len()]);

impl PerReason {
    /// The count of one reason.
    pub fn of(&self, reason: FlowDownReason) -> u64 {
        self.0[reason as usize]
    }

    pub(crate) fn count(&mut self, reason: FlowDownReason) -> &mut u64 {
        &mut self.0[reason as usize]
    }

    /// The counts, by reason.
    pub fn iter(&self) -> impl Iterator<Item = (FlowDownReason, u64)> {
        FlowDownReason::ALL.into_iter().zip(self.0)
    }
}

/// What the sockets counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SocketStats {
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Datagrams lost because the socket was full for too long.
    pub datagrams_lost: u64,
    /// Datagrams that the operating system refused to send.
    pub send_errors: u64,
    /// Stream connections now.
    pub connections: PerTransport,
    /// Stream connections accepted, and up.
    pub accepted: PerTransport,
    /// Stream connections turned away by a limit.
    pub turned_away: u64,
    /// Accepted connections on which TLS or WebSocket was not agreed on.
    pub handshakes_failed: PerTransport,
    /// Stream connections that were up, or opened by the engine, and ended. What the peer sent that is no SIP counts as
    /// [`Error`](FlowDownReason::Error), keep-alives without end as [`Limit`](FlowDownReason::Limit).
    pub ended: PerReason,
}

/// Why a request of a handle failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum HandleError {
    /// The server is not running, or ended before it replied.
    #[error("the server is not running")]
    Stopped,
    /// Too many requests wait for the engine.
    #[error("too many requests wait for the engine")]
    Busy,
    /// As many of these are remembered as may be ([`Limits`](strowger_core::config::Limits)).
    #[error("no more of these can be remembered: a limit is reached")]
    Full,
    /// The request makes no sense; what is wrong with it.
    #[error("{0}")]
    Refused(&'static str),
}

/// Why a NOTIFY was not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum NotifyError {
    /// The server is not running, or ended before all phones had answered.
    #[error("the server is not running")]
    Stopped,
    /// Too many requests wait for the engine.
    #[error("too many requests wait for the engine")]
    Busy,
    /// The server runs, and does not send this.
    #[error(transparent)]
    Refused(#[from] NoticeRefusal),
}

/// Talks to a running engine. Cheap to clone, usable from any thread and any runtime.
///
/// Look-ups await the engine's reply. With many requests in flight they fail with [`HandleError::Busy`] rather than
/// queue without bound.
#[derive(Clone)]
pub struct Handle {
    send: Arc<Sender>,
}

type Sender = dyn Fn(Call) -> Result<(), HandleError> + Send + Sync;

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

impl Handle {
    /// A handle that reaches the engine by `send`; for runtimes.
    pub fn new(send: impl Fn(Call) -> Result<(), HandleError> + Send + Sync + 'static) -> Handle {
        Handle { send: Arc::new(send) }
    }

    /// All live bindings of an address of record, best first. Nobody registered is an empty list, not an error.
    ///
    /// `aor` is `user@domain` or a SIP URI.
    pub async fn lookup(&self, aor: &str) -> Result<Vec<BindingView>, HandleError> {
        bindings(self.ask(Request::Lookup { aor: aor.into() })?.await)
    }

    /// Whether an address of record has a binding that can be reached now.
    pub async fn is_registered(&self, aor: &str) -> Result<bool, HandleError> {
        Ok(self.lookup(aor).await?.iter().any(|binding| binding.reachable))
    }

    /// All bindings whose Contact equals this URI (RFC 3261 s19.1.4).
    pub async fn lookup_contact(&self, contact: &str) -> Result<Vec<BindingView>, HandleError> {
        bindings(self.ask(Request::LookupContact { contact: contact.into() })?.await)
    }

    /// The bindings of the addresses of record behind `after`, in the order of their names: at most `limit` addresses,
    /// and at most 1,000.
    pub async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<BindingView>, HandleError> {
        bindings(self.ask(Request::List { after: after.map(Into::into), limit })?.await)
    }

    /// Removes one binding of an address of record, or all of them; how many were removed.
    pub async fn remove(&self, aor: &str, contact: Option<&str>) -> Result<usize, HandleError> {
        let request = Request::RemoveBinding { aor: aor.into(), contact: contact.map(Into::into) };
        match self.ask(request)?.await {
            Some(ReplyBody::Removed(removed)) => Ok(removed),
            other => Err(unexpected(other)),
        }
    }

    /// Nobody may act under an address of record any more, as if it had never been used ([`Request::ForgetAor`]); how many
    /// bindings it had.
    pub async fn forget(&self, aor: &str, messages: Waiting) -> Result<usize, HandleError> {
        match self.ask(Request::ForgetAor { aor: aor.into(), messages })?.await {
            Some(ReplyBody::Removed(removed)) => Ok(removed),
            other => Err(unexpected(other)),
        }
    }

    /// Sends a NOTIFY that nobody subscribed to, to every phone of a user that can be reached, and waits for what each of them
    /// says: `check-sync` makes many phones read their configuration again, `message-summary` lights the lamps of those
    /// that cannot subscribe. Without phones the answer is empty.
    ///
    /// Whoever subscribed to something that the server serves is told by what is said of it: presence by
    /// [`update_presence`](PresenceHandle::update_presence), mailboxes by
    /// [`set_message_summary`](PresenceHandle::set_message_summary).
    ///
    /// ```
    /// # async fn restart(handle: strowger_shell::handle::Handle) -> Result<(), strowger_shell::handle::NotifyError> {
    /// use strowger_core::door::Notice;
    ///
    /// for phone in handle.send_notify("alice@example.com", Notice::new("check-sync;reboot=true")).await? {
    ///     println!("{}: {}", phone.contact, phone.status);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send_notify(&self, aor: &str, notice: Notice) -> Result<Vec<DeviceTold>, NotifyError> {
        let awaited =
            self.ask(Request::SendNotify { aor: aor.into(), notice }).map_err(|error| match error {
                HandleError::Busy => NotifyError::Busy,
                HandleError::Stopped | HandleError::Full | HandleError::Refused(_) => NotifyError::Stopped,
            })?;
        match awaited.await {
            Some(ReplyBody::Notified(told)) => Ok(told),
            Some(ReplyBody::NoNotice(why)) => Err(NotifyError::Refused(why)),
            // The engine answers these requests with nothing else.
            _ => Err(NotifyError::Stopped),
        }
    }

    /// The store says something else of a user now: the server asks again when he comes next.
    pub async fn forget_user(&self, username: &str) -> Result<(), HandleError> {
        self.done(Request::ForgetUser { username: username.into() }).await
    }

    /// Tokens of an issuer are good no more; `until` is when they would be dead anyhow, by the wall clock.
    /// [`Full`](HandleError::Full) if [`revocations`](strowger_core::config::Limits::revocations) of them are remembered:
    /// these tokens stay good then, and no earlier revocation gives way.
    pub async fn revoke(&self, issuer: &str, tokens: Revoked, until: SystemTime) -> Result<(), HandleError> {
        let since = until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let until = Time::from_nanos(since.as_nanos() as u64);
        self.done(Request::Revoke { issuer: issuer.into(), tokens, until }).await
    }

    /// All numbers of the server, now.
    pub async fn snapshot(&self) -> Result<Box<Snapshot>, HandleError> {
        let (promise, awaited) = promise();
        (self.send)(Call::Snapshot(promise))?;
        awaited.await.ok_or(HandleError::Stopped)
    }

    /// New settings: accounts, keys, policy, limits. Listeners stay as they are.
    pub fn reload(&self, settings: Arc<Settings>) -> Result<(), HandleError> {
        (self.send)(Call::Reload(settings))
    }

    /// Takes no new work, lets live work end for at most `timeout`, then ends the server (DECISIONS 20).
    pub fn drain(&self, timeout: Duration) -> Result<(), HandleError> {
        (self.send)(Call::Ask(Request::Drain { timeout }, None))
    }

    /// Ends the server now.
    pub fn shutdown(&self) -> Result<(), HandleError> {
        (self.send)(Call::Stop)
    }

    /// Reads and publishes presence.
    pub fn presence_handler(&self) -> PresenceHandle {
        PresenceHandle::new(self.clone())
    }

    /// Looks at live calls, ends them and begins them.
    pub fn calls_handler(&self) -> CallsHandle {
        CallsHandle::new(self.clone())
    }

    pub(crate) fn listen(&self) -> Result<Changes, HandleError> {
        let (feed, changes) = news();
        (self.send)(Call::Listen(feed))?;
        Ok(changes)
    }

    async fn done(&self, request: Request) -> Result<(), HandleError> {
        match self.ask(request)?.await {
            Some(ReplyBody::Done) => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    pub(crate) fn send(&self, call: Call) -> Result<(), HandleError> {
        (self.send)(call)
    }

    pub(crate) fn ask(&self, request: Request) -> Result<Awaited<ReplyBody>, HandleError> {
        let (promise, awaited) = promise();
        (self.send)(Call::Ask(request, Some(promise)))?;
        Ok(awaited)
    }
}

fn bindings(reply: Option<ReplyBody>) -> Result<Vec<BindingView>, HandleError> {
    match reply {
        Some(ReplyBody::Bindings(found)) => Ok(found),
        other => Err(unexpected(other)),
    }
}

fn unexpected(reply: Option<ReplyBody>) -> HandleError {
    match reply {
        Some(ReplyBody::Full) => HandleError::Full,
        Some(ReplyBody::Refused(why)) => HandleError::Refused(why),
        Some(_) => HandleError::Refused("the engine gave another kind of reply"),
        None => HandleError::Stopped,
    }
}

/// Requests whose replies are awaited, by the number the engine echoes. For runtimes.
#[derive(Debug, Default)]
pub struct Replies {
    last: u64,
    // Our own numbers; never iterated.
    waiting: HashMap<u64, Promise<ReplyBody>>,
}

impl Replies {
    /// Remembers who waits; the number for [`Input::Host`](strowger_core::door::Input::Host).
    pub fn open(&mut self, promise: Promise<ReplyBody>) -> u64 {
        self.last += 1;
        self.waiting.insert(self.last, promise);
        self.last
    }

    /// A reply came.
    pub fn settle(&mut self, reply: Reply) {
        if let Some(promise) = self.waiting.remove(&reply.to) {
            promise.keep(reply.body);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::promise::Wait;

    #[test]
    fn a_reply_reaches_the_request_it_belongs_to() {
        let mut replies = Replies::default();
        let (first, first_reply) = promise();
        let (second, second_reply) = promise();
        let (first, second) = (replies.open(first), replies.open(second));
        replies.settle(Reply { to: second, body: ReplyBody::Removed(2) });
        replies.settle(Reply { to: second, body: ReplyBody::Removed(3) });
        replies.settle(Reply { to: first, body: ReplyBody::Done });
        assert_eq!(first_reply.wait(), Some(ReplyBody::Done));
        assert_eq!(second_reply.wait(), Some(ReplyBody::Removed(2)));
    }

    #[test]
    fn a_handle_without_a_server_says_so() {
        let handle = Handle::new(|_| Err(HandleError::Stopped));
        assert_eq!(handle.shutdown(), Err(HandleError::Stopped));
        assert!(handle.ask(Request::Lookup { aor: "a@b".into() }).is_err());
    }

    #[test]
    fn a_drain_is_a_request_without_reply() {
        let seen = Arc::new(Mutex::new(None));
        let handle = Handle::new({
            let seen = seen.clone();
            move |call| {
                *seen.lock().expect("seen") = Some(call);
                Ok(())
            }
        });
        handle.drain(Duration::from_secs(1)).expect("sent");
        assert!(matches!(*seen.lock().expect("seen"), Some(Call::Ask(Request::Drain { .. }, None))));
    }
}
