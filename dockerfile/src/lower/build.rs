//! The needed stages, one after the other, into a graph.

use std::collections::{BTreeSet, HashMap};

use farm_model::graph::Image;
use farm_model::op::Origin;
use farm_model::{Base, BuildGraph, ImageConfig, ImageId, Platform, Stage, StageId};

use super::Lowered;
use super::globals::EPOCH;
use super::need::Prepared;
use super::plan::{Plan, PlannedBase, StageState};
use super::stage::StageBuilder;
use super::variables::Variables;
use crate::ast::Word;
use crate::diagnostic::{Diagnostic, Error, Span};
use crate::instruction::{Kind, nearest};

/// What the texts of all steps may take; a step repeats its stage's variables, so this could explode.
const MAX_GRAPH_BYTES: usize = 256 << 20;

impl Prepared {
    /// Lowers the needed stages.
    ///
    /// # Errors
    /// A word that cannot be expanded, a value that its instruction does not take, or a base image whose
    /// configuration was not provided.
    pub fn finish(self) -> Result<Lowered, Error> {
        let Self { plan, target, configs, .. } = self;
        let mut lowering = Lowering::new(&plan, &configs);
        let mut stages = Vec::new();
        for (index, stage) in plan.stages.iter().enumerate() {
            let needed = stage.state == StageState::Needed;
            if needed || index == target {
                stages.push(lowering.stage(index, index == target)?);
            }
        }
        // A target that is not the last of the file comes last in the graph all the same: nothing
        // behind it is needed.
        let mut warnings = plan.warnings.clone();
        warnings.append(&mut lowering.warnings);
        warnings.extend(unused_arguments(&plan, &lowering.declared));
        let graph = BuildGraph { stages, target: stage_id(target), images: lowering.images };
        Ok(Lowered { graph, source_date_epoch: plan.epoch, warnings })
    }
}

/// What one stage hands on to those that start from it.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) config: ImageConfig,
    pub(super) variables: Variables,
    pub(super) directory: String,
    pub(super) platform: Platform,
}

/// What the stages share while they are lowered.
pub(super) struct Lowering<'a> {
    pub(super) plan: &'a Plan,
    configs: &'a HashMap<Image, ImageConfig>,
    images: Vec<Image>,
    image_ids: HashMap<Image, ImageId>,
    outcomes: HashMap<usize, Outcome>,
    pub(super) warnings: Vec<Diagnostic>,
    /// The names of all `ARG`s that were seen.
    pub(super) declared: BTreeSet<String>,
    bytes: usize,
}

impl<'a> Lowering<'a> {
    fn new(plan: &'a Plan, configs: &'a HashMap<Image, ImageConfig>) -> Self {
        let mut declared = BTreeSet::new();
        for instruction in plan.stages.iter().flat_map(|stage| &stage.instructions) {
            if let Kind::Arg(definitions) = &instruction.kind {
                declared.extend(definitions.iter().map(|definition| definition.name.text.clone()));
            }
        }
        declared.extend(plan.globals.entries().iter().map(|(name, _)| name.clone()));
        Self {
            plan,
            configs,
            images: Vec::new(),
            image_ids: HashMap::new(),
            outcomes: HashMap::new(),
            warnings: Vec::new(),
            declared,
            bytes: 0,
        }
    }

    fn stage(&mut self, index: usize, is_target: bool) -> Result<Stage, Error> {
        let plan = self.plan;
        let planned = &plan.stages[index];
        let (base, outcome) = self.base(index)?;
        let name = planned.display_name(index);
        let mut builder = StageBuilder::new(self, index, outcome);
        if planned.state != StageState::Replaced {
            builder.default_path();
            builder.triggers()?;
            planned.instructions.iter().try_for_each(|instruction| builder.instruction(instruction))?;
        }
        let (steps, mut outcome) = builder.finish();
        self.outcomes.insert(index, outcome.clone());
        if is_target {
            outcome.config.labels.extend(plan.options.labels.iter().cloned());
            if let Some(platform) = &plan.options.platform {
                outcome.config.platform = platform.clone();
            }
        }
        Ok(Stage {
            id: stage_id(index),
            no_cache: plan.options.no_cache.applies_to(&name),
            name,
            base,
            platform: outcome.platform,
            steps,
            config: outcome.config,
        })
    }

