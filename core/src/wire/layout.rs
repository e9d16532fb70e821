//! Where the parts of a message lie: a table of spans, on the spot while the lines are few. RFC 3261 s7.

use core::fmt;
use core::ops::Deref;

use super::Header;
use super::scan::{self, Start};

/// What [`parse`](super::parse) accepts at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Bytes of head and body together. At most 65,535, whatever is written here.
    pub message_bytes: usize,
    /// Header lines.
    pub headers: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { message_bytes: usize::from(u16::MAX), headers: 200 }
    }
}

/// Where the parts of a message lie. One can be used for many messages, one after the other.
#[derive(Clone)]
pub struct Layout {
    pub(super) entries: Entries,
    // By header: the number of its first line, counted from one; 0 for none.
    pub(super) first: [u16; Header::COUNT],
    // A bit by header: it has more than one line.
    pub(super) repeated: u128,
    pub(super) start: Start,
    // Behind the start line, behind the empty line, behind the body.
    pub(super) head: u16,
    pub(super) body: u16,
    pub(super) end: u16,
}

#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) start: u16,
    pub(super) name_end: u16,
    pub(super) value_start: u16,
    pub(super) value_end: u16,
    pub(super) end: u16,
    pub(super) header: Header,
    pub(super) plain: bool,
}

/// The header lines of a message: on the spot while they are few, else on the heap.
#[derive(Clone)]
pub(super) struct Entries {
    pub(super) len: usize,
    few: [Entry; FEW],
    many: Vec<Entry>,
}

impl Entry {
    #[inline(always)]
    fn new(start: usize, end: usize, plain: bool, field: &scan::Field) -> Entry {
        Entry {
            start: start as u16,
            name_end: field.name_end as u16,
            value_start: field.value_start as u16,
            value_end: field.value_end as u16,
            end: end as u16,
            header: field.header,
            plain,
        }
    }
}

// All zero, so that a table of them is cheap to make.
const NO_ENTRY: Entry = Entry {
    start: 0,
    name_end: 0,
    value_start: 0,
    value_end: 0,
    end: 0,
    header: Header::Accept,
    plain: false,
};

/// How many header lines fit without the heap.
pub(super) const FEW: usize = 48;

const _: () = assert!(Header::COUNT <= u128::BITS as usize, "a header is a bit of `Layout::repeated`");

impl Entries {
    #[inline(always)]
    fn new() -> Entries {
        Entries { len: 0, few: [NO_ENTRY; FEW], many: Vec::new() }
    }

    fn push(&mut self, entry: Entry) {
        match self.few.get_mut(self.len) {
            Some(slot) => *slot = entry,
            None => {
                if self.many.is_empty() {
                    self.many.extend_from_slice(&self.few);
                }
                self.many.push(entry);
            }
        }
        self.len += 1;
    }

    /// One that was pushed: the first ones stay on the spot.
    #[inline(always)]
    pub(super) fn at(&self, index: usize) -> Option<&Entry> {
        match self.few.get(index) {
            Some(entry) => Some(entry),
            None => self.many.get(index),
        }
    }

    fn clear(&mut self) {
        self.len = 0;
        self.many = Vec::new();
    }
}

impl Deref for Entries {
    type Target = [Entry];
    #[inline(always)]
    fn deref(&self) -> &[Entry] {
        self.few.get(..self.len).unwrap_or(&self.many)
    }
}

impl Layout {
    /// An empty one.
    #[inline]
    pub fn new() -> Layout {
        Layout {
            entries: Entries::new(),
            first: [0; Header::COUNT],
            repeated: 0,
            start: Start::Response { status: 0, reason_start: 0, reason_end: 0 },
            head: 0,
            body: 0,
            end: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        if self.entries.len > 0 {
            self.entries.clear();
            self.first = [0; Header::COUNT];
            self.repeated = 0;
        }
        (self.head, self.body, self.end) = (0, 0, 0);
    }

    /// Adds a header line; false, and nothing is done, if its header stands already and may stand once.
    pub(super) fn push(&mut self, start: usize, end: usize, plain: bool, field: &scan::Field) -> bool {
        let fits = self.note(field.header);
        if fits {
            self.entries.push(Entry::new(start, end, plain, field));
        }
        fits
    }

    /// Like `push` for a plain line, while there is room: at most that on the spot; false says only that nothing was done.
    #[inline(always)]
    pub(super) fn push_plain(&mut self, start: usize, end: usize, field: &scan::Field, room: usize) -> bool {
        if self.entries.len >= room || !self.note(field.header) {
            return false;
        }
        let Some(slot) = self.entries.few.get_mut(self.entries.len) else { return false };
        *slot = Entry::new(start, end, true, field);
        self.entries.len += 1;
        true
    }

    /// Keeps where the first line of a header is and that there are more; false if there may be but one.
    #[inline(always)]
    fn note(&mut self, header: Header) -> bool {
        let Some(first) = self.first.get_mut(header as usize) else { return false };
        if *first == 0 {
            *first = self.entries.len as u16 + 1;
        } else if header.is_single() {
            return false;
        } else {
            self.repeated |= 1 << header as u32;
        }
        true
    }
}

impl Default for Layout {
    fn default() -> Layout {
        Layout::new()
    }
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layout")
            .field("lines", &self.entries.len())
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
