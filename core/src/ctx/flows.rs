//! Sockets that are up, and where a message came from.

use core::net::SocketAddr;

use hashbrown::HashTable;

use crate::door::{FlowId, Transport};

/// A socket that is up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    /// Its name.
    pub(crate) id: FlowId,
    /// Index in `Settings::listeners`.
    pub(crate) listener: u16,
    /// What it speaks.
    pub(crate) transport: Transport,
    /// Our end.
    pub(crate) local: SocketAddr,
    /// The other end of a stream.
    pub(crate) remote: Option<SocketAddr>,
}

/// Where a message came from, and so where its response goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Origin {
    /// The socket.
    pub(crate) flow: FlowId,
    /// Index in `Settings::listeners`.
    pub(crate) listener: u16,
    /// What it speaks.
    pub(crate) transport: Transport,
    /// The sender.
    pub(crate) remote: SocketAddr,
    /// Our address it was sent to.
    pub(crate) local: SocketAddr,
}

/// All sockets that are up, by name. Names come from the shell and the engine, never from a peer: a plain
/// multiplicative hash is enough.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flows {
    table: HashTable<Flow>,
}

fn spread(id: FlowId) -> u64 {
    id.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Flows {
    /// The flow of that name.
    pub(crate) fn get(&self, id: FlowId) -> Option<&Flow> {
        self.table.find(spread(id), |f| f.id == id)
    }

    /// Adds a flow, or replaces the one of that name.
    pub(crate) fn insert(&mut self, flow: Flow) {
        self.remove(flow.id);
        self.table.insert_unique(spread(flow.id), flow, |f| spread(f.id));
    }

    /// Removes a flow.
    pub(crate) fn remove(&mut self, id: FlowId) -> Option<Flow> {
        let entry = self.table.find_entry(spread(id), |f| f.id == id).ok()?;
        let (flow, _) = entry.remove();
        if self.table.is_empty() {
            self.table = HashTable::new();
        }
        Some(flow)
    }

    /// Where a message on this flow came from.
    pub(crate) fn origin(&self, id: FlowId, remote: SocketAddr, local: SocketAddr) -> Option<Origin> {
        let flow = self.get(id)?;
        Some(Origin { flow: id, listener: flow.listener, transport: flow.transport, remote, local })
    }

    /// How many are up.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}
