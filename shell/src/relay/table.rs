//! Sessions, the ports lent to them, and who sends from where; without sockets. RFC 4961, RFC 7362 s4, RFC 3550 s11.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use strowger_core::base::Time;
use strowger_core::door::{MediaAnswer, MediaQuery, MediaStep};
use strowger_core::wire::sdp::is_webrtc;

use super::{ENDS, RelayOptions, RelayStats, STREAMS, sdp};

/// Most ports that are tried for one stream and belong to somebody else on this machine.
const TAKEN: usize = 64;

/// Where sockets come from.
pub trait Ports {
    /// Binds this port; false if somebody else has it.
    fn bind(&mut self, port: u16) -> bool;
    /// Closes it.
    fn close(&mut self, port: u16);
}

/// Sessions, ports, and who sends from where; without sockets.
#[derive(Debug)]
pub struct Table {
    pub(super) options: RelayOptions,
    sessions: BTreeMap<u64, Session>,
    ports: BTreeMap<u16, Port>,
    /// Where the search for a port begins.
    next: u16,
    stats: RelayStats,
}

#[derive(Debug, Default)]
struct Session {
    ends: Vec<End>,
    /// Ports for who answers first.
    spare: Vec<u16>,
    /// When anything was last sent in it.
    heard: Time,
}

/// A party: what it says of itself, and the ports that stand for it.
#[derive(Debug)]
struct End {
    tag: Box<str>,
    ipv4: bool,
    /// Where its messages come from.
    source: Option<IpAddr>,
    streams: Vec<Option<(sdp::Stream, u16)>>,
}

#[derive(Debug)]
struct Port {
    session: u64,
    /// The port that stands for who sends to this one.
    peer: Option<u16>,
    /// Where he sends from, and when he did last.
    source: Option<(SocketAddr, Time)>,
    /// Where he should send from: where his description says, where his messages come from.
    told: [Option<IpAddr>; 2],
    rtp: bool,
}

/// A packet to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forward {
    /// From this port.
    pub port: u16,
    /// To whom.
    pub to: SocketAddr,
}

impl Session {
    /// The place of this party, a new one if need be and there is room.
    fn seat(&mut self, tag: &str, ipv4: bool) -> Option<usize> {
        let found = self.ends.iter().position(|end| &*end.tag == tag);
        if found.is_none() && self.ends.len() < ENDS {
            self.ends.push(End { tag: tag.into(), ipv4, source: None, streams: Vec::new() });
            return Some(self.ends.len() - 1);
        }
        found
    }

    /// All ports that it was lent: the first of each two.
    fn lent(&self) -> impl Iterator<Item = u16> {
        let of_ends = self.ends.iter().flat_map(|end| end.streams.iter().flatten());
        of_ends.map(|(_, port)| *port).chain(self.spare.iter().copied())
    }
}

impl Port {
    fn is_told(&self, addr: IpAddr) -> bool {
        self.told.contains(&Some(addr))
    }

    /// May this one be heard instead of who was heard so far?
    fn may_follow(&self, from: SocketAddr, was: SocketAddr, silent: bool) -> bool {
        match (self.is_told(from.ip()), self.is_told(was.ip())) {
            (true, false) => true,
            (false, true) => false,
            (true, true) | (false, false) => silent,
        }
    }
}

impl Table {
    /// An empty one.
    pub fn new(options: RelayOptions) -> Table {
        let next = *options.ports.start();
        Table {
            options,
            sessions: BTreeMap::new(),
            ports: BTreeMap::new(),
            next,
            stats: RelayStats::default(),
        }
    }

    /// What it has done.
    pub fn stats(&self) -> RelayStats {
        RelayStats { sessions: self.sessions.len(), ports: self.ports.len(), ..self.stats }
    }

    /// Counts a packet that could not be sent.
    pub fn lost(&mut self) {
        self.stats.lost += 1;
    }

    /// What a description becomes.
    pub fn describe(&mut self, now: Time, query: &MediaQuery, ports: &mut dyn Ports) -> MediaAnswer {
        if is_webrtc(&query.sdp) || query.to_webrtc {
            self.stats.refused += 1;
            return MediaAnswer::Unsupported;
        }
        let mut session = self.sessions.remove(&query.call).unwrap_or_default();
        session.heard = now;
        let described = self.describe_in(&mut session, query, ports);
        self.sessions.insert(query.call, session);
        match described {
            Some(sdp) => MediaAnswer::Description(sdp.into()),
            None => {
                self.stats.refused += 1;
                MediaAnswer::Unavailable
            }
        }
    }

