//! The timer wheel: a tick of one millisecond, three levels of 64 slots for the next four minutes, blocks of four
//! seconds in an ordered map for everything later.
//!
//! Deadlines are rounded up to a tick, so that a timer is never early and at most one tick late. Timers come out in the
//! order of (tick, insertion). Arming, disarming and popping are O(1) within the wheel and O(log of the blocks in use)
//! beyond it. A timer moves at most twice in its life, together with those due in the same four seconds: no more than
//! that is ever moved at once, at whatever distance timers were armed. A jump of the clock by years opens only blocks
//! that hold timers.
//!
//! Invariants:
//! - The level of a timer is the highest group of six bits in which its tick differs from the wheel's `position`, its
//!   slot is that group of its tick; beyond the third group it is in the block of its tick. So all timers of one tick
//!   are always in one list, in the order of insertion, and any timer of a lower level is earlier than any of a higher
//!   one.
//! - `position` never passes a timer, and enters the span of a slot only after the slot has been emptied downwards.
//! - A block and a slot of the third level span the same ticks, so that a block becomes a slot without a look at its
//!   timers.
//! - A disarmed timer leaves its list and its place at once; its key is dead from then on.

use core::fmt;
use std::collections::BTreeMap;

use super::Time;

/// Capacity kept when the wheel becomes empty; more than that is given back.
const FLOOR: usize = 64;
const LEVELS: usize = 3;
const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
const SLOT_MASK: u64 = SLOTS as u64 - 1;
/// Ticks of a block, and of a slot of the last level, as bits.
const BLOCK_BITS: u32 = BITS * 2;
/// Ticks of the whole wheel, as bits.
const WHEEL_BITS: u32 = BITS * 3;
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
    /// Timers beyond the wheel by their tick without its last twelve bits.
    blocks: BTreeMap<u64, Slot>,
    entries: Vec<Entry<T>>,
    free: u32,
    len: u32,
    generation: u32,
}

/// A list of timers.
#[derive(Clone, Copy)]
struct Slot {
    head: u32,
    tail: u32,
    /// No timer in the list is before this tick, and one was at it. Not kept on level 0.
    min: u64,
}

const EMPTY: Slot = Slot { head: NIL, tail: NIL, min: u64::MAX };

