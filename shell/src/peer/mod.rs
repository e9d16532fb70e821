//! The client side's face: a user agent in a few lines. It registers, publishes and watches presence, writes messages and
//! calls; the media of its calls are the program's.

mod call;
mod desk;
mod tokens;

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use strowger_core::config::{Config, ListenerConfig};
use strowger_core::documents::pidf::{CONTENT_TYPE, Pidf};
use strowger_core::door::{
    AgentToken, Changes, Event, PresenceState, ReplyBody, Request, Secret, Transport, UaAccount, UaRefusal,
    UaRequest, UaStep, UaView,
};
use strowger_core::wire::Uri;
use thiserror::Error;

use crate::error::StartError;
use crate::handle::{Handle, HandleError};
use crate::hooks::Hooks;
use crate::options::Options;
use crate::queue::Receiver;
use crate::server::{Line, Runtime, Start};
use crate::socket::everywhere;
use crate::tls::{TlsClient, TlsError};
use crate::token::{Denial, Grant, Want};

pub use call::PeerCall;
use desk::{Desk, Item};
use tokens::Provider;

/// What a peer calls its user agent: it has one.
const UA: u64 = 1;

/// How long a peer that is closed waits for what it takes back.
const FAREWELL: Duration = Duration::from_secs(5);

/// For how long at a time somebody is watched, and presence published.
const STANDING: u32 = 3600;

/// A SIP user agent, on the runtime that its crate is named after.
///
/// Its engine has a thread and sockets of its own, on free ports of all addresses of the machine. Nothing is sent before
/// [`start`](SimplePeer::start), and nothing but what is asked for after it.
///
/// Two of them, and a server between them, make a call:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use strowger_tokio::{SimpleB2bua, SimplePeer};
///
/// let lobby = SimpleB2bua::new("Lobby", 0).account("alice", "a long secret").account("bob", "another one");
/// let lobby = lobby.enable_registration().enable_calls().bind().await?;
/// let server = format!("sip:127.0.0.1:{}", lobby.listeners()[0].addr.port());
///
/// let alice = SimplePeer::new("sip:alice@localhost").password("a long secret").server(&server);
/// let (alice, _) = alice.start().await?;
/// let bob = SimplePeer::new("sip:bob@localhost").password("another one").server(&server);
/// let (bob, mut events) = bob.start().await?;
/// bob.register().await?;
///
/// let mut outgoing = alice.call("sip:bob@localhost", OFFER).await?;
/// let mut incoming = events.next_call().await.ok_or("no call")?;
/// assert_eq!((incoming.other(), incoming.sdp()), ("sip:alice@localhost", OFFER.as_bytes()));
/// incoming.ring().await?;
/// incoming.answer(ANSWER).await?;
/// assert_eq!(&*outgoing.answered().await?, ANSWER.as_bytes());
/// outgoing.hang_up().await?;
/// assert_eq!(incoming.ended().await, 200);
///
/// alice.close().await?;
/// bob.close().await?;
/// # lobby.handle().shutdown()?;
/// # Ok(lobby.stopped().await?)
/// # }
/// # const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
/// # const ANSWER: &str = "v=0\r\no=- 2 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4002 RTP/AVP 0\r\n";
/// ```
#[must_use = "a peer does nothing until it is started"]
pub struct SimplePeer<R> {
    account: UaAccount,
    config: Config,
    options: Options,
    authorities: Option<PathBuf>,
    tokens: Option<Provider>,
    runtime: PhantomData<fn() -> R>,
}

impl<R> fmt::Debug for SimplePeer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimplePeer").field("account", &self.account).finish_non_exhaustive()
    }
}

impl<R: Runtime> SimplePeer<R> {
    /// With this address of record: `sip:alice@example.com`, or `alice@example.com`. It is at home at the domain of it,
    /// unless [`server`](SimplePeer::server) says otherwise.
    pub fn new(aor: impl AsRef<str>) -> SimplePeer<R> {
        let mut config = Config::new("peer.invalid");
        config.server_name = "Strowger".into();
        config.listeners = everywhere(0);
        let account = UaAccount::new(sip(aor.as_ref()));
        SimplePeer {
            account,
            config,
            options: Options::default(),
            authorities: None,
            tokens: None,
            runtime: PhantomData,
        }
    }

