//! What is remembered of steps that are alike from build to build: how long they take.
//!
//! Invariant: the memory is bounded; what was used longest ago goes first. Deliberately absent: what made a duration,
//! such as the worker or the size of inputs.

use std::collections::BTreeMap;

use crate::Millis;

/// What is alike from build to build: a digest over stage name and instruction.
pub(crate) type Family = [u8; 32];

/// What a step of an unknown family is expected to take.
const UNKNOWN: Millis = Millis(1_000);

/// Families that are remembered.
const CAPACITY: usize = 65_536;

/// The durations of families.
#[derive(Debug, Default)]
pub(crate) struct Families {
    known: BTreeMap<Family, Memory>,
    by_use: BTreeMap<u64, Family>,
    uses: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Memory {
    /// Average of the runs on workers.
    ran: Option<Millis>,
    /// Average of what was settled without a worker.
    settled: Option<Millis>,
    /// When it was used last, as a count of uses.
    used: u64,
}

impl Families {
    /// A step of `family` ran on a worker.
    pub(crate) fn ran(&mut self, family: Family, took: Millis) {
        self.update(family, |memory| memory.ran = Some(average(memory.ran, took)));
    }

    /// A step of `family` was settled without a worker. That counts only while none has run: of a step that is mostly
    /// found in the cache one wants to know what it takes when it is not.
    pub(crate) fn settled(&mut self, family: Family, took: Millis) {
        self.update(family, |memory| memory.settled = Some(average(memory.settled, took)));
    }

    /// Takes over what was remembered before a restart.
    pub(crate) fn restore(&mut self, family: Family, duration: Millis) {
        self.update(family, |memory| memory.ran = Some(duration));
    }

    /// What a step of `family` is expected to take.
    pub(crate) fn expected(&self, family: &Family) -> Millis {
        self.known.get(family).and_then(|memory| memory.ran.or(memory.settled)).unwrap_or(UNKNOWN)
    }

    /// What steps of `family` took on workers; none when none has run there.
    pub(crate) fn remembered(&self, family: &Family) -> Option<Millis> {
        self.known.get(family)?.ran
    }

    /// What a step is expected to take of which nothing is known.
    pub(crate) fn unknown() -> Millis {
        UNKNOWN
    }

    /// Every family that ran, with its duration.
    pub(crate) fn durations(&self) -> impl Iterator<Item = (Family, Millis)> + '_ {
        self.known.iter().filter_map(|(family, memory)| Some((*family, memory.ran?)))
    }

    fn update(&mut self, family: Family, change: impl FnOnce(&mut Memory)) {
        self.uses += 1;
        let memory = self.known.entry(family).or_default();
        change(memory);
        self.by_use.remove(&memory.used);
        memory.used = self.uses;
        self.by_use.insert(self.uses, family);
        if self.known.len() > CAPACITY
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.known.remove(&oldest);
        }
    }
}

/// The exponential average: the newest run counts for a quarter.
fn average(former: Option<Millis>, took: Millis) -> Millis {
    let Some(former) = former else { return took };
    Millis(former.0 - former.0 / 4 + took.0 / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_follows_what_runs_take() {
        let mut families = Families::default();
        assert_eq!((families.expected(&[1; 32]), families.remembered(&[1; 32])), (UNKNOWN, None));
        families.ran([1; 32], Millis(4_000));
        assert_eq!(families.expected(&[1; 32]), Millis(4_000));
        families.ran([1; 32], Millis(8_000));
        assert_eq!(families.expected(&[1; 32]), Millis(5_000));
    }

    #[test]
    fn a_hit_does_not_make_a_slow_step_look_fast() {
        let mut families = Families::default();
        families.settled([1; 32], Millis(0));
        assert_eq!((families.expected(&[1; 32]), families.remembered(&[1; 32])), (Millis(0), None));
        families.ran([1; 32], Millis(4_000));
        families.settled([1; 32], Millis(0));
        assert_eq!(families.expected(&[1; 32]), Millis(4_000));
    }

    #[test]
    fn what_was_used_longest_ago_is_forgotten_first() {
        let mut families = Families::default();
        let family = |number: usize| {
            let mut family = [0; 32];
            family[..8].copy_from_slice(&(number as u64).to_be_bytes());
            family
        };
        for number in 0..CAPACITY {
            families.ran(family(number), Millis(7));
        }
        families.ran(family(0), Millis(7));
        families.ran(family(CAPACITY), Millis(7));
        assert_eq!(families.durations().count(), CAPACITY);
        assert_eq!(families.expected(&family(0)), Millis(7));
        assert_eq!(families.expected(&family(1)), UNKNOWN);
    }
}
