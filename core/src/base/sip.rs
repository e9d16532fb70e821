//! SipHash-1-3 over bytes that lie in one piece: the hash of all tables, several times in each request.
//!
//! The same function as that of `siphasher`, for which any number of pieces of any length may follow each other; that
//! costs more than twice as much where there is but one.

/// The state between two words.
#[derive(Clone, Copy)]
struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    #[inline(always)]
    const fn new([k0, k1]: [u64; 2]) -> State {
        State {
            v0: k0 ^ 0x736f_6d65_7073_6575,
            v1: k1 ^ 0x646f_7261_6e64_6f6d,
            v2: k0 ^ 0x6c79_6765_6e65_7261,
            v3: k1 ^ 0x7465_6462_7974_6573,
        }
    }

    #[inline(always)]
    fn round(&mut self) {
        let State { v0, v1, v2, v3 } = self;
        *v0 = v0.wrapping_add(*v1);
        *v2 = v2.wrapping_add(*v3);
        *v1 = v1.rotate_left(13) ^ *v0;
        *v3 = v3.rotate_left(16) ^ *v2;
        *v0 = v0.rotate_left(32);
        *v2 = v2.wrapping_add(*v1);
        *v0 = v0.wrapping_add(*v3);
        *v1 = v1.rotate_left(17) ^ *v2;
        *v3 = v3.rotate_left(21) ^ *v0;
        *v2 = v2.rotate_left(32);
    }

    #[inline(always)]
    fn word(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.v0 ^= word;
    }

    /// Takes in all of the bytes, and how many there are.
    #[inline(always)]
    fn bytes(&mut self, bytes: &[u8]) {
        let (words, tail) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        // What is left is the upper end of the last eight bytes.
        let rest = match bytes.last_chunk::<8>() {
            _ if tail.is_empty() => 0,
            Some(last) => u64::from_le_bytes(*last) >> (8 * (8 - tail.len())),
            None => tail.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
        };
        self.word(rest | (bytes.len() as u64) << 56);
    }

    #[inline(always)]
    fn end(&mut self) -> u64 {
        self.round();
        self.round();
        self.round();
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }
}

/// 64 bits.
pub(super) fn narrow(key: [u64; 2], bytes: &[u8]) -> u64 {
    let mut state = State::new(key);
    state.bytes(bytes);
    state.v2 ^= 0xff;
    state.end()
}

/// 128 bits.
pub(super) fn wide(key: [u64; 2], bytes: &[u8]) -> u128 {
    let mut state = State::new(key);
    state.v1 ^= 0xee;
    state.bytes(bytes);
    state.v2 ^= 0xee;
    let low = state.end();
    state.v1 ^= 0xdd;
    u128::from(low) | u128::from(state.end()) << 64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use siphasher::sip::SipHasher13;
    use siphasher::sip128::SipHasher13 as Wide13;

    proptest! {
        #[test]
        fn both_widths_are_those_of_siphasher(key in any::<[u64; 2]>(), bytes in proptest::collection::vec(any::<u8>(), 0..70)) {
            let [k0, k1] = key;
            prop_assert_eq!(super::narrow(key, &bytes), SipHasher13::new_with_keys(k0, k1).hash(&bytes));
            prop_assert_eq!(super::wide(key, &bytes), Wide13::new_with_keys(k0, k1).hash(&bytes).as_u128());
        }
    }
}
