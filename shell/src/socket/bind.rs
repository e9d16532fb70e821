//! Binding listeners: v4 and v6 apart, large UDP buffers, real ports.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};
use strowger_core::config::ListenerConfig;
use strowger_core::door::Transport;

use crate::error::StartError;
use crate::options::Options;

/// Connections the operating system may hold ready to be accepted.
const ACCEPT_QUEUE: i32 = 1024;

/// The sockets of one server, in the order of its listeners.
#[derive(Debug, Default)]
pub struct Sockets {
    /// With the real ports.
    pub listeners: Vec<ListenerConfig>,
    /// Those for datagrams.
    pub udp: Vec<BoundUdp>,
    /// Those for connections.
    pub streams: Vec<BoundStream>,
}

/// A UDP listener.
#[derive(Debug)]
pub struct BoundUdp {
    /// Which one of the configuration.
    pub listener: u16,
    /// Non-blocking.
    pub socket: UdpSocket,
    /// Where it is bound.
    pub local: SocketAddr,
    /// Its buffers.
    pub granted: Granted,
}

/// A listener for connections.
#[derive(Debug)]
pub struct BoundStream<S = TcpListener> {
    /// Which one of the configuration.
    pub listener: u16,
    /// What is spoken on them.
    pub transport: Transport,
    /// Non-blocking; with whatever watches it.
    pub socket: S,
}

impl BoundStream {
    /// Has it watched.
    pub fn watch<S>(
        self,
        watch: impl FnOnce(TcpListener) -> io::Result<S>,
    ) -> Result<BoundStream<S>, StartError> {
        let BoundStream { listener, transport, socket } = self;
        let addr = socket.local_addr().unwrap_or_else(|_| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        let socket = watch(socket).map_err(|source| StartError::Bind { transport, addr, source })?;
        Ok(BoundStream { listener, transport, socket })
    }
}

/// Socket buffers as granted by the operating system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Granted {
    /// Bytes for receiving.
    pub receive: usize,
    /// Bytes for sending.
    pub send: usize,
}

/// Listeners for a port on all addresses, IPv4 and IPv6, UDP and TCP. IPv6 is left out on a machine without it.
pub fn everywhere(port: u16) -> Vec<ListenerConfig> {
    let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let has_v6 = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    let mut listeners = Vec::new();
    for addr in [Some(v4), has_v6.then_some(v6)].into_iter().flatten() {
        for transport in [Transport::Udp, Transport::Tcp] {
            listeners.push(ListenerConfig { transport, addr, advertised: None, algorithms: None });
        }
    }
    listeners
}

impl Sockets {
    /// Binds every listener, or none. Port 0 becomes a free port, the same one for all listeners where it is free.
    pub fn bind(wanted: Vec<ListenerConfig>, options: &Options) -> Result<Sockets, StartError> {
        let mut sockets = Sockets::default();
        let mut drawn = None;
        for (index, mut listener) in wanted.into_iter().enumerate() {
            let (transport, addr) = (listener.transport, listener.addr);
            let bound = match (addr.port(), drawn) {
                (0, Some(port)) => sockets
                    .open(index as u16, transport, SocketAddr::new(addr.ip(), port), options)
                    .or_else(|_| sockets.open(index as u16, transport, addr, options)),
                _ => sockets.open(index as u16, transport, addr, options),
            };
            listener.addr = match bound {
                Ok(real) => real,
                Err(source) if source.kind() == io::ErrorKind::Unsupported => {
                    return Err(StartError::Certificate(transport));
                }
                Err(source) => return Err(StartError::Bind { transport, addr, source }),
            };
            if addr.port() == 0 {
                drawn.get_or_insert(listener.addr.port());
            }
            sockets.listeners.push(listener);
        }
        Ok(sockets)
    }

    fn open(
        &mut self,
        listener: u16,
        transport: Transport,
        addr: SocketAddr,
        options: &Options,
    ) -> io::Result<SocketAddr> {
        match transport {
            Transport::Udp => {
                let (socket, granted) = open_udp(addr, options.datagram.socket_buffer)?;
                let local = socket.local_addr()?;
                self.udp.push(BoundUdp { listener, socket, local, granted });
                Ok(local)
            }
            // Without a certificate there is nothing to serve.
            Transport::Tls | Transport::Wss if options.stream.tls.is_none() => {
                Err(io::ErrorKind::Unsupported.into())
            }
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => {
                let socket = open_tcp(addr)?;
                let local = socket.local_addr()?;
                self.streams.push(BoundStream { listener, transport, socket });
                Ok(local)
            }
        }
    }
}

fn open_udp(addr: SocketAddr, buffer: usize) -> io::Result<(UdpSocket, Granted)> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    only_v6(&socket, addr)?;
    // The system grants what it likes; what it granted is reported.
    let _ = socket.set_recv_buffer_size(buffer);
    let _ = socket.set_send_buffer_size(buffer);
    let granted = Granted { receive: socket.recv_buffer_size()?, send: socket.send_buffer_size()? };
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok((socket.into(), granted))
}

fn open_tcp(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    only_v6(&socket, addr)?;
    // On Unix this lets a restarted server bind while old connections linger; it does not let two servers share a port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(ACCEPT_QUEUE)?;
    Ok(socket.into())
}

fn only_v6(socket: &Socket, addr: SocketAddr) -> io::Result<()> {
    if addr.is_ipv6() { socket.set_only_v6(true) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_zero_becomes_one_real_port_for_all() {
        let sockets = Sockets::bind(everywhere(0), &Options::default()).expect("bound");
        let ports: Vec<u16> = sockets.listeners.iter().map(|l| l.addr.port()).collect();
        assert!(ports.iter().all(|&port| port != 0), "{ports:?}");
        assert_eq!(sockets.udp.len() + sockets.streams.len(), sockets.listeners.len());
    }

    #[test]
    fn a_taken_port_is_named() {
        let first = UdpSocket::bind("127.0.0.1:0").expect("free port");
        let addr = first.local_addr().expect("bound");
        let wanted = ListenerConfig { transport: Transport::Udp, addr, advertised: None, algorithms: None };
        match Sockets::bind(vec![wanted], &Options::default()) {
            Err(StartError::Bind { addr: named, source, .. }) => {
                assert_eq!((named, source.kind()), (addr, io::ErrorKind::AddrInUse));
            }
            other => panic!("expected a taken port, got {other:?}"),
        }
    }
}