    /// What a stage starts from, and the state in which it starts.
    fn base(&mut self, index: usize) -> Result<(Base, Outcome), Error> {
        let plan = self.plan;
        let planned = &plan.stages[index];
        let target = plan.options.target_platform();
        let own = planned.platform.as_ref().unwrap_or(target).clone();
        Ok(match &planned.base {
            PlannedBase::Scratch => {
                let mut config = ImageConfig::scratch(target.clone());
                "/".clone_into(&mut config.working_dir);
                (Base::Scratch, outcome(config, target.clone()))
            }
            PlannedBase::Context(name) => {
                (Base::Context(name.clone()), outcome(ImageConfig::scratch(own.clone()), own))
            }
            PlannedBase::Image(image) => {
                let Some(config) = self.configs.get(image) else {
                    let message = format!("the configuration of `{}` is not known", image.source);
                    return Err(Error::new(planned.span, message).with_hint("resolve the image first"));
                };
                (Base::Image(self.image(image)), outcome(config.clone(), image.platform.clone()))
            }
            PlannedBase::Stage(base) => {
                let Some(mut outcome) = self.outcomes.get(base).cloned() else {
                    let name = plan.stages[*base].display_name(*base);
                    return Err(Error::new(
                        planned.span,
                        format!("stage `{name}` was not built before this one"),
                    )
                    .with_hint("move it up"));
                };
                let bytes = outcome.variables.visible().bytes() + super::size::of_config(&outcome.config);
                self.charge(bytes, planned.span)?;
                outcome.variables = outcome.variables.inherited();
                (Base::Stage(stage_id(*base)), outcome)
            }
        })
    }

    fn image(&mut self, image: &Image) -> ImageId {
        if let Some(id) = self.image_ids.get(image) {
            return *id;
        }
        let id = ImageId(u32::try_from(self.images.len()).unwrap_or(u32::MAX));
        self.images.push(image.clone());
        self.image_ids.insert(image.clone(), id);
        id
    }

    /// What `--from` or `from=` stands for.
    pub(super) fn origin(&mut self, word: &Word) -> Result<Origin, Error> {
        Ok(match self.plan.source(word)? {
            PlannedBase::Scratch => Origin::Scratch,
            PlannedBase::Stage(index) => Origin::Stage(stage_id(index)),
            PlannedBase::Image(image) => Origin::Image(self.image(&image)),
            PlannedBase::Context(name) => Origin::Context(name),
        })
    }

    /// Counts the memory of a step.
    pub(super) fn charge(&mut self, bytes: usize, span: Span) -> Result<(), Error> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes <= MAX_GRAPH_BYTES {
            return Ok(());
        }
        Err(Error::new(
            span,
            format!("the expanded steps of this Dockerfile are larger than {MAX_GRAPH_BYTES} bytes"),
        )
        .with_hint("use fewer steps, or smaller variables"))
    }
}

fn outcome(config: ImageConfig, platform: Platform) -> Outcome {
    let mut variables = Variables::default();
    for (name, value) in &config.env {
        variables.set_env(name, value);
    }
    let directory = super::paths::absolute("/", &config.working_dir);
    Outcome { config, variables, directory, platform }
}

pub(super) fn stage_id(index: usize) -> StageId {
    StageId(u32::try_from(index).unwrap_or(u32::MAX))
}

/// Build arguments that no `ARG` declares.
fn unused_arguments(plan: &Plan, declared: &BTreeSet<String>) -> Option<Diagnostic> {
    let predefined =
        |name: &str| super::run::is_proxy(name) || name.starts_with("BUILDKIT_") || name == EPOCH;
    let unused: Vec<&str> = plan
        .options
        .build_args
        .keys()
        .map(String::as_str)
        .filter(|name| !declared.contains(*name) && !predefined(name))
        .collect();
    let first = unused.first()?;
    let names: Vec<String> = unused.iter().map(|name| format!("`{name}`")).collect();
    let message = format!("build arguments that no `ARG` declares: {}", names.join(", "));
    let hint = nearest(first, declared.iter().map(String::as_str)).map_or_else(
        || format!("add `ARG {first}` to the stage that uses it"),
        |candidate| format!("did you mean `{candidate}`?"),
    );
    Some(Diagnostic::warning(Span::at(1, 1), message).with_hint(hint))
}
