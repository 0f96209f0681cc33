//! What a client wants of a coordinator, and what it hears.
#![expect(
    missing_docs,
    reason = "rkyv leaves the fields of its resolvers undocumented; a test looks at ours"
)]

use std::collections::BTreeMap;

use farm_model::event::{Blame, MachineLoad, Stream};
use farm_model::op::{Network, Ulimit};
use farm_model::{BuildId, Exit, Platform, Reference, StepId, WorkerId};
use rkyv::{Archive, Deserialize, Serialize};

use crate::budget::Budget;
use crate::image::{ImageDetails, ImageSummary, NodeUsage, PruneRequest};
use crate::image_query::{DirectoryListing, EntriesRequest, ImageComparison, ImageWaste, SharedBytes};
use crate::transfer::{Moved, PullRequest, PushRequest, PushedImage, SaveRequest};

/// The first message on a stream that a client opens. → [`Reply`]s; what they are is said with each.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Request {
    /// Build. → [`Reply::Event`]s from the first to the last of the build's log. The client answers
    /// [`crate::session::Question`]s meanwhile. An id that is known and interrupted is taken up again.
    /// A client that ends its half of the stream leaves: the build is cancelled unless somebody else wants it. A client
    /// whose connection is lost has some time to come back.
    Build(Box<BuildRequest>),
    /// The log of a build from this sequence number on, and what follows while it runs. → [`Reply::Event`]s to the last.
    Attach {
        /// Which build.
        build: BuildId,
        /// The first event that is wanted.
        from: u64,
        /// Whether the build goes on because of this reader.
        interest: Interest,
    },
    /// Cancel a build for everybody. → [`Reply::Done`] once it has ended.
    Cancel {
        /// Which build.
        build: BuildId,
    },
    /// The builds, the newest first. → [`Reply::Builds`].
    Builds {
        /// At most this many; 0 means all.
        limit: u32,
    },
    /// Every image that has a name. → [`Reply::Images`].
    Images,
    /// One image. → [`Reply::Image`].
    Inspect {
        /// A name or an id.
        image: String,
    },
    /// What the layers of an image hold in vain. → [`Reply::Waste`].
    Waste {
        /// A name or an id.
        image: String,
        /// So many of the worst files of each kind in each layer; the coordinator may give fewer.
        worst: u32,
    },
    /// One directory of an image. → [`Reply::Entries`].
    Entries(Box<EntriesRequest>),
    /// What two images differ in. → [`Reply::Compared`].
    Compare {
        /// A name or an id.
        before: String,
        /// A name or an id.
        after: String,
        /// So many of the heaviest differences; the coordinator may give fewer.
        limit: u32,
    },
    /// Which layers the images that have a name share. → [`Reply::Sharing`].
    Sharing,
    /// Give an image another name. → [`Reply::Done`].
    Tag {
        /// A name or an id.
        image: String,
        /// The new name.
        name: Reference,
    },
    /// Take names away; an image without a name may be pruned. → [`Reply::Removed`].
    Remove {
        /// Names or ids.
        images: Vec<String>,
    },
    /// What takes how much of the disk. → [`Reply::Usage`].
    DiskUsage,
    /// Remove what nobody needs. → [`Reply::Usage`] with what went.
    Prune(PruneRequest),
    /// Run a command in an image and throw away what it writes. → [`Reply::Output`]s, then [`Reply::Exited`].
    Run(Box<RunRequest>),
    /// How the coordinator is. → [`Reply::Status`].
    Status,
    /// End the coordinator's process. → [`Reply::Done`] when it is about to.
    Stop(Stop),
    /// Give an image a name in a registry. → [`Reply::Moved`]s, then [`Reply::Pushed`].
    Push(Box<PushRequest>),
    /// Take an image from a registry, and keep it under its name. → [`Reply::Moved`]s, then [`Reply::Image`].
    Pull(Box<PullRequest>),
    /// Make an archive of images. → [`Reply::Output`]s of it, then [`Reply::Done`].
    Save(Box<SaveRequest>),
    /// Take the images of an archive, which follows as [`crate::session::OutputPart`]s. → [`Reply::Loaded`].
    Load,
    /// Everything that is true of the farm, and what happens in it from now on. → [`Reply::Farm`]s without end. It changes
    /// nothing and keeps no build alive.
    Watch,
    /// Take a running step from its worker and have it done by another, or by the same when no other can. → [`Reply::Done`].
    Move {
        /// Of which build.
        build: BuildId,
        /// Which one.
        step: StepId,
    },
    /// Give a worker no more work, or work again. → [`Reply::Done`].
    Drain {
        /// Which one.
        worker: WorkerId,
        /// What is wanted of it.
        duty: Duty,
    },
    /// Keep an image whatever is pruned or removed, or no longer than others. → [`Reply::Done`].
    Pin {
        /// A name or an id.
        image: String,
        /// What is wanted of it.
        pinning: Pinning,
    },
    /// What people did to the farm, the newest first. → [`Reply::Actions`].
    Actions {
        /// At most this many; 0 means all that are kept.
        limit: u32,
    },
}

