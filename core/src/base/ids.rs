//! Identifiers and draws: each kind is a keyed function of (seed, kind, its own counter).
//!
//! A new draw in one room therefore does not change the ids of any other, and the same seed gives the same ids. The
//! function is SipHash-2-4 under a key per kind that HMAC-SHA-256 derives from the seed by the name of the kind; who
//! does not know the seed can neither predict an id (RFC 3261 s19.3 asks 32 bits of randomness of a tag, these have 64)
//! nor tell it from noise.

use core::fmt;
use core::ops::Deref;

use siphasher::sip::SipHasher24;

use super::hash::HmacSha256;
use super::table::HashKey;

/// What an identifier is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum IdKind {
    /// From and To tags.
    Tag,
    /// Via branches, behind the magic cookie.
    Branch,
    /// Call-IDs of our own requests.
    CallId,
    /// SIP-ETags of publications.
    Etag,
    /// Digest nonces.
    Nonce,
    /// Client nonces of our own Digest answers.
    Cnonce,
    /// Flow tokens (RFC 5626 s5.2).
    FlowToken,
    /// Temporary and public GRUUs (RFC 5627).
    Gruu,
    /// User parts of our Contacts.
    Contact,
    /// Connections the engine opens.
    Flow,
    /// First CSeq numbers.
    Cseq,
    /// Tuple and person ids of presence documents.
    Tuple,
    /// Session ids and versions in SDP, and of RFC 7989.
    Session,
    /// MIME boundaries.
    Boundary,
    /// Random waits.
    Jitter,
    /// Choices by weight (RFC 2782).
    Weight,
}

const KINDS: [(IdKind, &[u8]); 16] = [
    (IdKind::Tag, b"tag"),
    (IdKind::Branch, b"branch"),
    (IdKind::CallId, b"call-id"),
    (IdKind::Etag, b"etag"),
    (IdKind::Nonce, b"nonce"),
    (IdKind::Cnonce, b"cnonce"),
    (IdKind::FlowToken, b"flow-token"),
    (IdKind::Gruu, b"gruu"),
    (IdKind::Contact, b"contact"),
    (IdKind::Flow, b"flow"),
    (IdKind::Cseq, b"cseq"),
    (IdKind::Tuple, b"tuple"),
    (IdKind::Session, b"session"),
    (IdKind::Boundary, b"boundary"),
    (IdKind::Jitter, b"jitter"),
    (IdKind::Weight, b"weight"),
];

/// The source of all identifiers of an engine.
#[derive(Clone)]
pub struct Ids {
    root: HmacSha256,
    hash_root: HmacSha256,
    kinds: [Source; KINDS.len()],
}

#[derive(Clone, Copy)]
struct Source {
    drawn: [u64; 2],
    keyed: [u64; 2],
    counter: u64,
}

impl Ids {
    /// From the seed of the engine.
    pub fn new(seed: &[u8; 32]) -> Ids {
        let root = HmacSha256::new(seed);
        let kinds = KINDS.map(|(_, name)| {
            let [drawn, keyed] = halves(root.mac(&[b"id ", name]));
            Source { drawn, keyed, counter: 0 }
        });
        Ids { hash_root: root.clone(), root, kinds }
    }

    /// The same identifiers with other keys for the hash tables: nothing an engine puts out may depend on them, and a
    /// test shows it.
    #[must_use]
    pub fn with_hash_seed(self, seed: &[u8; 32]) -> Ids {
        Ids { hash_root: HmacSha256::new(seed), ..self }
    }

    /// The next identifier of a kind: 64 bits, no two alike in practice.
    pub fn next(&mut self, kind: IdKind) -> u64 {
        let source = &mut self.kinds[kind as usize];
        source.counter += 1;
        SipHasher24::new_with_keys(source.drawn[0], source.drawn[1]).hash(&source.counter.to_le_bytes())
    }

    /// The next identifier of a kind as text.
    pub fn next_text(&mut self, kind: IdKind) -> IdText {
        write(self.next(kind))
    }

    /// An even draw out of `0..bound`; 0 if `bound` is 0.
    pub fn below(&mut self, kind: IdKind, bound: u64) -> u64 {
        ((u128::from(self.next(kind)) * u128::from(bound)) >> 64) as u64
    }

    /// The identifier that belongs to some bytes, the same each time and without a memory of it: the To tag of a
    /// stateless answer from the parts of its request (RFC 3261 s8.2.7). Parts are told apart by their lengths.
    pub fn keyed(&self, kind: IdKind, parts: &[&[u8]]) -> u64 {
        let key = HashKey::new(self.kinds[kind as usize].keyed);
        let wide = key.hash128(parts);
        (wide >> 64) as u64 ^ wide as u64
    }

    /// The key of the hash tables.
    pub fn hash_key(&self) -> HashKey {
        let [key, _] = halves(self.hash_root.mac(&[b"hash tables"]));
        HashKey::new(key)
    }

    /// The key of names that stand for the bytes they are a hash of: identifiers are made of them, so they are apart
    /// from the hash tables.
    pub fn name_key(&self) -> HashKey {
        let [key, _] = halves(self.root.mac(&[b"names"]));
        HashKey::new(key)
    }

    /// A secret of 256 bits for a purpose of a kind, apart from its identifiers.
    pub fn secret(&self, kind: IdKind) -> [u8; 32] {
        self.root.mac(&[b"secret ", KINDS[kind as usize].1])
    }

    /// How many of a kind were drawn: the only state there is.
    pub fn drawn(&self, kind: IdKind) -> u64 {
        self.kinds[kind as usize].counter
    }

    /// All kinds.
    pub fn kinds() -> impl Iterator<Item = IdKind> {
        KINDS.iter().map(|&(kind, _)| kind)
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(KINDS.iter().map(|&(kind, _)| (kind, self.drawn(kind)))).finish()
    }
}

fn halves(bytes: [u8; 32]) -> [[u64; 2]; 2] {
    let mut words = [0; 4];
    for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*chunk);
    }
    [[words[0], words[1]], [words[2], words[3]]]
}

/// The shard that identifiers carry in front, so that a response goes home without a lookup.
pub const SHARD: u8 = b'0';

/// An identifier as text: the shard, then 16 hexadecimal digits. A token everywhere in SIP.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdText([u8; 17]);

/// The text of an identifier.
pub fn write(id: u64) -> IdText {
    let mut text = [SHARD; 17];
    let (_, digits) = text.split_at_mut(1);
    for (eight, four) in digits.as_chunks_mut().0.iter_mut().zip(id.to_be_bytes().as_chunks().0) {
        *eight = super::text::hex_of(*four);
    }
    IdText(text)
}

/// The identifier of a text in exactly the form of [`write()`], lower case; `None` for anything else.
pub fn read(text: &[u8]) -> Option<u64> {
    let (&SHARD, digits) = text.split_first()? else { return None };
    let mut bytes = [0; 8];
    let lower = digits.iter().all(|b| !b.is_ascii_uppercase());
    (lower && super::text::unhex(digits, &mut bytes)).then(|| u64::from_be_bytes(bytes))
}

impl IdText {
    /// As bytes.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Deref for IdText {
    type Target = str;
    fn deref(&self) -> &str {
        core::str::from_utf8(&self.0).expect("invariant: hexadecimal digits are ASCII")
    }
}

impl fmt::Display for IdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for IdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
mod tests;
