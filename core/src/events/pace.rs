//! Against storms: how many NOTIFY requests leave in a second, in all and to one host.
//!
//! - `urgent` are those that answer a SUBSCRIBE or a decision, and the last ones. They go first, but for every fourth
//!   place, which is that of a change: neither waits for ever.
//! - A change goes to the `queue`, unless its host has had its share: then it waits with the others of that host, and
//!   comes to the queue when it is its turn. One host with ten thousand watchers does not hold up the others.
//! - Who waits, waits once, and is told the newest state: nothing is lost.
//!
//! Nothing here is allocated per NOTIFY once the queues have grown, and nobody is searched for.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use super::SubscriptionKey;
use crate::base::{Key, Slab, Time, TimerKey};
use crate::ctx::{Ctx, Timer};

/// Names a host while somebody there subscribes.
pub(super) type HostKey = Key<Host>;

/// After so many urgent ones a change gets its place.
const URGENT_IN_A_ROW: u8 = 3;
/// Places given to those who wait for one host at once: the rest have theirs a moment later.
const PLACES: usize = 1_024;

/// So many in a second on the average, as many at once. As one number: the time at which it is all unused again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    unused_at: Time,
}

impl Bucket {
    /// Takes one; `Err` is when there is one again. A rate of zero has no limit.
    fn take(&mut self, now: Time, rate: u32) -> Result<(), Time> {
        let Some(each) = Duration::from_secs(1).checked_div(rate) else { return Ok(()) };
        let unused_at = self.unused_at.max(now);
        let next = unused_at + each;
        // The burst is what a second gives.
        if next > now + Duration::from_secs(1) {
            return Err(next - Duration::from_secs(1));
        }
        self.unused_at = next;
        Ok(())
    }
}

/// An address that subscriptions come from.
#[derive(Clone, Debug)]
pub(super) struct Host {
    ip: IpAddr,
    subscriptions: usize,
    bucket: Bucket,
    waiting: VecDeque<SubscriptionKey>,
    timer: TimerKey,
}

/// Who is due, in which order.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    urgent: VecDeque<SubscriptionKey>,
    queue: VecDeque<SubscriptionKey>,
    in_a_row: u8,
    bucket: Bucket,
    hosts: Slab<Host>,
    by_ip: BTreeMap<IpAddr, HostKey>,
}

impl Pace {
    /// How many subscriptions come from an address.
    pub(super) fn from(&self, ip: IpAddr) -> usize {
        self.by_ip.get(&ip).and_then(|key| self.hosts.get(*key)).map_or(0, |host| host.subscriptions)
    }

    /// One more subscription comes from an address.
    pub(super) fn enter(&mut self, ip: IpAddr) -> HostKey {
        let hosts = &mut self.hosts;
        let key = *self.by_ip.entry(ip).or_insert_with(|| {
            let (waiting, timer) = (VecDeque::new(), TimerKey::NONE);
            hosts.insert(Host { ip, subscriptions: 0, bucket: Bucket::default(), waiting, timer })
        });
        if let Some(host) = self.hosts.get_mut(key) {
            host.subscriptions += 1;
        }
        key
    }

    /// One less.
    pub(super) fn leave(&mut self, ctx: &mut Ctx<'_>, key: HostKey) {
        let Some(host) = self.hosts.get_mut(key) else { return };
        host.subscriptions -= 1;
        if host.subscriptions == 0
            && let Some(host) = self.hosts.remove(key)
        {
            ctx.timers.disarm(host.timer);
            self.by_ip.remove(&host.ip);
        }
    }