/// Where a list is.
#[derive(Clone, Copy)]
enum Place {
    Slot(usize, usize),
    Block(u64),
}

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
            blocks: BTreeMap::new(),
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
        let place = self.place(tick);
        let slot = match place {
            Place::Slot(level, at) => &mut self.slots[level][at],
            Place::Block(block) => {
                self.blocks.get_mut(&block).expect("invariant: an armed timer is in its block")
            }
        };
        match prev {
            NIL => slot.head = next,
            _ => self.entries[prev as usize].next = next,
        }
        match next {
            NIL => slot.tail = prev,
            _ => self.entries[next as usize].prev = prev,
        }
        if slot.head == NIL {
            match place {
                Place::Slot(level, at) => self.vacate(level, at),
                Place::Block(block) => forget(&mut self.blocks, block),
            }
        }
        self.release(key.index);
        Some(value)
    }

    /// The deadline of an armed timer, rounded up to its tick.
    pub fn deadline(&self, key: TimerKey) -> Option<Time> {
        let entry = self.entries.get(key.index as usize)?;
        (entry.generation == key.generation && key.generation != 0).then(|| Time::from_millis(entry.tick))
    }

    /// When to look again: the tick of the earliest timer, or of one that was disarmed and would have come before it.
    ///
    /// To look at such a tick in vain puts the wheel right, and happens at most once per level. To know the earliest
    /// timer exactly after each disarming would cost a walk over all timers of its slot.
    pub fn next_deadline(&self) -> Option<Time> {
        let tick = match self.first() {
            Some((0, at)) => self.position & !SLOT_MASK | at as u64,
            Some((level, at)) => self.slots[level][at].min,
            None => self.blocks.first_key_value()?.1.min,
        };
        Some(Time::from_millis(tick))
    }

    /// Takes out the first timer that is due at `now`, with its deadline rounded up to its tick. To be called until it
    /// returns `None`, or as often as the caller has time for.
    pub fn pop(&mut self, now: Time) -> Option<(Time, T)> {
        // The last tick is beyond `Time::MAX` by a fraction: it is due there.
        let now = if now == Time::MAX { u64::MAX.div_ceil(NANOS) } else { now.as_millis() };
        loop {
            match self.first() {
                Some((0, at)) => {
                    let tick = self.position & !SLOT_MASK | at as u64;
                    if tick > now {
                        break;
                    }
                    self.position = tick;
                    return Some((Time::from_millis(tick), self.take(at)));
                }
                Some((level, at)) => {
                    let shift = BITS * level as u32;
                    let start = (self.position >> shift & !SLOT_MASK | at as u64) << shift;
                    if start > now {
                        break;
                    }
                    self.open(level, at, start);
                }
                None => {
                    let Some((block, _)) = self.blocks.first_key_value() else { break };
                    let start = block << BLOCK_BITS >> WHEEL_BITS << WHEEL_BITS;
                    if start > now {
                        break;
                    }
                    self.enter(start);
                }
            }
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

    /// The list of a tick, which is not before the position.
    #[inline]
    fn place(&self, tick: u64) -> Place {
        let differ = self.position ^ tick;
        let level = match differ {
            _ if differ >> BITS == 0 => 0,
            _ if differ >> BLOCK_BITS == 0 => 1,
            _ if differ >> WHEEL_BITS == 0 => 2,
            _ => return Place::Block(tick >> BLOCK_BITS),
        };
        Place::Slot(level, (tick >> (BITS * level as u32) & SLOT_MASK) as usize)
    }

    /// The slot of the earliest timers, unless they are all beyond the wheel.
    #[inline]
    fn first(&self) -> Option<(usize, usize)> {
        let level = self.levels.trailing_zeros() as usize;
        let bits = self.occupied.get(level)?;
        Some((level, bits.trailing_zeros() as usize & (SLOTS - 1)))
    }

    /// Appends an entry to the list of its tick.
    #[inline]
    fn link(&mut self, index: u32, tick: u64) {
        let list = match self.place(tick) {
            Place::Slot(level, at) => {
                self.occupied[level] |= 1 << at;
                self.levels |= 1 << level;
                &mut self.slots[level][at]
            }
            Place::Block(block) => beyond(&mut self.blocks, block),
        };
        list.min = list.min.min(tick);
        let tail = core::mem::replace(&mut list.tail, index);
        match tail {
            NIL => list.head = index,
            _ => self.entries[tail as usize].next = index,
        }
        let entry = &mut self.entries[index as usize];
        entry.prev = tail;
        entry.next = NIL;
    }

    /// Takes the first entry out of a slot of level 0.
    fn take(&mut self, at: usize) -> T {
        let slot = &mut self.slots[0][at];
        let index = slot.head;
        let Entry { value, next, .. } = self.entries[index as usize];
        slot.head = next;
        match next {
            NIL => self.vacate(0, at),
            _ => self.entries[next as usize].prev = NIL,
        }
        self.release(index);
        value
    }

    /// Moves the position to the start of a slot, and the timers of the slot down, in their order.
    fn open(&mut self, level: usize, at: usize, start: u64) {
        let mut index = self.slots[level][at].head;
        self.vacate(level, at);
        self.position = start;
        while let Some(&Entry { tick, next, .. }) = self.entries.get(index as usize) {
            self.link(index, tick);
            index = next;
        }
    }

    /// Moves the position, and with it the empty wheel, to the start of a span that has blocks; they become slots.
    fn enter(&mut self, start: u64) {
        self.position = start;
        while let Some(block) = self.blocks.first_entry()
            && block.key() << BLOCK_BITS >> WHEEL_BITS == start >> WHEEL_BITS
        {
            let (key, list) = block.remove_entry();
            let at = (key & SLOT_MASK) as usize;
            self.slots[LEVELS - 1][at] = list;
            self.occupied[LEVELS - 1] |= 1 << at;
            self.levels |= 1 << (LEVELS - 1);
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
}

/// The list of a block. Apart, so that the usual way through [`Wheel::link`] stays short.
#[inline(never)]
fn beyond(blocks: &mut BTreeMap<u64, Slot>, block: u64) -> &mut Slot {
    blocks.entry(block).or_insert(EMPTY)
}

#[inline(never)]
fn forget(blocks: &mut BTreeMap<u64, Slot>, block: u64) {
    blocks.remove(&block);
}

impl<T: Copy> fmt::Debug for Wheel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wheel").field("len", &self.len).field("next", &self.next_deadline()).finish()
    }
}

#[cfg(test)]
mod tests;
