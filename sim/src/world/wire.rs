//! Packets and connections between phones and the server.

use std::net::SocketAddr;
use std::time::Duration;

use strowger_core::door::{FlowDownReason, FlowId, Transmit, Transport};

use super::{Due, PhoneId, World};
use crate::Time;
use crate::network::{arrivals, stream_arrival};
use crate::phone::Via;
use crate::tape::Fate;

/// UDP listeners: the flows of the first two entries of the listeners.
pub(super) const UDP4: FlowId = FlowId(2);
pub(super) const UDP6: FlowId = FlowId(4);

/// One stream between a phone and the server.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) phone: PhoneId,
    pub(super) remote: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) transport: Transport,
    /// The server has accepted it.
    pub(super) up: bool,
    /// Broken, but the server does not know yet.
    pub(super) dead: bool,
    last_in: Time,
    last_out: Time,
}

impl World {
    /// Breaks the connection of a phone. If nobody notices, both ends believe in it until they try.
    pub fn break_flow(&mut self, phone: PhoneId, noticed: bool) {
        let Some(flow) = self.seats[phone.0].connection else { return };
        let how = if noticed { "breaks" } else { "breaks silently" };
        self.note(format!("the connection of {} {how}", self[phone].name));
        if noticed {
            let at = self.now + self.seats[phone.0].link.delay;
            self.schedule(at, Due::Broken { flow, reason: FlowDownReason::Closed });
            self.schedule(self.now, Due::PhoneNotices { phone, flow });
        } else if let Some(connection) = self.connections.get_mut(&flow) {
            connection.dead = true;
        }
    }

    /// The flow a phone is connected by.
    pub fn flow_of(&self, phone: PhoneId) -> Option<FlowId> {
        self.seats[phone.0].connection
    }

    /// The server connects to a phone, if one listens there.
    pub(super) fn connect_to(&mut self, flow: FlowId, remote: SocketAddr, local: Option<SocketAddr>) {
        let listens = |id: &PhoneId| {
            let seat = &self.seats[id.0];
            seat.phone.habits.accepts && !seat.phone.is_off() && seat.nat.is_none()
        };
        let Some(phone) = self.by_addr.get(&remote).copied().filter(listens) else {
            self.note(format!("{remote} refuses connection {}", flow.0));
            let at = self.now + Duration::from_millis(20);
            return self.schedule(at, Due::Broken { flow, reason: FlowDownReason::Unreachable });
        };
        self.note(format!("the server connects to {}", self[phone].name));
        let up_at = self.now + self.seats[phone.0].link.delay * 3;
        let local = SocketAddr::new(
            local.map_or_else(|| self.server_addr(phone).ip(), |local| local.ip()),
            40_000 + (flow.0 % 10_000) as u16,
        );
        let transport = Transport::Tcp;
        let (up, dead, last_in, last_out) = (false, false, up_at, up_at);
        self.connections
            .insert(flow, Connection { phone, remote, local, transport, up, dead, last_in, last_out });
        self.schedule(up_at, Due::Connected { flow });
    }

    /// What a phone says to what came over a connection of the server's goes back over it.
    pub(super) fn answer_by(&mut self, id: PhoneId, flow: FlowId) {
        let mut others = Vec::new();
        while let Some(bytes) = self.seats[id.0].phone.poll_out() {
            match self.connections.get(&flow).map(|c| (c.transport, c.remote, c.local)) {
                Some((transport, remote, local)) if bytes.starts_with(b"SIP/2.0 ") => {
                    self.record_out(id, &bytes, Fate::Arrives);
                    let at = self.now + self.seats[id.0].link.delay;
                    let connection = Some(flow);
                    self.schedule(at, Due::ToServer { transport, remote, local, connection, data: bytes });
                }
                _ => others.push(bytes),
            }
        }
        others.into_iter().for_each(|bytes| self.seats[id.0].phone.raw(bytes));
        self.flush(id);
    }

    /// Puts everything a phone has to say on the wire.
    pub(super) fn flush(&mut self, id: PhoneId) {
        while let Some(bytes) = self.seats[id.0].phone.poll_out() {
            if self[id].habits.via.is_stream() {
                self.stream_out(id, bytes)
            } else {
                self.datagram_out(id, bytes)
            }
        }
        self.plan_wake(id);
    }

    pub(super) fn plan_wake(&mut self, phone: PhoneId) {
        let seat = &mut self.seats[phone.0];
        let Some(at) = seat.phone.deadline() else { return };
        if seat.wake_at.is_none_or(|planned| at < planned) {
            seat.wake_at = Some(at);
            self.schedule(at, Due::Wake { phone });
        }
    }

    fn datagram_out(&mut self, id: PhoneId, data: Vec<u8>) {
        let local = self.server_addr(id);
        let seat = &self.seats[id.0];
        let (addr, link, nat) = (seat.phone.addr, seat.link, seat.nat);
        let remote = nat.map_or(addr, |n| self.nats[n].out(addr));
        let times = match take_one(&mut self.seats[id.0].lose_to_server) {
            true => Vec::new(),
            false => arrivals(&link, &mut self.rng, self.now),
        };
        self.record_out(id, &data, fate(&times));
        for at in times {
            let due = Due::ToServer {
                transport: Transport::Udp,
                remote,
                local,
                connection: None,
                data: data.clone(),
            };
            self.schedule(at, due);
        }
    }