    /// The password of the account, for Digest.
    pub fn password(mut self, password: impl Into<String>) -> SimplePeer<R> {
        self.account.password = Some(Secret(password.into().into()));
        self
    }

    /// The name it logs in by, if that is not the user of its address of record.
    pub fn username(mut self, username: impl Into<String>) -> SimplePeer<R> {
        self.account.username = username.into().into();
        self
    }

    /// A token, said over TLS without being asked for (RFC 8898); [`Peer::renew`] has a newer one.
    pub fn token(mut self, token: impl Into<String>) -> SimplePeer<R> {
        self.account.token = Some(AgentToken { token: Secret(token.into().into()), in_clear: false });
        self
    }

    /// The same from the program, which is asked for one before it starts, for the next one before that expires, and when a
    /// server does not take it. It is asked in a thread of its own and may block there, as for a login over HTTP.
    ///
    /// `provider` is told whether to log in or to use its refresh token. When a login is
    /// [refused](crate::token::Denial::Refused) it is asked no more; [`Peer::renew`] still works.
    pub fn token_from(
        mut self,
        provider: impl FnMut(Want) -> Result<Grant, Denial> + Send + 'static,
    ) -> SimplePeer<R> {
        self.tokens = Some(Box::new(provider));
        self
    }

    /// Where requests go: a SIP URI, or `host:port`. Said again it is one more, for flows of RFC 5626. With `;transport=ws`
    /// it speaks WebSocket (RFC 7118), with `wss` over TLS; who calls it comes back over that connection.
    pub fn server(mut self, server: impl AsRef<str>) -> SimplePeer<R> {
        self.account.servers.push(sip(server.as_ref()).into());
        self
    }

    /// The name it shows.
    pub fn display(mut self, name: impl Into<String>) -> SimplePeer<R> {
        self.account.display = name.into().into();
        self
    }

    /// The URN of the device, the same over restarts: asks for flows (RFC 5626) and a GRUU (RFC 5627). Over WebSocket, where
    /// a flow is the only way back, it has one for as long as it lives without being told.
    pub fn instance(mut self, urn: impl Into<String>) -> SimplePeer<R> {
        self.account.instance = urn.into().into();
        self
    }

    /// Can be called without a server between, by its user and the address of this machine: by anybody.
    pub fn direct(mut self) -> SimplePeer<R> {
        self.account.direct = true;
        self
    }

    /// The authorities, in a PEM file, that vouch for its servers where it speaks TLS (`sips:`, `;transport=tls`, `wss`).
    /// Without it those of the machine do. A file that cannot be read is told at the start.
    pub fn authorities(mut self, file: impl Into<PathBuf>) -> SimplePeer<R> {
        self.authorities = Some(file.into());
        self
    }

    /// Offers of the other side that change a call are told, and answered by the program. Else they are answered by its last
    /// session description, with the direction of the offer.
    pub fn ask_about_changes(mut self) -> SimplePeer<R> {
        self.account.changes = Changes::Ask;
        self
    }

    /// Listens here instead of everywhere.
    pub fn listen(mut self, listeners: impl IntoIterator<Item = ListenerConfig>) -> SimplePeer<R> {
        self.config.listeners = listeners.into_iter().collect();
        self
    }

    /// Changes anything else of the account.
    pub fn account(mut self, change: impl FnOnce(&mut UaAccount)) -> SimplePeer<R> {
        change(&mut self.account);
        self
    }

