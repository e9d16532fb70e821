//! Hashes: the digests of SIP authentication (RFC 7616, RFC 8760), HMAC-SHA-256 (RFC 2104), nothing else.

use core::fmt;

use md5::Md5;
use sha2::block_api::compress256;
use sha2::{Digest, Sha256, Sha512_256};

/// Digest algorithms of RFC 7616 and RFC 8760, without the `-sess` suffix, weakest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DigestAlgorithm {
    /// MD5.
    Md5,
    /// SHA-256.
    Sha256,
    /// SHA-512-256.
    Sha512_256,
}

#[expect(clippy::len_without_is_empty, reason = "a hash is never empty")]
impl DigestAlgorithm {
    /// All of them, strongest first: the order of challenges.
    pub const STRONGEST_FIRST: [DigestAlgorithm; 3] =
        [DigestAlgorithm::Sha512_256, DigestAlgorithm::Sha256, DigestAlgorithm::Md5];

    /// The token of RFC 8760: `MD5`, `SHA-256`, `SHA-512-256`.
    pub const fn token(self) -> &'static str {
        match self {
            DigestAlgorithm::Md5 => "MD5",
            DigestAlgorithm::Sha256 => "SHA-256",
            DigestAlgorithm::Sha512_256 => "SHA-512-256",
        }
    }

    /// Length of a hash in bytes: 16 or 32.
    pub const fn len(self) -> usize {
        match self {
            DigestAlgorithm::Md5 => 16,
            _ => 32,
        }
    }
}

/// The hash of the concatenated parts. MD5 fills the first 16 bytes, the rest is zero; see [`DigestAlgorithm::len`].
pub fn digest(algorithm: DigestAlgorithm, parts: &[&[u8]]) -> [u8; 32] {
    match algorithm {
        DigestAlgorithm::Md5 => md5(Md5::new(), parts),
        DigestAlgorithm::Sha256 => sha256(parts),
        DigestAlgorithm::Sha512_256 => absorb(Sha512_256::new(), parts).finalize().into(),
    }
}

/// SHA-256 of the concatenated parts.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    absorb(Sha256::new(), parts).finalize().into()
}

/// A hash that has taken in its first parts: what follows differs, and the beginning is hashed once.
#[derive(Clone)]
pub struct Running(State);

#[derive(Clone)]
#[allow(clippy::large_enum_variant)] // lives on the stack for two hashes
enum State {
    Md5(Md5),
    Sha256(Blocks),
    Sha512_256(Sha512_256),
}

impl Running {
    /// With the concatenated parts taken in.
    pub fn new(algorithm: DigestAlgorithm, parts: &[&[u8]]) -> Running {
        Running(match algorithm {
            DigestAlgorithm::Md5 => State::Md5(absorb(Md5::new(), parts)),
            DigestAlgorithm::Sha256 => State::Sha256(Blocks::START.with(parts)),
            DigestAlgorithm::Sha512_256 => State::Sha512_256(absorb(Sha512_256::new(), parts)),
        })
    }

    /// SHA-256 with that block and the concatenated parts taken in.
    #[inline]
    pub fn after(block: &FirstBlock, parts: &[&[u8]]) -> Running {
        let blocks = Blocks { state: block.0, length: BLOCK as u64, rest: [0; BLOCK] };
        Running(State::Sha256(blocks.with(parts)))
    }

    /// The hash of all parts; in the form of [`digest`].
    #[inline]
    pub fn finish(&self, parts: &[&[u8]]) -> [u8; 32] {
        match &self.0 {
            State::Md5(state) => md5(state.clone(), parts),
            State::Sha256(blocks) => blocks.clone().with(parts).finish(),
            State::Sha512_256(state) => absorb(state.clone(), parts).finalize().into(),
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Running(<secret>)")
    }
}

fn md5(state: Md5, parts: &[&[u8]]) -> [u8; 32] {
    let mut out = [0; 32];
    let (hash, _) = out.split_at_mut(16);
    hash.copy_from_slice(&absorb(state, parts).finalize());
    out
}

fn absorb<D: Digest>(mut state: D, parts: &[&[u8]]) -> D {
    for part in parts {
        state.update(part);
    }
    state
}

/// The bytes SHA-256 takes in at once.
const BLOCK: usize = 64;

/// SHA-256 after one block, for a text that always begins with that block: the block is hashed once and for all. As
/// secret as the block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FirstBlock([u32; 8]);

impl FirstBlock {
    /// Takes in the block.
    pub fn new(block: &[u8; BLOCK]) -> FirstBlock {
        let mut state = Blocks::START.state;
        compress256(&mut state, &[*block]);
        FirstBlock(state)
    }
}

impl fmt::Debug for FirstBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FirstBlock(<secret>)")
    }
}

