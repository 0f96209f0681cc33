//! The steps of a build and the longest path that remains after each.
//!
//! A step that is not done has nothing done below it, so what remains from a step on does not change while the build
//! runs; it is computed once, with the durations that are remembered when the build begins. Loops and steps that are
//! needed but not named are tolerated: they count as far as they are known.

use std::collections::BTreeMap;
use std::ops::Bound;

use farm_model::StepId;

use crate::families::{Families, Family};
use crate::{Millis, StepShape};

/// The steps of one build.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    steps: BTreeMap<StepId, Node>,
}

/// What is known of one step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Node {
    /// By which durations are remembered.
    pub(crate) family: Family,
    /// How long the step takes.
    pub(crate) expected: Millis,
    /// How long it takes until everything that follows is done too, on enough workers.
    pub(crate) remaining: Millis,
}

impl Graph {
    /// The graph of `shapes`; in linear time but for the look-ups.
    pub(crate) fn new(shapes: &[StepShape], families: &Families) -> Self {
        let mut steps: BTreeMap<StepId, Node> = BTreeMap::new();
        let mut needs: BTreeMap<StepId, &[StepId]> = BTreeMap::new();
        for shape in shapes {
            let expected = families.expected(&shape.family);
            steps.insert(shape.step, Node { family: shape.family, expected, remaining: expected });
            needs.insert(shape.step, &shape.needs);
        }
        let mut dependents: BTreeMap<StepId, usize> = BTreeMap::new();
        for need in needs.values().copied().flatten() {
            *dependents.entry(*need).or_default() += 1;
        }
        let mut settled: Vec<StepId> =
            steps.keys().filter(|step| !dependents.contains_key(step)).copied().collect();
        while let Some(step) = settled.pop() {
            let Some(after) = steps.get(&step).map(|node| node.remaining) else { continue };
            for need in needs.get(&step).copied().unwrap_or_default() {
                if let Some(node) = steps.get_mut(need) {
                    node.remaining = node.remaining.max(node.expected.after(after));
                }
                if let Some(count) = dependents.get_mut(need) {
                    *count -= 1;
                    if *count == 0 {
                        settled.push(*need);
                    }
                }
            }
        }
        Self { steps }
    }

    /// What is known of `step`.
    pub(crate) fn node(&self, step: StepId) -> Option<&Node> {
        self.steps.get(&step)
    }

    /// Whether the stage of `step` has steps after it.
    pub(crate) fn continues_after(&self, step: StepId) -> bool {
        let mut later = self.steps.range((Bound::Excluded(step), Bound::Unbounded));
        later.next().is_some_and(|(next, _)| next.stage == step.stage)
    }
}

#[cfg(test)]
mod tests {
    use farm_model::StageId;

    use super::*;

    fn step(stage: u32, index: u32) -> StepId {
        StepId { stage: StageId(stage), index }
    }

    fn shape(step: StepId, family: u8, needs: &[StepId]) -> StepShape {
        StepShape { step, family: [family; 32], needs: needs.to_vec() }
    }

    #[test]
    fn what_remains_is_the_longest_path_to_the_end() {
        let mut families = Families::default();
        families.ran([1; 32], Millis(10));
        families.ran([2; 32], Millis(200));
        let shapes = [
            shape(step(0, 0), 1, &[]),
            shape(step(0, 1), 2, &[step(0, 0)]),
            shape(step(1, 0), 1, &[]),
            shape(step(1, 1), 1, &[step(1, 0), step(0, 1), step(0, 1)]),
        ];
        let graph = Graph::new(&shapes, &families);
        let remaining = |step| graph.node(step).unwrap().remaining;
        assert_eq!(remaining(step(1, 1)), Millis(10));
        assert_eq!(remaining(step(1, 0)), Millis(20));
        assert_eq!(remaining(step(0, 1)), Millis(210));
        assert_eq!(remaining(step(0, 0)), Millis(220));
        assert!(graph.continues_after(step(0, 0)) && !graph.continues_after(step(0, 1)));
    }

    #[test]
    fn loops_and_unknown_needs_end() {
        let shapes = [
            shape(step(0, 0), 1, &[step(0, 1)]),
            shape(step(0, 1), 1, &[step(0, 0), step(9, 9)]),
            shape(step(0, 2), 1, &[step(0, 2)]),
        ];
        let graph = Graph::new(&shapes, &Families::default());
        assert_eq!(graph.node(step(0, 0)).unwrap().remaining, Families::unknown());
        assert!(graph.node(step(9, 9)).is_none());
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_steps_needs_no_stack() {
        let shapes: Vec<StepShape> = (0..100_000)
            .map(|index| {
                shape(step(0, index), 1, &if index == 0 { vec![] } else { vec![step(0, index - 1)] })
            })
            .collect();
        let graph = Graph::new(&shapes, &Families::default());
        assert_eq!(graph.node(step(0, 0)).unwrap().remaining, Millis(100_000 * Families::unknown().0));
    }
}
