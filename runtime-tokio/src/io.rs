//! Tasks on the runtime of the program: connections, acceptors, and questions to name servers.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use strowger_shell::dns::{Asking, Exchange};
use strowger_shell::socket::{BoundStream, Io, dial};
use strowger_shell::stream::{Opening, Stream, Streams};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How long accepting pauses when the system has no file descriptor, or no memory, left.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Accepts until the engine is gone.
pub(crate) async fn accept(bound: BoundStream<TcpListener>, streams: Streams) {
    let mut closed = pin!(streams.inbox.closed());
    loop {
        let accepted = tokio::select! {
            accepted = async { streams.admission.free().await; bound.socket.accept().await } => accepted,
            () = &mut closed => return,
        };
        match accepted {
            Ok((socket, remote)) => {
                // Who may not have one more is turned away by dropping the socket.
                if let Some(stream) = Stream::accept(&streams, &bound, remote) {
                    tokio::spawn(run(stream, Some(Connected(socket)), streams.clone()));
                }
            }
            // The peer went away between its SYN and now.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => sleep(EXHAUSTED).await,
        }
    }
}

/// Opens a connection and runs it.
pub(crate) async fn open(opening: Opening, streams: Streams) {
    match dial(opening.remote, opening.local).and_then(TcpStream::from_std) {
        Ok(socket) => run(opening.begin(streams.clone()), Some(Connected(socket)), streams).await,
        Err(_) => run(opening.failed(streams.clone()), None, streams).await,
    }
}

/// Runs a connection to its end.
async fn run(mut stream: Stream, mut io: Option<Connected<TcpStream>>, streams: Streams) {
    let mut armed = stream.deadline();
    let instant = |due| Instant::from_std(streams.clock.instant_of(due));
    let mut sleep = pin!(sleep_until(instant(armed)));
    poll_fn(|cx| {
        loop {
            if stream.poll(cx, io.as_mut()).is_ready() {
                return Poll::Ready(());
            }
            // Every message moves the deadline away: the timer follows when it fires, and at once only if it would be late.
            let due = stream.deadline();
            let is_late = due < armed;
            if !is_late && sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            armed = due;
            sleep.as_mut().reset(instant(armed));
        }
    })
    .await;
}

/// Asks a name server; its number, and the answer if there is one.
pub(crate) async fn exchange(exchange: Exchange) -> (u64, Option<Vec<u8>>) {
    let (number, patience) = (exchange.number, exchange.timeout);
    let asked = async {
        let (mut exchanging, socket) = exchange.begin().ok()?;
        match socket {
            Asking::Datagram(socket) => {
                let mut io = Connected(UdpSocket::from_std(socket).ok()?);
                poll_fn(|cx| exchanging.poll(cx, &mut io)).await
            }
            Asking::Stream(socket) => {
                let mut io = Connected(TcpStream::from_std(socket).ok()?);
                poll_fn(|cx| exchanging.poll(cx, &mut io)).await
            }
        }
    };
    // After the timeout the stub has given it up by itself.
    (number, timeout(patience, asked).await.ok().flatten())
}

/// A socket with one peer.
struct Connected<S>(S);

impl Io for Connected<TcpStream> {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read_ready(cx)
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_write_ready(cx)
    }

    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }

    fn try_write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(pieces)
    }

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.0)
    }
}

impl Io for Connected<UdpSocket> {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_recv_ready(cx)
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_send_ready(cx)
    }

    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_recv(buffer)
    }

    fn try_write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_send(pieces.first().map_or(&[], |piece| piece))
    }

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.0)
    }
}
