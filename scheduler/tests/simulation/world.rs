//! The simulated world: what happens when, and what goes wrong.

use std::collections::BTreeMap;

use farm_model::{LayerDigest, LeaseId, StepId};

use crate::builds::{Build, Phase, Progress};
use crate::coordinator::Coordinator;
use crate::machines::{Machine, Message, Order, Report};
use crate::random::Random;
use crate::rules::Rules;

/// When everything that goes wrong has gone wrong.
const CALM: u64 = 60_000;

/// When everything has to be over.
const END: u64 = 3_600_000;

/// How long everything takes to come to rest after the last build.
const REST: u64 = 60_000;

/// What goes wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Trouble {
    None,
    /// Machines crash, are cut off, fail; messages come late or twice.
    Machines,
    /// The coordinator restarts as well.
    Everything,
}

#[derive(Clone, Debug)]
pub(crate) enum Happening {
    Starts(usize),
    Crashes(usize),
    CutOff(usize),
    Connects {
        machine: usize,
        life: u64,
    },
    Dropped {
        machine: usize,
        session: u64,
    },
    Beats {
        machine: usize,
        life: u64,
    },
    Ends {
        machine: usize,
        life: u64,
        lease: LeaseId,
        report: Report,
    },
    Hears {
        machine: usize,
        session: u64,
        message: Message,
        late: bool,
    },
    Obeys {
        machine: usize,
        session: u64,
        order: Order,
    },
    Asks(usize),
    Leaves(usize),
    Computes {
        build: usize,
        step: StepId,
        epoch: u64,
    },
    Stores(LayerDigest),
    GoesDown,
    ComesUp,
    /// Somebody moves a step that runs.
    Moves(u64),
    /// Somebody drains a machine, be it there or not, or restores it.
    Drains(usize),
    Restores(usize),
}

/// The two ways of a session.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Way {
    Up,
    Down,
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) random: Random,
    pub(crate) trouble: Trouble,
    agenda: BTreeMap<(u64, u64), Happening>,
    planned: u64,
    pub(crate) sessions: u64,
    pub(crate) machines: Vec<Machine>,
    pub(crate) builds: Vec<Build>,
    pub(crate) coordinator: Coordinator,
    pub(crate) rules: Rules,
    pub(crate) trace: Vec<String>,
    /// When a build was seen running last.
    busy: u64,
    /// When what was said last in a session arrives, for what is said later arrives later.
    order: BTreeMap<(u64, Way), u64>,
}

impl World {
    pub(crate) fn new(seed: u64, trouble: Trouble) -> Self {
        let mut random = Random::new(seed);
        let machines = usize::try_from(random.within(3, 9)).unwrap();
        let builds = usize::try_from(random.within(1, 9)).unwrap();
        let mut world = Self {
            now: 0,
            trouble,
            agenda: BTreeMap::new(),
            planned: 0,
            sessions: 0,
            machines: (0..machines).map(|index| Machine::draw(index, &mut random)).collect(),
            builds: (0..builds).map(|index| Build::draw(index, &mut random)).collect(),
            coordinator: Coordinator::new(),
            rules: Rules::default(),
            trace: Vec::new(),
            busy: 0,
            order: BTreeMap::new(),
            random,
        };
        world.plan();
        world
    }

    fn plan(&mut self) {
        let calm = self.trouble == Trouble::None;
        for machine in 0..self.machines.len() {
            let begin = if calm { 0 } else { self.random.within(0, 2_000) };
            self.after(begin, Happening::Starts(machine));
        }
        for build in 0..self.builds.len() {
            let asks = 1_000 + self.random.within(0, 20_000);
            self.after(asks, Happening::Asks(build));
            if !calm && self.random.chance(150) {
                let leaves = asks + self.random.within(0, 30_000);
                self.after(leaves, Happening::Leaves(build));
            }
        }
        for _ in 0..self.random.within(0, 8) {
            let (at, which) = (self.random.within(1_000, CALM), self.random.within(0, 1_000));
            self.after(at, Happening::Moves(which));
        }
        for machine in 0..self.machines.len() {
            if self.random.chance(200) {
                let at = self.random.within(0, CALM / 2);
                let back = at + self.random.within(1, CALM / 2);
                self.after(at, Happening::Drains(machine));
                self.after(back, Happening::Restores(machine));
            }
        }
        if calm {
            return;
        }
        for machine in 0..self.machines.len() {
            self.machines[machine].unreliable = if self.random.chance(200) { 600 } else { 20 };
            for _ in 0..self.random.within(0, 4) {
                let at = self.random.within(0, CALM);
                let what = if self.random.chance(500) { Happening::Crashes } else { Happening::CutOff };
                self.after(at, what(machine));
            }
        }
        if self.trouble == Trouble::Everything {
            for _ in 0..self.random.within(1, 4) {
                let at = self.random.within(1_000, CALM);
                self.after(at, Happening::GoesDown);
            }
        }
    }

