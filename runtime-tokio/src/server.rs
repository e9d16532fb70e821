//! From a configuration to a running server: bind everything, then start the engine's thread and the acceptors.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use strowger_core::Engine;
use strowger_core::config::{Config, ListenerConfig};
use strowger_core::door::{DeviceTold, Notice};
use strowger_shell::admission::Admission;
use strowger_shell::calls::CallsHandle;
use strowger_shell::clock::Clock;
use strowger_shell::handle::{Call, Handle, HandleError, NotifyError};
use strowger_shell::options::Options;
use strowger_shell::presence::PresenceHandle;
use strowger_shell::promise::{Awaited, promise};
use tokio::sync::{Notify, mpsc};

use crate::accept::{Acceptor, FlowIds};
use crate::bind::{Granted, Sockets};
use crate::engine_loop::{EngineLoop, LoopState, introspector, key_fetcher, spawn};
use crate::error::StartError;
use crate::hooks::Hooks;
use crate::resolver::Resolver;
use crate::routing::Routing;
use crate::storage::{self, Storage};
use crate::stream::Streams;
use crate::udp::UdpPort;

/// Requests of handles that may wait for the engine.
const CALLS: usize = 256;

/// How long connections may take to write what the engine said last.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where handles send to before there is a server, and after.
pub(crate) struct Line {
    pub(crate) handle: Handle,
    pub(crate) calls: mpsc::Receiver<Call>,
}

impl Line {
    pub(crate) fn new() -> Line {
        let (sender, calls) = mpsc::channel(CALLS);
        let handle = Handle::new(move |call| {
            sender.try_send(call).map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(_) => HandleError::Busy,
                mpsc::error::TrySendError::Closed(_) => HandleError::Stopped,
            })
        });
        Line { handle, calls }
    }
}

/// A running server. Dropping it does not stop it: use the [`Handle`].
#[derive(Debug)]
pub struct Server {
    handle: Handle,
    listeners: Vec<ListenerConfig>,
    granted: Vec<Granted>,
    done: Awaited<()>,
    gone: mpsc::Receiver<Infallible>,
}

impl Server {
    /// Binds the listeners of the configuration and starts. Call inside a tokio runtime with I/O and time: stream
    /// connections live there. The engine and the UDP sockets get a thread of their own.
    pub fn start(config: Config, options: Options, hooks: Hooks) -> Result<Server, StartError> {
        Server::start_on(Line::new(), config, options, hooks)
    }

