//! Carries out what the DNS stub wants to know, each question over a socket of its own, and says which of our listeners
//! is named on the way to what was found. RFC 3263, RFC 5452 s9.2.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use strowger_core::base::Time;
use strowger_core::config::ListenerConfig;
use strowger_core::door::{Answer, ResolveQuery, Resolved, Transport};
use strowger_shell::clock::Clock;
use strowger_shell::dns::{Exchange, Found, Stub, StubConfig, Way};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use crate::inbox::Inbound;

/// Questions of the engine that may wait for the resolver.
const WAITING: usize = 1_024;

/// How old what the machine says of its name servers may be.
const REREAD: Duration = Duration::from_secs(30);

/// The engine's end.
#[derive(Clone, Debug)]
pub(crate) struct ResolverLine(mpsc::Sender<Asked>);

#[derive(Debug)]
enum Asked {
    Where(ResolveQuery),
    Failed(SocketAddr),
}

impl ResolverLine {
    /// Asks; an answer that is known at once, because too much is being asked, is given back.
    pub(crate) fn ask(&self, query: ResolveQuery) -> Option<Answer> {
        let ticket = query.ticket;
        self.0.try_send(Asked::Where(query)).err().map(|_| Answer::Resolved(ticket, Vec::new()))
    }

    /// This server could not be reached.
    pub(crate) fn failed(&self, remote: SocketAddr) {
        // Nobody waits for this, the next failure says it again, and questions shall find room.
        if self.0.capacity() > WAITING / 2 {
            let _ = self.0.try_send(Asked::Failed(remote));
        }
    }
}

/// What runs beside the engine.
pub(crate) struct Resolver {
    pub(crate) clock: Clock,
    pub(crate) listeners: Arc<[ListenerConfig]>,
    pub(crate) inbox: mpsc::Sender<Inbound>,
    /// What the machine says of its name servers.
    pub(crate) config: fn() -> StubConfig,
}

impl Resolver {
    /// Starts it on this runtime; it ends with the last line to it.
    pub(crate) fn start(self, ambient: &tokio::runtime::Handle) -> ResolverLine {
        let (sender, asked) = mpsc::channel(WAITING);
        ambient.spawn(self.run(asked));
        ResolverLine(sender)
    }

    async fn run(self, mut asked: mpsc::Receiver<Asked>) {
        let mut stub = Stub::new(self.fitted(), strowger_shell::seed());
        let mut read = self.clock.now();
        // Exchanges are bounded by the look-ups of the stub.
        let (sender, mut answers) = mpsc::unbounded_channel();
        loop {
            let due = stub.poll_timeout().unwrap_or(Time::MAX);
            let due = Instant::from_std(self.clock.instant_of(due));
            tokio::select! {
                question = asked.recv() => match question {
                    Some(Asked::Where(query)) => {
                        let now = self.clock.now();
                        if now.since(read) >= REREAD {
                            stub.configure(self.fitted());
                            read = now;
                        }
                        stub.resolve(now, query);
                    }
                    Some(Asked::Failed(remote)) => stub.failed(self.clock.now(), remote),
                    None => return,
                },
                Some((number, message)) = answers.recv() => {
                    let message: Option<Vec<u8>> = message;
                    stub.answered(self.clock.now(), number, message.as_deref());
                }
                () = sleep_until(due) => stub.handle_timeout(self.clock.now()),
            }
            while let Some(exchange) = stub.poll_exchange() {
                let sender = sender.clone();
                tokio::spawn(async move {
                    let message = timeout(exchange.timeout, carry_out(&exchange)).await;
                    // After the timeout the stub has given it up by itself.
                    let _ = sender.send((exchange.number, message.ok().and_then(Result::ok)));
                });
            }
            while let Some(found) = stub.poll_found() {
                let Found { query, ways } = found;
                let ways = ways.into_iter().filter_map(|way| self.complete(&query, way)).collect();
                if self.inbox.send(Inbound::Answer(Answer::Resolved(query.ticket, ways))).await.is_err() {
                    return;
                }
            }
        }
    }

    /// What the machine says, with what our listeners speak.
    fn fitted(&self) -> StubConfig {
        let mut config = (self.config)();
        let speaks = |transport| self.listeners.iter().any(|listener| listener.transport == transport);
        config.transports = [Transport::Udp, Transport::Tcp, Transport::Tls].into_iter().filter(|t| speaks(*t)).collect();
        let has = |v4| self.listeners.iter().any(|listener| listener.addr.is_ipv4() == v4);
        config.families = (has(true), has(false));
        config
    }

    /// Which listener of ours is named on that way; `None` if there is no way, or it leads to ourselves.
    fn complete(&self, query: &ResolveQuery, way: Way) -> Option<Resolved> {
        let Way { transport, remote } = way;
        let source = source_towards(remote)?;
        let fits = |listener: &ListenerConfig| {
            listener.transport == transport && listener.addr.is_ipv4() == remote.is_ipv4()
        };
        let rank = |listener: &ListenerConfig| match listener.addr.ip() {
            ip if ip == source => 0,
            ip if ip.is_unspecified() => 1,
            _ => 2,
        };
        let fitting = self.listeners.iter().enumerate().filter(|(_, listener)| fits(listener));
        let (at, listener) = fitting.min_by_key(|(_, listener)| rank(listener))?;
        let ip = if listener.addr.ip().is_unspecified() { source } else { listener.addr.ip() };
        let is_own_port = |listener: &ListenerConfig| fits(listener) && listener.addr.port() == remote.port();
        if source == remote.ip() && self.listeners.iter().any(is_own_port) {
            return None;
        }
        Some(Resolved {
            transport,
            remote,
            listener: u16::try_from(at).ok()?,
            local: SocketAddr::new(ip, listener.addr.port()),
            server_name: transport.is_secure().then(|| query.host.clone()),
        })
    }
}

/// The address of this machine that packets to that one leave from. Nothing is sent.
fn source_towards(remote: SocketAddr) -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind((any(remote), 0)).ok()?;
    socket.connect(remote).ok()?;
    socket.local_addr().ok().map(|local| local.ip())
}

fn any(remote: SocketAddr) -> IpAddr {
    if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

async fn carry_out(exchange: &Exchange) -> io::Result<Vec<u8>> {
    if exchange.stream { over_stream(exchange).await } else { over_datagram(exchange).await }
}

async fn over_datagram(exchange: &Exchange) -> io::Result<Vec<u8>> {
    // RFC 5452 s9.2: a port of its own, and answers from that server alone.
    let socket = UdpSocket::bind((any(exchange.server), 0)).await?;
    socket.connect(exchange.server).await?;
    socket.send(&exchange.query).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if buffer.get(..length).is_some_and(|message| exchange.fits(message)) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

/// RFC 1035 s4.2.2: the length stands in front in two bytes.
async fn over_stream(exchange: &Exchange) -> io::Result<Vec<u8>> {
    let stream = TcpStream::connect(exchange.server).await?;
    let length = u16::try_from(exchange.query.len()).map_err(io::Error::other)?;
    let framed = [&length.to_be_bytes()[..], &exchange.query].concat();
    let mut left = framed.as_slice();
    while !left.is_empty() {
        stream.writable().await?;
        match stream.try_write(left) {
            Ok(written) => left = left.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    let mut length = [0; 2];
    fill(&stream, &mut length).await?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    fill(&stream, &mut message).await?;
    Ok(message)
}

async fn fill(stream: &TcpStream, mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        stream.readable().await?;
        match stream.try_read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => buffer = buffer.get_mut(read..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
