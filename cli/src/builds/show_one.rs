//! `farm builds show`: a build step by step.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use farm_client::Client;
use farm_model::event::{Ending, Requested, StageSize};
use farm_model::{BuildEvent, BuildId, StepId};

use crate::failure::Failure;
use crate::progress::size;
use crate::show;

/// What is shown of a step.
#[derive(Clone, Debug, Default)]
struct Line {
    title: String,
    state: String,
    /// The build that asked for it first, when that is another one.
    shared: Option<BuildId>,
    took: String,
    bytes: String,
}

/// The fold behind the page.
#[derive(Default)]
struct Page {
    requested: Option<Requested>,
    order: Vec<StepId>,
    steps: BTreeMap<StepId, Line>,
    stages: Vec<StageSize>,
    ending: Option<Ending>,
    at: u64,
}

pub(super) async fn run(client: &Client, build: BuildId) -> Result<(), Failure> {
    let mut page = Page::default();
    super::replay(client, build, |recorded| {
        page.at = recorded.at;
        page.apply(recorded.event);
    })
    .await?;
    show::text(&page.render(build))
}

impl Page {
    fn apply(&mut self, event: BuildEvent) {
        match event {
            BuildEvent::Requested(requested) => self.requested = Some(requested),
            BuildEvent::Planned { steps } => {
                self.order = steps.iter().map(|step| step.id).collect();
                self.steps.clear();
                for step in steps {
                    let name = step.name.lines().next().unwrap_or_default();
                    let line = Line { title: format!("{}: {name}", step.stage), ..Line::default() };
                    self.steps.insert(step.id, line);
                }
            }
            BuildEvent::Cached { step, .. } => self.state(step, "cached"),
            BuildEvent::Queued { step } => self.state(step, "waiting"),
            BuildEvent::Shared { step, build } => {
                if let Some(line) = self.steps.get_mut(&step) {
                    line.shared = Some(build);
                }
                self.state(step, &format!("shared with {build}"));
            }
            BuildEvent::Started { step, worker } => {
                let place =
                    worker.map_or_else(|| "running".to_owned(), |worker| format!("running on {worker}"));
                let shared = self.steps.get(&step).and_then(|line| line.shared);
                let shared = shared.map(|build| format!(", shared with {build}")).unwrap_or_default();
                self.state(step, &(place + &shared));
            }
            BuildEvent::Finished { step, micros, bytes, .. } => {
                self.state(step, "done");
                if let Some(line) = self.steps.get_mut(&step) {
                    (line.took, line.bytes) = (show::span(micros), size(bytes));
                }
            }
            BuildEvent::Failed { step, exit } => self.state(step, &format!("failed: {exit}")),
            BuildEvent::Completed { stages, .. } => self.stages = stages,
            BuildEvent::Ended(ending) => self.ending = Some(ending),
            BuildEvent::Resumed { .. } => self.ending = None,
            BuildEvent::ContextScanned { .. }
            | BuildEvent::ContextTaken { .. }
            | BuildEvent::ImageResolved { .. }
            | BuildEvent::LayerPulled { .. }
            | BuildEvent::Missed { .. }
            | BuildEvent::Expected { .. }
            | BuildEvent::Fetched { .. }
            | BuildEvent::Retried { .. }
            | BuildEvent::Logged { .. }
            | BuildEvent::Warned { .. }
            | BuildEvent::Exported { .. } => {}
        }
    }

    fn state(&mut self, step: StepId, state: &str) {
        if let Some(line) = self.steps.get_mut(&step) {
            state.clone_into(&mut line.state);
        }
    }

    fn render(&self, build: BuildId) -> String {
        let mut facts = vec![vec!["build".to_owned(), build.to_string()]];
        let mut fact = |name: &str, value: String| facts.push(vec![name.to_owned(), value]);
        if let Some(requested) = &self.requested {
            fact("dockerfile", requested.dockerfile.clone());
            fact("context", requested.context.clone());
            if !requested.names.is_empty() {
                fact("names", requested.names.join(", "));
            }
            fact("started", show::ago(requested.time));
        }
        fact("took", show::span(self.at));
        fact("state", self.ending.as_ref().map_or("running", ending).to_owned());
        let mut out = show::table(facts);
        out.push('\n');
        let heading = ["STEP", "STATE", "TOOK", "SIZE"].map(str::to_owned).to_vec();
        let lines = self.order.iter().filter_map(|step| self.steps.get(step));
        let row =
            |line: &Line| vec![line.title.clone(), line.state.clone(), line.took.clone(), line.bytes.clone()];
        out.push_str(&show::table(std::iter::once(heading).chain(lines.map(row)).collect()));
        if !self.stages.is_empty() {
            out.push('\n');
            let heading = ["STAGE", "SIZE", "ENTRIES", ""].map(str::to_owned).to_vec();
            let row = |stage: &StageSize| {
                let mark = if stage.kept { "<- image" } else { "" };
                vec![stage.stage.clone(), size(stage.bytes), stage.entries.to_string(), mark.to_owned()]
            };
            out.push_str(&show::table(std::iter::once(heading).chain(self.stages.iter().map(row)).collect()));
        }
        if let Some(Ending::Failed(failure)) = &self.ending {
            let _infallible = writeln!(out, "\nerror: {}", failure.message.trim_end());
        }
        out
    }
}

fn ending(ending: &Ending) -> &'static str {
    match ending {
        Ending::Succeeded { .. } => "succeeded",
        Ending::Failed(_) => "failed",
        Ending::Cancelled => "cancelled",
        Ending::Interrupted => "interrupted",
    }
}
