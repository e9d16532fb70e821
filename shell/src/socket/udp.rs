//! One UDP socket in the engine's own thread: batches in, one system call per datagram out, and the address that was
//! asked on both (RFC 3261 s18.2, RFC 3581 s4).

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};

use bytes::Bytes;
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::SockRef;
use strowger_core::door::{FlowId, SendError};

use super::{BoundUdp, Watch};
use crate::datagram::{self, Datagram, PendingSends, ROUND, SLOT};
use crate::handle::SocketStats;

/// Where batches are received; one for all sockets of a thread. Pages are touched only as datagrams need them.
pub struct ReceiveBuffer {
    slots: Vec<u8>,
    meta: [RecvMeta; ROUND],
}

impl fmt::Debug for ReceiveBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReceiveBuffer")
    }
}

impl Default for ReceiveBuffer {
    fn default() -> ReceiveBuffer {
        ReceiveBuffer::new()
    }
}

impl ReceiveBuffer {
    /// Room for one batch.
    pub fn new() -> ReceiveBuffer {
        ReceiveBuffer { slots: vec![0; ROUND * SLOT], meta: [RecvMeta::default(); ROUND] }
    }
}

/// A UDP listener.
#[derive(Debug)]
pub struct UdpPort<W> {
    /// Its name for the engine.
    pub flow: FlowId,
    /// Which one of the configuration.
    pub listener: u16,
    /// Where it is bound.
    pub local: SocketAddr,
    socket: W,
    state: UdpSocketState,
    waiting: PendingSends,
}

impl<W: Watch> UdpPort<W> {
    /// Has a bound socket watched.
    pub fn new(
        flow: FlowId,
        bound: BoundUdp,
        pending_bytes: usize,
        watch: impl FnOnce(UdpSocket) -> io::Result<W>,
    ) -> io::Result<UdpPort<W>> {
        let state = UdpSocketState::new(UdpSockRef::from(&bound.socket))?;
        #[cfg(target_os = "linux")]
        tune(&bound.socket, bound.local)?;
        let socket = watch(bound.socket)?;
        let waiting = PendingSends::new(pending_bytes);
        Ok(UdpPort { flow, listener: bound.listener, local: bound.local, socket, state, waiting })
    }

