//! The intervals of timers A to M from T1, T2 and T4. RFC 3261 s17 and its table 4, RFC 6026 s7, RFC 4320 s4.1.

use core::time::Duration;

use crate::config::Timers;

/// Intervals for one transaction: what its transport makes of T1, T2 and T4.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    t1: Duration,
    t2: Duration,
    t4: Duration,
    reliable: bool,
}

impl Timing {
    pub(super) fn new(timers: &Timers, reliable: bool) -> Timing {
        let &Timers { t1, t2, t4 } = timers;
        Timing { t1, t2, t4, reliable }
    }

    /// A: the INVITE goes out again, after `sent` repetitions. `None` on reliable transports.
    pub(super) fn a(self, sent: u8) -> Option<Duration> {
        (!self.reliable).then(|| self.doubled(sent))
    }

    /// B: nobody answers the INVITE.
    pub(super) fn b(self) -> Duration {
        self.t1 * 64
    }

    /// C: it was answered provisionally and nothing final comes. RFC 3261 s16.6 step 11: larger than three minutes.
    pub(super) fn c(self) -> Duration {
        Duration::from_secs(181)
    }

    /// D: retransmissions of a non-2xx final response are over.
    pub(super) fn d(self) -> Duration {
        // RFC 3261 s17.1.1.2: at least 32 s, since the T1 of the other side is not known.
        self.unless_reliable((self.t1 * 64).max(Duration::from_secs(32)))
    }

    /// E: the request goes out again, after `sent` repetitions. `None` on reliable transports.
    pub(super) fn e(self, sent: u8) -> Option<Duration> {
        (!self.reliable).then(|| self.doubled(sent).min(self.t2))
    }

    /// E in Proceeding.
    pub(super) fn e_proceeding(self) -> Option<Duration> {
        (!self.reliable).then_some(self.t2)
    }

    /// F: nobody answers the request.
    pub(super) fn f(self) -> Duration {
        self.t1 * 64
    }

    /// By how much a request that is relayed is given up before its sender gives up (DECISIONS 17).
    pub(super) fn relay_lead(self) -> Duration {
        self.t1 * 8
    }

    /// G: the final response to an INVITE goes out again, after `sent` repetitions. `None` on reliable transports.
    pub(super) fn g(self, sent: u8) -> Option<Duration> {
        self.e(sent)
    }

    /// H: no ACK came.
    pub(super) fn h(self) -> Duration {
        self.t1 * 64
    }

    /// I: retransmissions of the ACK are over.
    pub(super) fn i(self) -> Duration {
        self.unless_reliable(self.t4)
    }

    /// J: retransmissions of the request are over.
    pub(super) fn j(self) -> Duration {
        self.unless_reliable(self.t1 * 64)
    }

    /// K: retransmissions of the response are over.
    pub(super) fn k(self) -> Duration {
        self.unless_reliable(self.t4)
    }

    /// L: retransmissions of an accepted INVITE are over.
    pub(super) fn l(self) -> Duration {
        self.t1 * 64
    }

    /// M: further 2xx are over.
    pub(super) fn m(self) -> Duration {
        self.t1 * 64
    }

    /// RFC 3261 s17.2.1: an INVITE that gets no response within this time gets 100.
    pub(super) fn trying_invite(self) -> Duration {
        Duration::from_millis(200)
    }

    /// RFC 4320 s4.1: any other request gets 100 no earlier, on unreliable transports, and no later than the moment
    /// its client's Timer E is reset to T2.
    pub(super) fn trying_other(self) -> Duration {
        let mut at = Duration::ZERO;
        let mut interval = self.t1;
        while interval < self.t2 && !interval.is_zero() {
            at += interval;
            interval *= 2;
        }
        at
    }

    fn doubled(self, times: u8) -> Duration {
        self.t1 * (1 << times.min(16))
    }

    fn unless_reliable(self, duration: Duration) -> Duration {
        if self.reliable { Duration::ZERO } else { duration }
    }
}
