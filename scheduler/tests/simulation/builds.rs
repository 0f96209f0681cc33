//! Simulated builds: stages of steps, some of which other builds have too.

use farm_model::{BuildId, LayerDigest, Platform, Scope, StageId, StepDigest, StepId};
use farm_scheduler::{Input, StepShape, Work};

use crate::random::{Random, digest, number};

pub(crate) const FOREIGN: &str = "linux/riscv64";

#[derive(Debug)]
pub(crate) struct Build {
    pub(crate) id: BuildId,
    pub(crate) scope: Scope,
    pub(crate) steps: Vec<Step>,
    pub(crate) phase: Phase,
    /// How often steps were done again because bytes were lost.
    pub(crate) repeats: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// Its client has not asked, or has not come back after a restart.
    Away,
    Running,
    Ended,
}

#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) id: StepId,
    /// What it does; equal numbers are equal operations.
    pub(crate) operation: u64,
    pub(crate) needs: Vec<usize>,
    pub(crate) progress: Progress,
    /// What it needed when it was ready last; its inputs may have been lost since.
    pub(crate) asked: Option<Work>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Progress {
    Pending,
    Computing,
    Waiting(StepDigest),
    Done(LayerDigest),
}

/// What an operation is like.
#[expect(clippy::struct_excessive_bools, reason = "facts that have nothing to do with each other")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nature {
    /// Without a worker.
    pub(crate) computed: bool,
    pub(crate) took: u64,
    /// Thousandths of a processor.
    pub(crate) uses: u32,
    /// The command itself fails.
    pub(crate) fails: bool,
    pub(crate) labelled: bool,
    pub(crate) foreign: bool,
}

pub(crate) fn nature(operation: u64) -> Nature {
    let mut random = Random::new(operation);
    Nature {
        computed: random.chance(200),
        took: if random.chance(100) { random.within(5_000, 40_000) } else { random.within(5, 3_000) },
        uses: if random.chance(300) { 0 } else { 900 },
        fails: random.chance(10),
        labelled: random.chance(60),
        foreign: random.chance(60),
    }
}

/// What a layer weighs.
pub(crate) fn weight(layer: &LayerDigest) -> u64 {
    let mut random = Random::new(number(&layer.0));
    if random.chance(200) { random.within(1 << 28, 1 << 32) } else { random.within(0, 1 << 22) }
}

pub(crate) fn output(key: &StepDigest) -> LayerDigest {
    LayerDigest(digest(&[number(&key.0), 1]))
}

impl Build {
    /// A build as `random` wants it. Builds of few distinct recipes, so that many have steps in common.
    pub(crate) fn draw(index: usize, random: &mut Random) -> Self {
        let scope = if random.chance(250) { "pr-1" } else { "main" };
        let mut recipe = Random::new(random.within(0, 6));
        let stages = recipe.within(1, 6);
        let mut steps: Vec<Step> = Vec::new();
        for stage in 0..stages {
            let length = recipe.within(1, 6);
            for index in 0..length {
                let mut needs = Vec::new();
                if index > 0 {
                    needs.push(steps.len() - 1);
                }
                if !steps.is_empty() && recipe.chance(300) {
                    needs.push(usize::try_from(recipe.within(0, steps.len() as u64)).unwrap());
                }
                // Now and then a step that the other builds of the recipe do not have.
                let operation = if random.chance(100) { random.next() } else { recipe.next() % 1_000_000 };
                let id = StepId {
                    stage: StageId(u32::try_from(stage).unwrap()),
                    index: u32::try_from(index).unwrap(),
                };
                steps.push(Step { id, operation, needs, progress: Progress::Pending, asked: None });
            }
        }
        let id = BuildId((index as u64 + 1).to_be_bytes());
        Self { id, scope: scope.parse().unwrap(), steps, phase: Phase::Away, repeats: 0 }
    }

    pub(crate) fn shapes(&self) -> Vec<StepShape> {
        let shape = |step: &Step| StepShape {
            step: step.id,
            family: digest(&[step.operation]),
            needs: step.needs.iter().map(|need| self.steps[*need].id).collect(),
        };
        self.steps.iter().map(shape).collect()
    }

    /// The layers that step `index` reads, once all are there.
    pub(crate) fn inputs(&self, index: usize) -> Option<Vec<LayerDigest>> {
        let layer = |need: &usize| match self.steps[*need].progress {
            Progress::Done(layer) => Some(layer),
            Progress::Pending | Progress::Computing | Progress::Waiting(_) => None,
        };
        self.steps[index].needs.iter().map(layer).collect()
    }

    pub(crate) fn work(&self, index: usize) -> Option<Work> {
        let inputs = self.inputs(index)?;
        let operation = self.steps[index].operation;
        let nature = nature(operation);
        let mut parts = vec![operation];
        parts.extend(inputs.iter().map(|layer| number(&layer.0)));
        Some(Work {
            key: StepDigest(digest(&parts)),
            platform: if nature.foreign { FOREIGN.parse().unwrap() } else { Platform::host() },
            labels: if nature.labelled { vec!["special".to_owned()] } else { Vec::new() },
            inputs: inputs.iter().map(|layer| Input { layer: *layer, bytes: weight(layer) }).collect(),
        })
    }

    pub(crate) fn position(&self, step: StepId) -> usize {
        self.steps.iter().position(|other| other.id == step).expect("a step of the build")
    }
}
