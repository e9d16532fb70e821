//! Where a request within a dialog goes: DECISIONS 10 and 14, RFC 3261 s12.2.1.1, s18.1.1, RFC 5627 s5.
//!
//! | the dialog has | its requests go |
//! |---|---|
//! | a route set | along it, back where the peer's last request came from |
//! | a target that is a GRUU or an AoR of ours | to the phone that is bound to it |
//! | a UDP source, target at its address | to the target's port there |
//! | a UDP source, target elsewhere | to the source: a NAT lies between |
//! | a stream that is up | over the stream |
//! | a stream that is gone | over the newest flow of the same phone |
//! | a stream that is gone, target or first route at its address | over a connection that we open |
//! | none of these | nowhere, until the peer sends another request |
//!
//! What is too large for a datagram goes over a stream of the same phone, else over a connection that we open, if the
//! target can be connected to; should that be refused, it goes by UDP all the same.

use core::net::SocketAddr;

use super::Dialog;
use crate::config::Settings;
use crate::ctx::{Ctx, Locate, Origin};
use crate::door::Transport;
use crate::wire::{NameAddr, Uri, Via};

/// RFC 3261 s18.1.1: a larger request may be cut into pieces on its way, which many a NAT drops.
pub(crate) const DATAGRAM: usize = 1300;

/// What the peer's last request says of the way to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Aim {
    /// The target is of a domain of ours.
    ours: bool,
    /// The port of the target, or of the first route, if that lies where the request came from; else 0.
    port: u16,
    /// A TCP connection to that port may succeed.
    connectable: bool,
    /// It was tried, and did not.
    refused: bool,
}

impl Aim {
    /// Looks at the target and the route set of a request that made or refreshed a dialog.
    pub(super) fn of(
        settings: &Settings,
        origin: &Origin,
        via: Option<&Via<'_>>,
        target: &[u8],
        routes: &[u8],
    ) -> Aim {
        let Ok(target) = Uri::parse(target) else { return Aim::default() };
        let first = match routes {
            [] => Some(target),
            _ => {
                crate::wire::split::commas(routes).next().and_then(|r| NameAddr::parse(r).ok()).map(|r| r.uri)
            }
        };
        let ours =
            routes.is_empty() && target.host().is_some_and(|host| settings.domains.canonical(host).is_some());
        let source = origin.remote.ip().to_canonical();
        let is_source = |host: crate::wire::Host<'_>| host.ip().is_some_and(|ip| ip.to_canonical() == source);
        let Some(next) = first.filter(|next| next.host().is_some_and(is_source)) else {
            return Aim { ours, ..Aim::default() };
        };
        // DECISIONS 13: who believes to be elsewhere than he is seen is behind a NAT, as is who needs a flow (RFC 5626).
        let displaced = routes.is_empty()
            && via.and_then(|via| via.host.ip()).is_some_and(|ip| ip.to_canonical() != source);
        let plain = matches!(origin.transport, Transport::Udp | Transport::Tcp) && !next.is_secure();
        let stream =
            next.transport().is_none_or(|t| t.eq_ignore_ascii_case(b"tcp") || t.eq_ignore_ascii_case(b"udp"));
        let connectable = plain && stream && !displaced && !next.params().contains(b"ob");
        Aim { ours, port: next.port().unwrap_or(5060), connectable, refused: false }
    }

    /// What was found out about the same way holds.
    pub(super) fn after(self, old: Aim) -> Aim {
        if self == (Aim { refused: false, ..old }) { old } else { self }
    }
}

/// Where a request goes, and what that makes of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way<'r> {
    /// Over which socket to which address.
    pub(crate) to: Origin,
    /// Should that connection be refused: it is opened only for the size of the request.
    pub(super) instead: Option<Origin>,
    /// The phone our own address stands for: its Contact and its Path.
    pub(super) phone: Option<(&'r [u8], &'r [u8])>,
}

impl<'r> Way<'r> {
    /// Over which socket, to which address.
    pub(crate) fn to(&self) -> Origin {
        self.to
    }

    /// To a phone: its Contact, and the Path to it.
    pub(crate) fn to_phone(to: Origin, contact: &'r [u8], path: &'r [u8]) -> Way<'r> {
        Way { to, instead: None, phone: Some((contact, path)) }
    }
}

