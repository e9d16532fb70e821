//! Rules for UDP that every runtime shares: canonical addresses, the bounded ring of datagrams that wait for a full
//! socket, and where a receive buffer of many datagrams is cut.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

/// Datagrams received, or sent, before the other direction gets its turn: a burst of notifications must not let the
/// receive buffer overflow with their answers.
pub const ROUND: usize = 32;

/// Room for one datagram in a receive batch: the largest there is, and a little more so that equal offsets of
/// neighbouring datagrams do not fall on the same cache sets.
pub const SLOT: usize = 65_536 + 13 * 64;

/// What is asked of the operating system for each direction of a UDP socket.
pub const SOCKET_BUFFER: usize = 4 << 20;

/// The address as the engine knows it: IPv4-mapped IPv6 addresses are IPv4.
pub fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::new(IpAddr::V4(v4), v6.port()),
            None => addr,
        },
        SocketAddr::V4(_) => addr,
    }
}

/// A datagram that waits for a full socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Datagram {
    /// To whom.
    pub remote: SocketAddr,
    /// From which of our addresses.
    pub local: SocketAddr,
    /// The bytes.
    pub payload: Bytes,
}

/// Datagrams that found the socket full, in order, within a bound. What does not fit is counted and lost, as UDP may.
#[derive(Debug)]
pub struct PendingSends {
    queue: VecDeque<Datagram>,
    bytes: usize,
    limit: usize,
    lost: u64,
}

impl PendingSends {
    /// At most `limit` bytes wait.
    pub fn new(limit: usize) -> PendingSends {
        PendingSends { queue: VecDeque::new(), bytes: 0, limit, lost: 0 }
    }

    /// Puts a datagram at the end; false if there was no room and it is lost.
    pub fn push(&mut self, datagram: Datagram) -> bool {
        if self.bytes + datagram.payload.len() > self.limit {
            self.lost += 1;
            return false;
        }
        self.bytes += datagram.payload.len();
        self.queue.push_back(datagram);
        true
    }

    /// The oldest one; it stays until [`pop`](PendingSends::pop).
    pub fn front(&self) -> Option<&Datagram> {
        self.queue.front()
    }

    /// Removes the oldest one, which was sent or cannot be.
    pub fn pop(&mut self) {
        if let Some(sent) = self.queue.pop_front() {
            self.bytes -= sent.payload.len();
        }
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many were lost because nothing more could wait.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

/// Cuts what one receive slot holds into datagrams: with receive offload the kernel puts several of one sender, each
/// `stride` bytes but the last, into one buffer.
pub fn split(received: &[u8], stride: usize) -> impl Iterator<Item = &[u8]> {
    let stride = if stride == 0 { received.len().max(1) } else { stride };
    // An empty datagram is one datagram: a keep-alive.
    let empty = received.is_empty().then_some(received);
    received.chunks(stride).chain(empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(bytes: &'static [u8]) -> Datagram {
        let addr = SocketAddr::from(([192, 0, 2, 1], 5060));
        Datagram { remote: addr, local: addr, payload: Bytes::from_static(bytes) }
    }

    #[test]
    fn a_mapped_address_is_ipv4() {
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:5060".parse().expect("an address");
        assert_eq!(canonical(mapped), SocketAddr::from(([192, 0, 2, 1], 5060)));
        let v6: SocketAddr = "[2001:db8::1]:5060".parse().expect("an address");
        assert_eq!(canonical(v6), v6);
    }

    #[test]
    fn waiting_datagrams_keep_their_order_and_their_bound() {
        let mut ring = PendingSends::new(8);
        assert!(ring.push(datagram(b"one")));
        assert!(ring.push(datagram(b"three")));
        assert!(!ring.push(datagram(b"x")));
        assert_eq!(ring.lost(), 1);
        assert_eq!(ring.front(), Some(&datagram(b"one")));
        ring.pop();
        assert!(ring.push(datagram(b"x")));
        ring.pop();
        assert_eq!(ring.front(), Some(&datagram(b"x")));
        ring.pop();
        assert!(ring.is_empty());
    }

    #[test]
    fn offloaded_datagrams_come_apart_at_the_stride() {
        let parts = |bytes: &'static [u8], stride| split(bytes, stride).collect::<Vec<_>>();
        assert_eq!(parts(b"aaabbbc", 3), [&b"aaa"[..], b"bbb", b"c"]);
        assert_eq!(parts(b"aaa", 3), [&b"aaa"[..]]);
        assert_eq!(parts(b"", 0), [&b""[..]]);
        assert_eq!(parts(b"abc", 0), [&b"abc"[..]]);
    }
}
