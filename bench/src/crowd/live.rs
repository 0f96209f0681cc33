//! A build that runs: each time it is looked at, something of it goes on.

use std::collections::BTreeMap;

use farm_model::event::{Blame, Change, Ending, Failure, MissReason, PlannedStep, Requested, StageSize};
use farm_model::{
    BuildEvent, BuildId, Exit, OciDigest, Recorded, StageId, StepDigest, StepId, Usage, WorkerId,
};

use super::plan;
use crate::random::Random;

/// A build in the making.
#[derive(Debug)]
pub(super) struct Live {
    id: BuildId,
    start: i64,
    image: u64,
    steps: Vec<PlannedStep>,
    stages: BTreeMap<StageId, Stage>,
    workers: BTreeMap<StepId, WorkerId>,
    state: State,
    /// Events that were told.
    told: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    New,
    Requested,
    Runs,
    Completed,
    Exported,
    Over,
}

/// How far a stage has come.
#[derive(Debug)]
struct Stage {
    /// Its steps, the next one last.
    left: Vec<StepId>,
    needs: Vec<StageId>,
    /// Whether a step of it, or of what it needs, was not in the cache.
    has_missed: bool,
    step: At,
}

/// How far the next step of a stage has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum At {
    Fresh,
    Queued,
    Runs { since: i64 },
}

impl Live {
    pub(super) fn new(id: BuildId, start: i64, random: &mut Random) -> Self {
        let steps = plan::steps(random);
        let mut stages: BTreeMap<StageId, Stage> = BTreeMap::new();
        for step in steps.iter().rev() {
            let stage = stages.entry(step.id.stage).or_insert_with(|| Stage {
                left: Vec::new(),
                needs: Vec::new(),
                has_missed: false,
                step: At::Fresh,
            });
            stage.left.push(step.id);
            stage.needs.extend(&step.needs);
        }
        let image = random.between(0, plan::IMAGES - 1);
        Self { id, start, image, steps, stages, workers: BTreeMap::new(), state: State::New, told: 0 }
    }

    pub(super) fn id(&self) -> BuildId {
        self.id
    }

    pub(super) fn steps(&self) -> usize {
        self.steps.len()
    }

    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Who does a step.
    pub(super) fn worker_of(&self, step: StepId) -> Option<&WorkerId> {
        self.workers.get(&step)
    }

    /// The number of the first of so many events.
    pub(super) fn sequence(&mut self, events: usize) -> u64 {
        let first = self.told;
        self.told += events as u64;
        first
    }

    /// What goes on next; a step that begins now does so on `worker`.
    pub(super) fn advance(&mut self, now: i64, worker: &WorkerId, random: &mut Random) -> Vec<Recorded> {
        let events = match self.state {
            State::New => {
                self.state = State::Requested;
                vec![self.requested()]
            }
            State::Requested => {
                self.state = State::Runs;
                vec![BuildEvent::Planned { steps: self.steps.clone() }]
            }
            State::Runs => self.run(now, worker, random),
            State::Completed => {
                self.state = State::Exported;
                vec![self.completed(random)]
            }
            State::Exported => {
                self.state = State::Over;
                let image = Some(OciDigest([7; 32]));
                let bytes = plan::image_bytes(self.image) / 3;
                let output = plan::image_name(self.image);
                vec![
                    BuildEvent::Exported { output, image, bytes, micros: 300_000 },
                    BuildEvent::Ended(Ending::Succeeded { image }),
                ]
            }
            State::Over => Vec::new(),
        };
        let at = u64::try_from(now - self.start).unwrap_or(0) / 1000;
        events.into_iter().map(|event| Recorded { at, event }).collect()
    }

    fn requested(&self) -> BuildEvent {
        BuildEvent::Requested(Requested {
            build: self.id,
            time: self.start,
            dockerfile: "Dockerfile".to_owned(),
            context: ".".to_owned(),
            target: None,
            names: vec![plan::image_name(self.image)],
            client: format!("ci-{}", self.image % 12),
        })
    }

