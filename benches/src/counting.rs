//! An allocator that counts, per thread, so that tests of one process do not count for each other.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator with a count of calls and of bytes in use. Install it with `#[global_allocator]`.
#[derive(Clone, Copy, Debug)]
pub struct Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

/// What this thread has allocated so far. Two of them make a difference by [`Count::since`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Count {
    /// Calls of `alloc` and `realloc`.
    pub calls: u64,
    /// Bytes allocated and not yet freed by this thread, as the allocator rounds them.
    pub live: i64,
}

impl Count {
    /// The state of this thread now.
    pub fn now() -> Count {
        Count { calls: CALLS.get(), live: LIVE.get() }
    }

    /// What came to it since an earlier one.
    pub fn since(self, earlier: Count) -> Count {
        Count { calls: self.calls - earlier.calls, live: self.live - earlier.live }
    }
}

/// What a block really takes: glibc adds a word and rounds up to 16, at least 32 bytes.
fn rounded(size: usize) -> i64 {
    ((size + 8 + 15) & !15).max(32) as i64
}

fn note(calls: u64, bytes: i64) {
    // A thread that is ending frees what its destructors hold; nobody looks at its counts any more.
    let _ = CALLS.try_with(|c| c.set(c.get() + calls));
    let _ = LIVE.try_with(|l| l.set(l.get() + bytes));
}

// SAFETY: every call is passed on to the system's allocator unchanged; the counters allocate nothing.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, rounded(layout.size()));
        // SAFETY: the caller's promises are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(1, rounded(layout.size()));
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(1, rounded(size) - rounded(layout.size()));
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        note(0, -rounded(layout.size()));
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}
