//! What the scheduler wants done.

use farm_model::{BuildId, LeaseId, StepId, WorkerId};

use crate::Verdict;

/// A step of a build.
pub type BuildStep = (BuildId, StepId);

/// An order to the coordinator, which performs commands in the order in which they come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// Have `worker` do the step of `leader`. The same task may be granted again after a failure, under another lease.
    Grant {
        /// Fences late reports.
        lease: LeaseId,
        /// Who does it.
        worker: WorkerId,
        /// The build and step whose task is sent.
        leader: BuildStep,
    },
    /// A running lease from before a restart does what `leader` wants: listen to it.
    Adopt {
        /// The lease.
        lease: LeaseId,
        /// Who does it.
        worker: WorkerId,
        /// The build and step that wants it.
        leader: BuildStep,
    },
    /// An equal step is in flight already: `follower` takes part in the log, from its start, and in the result.
    Join {
        /// Who came later.
        follower: BuildStep,
        /// Whose task is or will be sent.
        leader: BuildStep,
    },
    /// The leader of a flight went away but others wait: `to` leads from now on. The lease, if there is one, stays.
    Succeed {
        /// Who led.
        from: BuildStep,
        /// Who leads now.
        to: BuildStep,
    },
    /// Nobody wants this lease any more, or it was granted elsewhere.
    Cancel {
        /// The lease.
        lease: LeaseId,
        /// Who holds it.
        worker: WorkerId,
    },
    /// A lease was reported on and the report counts: hand its result to everybody who waited.
    Deliver {
        /// The lease whose report counts.
        lease: LeaseId,
        /// How it ended; never [`Verdict::Cancelled`].
        verdict: Verdict,
        /// Who waited, the leader first.
        waiting: Vec<BuildStep>,
    },
    /// A lease ended without a result through no fault of the step; another grant follows when there is a worker.
    Retry {
        /// Who waits.
        waiting: Vec<BuildStep>,
        /// Why, for people.
        reason: String,
    },
    /// A step cannot be done: it was tried too often, or no worker that could do it came in time.
    GiveUp {
        /// Who waited.
        waiting: Vec<BuildStep>,
        /// Why, for people.
        reason: String,
    },
    /// A worker failed too often: tell it that it gets no more work, and the people on duty.
    Drain {
        /// The worker.
        worker: WorkerId,
    },
}