    pub(crate) fn start_on(
        line: Line,
        config: Config,
        options: Options,
        hooks: Hooks,
    ) -> Result<Server, StartError> {
        let ambient = tokio::runtime::Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        // Faults of the configuration are told before anything is bound.
        config.clone().validate().map_err(StartError::Config)?;
        let mut config = config;
        let mut hooks = hooks;
        // Before anything listens: what cannot be loaded must not be overwritten by what begins anew.
        let mut store = hooks.store.take();
        let kept =
            store.as_mut().map(|store| storage::load(&mut **store)).transpose().map_err(StartError::Store)?;
        let durability = store.is_some().then_some(options.storage.durability);
        let sockets = Sockets::bind(std::mem::take(&mut config.listeners), &options)?;
        config.listeners = sockets.listeners.clone();
        let routing = Routing::new(hooks.on_route.take(), &options.routing);
        let settings = routing.fit(config.validate().map_err(StartError::Config)?);
        let settings = storage::fit(settings, durability);

        let clock = Clock::start();
        let (sender, inbox) = mpsc::channel(options.inbox.max(1));
        let (alive, gone) = mpsc::channel(1);
        let streams = Streams {
            inbox: sender.clone(),
            clock: clock.clone(),
            options: Arc::new(options.stream.clone()),
            message_bytes: settings.limits.message_bytes,
            alive,
        };
        let ids = FlowIds::new();
        let admission = Admission::new(options.stream.connections, options.stream.connections_per_source);
        let freed = Arc::new(Notify::new());
        let granted = sockets.udp.iter().map(|udp| udp.granted).collect();
        let mut acceptors = Vec::new();
        for bound in sockets.streams {
            let bind = |source| StartError::Bind {
                transport: bound.transport,
                addr: config_addr(&sockets.listeners, bound.listener),
                source,
            };
            acceptors.push(Acceptor {
                listener: bound.listener,
                transport: bound.transport,
                socket: tokio::net::TcpListener::from_std(bound.socket).map_err(bind)?,
                ids: ids.clone(),
                streams: streams.clone(),
                admission: admission.clone(),
                freed: freed.clone(),
            });
        }

        let notices = hooks.on_notice.clone().unwrap_or_else(|| Arc::new(|_| {}));
        let resolver = Resolver {
            clock: clock.clone(),
            listeners: sockets.listeners.clone().into(),
            inbox: sender.clone(),
            config: strowger_shell::dns::system,
        };
        let resolver = resolver.start(&ambient);
        let start = |store| Storage::start(store, &options.storage, notices.clone());
        let storage = store.map(start).transpose().map_err(StartError::Thread)?;
        let keys = key_fetcher(sender.clone(), notices.clone()).map_err(StartError::Thread)?;
        let tokens = introspector(sender, notices).map_err(StartError::Thread)?;
        let mut engine = Engine::new(settings, strowger_shell::seed(), clock.now());
        storage::restore(&mut engine, clock.now(), kept.unwrap_or_default());
        let (promise, done) = promise();
        let Line { handle, calls } = line;
        let (listeners, udp) = (sockets.listeners.clone(), sockets.udp);
        let make = move || {
            let pending = options.datagram.pending_bytes;
            let udp = udp.into_iter().map(|bound| UdpPort::new(ids.next(), bound, pending));
            let udp = udp.collect::<Result<Vec<_>, _>>()?;
            let state = LoopState::default();
            let run = EngineLoop {
                engine,
                clock,
                udp,
                listeners,
                inbox,
                calls,
                hooks,
                keys,
                tokens,
                routing,
                resolver,
                storage,
                ambient,
                streams,
                options,
                state,
            };
            Ok(run.run())
        };
        spawn(make, promise).map_err(StartError::Thread)?;
        for acceptor in acceptors {
            tokio::spawn(acceptor.run());
        }
        Ok(Server { handle, listeners: sockets.listeners, granted, done, gone })
    }

    /// The listeners with their real ports, in the order of the configuration. A configuration for
    /// [`Handle::reload`] must carry these.
    pub fn listeners(&self) -> &[ListenerConfig] {
        &self.listeners
    }

    /// Socket buffers granted to each UDP listener; less than asked is worth a word to the operator.
    pub fn granted(&self) -> &[Granted] {
        &self.granted
    }

    /// Talks to the running engine.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Reads and publishes presence; see [`SimpleB2bua::enable_presence`](crate::SimpleB2bua::enable_presence).
    pub fn presence_handler(&self) -> PresenceHandle {
        self.handle.presence_handler()
    }

    /// Sends a NOTIFY that nobody subscribed to, to every phone of a user; see [`Handle::send_notify`].
    pub async fn send_notify(&self, aor: &str, notice: Notice) -> Result<Vec<DeviceTold>, NotifyError> {
        self.handle.send_notify(aor, notice).await
    }

    /// Looks at live calls, ends them and begins them.
    pub fn calls_handler(&self) -> CallsHandle {
        self.handle.calls_handler()
    }

    /// Waits until the server has ended: drained, or shut down by a handle, and its connections have written what was
    /// said last.
    pub async fn stopped(mut self) -> Result<(), StartError> {
        self.done.await.ok_or(StartError::Ended)?;
        // A peer that does not read does not hold the end up.
        let _ = tokio::time::timeout(LAST_WORDS, self.gone.recv()).await;
        Ok(())
    }
}

fn config_addr(listeners: &[ListenerConfig], index: u16) -> std::net::SocketAddr {
    let unspecified = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
    listeners.get(usize::from(index)).map_or(unspecified, |listener| listener.addr)
}
