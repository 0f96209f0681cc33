//! The instructions of one stage into steps, with the configuration and variables carried along.

use farm_model::op::Workdir;
use farm_model::{ImageConfig, Op, Step, StepId};

use super::build::{Lowering, Outcome, stage_id};
use super::need::in_trigger;
use super::plan::TriggerPlace;
use super::variables::Expansions;
use super::{history, paths, ports, signal, size};
use crate::ast::Word;
use crate::diagnostic::{Diagnostic, Error, Span};
use crate::instruction::{ArgDefinition, CommandLine, Form, Instruction, Kind, Pair};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Settings of the builder that commands do not see.
const NOT_FOR_COMMANDS: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];
/// More than every port of every protocol.
const MAX_PORTS: usize = 1 << 20;
/// An `EXPOSE` with more ports than this stands in the history as it was written.
const MAX_PORTS_IN_HISTORY: usize = 1000;

/// Lowers one stage.
pub(super) struct StageBuilder<'a, 'b> {
    pub(super) shared: &'a mut Lowering<'b>,
    pub(super) index: usize,
    /// What was reached so far.
    pub(super) outcome: Outcome,
    /// The `ARG`s of this stage, for the history.
    pub(super) arguments: Vec<(String, Option<String>)>,
    steps: Vec<Step>,
    exposed: usize,
}

/// What an instruction comes to.
pub(super) struct Effect {
    pub(super) op: Op,
    pub(super) created_by: String,
    /// What progress shows behind the instruction.
    pub(super) remark: Option<String>,
}

impl Effect {
    fn metadata(created_by: String) -> Self {
        Self { op: Op::Metadata, created_by, remark: None }
    }
}

impl<'a, 'b> StageBuilder<'a, 'b> {
    pub(super) fn new(shared: &'a mut Lowering<'b>, index: usize, mut outcome: Outcome) -> Self {
        outcome.config.cmd_set = false;
        outcome.config.created = None;
        Self { shared, index, outcome, arguments: Vec::new(), steps: Vec::new(), exposed: 0 }
    }

    /// A stage always has a search path, as containers have.
    pub(super) fn default_path(&mut self) {
        if self.outcome.variables.env().get("PATH").is_none() {
            self.outcome.variables.set_env("PATH", DEFAULT_PATH);
        }
    }

    /// Runs what the base deferred. The base's triggers are then spent.
    pub(super) fn triggers(&mut self) -> Result<(), Error> {
        let plan = self.shared.plan;
        let stage = &plan.stages[self.index];
        for trigger in &stage.triggers {
            if let Kind::Arg(definitions) = &trigger.instruction.kind {
                let names = definitions.iter().map(|definition| definition.name.text.clone());
                self.shared.declared.extend(names);
            }
            let result = self.step(&trigger.instruction, trigger.place);
            result.map_err(|error| match trigger.place {
                TriggerPlace::Here => error,
                TriggerPlace::Image => in_trigger(&error, stage.span),
            })?;
        }
        self.outcome.config.on_build.clear();
        Ok(())
    }

    pub(super) fn instruction(&mut self, instruction: &Instruction) -> Result<(), Error> {
        self.step(instruction, TriggerPlace::Here)
    }

    pub(super) fn finish(mut self) -> (Vec<Step>, Outcome) {
        self.outcome.config.env = self.outcome.variables.env().entries().to_vec();
        (self.steps, self.outcome)
    }

