//! Where a request towards a phone goes: one algorithm for all of them. DECISIONS 10, RFC 5626 s7.
//!
//! | a binding with | goes |
//! |---|---|
//! | a stored Path | along the Path |
//! | a foreign contact | where the contact points, by RFC 3263 |
//! | a UDP source, contact at its address | to the contact's port there |
//! | a UDP source, contact elsewhere | to the source |
//! | a stream that is up | over the stream |
//! | a stream that is gone, contact at its address | where the contact points: a new connection |
//! | none of these | nowhere, until the phone registers again |

use core::net::SocketAddr;

use smallvec::SmallVec;

use super::Registrar;
use super::binding::{Binding, BindingKey, Flags};
use super::gruu::Named;
use super::location::RecordKey;
use super::nat::{address_of, port_of};
use crate::ctx::{Ctx, Flow, Locate, Origin, Reached};
use crate::door::{FlowId, Transport};
use crate::wire::Uri;

/// Where to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NextHop {
    /// Over this socket to this address.
    Over(Origin),
    /// To the first URI of the stored Path, by RFC 3263.
    Path,
    /// To the Contact URI, by RFC 3263.
    Contact,
    /// It cannot be reached now: RFC 5626 s11.5 has 430 for it.
    Gone,
}

/// One contact to try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Target<'r> {
    /// The binding.
    pub(crate) binding: BindingKey,
    /// Request-URI of the request.
    pub(crate) contact: &'r [u8],
    /// Route of the request; may be empty.
    pub(crate) path: &'r [u8],
    /// Priority in thousandths.
    pub(crate) q: u16,
    /// Where it goes.
    pub(crate) next: NextHop,
}

/// The UDP sockets that are up: a binding of an earlier life, or of a socket that was bound again, goes over the one with
/// the address it came to.
#[derive(Clone, Default, Debug)]
pub(super) struct Sockets {
    udp: SmallVec<[(FlowId, SocketAddr); 4]>,
}

impl Sockets {
    fn at(&self, local: SocketAddr) -> Option<FlowId> {
        let exact = self.udp.iter().find(|(_, bound)| *bound == local);
        let wildcard = || {
            self.udp.iter().find(|(_, bound)| {
                bound.ip().is_unspecified()
                    && bound.port() == local.port()
                    && (bound.is_ipv6() || local.ip().to_canonical().is_ipv4())
            })
        };
        exact.or_else(wildcard).map(|(flow, _)| *flow)
    }

    /// The socket over which the phone itself is reached, if it is up.
    pub(super) fn of(&self, ctx: &Ctx<'_>, binding: &Binding) -> Option<FlowId> {
        let own = binding.own_flow()?;
        match ctx.flows.get(own) {
            Some(_) => Some(own),
            None if binding.transport == Transport::Udp => self.at(binding.local()),
            None => None,
        }
    }

    /// Can anything be sent to it?
    pub(super) fn is_reachable(&self, ctx: &Ctx<'_>, binding: &Binding) -> bool {
        self.next_hop(ctx, binding) != NextHop::Gone
    }

    /// The table above.
    pub(super) fn next_hop(&self, ctx: &Ctx<'_>, binding: &Binding) -> NextHop {
        if !binding.path().is_empty() {
            return NextHop::Path;
        }
        let flags = binding.flags;
        if flags.has(Flags::FOREIGN) {
            return NextHop::Contact;
        }
        let uri = binding.contact_uri();
        let udp = binding.transport == Transport::Udp;
        let elsewhere = match uri.transport() {
            // Registered over UDP, to be called over a stream.
            Some(transport) if udp => !transport.eq_ignore_ascii_case(b"udp"),
            _ => false,
        };
        let connectable = flags.has(Flags::CONNECTABLE) && !flags.has(Flags::OUTBOUND);
        if elsewhere && connectable {
            return NextHop::Contact;
        }
        if let Some(flow) = self.of(ctx, binding) {
            let received = binding.received();
            let remote = match address_of(&uri) {
                Some(ip) if udp && ip == received.ip().to_canonical() => {
                    let mut at = received;
                    at.set_port(port_of(&uri));
                    at
                }
                _ => received,
            };
            if let Some(origin) = ctx.flows.origin(flow, remote, binding.local()) {
                return NextHop::Over(origin);
            }
        }
        // RFC 7118 s5: nobody can connect to a browser.
        let web = binding.transport.is_web();
        match connectable && !web {
            true if !flags.has(Flags::DIRECT) || !udp => NextHop::Contact,
            _ => NextHop::Gone,
        }
    }
}

