//! What people order of the dispatcher: workers that rest, and steps that go elsewhere.

use farm_model::WorkerId;
use farm_proto::CoordinatorMessage;
use farm_proto::client::Duty;
use farm_scheduler::Event;
use farm_scheduler::command::BuildStep;

use super::dispatcher::Dispatcher;

impl Dispatcher {
    /// Takes over who rested before a restart.
    pub(crate) fn rest(&mut self, workers: impl Iterator<Item = WorkerId>) {
        for worker in workers {
            self.tell(Event::WorkerDrained { worker });
        }
    }

    /// Gives a worker no more work, or work again; says whether it is known. One that is away may be restored all the same.
    pub(super) fn set_duty(&mut self, worker: WorkerId, duty: Duty) -> bool {
        let present = self.workers.rest(&worker, duty);
        let known = present || duty == Duty::Open && self.scheduler.is_drained(&worker);
        if !known {
            return false;
        }
        match duty {
            Duty::Drained => {
                self.tell(Event::WorkerDrained { worker: worker.clone() });
                self.send(&worker, CoordinatorMessage::Drain);
            }
            Duty::Open => {
                self.send(&worker, CoordinatorMessage::Restore);
                self.tell(Event::WorkerRestored { worker });
            }
        }
        true
    }

    /// Has a step that runs done elsewhere; says whether it ran.
    pub(super) fn relocate(&mut self, who: BuildStep, reason: String) -> bool {
        let Some(flight) = self.flight_of(who).filter(|flight| flight.lease.is_some()) else { return false };
        // What failed before is not why it moves.
        flight.failure = None;
        let (build, step) = who;
        self.tell(Event::StepMoved { build, step, reason });
        true
    }
}
