//! Connections in and out: accepting within limits, and opening on the engine's order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use strowger_core::door::{FlowDownReason, FlowId, Transport};
use strowger_shell::admission::{Admission, Refused};
use strowger_shell::connection::{Layers, Opened};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::inbox::{Inbound, StreamOut};
use crate::resolver::ResolverLine;
use crate::stream::{Orders, Stream, Streams, orders};

/// How long accepting pauses when the system has no file descriptor, or no memory, left.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// A connection whose peer vanished without a word is found out after about this long by TCP itself.
const KEEPALIVE: Duration = Duration::from_secs(120);

/// Names for the flows the shell opens: even, and never used again.
#[derive(Clone, Debug)]
pub(crate) struct FlowIds(Arc<AtomicU64>);

impl FlowIds {
    pub(crate) fn new() -> FlowIds {
        FlowIds(Arc::new(AtomicU64::new(2)))
    }

    pub(crate) fn next(&self) -> FlowId {
        FlowId(self.0.fetch_add(2, Ordering::Relaxed))
    }
}

/// A TCP listener at work.
pub(crate) struct Acceptor {
    pub(crate) listener: u16,
    pub(crate) transport: Transport,
    pub(crate) socket: TcpListener,
    pub(crate) ids: FlowIds,
    pub(crate) streams: Streams,
    pub(crate) admission: Admission,
    /// Told when a connection ends, so that a paused acceptor goes on.
    pub(crate) freed: Arc<Notify>,
}

impl Acceptor {
    /// Accepts until the engine is gone.
    pub(crate) async fn run(self) {
        loop {
            let freed = self.freed.notified();
            if self.admission.is_full() {
                tokio::select! {
                    () = freed => {}
                    () = self.streams.inbox.closed() => return,
                }
                continue;
            }
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = self.streams.inbox.closed() => return,
            };
            match accepted {
                Ok((socket, remote)) => self.admit(socket, remote).await,
                // The peer went away between its SYN and now.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => tokio::time::sleep(EXHAUSTED).await,
            }
        }
    }

    async fn admit(&self, socket: TcpStream, remote: SocketAddr) {
        let seat = match self.admission.admit(remote.ip()) {
            Ok(seat) => seat,
            Err(Refused::Source | Refused::Total) => {
                let _ = self.streams.inbox.send(Inbound::TurnedAway).await;
                return;
            }
        };
        settle(&socket);
        let (options, message_bytes) = (&self.streams.options, self.streams.message_bytes);
        let Some(layers) = Layers::accept(self.transport, message_bytes, options, options.tls.as_ref())
        else {
            return;
        };
        let (out, orders) = orders(options);
        let stream = Stream {
            streams: self.streams.clone(),
            flow: self.ids.next(),
            listener: self.listener,
            transport: self.transport,
            opened: Opened::ByPeer,
            layers,
            socket,
            seat: Some(seat),
        };
        let freed = self.freed.clone();
        tokio::spawn(async move {
            stream.run(out, orders).await;
            freed.notify_waiters();
        });
    }
}

/// What the engine ordered to be opened.
pub(crate) struct Opening {
    pub(crate) flow: FlowId,
    pub(crate) listener: u16,
    pub(crate) transport: Transport,
    pub(crate) layers: Layers,
    pub(crate) remote: SocketAddr,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) resolver: ResolverLine,
}

impl Opening {
    /// Connects within the deadline and runs the connection; a failure is told as a flow that went down.
    pub(crate) async fn run(self, streams: Streams, out: StreamOut, orders: Orders) {
        let connected = timeout(streams.options.connect_deadline, self.connect()).await;
        match connected {
            Ok(Ok(socket)) => {
                settle(&socket);
                let Opening { flow, listener, transport, layers, .. } = self;
                let opened = Opened::ByUs;
                Stream { streams, flow, listener, transport, opened, layers, socket, seat: None }
                    .run(out, orders)
                    .await;
            }
            Ok(Err(_)) | Err(_) => {
                self.resolver.failed(self.remote);
                let down = Inbound::Down { flow: self.flow, reason: FlowDownReason::Unreachable };
                let _ = streams.inbox.send(down).await;
            }
        }
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let socket = if self.remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(local) = self.local.filter(|local| !local.ip().is_unspecified()) {
            socket.bind(SocketAddr::new(local.ip(), 0))?;
        }
        socket.connect(self.remote).await
    }
}

fn settle(socket: &TcpStream) {
    // Both only improve a connection; one that refuses them still works.
    let _ = socket.set_nodelay(true);
    let _ = SockRef::from(socket).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
}
