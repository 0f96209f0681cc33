//! The state machine's one door. What happens behind it is told by concern:
//!
//! | module | concern |
//! |---|---|
//! | `builds` | builds and their steps come, join flights, and go |
//! | `assignment` | the queue meets the free workers; slots that are kept, flights that are parked |
//! | `placement` | which worker a flight is best given to |
//! | `leases` | grants, reports, heartbeats, measurements, expiry |
//! | `workers` | workers come, go, and come back with what they run |
//! | `retry` | what happens to a flight whose lease ended without a result, and to a worker that fails |
//! | `patience` | flights that no worker could do |
//! | `view` | what a status page may read |
//! | `contradiction` | the invariants, for simulators |

mod assignment;
mod builds;
mod contradiction;
mod leases;
mod patience;
mod placement;
mod retry;
mod view;
mod workers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use farm_model::{BuildId, WorkerId};

use self::builds::Build;
pub use self::view::{RunningView, WaitingView, WorkerView};
use crate::families::Families;
use crate::flight::Flights;
use crate::lease::Leases;
use crate::queue::Queue;
use crate::timers::{Timer, Timers};
use crate::workers::Workers;
use crate::{Command, Config, Event, Millis};

/// The scheduler.
#[derive(Debug)]
pub struct Scheduler {
    config: Config,
    epoch: u64,
    /// Leases granted in this epoch.
    granted: u64,
    now: Millis,
    commands: VecDeque<Command>,
    timers: Timers,
    families: Families,
    builds: BTreeMap<BuildId, Build>,
    flights: Flights,
    queue: Queue,
    leases: Leases,
    workers: Workers,
    /// Workers that get no leases until somebody says otherwise, also those that are not there.
    drained: BTreeSet<WorkerId>,
}

impl Scheduler {
    /// A scheduler that grants leases of `epoch`, which must be greater than any before and durable already.
    pub fn new(config: Config, epoch: u64) -> Self {
        Self {
            config,
            epoch,
            granted: 0,
            now: Millis::default(),
            commands: VecDeque::new(),
            timers: Timers::default(),
            families: Families::default(),
            builds: BTreeMap::new(),
            flights: Flights::default(),
            queue: Queue::default(),
            leases: Leases::default(),
            workers: Workers::default(),
            drained: BTreeSet::new(),
        }
    }

    /// Takes over what steps of `family` took before a restart, as [`Scheduler::durations`] told it.
    pub fn remember(&mut self, family: [u8; 32], duration: Millis) {
        self.families.restore(family, duration);
    }

    /// Applies `event`; read the decisions back with [`Scheduler::poll_command`]. Time never runs backwards: a `now`
    /// before the latest one counts as that. Deadlines are looked at on [`Event::Tick`] only, so that what came before
    /// them but was read late is not too late.
    pub fn handle(&mut self, now: Millis, event: Event) {
        self.now = self.now.max(now);
        match event {
            Event::BuildStarted { build, scope, steps } => self.start_build(build, scope, &steps),
            Event::StepReady { build, step, work } => self.want((build, step), work),
            Event::StepSettled { build, step, took } => self.settle((build, step), took),
            Event::StepAbandoned { build, step } => self.leave((build, step)),
            Event::BuildEnded { build } => self.end_build(build),
            Event::WorkerJoined { worker, capacity, running } => self.join(&worker, capacity, running),
            Event::WorkerLost { worker } => self.lose(&worker),
            Event::WorkerDrained { worker } => {
                self.drain(&worker);
                self.drained.insert(worker);
            }
            Event::WorkerRestored { worker } => self.restore(&worker),
            Event::StepMoved { build, step, reason } => self.move_away((build, step), reason),
            Event::Heartbeat { worker, leases } => self.renew(&worker, &leases),
            Event::LoadMeasured { worker, leases } => self.weigh(&worker, &leases),
            Event::HoldingsChanged { worker, added, removed } => self.workers.hold(&worker, added, &removed),
            Event::BandwidthMeasured { worker, bytes_per_second } => {
                self.workers.update(&worker, |worker| worker.bytes_per_second = bytes_per_second.max(1));
            }
            Event::Finished { worker, lease, verdict } => self.finish(&worker, lease, verdict),
            Event::Tick => self.fire_due_timers(),
        }
        self.assign();
    }

    /// The next decision to perform.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// When [`Event::Tick`] is due at the latest, when at all.
    pub fn poll_timeout(&self) -> Option<Millis> {
        self.timers.next()
    }

    fn fire_due_timers(&mut self) {
        while let Some(timer) = self.timers.take_due(self.now) {
            match timer {
                Timer::Lease(lease) => self.expire(lease),
                Timer::Lost(lease) => {
                    self.leases.lost.remove(&lease);
                }
                Timer::Hold(build, stage) => {
                    self.release_slot(build, stage);
                }
                Timer::Parked(flight) => self.stop_waiting_for_worker(flight),
                Timer::Patience(class) => self.run_out_of_patience(class),
            }
        }
    }
}