    pub(super) fn expansions(&self) -> Expansions<'_> {
        Expansions::new(self.shared.plan.escape, self.outcome.variables.visible())
    }

    pub(super) fn config(&mut self) -> &mut ImageConfig {
        &mut self.outcome.config
    }

    /// The shell of shell forms.
    pub(super) fn shell(&self) -> Vec<String> {
        let given = self.outcome.config.shell.as_ref().filter(|shell| !shell.is_empty());
        given.cloned().unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()])
    }

    fn step(&mut self, instruction: &Instruction, place: TriggerPlace) -> Result<(), Error> {
        let name = self.display(instruction);
        let Some(Effect { op, created_by, remark }) = self.effect(instruction)? else {
            return Ok(());
        };
        let name = remark.map_or_else(|| name.clone(), |remark| format!("{name} ({remark})"));
        let author = self.outcome.config.author.clone();
        let texts = name.len() + created_by.len() + author.as_ref().map_or(0, String::len);
        self.shared.charge(texts + size::of_op(&op), instruction.span)?;
        let step = Step {
            id: StepId {
                stage: stage_id(self.index),
                index: u32::try_from(self.steps.len()).unwrap_or(u32::MAX),
            },
            name,
            created_by,
            author,
            lines: (place == TriggerPlace::Here)
                .then_some((instruction.span.line, instruction.span.end_line)),
            op,
        };
        self.steps.push(step);
        Ok(())
    }

    fn display(&self, instruction: &Instruction) -> String {
        let rest =
            instruction.original.trim_start().split_once(char::is_whitespace).map_or("", |(_, rest)| rest);
        format!("{} {}", instruction.kind.name(), self.expansions().display(rest.trim_start()))
    }

    fn effect(&mut self, instruction: &Instruction) -> Result<Option<Effect>, Error> {
        let span = instruction.span;
        let created_by = match &instruction.kind {
            Kind::Run(run) => return self.run(run, span).map(Some),
            Kind::Transfer(transfer) => return self.transfer(transfer, instruction).map(Some),
            Kind::Workdir(path) => return self.workdir(path).map(Some),
            Kind::Onbuild(onbuild) => {
                // As in Docker's own builder: no entry in the history.
                self.config().on_build.push(onbuild.expression.clone());
                return Ok(None);
            }
            Kind::From(_) => {
                return Err(Error::new(span, "FROM isn't allowed as an ONBUILD trigger")
                    .with_hint("a trigger is any other instruction"));
            }
            Kind::Arg(definitions) => self.arg(definitions, span)?,
            Kind::Env(pairs) => self.env(pairs, span)?,
            Kind::Label(pairs) => self.label(pairs, span)?,
            Kind::Cmd(command) => self.cmd(command),
            Kind::Entrypoint(command) => self.entrypoint(command),
            Kind::Expose(ports) => self.expose(ports, span)?,
            Kind::Health(health) => {
                self.config().healthcheck = Some(health.0.clone());
                history::health(&health.0)
            }
            Kind::Maintainer(name) => {
                let warning = Diagnostic::warning(span, "MAINTAINER is deprecated");
                let hint = "write `LABEL org.opencontainers.image.authors=\"…\"`";
                self.shared.warnings.push(warning.with_hint(hint));
                self.config().author = Some(name.clone());
                format!("MAINTAINER {name}")
            }
            Kind::Shell(words) => {
                self.config().shell = Some(words.clone());
                format!("SHELL {}", history::plain_list(words))
            }
            Kind::StopSignal(word) => {
                let text = self.expansions().word(word)?;
                signal::check(&text, word.span)?;
                self.config().stop_signal = Some(text.clone());
                format!("STOPSIGNAL {text}")
            }
            Kind::User(word) => {
                let user = self.expansions().word(word)?;
                self.config().user.clone_from(&user);
                format!("USER {user}")
            }
            Kind::Volume(words) => self.volume(words)?,
        };
        Ok(Some(Effect::metadata(created_by)))
    }

    fn arg(&mut self, definitions: &[ArgDefinition], span: Span) -> Result<String, Error> {
        let plan = self.shared.plan;
        let mut shown = String::from("ARG");
        for ArgDefinition { name, value } in definitions {
            let given = plan.options.build_args.get(&name.text).cloned();
            let value = match (given, value) {
                (Some(given), _) => Some(given),
                (None, Some(default)) => Some(self.expansions().word(default)?),
                (None, None) => plan.globals.get(&name.text).map(str::to_owned),
            };
            shown.push(' ');
            shown.push_str(&name.text);
            if let Some(value) = &value {
                shown.push('=');
                shown.push_str(value);
                if !NOT_FOR_COMMANDS.contains(&name.text.as_str()) {
                    self.outcome.variables.set_arg(&name.text, value);
                    self.outcome.variables.check_size(span)?;
                }
            }
            self.arguments.push((name.text.clone(), value));
        }
        Ok(shown)
    }

    /// Names and values, all expanded before any of them is set.
    fn pairs(&mut self, pairs: &[Pair], name: &str, span: Span) -> Result<Vec<(String, String)>, Error> {
        if pairs.iter().any(|pair| pair.legacy) {
            let warning = Diagnostic::warning(span, format!("`{name} name value` is the legacy form"));
            self.shared.warnings.push(warning.with_hint(format!("write `{name} name=value`")));
        }
        let expansions = self.expansions();
        let expanded = pairs.iter().map(|pair| {
            let key = expansions.word(&pair.name)?;
            if key.is_empty() {
                return Err(Error::new(pair.name.span, format!("{name} names can not be blank"))
                    .with_hint("the variable in the name is empty; give it a value"));
            }
            Ok((key, expansions.word(&pair.value)?))
        });
        expanded.collect()
    }

    fn env(&mut self, pairs: &[Pair], span: Span) -> Result<String, Error> {
        let pairs = self.pairs(pairs, "ENV", span)?;
        for (name, value) in &pairs {
            self.outcome.variables.set_env(name, value);
        }
        self.outcome.variables.check_size(span)?;
        Ok(with_pairs("ENV", &pairs))
    }

    fn label(&mut self, pairs: &[Pair], span: Span) -> Result<String, Error> {
        let pairs = self.pairs(pairs, "LABEL", span)?;
        self.config().labels.extend(pairs.iter().cloned());
        Ok(with_pairs("LABEL", &pairs))
    }

    fn cmd(&mut self, command: &CommandLine) -> String {
        let words = command.with_shell(&self.shell());
        let shown = format!("CMD {}", history::quoted_list(&words));
        self.config().cmd = Some(words);
        self.config().cmd_set = true;
        shown
    }

    fn entrypoint(&mut self, command: &CommandLine) -> String {
        let words = command.with_shell(&self.shell());
        let shown = format!("ENTRYPOINT {}", history::quoted_list(&words));
        let none = command.form == Form::Exec && words.is_empty();
        let config = self.config();
        config.entrypoint = (!none).then_some(words);
        if !config.cmd_set {
            config.cmd = None;
        }
        shown
    }

    fn expose(&mut self, words: &[Word], span: Span) -> Result<String, Error> {
        let mut specs = Vec::new();
        for word in words {
            for text in self.expansions().words(word)? {
                specs.push((ports::Ports::parse(&text, word.span)?, text));
            }
        }
        let count: usize = specs.iter().map(|(ports, _)| ports.count()).sum();
        self.exposed += count;
        if self.exposed > MAX_PORTS {
            return Err(Error::new(span, format!("this stage exposes more than {MAX_PORTS} ports"))
                .with_hint("name each port once"));
        }
        for (ports, _) in &specs {
            self.config().exposed_ports.extend(ports.each());
        }
        let shown: Vec<String> = if count > MAX_PORTS_IN_HISTORY {
            specs.into_iter().map(|(_, text)| text).collect()
        } else {
            specs.iter().flat_map(|(ports, _)| ports.each()).collect()
        };
        Ok(format!("EXPOSE {}", history::plain_list(&shown)))
    }

    fn volume(&mut self, words: &[Word]) -> Result<String, Error> {
        let mut volumes = Vec::with_capacity(words.len());
        for word in words {
            let volume = self.expansions().word(word)?;
            if volume.is_empty() {
                return Err(Error::new(word.span, "VOLUME specified can not be an empty string")
                    .with_hint("the variable is empty; give it a value"));
            }
            volumes.push(volume);
        }
        self.config().volumes.extend(volumes.iter().cloned());
        Ok(format!("VOLUME {}", history::plain_list(&volumes)))
    }

    /// An absolute path stands in the configuration as it was written, trailing slash included.
    fn workdir(&mut self, word: &Word) -> Result<Effect, Error> {
        let path = self.expansions().word(word)?;
        let current = if self.outcome.config.working_dir.is_empty() {
            "/".to_owned()
        } else {
            self.outcome.config.working_dir.clone()
        };
        let directory = if path.starts_with('/') {
            path
        } else if path.is_empty() {
            current
        } else {
            paths::absolute(&current, &path)
        };
        let cleaned = paths::absolute("/", &directory);
        let created_by = format!("WORKDIR {directory}");
        self.outcome.config.working_dir = directory;
        self.outcome.directory.clone_from(&cleaned);
        let user = self.outcome.config.user.clone();
        let op = if cleaned == "/" { Op::Metadata } else { Op::Workdir(Workdir { path: cleaned, user }) };
        Ok(Effect { op, created_by, remark: None })
    }
}

fn with_pairs(name: &str, pairs: &[(String, String)]) -> String {
    let mut shown = String::from(name);
    for (key, value) in pairs {
        shown.push(' ');
        shown.push_str(key);
        shown.push('=');
        shown.push_str(value);
    }
    shown
}
