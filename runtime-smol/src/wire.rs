//! Sockets that the reactor of `async-io` watches. It watches one only while somebody waits for it, so each remembers that
//! there may be something until it finds nothing.

use std::cell::Cell;
use std::io::{self, IoSlice, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::task::{Context, Poll, ready};

use async_io::Async;
use socket2::SockRef;
use strowger_shell::socket::{Io, Watch};

/// A bound UDP socket.
#[derive(Debug)]
pub(crate) struct Watched {
    socket: Async<UdpSocket>,
    may_have: Cell<bool>,
    /// Something waits for room.
    is_full: bool,
}

impl Watched {
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Watched> {
        Ok(Watched { socket: Async::new_nonblocking(socket)?, may_have: Cell::new(true), is_full: false })
    }

    /// Ready when there is something to receive, or the socket takes again what waited.
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        // A failed reactor shows in the next receive.
        if self.may_have.get() || self.socket.poll_readable(cx).is_ready() {
            self.may_have.set(true);
            return Poll::Ready(());
        }
        if !self.is_full {
            return Poll::Pending;
        }
        self.socket.poll_writable(cx).map(drop)
    }
}

impl Watch for Watched {
    fn socket(&self) -> &UdpSocket {
        self.socket.get_ref()
    }

    fn receive<T>(&self, receive: impl FnOnce(&UdpSocket) -> io::Result<T>) -> io::Result<T> {
        if !self.may_have.get() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let received = receive(self.socket.get_ref());
        if received.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            self.may_have.set(false);
        }
        received
    }

    fn watch_room(&mut self) {
        self.is_full = true;
    }

    fn forget_room(&mut self) {
        self.is_full = false;
    }
}

/// A socket with one peer.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    socket: Async<S>,
    may_read: bool,
    may_write: bool,
}

impl<S> Wire<S> {
    /// One on which something may be read and written at once.
    pub(crate) fn open(socket: Async<S>) -> Wire<S> {
        Wire { socket, may_read: true, may_write: true }
    }

    /// One that is being connected.
    pub(crate) fn opening(socket: Async<S>) -> Wire<S> {
        Wire { socket, may_read: false, may_write: false }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.may_read {
            ready!(self.socket.poll_readable(cx))?;
            self.may_read = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.may_write {
            ready!(self.socket.poll_writable(cx))?;
            self.may_write = true;
        }
        Poll::Ready(Ok(()))
    }

    fn wrote(&mut self, written: io::Result<usize>) -> io::Result<usize> {
        if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            self.may_write = false;
        }
        written
    }
}

impl Io for Wire<TcpStream> {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read(cx)
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write(cx)
    }

    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.socket.get_ref().read(buffer);
        // What gave less than there was room for is empty, and is watched again.
        self.may_read = read.as_ref().is_ok_and(|read| *read == buffer.len());
        read
    }

    fn try_write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = self.socket.get_ref().write_vectored(pieces);
        self.wrote(written)
    }

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self.socket.get_ref())
    }
}

impl Io for Wire<UdpSocket> {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read(cx)
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write(cx)
    }

    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.socket.get_ref().recv(buffer);
        self.may_read = read.is_ok();
        read
    }

    fn try_write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = self.socket.get_ref().send(pieces.first().map_or(&[], |piece| piece));
        self.wrote(written)
    }

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self.socket.get_ref())
    }
}
