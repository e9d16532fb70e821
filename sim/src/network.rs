//! The network between phones and the server: links that delay, lose, repeat and reorder datagrams, NAT boxes that
//! forget, connections that break. Streams deliver in order and lose nothing until they break.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::Time;
use crate::rng::Rng;

/// How the way between one phone and the server behaves, in each direction.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Link {
    /// Time a packet takes.
    pub delay: Duration,
    /// Random time on top, evenly up to this.
    pub jitter: Duration,
    /// Share of datagrams that never arrive.
    pub loss: f64,
    /// Share of datagrams that arrive twice.
    pub duplicate: f64,
    /// Share of datagrams that take `late` longer, so that later ones overtake them.
    pub reorder: f64,
    /// See `reorder`.
    pub late: Duration,
}

impl Link {
    /// Ten milliseconds, nothing lost.
    pub const GOOD: Link = Link {
        delay: Duration::from_millis(10),
        jitter: Duration::ZERO,
        loss: 0.0,
        duplicate: 0.0,
        reorder: 0.0,
        late: Duration::ZERO,
    };

    /// Everything goes wrong at times: a tenth lost, a twentieth twice, a tenth late.
    pub const BAD: Link = Link {
        delay: Duration::from_millis(30),
        jitter: Duration::from_millis(40),
        loss: 0.1,
        duplicate: 0.05,
        reorder: 0.1,
        late: Duration::from_millis(700),
    };

    /// A good link that loses this share.
    pub const fn lossy(loss: f64) -> Link {
        Link { loss, ..Link::GOOD }
    }
}

impl Default for Link {
    fn default() -> Link {
        Link::GOOD
    }
}

/// An address translator: private sources appear under one public address, each under a port of its own.
#[derive(Clone, Debug)]
pub struct Nat {
    public: IpAddr,
    next_port: u16,
    outward: BTreeMap<SocketAddr, u16>,
    inward: BTreeMap<u16, SocketAddr>,
}

impl Nat {
    /// A box with this public address.
    pub fn new(public: IpAddr) -> Nat {
        Nat { public, next_port: 40_000, outward: BTreeMap::new(), inward: BTreeMap::new() }
    }

    /// Its public address.
    pub fn public(&self) -> IpAddr {
        self.public
    }

    /// The public address of a private source; made if there is none.
    pub fn out(&mut self, private: SocketAddr) -> SocketAddr {
        let port = match self.outward.get(&private) {
            Some(port) => *port,
            None => {
                let port = self.next_port;
                self.next_port = self.next_port.checked_add(1).unwrap_or(40_000);
                self.outward.insert(private, port);
                self.inward.insert(port, private);
                port
            }
        };
        SocketAddr::new(self.public, port)
    }

    /// Where a packet to a public port goes inside; nowhere if the mapping is forgotten.
    pub fn inside(&self, public: SocketAddr) -> Option<SocketAddr> {
        self.inward.get(&public.port()).copied().filter(|_| public.ip() == self.public)
    }

    /// Forgets every mapping: the next packet out gets another port.
    pub fn rebind(&mut self) {
        self.outward.clear();
        self.inward.clear();
    }
}

/// When the copies of one datagram arrive: none if it is lost, two if it is doubled.
pub fn arrivals(link: &Link, rng: &mut Rng, now: Time) -> Vec<Time> {
    if rng.chance(link.loss) {
        return Vec::new();
    }
    let copies = if rng.chance(link.duplicate) { 2 } else { 1 };
    let mut one = || {
        let jitter = Duration::from_nanos(rng.below(link.jitter.as_nanos() as u64 + 1));
        let late = if rng.chance(link.reorder) { link.late } else { Duration::ZERO };
        now + link.delay + jitter + late
    };
    (0..copies).map(|_| one()).collect()
}

/// When a piece of a stream arrives: never before the piece sent before it.
pub fn stream_arrival(link: &Link, rng: &mut Rng, now: Time, last: &mut Time) -> Time {
    let jitter = Duration::from_nanos(rng.below(link.jitter.as_nanos() as u64 + 1));
    // A lost segment of a stream is late, not lost.
    let resent = if rng.chance(link.loss) { Duration::from_millis(200) } else { Duration::ZERO };
    *last = (*last).max(now + link.delay + jitter + resent);
    *last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nat_gives_one_port_until_it_forgets() {
        let mut nat = Nat::new("198.51.100.1".parse().expect("an address"));
        let phone: SocketAddr = "10.0.0.2:5060".parse().expect("an address");
        let first = nat.out(phone);
        assert_eq!(first, nat.out(phone));
        assert_eq!(nat.inside(first), Some(phone));
        nat.rebind();
        assert_ne!(first, nat.out(phone));
        assert_eq!(nat.inside(first), None);
    }

    #[test]
    fn loss_is_the_share_asked_for() {
        let mut rng = Rng::new(1);
        let link = Link::lossy(0.2);
        let lost = (0..10_000).filter(|_| arrivals(&link, &mut rng, Time::ZERO).is_empty()).count();
        assert!((1_800..2_200).contains(&lost), "{lost}");
    }

    #[test]
    fn a_stream_keeps_its_order() {
        let mut rng = Rng::new(2);
        let (mut last, mut before) = (Time::ZERO, Time::ZERO);
        for i in 0..1_000 {
            let at = stream_arrival(&Link::BAD, &mut rng, Time::from_millis(i), &mut last);
            assert!(at >= before);
            before = at;
        }
    }
}