/// Whether a worker is given work.
#[derive(Archive, Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Duty {
    /// It is.
    Open,
    /// Not until somebody says otherwise; what it does it may finish.
    Drained,
}

/// Whether an image stays whatever is pruned or removed.
#[derive(Archive, Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Pinning {
    /// It does.
    Pinned,
    /// It is as others are.
    Free,
}

/// Whether a reader keeps a build alive.
#[derive(Archive, Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Interest {
    /// It wants the result.
    Want,
    /// It only looks.
    Watch,
}

/// When to stop.
#[derive(Archive, Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Stop {
    /// At once; running builds are interrupted and can be taken up again.
    Now,
    /// When no build runs any more; new ones are refused meanwhile.
    WhenIdle,
}

/// One build.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct BuildRequest {
    /// Its id, drawn by the client.
    pub build: BuildId,
    /// What is wanted of it.
    pub goal: Goal,
    /// The Dockerfile's bytes.
    pub dockerfile: Vec<u8>,
    /// What to call it in messages.
    pub dockerfile_name: String,
    /// What to call the main context in lists.
    pub context_name: String,
    /// `--target`.
    pub target: Option<String>,
    /// `--build-arg`, `SOURCE_DATE_EPOCH` of the environment included.
    pub build_args: BTreeMap<String, String>,
    /// `--label`, in order.
    pub labels: Vec<(String, String)>,
    /// `--build-context`, by name as the user typed it.
    pub contexts: BTreeMap<String, NamedContext>,
    /// `--platform`.
    pub platform: Option<Platform>,
    /// What the client runs on: the platform of a build that asks for none.
    pub build_platform: Platform,
    /// `--no-cache` and `--no-cache-filter`.
    pub no_cache: NoCache,
    /// `--network`.
    pub network: Network,
    /// `--add-host`.
    pub extra_hosts: Vec<(String, String)>,
    /// `--shm-size` in bytes.
    pub shm_size: Option<u64>,
    /// `--ulimit`.
    pub ulimits: Vec<Ulimit>,
    /// `--pull`.
    pub pull: bool,
    /// `--tag`.
    pub names: Vec<Reference>,
    /// What is to be written by the client, in order.
    pub outputs: Vec<Output>,
    /// Whether the client needs the image's id although no output puts the image together.
    pub wants_image_id: bool,
    /// What the image may weigh; over it, the build fails and nothing is written or named.
    pub budget: Budget,
}

/// What is wanted of a build.
#[derive(Archive, Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Goal {
    /// The image.
    Image,
    /// Only to know what would run and why: nothing runs, nothing is recorded.
    Plan,
}

/// A source of `--build-context`.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum NamedContext {
    /// A directory of the client; its name is the context's.
    Local,
    /// `docker-image://`.
    Image(Reference),
    /// `oci-layout://`.
    OciLayout {
        /// Absolute path on the client.
        path: String,
        /// Tag or digest.
        reference: Option<String>,
    },
}

/// Which stages do not look for cached results.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum NoCache {
    /// None.
    Never,
    /// All, and cache mounts start empty.
    All,
    /// These.
    Stages(Vec<String>),
}

/// One `--output`.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Output {
    /// What is sent.
    pub form: Form,
    /// How layers are compressed.
    pub compression: Compression,
    /// How hard the compressor tries; none means the usual.
    pub level: Option<u8>,
    /// What the image is called there; empty means as in the build.
    pub names: Vec<Reference>,
    /// Whether file times are clamped to the epoch.
    pub rewrite_timestamp: bool,
    /// Seconds since the Unix epoch in place of the build's own `SOURCE_DATE_EPOCH`.
    pub epoch: Option<i64>,
    /// The option as the user typed it, for events.
    pub label: String,
}

/// The forms of a result on the wire; the client makes directories of them where that was asked for.
#[derive(Archive, Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Form {
    /// An OCI layout as a tar.
    OciArchive,
    /// The merged file system as a tar.
    FilesystemTar,
    /// A tar that `docker load` reads.
    DockerArchive,
    /// Nothing is sent to the client: the coordinator pushes the image.
    Registry,
    /// Nothing is sent to the client: the image is put together and stays in the farm.
    Image,
}

/// How layers are compressed.
#[derive(Archive, Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Compression {
    /// Not at all.
    Uncompressed,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

