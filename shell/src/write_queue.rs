//! What waits to be written on a stream, in order, and how far the first of it is written.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

/// Most pieces handed to one vectored write.
pub const PIECES: usize = 16;

/// Bytes to write, in order.
#[derive(Debug, Default)]
pub(crate) struct WriteQueue {
    pieces: VecDeque<Bytes>,
}

impl WriteQueue {
    pub(crate) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.pieces.push_back(piece);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The first pieces, for a vectored write; how many of the slots are filled.
    pub(crate) fn fill<'q>(&'q self, slots: &mut [IoSlice<'q>; PIECES]) -> usize {
        let filled = self.pieces.len().min(PIECES);
        for (slot, piece) in slots.iter_mut().zip(&self.pieces) {
            *slot = IoSlice::new(piece);
        }
        filled
    }

    /// Takes away what was written.
    pub(crate) fn advance(&mut self, mut written: usize) {
        while let Some(first) = self.pieces.front_mut() {
            if written < first.len() {
                let _ = first.split_to(written);
                return;
            }
            written -= first.len();
            self.pieces.pop_front();
        }
        // Everything is written: a burst gives its memory back.
        self.pieces = VecDeque::new();
    }

    pub(crate) fn bytes(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_writes_leave_the_rest_in_order() {
        let mut queue = WriteQueue::default();
        queue.push(Bytes::from_static(b"first"));
        queue.push(Bytes::new());
        queue.push(Bytes::from_static(b"second"));
        queue.advance(7);
        let mut slots = [IoSlice::new(&[]); PIECES];
        assert_eq!(queue.fill(&mut slots), 1);
        assert_eq!(&*slots[0], b"cond");
        queue.advance(4);
        assert!(queue.is_empty());
    }
}
