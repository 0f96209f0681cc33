//! The stages as far as the Dockerfile alone tells: names, bases, and what refers to what.

use std::collections::BTreeMap;

use farm_model::graph::Image;
use farm_model::{ContextName, ImageSource, Platform, Reference};

use super::globals::{self, EPOCH};
use super::options::{Named, Options};
use super::variables::{Expansions, Table};
use crate::ast::{Ast, Word};
use crate::diagnostic::{Diagnostic, Error, Span};
use crate::instruction::{self, From, Instruction, Kind, suggest};

/// A Dockerfile with its `FROM` lines expanded.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) options: Options,
    pub(super) escape: char,
    pub(super) globals: Table,
    pub(super) epoch: Option<i64>,
    pub(super) stages: Vec<PlannedStage>,
    /// Stages by name in lower case; of two of one name the later one.
    names: BTreeMap<String, usize>,
    pub(super) warnings: Vec<Diagnostic>,
}

/// One stage.
#[derive(Debug)]
pub(super) struct PlannedStage {
    /// The name after `AS`, in lower case.
    pub(super) name: Option<String>,
    /// The `FROM` line.
    pub(super) span: Span,
    pub(super) base: PlannedBase,
    /// `--platform`, expanded.
    pub(super) platform: Option<Platform>,
    pub(super) state: StageState,
    pub(super) instructions: Vec<Instruction>,
    /// What `ONBUILD` of its base puts before its own instructions; known once the stage is needed.
    pub(super) triggers: Vec<Trigger>,
}

/// What becomes of a stage.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum StageState {
    /// The target does not need it, as far as is known.
    Idle,
    /// The target needs it.
    Needed,
    /// A named context of its name stands in its place; `base` is that context.
    Replaced,
}

/// What a stage starts from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum PlannedBase {
    Scratch,
    Stage(usize),
    Image(Image),
    Context(ContextName),
}

/// An instruction that `ONBUILD` deferred.
#[derive(Clone, Debug)]
pub(super) struct Trigger {
    pub(super) instruction: Instruction,
    pub(super) place: TriggerPlace,
}

/// Where a trigger is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum TriggerPlace {
    /// In this Dockerfile.
    Here,
    /// In the configuration of an image, where spans mean nothing to the reader.
    Image,
}

impl PlannedStage {
    /// The name, else the number.
    pub(super) fn display_name(&self, index: usize) -> String {
        self.name.clone().unwrap_or_else(|| index.to_string())
    }
}

/// The instructions of one stage, as they were found.
struct Found {
    from: From,
    span: Span,
    instructions: Vec<Instruction>,
}

impl Plan {
    pub(super) fn new(ast: &Ast, mut options: Options) -> Result<Self, Error> {
        let (definitions, found) = split(ast)?;
        let last_stage =
            found.last().and_then(|stage| stage.from.name.as_ref()).map(|name| name.text.as_str());
        let mut globals = globals::platform_arguments(&options, last_stage);
        let mut epoch_span = found.first().map_or(Span::at(1, 1), |stage| stage.span);
        for instruction in &definitions {
            let Kind::Arg(definitions) = &instruction.kind else { continue };
            globals::declare(&mut globals, definitions, &options, ast.escape)?;
            globals_size(&globals, instruction.span)?;
            if let Some(named) = definitions.iter().find(|definition| definition.name.text == EPOCH) {
                epoch_span = named.name.span;
            }
        }
        let given = options.build_args.get(EPOCH).cloned();
        let value = given.clone().or_else(|| globals.get(EPOCH).map(str::to_owned)).unwrap_or_default();
        let stages: Vec<_> =
            found.iter().map(|stage| (stage.from.name.as_ref(), stage.instructions.as_slice())).collect();
        let epoch = globals::source_date_epoch(&value, epoch_span, &options, &stages)?;
        let resolved = epoch.map(|seconds| seconds.to_string()).unwrap_or_default();
        if globals.get(EPOCH).is_some() {
            globals.set(EPOCH, &resolved);
        }
        if given.is_some() {
            options.build_args.insert(EPOCH.to_owned(), resolved);
        }
        let mut plan = Self {
            options,
            escape: ast.escape,
            globals,
            epoch,
            stages: Vec::with_capacity(found.len()),
            names: BTreeMap::new(),
            warnings: ast.warnings.clone(),
        };
        found.into_iter().try_for_each(|stage| plan.add(stage))?;
        Ok(plan)
    }

