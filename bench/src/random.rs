//! Seeded pseudo-random numbers that are the same on every machine and in every version of this crate.
//!
//! `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). Not for secrets.

/// A stream of numbers that its seed and label determine.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The stream of `label` under `seed`; streams of different labels have nothing to do with each other.
    pub fn new(seed: u64, label: &str) -> Self {
        let digest = blake3::Hasher::new().update(&seed.to_le_bytes()).update(label.as_bytes()).finalize();
        let mut state = [0; 8];
        state.copy_from_slice(&digest.as_bytes()[..8]);
        Self { state: u64::from_le_bytes(state) }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` to `high`, both included; `low` if the range is empty.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        let Some(width) = high.checked_sub(low).and_then(|width| width.checked_add(1)) else { return low };
        // The bias of the remainder is far below what a workload's shape could show.
        low + self.next_u64() % width
    }

    /// One of `choices`, which must not be empty.
    pub fn choose<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let last = u64::try_from(choices.len().saturating_sub(1)).unwrap_or(u64::MAX);
        let index = self.between(0, last);
        &choices[usize::try_from(index).unwrap_or(0)]
    }

    /// Bytes that no compressor can shorten.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next_u64().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    /// Bytes whose first half is noise and whose second half is words, as build contexts are mixed from both.
    pub fn mixed(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = self.bytes(length / 2);
        while bytes.len() < length {
            bytes.extend_from_slice(self.choose(&WORDS).as_bytes());
            bytes.push(b' ');
        }
        bytes.truncate(length);
        bytes
    }
}

const WORDS: [&str; 16] = [
    "harvest", "barn", "seed", "orchard", "tractor", "field", "soil", "plough", "grain", "meadow", "fence",
    "silo", "hedge", "furrow", "crop", "well",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_pinned() {
        let first = Random::new(1, "golden").next_u64();
        assert_eq!(first, 12_357_917_803_726_886_170);
        assert_ne!(Random::new(2, "golden").next_u64(), first);
        assert_ne!(Random::new(1, "other").next_u64(), first);
    }

    #[test]
    fn numbers_stay_in_their_range() {
        let mut random = Random::new(1, "range");
        assert!((0..1000).map(|_| random.between(3, 9)).all(|number| (3..=9).contains(&number)));
        assert_eq!(random.between(5, 4), 5);
    }

    #[test]
    fn mixed_bytes_have_the_length_asked_for() {
        for length in [0, 1, 7, 4096] {
            assert_eq!(Random::new(1, "mixed").mixed(length).len(), length);
        }
    }
}
