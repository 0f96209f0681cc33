//! A build in a list: a fold over its events, and over nothing else.

use std::collections::BTreeSet;

use farm_model::event::{Ending, Requested};
use farm_model::{BuildEvent, BuildId, Recorded, StepId};
use farm_proto::client::{BuildState, BuildSummary};

/// The fold of a build's log so far.
#[derive(Clone, Debug)]
pub(crate) struct Fold {
    summary: BuildSummary,
    cached: BTreeSet<StepId>,
    done: BTreeSet<StepId>,
}

impl Fold {
    /// Of no event at all.
    pub(crate) fn new(build: BuildId) -> Self {
        let summary = BuildSummary {
            build,
            started: 0,
            micros: 0,
            state: BuildState::Running,
            dockerfile: String::new(),
            context: String::new(),
            target: None,
            names: Vec::new(),
            steps: 0,
            cached: 0,
            done: 0,
            image_bytes: None,
            client: String::new(),
        };
        Self { summary, cached: BTreeSet::new(), done: BTreeSet::new() }
    }

    /// What the events so far say.
    pub(crate) fn summary(&self) -> BuildSummary {
        let mut summary = self.summary.clone();
        summary.cached = count(&self.cached);
        summary.done = count(&self.done);
        summary
    }

    /// Who asked for the build, by the name in the certificate.
    pub(crate) fn client(&self) -> &str {
        &self.summary.client
    }

    /// Whether the last event ended the build.
    pub(crate) fn is_over(&self) -> bool {
        self.summary.state != BuildState::Running
    }

    /// Takes the next event in.
    pub(crate) fn add(&mut self, recorded: &Recorded) {
        self.summary.micros = self.summary.micros.max(recorded.at);
        match &recorded.event {
            BuildEvent::Requested(requested) => self.request(requested),
            BuildEvent::Resumed { .. } => self.summary.state = BuildState::Running,
            BuildEvent::Planned { steps } => {
                self.summary.steps = u32::try_from(steps.len()).unwrap_or(u32::MAX);
                self.cached.clear();
                self.done.clear();
            }
            BuildEvent::Cached { step, .. } => {
                self.cached.insert(*step);
                self.done.insert(*step);
            }
            BuildEvent::Finished { step, .. } => {
                self.done.insert(*step);
            }
            BuildEvent::Completed { image_bytes, .. } => self.summary.image_bytes = Some(*image_bytes),
            BuildEvent::Ended(ending) => self.summary.state = state(ending),
            BuildEvent::ContextScanned { .. }
            | BuildEvent::ContextTaken { .. }
            | BuildEvent::ImageResolved { .. }
            | BuildEvent::LayerPulled { .. }
            | BuildEvent::Missed { .. }
            | BuildEvent::Queued { .. }
            | BuildEvent::Expected { .. }
            | BuildEvent::Fetched { .. }
            | BuildEvent::Shared { .. }
            | BuildEvent::Started { .. }
            | BuildEvent::Retried { .. }
            | BuildEvent::Logged { .. }
            | BuildEvent::Failed { .. }
            | BuildEvent::Warned { .. }
            | BuildEvent::Exported { .. } => {}
        }
    }

    fn request(&mut self, requested: &Requested) {
        self.summary.started = requested.time;
        self.summary.dockerfile.clone_from(&requested.dockerfile);
        self.summary.context.clone_from(&requested.context);
        self.summary.target.clone_from(&requested.target);
        self.summary.names.clone_from(&requested.names);
        self.summary.client.clone_from(&requested.client);
    }
}

fn state(ending: &Ending) -> BuildState {
    match ending {
        Ending::Succeeded { .. } => BuildState::Succeeded,
        Ending::Failed(_) => BuildState::Failed,
        Ending::Cancelled => BuildState::Cancelled,
        Ending::Interrupted => BuildState::Interrupted,
    }
}

fn count(steps: &BTreeSet<StepId>) -> u32 {
    u32::try_from(steps.len()).unwrap_or(u32::MAX)
}