    /// Changes anything of the configuration of its engine.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> SimplePeer<R> {
        change(&mut self.config);
        self
    }

    /// Bounds and deadlines of the sockets.
    pub fn options(mut self, options: Options) -> SimplePeer<R> {
        self.options = options;
        self
    }

    /// Binds and starts. The peer is cheap to clone; when all clones, its events and its calls are dropped, it goes as by
    /// [`close`](Peer::close). Without its events it takes no calls.
    pub async fn start(self) -> Result<(Peer, PeerEvents), PeerError> {
        let SimplePeer { mut account, config, mut options, authorities, tokens, .. } = self;
        let servers = || account.servers.iter().chain([&account.aor]);
        let (secure, web) = (servers().any(|uri| is_secure(uri)), servers().any(|uri| is_web(uri)));
        if account.instance.is_empty() && web {
            account.instance = fresh_instance();
        }
        if options.stream.tls_client.is_none() && (authorities.is_some() || secure) {
            let client = TlsClient::open(authorities.as_deref(), None).map_err(PeerError::Tls)?;
            options.stream.tls_client = Some(client);
        }
        let line = Line::new();
        let handle = line.handle.clone();
        let (refusals, first) = match tokens {
            Some(provider) => {
                let (refusals, first) = tokens::keep(provider, handle.clone())
                    .map_err(|error| PeerError::Start(StartError::Thread(error)))?;
                (Some(refusals), first.await.flatten())
            }
            None => (None, account.token.take()),
        };
        account.token = first;
        let (desk, items) = Desk::new(handle.clone(), refusals);
        let desk = Arc::new(desk);
        let hooks = Hooks {
            on_event: Some(Box::new({
                let desk = desk.clone();
                move |event| {
                    if let Event::Ua(event) = event {
                        desk.told(event.step);
                    }
                }
            })),
            ..Hooks::default()
        };
        let server = R::start(Start { line, config, options, hooks }).map_err(PeerError::Start)?;
        let listeners = server.listeners().into();
        let inner = Arc::new(Inner { handle, desk, listeners });
        let peer = Peer { inner: inner.clone() };
        peer.does(UaRequest::Open(Box::new(account))).await?;
        Ok((peer, PeerEvents { peer: inner, items }))
    }
}

/// An address of record or a server with its scheme.
fn sip(text: &str) -> String {
    match text.split_once(':') {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips") => {
            text.into()
        }
        _ => format!("sip:{text}"),
    }
}

/// TLS is spoken on the way to it.
fn is_secure(uri: &str) -> bool {
    uri.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"))
        || transport_of(uri).is_some_and(Transport::is_secure)
}

/// WebSocket is.
fn is_web(uri: &str) -> bool {
    transport_of(uri).is_some_and(Transport::is_web)
}

fn transport_of(uri: &str) -> Option<Transport> {
    let uri = Uri::parse(uri.as_bytes()).ok()?;
    Transport::of_uri_param(std::str::from_utf8(uri.transport()?).ok()?)
}

/// RFC 5626 s4.1, RFC 9562 s5.4: a random UUID.
fn fresh_instance() -> Box<str> {
    let random = crate::seed().iter().fold(0u128, |sum, byte| sum << 8 | u128::from(*byte));
    // Version 4, and the variant.
    let uuid = random & !(0xf << 76 | 3 << 62) | 4 << 76 | 2 << 62;
    let part = |shift: u32, digits: u32| uuid >> shift & ((1 << (4 * digits)) - 1);
    let (first, second, third) = (part(96, 8), part(80, 4), part(64, 4));
    let (fourth, last) = (part(48, 4), part(0, 12));
    format!("urn:uuid:{first:08x}-{second:04x}-{third:04x}-{fourth:04x}-{last:012x}").into()
}

/// Why something was not done, or did not work.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PeerError {
    /// It could not start.
    #[error(transparent)]
    Start(StartError),
    /// Nobody can be believed to be a server: the authorities cannot be used.
    #[error(transparent)]
    Tls(TlsError),
    /// It has been closed.
    #[error("the peer is closed")]
    Closed,
    /// Too many requests wait for its engine.
    #[error("too many requests wait for the engine")]
    Busy,
    /// What was asked for makes no sense, or not now.
    #[error(transparent)]
    Refused(UaRefusal),
    /// The other side says no: the final response. 408 is no answer, 503 no way there.
    #[error("the answer was {0}")]
    Answered(u16),
}

/// What clones of a peer, its events and its calls share.
pub(crate) struct Inner {
    handle: Handle,
    desk: Arc<Desk>,
    listeners: Box<[ListenerConfig]>,
}

