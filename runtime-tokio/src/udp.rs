//! One UDP socket in the engine's own thread: batches in, one system call per datagram out, and the address that was
//! asked on both (RFC 3261 s18.2, RFC 3581 s4).

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::Bytes;
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::SockRef;
use strowger_core::door::{FlowId, SendError};
use strowger_shell::datagram::{self, Datagram, PendingSends, ROUND, SLOT};
use strowger_shell::handle::SocketStats;
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::bind::BoundUdp;

/// Where batches are received; one for all sockets of a thread. Pages are touched only as datagrams need them.
pub(crate) struct ReceiveBuffer {
    slots: Vec<u8>,
    meta: [RecvMeta; ROUND],
}

impl ReceiveBuffer {
    pub(crate) fn new() -> ReceiveBuffer {
        ReceiveBuffer { slots: vec![0; ROUND * SLOT], meta: [RecvMeta::default(); ROUND] }
    }
}

/// A UDP listener.
pub(crate) struct UdpPort {
    pub(crate) flow: FlowId,
    pub(crate) listener: u16,
    pub(crate) local: SocketAddr,
    socket: UdpSocket,
    state: UdpSocketState,
    waiting: PendingSends,
}

impl UdpPort {
    /// Registers a bound socket with the runtime of this thread.
    pub(crate) fn new(flow: FlowId, bound: BoundUdp, pending_bytes: usize) -> io::Result<UdpPort> {
        let socket = UdpSocket::from_std(bound.socket)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        #[cfg(target_os = "linux")]
        tune(&socket, bound.local)?;
        let waiting = PendingSends::new(pending_bytes);
        Ok(UdpPort { flow, listener: bound.listener, local: bound.local, socket, state, waiting })
    }

    /// Receives one batch and hands out each datagram as (sender, our address, bytes); how many there were.
    pub(crate) fn receive(
        &self,
        buffer: &mut ReceiveBuffer,
        mut each: impl FnMut(SocketAddr, SocketAddr, &[u8]),
    ) -> usize {
        let ReceiveBuffer { slots, meta } = buffer;
        let mut filled = 0;
        // Asks the system only when the reactor saw something arrive since the socket was last found empty.
        let _ = self.socket.try_io(Interest::READABLE, || {
            let mut room = slots.chunks_exact_mut(SLOT);
            let mut slices: [IoSliceMut<'_>; ROUND] =
                std::array::from_fn(|_| IoSliceMut::new(room.next().unwrap_or_default()));
            filled = self.state.recv(UdpSockRef::from(&self.socket), &mut slices, meta)?;
            // A batch that is not full emptied the socket: the next arrival is a new edge, and no call is spent on
            // finding out.
            if filled < ROUND { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
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
    pub(crate) fn send(&mut self, remote: SocketAddr, local: SocketAddr, payload: Bytes, stats: &mut SocketStats) -> Result<(), SendError> {
        if self.waiting.is_empty() {
            match self.try_send(remote, local, &payload) {
                Ok(()) => {
                    stats.datagrams_sent += 1;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.forget_writable(),
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
    pub(crate) fn flush(&mut self, stats: &mut SocketStats, mut failed: impl FnMut(SocketAddr, SendError)) {
        while let Some(next) = self.waiting.front() {
            match self.try_send(next.remote, next.local, &next.payload) {
                Ok(()) => stats.datagrams_sent += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.forget_writable(),
                Err(error) => {
                    stats.send_errors += 1;
                    failed(next.remote, reason(&error));
                }
            }
            self.waiting.pop();
        }
    }

    /// Ready when there is something to receive, or the socket takes again what waited.
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.socket.poll_recv_ready(cx).is_ready() {
            return Poll::Ready(());
        }
        if !self.waiting.is_empty() && self.socket.poll_send_ready(cx).is_ready() {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// True if datagrams wait for a full socket.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn try_send(&self, remote: SocketAddr, local: SocketAddr, payload: &[u8]) -> io::Result<()> {
        if !self.local.ip().is_unspecified() {
            // Bound to one address: the system needs not be told where the answer comes from.
            return SockRef::from(&self.socket).send_to(payload, &remote.into()).map(drop);
        }
        let src_ip = (!local.ip().is_unspecified()).then_some(local.ip());
        let transmit = Transmit { destination: remote, ecn: None, contents: payload, segment_size: None, src_ip };
        match self.state.try_send(UdpSockRef::from(&self.socket), &transmit) {
            // The address is gone, or was a broadcast address: better from another one than not at all.
            Err(error)
                if src_ip.is_some()
                    && matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::AddrNotAvailable) =>
            {
                let transmit = Transmit { src_ip: None, ..transmit };
                self.state.try_send(UdpSockRef::from(&self.socket), &transmit)
            }
            result => result,
        }
    }

    /// The socket is full: wait for the reactor to see it writable.
    fn forget_writable(&self) {
        let _ = self.socket.try_io(Interest::WRITABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    }
}

fn reason(error: &io::Error) -> SendError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            SendError::Refused
        }
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
    use rustix::net::sockopt::{Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover};

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
    Ok(())
}

#[cfg(test)]
mod tests;
