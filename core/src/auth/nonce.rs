//! Digest nonces that need no memory until an answer has verified (RFC 7616 s3.3, s5.4; RFC 3261 s26.3.2.4).
//!
//! A nonce is the time of its making, the epoch of this start, a draw, and a MAC over them (and the source address, if
//! the configuration binds them). So a challenge leaves nothing behind, and an answer proves by its nonce alone that it
//! was made here, when, and in which life of the server.
//!
//! The MAC is SipHash-2-4 with 128 bits. It was designed as a MAC, a pseudorandom function of its secret key: whoever has
//! seen any number of nonces can forge another only by guessing 128 bits, and one guess costs a request. So short a message
//! takes a fourth of the time of HMAC-SHA-256.
//!
//! What is remembered is which counts (`nc`) of a nonce were used, and only once the response has verified: nobody
//! without a password can fill the table. The table is bounded; a record that goes takes a low-water mark with it, below
//! which every nonce is stale. A nonce without a record was therefore never used.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use subtle::ConstantTimeEq;

use crate::base::{HashKey, IdKind, Ids, Time, ids, text};

const TIME: usize = 6;
const EPOCH: usize = 4;
const DRAW: usize = 7;
const PLAIN: usize = TIME + EPOCH + DRAW;
const MAC: usize = 16;
const BYTES: usize = PLAIN + MAC;
// A whole number of base64 quads: each nonce has exactly one text.
const TEXT: usize = 1 + BYTES / 3 * 4;

/// A nonce as it stands on the wire: the shard, then base64url.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NonceText([u8; TEXT]);

impl NonceText {
    /// As bytes, without quotes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Names a nonce in the table: when it was made, in milliseconds, and its draw. Ordered by age.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) struct NonceKey {
    issued: u64,
    draw: u64,
}

/// What a nonce turns out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Nonce {
    /// Ours, and young enough.
    Fresh {
        /// Its name in the table.
        key: NonceKey,
        /// How old it is.
        age: Duration,
    },
    /// Ours, but past its life, of an earlier start, or below the low-water mark.
    Stale,
    /// Not ours.
    Forged,
}

/// What became of a count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Count {
    /// Used for the first time.
    Accepted,
    /// Used before, or too far behind the highest one to tell.
    Replayed,
}

/// Mints nonces, knows its own, and remembers their counts.
#[derive(Clone, Debug)]
pub(crate) struct Nonces {
    key: HashKey,
    epoch: u32,
    used: BTreeMap<NonceKey, Window>,
    low_water: Option<NonceKey>,
}

impl Nonces {
    /// With a key, and the number of this start.
    pub(crate) fn new(key: HashKey, epoch: u32) -> Nonces {
        Nonces { key, epoch, used: BTreeMap::new(), low_water: None }
    }

    /// Takes over a new key and epoch and keeps what is remembered.
    pub(crate) fn rekey(&mut self, key: HashKey, epoch: u32) {
        self.key = key;
        self.epoch = epoch;
    }

    /// A new nonce.
    pub(crate) fn mint(&self, ids: &mut Ids, now: Time, source: Option<IpAddr>) -> NonceText {
        let mut bytes = [0; BYTES];
        let (plain, mac) = bytes.split_at_mut(PLAIN);
        let (time, rest) = plain.split_at_mut(TIME);
        let (epoch, draw) = rest.split_at_mut(EPOCH);
        copy_tail(time, now.as_millis());
        copy_tail(epoch, u64::from(self.epoch));
        copy_tail(draw, ids.next(IdKind::Nonce));
        mac.copy_from_slice(&self.mac(plain, source).to_le_bytes());
        let mut text = [ids::SHARD; TEXT];
        let _ = text::base64url(&bytes, &mut text[1..]);
        NonceText(text)
    }

