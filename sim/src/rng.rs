//! A small seeded generator (xoshiro256**), so that a world depends on its seed and on nothing else.

/// Pseudo-random numbers: the same seed gives the same sequence, on every machine and in every version.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// A generator for a seed.
    pub fn new(seed: u64) -> Rng {
        let mut x = seed;
        let mut next = || {
            // SplitMix64, the recommended way to fill the state.
            x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = x;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        Rng { state: [next(), next(), next(), next()] }
    }

    /// A generator of its own for one part of the world, so that a new draw in one part does not shift all others.
    pub fn fork(seed: u64, part: u64) -> Rng {
        Rng::new(seed ^ part.wrapping_mul(0xd6e8_feb8_6659_fd93).rotate_left(32))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number below `n`; zero if `n` is zero.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && (self.bits() >> 11) as f64 / (1u64 << 53) as f64 <= probability
    }

    /// 32 bytes, for a seed of the engine.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut out = [0; 32];
        for chunk in out.chunks_mut(8) {
            chunk.copy_from_slice(&self.bits().to_le_bytes());
        }
        out
    }

    /// Sixteen hexadecimal digits, for tags, branches and Call-IDs of phones.
    pub fn word(&mut self) -> String {
        format!("{:016x}", self.bits())
    }
}
