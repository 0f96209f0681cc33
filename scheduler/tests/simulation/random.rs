//! Pseudo-random numbers that a seed determines (`SplitMix64`: Steele, Lea and Flood, 2014).

#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From `low` up to but without `high`.
    pub(crate) fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low).max(1)
    }

    /// Yes, in so many of a thousand cases.
    pub(crate) fn chance(&mut self, thousandths: u64) -> bool {
        self.next() % 1_000 < thousandths
    }
}

/// A digest of some numbers; not a good one, but there are few.
pub(crate) fn digest(parts: &[u64]) -> [u8; 32] {
    let mut state = 0x6661_726d;
    for part in parts {
        state = Random::new(state ^ part.rotate_left(17)).next();
    }
    let mut random = Random::new(state);
    let mut bytes = [0; 32];
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&random.next().to_be_bytes());
    }
    bytes
}

/// The first numbers of a digest, to make further ones of it.
pub(crate) fn number(digest: &[u8; 32]) -> u64 {
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