    fn describe_in(
        &mut self,
        session: &mut Session,
        query: &MediaQuery,
        ports: &mut dyn Ports,
    ) -> Option<Vec<u8>> {
        let wanted = sdp::streams(&query.sdp);
        if wanted.len() > STREAMS {
            return None;
        }
        let own = wanted.iter().flatten().find_map(|stream| stream.at.0).is_none_or(|addr| addr.is_ipv4());
        let is_first = session.ends.iter().all(|end| end.streams.is_empty());
        let at = session.seat(&query.from, own)?;
        let other = session.ends.iter().position(|end| end.tag == query.to && end.tag != query.from);
        let ipv4 = match (other.and_then(|other| session.ends.get(other)), query.near) {
            (Some(end), _) => end.ipv4,
            (None, Some(near)) => near.is_ipv4(),
            (None, None) => own,
        };
        let addr = self.options.shown(ipv4)?;
        let end = session.ends.get_mut(at)?;
        end.ipv4 = own;
        end.source = query.source.or(end.source);

        let mut lent = Vec::new();
        let mut lend = |table: &mut Table| {
            let port = table.lend(query.call, ports)?;
            lent.push(port);
            Some(port)
        };
        let (mut streams, mut moved) = (end.streams.clone(), Vec::new());
        streams.resize(streams.len().max(wanted.len()), None);
        let mut spare = session.spare.clone();
        let mut complete = true;
        for (has, wants) in streams.iter_mut().zip(&wanted) {
            // A stream that is refused keeps its ports, for it may come back.
            let Some(wants) = wants else { continue };
            match has {
                Some((was, port)) => {
                    moved.extend((was.at != wants.at).then_some(*port));
                    was.clone_from(wants);
                }
                None => {
                    let port = if is_first { None } else { spare.pop() };
                    *has = port.or_else(|| lend(self)).map(|port| (wants.clone(), port));
                    complete &= has.is_some();
                }
            }
            if is_first && query.step == MediaStep::Offer && complete {
                match lend(self) {
                    Some(port) => spare.push(port),
                    None => complete = false,
                }
            }
        }
        if !complete {
            lent.into_iter().for_each(|port| self.give_back(port, ports));
            return None;
        }
        let shown: Vec<Option<u16>> = wanted
            .iter()
            .zip(&streams)
            .map(|(wanted, has)| wanted.as_ref().and(has.as_ref()).map(|(_, port)| *port))
            .collect();
        (end.streams, session.spare) = (streams, spare);
        self.mark(end);
        moved.into_iter().for_each(|port| self.forget_sources(port));
        if let Some(other) = other
            && query.step == MediaStep::Answer
        {
            self.pair(session.ends.get(at)?, session.ends.get(other)?);
        }
        Some(sdp::rewrite(&query.sdp, addr, &shown))
    }

    /// Two ports in a row that nobody has, the first one even (RFC 3550 s11).
    fn lend(&mut self, session: u64, ports: &mut dyn Ports) -> Option<u16> {
        let first = self.options.ports.start().checked_next_multiple_of(2)?;
        let pairs = usize::from(self.options.ports.end().checked_sub(first)?.checked_add(1)? / 2);
        if self.ports.len() / 2 >= pairs {
            return None;
        }
        let last = self.options.ports.end().checked_sub(1)?;
        let mut taken = 0;
        for _ in 0..pairs {
            let even = self.next.checked_next_multiple_of(2);
            let port = even.filter(|port| (first..=last).contains(port)).unwrap_or(first);
            self.next = port.checked_add(2).unwrap_or(first);
            if self.ports.contains_key(&port) {
                continue;
            }
            let bound = ports.bind(port);
            if bound && ports.bind(port + 1) {
                for port in [port, port + 1] {
                    let told = [None; 2];
                    self.ports.insert(port, Port { session, peer: None, source: None, told, rtp: true });
                }
                return Some(port);
            }
            if bound {
                ports.close(port);
            }
            taken += 1;
            if taken == TAKEN {
                break;
            }
        }
        None
    }

