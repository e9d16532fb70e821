//! What reaches the engine's loop from connections and workers, and what a connection is ordered.

use std::net::SocketAddr;

use bytes::Bytes;
use strowger_core::door::{
    Answer, BadFrame, CloseReason, FlowDownReason, FlowId, KeepAlive, PeerIdentity, RouteAnswer, Transport,
};

use crate::asking::Asked;
use crate::backlog::Backlog;
use crate::connection::Arrival;
use crate::options::StreamOptions;
use crate::queue::{Receiver, Sender, queue};

/// From connections and workers to the engine. Bounded: who sends waits for room before it reads its socket.
#[derive(Debug)]
pub enum Inbound {
    /// A connection is up: accepted, or opened on the engine's order.
    Up {
        /// Which one.
        flow: FlowId,
        /// The listener that took it, or whose address is advertised on it.
        listener: u16,
        /// What is spoken on it.
        transport: Transport,
        /// Our end.
        local: SocketAddr,
        /// The peer.
        remote: SocketAddr,
        /// Who the peer proved to be.
        peer: Option<PeerIdentity>,
        /// How it is ordered, if it was accepted. One that the engine ordered is known already.
        out: Option<StreamOut>,
    },
    /// What one read of a connection brought.
    Arrived(Batch),
    /// A connection was silent for long. It goes on only if the engine has a use for it.
    Idle(FlowId),
    /// A connection is gone, or could not be opened.
    Down {
        /// Which one.
        flow: FlowId,
        /// Why.
        reason: FlowDownReason,
        /// Who could not be reached.
        unreached: Option<SocketAddr>,
    },
    /// An answer to a query.
    Answer(Answer),
    /// The program says where a call goes.
    Routed(Asked, RouteAnswer),
    /// A peer and we did not agree on TLS or WebSocket.
    Failed(Transport),
    /// What came of an exchange with a name server.
    Exchanged(u64, Option<Vec<u8>>),
}

/// From the engine to one connection.
#[derive(Debug)]
pub enum Outbound {
    /// Write this; its room is reserved in the backlog.
    Send(Bytes),
    /// The engine has a use for the silent connection.
    Keep,
    /// Write what was queued, then close.
    Close(FlowDownReason),
    /// Close without writing what is queued.
    Abort(FlowDownReason),
}

impl Outbound {
    /// The engine closes it.
    pub(crate) fn closing(reason: CloseReason) -> Outbound {
        Outbound::Close(match reason {
            CloseReason::Idle => FlowDownReason::Idle,
            CloseReason::BadFrame => FlowDownReason::Error,
            CloseReason::Replaced | CloseReason::Shutdown => FlowDownReason::Shutdown,
        })
    }
}

/// The engine's end of a connection. The channel is bounded by the backlog, in bytes.
#[derive(Clone, Debug)]
pub struct StreamOut {
    pub(crate) orders: Sender<Outbound>,
    pub(crate) backlog: Backlog,
}

/// A connection's end of the engine's orders, and the budget they are counted in.
#[derive(Debug)]
pub struct Orders {
    pub(crate) orders: Receiver<Outbound>,
    pub(crate) backlog: Backlog,
}

/// The two ends of a connection's outgoing queue.
pub fn orders(options: &StreamOptions) -> (StreamOut, Orders) {
    let (sender, orders) = queue(usize::MAX);
    let backlog = Backlog::new(options.write_queue);
    (StreamOut { orders: sender, backlog: backlog.clone() }, Orders { orders, backlog })
}

/// Messages and keep-alives of one read, their bytes one behind the other.
#[derive(Debug)]
pub struct Batch {
    /// Of which connection.
    pub flow: FlowId,
    /// The peer.
    pub remote: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    bytes: Vec<u8>,
    items: Vec<Item>,
}

#[derive(Clone, Copy, Debug)]
enum Item {
    Message(usize),
    KeepAlive(KeepAlive),
    Bad(usize, BadFrame),
}

impl Batch {
    /// An empty one.
    pub fn new(flow: FlowId, remote: SocketAddr, local: SocketAddr) -> Batch {
        Batch { flow, remote, local, bytes: Vec::new(), items: Vec::new() }
    }

    /// One more.
    pub fn push(&mut self, arrival: Arrival<'_>) {
        let item = match arrival {
            Arrival::Message(message) => {
                self.bytes.extend_from_slice(message);
                Item::Message(message.len())
            }
            Arrival::KeepAlive(kind) => Item::KeepAlive(kind),
            Arrival::Bad { head, reason } => {
                self.bytes.extend_from_slice(head);
                Item::Bad(head.len(), reason)
            }
        };
        self.items.push(item);
    }

    /// True if nothing arrived.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// What arrived, in order.
    pub fn arrivals(&self) -> impl Iterator<Item = Arrival<'_>> {
        let mut rest = &self.bytes[..];
        self.items.iter().map(move |item| {
            let mut take = |len| {
                let (head, tail) = rest.split_at(len);
                rest = tail;
                head
            };
            match *item {
                Item::Message(len) => Arrival::Message(take(len)),
                Item::KeepAlive(kind) => Arrival::KeepAlive(kind),
                Item::Bad(len, reason) => Arrival::Bad { head: take(len), reason },
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_back_what_arrived_in_order() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 5060));
        let mut batch = Batch::new(FlowId(2), addr, addr);
        let arrivals = [
            Arrival::Message(b"one"),
            Arrival::KeepAlive(KeepAlive::Ping),
            Arrival::Message(b"three"),
            Arrival::Bad { head: b"x", reason: BadFrame::NotSip },
        ];
        for arrival in arrivals {
            batch.push(arrival);
        }
        assert_eq!(batch.arrivals().collect::<Vec<_>>(), arrivals);
    }
}
