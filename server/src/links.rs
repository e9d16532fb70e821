//! HTTP connections: a bounded number of them, none that is idle for long, with TLS or without. TLS is rustls over buffers
//! in memory, between a TCP connection and the HTTP server; a handshake is done while the first request is read, so that
//! nobody who is slow keeps others from being accepted.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use rustls::ServerConnection;
use strowger_shell::admission::{Admission, Seat};
use strowger_shell::tls::TlsServer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep};

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections at once; accepting pauses there.
    pub(crate) connections: usize,
    /// Of these from one source; more are closed.
    pub(crate) per_source: usize,
    /// How long a handshake may take.
    pub(crate) handshake: Duration,
    /// How long nothing may come, or be taken, before the connection is closed.
    pub(crate) idle: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 1_000,
            per_source: 200,
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(60),
        }
    }
}

/// Accepts connections.
#[derive(Debug)]
pub(crate) struct Links {
    tcp: TcpListener,
    tls: Option<TlsServer>,
    room: Admission,
    limits: Limits,
}

impl Links {
    /// On a socket that listens; by TLS with certificates that may change.
    pub(crate) fn new(tcp: TcpListener, tls: Option<TlsServer>, limits: Limits) -> Links {
        Links { tcp, tls, room: Admission::new(limits.connections, limits.per_source), limits }
    }
}

