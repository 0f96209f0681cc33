//! The one task that owns the scheduler: hears drivers and workers, tells the scheduler, and performs what it decides.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use farm_model::event::Blame;
use farm_model::{BuildId, LeaseId, Scope, StageId, StepDigest, StepId, WorkerId};
use farm_proto::client::Duty;
use farm_proto::{CoordinatorMessage, Failure, Outcome, WorkerMessage};
use farm_scheduler::command::BuildStep;
use farm_scheduler::{Capacity, Config, Event, Millis, RunningLease, Scheduler, Verdict};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::durations::{self, Keeper};
use super::strays::Strays;
use super::turn::Landed;
use super::{Delivered, Dispatch, Entry, Leases, Log, Report, Request, Waiter};
use crate::Error;
use crate::workers::{Hello, Replicator, Workers};

/// Decides and acts while [`Dispatcher::run`] is polled.
pub(crate) struct Dispatcher {
    pub(super) scheduler: Scheduler,
    started: Instant,
    requests: mpsc::UnboundedReceiver<Request>,
    reports: mpsc::Receiver<Report>,
    root: PathBuf,
    pub(super) leases: Arc<Leases>,
    pub(super) workers: Arc<Workers>,
    /// The builds that have begun and not ended.
    pub(super) builds: BTreeMap<BuildId, Begun>,
    pub(super) waiters: BTreeMap<BuildStep, Waiter>,
    /// Which flight a step takes part in.
    pub(super) boarded: BTreeMap<BuildStep, u64>,
    pub(super) flights: BTreeMap<u64, Flight>,
    /// Which flight a lease was granted for.
    pub(super) granted: BTreeMap<LeaseId, u64>,
    next_flight: u64,
    pub(super) strays: Strays,
    background: Option<Background>,
    /// To be kept.
    learned: mpsc::Sender<durations::Duration>,
    /// The end of a lease that the scheduler is being told of.
    pub(super) reported: Option<Reported>,
}

/// What goes on beside the deciding.
pub(super) struct Background {
    pub(super) replicator: Replicator,
    pub(super) keeper: Keeper,
}

/// A build that has begun.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) scope: Scope,
    /// By which its steps are known from build to build.
    families: BTreeMap<StepId, [u8; 32]>,
}

/// One thing that is being done, or waits to be, for one or more drivers.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) log: Arc<Log>,
    /// Who takes part.
    pub(super) waiting: Vec<BuildStep>,
    pub(super) lease: Option<Granted>,
    /// The last failure of a machine.
    pub(super) failure: Option<Failure>,
}

#[derive(Debug)]
pub(super) struct Granted {
    pub(super) lease: LeaseId,
    pub(super) worker: WorkerId,
    at: Instant,
}

#[derive(Debug)]
pub(super) struct Reported {
    pub(super) lease: LeaseId,
    pub(super) outcome: Arc<Outcome>,
}

impl Dispatcher {
    pub(super) fn new(
        dispatch: &Dispatch,
        requests: mpsc::UnboundedReceiver<Request>,
        reports: mpsc::Receiver<Report>,
        background: Background,
        learned: mpsc::Sender<durations::Duration>,
        epoch: u64,
    ) -> Self {
        Self {
            scheduler: Scheduler::new(Config::default(), epoch),
            started: Instant::now(),
            requests,
            reports,
            root: dispatch.root.clone(),
            leases: Arc::clone(&dispatch.leases),
            workers: Arc::clone(&dispatch.workers),
            builds: BTreeMap::new(),
            waiters: BTreeMap::new(),
            boarded: BTreeMap::new(),
            flights: BTreeMap::new(),
            granted: BTreeMap::new(),
            next_flight: 0,
            strays: Strays::default(),
            background: Some(background),
            learned,
            reported: None,
        }
    }

