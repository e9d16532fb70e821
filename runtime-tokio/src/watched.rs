//! A UDP socket that the reactor watches for arrivals, and for room to send only while something waits for it: a socket
//! watched for both wakes its thread after every answer, when the kernel gives back the room of what was sent.

use std::io;
use std::net::UdpSocket;
use std::task::{Context, Poll, ready};

use strowger_shell::socket::Watch;
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

    fn poll_arrival(&self, cx: &mut Context<'_>) -> Poll<()> {
        // Dropping the guard leaves the socket ready; a failed reactor shows in the next receive.
        self.arrivals.poll_read_ready(cx).map(drop)
    }

    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(room) = &self.room else { return Poll::Pending };
        drop(ready!(room.poll_write_ready(cx)));
        Poll::Ready(())
    }
}

#[cfg(unix)]
impl Watch for Watched {
    fn socket(&self) -> &UdpSocket {
        self.arrivals.get_ref()
    }

    fn receive<T>(&self, receive: impl FnOnce(&UdpSocket) -> io::Result<T>) -> io::Result<T> {
        self.arrivals.try_io(Interest::READABLE, receive)
    }

    fn watch_room(&mut self) {
        let second = self.socket().try_clone().and_then(|second| watch(second, Interest::WRITABLE));
        // Without a second descriptor, what waits is sent at the next arrival or deadline.
        self.room = second.ok();
    }

    fn forget_room(&mut self) {
        self.room = None;
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
    waits: bool,
}

#[cfg(not(unix))]
impl Watched {
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Watched> {
        let watched = tokio::net::UdpSocket::from_std(socket.try_clone()?)?;
        Ok(Watched { socket, watched, waits: false })
    }

    fn poll_arrival(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.watched.poll_recv_ready(cx).map(drop)
    }

    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.waits {
            return Poll::Pending;
        }
        drop(ready!(self.watched.poll_send_ready(cx)));
        Poll::Ready(())
    }
}

#[cfg(not(unix))]
impl Watch for Watched {
    fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    fn receive<T>(&self, receive: impl FnOnce(&UdpSocket) -> io::Result<T>) -> io::Result<T> {
        self.watched.try_io(tokio::io::Interest::READABLE, || receive(&self.socket))
    }

    fn watch_room(&mut self) {
        self.waits = true;
        let full = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ = self.watched.try_io(tokio::io::Interest::WRITABLE, full);
    }

    fn forget_room(&mut self) {
        self.waits = false;
    }
}

impl Watched {
    /// Ready when there is something to receive, or the socket takes again what waited.
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.poll_arrival(cx).is_ready() {
            return Poll::Ready(());
        }
        self.poll_room(cx)
    }
}
