//! Tasks of the executor: connections, acceptors, and questions to name servers.

use std::future::poll_fn;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_executor::Executor;
use async_io::{Async, Timer};
use futures_lite::future::or;
use strowger_shell::dns::{Asking, Exchange};
use strowger_shell::socket::{BoundStream, dial};
use strowger_shell::stream::{Opening, Stream, Streams};

use crate::wire::Wire;

/// How long accepting pauses when the system has no file descriptor, or no memory, left.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Accepts until the engine is gone.
pub(crate) async fn accept(
    executor: Arc<Executor<'static>>,
    bound: BoundStream<Async<TcpListener>>,
    streams: Streams,
) {
    let closed = streams.inbox.closed();
    or(closed, async {
        loop {
            streams.admission.free().await;
            match bound.socket.accept().await {
                Ok((socket, remote)) => {
                    // Who may not have one more is turned away by dropping the socket.
                    if let Some(stream) = Stream::accept(&streams, &bound, remote) {
                        let wire = Some(Wire::open(socket));
                        executor.spawn(run(stream, wire, streams.clone())).detach();
                    }
                }
                // The peer went away between its SYN and now.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => {
                    Timer::after(EXHAUSTED).await;
                }
            }
        }
    })
    .await;
}

/// Opens a connection and runs it.
pub(crate) async fn open(opening: Opening, streams: Streams) {
    match dial(opening.remote, opening.local).and_then(Async::new_nonblocking) {
        Ok(socket) => run(opening.begin(streams.clone()), Some(Wire::opening(socket)), streams).await,
        Err(_) => run(opening.failed(streams.clone()), None, streams).await,
    }
}

/// Runs a connection to its end.
async fn run(mut stream: Stream, mut wire: Option<Wire<TcpStream>>, streams: Streams) {
    let mut armed = stream.deadline();
    let mut timer = Timer::at(streams.clock.instant_of(armed));
    poll_fn(|cx| {
        loop {
            if stream.poll(cx, wire.as_mut()).is_ready() {
                return Poll::Ready(());
            }
            // Every message moves the deadline away: the timer follows when it fires, and at once only if it would be late.
            let due = stream.deadline();
            let is_late = due < armed;
            if !is_late && Pin::new(&mut timer).poll(cx).is_pending() {
                return Poll::Pending;
            }
            armed = due;
            timer.set_at(streams.clock.instant_of(armed));
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
                let mut wire = Wire::open(Async::new_nonblocking(socket).ok()?);
                poll_fn(|cx| exchanging.poll(cx, &mut wire)).await
            }
            Asking::Stream(socket) => {
                let mut wire = Wire::opening(Async::new_nonblocking(socket).ok()?);
                poll_fn(|cx| exchanging.poll(cx, &mut wire)).await
            }
        }
    };
    let late = async {
        Timer::after(patience).await;
        // The stub has given it up by itself.
        None
    };
    (number, or(asked, late).await)
}
