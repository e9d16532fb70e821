//! The timer wheel: eight levels of 64 slots, a tick of one millisecond, which span every [`Time`].
//!
//! Deadlines are rounded up to a tick, so that a timer is never early and at most one tick late. Timers come out in the
//! order of (tick, insertion). Arming, disarming and popping are O(1) (a timer moves down at most seven times in its
//! life); a jump of the clock by years opens only slots that hold timers.
//!
//! Invariants:
//! - The level of a timer is the highest group of six bits in which its tick differs from the wheel's `position`, its
//!   slot is that group of its tick. So all timers of one tick are always in one slot, in the order of insertion, and
//!   any timer of a lower level is earlier than any of a higher one.
//! - `position` never passes a timer, and enters the span of a slot only after the slot has been emptied downwards.
//! - A disarmed timer leaves its list and its place at once; its key is dead from then on.

use core::fmt;

use super::Time;

/// Capacity kept when the wheel becomes empty; more than that is given back.
const FLOOR: usize = 64;
const LEVELS: usize = 8;
const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
/// End of a list.
const NIL: u32 = u32::MAX;
const NANOS: u64 = 1_000_000;

/// The name of an armed timer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerKey {
    index: u32,
    generation: u32,
}

impl TimerKey {
    /// The name of no timer.
    pub const NONE: TimerKey = TimerKey { index: NIL, generation: 0 };

    /// Is it [`NONE`](Self::NONE)?
    pub const fn is_none(self) -> bool {
        self.generation == 0
    }
}

impl Default for TimerKey {
    fn default() -> TimerKey {
        TimerKey::NONE
    }
}

impl fmt::Debug for TimerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() { f.write_str("none") } else { write!(f, "{}.{}", self.index, self.generation) }
    }
}

/// Timers that carry a small value, which says what to do.
#[derive(Clone)]
pub struct Wheel<T: Copy> {
    /// No timer is before this tick.
    position: u64,
    /// Which levels have timers.
    levels: u8,
    /// Which slots of each level have timers.
    occupied: [u64; LEVELS],
    slots: Box<[[Slot; SLOTS]; LEVELS]>,
    entries: Vec<Entry<T>>,
    free: u32,
    len: u32,
    generation: u32,
}

#[derive(Clone, Copy)]
struct Slot {
    head: u32,
    tail: u32,
    /// The first tick in the slot; `UNKNOWN` after the timer that had it was disarmed. Not kept on level 0.
    min: u64,
}

const UNKNOWN: u64 = 0;
const EMPTY: Slot = Slot { head: NIL, tail: NIL, min: u64::MAX };

#[derive(Clone, Copy)]
struct Entry<T> {
    tick: u64,
    prev: u32,
    /// In a free place: the next free one.
    next: u32,
    /// 0 in a free place.
    generation: u32,
    value: T,
}

impl<T: Copy> Wheel<T> {
    /// Empty, standing at `now`.
    pub fn new(now: Time) -> Wheel<T> {
        Wheel {
            position: now.as_millis(),
            levels: 0,
            occupied: [0; LEVELS],
            slots: Box::new([[EMPTY; SLOTS]; LEVELS]),
            entries: Vec::new(),
            free: NIL,
            len: 0,
            generation: 0,
        }
    }

