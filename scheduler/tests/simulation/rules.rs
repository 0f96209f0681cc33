//! What must always hold, checked against an account of its own.

use std::collections::{BTreeMap, BTreeSet};

use farm_model::{LeaseId, Scope, StepDigest, WorkerId};
use farm_scheduler::command::BuildStep;
use farm_scheduler::{Capacity, Command, Config, RunningLease, Standing, Verdict};

use crate::builds::{Phase, Progress};
use crate::machines::Report;
use crate::world::World;

type Key = (Scope, StepDigest);

/// The account.
#[derive(Default)]
pub(crate) struct Rules {
    present: BTreeMap<WorkerId, Capacity>,
    drained: BTreeSet<WorkerId>,
    /// Drained by people, whether they are there or not.
    pub(crate) forbidden: BTreeSet<WorkerId>,
    pub(crate) moving: Moving,
    /// What was moved: it waits for another worker while the one that had it idles.
    moved: BTreeSet<Key>,
    live: BTreeMap<LeaseId, (WorkerId, Key)>,
    by_key: BTreeMap<Key, LeaseId>,
    /// Leases that were granted to a worker, or of which it spoke.
    known: BTreeSet<(WorkerId, LeaseId)>,
    listed: BTreeMap<(WorkerId, LeaseId), Key>,
    last: Option<LeaseId>,
    retries: BTreeMap<Key, u32>,
    /// How many results there were.
    pub(crate) results: BTreeMap<Key, u32>,
    /// How often each decision was met.
    pub(crate) met: BTreeMap<&'static str, u64>,
}

/// Whether somebody moves a step at the moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Moving {
    #[default]
    No,
    Begun,
    Done,
}

impl Rules {
    /// A worker that was drained for its failures is forgiven.
    pub(crate) fn cured(&mut self, worker: &WorkerId) {
        self.drained.remove(worker);
    }

    pub(crate) fn forget_leases(&mut self) {
        self.present.clear();
        self.drained.clear();
        self.live.clear();
        self.by_key.clear();
        self.known.clear();
        self.listed.clear();
        self.retries.clear();
        self.moved.clear();
    }

    pub(crate) fn worker_came(&mut self, worker: &WorkerId, capacity: &Capacity, running: &[RunningLease]) {
        self.present.insert(worker.clone(), capacity.clone());
        self.drained.remove(worker);
        for running in running {
            self.known.insert((worker.clone(), running.lease));
            self.listed.insert((worker.clone(), running.lease), (running.scope.clone(), running.key));
        }
    }

    pub(crate) fn worker_left(&mut self, worker: &WorkerId) {
        self.present.remove(worker);
    }

    pub(crate) fn mentioned(&mut self, worker: &WorkerId, leases: &[LeaseId]) {
        self.known.extend(leases.iter().map(|lease| (worker.clone(), *lease)));
    }

    fn begin(&mut self, lease: LeaseId, worker: &WorkerId, key: Key) -> Result<(), String> {
        if let Some(other) = self.by_key.insert(key.clone(), lease) {
            return Err(format!("{other} and {lease} are live for one key"));
        }
        self.live.insert(lease, (worker.clone(), key));
        self.known.insert((worker.clone(), lease));
        Ok(())
    }

    fn end(&mut self, key: &Key) {
        if let Some(lease) = self.by_key.remove(key) {
            self.live.remove(&lease);
        }
    }
}

