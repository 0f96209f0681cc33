//! From the target to everything that it needs.

use std::collections::HashMap;

use farm_model::ImageConfig;
use farm_model::graph::Image;

use super::plan::{Plan, PlannedBase, StageState, Trigger, TriggerPlace};
use crate::ast::Word;
use crate::diagnostic::{Error, Span};
use crate::instruction::{self, Instruction, Kind};

/// A Dockerfile whose needed stages are known, as far as the configurations of its base images are.
#[derive(Debug)]
pub struct Prepared {
    pub(super) plan: Plan,
    pub(super) target: usize,
    pub(super) configs: HashMap<Image, ImageConfig>,
    wanted: Vec<Image>,
    /// How much the triggers of all stages take, about.
    trigger_bytes: usize,
}

/// Each stage repeats the triggers of its base, so this could explode.
const MAX_TRIGGER_BYTES: usize = 64 << 20;
/// What a trigger takes besides its text.
const TRIGGER_BYTES: usize = 512;

impl Prepared {
    pub(super) fn new(plan: Plan) -> Result<Self, Error> {
        let target = plan.target()?;
        refuse_cycles(&plan)?;
        let mut prepared =
            Self { plan, target, configs: HashMap::new(), wanted: Vec::new(), trigger_bytes: 0 };
        prepared.need(vec![target])?;
        Ok(prepared)
    }

    /// The base images whose configuration is needed now. [`provide`](Self::provide) may add to them.
    pub fn wanted(&self) -> &[Image] {
        &self.wanted
    }

    /// First and last line of the first `FROM` that starts from `image`, for messages.
    pub fn lines_of(&self, image: &Image) -> Option<(u32, u32)> {
        let from_it = |base: &PlannedBase| matches!(base, PlannedBase::Image(base) if base == image);
        let stage = self.plan.stages.iter().find(|stage| from_it(&stage.base))?;
        Some((stage.span.line, stage.span.end_line))
    }

    /// Takes the configuration of a wanted image. Its `ONBUILD` triggers may need further images.
    ///
    /// # Errors
    /// A trigger that is not one valid instruction, or that refers to a stage which is not there yet.
    pub fn provide(&mut self, image: &Image, config: ImageConfig) -> Result<(), Error> {
        self.wanted.retain(|wanted| wanted != image);
        self.configs.insert(image.clone(), config);
        for index in 0..self.plan.stages.len() {
            let stage = &self.plan.stages[index];
            let starts_from_it = matches!(&stage.base, PlannedBase::Image(base) if base == image);
            if stage.state == StageState::Needed && starts_from_it && stage.triggers.is_empty() {
                let triggers = self.triggers_of(index)?;
                let needed = self.references_of_triggers(index, &triggers)?;
                self.plan.stages[index].triggers = triggers;
                self.need(needed)?;
            }
        }
        Ok(())
    }

    /// Marks stages, and what they need in turn.
    fn need(&mut self, mut pending: Vec<usize>) -> Result<(), Error> {
        while let Some(index) = pending.pop() {
            let stage = &mut self.plan.stages[index];
            let replaced = match stage.state {
                StageState::Needed => continue,
                StageState::Replaced => true,
                StageState::Idle => false,
            };
            let base = stage.base.clone();
            if !replaced {
                stage.state = StageState::Needed;
            }
            match base {
                PlannedBase::Image(image)
                    if !self.configs.contains_key(&image) && !self.wanted.contains(&image) =>
                {
                    self.wanted.push(image);
                }
                PlannedBase::Stage(base) => pending.push(base),
                PlannedBase::Image(_) | PlannedBase::Scratch | PlannedBase::Context(_) => {}
            }
            if replaced {
                continue;
            }
            let triggers = self.triggers_of(index)?;
            pending.extend(self.references_of_triggers(index, &triggers)?);
            pending.extend(self.references(index, self.plan.stages[index].instructions.iter())?);
            self.plan.stages[index].triggers = triggers;
        }
        Ok(())
    }

    /// The triggers that run first in a stage; none as long as its base image is not known.
    fn triggers_of(&mut self, index: usize) -> Result<Vec<Trigger>, Error> {
        let stage = &self.plan.stages[index];
        let span = stage.span;
        let triggers: Vec<Trigger> = match &stage.base {
            PlannedBase::Scratch | PlannedBase::Context(_) => Vec::new(),
            PlannedBase::Stage(base) => {
                let deferred = self.plan.stages[*base].instructions.iter().filter_map(|instruction| {
                    let Kind::Onbuild(onbuild) = &instruction.kind else { return None };
                    let instruction = instruction::parse(&onbuild.trigger);
                    Some(instruction.map(|instruction| Trigger { instruction, place: TriggerPlace::Here }))
                });
                deferred.collect::<Result<_, _>>()?
            }
            PlannedBase::Image(image) => {
                let texts = self.configs.get(image).map_or(&[][..], |config| config.on_build.as_slice());
                texts.iter().map(|text| image_trigger(text, span)).collect::<Result<_, _>>()?
            }
        };
        let sizes = triggers.iter().map(|trigger| trigger.instruction.original.len() + TRIGGER_BYTES);
        self.trigger_bytes += sizes.sum::<usize>();
        if self.trigger_bytes > MAX_TRIGGER_BYTES {
            return Err(Error::new(
                span,
                format!("the ONBUILD triggers of all stages are larger than {MAX_TRIGGER_BYTES} bytes"),
            )
            .with_hint("put what they do into the stages that need it"));
        }
        Ok(triggers)
    }