    /// Arms a timer. A deadline that has passed counts as the tick where the wheel stands, which is that of the timer
    /// popped last, or `now` after [`pop`](Self::pop) has returned `None`: it is due at once, after those of its tick
    /// that are there already.
    pub fn arm(&mut self, deadline: Time, value: T) -> TimerKey {
        let tick = deadline.as_nanos().div_ceil(NANOS).max(self.position);
        self.generation = self.generation.wrapping_add(1).max(1);
        let generation = self.generation;
        let entry = Entry { tick, prev: NIL, next: NIL, generation, value };
        let index = match self.entries.get_mut(self.free as usize) {
            Some(place) => {
                let index = self.free;
                self.free = place.next;
                *place = entry;
                index
            }
            None => {
                assert!(self.entries.len() < NIL as usize, "invariant: limits keep timers far below 2^32");
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        self.len += 1;
        self.link(index, tick);
        TimerKey { index, generation }
    }

    /// Disarms a timer and returns its value; `None` if it has come out, was disarmed before, or is none.
    pub fn disarm(&mut self, key: TimerKey) -> Option<T> {
        let &Entry { generation, value, tick, prev, next } = self.entries.get(key.index as usize)?;
        if generation != key.generation || generation == 0 {
            return None;
        }
        let (level, at) = self.place(tick);
        let slot = &mut self.slots[level][at];
        match prev {
            NIL => slot.head = next,
            _ => self.entries[prev as usize].next = next,
        }
        match next {
            NIL => slot.tail = prev,
            _ => self.entries[next as usize].prev = prev,
        }
        if slot.head == NIL {
            self.vacate(level, at);
        } else if slot.min == tick {
            slot.min = UNKNOWN;
        }
        self.release(key.index);
        Some(value)
    }

    /// The deadline of an armed timer, rounded up to its tick.
    pub fn deadline(&self, key: TimerKey) -> Option<Time> {
        let entry = self.entries.get(key.index as usize)?;
        (entry.generation == key.generation && key.generation != 0).then(|| Time::from_millis(entry.tick))
    }

    /// The tick of the earliest timer, exactly.
    pub fn next_deadline(&self) -> Option<Time> {
        let (level, at) = self.first()?;
        let tick = if level == 0 {
            self.position & !(SLOTS as u64 - 1) | at as u64
        } else {
            match self.slots[level][at].min {
                UNKNOWN => self.earliest(level, at),
                min => min,
            }
        };
        Some(Time::from_millis(tick))
    }

    /// Takes out the first timer that is due at `now`, with its deadline rounded up to its tick. To be called until it
    /// returns `None`, or as often as the caller has time for.
    pub fn pop(&mut self, now: Time) -> Option<(Time, T)> {
        // The last tick is beyond `Time::MAX` by a fraction: it is due there.
        let now = if now == Time::MAX { u64::MAX.div_ceil(NANOS) } else { now.as_millis() };
        while let Some((level, at)) = self.first() {
            if level == 0 {
                let tick = self.position & !(SLOTS as u64 - 1) | at as u64;
                if tick > now {
                    break;
                }
                self.position = tick;
                let slot = &mut self.slots[0][at];
                let index = slot.head;
                let Entry { value, next, .. } = self.entries[index as usize];
                slot.head = next;
                match next {
                    NIL => self.vacate(0, at),
                    _ => self.entries[next as usize].prev = NIL,
                }
                self.release(index);
                return Some((Time::from_millis(tick), value));
            }
            let shift = BITS * level as u32;
            let start = (self.position >> shift & !(SLOTS as u64 - 1) | at as u64) << shift;
            if start > now {
                if self.slots[level][at].min == UNKNOWN {
                    self.slots[level][at].min = self.earliest(level, at);
                }
                break;
            }
            self.open(level, at, start);
        }
        self.position = self.position.max(now);
        None
    }

    /// How many timers are armed.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// True without any.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Timers that memory is held for.
    pub fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    /// Level and slot of a tick, which is not before the position.
    #[inline]
    fn place(&self, tick: u64) -> (usize, usize) {
        let differ = (self.position ^ tick) | 1;
        let level = (differ.ilog2() / BITS) as usize;
        (level & (LEVELS - 1), (tick >> (BITS * level as u32)) as usize & (SLOTS - 1))
    }

    /// The slot of the earliest timers.
    #[inline]
    fn first(&self) -> Option<(usize, usize)> {
        let level = self.levels.trailing_zeros() as usize;
        let bits = self.occupied.get(level)?;
        Some((level, bits.trailing_zeros() as usize & (SLOTS - 1)))
    }

    /// Appends an entry to the list of its slot.
    #[inline]
    fn link(&mut self, index: u32, tick: u64) {
        let (level, at) = self.place(tick);
        let slot = &mut self.slots[level][at];
        slot.min = slot.min.min(tick);
        let tail = slot.tail;
        slot.tail = index;
        match tail {
            NIL => {
                slot.head = index;
                self.occupied[level] |= 1 << at;
                self.levels |= 1 << level;
            }
            _ => self.entries[tail as usize].next = index,
        }
        let entry = &mut self.entries[index as usize];
        entry.prev = tail;
        entry.next = NIL;
    }

    /// Moves the position to the start of a slot and its timers down, in their order.
    fn open(&mut self, level: usize, at: usize, start: u64) {
        let mut index = self.slots[level][at].head;
        self.vacate(level, at);
        self.position = start;
        while let Some(&Entry { tick, next, .. }) = self.entries.get(index as usize) {
            self.link(index, tick);
            index = next;
        }
    }

    fn vacate(&mut self, level: usize, at: usize) {
        self.slots[level][at] = EMPTY;
        self.occupied[level] &= !(1 << at);
        if self.occupied[level] == 0 {
            self.levels &= !(1 << level);
        }
    }

    fn release(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        entry.generation = 0;
        entry.next = self.free;
        self.free = index;
        self.len -= 1;
        if self.len == 0 && self.entries.len() > FLOOR {
            self.entries.clear();
            self.entries.shrink_to(FLOOR);
            self.free = NIL;
        }
    }

    fn earliest(&self, level: usize, at: usize) -> u64 {
        let mut index = self.slots[level][at].head;
        let mut min = u64::MAX;
        while let Some(entry) = self.entries.get(index as usize) {
            min = min.min(entry.tick);
            index = entry.next;
        }
        min
    }
}

impl<T: Copy> fmt::Debug for Wheel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wheel").field("len", &self.len).field("next", &self.next_deadline()).finish()
    }
}

#[cfg(test)]
mod tests;
