//! Phones behind a NAT: how they are recognised, and how the way to them is kept open. RFC 3581, DECISIONS 8 and 13.

use core::net::IpAddr;

use super::Registrar;
use super::binding::{Binding, BindingKey, Flags};
use super::read::{Request, Wanted};
use crate::base::TimerKey;
use crate::config::{RegistrarConfig, Settings};
use crate::ctx::{Ctx, Origin, Timer};
use crate::door::Transport;
use crate::stats::Counter;
use crate::wire::{Host, Uri, Via};

/// Ports of SIP when none is written (RFC 3261 s19.1.2).
const PORTS: [u16; 2] = [5060, 5061];

/// The port a URI means.
pub(super) fn port_of(uri: &Uri<'_>) -> u16 {
    let secure = || uri.is_secure() || uri.transport().is_some_and(|t| t.eq_ignore_ascii_case(b"tls"));
    uri.port().unwrap_or_else(|| if secure() { PORTS[1] } else { PORTS[0] })
}

/// The address a contact is really at, if it says one: `maddr` goes before the host (RFC 3261 s19.1.1).
pub(super) fn address_of(uri: &Uri<'_>) -> Option<IpAddr> {
    let host = match maddr(uri) {
        Some(maddr) => Host::parse_bare(maddr).ok(),
        None => uri.host(),
    };
    host.and_then(|host| host.ip()).map(|ip| ip.to_canonical())
}

fn maddr<'m>(uri: &Uri<'m>) -> Option<&'m [u8]> {
    // Few contacts have one: most are known by a glance.
    let params = uri.params();
    let may_have = params.raw().iter().any(|byte| matches!(byte, b'm' | b'M'));
    if may_have { params.value(b"maddr") } else { None }
}

/// RFC 7118 s5.2.1, RFC 2606 s2: a name that is never resolved.
fn is_invalid_name(uri: &Uri<'_>) -> bool {
    match uri.host() {
        Some(Host::Name(name)) => name.len() > 8 && name.to_ascii_lowercase().ends_with(b".invalid"),
        _ => false,
    }
}

/// DECISIONS 8: true if a request to this contact, or by this Route, would come back to us. Other ports of our machine are not us: a
/// softphone may well run there.
pub(crate) fn names_us(settings: &Settings, origin: &Origin, uri: &Uri<'_>) -> bool {
    let maddr = maddr(uri).and_then(|maddr| Host::parse_bare(maddr).ok());
    [uri.host(), maddr].into_iter().flatten().any(|host| is_us(settings, origin, host, uri))
}

fn is_us(settings: &Settings, origin: &Origin, host: Host<'_>, uri: &Uri<'_>) -> bool {
    let ip = host.ip().map(|ip| ip.to_canonical());
    let domain = settings.domains.canonical(host).is_some();
    if domain && uri.port().is_none() {
        return true;
    }
    let advertised = |wanted: Option<u16>| {
        settings.listeners.iter().filter_map(|l| l.advertised.as_ref()).any(|(name, at)| {
            Host::parse_bare(name.as_bytes()).is_ok_and(|own| own == host)
                && wanted.is_none_or(|port| at.map_or(PORTS.contains(&port), |at| at == port))
        })
    };
    if advertised(uri.port()) {
        return true;
    }
    let own_address = ip.is_some_and(|ip| {
        ip == origin.local.ip().to_canonical()
            || settings.listeners.iter().any(|l| l.addr.ip().to_canonical() == ip)
    });
    if !domain && !own_address {
        return false;
    }
    let port = port_of(uri);
    // A domain may be served on the standard ports by SRV records, whatever we are bound to.
    let standard = ip.is_none() && PORTS.contains(&port);
    standard || port == origin.local.port() || settings.listeners.iter().any(|l| l.addr.port() == port)
}

/// DECISIONS 13: true if the phone believes to be elsewhere than where it is seen.
pub(super) fn is_displaced(origin: &Origin, via: &Via<'_>, is_direct: bool) -> bool {
    let sent_by = via.host.ip().map(|ip| ip.to_canonical());
    is_direct && sent_by.is_some_and(|ip| ip != origin.remote.ip().to_canonical())
}

/// Finds out how a contact can be reached. What was found out about it before holds as long as its grounds do.
pub(super) fn judge(request: &Request<'_, '_>, known: Option<&Binding>, wanted: &mut Wanted<'_>) {
    let source = request.origin.remote.ip().to_canonical();
    let displaced = is_displaced(request.origin, &request.ess.via, request.direct);
    let mut flags = Flags::default();
    flags.set(Flags::OUTBOUND, wanted.flags.has(Flags::OUTBOUND));
    flags.set(Flags::DIRECT, request.direct);
    flags.set(Flags::DISPLACED, displaced);
    flags.set(Flags::MAY_BE_FOREIGN, request.may_be_foreign);
    if let Some(known) = known
        && known.flags.agrees_with(flags)
        && known.received().ip() == request.origin.remote.ip()
    {
        flags = known.flags;
        flags.set(Flags::OUTBOUND, wanted.flags.has(Flags::OUTBOUND));
        flags.set(Flags::FLOW_GONE, false);
        wanted.flags = flags;
        return;
    }
    wanted.flags = flags;
    let Some(uri) = wanted.contact() else { return };
    let at = address_of(&uri);
    let foreign = request.may_be_foreign && !displaced && at != Some(source) && !is_invalid_name(&uri);
    let nated = request.direct && (displaced || (at.is_some_and(|ip| ip != source) && !foreign));
    wanted.flags.set(Flags::FOREIGN, foreign);
    wanted.flags.set(Flags::NATED, nated);
    wanted.flags.set(Flags::CONNECTABLE, at == Some(source) && !nated);
}

/// True if a router in between would forget the phone without us.
pub(super) fn wants_keepalive(transport: Transport, flags: Flags) -> bool {
    // RFC 5626 s4.4.2: over an outbound flow the phone itself sends STUN.
    transport == Transport::Udp
        && flags.has(Flags::DIRECT)
        && flags.has(Flags::NATED)
        && !flags.has(Flags::OUTBOUND)
}

/// Arms or disarms the keep-alive of a binding. A refresh leaves the rhythm as it is.
pub(super) fn arm_ping(ctx: &mut Ctx<'_>, config: &RegistrarConfig, key: BindingKey, binding: &mut Binding) {
    let wanted = wants_keepalive(binding.transport, binding.flags) && !config.nat_keepalive.is_zero();
    if !wanted {
        ctx.timers.disarm(core::mem::take(&mut binding.ping));
    } else if binding.ping.is_none() {
        let timer = Timer::BindingPing(key.to_bits());
        binding.ping = ctx.timers.arm(ctx.now + config.nat_keepalive, timer);
    }
}

impl Registrar {
    /// It is time for the next keep-alive of a NATed binding.
    pub(crate) fn on_ping(&mut self, ctx: &mut Ctx<'_>, bits: u64) {
        let key = BindingKey::from_bits(bits);
        let Some(binding) = self.location.get_mut(key) else { return };
        binding.ping = TimerKey::NONE;
        let Some(config) = ctx.settings.registrar.as_ref() else { return };
        if let Some(flow) = self.sockets.of(ctx, binding) {
            ctx.stats.count(Counter::Pings);
            ctx.out.ping(flow, binding.received(), binding.local());
        }
        arm_ping(ctx, config, key, binding);
    }
}
