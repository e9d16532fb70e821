//! Sockets that are watched edge-triggered: each remembers that there may be something, until it finds nothing.

use std::cell::Cell;
use std::io::{self, IoSlice, Read, Write};
use std::net::UdpSocket;
use std::task::{Context, Poll};

use mio::event::{Event, Source};
use mio::{Interest, Registry, Token};
use socket2::SockRef;
use strowger_shell::socket::{Io, Watch};

/// A bound UDP socket.
#[derive(Debug)]
pub(crate) struct Watched {
    socket: UdpSocket,
    /// A second descriptor of the same socket.
    watched: mio::net::UdpSocket,
    registry: Registry,
    token: Token,
    may_have: Cell<bool>,
}

impl Watched {
    pub(crate) fn new(socket: UdpSocket, registry: Registry, token: Token) -> io::Result<Watched> {
        let mut watched = mio::net::UdpSocket::from_std(socket.try_clone()?);
        registry.register(&mut watched, token, Interest::READABLE)?;
        Ok(Watched { socket, watched, registry, token, may_have: Cell::new(true) })
    }

    /// Something arrived.
    pub(crate) fn told(&self) {
        self.may_have.set(true);
    }

    fn watch(&mut self, interest: Interest) {
        // Where it cannot be changed, what waits is sent at the next arrival or deadline.
        let _ = self.registry.reregister(&mut self.watched, self.token, interest);
    }
}

impl Watch for Watched {
    fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    fn receive<T>(&self, receive: impl FnOnce(&UdpSocket) -> io::Result<T>) -> io::Result<T> {
        if !self.may_have.get() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let received = receive(&self.socket);
        if received.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            self.may_have.set(false);
        }
        received
    }

    fn watch_room(&mut self) {
        self.watch(Interest::READABLE | Interest::WRITABLE);
    }

    fn forget_room(&mut self) {
        self.watch(Interest::READABLE);
    }
}

/// A socket with one peer.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: Socket,
    may_read: bool,
    may_write: bool,
    /// The peer says no more: there is something to read until that is read.
    is_ending: bool,
}

#[derive(Debug)]
pub(crate) enum Socket {
    Stream(mio::net::TcpStream),
    Datagram(mio::net::UdpSocket),
}

impl Wire {
    /// Has it watched.
    pub(crate) fn new(mut socket: Socket, registry: &Registry, token: Token) -> io::Result<Wire> {
        registry.register(socket.source(), token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Wire { socket, may_read: false, may_write: false, is_ending: false })
    }

    /// Something happened to it.
    pub(crate) fn told(&mut self, event: &Event) {
        self.is_ending |= event.is_read_closed() || event.is_error();
        self.may_read |= event.is_readable() || self.is_ending;
        self.may_write |= event.is_writable() || event.is_write_closed() || event.is_error();
    }

    /// It is closed after this.
    pub(crate) fn forget(mut self, registry: &Registry) {
        let _ = registry.deregister(self.socket.source());
    }
}

impl Socket {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Socket::Stream(socket) => socket,
            Socket::Datagram(socket) => socket,
        }
    }
}

impl Io for Wire {
    // Whoever is told of an event is polled by the loop: no waker is kept.
    fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.may_read { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn poll_writable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.may_write { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len();
        let read = match &mut self.socket {
            Socket::Stream(socket) => socket.read(buffer),
            Socket::Datagram(socket) => socket.recv(buffer),
        };
        self.may_read = match &read {
            // epoll(7): a stream that gave less than there was room for is empty.
            Ok(read) => *read == room || self.is_ending || matches!(self.socket, Socket::Datagram(_)),
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        };
        read
    }

    fn try_write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = match &mut self.socket {
            Socket::Stream(socket) => socket.write_vectored(pieces),
            Socket::Datagram(socket) => socket.send(pieces.first().map_or(&[], |piece| piece)),
        };
        if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            self.may_write = false;
        }
        written
    }

    fn socket(&self) -> SockRef<'_> {
        match &self.socket {
            Socket::Stream(socket) => SockRef::from(socket),
            Socket::Datagram(socket) => SockRef::from(socket),
        }
    }
}