fn require(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

impl World {
    pub(crate) fn check_command(
        &mut self,
        command: &Command,
        report: Option<&(WorkerId, LeaseId, Report)>,
    ) -> Result<(), String> {
        *self.rules.met.entry(name(command)).or_default() += 1;
        let checked = match command {
            Command::Grant { lease, worker, leader } => self.check_grant(*lease, worker, *leader),
            Command::Adopt { lease, worker, leader } => self.check_adoption(*lease, worker, *leader),
            Command::Join { follower, leader } => self.check_join(*follower, *leader),
            Command::Succeed { from, to } => {
                require(self.wanted(*to).is_some(), "a step leads that does not wait")
                    .and(require(from != to, "a step succeeds itself"))
            }
            Command::Cancel { lease, worker } => self.check_cancellation(*lease, worker),
            Command::Deliver { lease, verdict, waiting } => {
                self.check_delivery(*lease, *verdict, waiting, report)
            }
            Command::Retry { waiting, .. } => self.check_waiting(waiting).map(|key| {
                self.rules.end(&key);
                if self.rules.moving == Moving::Begun {
                    self.rules.moving = Moving::Done;
                    *self.rules.met.entry("move").or_default() += 1;
                    self.rules.moved.insert(key);
                } else {
                    *self.rules.retries.entry(key).or_default() += 1;
                }
            }),
            Command::GiveUp { waiting, .. } => self.check_surrender(waiting),
            Command::Drain { worker } => {
                self.rules.drained.insert(worker.clone());
                require(self.rules.present.contains_key(worker), "a worker is drained that is not there")
            }
        };
        checked.map_err(|broken| format!("{command:?}: {broken}"))
    }

    fn check_grant(&mut self, lease: LeaseId, worker: &WorkerId, leader: BuildStep) -> Result<(), String> {
        require(lease.epoch == self.coordinator.epoch, "a lease of another epoch")?;
        require(self.rules.last < Some(lease), "a lease id is used again")?;
        self.rules.last = Some(lease);
        let key = self.wanted(leader).ok_or("its leader does not wait")?;
        let (build, step) = self.find(leader);
        let work = self.builds[build].steps[step].asked.clone().ok_or("its inputs are not there")?;
        let capacity = self.rules.present.get(worker).ok_or("the worker is not there")?;
        require(!self.rules.drained.contains(worker), "the worker is drained")?;
        require(!self.rules.forbidden.contains(worker), "somebody drained the worker")?;
        require(capacity.platform == work.platform, "the platform does not fit")?;
        require(work.labels.iter().all(|label| capacity.labels.contains(label)), "labels are missing")?;
        self.rules.begin(lease, worker, key)
    }

    fn check_adoption(&mut self, lease: LeaseId, worker: &WorkerId, leader: BuildStep) -> Result<(), String> {
        let key = self.wanted(leader).ok_or("its leader does not wait")?;
        require(self.rules.present.contains_key(worker), "the worker is not there")?;
        let listed = self.rules.listed.get(&(worker.clone(), lease));
        require(listed == Some(&key), "the worker does not do this under that lease")?;
        require(!self.rules.live.contains_key(&lease), "it is live already")?;
        self.rules.begin(lease, worker, key)
    }

    fn check_join(&self, follower: BuildStep, leader: BuildStep) -> Result<(), String> {
        let key = self.wanted(leader);
        require(key.is_some() && key == self.wanted(follower), "the two do not want the same")
    }

    fn check_cancellation(&mut self, lease: LeaseId, worker: &WorkerId) -> Result<(), String> {
        require(self.rules.present.contains_key(worker), "the worker is not there")?;
        require(self.rules.known.contains(&(worker.clone(), lease)), "the worker never heard of it")?;
        if let Some((holder, key)) = self.rules.live.get(&lease).cloned()
            && holder == *worker
        {
            self.rules.end(&key);
        }
        Ok(())
    }

    fn check_delivery(
        &mut self,
        lease: LeaseId,
        verdict: Verdict,
        waiting: &[BuildStep],
        report: Option<&(WorkerId, LeaseId, Report)>,
    ) -> Result<(), String> {
        let (worker, reported, report) = report.ok_or("nothing was reported")?;
        let (holder, key) = self.rules.live.get(&lease).cloned().ok_or("the lease is not live")?;
        require(*reported == lease && holder == *worker, "somebody else reported")?;
        require(report.verdict == verdict && verdict != Verdict::Cancelled, "it ended otherwise")?;
        require(self.check_waiting(waiting)? == key, "others wait for it")?;
        self.rules.end(&key);
        self.rules.retries.remove(&key);
        if let Verdict::Succeeded { .. } = verdict {
            *self.rules.results.entry(key).or_default() += 1;
        }
        Ok(())
    }

    fn check_surrender(&mut self, waiting: &[BuildStep]) -> Result<(), String> {
        let key = self.check_waiting(waiting)?;
        self.rules.end(&key);
        let retries = self.rules.retries.remove(&key).unwrap_or_default();
        let (build, step) = self.find(waiting[0]);
        let work = self.builds[build].steps[step].asked.clone().ok_or("its inputs are not there")?;
        let scheduler = self.coordinator.scheduler.as_ref().ok_or("there is no scheduler")?;
        let could = scheduler.workers().filter(|view| view.standing == Standing::Open).any(|view| {
            let capacity = &self.rules.present[view.worker];
            capacity.platform == work.platform
                && work.labels.iter().all(|label| capacity.labels.contains(label))
        });
        require(retries >= Config::default().retries || !could, "it was not tried often enough")
    }

    /// Everybody who waits for a key is named, once, and nobody else.
    fn check_waiting(&self, waiting: &[BuildStep]) -> Result<Key, String> {
        let first = waiting.first().ok_or("nobody is named")?;
        let key = self.wanted(*first).ok_or("the first does not wait")?;
        let named: BTreeSet<BuildStep> = waiting.iter().copied().collect();
        require(named.len() == waiting.len(), "somebody is named twice")?;
        let all = self.builds.iter().filter(|build| build.phase == Phase::Running).flat_map(|build| {
            build
                .steps
                .iter()
                .map(|step| (build.id, step.id))
                .filter(|step| self.wanted(*step) == Some(key.clone()))
        });
        require(named == all.collect(), "those who wait are not those who are named")?;
        Ok(key)
    }

    /// What a step waits for.
    fn wanted(&self, step: BuildStep) -> Option<Key> {
        let (build, step) = self.find(step);
        match self.builds[build].steps[step].progress {
            Progress::Waiting(key) => Some((self.builds[build].scope.clone(), key)),
            Progress::Pending | Progress::Computing | Progress::Done(_) => None,
        }
    }

    /// What must hold between two events.
    pub(crate) fn check_state(&mut self) -> Result<(), String> {
        let Some(scheduler) = &self.coordinator.scheduler else { return Ok(()) };
        if let Some(contradiction) = scheduler.contradiction() {
            return Err(contradiction);
        }
        for view in scheduler.workers() {
            let capacity = self.rules.present.get(view.worker).ok_or("a worker that is not there")?;
            let count = view.leases + view.kept;
            // Leases of former lives may come on top of what is granted.
            let adopted = self.rules.listed.keys().filter(|(worker, _)| worker == view.worker).count();
            require(count <= capacity.most as usize + adopted, "a worker has too many leases")?;
        }
        let running: BTreeSet<LeaseId> = scheduler.running().map(|running| running.lease).collect();
        let live: BTreeSet<LeaseId> = self.rules.live.keys().copied().collect();
        require(running == live, "what runs is not what was granted")?;
        let parked = scheduler.waiting().filter(|waiting| waiting.worker.is_some()).count();
        if parked > 0 {
            *self.rules.met.entry("parked").or_default() += 1;
        }
        self.check_that_nobody_idles()
    }

    /// Nothing that never failed waits while a worker that could do it has room.
    fn check_that_nobody_idles(&self) -> Result<(), String> {
        let Some(scheduler) = &self.coordinator.scheduler else { return Ok(()) };
        for waiting in scheduler.waiting().filter(|waiting| waiting.worker.is_none()) {
            let key = self.wanted(waiting.waiting[0]).ok_or("what waits is not wanted")?;
            if self.rules.retries.contains_key(&key) || self.rules.moved.contains(&key) {
                continue;
            }
            let (build, step) = self.find(waiting.waiting[0]);
            let work = self.builds[build].steps[step].asked.clone().ok_or("its inputs are not there")?;
            for view in scheduler.workers().filter(|view| view.standing == Standing::Open) {
                let capacity = &self.rules.present[view.worker];
                let idle = view.weight < u64::from(capacity.slots) * 1_000
                    && view.leases + view.kept < capacity.most as usize
                    && capacity.platform == work.platform
                    && work.labels.iter().all(|label| capacity.labels.contains(label));
                require(!idle, "a step waits while a worker idles")?;
            }
        }
        Ok(())
    }

    /// What must hold when everything is over.
    pub(crate) fn at_rest(&self) -> Result<(), String> {
        let scheduler = self.coordinator.scheduler.as_ref().ok_or("the coordinator stayed down")?;
        require(scheduler.running().next().is_none(), "something still runs")?;
        require(scheduler.waiting().next().is_none(), "something still waits")?;
        require(scheduler.workers().all(|view| view.weight == 0), "a slot was lost")?;
        require(scheduler.poll_timeout().is_none(), "a deadline was left behind")
    }
}

fn name(command: &Command) -> &'static str {
    match command {
        Command::Grant { .. } => "grant",
        Command::Adopt { .. } => "adopt",
        Command::Join { .. } => "join",
        Command::Succeed { .. } => "succeed",
        Command::Cancel { .. } => "cancel",
        Command::Deliver { .. } => "deliver",
        Command::Retry { .. } => "retry",
        Command::GiveUp { .. } => "give up",
        Command::Drain { .. } => "drain",
    }
}
