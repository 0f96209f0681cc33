//! The simulated coordinator: hears machines, tells the scheduler, performs what it decides.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use farm_model::{LayerDigest, LeaseId, Scope, StepDigest, WorkerId};
use farm_scheduler::{Command, Config, Event, Millis, Scheduler};

use crate::builds::{Phase, nature};
use crate::driver::Todo;
use crate::machines::{Message, Order, Report, Task};
use crate::rules::Moving;
use crate::world::{Happening, World};

pub(crate) struct Coordinator {
    /// None while it is down.
    pub(crate) scheduler: Option<Scheduler>,
    pub(crate) epoch: u64,
    present: BTreeMap<usize, u64>,
    holdings: BTreeMap<usize, BTreeSet<LayerDigest>>,
    /// Survive restarts.
    pub(crate) records: BTreeMap<(Scope, StepDigest), LayerDigest>,
    pub(crate) stored: BTreeSet<LayerDigest>,
    pub(crate) todo: VecDeque<Todo>,
}

impl Coordinator {
    pub(crate) fn new() -> Self {
        Self {
            scheduler: Some(Scheduler::new(Config::default(), 1)),
            epoch: 1,
            present: BTreeMap::new(),
            holdings: BTreeMap::new(),
            records: BTreeMap::new(),
            stored: BTreeSet::new(),
            todo: VecDeque::new(),
        }
    }

    pub(crate) fn due(&self) -> Option<u64> {
        Some(self.scheduler.as_ref()?.poll_timeout()?.0)
    }

    pub(crate) fn is_available(&self, layer: &LayerDigest) -> bool {
        self.stored.contains(layer) || self.holdings.values().any(|held| held.contains(layer))
    }
}

impl World {
    pub(crate) fn tick(&mut self) -> Result<(), String> {
        self.tell(Event::Tick, None)
    }

    pub(crate) fn go_down(&mut self) {
        if self.coordinator.scheduler.take().is_none() {
            return;
        }
        self.coordinator.present.clear();
        self.coordinator.holdings.clear();
        self.rules.forget_leases();
        for build in &mut self.builds {
            if build.phase == Phase::Running {
                build.phase = Phase::Away;
            }
        }
        for index in 0..self.machines.len() {
            if self.machines[index].session.take().is_some() {
                let (delay, life) = (self.random.within(50, 3_000), self.machines[index].life);
                self.after(delay, Happening::Connects { machine: index, life });
            }
        }
        let delay = self.random.within(50, 3_000);
        self.after(delay, Happening::ComesUp);
    }

    pub(crate) fn come_up(&mut self) -> Result<(), String> {
        if self.coordinator.scheduler.is_some() {
            return Ok(());
        }
        self.coordinator.epoch += 1;
        self.coordinator.scheduler = Some(Scheduler::new(Config::default(), self.coordinator.epoch));
        for index in 0..self.builds.len() {
            let delay = self.random.within(10, 4_000);
            self.after(delay, Happening::Asks(index));
        }
        // What people said outlives the process.
        for worker in self.rules.forbidden.clone() {
            self.tell(Event::WorkerDrained { worker }, None)?;
        }
        Ok(())
    }

    /// Moves one of the steps that run.
    pub(crate) fn move_one(&mut self, which: u64) -> Result<(), String> {
        let Some(scheduler) = &self.coordinator.scheduler else { return Ok(()) };
        let running: Vec<_> = scheduler.running().map(|view| view.waiting[0]).collect();
        let Some(index) = which.checked_rem(running.len() as u64) else { return Ok(()) };
        let (build, step) = running[usize::try_from(index).unwrap()];
        self.rules.moving = Moving::Begun;
        self.tell(Event::StepMoved { build, step, reason: "moved".to_owned() }, None)?;
        match std::mem::replace(&mut self.rules.moving, Moving::No) {
            Moving::Done => Ok(()),
            Moving::No | Moving::Begun => Err("a step that runs was not moved".to_owned()),
        }
    }

    pub(crate) fn drain(&mut self, machine: usize) -> Result<(), String> {
        let worker = self.machines[machine].id.clone();
        self.rules.forbidden.insert(worker.clone());
        self.tell(Event::WorkerDrained { worker }, None)
    }

    pub(crate) fn restore(&mut self, machine: usize) -> Result<(), String> {
        let worker = self.machines[machine].id.clone();
        self.rules.forbidden.remove(&worker);
        self.rules.cured(&worker);
        self.tell(Event::WorkerRestored { worker }, None)
    }

    /// A layer reaches the coordinator's own store, if it still exists.
    pub(crate) fn store(&mut self, layer: LayerDigest) {
        if self.coordinator.is_available(&layer) {
            self.coordinator.stored.insert(layer);
        }
    }

