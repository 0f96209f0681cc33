//! The heaviest of many, without keeping the others.

/// Keeps the heaviest of what it is offered; among equals the first.
#[derive(Clone, Debug)]
pub(crate) struct Top<W, T> {
    most: usize,
    /// Nothing lighter is wanted any more.
    floor: Option<W>,
    /// At most twice as many as are wanted, so that sorting costs little for each.
    kept: Vec<(W, T)>,
}

impl<W: Copy + Ord, T> Top<W, T> {
    /// Of at most `most` things.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, floor: None, kept: Vec::new() }
    }

    /// Takes `make`'s value when it is among the heaviest so far.
    pub(crate) fn offer(&mut self, weight: W, make: impl FnOnce() -> T) {
        if self.most == 0 || self.floor.is_some_and(|floor| weight <= floor) {
            return;
        }
        self.kept.push((weight, make()));
        if self.kept.len() >= self.most.saturating_mul(2) {
            self.cut();
        }
    }

    /// What was kept, the heaviest first.
    pub(crate) fn finish(mut self) -> Vec<T> {
        self.cut();
        self.kept.into_iter().map(|(_, value)| value).collect()
    }

    fn cut(&mut self) {
        self.kept.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        self.kept.truncate(self.most);
        if self.kept.len() == self.most {
            self.floor = self.kept.last().map(|(weight, _)| *weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_are_kept_and_the_first_among_equals() {
        let mut top = Top::new(3);
        for (place, weight) in [5, 1, 9, 5, 7, 5, 2, 9].into_iter().enumerate() {
            top.offer(weight, || (weight, place));
        }
        assert_eq!(top.finish(), [(9, 2), (9, 7), (7, 4)]);
        let mut equal = Top::new(2);
        for place in 0..9 {
            equal.offer(1, || place);
        }
        assert_eq!(equal.finish(), [0, 1]);
        let mut none = Top::new(0);
        none.offer(1, || 1);
        assert!(none.finish().is_empty());
    }
}