    pub(crate) fn after(&mut self, delay: u64, what: Happening) {
        self.planned += 1;
        self.agenda.insert((self.now + delay, self.planned), what);
    }

    /// Runs until every build has ended and everything came to rest.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        loop {
            if self.now > CALM {
                for machine in &mut self.machines {
                    machine.unreliable = 0;
                }
            }
            let due = self.coordinator.due();
            let planned = self.agenda.first_key_value().map(|((at, _), _)| *at);
            match (due, planned) {
                (Some(due), planned) if planned.is_none_or(|planned| due < planned) => {
                    self.now = self.now.max(due);
                    self.tick()?;
                }
                (_, Some(at)) => {
                    self.now = self.now.max(at);
                    let (_, what) = self.agenda.pop_first().expect("just seen");
                    self.happen(what)?;
                }
                (_, None) => return Err("nothing will ever happen again".to_owned()),
            }
            let over = self.builds.iter().all(|build| build.phase == Phase::Ended);
            if !over {
                self.busy = self.now;
            } else if self.now > CALM.max(self.busy) + REST {
                return self.at_rest();
            }
            if self.now > END {
                return Err(format!("builds do not end: {:?}", self.unfinished()));
            }
        }
    }

    fn happen(&mut self, what: Happening) -> Result<(), String> {
        self.trace.push(format!("{:>8} {what:?}", self.now));
        match what {
            Happening::Starts(machine) => self.start(machine),
            Happening::Crashes(machine) => self.crash(machine),
            Happening::CutOff(machine) => self.cut_off(machine),
            Happening::Connects { machine, life } => self.connect(machine, life),
            Happening::Beats { machine, life } => self.beat(machine, life),
            Happening::Ends { machine, life, lease, report } => self.end_task(machine, life, lease, report),
            Happening::Obeys { machine, session, order } => self.obey(machine, session, order),
            Happening::Dropped { machine, session } => return self.dropped(machine, session),
            Happening::Hears { machine, session, message, late } => {
                return self.hear(machine, session, message, late);
            }
            Happening::Asks(build) => return self.ask(build),
            Happening::Leaves(build) => return self.leave(build),
            Happening::Computes { build, step, epoch } => return self.computed(build, step, epoch),
            Happening::Stores(layer) => self.store(layer),
            Happening::GoesDown => self.go_down(),
            Happening::ComesUp => return self.come_up(),
            Happening::Moves(which) => return self.move_one(which),
            Happening::Drains(machine) => return self.drain(machine),
            Happening::Restores(machine) => return self.restore(machine),
        }
        Ok(())
    }

    /// A machine says something.
    pub(crate) fn say(&mut self, machine: usize, message: Message) {
        let Some(session) = self.machines[machine].session else { return };
        let troubled = self.trouble != Trouble::None && self.now < CALM;
        let repeatable = !matches!(message, Message::Hello { .. });
        if troubled && repeatable && self.random.chance(50) {
            let delay = self.random.within(1, 20_000);
            // Now and then a machine reports what another was granted.
            let forged = matches!(message, Message::Finished { .. }) && self.random.chance(500);
            let others = self.machines.len() as u64;
            let machine =
                if forged { usize::try_from(self.random.within(0, others)).unwrap() } else { machine };
            let delay = if forged { 0 } else { delay };
            let late = Happening::Hears { machine, session, message: message.clone(), late: true };
            self.after(delay, late);
        }
        let at = self.arrival(machine, session, Way::Up);
        self.after(at, Happening::Hears { machine, session, message, late: false });
    }

    /// A machine is told something.
    pub(crate) fn order(&mut self, machine: usize, session: u64, order: Order) {
        let at = self.arrival(machine, session, Way::Down);
        self.after(at, Happening::Obeys { machine, session, order });
    }

    /// How long something takes on its way, never overtaking what went before it. What is said while the machine is
    /// cut off for a short while is sent again until it gets through.
    fn arrival(&mut self, machine: usize, session: u64, way: Way) -> u64 {
        let slow = if self.random.chance(20) { 500 } else { 20 };
        let begin = self.now.max(self.machines[machine].cut_off);
        let at = begin + self.random.within(1, slow);
        let last = self.order.entry((session, way)).or_default();
        *last = at.max(*last);
        *last - self.now
    }

    /// The steps that keep builds from ending.
    fn unfinished(&self) -> Vec<String> {
        let running = self.builds.iter().filter(|build| build.phase != Phase::Ended);
        let steps = running.flat_map(|build| build.steps.iter().map(move |step| (build, step)));
        let waiting =
            steps.filter(|(_, step)| matches!(step.progress, Progress::Waiting(_) | Progress::Computing));
        waiting.map(|(build, step)| format!("{} {:?} {:?}", build.id, step.id, step.progress)).collect()
    }
}
