//! Who may connect: a limit per source, and one in total at which accepting pauses.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Counts connections per source and in total. Cheap to clone; all clones count together.
///
/// A source is an IPv4 address, or the /64 network of an IPv6 address: one customer, one source.
#[derive(Clone, Debug)]
pub struct Admission {
    seats: Arc<Mutex<Seats>>,
    total: usize,
    per_source: usize,
}

#[derive(Debug, Default)]
struct Seats {
    taken: usize,
    // Keyed by peers' addresses: the standard map's hasher is randomly keyed.
    by_source: HashMap<IpAddr, u32>,
    turned_away: u64,
    /// Acceptors that pause; a few.
    paused: Vec<Waker>,
}

/// A connection that was let in. Dropping it frees the seat.
#[derive(Debug)]
pub struct Seat {
    admission: Admission,
    source: IpAddr,
}

/// Why a connection was not let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The source has as many as it may.
    Source,
    /// There are as many as there may be; pause accepting.
    Total,
}

impl Admission {
    /// At most `total` connections, `per_source` of them from one source.
    pub fn new(total: usize, per_source: usize) -> Admission {
        Admission { seats: Arc::default(), total, per_source }
    }

    /// Lets a connection in, or says why not.
    pub fn admit(&self, addr: IpAddr) -> Result<Seat, Refused> {
        let source = source_of(addr);
        let mut seats = self.lock();
        if seats.taken >= self.total {
            seats.turned_away += 1;
            return Err(Refused::Total);
        }
        let count = seats.by_source.entry(source).or_insert(0);
        if *count as usize >= self.per_source {
            seats.turned_away += 1;
            return Err(Refused::Source);
        }
        *count += 1;
        seats.taken += 1;
        Ok(Seat { admission: self.clone(), source })
    }

    /// True when accepting should pause.
    pub fn is_full(&self) -> bool {
        self.taken() >= self.total
    }

    /// Ready when accepting need not pause.
    pub fn poll_free(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut seats = self.lock();
        if seats.taken < self.total {
            return Poll::Ready(());
        }
        if !seats.paused.iter().any(|waker| waker.will_wake(cx.waker())) {
            seats.paused.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Waits while accepting should pause.
    pub async fn free(&self) {
        poll_fn(|cx| self.poll_free(cx)).await;
    }

    /// How many were not let in.
    pub fn turned_away(&self) -> u64 {
        self.lock().turned_away
    }

    /// Connections now.
    pub fn taken(&self) -> usize {
        self.lock().taken
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        // The counts are changed in one step each: a panic elsewhere leaves them true.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let paused = {
            let mut seats = self.admission.lock();
            seats.taken -= 1;
            if let Some(count) = seats.by_source.get_mut(&self.source) {
                *count -= 1;
                if *count == 0 {
                    seats.by_source.remove(&self.source);
                }
            }
            std::mem::take(&mut seats.paused)
        };
        for waker in paused {
            waker.wake();
        }
    }
}

fn source_of(addr: IpAddr) -> IpAddr {
    match addr.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_source_is_stopped_at_its_limit_and_others_are_not() {
        let admission = Admission::new(10, 2);
        let _a = admission.admit(ip("192.0.2.1")).expect("first");
        let b = admission.admit(ip("::ffff:192.0.2.1")).expect("second, v4-mapped");
        assert_eq!(admission.admit(ip("192.0.2.1")).err(), Some(Refused::Source));
        let _other = admission.admit(ip("192.0.2.2")).expect("another source");
        drop(b);
        assert!(admission.admit(ip("192.0.2.1")).is_ok());
    }

    #[test]
    fn one_ipv6_network_is_one_source() {
        let admission = Admission::new(10, 1);
        let _a = admission.admit(ip("2001:db8::1")).expect("first");
        assert_eq!(admission.admit(ip("2001:db8::2")).err(), Some(Refused::Source));
        assert!(admission.admit(ip("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn accepting_pauses_at_the_total_and_nothing_is_left_behind() {
        let admission = Admission::new(1, 1);
        let seat = admission.admit(ip("192.0.2.1")).expect("first");
        assert!(admission.is_full());
        assert_eq!(admission.admit(ip("192.0.2.2")).err(), Some(Refused::Total));
        assert!(admission.poll_free(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(seat);
        assert!(admission.poll_free(&mut Context::from_waker(Waker::noop())).is_ready());
        assert_eq!(admission.turned_away(), 1);
        assert_eq!(admission.taken(), 0);
        assert!(admission.lock().by_source.is_empty());
    }
}
