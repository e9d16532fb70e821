//! What the host wants to be told or asked while the server runs.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use strowger_core::door::{CredentialsAnswer, CredentialsQuery, Event, Request};

use crate::route::{Route, RouteCall};
use crate::store::Store;

/// The future of a credential look-up.
pub type Lookup = Pin<Box<dyn Future<Output = CredentialsAnswer> + Send>>;

/// A closure that is told events, in the engine's thread.
pub type OnEvent = Box<dyn FnMut(Event) + Send>;

/// A closure that is told how the operation goes, from any thread.
pub type OnNotice = Arc<dyn Fn(Notice) + Send + Sync>;

/// A closure that looks credentials up.
pub type Credentials = Box<dyn Fn(CredentialsQuery) -> Lookup + Send>;

/// The future of a question where a call goes.
pub type Routed = Pin<Box<dyn Future<Output = Route> + Send>>;

/// A closure that says where a call goes, from any thread.
pub type OnRoute = Arc<dyn Fn(RouteCall) -> Routed + Send + Sync>;

/// The closures of a host. All are optional.
#[derive(Default)]
pub struct Hooks {
    /// Told every event, in order, in the engine's thread: it must not block.
    pub on_event: Option<OnEvent>,
    /// Told how the operation goes.
    pub on_notice: Option<OnNotice>,
    /// Asked for users that are not local accounts, when
    /// [`DigestConfig::foreign_store`](strowger_core::config::DigestConfig::foreign_store) is set. Runs on the
    /// program's runtime; the engine waits for
    /// [`Limits::park_timeout`](strowger_core::config::Limits::park_timeout) at most.
    pub credentials: Option<Credentials>,
    /// Asked where each new call goes. Runs on the program's runtime; the engine waits as long as for credentials.
    pub on_route: Option<OnRoute>,
    /// Keeps the engine's state over restarts; how says
    /// [`Options::storage`](crate::options::Options::storage). What it has is restored before the listeners
    /// open.
    pub store: Option<Box<dyn Store>>,
    /// What the engine is asked before anything of the network reaches it, in this order; nobody is told the replies.
    pub first: Vec<Request>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hooks { on_event, on_notice, credentials, on_route, store, first } = self;
        f.debug_struct("Hooks")
            .field("on_event", &on_event.is_some())
            .field("on_notice", &on_notice.is_some())
            .field("credentials", &credentials.is_some())
            .field("on_route", &on_route.is_some())
            .field("store", &store.is_some())
            .field("first", &first.len())
            .finish()
    }
}

/// Something an operator may want to know about the machine, not about a call.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// The key set of an issuer was fetched.
    KeysFetched {
        /// From where.
        source: Box<str>,
    },
    /// The key set of an issuer could not be had; the engine tries again later.
    KeysUnavailable {
        /// From where.
        source: Box<str>,
        /// Why not.
        error: Box<str>,
    },
    /// An authorization server could not be asked about a token; whoever brought it was told to try again.
    IntrospectionUnavailable {
        /// Where it was asked.
        endpoint: Box<str>,
        /// Why not.
        error: Box<str>,
    },
    /// Changes cannot be stored from now on. In strict mode their requests fail; in write-behind mode they are tried again.
    StoreFails {
        /// Why not.
        error: Box<str>,
    },
    /// Changes are stored again.
    StoreWorks,
    /// The rtpengine does not answer: calls that need it are refused until it does.
    RelayFails {
        /// Where it was asked.
        address: SocketAddr,
    },
    /// The rtpengine answers.
    RelayWorks {
        /// Where it was asked.
        address: SocketAddr,
    },
}
