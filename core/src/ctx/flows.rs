//! Sockets that are up, and where a message came from.

use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashTable;

use crate::door::{FlowId, PeerIdentity, Transport};

/// Names by which one peer can be reached over a connection of its own; it needs no more.
const ALIASES: usize = 16;

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
    /// We asked for it and have not heard yet: the host keeps what is sent meanwhile.
    pub(crate) opening: bool,
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

/// What a connection that we opened was opened for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Dialled {
    /// Where it leads.
    pub(crate) remote: SocketAddr,
    /// What is spoken.
    pub(crate) transport: Transport,
    /// The name that is proved there, for TLS.
    pub(crate) name: Option<Box<str>>,
}

/// All sockets that are up, by name. Names come from the shell and the engine, never from a peer: a plain
/// multiplicative hash is enough.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flows {
    table: HashTable<Flow>,
    /// The connections we asked for, by what was dialled, and the other way round.
    ours: BTreeMap<Dialled, FlowId>,
    dialled: BTreeMap<FlowId, Dialled>,
    /// Who the other ends proved to be, where they did.
    peers: BTreeMap<FlowId, PeerIdentity>,
    /// RFC 5923: the connections of peers that are as good as ours to where they listen.
    aliases: BTreeMap<Dialled, FlowId>,
    /// How many of them we have not heard of yet.
    opening: usize,
    /// The UDP sockets, in the order of their names.
    udp: BTreeSet<FlowId>,
    /// How many were ever asked for.
    opened: u64,
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
        if flow.transport == Transport::Udp {
            self.udp.insert(flow.id);
        }
        match self.table.find_mut(spread(flow.id), |f| f.id == flow.id) {
            Some(known) => {
                self.opening -= usize::from(known.opening);
                *known = flow;
            }
            None => {
                self.table.insert_unique(spread(flow.id), flow, |f| spread(f.id));
            }
        }
        self.opening += usize::from(flow.opening);
    }

    /// A connection that we open: its name is odd, and never used again. `flow` says the rest.
    pub(super) fn open(&mut self, dialled: Dialled, flow: Flow) -> FlowId {
        let id = FlowId(2 * self.opened + 1);
        self.opened += 1;
        self.insert(Flow { id, remote: Some(dialled.remote), opening: true, ..flow });
        self.ours.insert(dialled.clone(), id);
        self.dialled.insert(id, dialled);
        id
    }

    /// The connection there that needs not be opened: ours, or one of the peer, who said so and proved to be who is meant.
    pub(super) fn there(&self, dialled: &Dialled) -> Option<FlowId> {
        self.ours.get(dialled).or_else(|| self.aliases.get(dialled)).copied()
    }

    /// The other end of this flow has a certificate that we believe.
    pub(crate) fn proved(&mut self, id: FlowId, peer: PeerIdentity) {
        self.peers.insert(id, peer);
    }

    /// Who the other end proved to be.
    pub(crate) fn peer(&self, id: FlowId) -> Option<&PeerIdentity> {
        self.peers.get(&id)
    }

    /// RFC 5923 s8.2: the peer lets us use its connection for what goes to where it listens. Its certificate says for whom:
    /// without one, nothing is changed (s9.2). What is spoken must be TLS: a name proves nothing of a bare address (s9.3).
    pub(crate) fn alias(&mut self, id: FlowId, port: Option<u16>) {
        let Some(peer) = self.peers.get(&id) else { return };
        let Some(flow) = self.get(id).filter(|flow| flow.transport == Transport::Tls) else { return };
        let Some(remote) = flow.remote.filter(|_| !id.is_dialled()) else { return };
        let ip = remote.ip().to_canonical();
        let port = port.unwrap_or(Transport::Tls.default_port());
        let of = |name: &str| Dialled {
            remote: SocketAddr::new(ip, port),
            transport: Transport::Tls,
            name: Some(name.to_ascii_lowercase().into()),
        };
        let all: Vec<Dialled> = peer.domains().take(ALIASES).map(of).collect();
        if all.iter().all(|one| self.aliases.get(one) == Some(&id)) {
            return;
        }
        // It says one port: what it said before holds no more.
        self.aliases.retain(|_, other| *other != id);
        self.aliases.extend(all.into_iter().map(|one| (one, id)));
    }

    /// Is it a connection of a peer that we may send over?
    pub(crate) fn is_alias(&self, id: FlowId) -> bool {
        self.peers.contains_key(&id) && self.aliases.values().any(|other| *other == id)
    }

    /// How many are being opened.
    pub(super) fn opening(&self) -> usize {
        self.opening
    }

    /// A connection of ours that is as good as gone: it is not used for anything new.
    pub(crate) fn give_up(&mut self, id: FlowId) {
        if let Some(dialled) = self.dialled.remove(&id) {
            self.ours.remove(&dialled);
        }
    }

    /// Removes a flow.
    pub(crate) fn remove(&mut self, id: FlowId) -> Option<Flow> {
        let entry = self.table.find_entry(spread(id), |f| f.id == id).ok()?;
        let (flow, _) = entry.remove();
        self.udp.remove(&id);
        self.opening -= usize::from(flow.opening);
        self.give_up(id);
        if self.peers.remove(&id).is_some() {
            self.aliases.retain(|_, other| *other != id);
        }
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

    /// The UDP socket from which to write to an address, in the family of that; `near` is our address on the way, if the
    /// socket is bound to all of them.
    pub(crate) fn datagrams(&self, remote: IpAddr, near: IpAddr) -> Option<Origin> {
        let v4 = remote.is_ipv4();
        let fits = |flow: &&Flow| {
            let ip = flow.local.ip();
            ip.to_canonical().is_ipv4() == v4 || ip.is_unspecified() && ip.is_ipv6()
        };
        let flow = self.udp.iter().filter_map(|id| self.get(*id)).find(fits)?;
        let bound = flow.local.ip();
        let ip = match bound.is_unspecified() && near.to_canonical().is_ipv4() == v4 {
            true => near,
            false => bound,
        };
        let local = SocketAddr::new(ip, flow.local.port());
        let &Flow { id, listener, transport, .. } = flow;
        Some(Origin { flow: id, listener, transport, remote: local, local })
    }

    /// One of our own addresses, for what nobody else asked for: of the first UDP socket, if there is one.
    pub(crate) fn own(&self) -> Origin {
        let flow = self.udp.iter().find_map(|id| self.get(*id));
        let local = flow.map_or(SocketAddr::from(([0, 0, 0, 0], 0)), |flow| flow.local);
        let (id, listener) = flow.map_or((FlowId(0), 0), |flow| (flow.id, flow.listener));
        Origin { flow: id, listener, transport: Transport::Udp, remote: local, local }
    }

    /// How many are up.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}
