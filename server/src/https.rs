//! HTTP over TLS: rustls over buffers in memory, between a TCP connection and the HTTP server.
//!
//! Bounded: so many connections at once, and so long for a handshake. A handshake is done while the first request is
//! read, so that nobody who is slow keeps others from being accepted.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use rustls::ServerConnection;
use strowger_shell::tls::TlsServer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// Connections at once; whoever comes then waits.
const CONNECTIONS: usize = 1_000;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Accepts TLS connections.
#[derive(Debug)]
pub(crate) struct TlsListener {
    tcp: TcpListener,
    tls: TlsServer,
    room: Arc<Semaphore>,
}

impl TlsListener {
    /// On a socket that listens, with certificates that may change.
    pub(crate) fn new(tcp: TcpListener, tls: TlsServer) -> TlsListener {
        TlsListener { tcp, tls, room: Arc::new(Semaphore::new(CONNECTIONS)) }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TlsStream, SocketAddr) {
        loop {
            let Ok(place) = Arc::clone(&self.room).acquire_owned().await else {
                // It is never closed.
                return std::future::pending().await;
            };
            let (tcp, from) = Listener::accept(&mut self.tcp).await;
            if let Some(session) = self.tls.session() {
                let late = Box::pin(sleep(HANDSHAKE));
                return (TlsStream { tcp, session, late, over: false, _place: place }, from);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

impl Connected<IncomingStream<'_, TlsListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Peer {
        Peer(*stream.remote_addr())
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct TlsStream {
    tcp: TcpStream,
    session: ServerConnection,
    /// When the handshake has to be done.
    late: Pin<Box<Sleep>>,
    /// The peer sends nothing more.
    over: bool,
    _place: OwnedSemaphorePermit,
}

/// The socket as rustls wants it: it does what it can do at once.
struct Wire<'s>(&'s TcpStream);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_early(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

impl TlsStream {
    /// Sends what TLS has to send.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            ready!(self.tcp.poll_write_ready(cx))?;
            match self.session.write_tls(&mut Wire(&self.tcp)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Err(error) if !is_early(&error) => return Poll::Ready(Err(error)),
                _ => {}
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes what came.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.tcp.poll_read_ready(cx))?;
            match self.session.read_tls(&mut Wire(&self.tcp)) {
                Ok(read) => {
                    self.over = read == 0;
                    break;
                }
                Err(error) if is_early(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if let Err(error) = self.session.process_new_packets() {
            // The peer is told why, if that goes out at once.
            let _ = self.poll_send(cx);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            match this.session.reader().read(buffer.initialize_unfilled()) {
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if !is_early(&error) => return Poll::Ready(Err(error)),
                Err(_) if this.over => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Err(_) => {}
            }
            if let Poll::Ready(Err(error)) = this.poll_send(cx) {
                return Poll::Ready(Err(error));
            }
            if this.session.is_handshaking() && this.late.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            ready!(this.poll_receive(cx))?;
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        loop {
            let taken = this.session.writer().write(bytes)?;
            let sent = this.poll_send(cx)?;
            if taken > 0 || bytes.is_empty() {
                return Poll::Ready(Ok(taken));
            }
            // Its buffer was full.
            ready!(sent);
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // RFC 8446 s6.1: nothing more is sent; said once.
        self.session.send_close_notify();
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
