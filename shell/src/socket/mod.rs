//! System calls on sockets that no runtime does better: binding, batches of datagrams, and where packets leave from.
//!
//! Nothing here waits. Sockets are non-blocking ones of the standard library; a runtime watches them and says by [`Io`]
//! and [`Watch`] when it is worth while to try again.

mod bind;
mod udp;

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

pub use bind::{BoundStream, BoundUdp, Granted, Sockets, everywhere};
pub use udp::{ReceiveBuffer, UdpPort};

/// A connection whose peer vanished without a word is found out after about this long by TCP itself.
const KEEPALIVE: Duration = Duration::from_secs(120);

/// A non-blocking socket with one peer, and the reactor that watches it.
pub trait Io {
    /// Ready when reading may bring something.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ready when writing may be possible; of a connection that is being opened, when it was, or failed.
    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Reads once. After [`WouldBlock`](io::ErrorKind::WouldBlock) it is not readable until there is something new.
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes once, likewise.
    fn try_write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize>;

    /// The socket itself.
    fn socket(&self) -> SockRef<'_>;
}

/// A bound UDP socket, and the reactor that watches it for arrivals; for room to send only while something waits for it:
/// a socket watched for both wakes its thread after every answer, when the kernel gives back the room of what was sent.
pub trait Watch {
    /// The socket itself.
    fn socket(&self) -> &UdpSocket;

    /// Receives, if something may have arrived since the socket was last found empty.
    fn receive<T>(&self, receive: impl FnOnce(&UdpSocket) -> io::Result<T>) -> io::Result<T>;

    /// The socket is full: watch for room from now on.
    fn watch_room(&mut self);

    /// Nothing waits any more.
    fn forget_room(&mut self);
}

/// A connection to there that is being opened, from this address of ours.
pub fn dial(remote: SocketAddr, local: Option<SocketAddr>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(remote), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if let Some(local) = local.filter(|local| !local.ip().is_unspecified()) {
        socket.bind(&SocketAddr::new(local.ip(), 0).into())?;
    }
    match socket.connect(&remote.into()) {
        Ok(()) => {}
        Err(error) if is_under_way(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(socket.into())
}

fn is_under_way(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(nix::errno::Errno::EINPROGRESS as i32) {
        return true;
    }
    error.kind() == io::ErrorKind::WouldBlock
}

/// What a stream connection is given at its begin.
pub fn settle(socket: &SockRef<'_>) {
    // Both only improve a connection; one that refuses them still works.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
}

/// A UDP socket for one peer. RFC 5452 s9.2: a port of its own, and answers from that server alone.
pub fn towards(remote: SocketAddr) -> io::Result<UdpSocket> {
    let any = if remote.is_ipv4() {
        IpAddr::from(Ipv4Addr::UNSPECIFIED)
    } else {
        IpAddr::from(Ipv6Addr::UNSPECIFIED)
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect(remote)?;
    Ok(socket)
}

/// The address of this machine that packets to that one leave from. Nothing is sent.
pub fn source_towards(remote: SocketAddr) -> Option<IpAddr> {
    towards(remote).ok()?.local_addr().ok().map(|local| local.ip())
}
