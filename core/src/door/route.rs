//! Where a call goes, and what a name is in the network: two questions of the engine and their answers.

use core::net::SocketAddr;
use core::time::Duration;

use super::{BindingView, Identity, PresenceView, Ticket, Transport};
use crate::wire::Method;

/// Asks where a new call, or message, goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouteQuery {
    /// To be handed back.
    pub ticket: Ticket<RouteQuery>,
    /// INVITE or MESSAGE.
    pub method: Method,
    /// Who calls, as the credentials of the request proved; `None` for whoever comes over a trunk.
    pub caller: Option<Identity>,
    /// Whom the caller says to be: the AoR, or the URI, of From.
    pub from: Box<str>,
    /// Who is called: a canonical AoR, a number as it was normalised, or a URI of another domain.
    pub to: Box<str>,
    /// The Request-URI as it came.
    pub uri: Box<str>,
    /// Where the request came from on the network.
    pub source: SocketAddr,
    /// Over what.
    pub transport: Transport,
    /// The phones of whoever is called.
    pub bindings: Vec<BindingView>,
    /// What whoever is called is now; `None` if that is not known.
    pub presence: Option<Box<PresenceView>>,
}

/// Where a call goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RouteAnswer {
    /// Where it goes without being asked.
    Default,
    /// To these, whoever calls: the host answers for it, and what the configuration permits is not asked. Of a user of
    /// ours only the phones ring; where he forwards to, and his voicemail, are for [`Default`](RouteAnswer::Default).
    Targets(Vec<RouteTarget>),
    /// Nowhere.
    Reject {
        /// 300 to 699; anything else is taken for 500.
        status: u16,
        /// The reason phrase; that of the status if there is none. It is sent as one line, of at most 128 bytes.
        reason: Option<Box<str>>,
    },
    /// The caller is told to call these instead (302).
    Redirect(Vec<Box<str>>),
    /// It cannot be said now: 503.
    Unavailable,
}

/// One target of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RouteTarget {
    /// A URI. One of a user of ours means his phones.
    pub uri: Box<str>,
    /// Thousandths: targets of one value ring together, higher ones first.
    pub q: u16,
    /// Further headers of the INVITE, name and value; those that hold a call together are left out.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// How long it rings; `None` as configured.
    pub timeout: Option<Duration>,
}

impl RouteTarget {
    /// A target that rings as long as is configured, with everybody else of that kind.
    pub fn new(uri: impl Into<Box<str>>) -> RouteTarget {
        RouteTarget { uri: uri.into(), q: 1000, headers: Vec::new(), timeout: None }
    }
}

/// Asks where a name is, by RFC 3263.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResolveQuery {
    /// To be handed back.
    pub ticket: Ticket<ResolveQuery>,
    /// A host name, or an address without brackets.
    pub host: Box<str>,
    /// The port of the URI.
    pub port: Option<u16>,
    /// What the URI asks for.
    pub transport: Option<Transport>,
    /// It is a sips URI: only secure ways.
    pub secure: bool,
    /// Our own address that the request came to: its family is preferred.
    pub near: SocketAddr,
}

/// One way to get there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolved {
    /// Over what.
    pub transport: Transport,
    /// Where.
    pub remote: SocketAddr,
    /// Which of our listeners answers to it.
    pub listener: u16,
    /// Our own address on that way, and the port we listen on: what Via and Contact name.
    pub local: SocketAddr,
    /// The name its certificate must have, and by which a server of WebSocket is asked for.
    pub server_name: Option<Box<str>>,
}
