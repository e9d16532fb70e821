//! What each room is handed for one pass: the time, the outbox, the timers, ids, counters, flows and settings.
//! `Ctx` is passed, never stored.

mod call;
#[cfg(test)]
pub(crate) mod fixture;
mod flows;
mod outbox;
mod overloaded;
mod phone;
mod published;
mod refusal;
mod timer;

pub(crate) use call::{CallNames, CallPhase, CallState};
pub(crate) use flows::{Dialled, Flow, Flows, Origin};
pub(crate) use outbox::Outbox;
pub(crate) use overloaded::Overloaded;
pub(crate) use phone::{Locate, Phone, Reached};
pub(crate) use published::Published;
pub(crate) use refusal::{Extra, Refusal};
pub(crate) use timer::{CallTimer, ClientTimer, ServerTimer, Timer, TrunkTimer, UaCallTimer, UaTimer};

use core::net::SocketAddr;
use std::sync::Arc;

use crate::base::{Ids, Time, Wheel};
use crate::config::{ListenerConfig, Settings};
use crate::door::{Command, FlowId, Transport};
use crate::stats::{Counter, Stats};

/// Everything a room may use beside its own state, for the length of one pass.
pub(crate) struct Ctx<'e> {
    /// The engine's time of this pass.
    pub(crate) now: Time,
    /// Wall time is `now` plus this many nanoseconds (`Input::Clock`); only Date, token claims and stored expiries use it.
    pub(crate) wall_offset: i64,
    /// Where commands go, and the arena messages are written into.
    pub(crate) out: &'e mut Outbox,
    /// All timers of the engine.
    pub(crate) timers: &'e mut Wheel<Timer>,
    /// Identifiers, drawn per kind.
    pub(crate) ids: &'e mut Ids,
    /// Counters.
    pub(crate) stats: &'e mut Stats,
    /// Sockets that are up, or being opened.
    pub(crate) flows: &'e mut Flows,
    /// Servers that want to be left alone for a while.
    pub(crate) overloaded: &'e mut Overloaded,
    /// The configuration of this pass.
    pub(crate) settings: &'e Arc<Settings>,
}

impl Ctx<'_> {
    /// A TCP connection to `remote` for somebody who is otherwise reached by `near`: the one we opened before, or a new
    /// one. What is sent to it before it is up waits at the host; should it not come up, `FlowDown` says so. `None` when
    /// too many are being opened, or there is no TCP listener that it could name.
    pub(crate) fn connect(&mut self, near: &Origin, remote: SocketAddr) -> Option<Origin> {
        self.connect_by(Transport::Tcp, near, remote, None)
    }

    /// The same over TLS, to whom this name is proved, or over WebSocket, where it is asked for by this name. Without a
    /// listener for that it names one for TCP: who is called back over what he opened himself needs none.
    pub(crate) fn connect_by(
        &mut self,
        transport: Transport,
        near: &Origin,
        remote: SocketAddr,
        name: Option<&str>,
    ) -> Option<Origin> {
        let v4 = remote.ip().to_canonical().is_ipv4();
        let fits = |l: &ListenerConfig, transport: Transport| {
            let ip = l.addr.ip();
            l.transport == transport
                && (ip.to_canonical().is_ipv4() == v4 || ip.is_unspecified() && ip.is_ipv6())
        };
        let listeners = &self.settings.listeners;
        let speaks = |transport| listeners.iter().position(|l| fits(l, transport));
        // RFC 7118 s5: who opens a WebSocket is named by no address at all.
        let any = transport.is_web().then_some(0);
        let listener = speaks(transport).or_else(|| speaks(Transport::Tcp)).or(any)?;
        let port = self.settings.listeners.get(listener).map_or(0, |l| l.addr.port());
        let port = if port == 0 { near.local.port() } else { port };
        let local = SocketAddr::new(near.local.ip(), port);
        let listener = listener as u16;
        let dialled = Dialled { remote, transport, name: name.map(|name| name.to_ascii_lowercase().into()) };
        if let Some(flow) = self.flows.there(&dialled) {
            return Some(Origin { flow, listener, transport, remote, local });
        }
        let limits = &self.settings.limits;
        if self.flows.len() >= limits.flows || self.flows.opening() >= limits.connecting {
            self.stats.count(Counter::Overload);
            return None;
        }
        let id = FlowId::default();
        let new = Flow { id, listener, transport, local, remote: None, opening: true };
        let flow = self.flows.open(dialled, new);
        self.stats.count(Counter::Connected);
        let local_ip = Some(SocketAddr::new(local.ip(), 0));
        let server_name = name.map(Into::into);
        self.out.push(Command::Open { flow, transport, remote, local: local_ip, server_name });
        Some(Origin { flow, listener, transport, remote, local })
    }

    /// Wall-clock time: for Date headers, token claims and whatever else is compared with other machines' clocks.
    pub(crate) fn wall(&self) -> Time {
        self.to_wall(self.now)
    }

    /// A time of the engine by the wall clock: what is stored is compared with that of the next life.
    pub(crate) fn to_wall(&self, time: Time) -> Time {
        Time::from_nanos(time.as_nanos().saturating_add_signed(self.wall_offset))
    }

    /// The other way round.
    pub(crate) fn at_wall(&self, time: Time) -> Time {
        Time::from_nanos(time.as_nanos().saturating_add_signed(self.wall_offset.saturating_neg()))
    }
}