    fn stream_out(&mut self, id: PhoneId, data: Vec<u8>) {
        let flow = match self.seats[id.0].connection {
            Some(flow) => flow,
            None => self.connect(id),
        };
        let link = self.seats[id.0].link;
        let Some(connection) = self.connections.get_mut(&flow) else {
            return self.record_out(id, &data, Fate::Nowhere);
        };
        if connection.dead {
            // Written into the void; the phone learns it when its system gives up.
            self.record_out(id, &data, Fate::Lost);
            let at = self.now + link.delay * 100;
            return self.schedule(at, Due::PhoneNotices { phone: id, flow });
        }
        let at = stream_arrival(&link, &mut self.rng, self.now, &mut connection.last_in);
        let (transport, remote, local) = (connection.transport, connection.remote, connection.local);
        self.record_out(id, &data, Fate::Arrives);
        self.schedule(at, Due::ToServer { transport, remote, local, connection: Some(flow), data });
    }

    fn connect(&mut self, id: PhoneId) -> FlowId {
        let local = self.server_addr(id);
        self.next_flow += 2;
        let flow = FlowId(self.next_flow);
        let seat = &mut self.seats[id.0];
        let source = SocketAddr::new(seat.phone.addr.ip(), 20_000 + (self.next_flow / 2 % 40_000) as u16);
        let remote = seat.nat.map_or(source, |n| self.nats[n].out(source));
        let transport = if seat.phone.habits.via == Via::Tls { Transport::Tls } else { Transport::Tcp };
        seat.connection = Some(flow);
        // One round trip for the handshake; what is sent meanwhile follows it.
        let up_at = self.now + seat.link.delay * 3;
        let connection = Connection {
            phone: id,
            remote,
            local,
            transport,
            up: false,
            dead: false,
            last_in: up_at,
            last_out: up_at,
        };
        self.connections.insert(flow, connection);
        self.schedule(up_at, Due::Connected { flow });
        flow
    }

    /// A connection is gone for good; its phone notices.
    pub(super) fn drop_connection(&mut self, flow: FlowId) {
        let Some(connection) = self.connections.remove(&flow) else { return };
        let at = self.now + self.seats[connection.phone.0].link.delay;
        self.schedule(at, Due::PhoneNotices { phone: connection.phone, flow });
    }

    fn record_out(&mut self, id: PhoneId, data: &[u8], fate: Fate) {
        let name = self.seats[id.0].phone.name.clone();
        self.tape.sent(self.now, &name, "server", data, fate);
    }

    /// Puts a message of the engine on the wire.
    pub(super) fn transmit(&mut self, transmit: &Transmit) {
        let Transmit { flow, remote, payload, .. } = transmit;
        if let Some(connection) = self.connections.get_mut(flow) {
            let phone = connection.phone;
            let link = self.seats[phone.0].link;
            let fate = if connection.dead { Fate::Lost } else { Fate::Arrives };
            let at = stream_arrival(&link, &mut self.rng, self.now, &mut connection.last_out);
            self.record_in(phone, payload, fate);
            if fate == Fate::Arrives {
                let connection = (flow.0 % 2 == 1).then_some(*flow);
                self.schedule(at, Due::ToPhone { phone, data: payload.to_vec(), connection });
            }
            return;
        }
        let udp = *flow == UDP4 || *flow == UDP6;
        let inside = match self.nats.iter().position(|n| n.public() == remote.ip()) {
            Some(nat) => self.nats[nat].inside(*remote),
            None => Some(*remote),
        };
        let phone = inside.and_then(|addr| self.by_addr.get(&addr).copied()).filter(|_| udp);
        // A phone behind a NAT is not reached by its private address.
        let phone = phone.filter(|p| self.seats[p.0].nat.is_none() || inside != Some(*remote));
        let Some(phone) = phone else {
            return self.tape.sent(self.now, "server", &remote.to_string(), payload, Fate::Nowhere);
        };
        let link = self.seats[phone.0].link;
        let times = match take_one(&mut self.seats[phone.0].lose_to_phone) {
            true => Vec::new(),
            false => arrivals(&link, &mut self.rng, self.now),
        };
        self.record_in(phone, payload, fate(&times));
        for at in times {
            self.schedule(at, Due::ToPhone { phone, data: payload.to_vec(), connection: None });
        }
    }

    fn record_in(&mut self, phone: PhoneId, data: &[u8], fate: Fate) {
        let name = self.seats[phone.0].phone.name.clone();
        self.tape.sent(self.now, "server", &name, data, fate);
    }
}

fn fate(times: &[Time]) -> Fate {
    match times.len() {
        0 => Fate::Lost,
        1 => Fate::Arrives,
        _ => Fate::Doubled,
    }
}

fn take_one(left: &mut u32) -> bool {
    let some = *left > 0;
    *left = left.saturating_sub(1);
    some
}
