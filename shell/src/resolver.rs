//! Where SIP servers are, for the engine's loop: the DNS stub with what the machine says of its name servers, and which of
//! our listeners is named on the way to what was found. RFC 3263.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use strowger_core::base::Time;
use strowger_core::config::ListenerConfig;
use strowger_core::door::{Answer, ResolveQuery, Resolved, Transport};

use crate::dns::{Exchange, Found, Stub, StubConfig, Way};
use crate::socket::source_towards;

/// How old what the machine says of its name servers may be.
const REREAD: Duration = Duration::from_secs(30);

/// See the module. Order of calls as of a [`Stub`].
pub struct Resolver {
    stub: Option<Stub>,
    listeners: Vec<ListenerConfig>,
    /// Connections are opened over TLS also without a listener for it.
    dials_tls: bool,
    /// What the machine says of its name servers.
    config: fn() -> StubConfig,
    /// Asked in place of those that it names, if any.
    servers: Vec<SocketAddr>,
    read: Time,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl Resolver {
    /// A resolver for a server with these listeners. What the machine says is read when something is asked.
    pub fn new(listeners: Vec<ListenerConfig>, config: fn() -> StubConfig) -> Resolver {
        Resolver { stub: None, listeners, dials_tls: false, config, servers: Vec::new(), read: Time::ZERO }
    }

    /// The same for one that opens connections over TLS although nobody may open one to it.
    pub fn dialling_tls(self, dials_tls: bool) -> Resolver {
        Resolver { dials_tls, ..self }
    }

    /// The same over these name servers; without any, those of the machine.
    pub fn over(self, servers: Vec<SocketAddr>) -> Resolver {
        Resolver { servers, ..self }
    }

    /// Begins a look-up.
    pub fn ask(&mut self, now: Time, query: ResolveQuery) {
        if self.stub.is_none() || now.since(self.read) >= REREAD {
            self.read = now;
            let config = self.fitted();
            match &mut self.stub {
                Some(stub) => stub.configure(config),
                None => self.stub = Some(Stub::new(config, crate::seed())),
            }
        }
        if let Some(stub) = &mut self.stub {
            stub.resolve(now, query);
        }
    }

    /// This server could not be reached.
    pub fn failed(&mut self, now: Time, remote: SocketAddr) {
        // Who was not looked up is not one of several.
        if let Some(stub) = &mut self.stub {
            stub.failed(now, remote);
        }
    }

    /// What came of an exchange.
    pub fn answered(&mut self, now: Time, number: u64, message: Option<&[u8]>) {
        if let Some(stub) = &mut self.stub {
            stub.answered(now, number, message);
        }
    }

    /// Gives up what took too long.
    pub fn handle_timeout(&mut self, now: Time) {
        if let Some(stub) = &mut self.stub {
            stub.handle_timeout(now);
        }
    }

    /// When to call [`handle_timeout`](Resolver::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Time> {
        self.stub.as_ref()?.poll_timeout()
    }

    /// The next exchange to be carried out.
    pub fn poll_exchange(&mut self) -> Option<Exchange> {
        self.stub.as_mut()?.poll_exchange()
    }

    /// The next answer for the engine.
    pub fn poll_answer(&mut self) -> Option<Answer> {
        let Found { query, ways } = self.stub.as_mut()?.poll_found()?;
        let ways = ways.into_iter().filter_map(|way| self.complete(&query, way)).collect();
        Some(Answer::Resolved(query.ticket, ways))
    }

    /// What the machine says, with what our listeners speak.
    fn fitted(&self) -> StubConfig {
        let mut config = (self.config)();
        if !self.servers.is_empty() {
            config.servers.clone_from(&self.servers);
        }
        let speaks = |transport: &Transport| match transport {
            // What comes back comes over the connection that we opened.
            Transport::Ws => true,
            Transport::Tls | Transport::Wss if self.dials_tls => true,
            transport => self.listeners.iter().any(|listener| listener.transport == *transport),
        };
        config.transports = Transport::ALL.into_iter().filter(speaks).collect();
        let has = |v4| self.listeners.iter().any(|listener| listener.addr.is_ipv4() == v4);
        config.families = (has(true), has(false));
        config
    }

    /// Which listener of ours is named on that way; `None` if there is no way, or it leads to ourselves.
    fn complete(&self, query: &ResolveQuery, way: Way) -> Option<Resolved> {
        let Way { transport, remote } = way;
        let source = source_towards(remote)?;
        let listens = |transport| self.listeners.iter().any(|listener| listener.transport == transport);
        // Without a listener for it another one stands for our side, whom nobody calls back there.
        let any = transport.is_web() && !listens(transport);
        let spoken = match transport {
            Transport::Tls if self.dials_tls && !listens(Transport::Tls) => Transport::Tcp,
            transport => transport,
        };
        let fits = |listener: &ListenerConfig| {
            (any || listener.transport == spoken) && listener.addr.is_ipv4() == remote.is_ipv4()
        };
        let rank = |listener: &ListenerConfig| match listener.addr.ip() {
            ip if ip == source => 0,
            ip if ip.is_unspecified() => 1,
            _ => 2,
        };
        let fitting = self.listeners.iter().enumerate().filter(|(_, listener)| fits(listener));
        let (at, listener) = fitting.min_by_key(|(_, listener)| rank(listener))?;
        let ip = if listener.addr.ip().is_unspecified() { source } else { listener.addr.ip() };
        let is_own_port =
            |listener: &ListenerConfig| !any && fits(listener) && listener.addr.port() == remote.port();
        if source == remote.ip() && self.listeners.iter().any(is_own_port) {
            return None;
        }
        Some(Resolved {
            transport,
            remote,
            listener: u16::try_from(at).ok()?,
            local: SocketAddr::new(ip, listener.addr.port()),
            server_name: (transport.is_secure() || transport.is_web()).then(|| query.host.clone()),
        })
    }
}

#[cfg(test)]
mod tests;