    /// What the nonce of an answer is. Costs one MAC whatever the answer.
    pub(crate) fn verify(
        &self,
        now: Time,
        nonce: &[u8],
        source: Option<IpAddr>,
        lifetime: Duration,
    ) -> Nonce {
        let mut bytes = [0; BYTES];
        let Some((&ids::SHARD, encoded)) = nonce.split_first() else { return Nonce::Forged };
        if text::unbase64url(encoded, &mut bytes).map(|b| b.len()) != Some(BYTES) {
            return Nonce::Forged;
        }
        let (plain, mac) = bytes.split_at(PLAIN);
        let Some((mac, _)) = mac.split_first_chunk() else { return Nonce::Forged };
        let differ = u128::from_le_bytes(*mac) ^ self.mac(plain, source);
        if !bool::from((differ as u64 | (differ >> 64) as u64).ct_eq(&0)) {
            return Nonce::Forged;
        }
        let (time, rest) = plain.split_at(TIME);
        let (epoch, draw) = rest.split_at(EPOCH);
        let key = NonceKey { issued: number(time), draw: number(draw) };
        let made = Time::from_millis(key.issued);
        // A nonce from the future is one of a start whose clock was ahead.
        let alive = number(epoch) == u64::from(self.epoch) && made <= now && now.since(made) < lifetime;
        if alive && self.low_water.is_none_or(|low| low < key) {
            Nonce::Fresh { key, age: now.since(made) }
        } else {
            Nonce::Stale
        }
    }

    /// Notes that a count was used with a verified response. At most `limit` nonces are remembered: past it the oldest
    /// goes, and every nonce made before it is stale from then on.
    pub(crate) fn record(&mut self, key: NonceKey, count: u32, limit: usize) -> Count {
        let window = self.used.entry(key).or_default();
        let outcome = window.take(count);
        while self.used.len() > limit {
            self.forget_oldest();
        }
        outcome
    }

    /// Forgets nonces that are past their life, at most so many.
    pub(crate) fn expire(&mut self, now: Time, lifetime: Duration, most: usize) {
        for _ in 0..most {
            if self.next_expiry(lifetime).is_none_or(|at| at > now) {
                break;
            }
            self.forget_oldest();
        }
    }

    /// When the oldest remembered nonce is past its life.
    pub(crate) fn next_expiry(&self, lifetime: Duration) -> Option<Time> {
        self.used.first_key_value().map(|(key, _)| Time::from_millis(key.issued) + lifetime)
    }

    /// How many nonces are remembered.
    pub(crate) fn len(&self) -> usize {
        self.used.len()
    }

    fn forget_oldest(&mut self) {
        if let Some((key, _)) = self.used.pop_first() {
            // Also when it has expired: a longer lifetime after a reload must not bring it back unused.
            self.low_water = self.low_water.max(Some(key));
        }
    }

    fn mac(&self, plain: &[u8], source: Option<IpAddr>) -> u128 {
        // The address only, not the port: a NAT may change that between challenge and answer.
        match source.map(|ip| ip.to_canonical()) {
            None => self.key.hash128(&[plain]),
            Some(IpAddr::V4(ip)) => self.key.hash128(&[plain, &ip.octets()]),
            Some(IpAddr::V6(ip)) => self.key.hash128(&[plain, &ip.octets()]),
        }
    }
}

/// The counts of one nonce: the highest used one, and which of the 64 up to it.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    top: u32,
    /// Bit 0 is `top`, bit n is `top - n`.
    seen: u64,
}

impl Window {
    const WIDTH: u32 = u64::BITS;

    /// Takes a count if it was not taken before. Counts may come out of order within the window: UDP does not keep the
    /// order, and a phone may have requests under way side by side.
    fn take(&mut self, count: u32) -> Count {
        if count > self.top {
            self.seen = self.seen.checked_shl(count - self.top).unwrap_or(0) | 1;
            self.top = count;
            return Count::Accepted;
        }
        let behind = self.top - count;
        // RFC 7616 s3.4: the first request has count 1, so that 0 was never valid.
        if behind >= Self::WIDTH || count == 0 || self.seen & (1 << behind) != 0 {
            return Count::Replayed;
        }
        self.seen |= 1 << behind;
        Count::Accepted
    }
}