impl Dialog {
    /// The table above. `watcher` is the AoR of the peer.
    pub(crate) fn way<'r>(
        &self,
        ctx: &mut Ctx<'_>,
        phones: &'r dyn Locate,
        watcher: &str,
    ) -> Option<Way<'r>> {
        if self.aim.ours
            && let Ok(uri) = Uri::parse(self.part(Dialog::TARGET))
            && let Some(reached) = phones.named(ctx, &uri)
        {
            return Some(Way::to_phone(reached.to, reached.contact, reached.path));
        }
        let over = |to| Way { to, instead: None, phone: None };
        if !self.is_cut_off(ctx) {
            return Some(over(self.hop()));
        }
        self.same_phone(ctx, phones, watcher, self.part(Dialog::TARGET), false)
            .or_else(|| if self.stream().is_some() { self.connect(ctx) } else { None })
            .map(over)
    }

    /// How what is too large for a datagram goes instead. What is said once and not again waits for no new connection.
    pub(crate) fn way_by_stream<'r>(
        &self,
        ctx: &mut Ctx<'_>,
        phones: &'r dyn Locate,
        watcher: &str,
        (way, last): (Way<'r>, bool),
    ) -> Option<Way<'r>> {
        let contact = way.phone.map_or(self.part(Dialog::TARGET), |(contact, _)| contact);
        let found = self.same_phone(ctx, phones, watcher, contact, true);
        let connects = way.phone.is_none() && !last;
        self.by_stream(ctx, way, found, connects)
    }

    /// The same for the first request of a dialog that it may make with a phone of this AoR.
    pub(crate) fn first_by_stream<'r>(
        &self,
        ctx: &mut Ctx<'_>,
        phones: &'r dyn Locate,
        aor: &str,
        way: Way<'r>,
    ) -> Option<Way<'r>> {
        let (contact, path) = way.phone?;
        let uri = Uri::parse(contact).ok()?;
        let found = phones.flow_of(ctx, aor, b"", &uri, true);
        self.by_stream(ctx, way, found, path.is_empty())
    }

    /// The same for the first request to a server of ours that is no phone.
    pub(crate) fn straight_by_stream(&self, ctx: &mut Ctx<'_>) -> Option<Way<'static>> {
        let to = ctx.connect(&self.origin, self.origin.remote)?;
        Some(Way { to, instead: Some(self.origin), phone: None })
    }

    fn by_stream<'r>(
        &self,
        ctx: &mut Ctx<'_>,
        way: Way<'r>,
        found: Option<Origin>,
        connects: bool,
    ) -> Option<Way<'r>> {
        if let Some(to) = found {
            return Some(Way { to, ..way });
        }
        let opened = if connects { self.connect(ctx) } else { None };
        opened.map(|to| Way { to, instead: Some(way.to), ..way })
    }

    /// RFC 5626: the newest flow of the same instance, or of what registered the same Contact.
    fn same_phone(
        &self,
        ctx: &Ctx<'_>,
        phones: &dyn Locate,
        watcher: &str,
        contact: &[u8],
        stream: bool,
    ) -> Option<Origin> {
        let routed = !self.part(Dialog::ROUTES).is_empty();
        let contact = Uri::parse(contact).ok().filter(|_| !routed)?;
        phones.flow_of(ctx, watcher, self.part(Dialog::INSTANCE), &contact, stream)
    }

    fn connect(&self, ctx: &mut Ctx<'_>) -> Option<Origin> {
        if !self.aim.connectable || self.aim.refused {
            return None;
        }
        ctx.connect(&self.origin, SocketAddr::new(self.origin.remote.ip(), self.aim.port))
    }

    /// A connection that we opened for the size of a request did not carry it: the next one goes by UDP. A dialog
    /// without another way tries again.
    pub(crate) fn stream_failed(&mut self) {
        self.aim.refused = !self.origin.transport.is_reliable();
    }

    /// True if the socket of the peer's last request is gone.
    pub(crate) fn is_cut_off(&self, ctx: &Ctx<'_>) -> bool {
        ctx.flows.get(self.origin.flow).is_none()
    }

    /// Over the flow the peer's last request came by. Over UDP a contact at the address of the source names the port;
    /// behind a proxy, and behind a NAT, the source itself is the way.
    fn hop(&self) -> Origin {
        let mut to = self.origin;
        if to.transport == Transport::Udp && self.part(Dialog::ROUTES).is_empty() && self.aim.port != 0 {
            to.remote.set_port(self.aim.port);
        }
        to
    }
}