impl Inner {
    async fn ask(&self, request: UaRequest) -> Result<ReplyBody, PeerError> {
        let asked = self.handle.ask(Request::Ua { ua: UA, request }).map_err(|error| match error {
            HandleError::Busy => PeerError::Busy,
            HandleError::Stopped | HandleError::Full | HandleError::Refused(_) => PeerError::Closed,
        })?;
        match asked.await {
            Some(ReplyBody::NoUa(UaRefusal::Unknown)) | None => Err(PeerError::Closed),
            Some(ReplyBody::NoUa(why)) => Err(PeerError::Refused(why)),
            Some(body) => Ok(body),
        }
    }

    /// The same where nobody waits for what comes of it.
    fn order(&self, request: UaRequest) {
        // Whoever is too late for it needs it no more.
        let _ = self.handle.ask(Request::Ua { ua: UA, request });
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inner")
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = self.handle.drain(FAREWELL);
    }
}

/// A running user agent. Cheap to clone, usable from any thread and any runtime.
#[derive(Clone, Debug)]
pub struct Peer {
    inner: Arc<Inner>,
}

impl Peer {
    /// Registers, and goes on doing so. Comes back when it is registered, or the first attempt has failed: what may work
    /// later is tried again all the same, and told by the events.
    pub async fn register(&self) -> Result<(), PeerError> {
        let registered = self.inner.desk.registered();
        self.does(UaRequest::Register).await?;
        if self.view().await?.is_registered() {
            return Ok(());
        }
        heard(registered.await)
    }

    /// Is registered no more: comes back when that is done.
    pub async fn unregister(&self) -> Result<(), PeerError> {
        let gone = self.inner.desk.unregistered();
        self.does(UaRequest::Unregister).await?;
        let over = |state: &_| matches!(state, strowger_core::door::UaRegistration::Unregistered);
        if self.view().await?.registrations.iter().all(|registration| over(&registration.state)) {
            return Ok(());
        }
        heard(gone.await)
    }

    /// Registered, at this moment.
    pub async fn is_registered(&self) -> Result<bool, PeerError> {
        Ok(self.view().await?.is_registered())
    }

    /// Says of its user what he is (RFC 3903), until it is said again, or [withdrawn](Peer::withdraw_presence). Comes back
    /// when it is granted.
    pub async fn publish_presence(&self, state: PresenceState, note: &str) -> Result<(), PeerError> {
        let aor = self.view().await?.aor;
        let document = Pidf::of_state(&aor, None, state, note).print();
        let published = self.inner.desk.published();
        self.does(UaRequest::Publish {
            event: "presence".into(),
            kind: CONTENT_TYPE.into(),
            document: document.into_bytes().into(),
            expires: STANDING,
        })
        .await?;
        let active = |state: &_| matches!(state, strowger_core::door::UaState::Active { .. });
        if self
            .view()
            .await?
            .publications
            .iter()
            .any(|(event, state)| &**event == "presence" && active(state))
        {
            return Ok(());
        }
        heard(published.await)
    }

    /// Takes back what was said.
    pub async fn withdraw_presence(&self) -> Result<(), PeerError> {
        self.does(UaRequest::Unpublish { event: "presence".into() }).await
    }

    /// Watches somebody (RFC 3856): what he is comes as events, under this number, for as long as he lets us.
    pub async fn subscribe_presence(&self, target: impl AsRef<str>) -> Result<u64, PeerError> {
        let (target, event) = (sip(target.as_ref()).into(), "presence".into());
        self.begins(UaRequest::Subscribe { target, event, expires: STANDING }).await
    }

    /// Watches no more.
    pub async fn unsubscribe_presence(&self, id: u64) -> Result<(), PeerError> {
        self.does(UaRequest::Unsubscribe { id }).await
    }

