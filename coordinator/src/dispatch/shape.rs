//! What the scheduler is told of a build before anything of it runs: which step needs which, and which are alike from build
//! to build.

use std::collections::{BTreeMap, BTreeSet};

use farm_model::encoding::{self, Encoder};
use farm_model::{Base, BuildGraph, Op, Stage, StageId, Step, StepId};
use farm_scheduler::StepShape;

/// Domain of the digests of families.
const DOMAIN: &str = "farm 2026-11 step family v1";

/// The steps of a graph that do more than change metadata, in the order of the Dockerfile.
pub(super) fn shapes(graph: &BuildGraph) -> Vec<StepShape> {
    let mut shapes = Vec::new();
    // The last step of a stage; of one without steps, that of what it starts from.
    let mut last: BTreeMap<StageId, StepId> = BTreeMap::new();
    for stage in &graph.stages {
        let mut before = match &stage.base {
            Base::Stage(base) => last.get(base).copied(),
            Base::Scratch | Base::Image(_) | Base::Context(_) => None,
        };
        for step in stage.steps.iter().filter(|step| step.op != Op::Metadata) {
            let mut needs: BTreeSet<StepId> = before.into_iter().collect();
            needs.extend(step.op.stages().into_iter().filter_map(|stage| last.get(&stage).copied()));
            shapes.push(StepShape {
                step: step.id,
                family: family(stage, step),
                needs: needs.into_iter().collect(),
            });
            before = Some(step.id);
        }
        if let Some(step) = before {
            last.insert(stage.id, step);
        }
    }
    shapes
}

/// Stage, place and instruction word: what a step still has when its arguments change.
fn family(stage: &Stage, step: &Step) -> [u8; 32] {
    let word = step.name.split_whitespace().next().unwrap_or_default();
    let mut encoder = Encoder::new();
    encoder.str(&stage.label()).str(&stage.platform.to_string()).u64(step.id.index.into()).str(word);
    encoding::digest(DOMAIN, encoder.as_bytes())
}
