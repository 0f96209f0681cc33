//! What happens in a whole farm, as whoever watches it hears it: facts of builds, and samples of machines.
//!
//! A stream of these begins with [`FarmEvent::Began`] and says everything that is true before [`FarmEvent::CaughtUp`].
//! A watcher that was away hears a new `Began` and forgets what it knew, so that a stream can be cut anywhere. The log
//! lines of steps are not part of it; they are read from the log of their build.

use super::Recorded;
use crate::{BuildId, StepId, WorkerId};

/// A farm event with its time. Times of one stream never run backwards; when an event of a build happened is told by the
/// time in that.
#[derive(Clone, Debug, PartialEq)]
pub struct FarmRecorded {
    /// Nanoseconds since the Unix epoch at which it was said, by the coordinator's clock.
    pub time: i64,
    /// What happened.
    pub event: FarmEvent,
}

/// Something that happened in a farm.
#[derive(Clone, Debug, PartialEq)]
pub enum FarmEvent {
    /// The stream begins here, or begins anew.
    Began {
        /// What the farm is called.
        farm: String,
        /// The coordinator's version.
        version: String,
    },
    /// Everything that was true at the beginning has been said; from here on things happen.
    CaughtUp,
    /// A build that had ended before the stream began, in short; its events are in its own log.
    Past(PastBuild),
    /// The next event of a build; never [`super::BuildEvent::Logged`]. The first one of a build is its `Requested`.
    Build {
        /// The build.
        build: BuildId,
        /// Its position in the log of the build.
        sequence: u64,
        /// The event, with its time in the build.
        recorded: Recorded,
    },
    /// A worker came, or is not as it was said to be.
    Worker(WorkerFacts),
    /// A worker is gone.
    WorkerLost {
        /// Which one.
        worker: WorkerId,
    },
    /// What a worker uses at the moment.
    Load {
        /// Which one.
        worker: WorkerId,
        /// What it uses.
        load: MachineLoad,
    },
    /// What the coordinator's store holds at the moment.
    Store(StoreLoad),
    /// Somebody did something to the farm.
    Acted(Action),
}

/// A build that had ended before anybody watched.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PastBuild {
    /// The build.
    pub build: BuildId,
    /// Nanoseconds since the Unix epoch at its start.
    pub started: i64,
    /// How long it ran.
    pub micros: u64,
    /// How it ended.
    pub outcome: PastOutcome,
    /// What the Dockerfile is called.
    pub dockerfile: String,
    /// What the context is called.
    pub context: String,
    /// The stage that was asked for.
    pub target: Option<String>,
    /// Names that the image was to get.
    pub names: Vec<String>,
    /// Who asked, by the name in the certificate.
    pub client: String,
    /// Steps of its plan.
    pub steps: u32,
    /// Steps that were found in the cache.
    pub cached: u32,
    /// Steps that are done, cached ones included.
    pub done: u32,
    /// Unpacked bytes of the image, where there is one.
    pub image_bytes: Option<u64>,
}

/// How a build ended, in short.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PastOutcome {
    /// It gave what was asked for.
    Succeeded,
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// Its coordinator or its client was lost.
    Interrupted,
}

/// What a worker says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WorkerFacts {
    /// Its name.
    pub worker: WorkerId,
    /// Its platform, `os/architecture[/variant]`.
    pub platform: String,
    /// Steps that keep a processor busy and may run at once.
    pub slots: u32,
    /// Steps that may run at once at most, however little they use.
    pub most: u32,
    /// Its labels.
    pub labels: Vec<String>,
    /// Whether it takes no more work.
    pub draining: bool,
}

/// What a machine uses. Rates are over the time since the sample before.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, rkyv::Archive, rkyv::Deserialize, rkyv::Serialize)]
pub struct MachineLoad {
    /// Thousandths of one processor.
    pub cpu: u64,
    /// How many processors it has.
    pub processors: u32,
    /// Bytes of memory that are in use, without what can be dropped.
    pub memory: u64,
    /// Bytes of memory that it has.
    pub memory_total: u64,
    /// Bytes that its network interfaces took in, a second; loopback apart.
    pub received: u64,
    /// Bytes that its network interfaces sent, a second; loopback apart.
    pub sent: u64,
    /// Bytes that are in use on the disk of its store, by whomever.
    pub disk: u64,
    /// Bytes that this disk has.
    pub disk_total: u64,
}

/// What a store holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct StoreLoad {
    /// What takes disk, by kind.
    pub rows: Vec<StoreRow>,
    /// Bytes of layers that were used within the last day.
    pub hot: u64,
    /// Bytes of layers that were not.
    pub cold: u64,
    /// Bytes that are left on its disk.
    pub free: u64,
    /// The size to which the store is pruned, where one is set.
    pub limit: Option<u64>,
}

/// What one kind of thing takes of a disk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoreRow {
    /// What it is called in `farm du`.
    pub kind: String,
    /// How many there are.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, what a prune could free.
    pub reclaimable: u64,
}

/// Something that a person did to the farm. These are kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Action {
    /// Nanoseconds since the Unix epoch.
    pub time: i64,
    /// Who, by the name in the certificate.
    pub by: String,
    /// What.
    pub deed: Deed,
    /// Why it could not be done; none when it was.
    pub refused: Option<String>,
}

/// What can be done to a farm.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Deed {
    /// A build was cancelled for everybody.
    Cancelled {
        /// Which one.
        build: BuildId,
    },
    /// A running step was taken from its worker and given to another.
    Moved {
        /// Of which build.
        build: BuildId,
        /// Which one.
        step: StepId,
    },
    /// A worker takes no more work.
    Drained {
        /// Which one.
        worker: WorkerId,
    },
    /// A worker that was drained takes work again.
    Restored {
        /// Which one.
        worker: WorkerId,
    },
    /// An image is kept whatever is pruned or removed.
    Pinned {
        /// Its name.
        image: String,
    },
    /// An image is kept no longer than others.
    Unpinned {
        /// Its name.
        image: String,
    },
    /// The store was pruned.
    Pruned {
        /// Bytes that were freed.
        bytes: u64,
    },
}