/// SHA-256 under way. The one of `sha2` is three times the size and cannot begin behind a block.
#[derive(Clone)]
struct Blocks {
    state: [u32; 8],
    /// Of all that was taken in, in bytes.
    length: u64,
    /// What does not fill a block yet.
    rest: [u8; BLOCK],
}

impl Blocks {
    // FIPS 180-4 s5.3.3.
    const START: Blocks = Blocks {
        state: [
            0x6a09_e667,
            0xbb67_ae85,
            0x3c6e_f372,
            0xa54f_f53a,
            0x510e_527f,
            0x9b05_688c,
            0x1f83_d9ab,
            0x5be0_cd19,
        ],
        length: 0,
        rest: [0; BLOCK],
    };

    #[inline]
    fn with(mut self, parts: &[&[u8]]) -> Blocks {
        for part in parts {
            self.take(part);
        }
        self
    }

    #[inline]
    fn take(&mut self, part: &[u8]) {
        let (_, room) = self.rest.split_at_mut(self.length as usize % BLOCK);
        self.length += part.len() as u64;
        let Some((head, part)) = part.split_at_checked(room.len()) else {
            room[..part.len()].copy_from_slice(part);
            return;
        };
        room.copy_from_slice(head);
        compress256(&mut self.state, &[self.rest]);
        let (blocks, tail) = part.as_chunks();
        if !blocks.is_empty() {
            compress256(&mut self.state, blocks);
        }
        self.rest[..tail.len()].copy_from_slice(tail);
    }

    // FIPS 180-4 s5.1.1: a bit, zeros, and the length in bits at the end of a block.
    #[inline]
    fn finish(mut self) -> [u8; 32] {
        let (_, room) = self.rest.split_at_mut(self.length as usize % BLOCK);
        room.fill(0);
        let fits = room.len() > 8;
        if let Some(first) = room.first_mut() {
            *first = 0x80;
        }
        if !fits {
            compress256(&mut self.state, &[self.rest]);
            self.rest = [0; BLOCK];
        }
        let (_, end) = self.rest.split_at_mut(BLOCK - 8);
        end.copy_from_slice(&(self.length * 8).to_be_bytes());
        compress256(&mut self.state, &[self.rest]);
        let mut hash = [0; 32];
        for (bytes, word) in hash.as_chunks_mut().0.iter_mut().zip(self.state) {
            *bytes = word.to_be_bytes();
        }
        hash
    }
}

/// HMAC-SHA-256 with one key: the two key blocks are hashed once, so that a short message costs two compressions.
#[derive(Clone)]
pub struct HmacSha256 {
    inner: Sha256,
    outer: Sha256,
}

impl HmacSha256 {
    /// For a key of any length; one longer than 64 bytes is hashed first (RFC 2104 s2).
    pub fn new(key: &[u8]) -> HmacSha256 {
        let mut block = [0; BLOCK];
        if key.len() > BLOCK {
            block[..32].copy_from_slice(&sha256(&[key]));
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        HmacSha256 {
            inner: Sha256::new_with_prefix(block.map(|b| b ^ 0x36)),
            outer: Sha256::new_with_prefix(block.map(|b| b ^ 0x5c)),
        }
    }

    /// The code of the concatenated parts. The parts are not delimited: a caller with parts of varying length puts a
    /// separator between them. Compare codes in constant time.
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let inner = absorb(self.inner.clone(), parts).finalize();
        absorb(self.outer.clone(), &[&inner]).finalize().into()
    }
}

impl fmt::Debug for HmacSha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacSha256(<secret>)")
    }
}

#[cfg(test)]
mod tests;
