//! What reaches the engine's thread from the rest of the program.

use std::net::SocketAddr;

use bytes::Bytes;
use strowger_core::door::{Answer, BadFrame, FlowDownReason, FlowId, KeepAlive, PeerIdentity, Transport};
use strowger_shell::backlog::Backlog;
use strowger_shell::connection::Arrival;
use tokio::sync::mpsc;

/// From connections and workers to the engine. Bounded: who sends waits for room before it reads its socket.
#[derive(Debug)]
pub(crate) enum Inbound {
    /// A connection is up: accepted, or opened on the engine's order.
    Up {
        flow: FlowId,
        listener: u16,
        transport: Transport,
        local: SocketAddr,
        remote: SocketAddr,
        peer: Option<PeerIdentity>,
        out: StreamOut,
    },
    /// What one read of a connection brought.
    Arrived(Batch),
    /// A connection was silent for long. It goes on only if the engine has a use for it.
    Idle(FlowId),
    /// A connection is gone, or could not be opened.
    Down { flow: FlowId, reason: FlowDownReason },
    /// An answer to a query.
    Answer(Answer),
    /// Counts of the accepting side.
    TurnedAway,
    /// A peer and we did not agree on TLS or WebSocket.
    Failed,
}

/// From the engine to one connection.
#[derive(Debug)]
pub(crate) enum Outbound {
    /// Write this; its room is reserved in the backlog.
    Send(Bytes),
    /// The engine has a use for the silent connection.
    Keep,
    /// Write what was queued, then close.
    Close(FlowDownReason),
    /// Close without writing what is queued.
    Abort(FlowDownReason),
}

/// The engine's end of a connection. The channel is bounded by the backlog, in bytes.
#[derive(Clone, Debug)]
pub(crate) struct StreamOut {
    pub(crate) orders: mpsc::UnboundedSender<Outbound>,
    pub(crate) backlog: Backlog,
}

/// Messages and keep-alives of one read, their bytes one behind the other.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) flow: FlowId,
    pub(crate) remote: SocketAddr,
    pub(crate) local: SocketAddr,
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
    pub(crate) fn new(flow: FlowId, remote: SocketAddr, local: SocketAddr) -> Batch {
        Batch { flow, remote, local, bytes: Vec::new(), items: Vec::new() }
    }

    pub(crate) fn push(&mut self, arrival: Arrival<'_>) {
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

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// What arrived, in order.
    pub(crate) fn arrivals(&self) -> impl Iterator<Item = Arrival<'_>> {
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