    fn references_of_triggers(&self, index: usize, triggers: &[Trigger]) -> Result<Vec<usize>, Error> {
        let mut needed = Vec::new();
        for Trigger { instruction, place } in triggers {
            let found = self.references(index, std::iter::once(instruction));
            needed.extend(found.map_err(|error| match place {
                TriggerPlace::Here => error,
                TriggerPlace::Image => in_trigger(&error, self.plan.stages[index].span),
            })?);
        }
        Ok(needed)
    }

    /// The stages that instructions of stage `index` read; all of them must come before it.
    fn references<'a>(
        &self,
        index: usize,
        instructions: impl Iterator<Item = &'a Instruction>,
    ) -> Result<Vec<usize>, Error> {
        let mut needed = Vec::new();
        for instruction in instructions {
            for word in sources(instruction) {
                if let PlannedBase::Stage(source) = self.plan.source(word)? {
                    check_order(&self.plan, index, source, instruction, word)?;
                    needed.push(source);
                }
            }
        }
        Ok(needed)
    }
}

/// The words by which an instruction names stages or images to read.
fn sources(instruction: &Instruction) -> Vec<&Word> {
    if let Kind::Transfer(transfer) = &instruction.kind {
        transfer.from.iter().collect()
    } else if let Kind::Run(run) = &instruction.kind {
        run.mounts.iter().filter_map(|mount| mount.from.as_ref()).collect()
    } else {
        Vec::new()
    }
}

/// A stage can only read what was made before it.
pub(super) fn check_order(
    plan: &Plan,
    index: usize,
    source: usize,
    instruction: &Instruction,
    word: &Word,
) -> Result<(), Error> {
    if source < index {
        return Ok(());
    }
    let verb = if matches!(instruction.kind, Kind::Run(_)) { "mount" } else { "copy" };
    let current = plan.stages[index].display_name(index);
    let message = format!(
        "cannot {verb} from stage \"{}\", it needs to be defined before current stage \"{current}\"",
        word.text
    );
    Err(Error::new(word.span, message).with_hint("move the stage up, above the one that reads it"))
}

/// An instruction from an image's configuration.
fn image_trigger(text: &str, from: Span) -> Result<Trigger, Error> {
    let foreign = |error: Error| in_trigger(&error, from);
    let ast = crate::parser::parse(text.as_bytes()).map_err(foreign)?;
    let [node] = ast.nodes.as_slice() else {
        return Err(Error::new(from, "onbuild trigger should be a single expression")
            .with_hint(format!("the base image defers `{text}`; use another image")));
    };
    if matches!(node.keyword.as_str(), "from" | "maintainer" | "onbuild") {
        let name = node.keyword.to_ascii_uppercase();
        return Err(Error::new(from, format!("{name} isn't allowed as an ONBUILD trigger"))
            .with_hint("the base image defers it; use another image"));
    }
    let instruction = instruction::parse(node).map_err(foreign)?;
    Ok(Trigger { instruction, place: TriggerPlace::Image })
}

/// An error in a trigger of an image, shown at the `FROM` line that brought it.
pub(super) fn in_trigger(error: &Error, from: Span) -> Error {
    let diagnostic = error.diagnostic();
    let shown = Error::new(from, format!("in an ONBUILD trigger of the base image: {}", diagnostic.message));
    match &diagnostic.hint {
        Some(hint) => shown.with_hint(hint.clone()),
        None => shown,
    }
}

/// How far a stage has been looked at.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Visit {
    New,
    Open,
    Done,
}

/// Reports stages that read each other in a circle, also when the target needs none of them.
fn refuse_cycles(plan: &Plan) -> Result<(), Error> {
    let mut edges: Vec<Vec<(usize, Span)>> = Vec::with_capacity(plan.stages.len());
    for stage in &plan.stages {
        let mut own = Vec::new();
        for word in stage.instructions.iter().flat_map(sources) {
            if let PlannedBase::Stage(source) = plan.source(word)? {
                own.push((source, word.span));
            }
        }
        edges.push(own);
    }
    let mut visits = vec![Visit::New; edges.len()];
    for start in 0..edges.len() {
        if visits[start] == Visit::New {
            visits[start] = Visit::Open;
            walk(plan, &edges, &mut visits, start)?;
        }
    }
    Ok(())
}

/// Depth first, with a stack of our own: a Dockerfile may have any number of stages.
fn walk(plan: &Plan, edges: &[Vec<(usize, Span)>], visits: &mut [Visit], start: usize) -> Result<(), Error> {
    let mut path = vec![(start, 0)];
    while let Some((stage, next)) = path.last_mut() {
        let stage = *stage;
        let Some((source, span)) = edges[stage].get(*next).copied() else {
            visits[stage] = Visit::Done;
            path.pop();
            continue;
        };
        *next += 1;
        match visits[source] {
            Visit::Done => {}
            Visit::New => {
                visits[source] = Visit::Open;
                path.push((source, 0));
            }
            Visit::Open => {
                let name = plan.stages[source].display_name(source);
                return Err(Error::new(span, format!("circular dependency detected on stage: {name}"))
                    .with_hint("a stage cannot read what depends on itself"));
            }
        }
    }
    Ok(())
}