impl Registrar {
    /// A socket is up.
    pub(crate) fn flow_up(&mut self, flow: &Flow) {
        if flow.transport == Transport::Udp {
            self.sockets.udp.retain(|(id, _)| *id != flow.id);
            self.sockets.udp.push((flow.id, flow.local));
        }
    }

    pub(super) fn forget_socket(&mut self, flow: FlowId) {
        self.sockets.udp.retain(|(id, _)| *id != flow);
    }

    /// Live bindings of a record, best first: by priority, of one priority the last refreshed.
    pub(super) fn ranked(&self, ctx: &Ctx<'_>, record: RecordKey) -> SmallVec<[(BindingKey, &Binding); 4]> {
        let mut live: SmallVec<[(BindingKey, &Binding); 4]> =
            self.location.of(record).filter(|(_, binding)| binding.is_live(ctx.now)).collect();
        live.sort_by(|(_, a), (_, b)| {
            (b.priority(), b.refreshed, b.id).cmp(&(a.priority(), a.refreshed, a.id))
        });
        live
    }

    /// Where a request to an AoR goes, best first. RFC 5626 s7: of one instance only its best flow, and no contact that
    /// cannot be reached.
    pub(crate) fn targets(&self, ctx: &Ctx<'_>, aor: &[u8]) -> SmallVec<[Target<'_>; 4]> {
        let Some(record) = self.location.find(aor) else { return SmallVec::new() };
        let mut seen: SmallVec<[&[u8]; 4]> = SmallVec::new();
        let mut targets = SmallVec::new();
        for (key, binding) in self.ranked(ctx, record) {
            let instance = binding.instance();
            if seen.iter().any(|other| other.eq_ignore_ascii_case(instance)) {
                continue;
            }
            let Some(target) = self.target(ctx, key, binding) else { continue };
            if !instance.is_empty() {
                seen.push(instance);
            }
            targets.push(target);
        }
        targets
    }

    /// The phone that a GRUU of ours names, if it is bound and can be reached: the number of its best binding.
    pub(crate) fn device(&self, ctx: &Ctx<'_>, uri: &Uri<'_>) -> Option<u64> {
        let Some(Named::Instance(record, binding)) = self.named(ctx, ctx.settings, uri) else { return None };
        let instance = self.location.get(binding)?.instance();
        let mut same =
            self.ranked(ctx, record).into_iter().filter(|(_, b)| b.instance().eq_ignore_ascii_case(instance));
        same.find(|(_, binding)| self.over(ctx, binding).is_some()).map(|(key, _)| key.to_bits())
    }