    /// Receives one batch and hands out each datagram as (sender, our address, bytes); how many there were.
    ///
    /// A batch that is not full is followed by another look at the socket: under load something has arrived while the
    /// answers went out, and looking costs less than waiting.
    pub fn receive(
        &self,
        buffer: &mut ReceiveBuffer,
        mut each: impl FnMut(SocketAddr, SocketAddr, &[u8]),
    ) -> usize {
        let ReceiveBuffer { slots, meta } = buffer;
        let received = self.socket.receive(|socket| {
            let mut room = slots.chunks_exact_mut(SLOT);
            let mut slices: [IoSliceMut<'_>; ROUND] =
                std::array::from_fn(|_| IoSliceMut::new(room.next().unwrap_or_default()));
            // Errors of a socket without a peer concern no datagram of ours: wait for the next arrival after them too.
            self.state
                .recv(UdpSockRef::from(socket), &mut slices, meta)
                .map_err(|_| io::ErrorKind::WouldBlock.into())
        });
        let filled = received.unwrap_or(0);
        let mut count = 0;
        for (slot, meta) in slots.chunks_exact(SLOT).zip(&meta[..filled]) {
            let remote = datagram::canonical(meta.addr);
            let local = match meta.dst_ip {
                Some(ip) => datagram::canonical(SocketAddr::new(ip, self.local.port())),
                None => self.local,
            };
            for data in datagram::split(slot.get(..meta.len).unwrap_or_default(), meta.stride) {
                each(remote, local, data);
                count += 1;
            }
        }
        count
    }

    /// Sends a datagram from `local`, or lets it wait when the socket is full.
    pub fn send(
        &mut self,
        remote: SocketAddr,
        local: SocketAddr,
        payload: Bytes,
        stats: &mut SocketStats,
    ) -> Result<(), SendError> {
        if self.waiting.is_empty() {
            match self.try_send(remote, local, &payload) {
                Ok(()) => {
                    stats.datagrams_sent += 1;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.socket.watch_room(),
                Err(error) => {
                    stats.send_errors += 1;
                    return Err(reason(&error));
                }
            }
        }
        if self.waiting.push(Datagram { remote, local, payload }) {
            return Ok(());
        }
        stats.datagrams_lost += 1;
        Err(SendError::Full)
    }

    /// Sends what waited for a full socket, as far as it goes now. Failures come out of `failed`.
    pub fn flush(&mut self, stats: &mut SocketStats, mut failed: impl FnMut(SocketAddr, SendError)) {
        while let Some(next) = self.waiting.front() {
            match self.try_send(next.remote, next.local, &next.payload) {
                Ok(()) => stats.datagrams_sent += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.socket.watch_room(),
                Err(error) => {
                    stats.send_errors += 1;
                    failed(next.remote, reason(&error));
                }
            }
            self.waiting.pop();
        }
        self.socket.forget_room();
    }

    /// What the runtime watches.
    pub fn watched(&self) -> &W {
        &self.socket
    }

    /// True if datagrams wait for a full socket.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn try_send(&self, remote: SocketAddr, local: SocketAddr, payload: &[u8]) -> io::Result<()> {
        if !self.local.ip().is_unspecified() {
            // Bound to one address: the system needs not be told where the answer comes from.
            return SockRef::from(self.socket.socket()).send_to(payload, &remote.into()).map(drop);
        }
        let src_ip = (!local.ip().is_unspecified()).then_some(local.ip());
        let transmit =
            Transmit { destination: remote, ecn: None, contents: payload, segment_size: None, src_ip };
        match self.state.try_send(UdpSockRef::from(self.socket.socket()), &transmit) {
            // The address is gone, or was a broadcast address: better from another one than not at all.
            Err(error)
                if src_ip.is_some()
                    && matches!(
                        error.kind(),
                        io::ErrorKind::InvalidInput | io::ErrorKind::AddrNotAvailable
                    ) =>
            {
                let transmit = Transmit { src_ip: None, ..transmit };
                self.state.try_send(UdpSockRef::from(self.socket.socket()), &transmit)
            }
            result => result,
        }
    }
}

fn reason(error: &io::Error) -> SendError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => SendError::Refused,
        // EMSGSIZE on the systems there are.
        _ if matches!(error.raw_os_error(), Some(90 | 40 | 10_040)) => SendError::TooBig,
        _ => SendError::Other,
    }
}

/// Undoes what `quinn-udp` sets for QUIC. RFC 3261 s18.1.1: a message above the path MTU is fragmented rather than
/// lost. Receive offload, timestamps and the traffic class are not used and cost time on every datagram.
#[cfg(target_os = "linux")]
fn tune(socket: &UdpSocket, local: SocketAddr) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt};
    use rustix::net::sockopt::{
        Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
    };

    set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::DONT)?;
    if local.is_ipv6() {
        set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::DONT)?;
        setsockopt(socket, sockopt::Ipv6DontFrag, &false)?;
        let _ = SockRef::from(socket).set_recv_tclass_v6(false);
    } else {
        let _ = SockRef::from(socket).set_recv_tos_v4(false);
    }
    // Where the kernel does not know them they were never on.
    let _ = setsockopt(socket, sockopt::UdpGroSegment, &false);
    let _ = setsockopt(socket, sockopt::ReceiveTimestampns, &false);
    if !local.ip().is_unspecified() {
        // Whatever arrives was sent to the one address the socket is bound to.
        let _ = match local {
            SocketAddr::V4(_) => setsockopt(socket, sockopt::Ipv4PacketInfo, &false),
            SocketAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &false),
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests;