fn copy_tail(out: &mut [u8], value: u64) {
    let bytes = value.to_be_bytes();
    out.copy_from_slice(&bytes[bytes.len() - out.len()..]);
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, &b| n << 8 | u64::from(b))
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const LIFETIME: Duration = Duration::from_secs(300);
    const START: Time = Time::from_secs(1_800_000_000);
    const NEAR: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    const FAR: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)));

    fn nonces(epoch: u32) -> (Nonces, Ids) {
        (Nonces::new(HashKey::new([1, 2]), epoch), Ids::new(&[7; 32]))
    }

    fn key(nonces: &Nonces, now: Time, text: NonceText) -> NonceKey {
        match nonces.verify(now, text.as_bytes(), None, LIFETIME) {
            Nonce::Fresh { key, .. } => key,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_nonce_is_fresh_until_its_lifetime_and_stale_after() {
        let (nonces, mut ids) = nonces(1);
        let text = nonces.mint(&mut ids, START, None);
        let at = |t| nonces.verify(t, text.as_bytes(), None, LIFETIME);
        assert!(matches!(at(START), Nonce::Fresh { age: Duration::ZERO, .. }));
        assert!(matches!(at(START + Duration::from_millis(299_999)), Nonce::Fresh { .. }));
        assert_eq!(at(START + LIFETIME), Nonce::Stale);
        assert_eq!(at(START - Duration::from_secs(1)), Nonce::Stale);
    }

    #[test]
    fn no_two_nonces_are_alike_even_in_one_millisecond() {
        let (nonces, mut ids) = nonces(1);
        let a = nonces.mint(&mut ids, START, None);
        let b = nonces.mint(&mut ids, START, None);
        assert_ne!(a, b);
        assert_ne!(key(&nonces, START, a), key(&nonces, START, b));
    }

    #[test]
    fn a_nonce_of_an_earlier_start_is_stale_and_one_under_another_key_is_forged() {
        let (before, mut ids) = nonces(1);
        let text = before.mint(&mut ids, START, None);
        let (after, _) = nonces(2);
        assert_eq!(after.verify(START, text.as_bytes(), None, LIFETIME), Nonce::Stale);
        let other = Nonces::new(HashKey::new([1, 3]), 1);
        assert_eq!(other.verify(START, text.as_bytes(), None, LIFETIME), Nonce::Forged);
    }

    #[test]
    fn every_changed_character_makes_it_forged() {
        let (nonces, mut ids) = nonces(1);
        let good = nonces.mint(&mut ids, START, None);
        for i in 0..TEXT {
            let mut bad = good;
            bad.0[i] = if bad.0[i] == b'A' { b'B' } else { b'A' };
            assert_eq!(nonces.verify(START, bad.as_bytes(), None, LIFETIME), Nonce::Forged, "character {i}");
        }
        for bad in [&b""[..], b"0", &good.0[1..], &good.0[..TEXT - 1], &[0xff; TEXT], &[b'0'; 4 * TEXT]] {
            assert_eq!(nonces.verify(START, bad, None, LIFETIME), Nonce::Forged);
        }
    }

    #[test]
    fn a_bound_nonce_is_good_from_its_source_only() {
        let (nonces, mut ids) = nonces(1);
        let text = nonces.mint(&mut ids, START, NEAR);
        assert!(matches!(nonces.verify(START, text.as_bytes(), NEAR, LIFETIME), Nonce::Fresh { .. }));
        assert_eq!(nonces.verify(START, text.as_bytes(), FAR, LIFETIME), Nonce::Forged);
        let mapped = Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped();
        assert!(matches!(
            nonces.verify(START, text.as_bytes(), Some(mapped.into()), LIFETIME),
            Nonce::Fresh { .. }
        ));
    }

    #[test]
    fn a_count_is_good_once_also_out_of_order() {
        let (mut nonces, mut ids) = nonces(1);
        let key = key(&nonces, START, nonces.mint(&mut ids, START, None));
        let mut take = |count| nonces.record(key, count, 10);
        assert_eq!(
            [take(1), take(1), take(4), take(3), take(3), take(2), take(4)].map(|c| c == Count::Accepted),
            [true, false, true, true, false, true, false]
        );
        assert_eq!(take(0), Count::Replayed);
        assert_eq!(take(u32::MAX), Count::Accepted);
        assert_eq!(take(u32::MAX - 63), Count::Accepted);
        assert_eq!(take(u32::MAX - 64), Count::Replayed);
        assert_eq!(take(5), Count::Replayed);
    }

    #[test]
    fn an_evicted_record_makes_all_older_nonces_stale_and_so_cannot_be_replayed() {
        let (mut nonces, mut ids) = nonces(1);
        let mint =
            |nonces: &Nonces, ids: &mut Ids, ms| nonces.mint(ids, START + Duration::from_millis(ms), None);
        let texts = [0, 1, 2, 3].map(|ms| mint(&nonces, &mut ids, ms));
        let now = START + Duration::from_secs(1);
        let keys = texts.map(|t| key(&nonces, now, t));
        assert_eq!(nonces.record(keys[1], 1, 2), Count::Accepted);
        assert_eq!(nonces.record(keys[3], 1, 2), Count::Accepted);
        assert_eq!(nonces.record(keys[2], 1, 2), Count::Accepted);
        assert_eq!(nonces.len(), 2);
        let fresh = texts.map(|t| nonces.verify(now, t.as_bytes(), None, LIFETIME) != Nonce::Stale);
        assert_eq!(fresh, [false, false, true, true]);
    }

    #[test]
    fn without_room_each_nonce_is_good_once() {
        let (mut nonces, mut ids) = nonces(1);
        let text = nonces.mint(&mut ids, START, None);
        let key = key(&nonces, START, text);
        assert_eq!(nonces.record(key, 1, 0), Count::Accepted);
        assert_eq!(nonces.len(), 0);
        assert_eq!(nonces.verify(START, text.as_bytes(), None, LIFETIME), Nonce::Stale);
    }

    #[test]
    fn the_table_is_empty_after_the_last_lifetime_and_nothing_comes_back() {
        let (mut nonces, mut ids) = nonces(1);
        let text = nonces.mint(&mut ids, START, None);
        nonces.record(key(&nonces, START, text), 1, 10);
        assert_eq!(nonces.next_expiry(LIFETIME), Some(START + LIFETIME));
        nonces.expire(START + LIFETIME - Duration::from_nanos(1), LIFETIME, 9);
        assert_eq!(nonces.len(), 1);
        nonces.expire(START + LIFETIME, LIFETIME, 9);
        assert_eq!((nonces.len(), nonces.next_expiry(LIFETIME)), (0, None));
        assert_eq!(nonces.verify(START + LIFETIME, text.as_bytes(), None, LIFETIME * 10), Nonce::Stale);
    }

    proptest! {
        #[test]
        fn the_window_is_a_set_that_forgets_only_what_is_far_behind(
            counts in prop::collection::vec(prop_oneof![0u32..200, any::<u32>(), (u32::MAX - 100)..=u32::MAX], 1..200),
        ) {
            let mut window = Window::default();
            let mut used = BTreeSet::new();
            for count in counts {
                let top = used.last().copied().unwrap_or(0);
                let far_behind = count < top && top - count >= 64;
                let expected = count > 0 && !far_behind && !used.contains(&count);
                prop_assert_eq!(window.take(count) == Count::Accepted, expected);
                if expected {
                    used.insert(count);
                }
            }
        }
    }
}