    pub(crate) fn dropped(&mut self, machine: usize, session: u64) -> Result<(), String> {
        if self.coordinator.present.get(&machine) != Some(&session) {
            let life = self.machines[machine].life;
            self.after(100, Happening::Connects { machine, life });
            return Ok(());
        }
        self.coordinator.present.remove(&machine);
        self.coordinator.holdings.remove(&machine);
        let life = self.machines[machine].life;
        self.after(100, Happening::Connects { machine, life });
        let worker = self.machines[machine].id.clone();
        self.rules.worker_left(&worker);
        self.tell(Event::WorkerLost { worker }, None)
    }

    pub(crate) fn hear(
        &mut self,
        machine: usize,
        session: u64,
        message: Message,
        late: bool,
    ) -> Result<(), String> {
        if self.coordinator.scheduler.is_none() {
            return Ok(());
        }
        let present = self.coordinator.present.get(&machine) == Some(&session);
        let worker = self.machines[machine].id.clone();
        match message {
            Message::Hello { capacity, running, holdings, speed } => {
                if self.machines[machine].session != Some(session) {
                    return Ok(());
                }
                self.coordinator.present.insert(machine, session);
                self.coordinator.holdings.insert(machine, holdings.clone());
                self.rules.worker_came(&worker, &capacity, &running);
                self.tell(Event::WorkerJoined { worker: worker.clone(), capacity, running }, None)?;
                let added = holdings.into_iter().collect();
                self.tell(
                    Event::HoldingsChanged { worker: worker.clone(), added, removed: Vec::new() },
                    None,
                )?;
                self.tell(Event::BandwidthMeasured { worker, bytes_per_second: speed }, None)?;
                let running =
                    (0..self.builds.len()).filter(|build| self.builds[*build].phase == Phase::Running);
                self.coordinator.todo.extend(running.map(Todo::Advance));
                self.work_off()
            }
            // What comes late comes from former sessions too: that is for the scheduler to bear.
            _ if !present && !late => Ok(()),
            Message::Beat { leases } => {
                self.rules.mentioned(&worker, &leases);
                self.tell(Event::Heartbeat { worker, leases }, None)
            }
            Message::Load { leases } => self.tell(Event::LoadMeasured { worker, leases }, None),
            Message::Holds(layer) if present && !late => {
                self.coordinator.holdings.entry(machine).or_default().insert(layer);
                let delay = self.random.within(10, 5_000);
                self.after(delay, Happening::Stores(layer));
                self.tell(Event::HoldingsChanged { worker, added: vec![layer], removed: Vec::new() }, None)
            }
            Message::Holds(_) => Ok(()),
            Message::Finished { lease, report } => {
                let event = Event::Finished { worker: worker.clone(), lease, verdict: report.verdict };
                self.tell(event, Some(&(worker, lease, report)))
            }
        }
    }

    /// Tells the scheduler, performs what it decides, and looks whether everything holds.
    pub(crate) fn tell(
        &mut self,
        event: Event,
        report: Option<&(WorkerId, LeaseId, Report)>,
    ) -> Result<(), String> {
        let Some(scheduler) = &mut self.coordinator.scheduler else { return Ok(()) };
        scheduler.handle(Millis(self.now), event);
        let commands: Vec<Command> = std::iter::from_fn(|| scheduler.poll_command()).collect();
        for command in commands {
            self.trace.push(format!("{:>8} => {command:?}", self.now));
            self.check_command(&command, report)?;
            self.perform(command, report);
        }
        self.check_state()?;
        self.work_off()
    }

    fn perform(&mut self, command: Command, report: Option<&(WorkerId, LeaseId, Report)>) {
        match command {
            Command::Grant { lease, worker, leader } => {
                let (build, step) = self.find(leader);
                let work = self.builds[build].steps[step].asked.clone().expect("a step that waits was ready");
                let task = Task {
                    key: work.key,
                    scope: self.builds[build].scope.clone(),
                    inputs: work.inputs.iter().map(|input| input.layer).collect(),
                    nature: nature(self.builds[build].steps[step].operation),
                    ended: None,
                };
                self.send(&worker, Order::Execute { lease, task });
            }
            Command::Cancel { lease, worker } => self.send(&worker, Order::Cancel(lease)),
            Command::Drain { worker } => self.send(&worker, Order::Drain),
            Command::Deliver { verdict, waiting, .. } => {
                let lost = report.is_some_and(|(_, _, report)| report.lost);
                for step in waiting {
                    self.deliver(step, verdict, lost);
                }
            }
            Command::GiveUp { waiting, .. } => {
                for (build, _) in waiting {
                    let build = self.index(build);
                    self.coordinator.todo.push_back(Todo::End(build));
                }
            }
            Command::Adopt { .. }
            | Command::Join { .. }
            | Command::Succeed { .. }
            | Command::Retry { .. } => {}
        }
    }

    fn send(&mut self, worker: &WorkerId, order: Order) {
        let machine = self.machines.iter().position(|machine| machine.id == *worker);
        if let Some(machine) = machine
            && let Some(session) = self.coordinator.present.get(&machine).copied()
        {
            self.order(machine, session, order);
        }
    }
}