    /// Writes a message (RFC 3428), and comes back when it is answered: true if it has been handed over, false if it is kept
    /// for later.
    pub async fn message(&self, to: impl AsRef<str>, text: &str) -> Result<bool, PeerError> {
        let (to, kind) = (sip(to.as_ref()).into(), "text/plain;charset=UTF-8".into());
        let id = self.begins(UaRequest::Message { to, kind, body: text.as_bytes().into() }).await?;
        let mut steps = self.inner.desk.claim(id);
        while let Some(step) = steps.recv().await {
            match step {
                UaStep::Sent { status: 202, .. } => return Ok(false),
                UaStep::Sent { status: 200..=299, .. } => return Ok(true),
                UaStep::Sent { status, .. } => return Err(PeerError::Answered(status)),
                _ => {}
            }
        }
        Err(PeerError::Closed)
    }

    /// Calls somebody with this offer. What comes of it says the call.
    pub async fn call(&self, to: impl AsRef<str>, offer: impl AsRef<[u8]>) -> Result<PeerCall, PeerError> {
        PeerCall::begin(&self.inner, sip(to.as_ref()), offer.as_ref()).await
    }

    /// A newer token, for all that is asked for from now on.
    pub async fn renew(&self, token: impl Into<String>) -> Result<(), PeerError> {
        let token = AgentToken { token: Secret(token.into().into()), in_clear: false };
        self.does(UaRequest::Renew(Some(token))).await
    }

    /// All it has, at this moment.
    pub async fn view(&self) -> Result<UaView, PeerError> {
        match self.inner.ask(UaRequest::View).await? {
            ReplyBody::Ua(view) => Ok(*view),
            // The engine answers this with nothing else.
            _ => Err(PeerError::Closed),
        }
    }

    /// The listeners with their real ports.
    pub fn listeners(&self) -> &[ListenerConfig] {
        &self.inner.listeners
    }

    /// Anything that has no method of its own.
    pub async fn ask(&self, request: UaRequest) -> Result<ReplyBody, PeerError> {
        self.inner.ask(request).await
    }

    /// Ends its calls, takes back what it has registered and published, and ends. For all clones.
    pub async fn close(&self) -> Result<(), PeerError> {
        let closed = self.inner.desk.closed();
        self.inner.handle.drain(FAREWELL).map_err(|_| PeerError::Closed)?;
        // A promise that is broken says the same: the engine has ended.
        let _ = closed.await;
        Ok(())
    }

    async fn does(&self, request: UaRequest) -> Result<(), PeerError> {
        self.inner.ask(request).await.map(|_| ())
    }

    async fn begins(&self, request: UaRequest) -> Result<u64, PeerError> {
        match self.inner.ask(request).await? {
            ReplyBody::Begun(id) => Ok(id),
            // The engine answers these with nothing else.
            _ => Err(PeerError::Closed),
        }
    }
}

fn heard(result: Option<Result<(), u16>>) -> Result<(), PeerError> {
    match result {
        Some(Ok(())) => Ok(()),
        Some(Err(status)) => Err(PeerError::Answered(status)),
        None => Err(PeerError::Closed),
    }
}

/// Something that happened to a user agent.
#[derive(Debug)]
#[non_exhaustive]
pub enum PeerEvent {
    /// Somebody calls. Dropped it is refused.
    Call(PeerCall),
    /// Anything else but what calls and messages of ours say themselves.
    Told(UaStep),
    /// So many were lost, because they were not taken in time. Calls among them were refused.
    Missed(u64),
}

/// What happens to a user agent, in order. Dropped, calls to it are refused.
#[derive(Debug)]
pub struct PeerEvents {
    peer: Arc<Inner>,
    items: Receiver<Item>,
}

impl PeerEvents {
    /// The next; `None` when the peer has been closed and everything was taken.
    pub async fn next(&mut self) -> Option<PeerEvent> {
        let item = match self.peer.desk.missed() {
            0 => self.items.recv().await?,
            missed => return Some(PeerEvent::Missed(missed)),
        };
        Some(match item {
            Item::Told(step) => PeerEvent::Told(step),
            Item::Call(id, invited) => PeerEvent::Call(PeerCall::known(&self.peer, id, invited)),
        })
    }

    /// The next call that comes in; all else is passed over.
    pub async fn next_call(&mut self) -> Option<PeerCall> {
        loop {
            if let PeerEvent::Call(call) = self.next().await? {
                return Some(call);
            }
        }
    }
}