    /// Works until every door to it is gone.
    pub(crate) async fn run(mut self) {
        let background = self.background.take();
        let background = async {
            if let Some(Background { replicator, keeper }) = background {
                tokio::join!(replicator.run(), keeper.run());
            }
        };
        tokio::join!(background, self.decide());
    }

    /// Takes over what steps took before a restart.
    pub(crate) fn remember(&mut self, durations: Vec<([u8; 32], u64)>) {
        for (family, micros) in durations {
            self.scheduler.remember(family, Millis(micros / 1000));
        }
    }

    /// Has what the step of a flight took kept.
    pub(super) fn learn(&mut self, outcome: &Outcome, waiting: &[BuildStep]) {
        let family =
            waiting.first().and_then(|(build, step)| self.builds.get(build)?.families.get(step).copied());
        if let (Outcome::Success { .. }, Some(family)) = (outcome, family) {
            let _full = self.learned.try_send((family, self.scheduler.expected(&family)));
        }
    }

    async fn decide(mut self) {
        loop {
            let due = self.scheduler.poll_timeout().map(|due| self.started + Duration::from_millis(due.0));
            let tick = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                request = self.requests.recv() => match request {
                    Some(request) => self.requested(request),
                    None => return,
                },
                Some(report) = self.reports.recv() => self.heard(report),
                () = tick => self.tell(Event::Tick),
            }
        }
    }

    /// Tells the scheduler and performs what it decides.
    pub(super) fn tell(&mut self, event: Event) {
        let now = self.now();
        self.scheduler.handle(now, event);
        while let Some(command) = self.scheduler.poll_command() {
            self.perform(command);
        }
    }

    fn now(&self) -> Millis {
        Millis(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn requested(&mut self, request: Request) {
        match request {
            Request::BuildStarted { build, scope, steps } => {
                // One that starts over.
                self.end_build(build);
                let families = steps.iter().map(|shape| (shape.step, shape.family)).collect();
                self.builds.insert(build, Begun { scope: scope.clone(), families });
                self.tell(Event::BuildStarted { build, scope, steps });
            }
            Request::BuildEnded { build } => self.end_build(build),
            Request::Settled { build, step, took } => self.tell(Event::StepSettled { build, step, took }),
            Request::Execute(waiter) => self.execute(*waiter),
            Request::Abandon { who, ticket } => {
                if self.waiters.get(&who).is_some_and(|waiter| waiter.ticket == ticket) {
                    self.abandon(who);
                }
            }
            Request::ClientOf { lease, reply } => {
                // Whoever asked may be gone by now.
                let _gone = reply.send(self.client_of(lease));
            }
            Request::Duty { worker, duty, reply } => {
                let _gone = reply.send(self.set_duty(worker, duty));
            }
            Request::Relocate { who, reason, reply } => {
                let _gone = reply.send(self.relocate(who, reason));
            }
        }
    }

    fn execute(&mut self, waiter: Waiter) {
        if waiter.reply.is_closed() {
            return;
        }
        let who = waiter.who;
        if let Some(landed) = waiter.turn.landed() {
            waiter.log.push(Entry::Follow { build: landed.build, log: landed.log });
            let _gone = waiter.reply.send(Ok(landed.delivered));
            return;
        }
        if self.waiters.contains_key(&who) {
            self.abandon(who);
        }
        let (build, step) = who;
        let Some(begun) = self.builds.get(&build) else {
            let _gone = waiter.reply.send(Err(Error::NotPlanned(format!("build {build}"))));
            return;
        };
        let usual = begun.families.get(&step).and_then(|family| self.scheduler.remembered(family));
        if let Some(ended) = self.strays.take(&begun.scope, waiter.work.key) {
            let (log, delivered) = (ended.log, Delivered { outcome: ended.outcome });
            waiter.log.push(Entry::GoOn { log: Arc::clone(&log) });
            waiter.turn.land(Landed { build, log, delivered: delivered.clone() });
            self.tell(Event::StepSettled { build, step, took: Millis::default() });
            let _gone = waiter.reply.send(Ok(delivered));
            return;
        }
        let (log, work) = (Arc::clone(&waiter.log), waiter.work.clone());
        let number = self.next_flight;
        self.next_flight += 1;
        self.flights
            .insert(number, Flight { log: Arc::clone(&log), waiting: vec![who], lease: None, failure: None });
        self.boarded.insert(who, number);
        self.waiters.insert(who, waiter);
        if let Some(usual) = usual {
            log.push(Entry::Expected { micros: usual.0.saturating_mul(1000) });
        }
        self.tell(Event::StepReady { build, step, work });
        if self.flights.get(&number).is_some_and(|flight| flight.lease.is_none()) {
            log.push(Entry::Queued);
        }
    }

    /// A driver does not wait any more.
    fn abandon(&mut self, who: BuildStep) {
        self.waiters.remove(&who);
        let (build, step) = who;
        self.tell(Event::StepAbandoned { build, step });
        self.leave_flight(who);
    }

    fn end_build(&mut self, build: BuildId) {
        if self.builds.remove(&build).is_none() {
            return;
        }
        let first = (build, StepId { stage: StageId(0), index: 0 });
        let gone = self.waiters.range(first..).take_while(|(who, _)| who.0 == build).map(|(who, _)| *who);
        let gone: Vec<_> = gone.collect();
        for who in &gone {
            self.waiters.remove(who);
        }
        self.tell(Event::BuildEnded { build });
        for who in gone {
            self.leave_flight(who);
        }
    }

    /// The flight that `who` takes part in.
    pub(super) fn flight_of(&mut self, who: BuildStep) -> Option<&mut Flight> {
        self.flights.get_mut(self.boarded.get(&who)?)
    }

    /// Takes `who` out of its flight, which is gone when nobody is left in it.
    pub(super) fn leave_flight(&mut self, who: BuildStep) {
        let Some(number) = self.boarded.remove(&who) else { return };
        let Some(flight) = self.flights.get_mut(&number) else { return };
        flight.waiting.retain(|waiting| *waiting != who);
        if flight.waiting.is_empty() {
            let lease = flight.lease.take();
            self.flights.remove(&number);
            if let Some(granted) = lease {
                self.end_lease(granted.lease);
            }
        }
    }

    /// Nothing that is reported under `lease` counts any more.
    pub(super) fn end_lease(&mut self, lease: LeaseId) {
        self.leases.end(lease);
        if let Some(flight) = self.granted.remove(&lease).and_then(|number| self.flights.get_mut(&number)) {
            flight.lease.take_if(|granted| granted.lease == lease);
        }
    }

    fn client_of(&self, lease: LeaseId) -> Option<crate::Session> {
        let flight = self.flights.get(self.granted.get(&lease)?)?;
        // The leader's, as long as it is there; else whoever is next and has a client.
        flight.waiting.iter().find_map(|who| self.waiters.get(who)?.session.clone())
    }

    fn heard(&mut self, report: Report) {
        match report {
            Report::Joined { worker, session, hello, taken } => {
                self.joined(worker, session, *hello);
                // A session that is gone has nothing to say.
                let _gone = taken.send(());
            }
            Report::Lost { worker, session } => {
                if self.workers.leave(&worker, session) {
                    self.lost(worker);
                }
            }
            Report::Said { worker, session, message } => {
                if self.workers.is_present(&worker, session) {
                    self.said(worker, message);
                }
            }
        }
    }

    fn joined(&mut self, worker: WorkerId, session: u64, hello: Hello) {
        let capacity = Capacity {
            slots: hello.slots,
            most: hello.most,
            platform: hello.platform.clone(),
            labels: hello.labels.clone(),
        };
        let running = |(lease, key, scope): &(LeaseId, StepDigest, Scope)| RunningLease {
            lease: *lease,
            key: *key,
            scope: scope.clone(),
        };
        let listed = hello.running.clone();
        let running = hello.running.iter().map(running).collect();
        self.workers.join(worker.clone(), session, hello);
        for (lease, key, scope) in listed {
            if !self.granted.contains_key(&lease) {
                let log = Arc::new(Log::new(self.root.clone()));
                self.leases.issue(lease, worker.clone(), Arc::clone(&log));
                self.strays.begin(lease, worker.clone(), scope, key, log);
            }
        }
        if self.scheduler.is_drained(&worker) {
            self.workers.rest(&worker, Duty::Drained);
            self.send(&worker, CoordinatorMessage::Drain);
        }
        self.tell(Event::WorkerJoined { worker, capacity, running });
    }

    /// A worker is gone for good; who was served by it is served by another.
    pub(super) fn lost(&mut self, worker: WorkerId) {
        self.leases.end_all_of(&worker);
        self.strays.lose(&worker);
        self.tell(Event::WorkerLost { worker });
    }

    fn said(&mut self, worker: WorkerId, message: WorkerMessage) {
        match message {
            WorkerMessage::Heartbeat { leases } => self.tell(Event::Heartbeat { worker, leases }),
            WorkerMessage::Load { leases } => self.tell(Event::LoadMeasured { worker, leases }),
            WorkerMessage::Holdings { added, removed } => {
                self.workers.hold(&worker, &added, &removed);
                self.tell(Event::HoldingsChanged { worker, added, removed });
            }
            WorkerMessage::Bandwidth { bytes_per_second } => {
                self.tell(Event::BandwidthMeasured { worker, bytes_per_second });
            }
            WorkerMessage::Finished { lease, outcome } => self.finished(worker, lease, outcome),
            // The session has dealt with these.
            WorkerMessage::Hello { .. }
            | WorkerMessage::Machine(_)
            | WorkerMessage::Fetched { .. }
            | WorkerMessage::Started { .. }
            | WorkerMessage::Logged { .. }
            | WorkerMessage::Warned { .. }
            | WorkerMessage::Records { .. } => {}
        }
    }

    fn finished(&mut self, worker: WorkerId, lease: LeaseId, outcome: Outcome) {
        let mut took = Duration::ZERO;
        if let Some(flight) = self.granted.get(&lease).and_then(|number| self.flights.get_mut(number))
            && let Some(granted) = flight.lease.as_ref().filter(|granted| granted.worker == worker)
        {
            took = granted.at.elapsed();
            if let Outcome::Failure(failure) = &outcome {
                flight.failure = Some(failure.clone());
            }
        }
        let verdict = verdict(&outcome, took);
        let outcome = Arc::new(outcome);
        if !self.granted.contains_key(&lease) {
            self.strays.end(lease, &worker, &outcome);
            if self.leases.log(&worker, lease).is_some() {
                self.leases.end(lease);
            }
        }
        self.reported = Some(Reported { lease, outcome });
        self.tell(Event::Finished { worker, lease, verdict });
        self.reported = None;
    }
}

impl Granted {
    pub(super) fn now(lease: LeaseId, worker: WorkerId) -> Self {
        Self { lease, worker, at: Instant::now() }
    }
}

/// What an outcome means for the scheduler.
fn verdict(outcome: &Outcome, took: Duration) -> Verdict {
    match outcome {
        Outcome::Success { .. } => {
            Verdict::Succeeded { took: Millis(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)) }
        }
        Outcome::UserFailure { .. } => Verdict::UserFailed,
        // What is nowhere is not on another machine either: the stages have to be done again.
        Outcome::Failure(failure) if !failure.lost.is_empty() => Verdict::UserFailed,
        Outcome::Failure(failure) => match failure.blame {
            Blame::Usage | Blame::Build => Verdict::UserFailed,
            Blame::Environment | Blame::Internal => Verdict::InfrastructureFailed,
        },
        Outcome::Cancelled => Verdict::Cancelled,
    }
}