    fn give_back(&mut self, port: u16, ports: &mut dyn Ports) {
        for port in [port, port + 1] {
            self.ports.remove(&port);
            ports.close(port);
        }
    }

    /// What a party says of itself is known of its ports, and of those it sends to.
    fn mark(&mut self, end: &End) {
        for (stream, port) in end.streams.iter().flatten() {
            for port in [*port, *port + 1] {
                let Some(entry) = self.ports.get_mut(&port) else { continue };
                entry.rtp = stream.rtp;
                if let Some(peer) = entry.peer.and_then(|peer| self.ports.get_mut(&peer)) {
                    peer.told = [stream.at.0, end.source];
                }
            }
        }
    }

    /// These two agree: what one of them sends is for the other.
    fn pair(&mut self, one: &End, other: &End) {
        for both in one.streams.iter().zip(&other.streams) {
            let (Some((_, one)), Some((_, other))) = both else { continue };
            for (one, other) in [(*one, *other), (*one + 1, *other + 1)] {
                self.join(one, other);
                self.join(other, one);
            }
        }
        self.mark(one);
        self.mark(other);
    }

    fn join(&mut self, port: u16, peer: u16) {
        let Some(entry) = self.ports.get_mut(&port).filter(|port| port.peer != Some(peer)) else { return };
        // Who sends to it now is another.
        entry.source = None;
        if let Some(left) = entry.peer.replace(peer)
            && let Some(left) = self.ports.get_mut(&left).filter(|left| left.peer == Some(port))
        {
            left.peer = None;
        }
    }

    /// The party that this port stands for has moved: it sends from elsewhere.
    fn forget_sources(&mut self, port: u16) {
        for port in [port, port + 1] {
            if let Some(peer) = self.ports.get(&port).and_then(|port| port.peer)
                && let Some(peer) = self.ports.get_mut(&peer)
            {
                peer.source = None;
            }
        }
    }

    /// A packet came to a port: where it goes, if anywhere.
    pub fn received(&mut self, now: Time, port: u16, from: SocketAddr, data: &[u8]) -> Option<Forward> {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let entry = self.ports.get_mut(&port)?;
        // RFC 7983 s7: RTP and RTCP, and the keys of DTLS-SRTP.
        if entry.rtp && !data.first().is_some_and(|b| matches!(b, 20..=63 | 128..=191)) {
            self.stats.odd += 1;
            return None;
        }
        let Some(peer) = entry.peer else {
            self.stats.early += 1;
            return None;
        };
        let is_heard = match entry.source {
            Some((was, heard)) => {
                let silent = now.since(heard) >= self.options.relatch;
                was == from || entry.may_follow(from, was, silent)
            }
            None => true,
        };
        if !is_heard {
            self.stats.foreign += 1;
            return None;
        }
        entry.source = Some((from, now));
        let session = entry.session;
        let to = self.ports.get(&peer).and_then(|port| port.source);
        if let Some(session) = self.sessions.get_mut(&session) {
            session.heard = now;
        }
        let Some((to, _)) = to else {
            self.stats.early += 1;
            return None;
        };
        self.stats.packets += 1;
        self.stats.bytes += data.len() as u64;
        Some(Forward { port: peer, to })
    }

    /// A session is over.
    pub fn done(&mut self, session: u64, ports: &mut dyn Ports) {
        let Some(over) = self.sessions.remove(&session) else { return };
        over.lent().for_each(|port| self.give_back(port, ports));
    }

    /// All sessions are over.
    pub fn end(&mut self, ports: &mut dyn Ports) {
        while let Some(session) = self.sessions.keys().next().copied() {
            self.done(session, ports);
        }
    }

    /// Sessions that are silent for too long give their ports back.
    pub fn sweep(&mut self, now: Time, ports: &mut dyn Ports) {
        let silence = self.options.silence;
        let silent = self.sessions.iter().filter(|(_, session)| now.since(session.heard) >= silence);
        for session in silent.map(|(session, _)| *session).collect::<Vec<_>>() {
            self.stats.silent += 1;
            self.done(session, ports);
        }
    }
}