    /// Nobody has a place.
    pub(super) fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.queue.is_empty()
    }

    /// A place among the urgent.
    pub(super) fn push_urgent(&mut self, key: SubscriptionKey) {
        self.urgent.push_back(key);
    }

    /// A place for a change, now or when the host has its next share.
    pub(super) fn push(&mut self, ctx: &mut Ctx<'_>, key: SubscriptionKey, at: HostKey) {
        let rate = ctx.settings.limits.notifies_per_host;
        let Some(host) = self.hosts.get_mut(at) else { return self.queue.push_back(key) };
        if host.waiting.is_empty() {
            match host.bucket.take(ctx.now, rate) {
                Ok(()) => return self.queue.push_back(key),
                Err(next) => host.timer = ctx.timers.arm(next, Timer::HostPaced(at.to_bits())),
            }
        }
        host.waiting.push_back(key);
    }

    /// A host has its next share. `is_due` tells who of those who wait is still due.
    pub(super) fn on_share(
        &mut self,
        ctx: &mut Ctx<'_>,
        bits: u64,
        is_due: impl Fn(SubscriptionKey) -> bool,
    ) {
        let at = HostKey::from_bits(bits);
        let Some(host) = self.hosts.get_mut(at) else { return };
        host.timer = TimerKey::NONE;
        let mut next = ctx.now;
        for _ in 0..PLACES {
            let Some(&key) = host.waiting.front() else { break };
            if is_due(key) {
                if let Err(later) = host.bucket.take(ctx.now, ctx.settings.limits.notifies_per_host) {
                    next = later;
                    break;
                }
                self.queue.push_back(key);
            }
            host.waiting.pop_front();
        }
        if host.waiting.is_empty() {
            host.waiting = VecDeque::new();
        } else {
            host.timer = ctx.timers.arm(next, Timer::HostPaced(bits));
        }
    }

    /// The next one that is due. `Err` is when there may be one: `None` if nobody waits.
    pub(super) fn pop(
        &mut self,
        ctx: &Ctx<'_>,
        is_due: impl Fn(SubscriptionKey) -> bool,
    ) -> Result<SubscriptionKey, Option<Time>> {
        loop {
            let change = self.in_a_row >= URGENT_IN_A_ROW && !self.queue.is_empty() || self.urgent.is_empty();
            let from = if change { &mut self.queue } else { &mut self.urgent };
            let Some(&key) = from.front() else {
                self.urgent.shrink_to(1_024);
                self.queue.shrink_to(1_024);
                return Err(None);
            };
            if is_due(key) {
                self.bucket.take(ctx.now, ctx.settings.limits.notifies_per_second).map_err(Some)?;
                self.in_a_row = if change { 0 } else { self.in_a_row.saturating_add(1) };
                from.pop_front();
                return Ok(key);
            }
            from.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::ctx::fixture::Fixture;

    fn key(number: u64) -> SubscriptionKey {
        SubscriptionKey::from_bits(1 << 32 | number)
    }

    fn fixture(in_all: u32, per_host: u32) -> Fixture {
        let mut config = Config::new("example.com");
        (config.limits.notifies_per_second, config.limits.notifies_per_host) = (in_all, per_host);
        Fixture::with(config)
    }

    /// Everybody who gets a place within so many milliseconds, by the millisecond.
    fn run(pace: &mut Pace, fixture: &mut Fixture, span: u64) -> Vec<(u64, SubscriptionKey)> {
        let mut out = Vec::new();
        for ms in 0..span {
            while let Some(timer) = fixture.due() {
                if let Timer::HostPaced(bits) = timer {
                    pace.on_share(&mut fixture.ctx(), bits, |_| true);
                }
            }
            while let Ok(key) = pace.pop(&fixture.ctx(), |_| true) {
                out.push((ms, key));
            }
            fixture.advance(Duration::from_millis(1));
        }
        out
    }

    #[test]
    fn a_bucket_gives_a_second_at_once_and_then_one_after_the_other() {
        let mut bucket = Bucket::default();
        let now = Time::from_secs(100);
        assert_eq!((0..10).filter(|_| bucket.take(now, 10).is_ok()).count(), 10);
        let next = now + Duration::from_millis(100);
        assert_eq!(bucket.take(now, 10), Err(next));
        assert_eq!(bucket.take(next, 10), Ok(()));
        assert!(bucket.take(next, 10).is_err());
        assert!((0..1_000).all(|_| bucket.take(now, 0).is_ok()), "zero is no limit");
    }

    #[test]
    fn a_host_with_many_does_not_hold_up_another() {
        let (mut pace, mut fixture) = (Pace::default(), fixture(0, 100));
        let many = pace.enter("192.0.2.1".parse().expect("an address"));
        let one = pace.enter("192.0.2.2".parse().expect("an address"));
        for number in 0..1_000 {
            pace.push(&mut fixture.ctx(), key(number), many);
        }
        pace.push(&mut fixture.ctx(), key(9_999), one);
        let told = run(&mut pace, &mut fixture, 9_100);
        assert_eq!(told.iter().position(|(_, k)| *k == key(9_999)), Some(100));
        assert!(told[..101].iter().all(|(ms, _)| *ms == 0));
        // Everybody, once, in their order, a hundred a second.
        assert_eq!(told.len(), 1_001);
        assert!(told[101..].windows(2).all(|w| w[0].1.to_bits() < w[1].1.to_bits()));
        assert_eq!(told[101 + 99].0, 1_000);
        pace.leave(&mut fixture.ctx(), many);
        pace.leave(&mut fixture.ctx(), one);
        assert_eq!((pace.hosts.len(), fixture.timers.len()), (0, 0));
    }

    #[test]
    fn urgent_ones_go_first_and_a_change_is_not_starved_by_them() {
        let (mut pace, mut fixture) = (Pace::default(), fixture(10, 0));
        let host = pace.enter("192.0.2.1".parse().expect("an address"));
        for number in 0..5 {
            pace.push(&mut fixture.ctx(), key(number), host);
        }
        (100..120).for_each(|number| pace.push_urgent(key(number)));
        let told = run(&mut pace, &mut fixture, 3_000);
        assert_eq!(told.len(), 25);
        assert_eq!(
            told[..8].iter().map(|(_, k)| k.index()).collect::<Vec<_>>(),
            [100, 101, 102, 0, 103, 104, 105, 1]
        );
        assert_eq!((told[9].0, told[10].0, told[24].0), (0, 100, 1_500));
    }
}