    /// RFC 5626 s7: after a 408 or 430 from one flow of an instance, its next best one that was not tried.
    pub(crate) fn other_flow(
        &self,
        ctx: &Ctx<'_>,
        failed: BindingKey,
        tried: &[BindingKey],
    ) -> Option<Target<'_>> {
        let binding = self.location.get(failed).filter(|binding| !binding.instance().is_empty())?;
        let instance = binding.instance();
        let ranked = self.ranked(ctx, binding.record);
        let mut others = ranked.into_iter().filter(|(key, other)| {
            *key != failed && !tried.contains(key) && other.instance().eq_ignore_ascii_case(instance)
        });
        others.find_map(|(key, other)| self.target(ctx, key, other))
    }

    /// The flow of a binding, or of the phone behind a path we can follow without asking anybody.
    fn over(&self, ctx: &Ctx<'_>, binding: &Binding) -> Option<Origin> {
        match self.sockets.next_hop(ctx, binding) {
            NextHop::Over(origin) => Some(origin),
            NextHop::Path | NextHop::Contact | NextHop::Gone => None,
        }
    }

    fn target<'r>(&self, ctx: &Ctx<'_>, key: BindingKey, binding: &'r Binding) -> Option<Target<'r>> {
        let next = self.sockets.next_hop(ctx, binding);
        let (contact, path, q) = (binding.contact(), binding.path(), binding.priority());
        (next != NextHop::Gone).then_some(Target { binding: key, contact, path, q, next })
    }
}

impl Locate for Registrar {
    fn named(&self, ctx: &Ctx<'_>, uri: &Uri<'_>) -> Option<Reached<'_>> {
        let named = Registrar::named(self, ctx, ctx.settings, uri)?;
        let (record, instance) = match named {
            Named::Record(record) => (record, None),
            Named::Instance(record, binding) => (record, Some(self.location.get(binding)?.instance())),
            Named::Nobody | Named::Void => return None,
        };
        let ranked = self.ranked(ctx, record);
        let mut fitting = ranked.into_iter().filter(|(_, binding)| {
            instance.is_none_or(|instance| binding.instance().eq_ignore_ascii_case(instance))
        });
        fitting.find_map(|(_, binding)| {
            let to = self.over(ctx, binding)?;
            Some(Reached { contact: binding.contact(), path: binding.path(), to })
        })
    }

    fn bound(&self, ctx: &Ctx<'_>, binding: u64, stream: bool) -> Option<Reached<'_>> {
        let binding = self.location.get(BindingKey::from_bits(binding))?;
        let to = self.over(ctx, binding).filter(|_| binding.is_live(ctx.now))?;
        let wants = stream && !to.transport.is_reliable();
        let other = wants.then(|| {
            let (aor, contact) = (self.location.name(binding), binding.contact_uri());
            Locate::flow_of(self, ctx, aor, binding.instance(), &contact, true)
        });
        let to = other.flatten().unwrap_or(to);
        Some(Reached { contact: binding.contact(), path: binding.path(), to })
    }

    fn other_flow(&self, ctx: &Ctx<'_>, tried: &[u64]) -> Option<u64> {
        let keys: SmallVec<[BindingKey; 4]> = tried.iter().map(|bits| BindingKey::from_bits(*bits)).collect();
        let failed = *keys.last()?;
        let mut gone = keys.clone();
        // One that leads nowhere now was tried as well.
        loop {
            let other = Registrar::other_flow(self, ctx, failed, &gone)?;
            match other.next {
                NextHop::Over(_) => return Some(other.binding.to_bits()),
                _ => gone.push(other.binding),
            }
        }
    }

    fn flow_of(
        &self,
        ctx: &Ctx<'_>,
        aor: &str,
        instance: &[u8],
        contact: &Uri<'_>,
        stream: bool,
    ) -> Option<Origin> {
        let record = self.location.find(aor.as_bytes())?;
        let same = |binding: &Binding| match binding.instance() {
            own if !own.is_empty() && !instance.is_empty() => own.eq_ignore_ascii_case(instance),
            _ => binding.contact_uri().equivalent(contact),
        };
        let mut fitting: SmallVec<[&Binding; 4]> = self
            .location
            .of(record)
            .map(|(_, binding)| binding)
            .filter(|binding| binding.is_live(ctx.now) && same(binding))
            .collect();
        fitting.sort_by_key(|binding| core::cmp::Reverse((binding.refreshed, binding.id)));
        let mut flows = fitting.into_iter().filter_map(|binding| self.over(ctx, binding));
        flows.find(|origin| !stream || origin.transport.is_reliable())
    }
}
