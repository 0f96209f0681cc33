//! A farm in a few words: what the tests say to the scheduler, and what they hear.

use farm_model::{BuildId, LayerDigest, LeaseId, Platform, Scope, StageId, StepDigest, StepId, WorkerId};
use farm_scheduler::command::BuildStep;
use farm_scheduler::{
    Capacity, Command, Config, Event, Input, Millis, RunningLease, Scheduler, StepShape, Verdict, Work,
};

/// A scheduler and its clock. After each event the tables are checked against each other.
pub(crate) struct Farm {
    pub(crate) scheduler: Scheduler,
    pub(crate) now: u64,
}

pub(crate) fn build(number: u8) -> BuildId {
    BuildId([number; 8])
}

pub(crate) fn step(stage: u32, index: u32) -> StepId {
    StepId { stage: StageId(stage), index }
}

pub(crate) fn worker(name: &str) -> WorkerId {
    WorkerId(name.to_owned())
}

pub(crate) fn layer(number: u8) -> LayerDigest {
    LayerDigest([number; 32])
}

pub(crate) fn key(number: u32) -> StepDigest {
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&number.to_be_bytes());
    StepDigest(digest)
}

pub(crate) fn family(step: StepId) -> [u8; 32] {
    let mut family = [0; 32];
    family[..4].copy_from_slice(&step.stage.0.to_be_bytes());
    family[4..8].copy_from_slice(&step.index.to_be_bytes());
    family
}

pub(crate) fn lease(epoch: u64, counter: u64) -> LeaseId {
    LeaseId { epoch, counter }
}

pub(crate) fn work(number: u32) -> Work {
    Work { key: key(number), platform: Platform::host(), labels: Vec::new(), inputs: Vec::new() }
}

pub(crate) fn reading(number: u32, inputs: &[(u8, u64)]) -> Work {
    let inputs = inputs.iter().map(|(number, bytes)| Input { layer: layer(*number), bytes: *bytes });
    Work { inputs: inputs.collect(), ..work(number) }
}

pub(crate) fn slots(slots: u32) -> Capacity {
    Capacity { slots, most: slots * 32, platform: Platform::host(), labels: Vec::new() }
}

/// `count` stages of `length` steps each; the steps of a stage need each other.
pub(crate) fn stages(count: u32, length: u32) -> Vec<StepShape> {
    let steps = (0..count).flat_map(|stage| (0..length).map(move |index| step(stage, index)));
    let shape = |step: StepId| {
        let before = step.index.checked_sub(1).map(|index| StepId { index, ..step });
        StepShape { step, family: family(step), needs: before.into_iter().collect() }
    };
    steps.map(shape).collect()
}

pub(crate) fn succeeded(took: u64) -> Verdict {
    Verdict::Succeeded { took: Millis(took) }
}

impl Farm {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        Self { scheduler: Scheduler::new(config, 7), now: 0 }
    }

    /// Tells the scheduler something and returns what it decided.
    pub(crate) fn tell(&mut self, event: Event) -> Vec<Command> {
        self.scheduler.handle(Millis(self.now), event);
        assert_eq!(self.scheduler.contradiction(), None);
        std::iter::from_fn(|| self.scheduler.poll_command()).collect()
    }

    /// Lets time pass, with a tick whenever one is due.
    pub(crate) fn wait(&mut self, span: u64) -> Vec<Command> {
        let end = self.now + span;
        let mut commands = Vec::new();
        while let Some(due) = self.scheduler.poll_timeout().filter(|due| due.0 <= end) {
            self.now = self.now.max(due.0);
            commands.extend(self.tell(Event::Tick));
        }
        self.now = end;
        commands
    }

    pub(crate) fn start(&mut self, number: u8, steps: Vec<StepShape>) {
        self.start_in("main", number, steps);
    }

    pub(crate) fn start_in(&mut self, scope: &str, number: u8, steps: Vec<StepShape>) {
        let scope: Scope = scope.parse().unwrap();
        assert_eq!(self.tell(Event::BuildStarted { build: build(number), scope, steps }), []);
    }

    pub(crate) fn ready(&mut self, step: BuildStep, work: Work) -> Vec<Command> {
        self.tell(Event::StepReady { build: step.0, step: step.1, work })
    }

    pub(crate) fn abandon(&mut self, step: BuildStep) -> Vec<Command> {
        self.tell(Event::StepAbandoned { build: step.0, step: step.1 })
    }

    pub(crate) fn end(&mut self, number: u8) -> Vec<Command> {
        self.tell(Event::BuildEnded { build: build(number) })
    }

    pub(crate) fn join(&mut self, name: &str, capacity: Capacity) -> Vec<Command> {
        self.rejoin(name, capacity, Vec::new())
    }

    pub(crate) fn rejoin(
        &mut self,
        name: &str,
        capacity: Capacity,
        running: Vec<RunningLease>,
    ) -> Vec<Command> {
        self.tell(Event::WorkerJoined { worker: worker(name), capacity, running })
    }

    pub(crate) fn lose(&mut self, name: &str) -> Vec<Command> {
        self.tell(Event::WorkerLost { worker: worker(name) })
    }

    pub(crate) fn beat(&mut self, name: &str, leases: &[LeaseId]) -> Vec<Command> {
        self.tell(Event::Heartbeat { worker: worker(name), leases: leases.to_vec() })
    }

    pub(crate) fn holds(&mut self, name: &str, layers: &[u8]) {
        let added = layers.iter().map(|number| layer(*number)).collect();
        let event = Event::HoldingsChanged { worker: worker(name), added, removed: Vec::new() };
        assert_eq!(self.tell(event), []);
    }

    pub(crate) fn measure(&mut self, name: &str, leases: &[(LeaseId, u32)]) -> Vec<Command> {
        self.tell(Event::LoadMeasured { worker: worker(name), leases: leases.to_vec() })
    }

    pub(crate) fn finish(&mut self, name: &str, lease: LeaseId, verdict: Verdict) -> Vec<Command> {
        self.tell(Event::Finished { worker: worker(name), lease, verdict })
    }

    /// The weight that everything on `name` has.
    pub(crate) fn weight(&self, name: &str) -> u64 {
        self.scheduler.workers().find(|view| view.worker.0 == name).unwrap().weight
    }
}

/// The grants among `commands`.
pub(crate) fn grants(commands: &[Command]) -> Vec<(LeaseId, String, BuildStep)> {
    let grants = commands.iter().filter_map(|command| match command {
        Command::Grant { lease, worker, leader } => Some((*lease, worker.0.clone(), *leader)),
        Command::Adopt { .. }
        | Command::Join { .. }
        | Command::Succeed { .. }
        | Command::Cancel { .. }
        | Command::Deliver { .. }
        | Command::Retry { .. }
        | Command::GiveUp { .. }
        | Command::Drain { .. } => None,
    });
    grants.collect()
}

/// The one grant among `commands`.
pub(crate) fn granted(commands: &[Command]) -> (LeaseId, String, BuildStep) {
    let grants = grants(commands);
    assert_eq!(grants.len(), 1, "{commands:?}");
    grants[0].clone()
}
