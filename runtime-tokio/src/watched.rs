//! A UDP socket that the reactor watches for arrivals, and for room to send only while something waits for it: a socket
//! watched for both wakes its thread after every answer, when the kernel gives back the room of what was sent.

use std::io;
use std::net::UdpSocket;
use std::task::{Context, Poll, ready};

#[cfg(unix)]
use tokio::io::{Interest, unix::AsyncFd};

/// A bound, non-blocking socket.
#[cfg(unix)]
#[derive(Debug)]
pub(crate) struct Watched {
    arrivals: AsyncFd<UdpSocket>,
    /// A second descriptor of the same socket.
    room: Option<AsyncFd<UdpSocket>>,
}

#[cfg(unix)]
impl Watched {
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Watched> {
        Ok(Watched { arrivals: watch(socket, Interest::READABLE)?, room: None })
    }

    pub(crate) fn socket(&self) -> &UdpSocket {
        self.arrivals.get_ref()
    }

    /// Receives, if the reactor saw something arrive since the socket was last found empty.
    pub(crate) fn receive<T>(&self, receive: impl FnOnce(&UdpSocket) -> io::Result<T>) -> io::Result<T> {
        self.arrivals.try_io(Interest::READABLE, receive)
    }

    pub(crate) fn poll_arrival(&self, cx: &mut Context<'_>) -> Poll<()> {
        // Dropping the guard leaves the socket ready; a failed reactor shows in the next receive.
        self.arrivals.poll_read_ready(cx).map(drop)
    }

    /// The socket is full: watch for room from now on.
    pub(crate) fn watch_room(&mut self) {
        let second = self.socket().try_clone().and_then(|second| watch(second, Interest::WRITABLE));
        // Without a second descriptor, what waits is sent at the next arrival or deadline.
        self.room = second.ok();
    }

    /// Nothing waits any more.
    pub(crate) fn forget_room(&mut self) {
        self.room = None;
    }

    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(room) = &self.room else { return Poll::Pending };
        drop(ready!(room.poll_write_ready(cx)));
        Poll::Ready(())
    }
}

/// A `UdpSocket` keeps its one descriptor open for as long as it lives, which is all that the deprecation asks for.
#[cfg(unix)]
#[allow(deprecated)]
fn watch(socket: UdpSocket, interest: Interest) -> io::Result<AsyncFd<UdpSocket>> {
    AsyncFd::with_interest(socket, interest)
}

/// A bound, non-blocking socket.
#[cfg(not(unix))]
#[derive(Debug)]
pub(crate) struct Watched {
    socket: UdpSocket,
    watched: tokio::net::UdpSocket,
}

#[cfg(not(unix))]
impl Watched {
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Watched> {
        let watched = tokio::net::UdpSocket::from_std(socket.try_clone()?)?;
        Ok(Watched { socket, watched })
    }

    pub(crate) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    pub(crate) fn receive<T>(&self, receive: impl FnOnce(&UdpSocket) -> io::Result<T>) -> io::Result<T> {
        self.watched.try_io(tokio::io::Interest::READABLE, || receive(&self.socket))
    }

    pub(crate) fn poll_arrival(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.watched.poll_recv_ready(cx).map(drop)
    }

    pub(crate) fn watch_room(&mut self) {
        let full = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ = self.watched.try_io(tokio::io::Interest::WRITABLE, full);
    }

    pub(crate) fn forget_room(&mut self) {}

    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        drop(ready!(self.watched.poll_send_ready(cx)));
        Poll::Ready(())
    }
}
