//! From a configuration to a running server: everything is bound and prepared here, and a [`Runtime`] starts it.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use strowger_core::config::{Config, ListenerConfig};
use strowger_core::door::{DeviceTold, Notice};

use crate::admission::Admission;
use crate::asking::Asking;
use crate::calls::CallsHandle;
use crate::clock::Clock;
use crate::dns;
use crate::driver::{Driver, Errands, Parts};
use crate::error::StartError;
use crate::handle::{Call, Handle, HandleError, NotifyError};
use crate::hooks::Hooks;
use crate::options::Options;
use crate::presence::PresenceHandle;
use crate::promise::{Awaited, Promise, Wait, promise};
use crate::queue::{Receiver, Refused, queue};
use crate::relay::Relays;
use crate::resolver::Resolver;
use crate::socket::{BoundStream, Granted, Sockets};
use crate::storage::{self, Storage};
use crate::stream::{FlowIds, Streams};
use crate::workers::{introspector, key_fetcher};

/// Requests of handles that may wait for the engine.
const CALLS: usize = 256;

/// How long connections may take to write what the engine said last.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What makes a server run: tokio, smol, mio, or another loop.
pub trait Runtime: Sized + 'static {
    /// Starts what is [`prepared`](Start::prepare).
    fn start(start: Start) -> Result<Server<Self>, StartError>;
}

/// What is to be started.
#[derive(Debug)]
pub struct Start {
    pub(crate) line: Line,
    pub(crate) config: Config,
    pub(crate) options: Options,
    pub(crate) hooks: Hooks,
}

/// Where handles send to before there is a server, and after.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) handle: Handle,
    pub(crate) calls: Receiver<Call>,
}

impl Line {
    pub(crate) fn new() -> Line {
        let (sender, calls) = queue(CALLS);
        let handle = Handle::new(move |call| {
            sender.try_send(call).map_err(|refused| match refused {
                Refused::Full(_) => HandleError::Busy,
                Refused::Closed(_) => HandleError::Stopped,
            })
        });
        Line { handle, calls }
    }
}

/// A server whose sockets are bound and whose workers run: a runtime has its loop run, and accepts connections.
#[derive(Debug)]
pub struct Prepared<R> {
    /// Goes to whoever starts it.
    pub server: Server<R>,
    /// Goes to the thread of the loop.
    pub launch: Launch,
    /// Where connections are taken.
    pub listeners: Vec<BoundStream>,
    /// What connections share.
    pub streams: Streams,
}

impl Start {
    /// Binds the listeners of the configuration and starts the workers.
    pub fn prepare<R>(self) -> Result<Prepared<R>, StartError> {
        let Start { line, mut config, options, mut hooks } = self;
        // Faults of the configuration are told before anything is bound.
        config.clone().validate().map_err(StartError::Config)?;
        // Before anything listens: what cannot be loaded must not be overwritten by what begins anew.
        let mut store = hooks.store.take();
        let kept =
            store.as_mut().map(|store| storage::load(&mut **store)).transpose().map_err(StartError::Store)?;
        let durability = store.is_some().then_some(options.storage.durability);
        let sockets = Sockets::bind(std::mem::take(&mut config.listeners), &options)?;
        config.listeners = sockets.listeners.clone();
        let asking = Asking::new(hooks.on_route.take(), &options.routing);
        let settings = asking.fit(config.validate().map_err(StartError::Config)?);
        let settings = storage::fit(settings, durability);

        let clock = Clock::start();
        let (sender, inbox) = queue(options.inbox);
        let (alive, gone) = queue(1);
        let ids = FlowIds::new();
        let admission = Admission::new(options.stream.connections, options.stream.connections_per_source);
        let streams = Streams {
            inbox: sender.clone(),
            clock: clock.clone(),
            options: Arc::new(options.stream.clone()),
            message_bytes: settings.limits.message_bytes,
            admission: admission.clone(),
            ids: ids.clone(),
            alive,
        };
        let notices = hooks.on_notice.clone().unwrap_or_else(|| Arc::new(|_| {}));
        let start = |store| Storage::start(store, &options.storage, notices.clone());
        let storage = store.map(start).transpose().map_err(StartError::Thread)?;
        let keys = key_fetcher(sender.clone(), notices.clone()).map_err(StartError::Thread)?;
        let tokens = introspector(sender.clone(), notices.clone()).map_err(StartError::Thread)?;
        let media = Relays::start(&options.media, &clock, sender.clone(), notices);
        let media = media.map_err(StartError::Thread)?;
        let (promise, done) = promise();
        let Line { handle, calls } = line;
        let server = Server {
            handle,
            listeners: sockets.listeners.clone(),
            granted: sockets.udp.iter().map(|udp| udp.granted).collect(),
            done,
            runtime: PhantomData,
        };
        let parts = Parts {
            settings,
            kept: kept.unwrap_or_default(),
            first: hooks.first,
            clock,
            udp: sockets.udp,
            ids,
            admission,
            sender,
            inbox,
            calls,
            on_event: hooks.on_event,
            credentials: hooks.credentials,
            keys,
            tokens,
            asking,
            resolver: Resolver::new(sockets.listeners.clone(), dns::system)
                .over(options.name_servers.clone())
                .dialling_tls(options.stream.tls_client.is_some()),
            storage,
            media,
            listeners: sockets.listeners,
            options,
        };
        let launch = Launch { parts, done: promise, gone };
        Ok(Prepared { server, launch, listeners: sockets.streams, streams })
    }
}

/// The loop before it runs.
pub struct Launch {
    parts: Parts,
    done: Promise<()>,
    gone: Receiver<Infallible>,
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Launch")
    }
}

impl Launch {
    /// Starts the thread of the loop: `errands` is called in it, and `run` has the driver until the end. Then connections
    /// that live elsewhere get a moment to write what was said last, and whoever waits for the end is told.
    pub fn spawn<E: Errands>(
        self,
        errands: impl FnOnce() -> io::Result<E> + Send + 'static,
        run: impl FnOnce(Driver<E>) + Send + 'static,
    ) -> Result<(), StartError> {
        let Launch { parts, done, mut gone } = self;
        let life = move || {
            // Without sockets there is no loop, and the promise is broken.
            let Ok(driver) = errands().and_then(|errands| Driver::new(parts, errands)) else { return };
            run(driver);
            // A peer that does not read does not hold the end up.
            let _ = gone.recv().wait_for(LAST_WORDS);
            done.keep(());
        };
        thread::Builder::new().name("strowger-engine".into()).spawn(life).map_err(StartError::Thread)?;
        Ok(())
    }
}

/// A running server. Dropping it does not stop it: use the [`Handle`].
pub struct Server<R> {
    handle: Handle,
    listeners: Vec<ListenerConfig>,
    granted: Vec<Granted>,
    done: Awaited<()>,
    runtime: PhantomData<fn() -> R>,
}

impl<R> fmt::Debug for Server<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

impl<R: Runtime> Server<R> {
    /// Binds the listeners of the configuration and starts. The engine and the UDP sockets get a thread of their own;
    /// where the rest lives says the runtime.
    pub fn start(config: Config, options: Options, hooks: Hooks) -> Result<Server<R>, StartError> {
        R::start(Start { line: Line::new(), config, options, hooks })
    }
}

impl<R> Server<R> {
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

    /// Reads and publishes presence; see [`SimpleB2bua::enable_presence`](crate::builder::SimpleB2bua::enable_presence).
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
    pub async fn stopped(self) -> Result<(), StartError> {
        self.done.await.ok_or(StartError::Ended)
    }
}
