//! Where messages are written: one buffer for the message being written, used again and again, and a chunk that finished
//! messages are copied to and shared from.

use bytes::{Bytes, BytesMut};

/// Size of a fresh chunk: about sixty responses. A chunk lives as long as the last message kept out of it.
const CHUNK: usize = 32 << 10;
/// More of the buffer than this is not kept.
const KEPT: usize = 64 << 10;

/// A buffer and a chunk.
#[derive(Debug, Default)]
pub struct Arena {
    pub(super) text: Vec<u8>,
    chunk: BytesMut,
}

impl Arena {
    /// Without memory.
    pub fn new() -> Arena {
        Arena::default()
    }

    /// Nothing is being written.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// What stands in the buffer, which is empty from now on.
    pub(super) fn finish(&mut self) -> Bytes {
        let chunk = free(&mut self.chunk, self.text.len());
        chunk.extend_from_slice(&self.text);
        self.text.clear();
        self.text.shrink_to(KEPT);
        self.chunk.split().freeze()
    }

    /// The chunk itself, with room for a short message.
    pub(crate) fn chunk(&mut self) -> &mut BytesMut {
        free(&mut self.chunk, 256)
    }
}

/// Makes room for so many bytes.
fn free(chunk: &mut BytesMut, bytes: usize) -> &mut BytesMut {
    if chunk.capacity() < bytes {
        chunk.reserve(bytes.max(CHUNK));
    }
    chunk
}