impl Listener for Links {
    type Io = Link;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Link, SocketAddr) {
        loop {
            self.room.free().await;
            let (tcp, from) = Listener::accept(&mut self.tcp).await;
            let Ok(seat) = self.room.admit(from.ip()) else { continue };
            let Limits { handshake, idle, .. } = self.limits;
            let (session, patience) = match &self.tls {
                None => (None, idle),
                Some(tls) => match tls.session() {
                    Some(session) => (Some(session), handshake),
                    None => continue,
                },
            };
            let late = Box::pin(sleep(patience));
            return (Link { tcp, session, late, idle, over: false, _seat: seat }, from);
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

impl Connected<IncomingStream<'_, Links>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Links>) -> Peer {
        Peer(*stream.remote_addr())
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Link {
    tcp: TcpStream,
    /// `None` without TLS.
    session: Option<ServerConnection>,
    /// When it is closed, if nothing happens.
    late: Pin<Box<Sleep>>,
    idle: Duration,
    /// The peer sends nothing more.
    over: bool,
    _seat: Seat,
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

/// Sends what TLS has to send.
fn poll_send(session: &mut ServerConnection, tcp: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    while session.wants_write() {
        ready!(tcp.poll_write_ready(cx))?;
        match session.write_tls(&mut Wire(tcp)) {
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Err(error) if !is_early(&error) => return Poll::Ready(Err(error)),
            _ => {}
        }
    }
    Poll::Ready(Ok(()))
}

/// Takes what came; true at the end of it.
fn poll_receive(
    session: &mut ServerConnection,
    tcp: &TcpStream,
    cx: &mut Context<'_>,
) -> Poll<io::Result<bool>> {
    let read = loop {
        ready!(tcp.poll_read_ready(cx))?;
        match session.read_tls(&mut Wire(tcp)) {
            Ok(read) => break read,
            Err(error) if is_early(&error) => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    };
    if let Err(error) = session.process_new_packets() {
        // The peer is told why, if that goes out at once.
        let _ = poll_send(session, tcp, cx);
        return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
    }
    Poll::Ready(Ok(read == 0))
}

impl Link {
    fn poll_take(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(session) = &mut self.session else { return Pin::new(&mut self.tcp).poll_read(cx, buffer) };
        loop {
            match session.reader().read(buffer.initialize_unfilled()) {
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if !is_early(&error) => return Poll::Ready(Err(error)),
                Err(_) if self.over => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Err(_) => {}
            }
            if let Poll::Ready(Err(error)) = poll_send(session, &self.tcp, cx) {
                return Poll::Ready(Err(error));
            }
            self.over = ready!(poll_receive(session, &self.tcp, cx))?;
        }
    }

    fn poll_give(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(session) = &mut self.session else { return Pin::new(&mut self.tcp).poll_write(cx, bytes) };
        loop {
            let taken = session.writer().write(bytes)?;
            let sent = poll_send(session, &self.tcp, cx)?;
            if taken > 0 || bytes.is_empty() {
                return Poll::Ready(Ok(taken));
            }
            // Its buffer was full.
            ready!(sent);
        }
    }

    /// Bytes went or came: there is time again. Or none did, and it may be too late.
    fn in_time<T>(&mut self, cx: &mut Context<'_>, moved: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            self.late.as_mut().reset(Instant::now() + self.idle);
            return moved;
        }
        self.poll_late(cx).map(Err)
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.late.as_mut().poll(cx).map(|()| io::ErrorKind::TimedOut.into())
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let taken = self.poll_take(cx, buffer);
        self.in_time(cx, taken)
    }
}

impl AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let given = self.poll_give(cx, bytes);
        self.in_time(cx, given)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Link { tcp, session, .. } = &mut *self;
        let flushed = match session {
            Some(session) => poll_send(session, tcp, cx),
            None => Pin::new(tcp).poll_flush(cx),
        };
        // Nothing to be sent is no sign of life.
        if flushed.is_ready() { flushed } else { self.poll_late(cx).map(Err) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Link { tcp, session, .. } = &mut *self;
        if let Some(session) = session {
            // RFC 8446 s6.1: nothing more is sent; said once.
            session.send_close_notify();
            ready!(poll_send(session, tcp, cx))?;
        }
        Pin::new(tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;

    use super::*;

    const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

    async fn serve(limits: Limits) -> SocketAddr {
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let addr = tcp.local_addr().expect("bound");
        let routes = Router::new().route("/", get(async || "here"));
        tokio::spawn(async move { axum::serve(Links::new(tcp, None, limits), routes).await });
        addr
    }

    async fn say(link: &TcpStream, bytes: &[u8]) {
        link.writable().await.expect("open");
        // One that was hung up on takes nothing, and says nothing.
        let _ = link.try_write(bytes);
    }

    /// What comes next; empty at the end.
    async fn next(link: &TcpStream) -> String {
        let mut buffer = [0; 4096];
        loop {
            link.readable().await.expect("open");
            match link.try_read(&mut buffer) {
                Err(error) if is_early(&error) => {}
                read => return String::from_utf8_lossy(&buffer[..read.unwrap_or(0)]).into_owned(),
            }
        }
    }

    #[tokio::test]
    async fn who_says_nothing_or_stops_in_the_middle_is_hung_up_on() {
        let addr = serve(Limits { idle: Duration::from_millis(100), ..Limits::default() }).await;
        for said in [&b""[..], b"GET / HT", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n123"] {
            let link = TcpStream::connect(addr).await.expect("connected");
            say(&link, said).await;
            // Whatever is said before: it ends.
            while !next(&link).await.is_empty() {}
        }
        // Also one that was served, after a while.
        let link = TcpStream::connect(addr).await.expect("connected");
        say(&link, ASK).await;
        assert!(next(&link).await.ends_with("here"));
        assert_eq!(next(&link).await, "");
    }

    #[tokio::test]
    async fn one_source_has_so_many_and_room_comes_back() {
        let addr = serve(Limits { per_source: 2, ..Limits::default() }).await;
        let mut held = Vec::new();
        for _ in 0..2 {
            let link = TcpStream::connect(addr).await.expect("connected");
            say(&link, ASK).await;
            assert!(next(&link).await.ends_with("here"));
            held.push(link);
        }
        let third = TcpStream::connect(addr).await.expect("connected");
        assert_eq!(next(&third).await, "");
        drop(held.pop());
        // It is noticed soon.
        loop {
            let link = TcpStream::connect(addr).await.expect("connected");
            say(&link, ASK).await;
            if next(&link).await.ends_with("here") {
                break;
            }
        }
    }
}