    fn add(&mut self, found: Found) -> Result<(), Error> {
        let Found { from, span, instructions } = found;
        let base = Expansions::new(self.escape, &self.globals).word(&from.base)?;
        if base.is_empty() {
            let message = format!("base name ({}) should not be blank", from.base.text);
            return Err(Error::new(from.base.span, message)
                .with_hint("give the variable a value: `ARG` before the first `FROM`, or `--build-arg`"));
        }
        let platform = self.platform(&from)?;
        let wanted = platform.as_ref().unwrap_or(self.options.target_platform()).clone();
        let name = from.name.as_ref().map(|name| name.text.clone());
        let replacement = name.as_deref().and_then(|name| self.options.context(name, &wanted));
        let (state, base) = match replacement {
            Some(named) => (StageState::Replaced, named_base(named, wanted)),
            None => (StageState::Idle, self.base(&Word { text: base, span: from.base.span }, wanted)?),
        };
        if let Some(name) = &from.name {
            self.register(name);
        }
        self.stages.push(PlannedStage {
            name,
            span,
            base,
            platform,
            state,
            instructions,
            triggers: Vec::new(),
        });
        Ok(())
    }

    fn register(&mut self, name: &Word) {
        let text = &name.text;
        if matches!(text.as_str(), "scratch" | "context") {
            let warning = Diagnostic::warning(name.span, format!("stage name `{text}` is reserved"));
            self.warnings.push(warning.with_hint("choose another name"));
        }
        if self.names.insert(text.clone(), self.stages.len()).is_some() {
            let warning = Diagnostic::warning(name.span, format!("stage name `{text}` is used twice"));
            self.warnings
                .push(warning.with_hint("the later stage is meant from here on; choose another name"));
        }
    }

    fn platform(&self, from: &From) -> Result<Option<Platform>, Error> {
        let Some(word) = &from.platform else {
            return Ok(None);
        };
        let text = Expansions::new(self.escape, &self.globals).word(word)?;
        let hint = "write an operating system and an architecture, such as `linux/arm64`";
        if text.is_empty() {
            let message = format!("empty platform value from expression {}", word.text);
            return Err(Error::new(word.span, message).with_hint(hint));
        }
        let parsed = parse_platform(&text, &self.options.build_platform);
        parsed.map(Some).ok_or_else(|| {
            Error::new(word.span, format!("failed to parse platform {}: `{text}`", word.text)).with_hint(hint)
        })
    }

    /// What `FROM` names: an earlier stage, `scratch`, a named context, or an image.
    fn base(&self, word: &Word, platform: Platform) -> Result<PlannedBase, Error> {
        if let Some(index) = self.names.get(&word.text) {
            let stage = &self.stages[*index];
            return Ok(match stage.state {
                StageState::Replaced => stage.base.clone(),
                StageState::Idle | StageState::Needed => PlannedBase::Stage(*index),
            });
        }
        if word.text == "scratch" {
            return Ok(PlannedBase::Scratch);
        }
        match self.image(word, platform) {
            Ok(base) => Ok(base),
            Err(error) if self.names.contains_key(&word.text.to_lowercase()) => {
                Err(error.with_hint(format!("the stage is called `{}`", word.text.to_lowercase())))
            }
            Err(error) => Err(error),
        }
    }

    fn image(&self, word: &Word, platform: Platform) -> Result<PlannedBase, Error> {
        let reference: Reference =
            word.text.parse().map_err(|error: farm_model::reference::InvalidReference| {
                let message = format!(
                    "failed to parse stage name \"{}\": invalid reference format: {}",
                    word.text, error.reason
                );
                let names = self.names.keys().map(String::as_str);
                suggest(Error::new(word.span, message), &word.text, names, "name a stage or an image")
            })?;
        if let Some(named) = self.options.context(&word.text, &platform) {
            return Ok(named_base(named, platform));
        }
        Ok(PlannedBase::Image(Image { source: ImageSource::Registry(reference), platform }))
    }