    fn run(&mut self, now: i64, worker: &WorkerId, random: &mut Random) -> Vec<BuildEvent> {
        let is_done = |id: &StageId| self.stages.get(id).is_none_or(|stage| stage.left.is_empty());
        let open = self.stages.iter().filter(|(_, stage)| !stage.left.is_empty());
        let ready: Vec<StageId> =
            open.filter(|(_, stage)| stage.needs.iter().all(is_done)).map(|(id, _)| *id).collect();
        if ready.is_empty() {
            self.state = State::Completed;
            return Vec::new();
        }
        // What begins goes first: most of the time of a build is spent in steps that run.
        let begins = |id: &&StageId| !matches!(self.stages[*id].step, At::Runs { .. });
        let beginning: Vec<StageId> = ready.iter().filter(begins).copied().collect();
        let id = *random.choose(if beginning.is_empty() { &ready } else { &beginning });
        let missed = |id: &StageId| self.stages.get(id).is_some_and(|stage| stage.has_missed);
        let after_miss = self.stages[&id].needs.iter().any(missed);
        let Some(stage) = self.stages.get_mut(&id) else { return Vec::new() };
        let Some(step) = stage.left.last().copied() else { return Vec::new() };
        stage.has_missed |= after_miss;
        match stage.step {
            At::Fresh if !stage.has_missed && random.between(0, 99) < 95 => {
                stage.left.pop();
                vec![cached(step, random)]
            }
            At::Fresh => {
                (stage.has_missed, stage.step) = (true, At::Queued);
                missed_and_queued(step, random)
            }
            At::Queued => {
                stage.step = At::Runs { since: now };
                self.workers.insert(step, worker.clone());
                let mut events = Vec::new();
                if random.between(0, 3) == 0 {
                    events.push(BuildEvent::Fetched {
                        step,
                        bytes: random.between(1, 90) << 20,
                        micros: 90_000,
                    });
                }
                events.push(BuildEvent::Started { step, worker: Some(worker.clone()) });
                events
            }
            At::Runs { .. } if random.between(0, 1999) == 0 => self.fail(step),
            At::Runs { since } => {
                stage.left.pop();
                stage.step = At::Fresh;
                vec![finished(step, now - since, random)]
            }
        }
    }

    fn fail(&mut self, step: StepId) -> Vec<BuildEvent> {
        self.state = State::Over;
        let message = "Dockerfile:7: the command ended with exit code: 2".to_owned();
        let failure = Failure { blame: Blame::Build, message, hint: None };
        vec![BuildEvent::Failed { step, exit: Exit::Code(2) }, BuildEvent::Ended(Ending::Failed(failure))]
    }

    fn completed(&self, random: &mut Random) -> BuildEvent {
        let image_bytes = plan::image_bytes(self.image) + random.between(0, 9_000_000);
        let last = self.stages.keys().next_back();
        let stage = |id: &StageId| StageSize {
            stage: format!("stage-{}", id.0),
            bytes: if Some(id) == last { image_bytes } else { image_bytes * 3 },
            entries: 9000,
            kept: Some(id) == last,
        };
        let stages: Vec<StageSize> = self.stages.keys().map(stage).collect();
        let discarded = stages.iter().filter(|stage| !stage.kept).map(|stage| stage.bytes).sum();
        BuildEvent::Completed { stages, image_bytes, discarded_bytes: discarded }
    }
}

fn key(random: &mut Random) -> StepDigest {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&random.next_u64().to_le_bytes());
    StepDigest(key)
}

fn cached(step: StepId, random: &mut Random) -> BuildEvent {
    let (saved_micros, saved_bytes) = (random.between(100_000, 90_000_000), random.between(1, 300) << 20);
    BuildEvent::Cached { step, key: key(random), saved_micros, saved_bytes }
}

fn missed_and_queued(step: StepId, random: &mut Random) -> Vec<BuildEvent> {
    let reason = MissReason::Files {
        origin: "context".to_owned(),
        first: format!("src/module_{:03}/handler.go", random.between(0, 400)),
        change: Change::Modified,
        changed: random.between(1, 9),
        total: 4100,
    };
    vec![
        BuildEvent::Missed { step, key: key(random), reasons: vec![reason] },
        BuildEvent::Expected { step, micros: random.between(500_000, 20_000_000) },
        BuildEvent::Queued { step },
    ]
}

fn finished(step: StepId, nanos: i64, random: &mut Random) -> BuildEvent {
    let micros = u64::try_from(nanos).unwrap_or(0) / 1000;
    let usage =
        Usage { wall_micros: micros, cpu_micros: micros * 3, peak_memory: random.between(10, 900) << 20 };
    BuildEvent::Finished { step, micros, usage, bytes: random.between(0, 80) << 20 }
}