/// One `farm run`.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RunRequest {
    /// A name or an id; pulled when the farm has no image of that name.
    pub image: String,
    /// What to run in place of the image's command; behind its entry point.
    pub command: Vec<String>,
    /// In place of the image's entry point.
    pub entrypoint: Option<Vec<String>>,
    /// Variables beside the image's.
    pub env: Vec<(String, String)>,
    /// In place of the image's user.
    pub user: Option<String>,
    /// In place of the image's working directory.
    pub workdir: Option<String>,
    /// Which network it sees.
    pub network: Network,
    /// The platform, where the name stands for several.
    pub platform: Platform,
}

/// What a client hears.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Reply {
    /// The next event of a build's log.
    Event {
        /// Its position in the log.
        sequence: u64,
        /// The event in its written encoding, `farm_model::event::encoding`.
        recorded: Vec<u8>,
    },
    /// The list of builds.
    Builds(Vec<BuildSummary>),
    /// The list of images.
    Images(Vec<ImageSummary>),
    /// One image.
    Image(Box<ImageDetails>),
    /// What the layers of an image hold in vain.
    Waste(Box<ImageWaste>),
    /// A directory of an image.
    Entries(Box<DirectoryListing>),
    /// What two images differ in.
    Compared(Box<ImageComparison>),
    /// Which layers images share.
    Sharing(Box<SharedBytes>),
    /// The names that were taken away.
    Removed(Vec<String>),
    /// Use of the disk, machine by machine.
    Usage(Vec<NodeUsage>),
    /// What a command wrote.
    Output {
        /// Where.
        stream: Stream,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// How a command ended.
    Exited(Exit),
    /// How the coordinator is.
    Status(Box<Status>),
    /// Done, and nothing to say about it.
    Done,
    /// It cannot be done; always the last.
    Refused(Refusal),
    /// A transfer goes on.
    Moved(Moved),
    /// An image has its name in a registry.
    Pushed(Box<PushedImage>),
    /// Names, or ids where there is none, of images that were in an archive.
    Loaded(Vec<String>),
    /// The next events of the farm, each in its written encoding, `farm_model::event::encoding`.
    Farm(Vec<Vec<u8>>),
    /// What people did, each as a `farm_model::event::FarmEvent::Acted` in its written encoding.
    Actions(Vec<Vec<u8>>),
}

/// Why a request is not met.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Refusal {
    /// Whose move it is.
    pub blame: Blame,
    /// The whole chain of causes in one line.
    pub message: String,
    /// The way out, when there is one.
    pub hint: Option<String>,
}

/// A build in a list.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct BuildSummary {
    /// Its id.
    pub build: BuildId,
    /// Nanoseconds since the Unix epoch at its start.
    pub started: i64,
    /// How long it ran, or has been running.
    pub micros: u64,
    /// How it is.
    pub state: BuildState,
    /// What the Dockerfile is called.
    pub dockerfile: String,
    /// What the context is called.
    pub context: String,
    /// The stage that was asked for.
    pub target: Option<String>,
    /// Names that the image is to get.
    pub names: Vec<String>,
    /// Steps of its plan.
    pub steps: u32,
    /// Steps that were found in the cache.
    pub cached: u32,
    /// Steps that are done, cached ones included.
    pub done: u32,
    /// Unpacked bytes of the image, once there is one.
    pub image_bytes: Option<u64>,
    /// Who asked, by the name in the certificate; empty for builds from before this was kept.
    pub client: String,
}

/// How a build is.
#[derive(Archive, Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum BuildState {
    /// It runs.
    Running,
    /// It ended well.
    Succeeded,
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// Its coordinator or client was lost; it can be taken up again by its client.
    Interrupted,
}

/// How a coordinator is.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Status {
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Nanoseconds since the Unix epoch at its start.
    pub started: i64,
    /// Builds that run.
    pub running_builds: u32,
    /// Where its store is.
    pub state: String,
    /// Memory that its process occupies, in bytes.
    pub resident_bytes: u64,
    /// Its workers, by name.
    pub workers: Vec<WorkerStatus>,
}

/// How a worker is.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct WorkerStatus {
    /// Its name.
    pub worker: String,
    /// Its platform.
    pub platform: Platform,
    /// Steps that keep a processor busy and may run at once.
    pub slots: u32,
    /// Steps that run.
    pub running: u32,
    /// Whether it takes no more work.
    pub draining: bool,
    /// Steps that may run at once at most, however little they use.
    pub most: u32,
    /// Its labels.
    pub labels: Vec<String>,
    /// What its machine uses, once it has said so.
    pub load: Option<MachineLoad>,
}