    /// What `--from` and `from=` name: a stage by number or name, `scratch`, a named context, or an image.
    pub(super) fn source(&self, word: &Word) -> Result<PlannedBase, Error> {
        if let Ok(number) = word.text.parse::<i64>() {
            let index = usize::try_from(number).ok().filter(|index| *index < self.stages.len());
            return index.map(|index| self.stage_as_source(index)).ok_or_else(|| {
                let hint =
                    format!("the stages are numbered from 0 to {}", self.stages.len().saturating_sub(1));
                Error::new(word.span, format!("invalid stage index {number}")).with_hint(hint)
            });
        }
        if let Some(index) = self.names.get(&word.text.to_lowercase()) {
            return Ok(self.stage_as_source(*index));
        }
        if word.text == "scratch" {
            return Ok(PlannedBase::Scratch);
        }
        self.image(word, self.options.target_platform().clone())
    }

    fn stage_as_source(&self, index: usize) -> PlannedBase {
        let stage = &self.stages[index];
        match stage.state {
            StageState::Replaced => stage.base.clone(),
            StageState::Idle | StageState::Needed => PlannedBase::Stage(index),
        }
    }

    /// The stage that is to be built.
    pub(super) fn target(&self) -> Result<usize, Error> {
        let last = self.stages.len() - 1;
        let Some(name) = self.options.target.as_deref().filter(|name| !name.is_empty()) else {
            return Ok(last);
        };
        if let Some(index) = self.names.get(&name.to_lowercase()) {
            return Ok(*index);
        }
        if let Some(index) = name.parse().ok().filter(|index| *index <= last) {
            return Ok(index);
        }
        let names: Vec<&str> = self.names.keys().map(String::as_str).collect();
        let otherwise = if names.is_empty() {
            "no stage has a name; write `FROM image AS name`".to_owned()
        } else {
            format!("the stages are {}", names.join(", "))
        };
        let error = Error::new(self.stages[last].span, format!("target stage \"{name}\" could not be found"));
        Err(suggest(error, name, names, &otherwise))
    }
}

/// The instructions before the first `FROM`, and the stages. Every line is checked.
fn split(ast: &Ast) -> Result<(Vec<Instruction>, Vec<Found>), Error> {
    let mut globals = Vec::new();
    let mut stages: Vec<Found> = Vec::new();
    for node in &ast.nodes {
        let instruction = instruction::parse(node)?;
        match (instruction.kind, stages.last_mut()) {
            (Kind::From(from), _) => {
                stages.push(Found { from, span: instruction.span, instructions: Vec::new() });
            }
            (kind, Some(stage)) => stage.instructions.push(Instruction { kind, ..instruction }),
            (kind @ Kind::Arg(_), None) => globals.push(Instruction { kind, ..instruction }),
            (kind, None) => {
                let message =
                    format!("no build stage in current context: `{}` before the first `FROM`", kind.name());
                return Err(Error::new(instruction.span, message).with_hint("begin with `FROM image`"));
            }
        }
    }
    if stages.is_empty() {
        let span = ast.nodes.first().map_or(Span::at(1, 1), |node| node.span);
        return Err(
            Error::new(span, "dockerfile contains no stages to build").with_hint("add a `FROM image` line")
        );
    }
    Ok((globals, stages))
}

fn globals_size(globals: &Table, span: Span) -> Result<(), Error> {
    const MAX_BYTES: usize = 2 << 20;
    if globals.bytes() > MAX_BYTES {
        return Err(Error::new(span, format!("the global arguments are larger than {MAX_BYTES} bytes"))
            .with_hint("keep large data in files"));
    }
    Ok(())
}

fn named_base(named: Named, platform: Platform) -> PlannedBase {
    match named {
        Named::Directory(name) => PlannedBase::Context(name),
        Named::Image(source) => PlannedBase::Image(Image { source, platform }),
        Named::Scratch => PlannedBase::Scratch,
    }
}

/// One part alone is an operating system or an architecture; the machine's own fills in the other.
fn parse_platform(text: &str, own: &Platform) -> Option<Platform> {
    if text.contains('/') {
        return text.parse().ok();
    }
    let systems = ["linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "solaris", "wasip1"];
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        return None;
    }
    if systems.contains(&text.to_ascii_lowercase().as_str()) {
        return format!("{text}/{}", own.architecture).parse().ok();
    }
    let architectures = [
        "amd64", "x86_64", "x86-64", "arm64", "aarch64", "arm", "386", "i386", "ppc64le", "riscv64", "s390x",
        "mips64le",
    ];
    architectures
        .contains(&text.to_ascii_lowercase().as_str())
        .then(|| format!("{}/{text}", own.os).parse().ok())?
}
