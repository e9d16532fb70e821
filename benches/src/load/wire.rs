//! How the generator reaches the server: one UDP socket, or a few connections that users share. Nothing here blocks but the
//! agreement on TLS and WebSocket at the beginning.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;

use bytes::Bytes;
use strowger_core::door::Transport;
use strowger_shell::backlog::Backlog;
use strowger_shell::clock::Clock;
use strowger_shell::connection::{Arrival, Connection, Layers, Opened, PIECES};
use strowger_shell::options::StreamOptions;
use strowger_shell::tls::TlsClient;

/// Over what.
#[derive(Clone, Debug)]
pub struct Over {
    /// The transport.
    pub transport: Transport,
    /// Connections, if it has any.
    pub connections: usize,
    /// Who vouches for the server, for TLS and WSS: a PEM file.
    pub authority: Option<PathBuf>,
}

impl Default for Over {
    fn default() -> Over {
        Over { transport: Transport::Udp, connections: 16, authority: None }
    }
}

/// The way to the server.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) local: SocketAddr,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Udp(UdpSocket, Vec<u8>),
    Streams(Vec<Link>, Clock),
}

/// Longest message.
const LONGEST: usize = 65_535;

#[derive(Debug)]
struct Link {
    socket: TcpStream,
    conn: Connection,
    backlog: Backlog,
}

impl Wire {
    pub(super) fn open(target: SocketAddr, over: &Over) -> io::Result<Wire> {
        if over.transport == Transport::Udp {
            let socket = super::run::open(target)?;
            return Ok(Wire { local: socket.local_addr()?, kind: Kind::Udp(socket, vec![0; 65_536]) });
        }
        let mut options = StreamOptions { write_queue: 16 << 20, ..StreamOptions::default() };
        if over.transport.is_secure() {
            let client = TlsClient::open(over.authority.as_deref(), None).map_err(io::Error::other)?;
            options.tls_client = Some(client);
        }
        let clock = Clock::start();
        let open = |_| Link::open(target, over.transport, &options, &clock);
        let links = (0..over.connections.max(1)).map(open).collect::<io::Result<Vec<Link>>>()?;
        let local = links.first().map_or(Ok(target), |link| link.socket.local_addr())?;
        Ok(Wire { local, kind: Kind::Streams(links, clock) })
    }

    /// Sends what this user says. False if that must wait.
    pub(super) fn send(&mut self, user: usize, message: &[u8]) -> io::Result<bool> {
        match &mut self.kind {
            Kind::Udp(socket, _) => match socket.send(message) {
                Ok(_) => Ok(true),
                Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(false),
                Err(e) => Err(e),
            },
            Kind::Streams(links, clock) => {
                let at = user % links.len();
                let Some(link) = links.get_mut(at).filter(|link| link.backlog.reserve(message.len())) else {
                    return Ok(false);
                };
                link.conn.queue(clock.now(), Bytes::copy_from_slice(message));
                link.write(clock).map(|()| true)
            }
        }
    }

    /// What has come: at most so many datagrams, or of each connection what one read brings.
    pub(super) fn receive(&mut self, most: usize) -> io::Result<Vec<Vec<u8>>> {
        let mut came = Vec::new();
        match &mut self.kind {
            Kind::Udp(socket, buffer) => {
                while came.len() < most {
                    match socket.recv(buffer) {
                        Ok(length) => came.push(buffer.get(..length).unwrap_or_default().to_vec()),
                        Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                        Err(e) => return Err(e),
                    }
                }
            }
            Kind::Streams(links, clock) => {
                for link in links {
                    link.read(clock, &mut came)?;
                }
            }
        }
        Ok(came)
    }
}

impl Link {
    fn open(
        target: SocketAddr,
        transport: Transport,
        options: &StreamOptions,
        clock: &Clock,
    ) -> io::Result<Link> {
        let layers = Layers::connect(transport, (Some("localhost"), target.port()), LONGEST, options)
            .ok_or_else(|| io::Error::other("there is no such connection"))?;
        let backlog = Backlog::new(options.write_queue);
        let conn = Connection::new(clock.now(), Opened::ByUs, layers, LONGEST, options, backlog.clone());
        let socket = TcpStream::connect(target)?;
        socket.set_nodelay(true)?;
        let mut link = Link { socket, conn, backlog };
        while link.conn.poll_up().is_none() {
            if link.conn.poll_end().is_some() {
                return Err(io::Error::other("the server does not agree on TLS or WebSocket"));
            }
            link.write(clock)?;
            if !link.conn.is_up() {
                link.read(clock, &mut Vec::new())?;
            }
        }
        link.write(clock)?;
        link.socket.set_nonblocking(true)?;
        Ok(link)
    }

    fn write(&mut self, clock: &Clock) -> io::Result<()> {
        while self.conn.wants_write() {
            let mut slots = [IoSlice::new(&[]); PIECES];
            let filled = self.conn.output(&mut slots);
            match self.socket.write_vectored(slots.get(..filled).unwrap_or_default()) {
                Ok(written) => self.conn.sent(clock.now(), written),
                // The server reads before long: it is asked for answers.
                Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn read(&mut self, clock: &Clock, came: &mut Vec<Vec<u8>>) -> io::Result<()> {
        let mut chunk = [0; 16_384];
        match self.socket.read(&mut chunk) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => self.conn.received(clock.now(), chunk.get(..length).unwrap_or_default()),
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e),
        }
        while let Some(arrival) = self.conn.poll_arrival() {
            if let Arrival::Message(message) = arrival {
                came.push(message.to_vec());
            }
        }
        self.conn.settle(clock.now());
        self.write(clock)
    }
}
