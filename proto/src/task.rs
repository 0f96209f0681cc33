//! What a worker can be asked to do. Everything is resolved: a task names layers, not stages or images.
#![expect(
    missing_docs,
    reason = "rkyv leaves the fields of its resolvers undocumented; a test looks at ours"
)]

use farm_model::op::{Network, Sharing, Ulimit};
use farm_model::result::LayerRef;

use rkyv::{Archive, Deserialize, Serialize};

use crate::Secret;

/// The kinds of work that need a worker.
#[derive(Archive, Clone, Debug, Deserialize, Serialize)]
pub enum Task {
    /// Runs a command over a stack of layers and commits what it changed.
    Run(Box<RunTask>),
}

/// `RUN`, with every input by digest.
#[derive(Archive, Clone, Debug, Deserialize, Serialize)]
pub struct RunTask {
    /// The layers of the stage so far, the lowest first.
    pub layers: Vec<LayerRef>,
    /// The tree that those layers give when they are merged.
    pub merged: LayerRef,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The whole environment but `HOME`, which the user decides.
    pub env: Vec<(String, String)>,
    /// `user[:group]`, names or ids; empty means root.
    pub user: String,
    /// Absolute working directory.
    pub workdir: String,
    /// What is mounted, in order.
    pub mounts: Vec<TaskMount>,
    /// Files that exist only while the command runs: absolute path below `/dev`, bytes; mode 0755.
    pub files: Vec<(String, Vec<u8>)>,
    /// Which network it sees.
    pub network: Network,
    /// Host name inside.
    pub hostname: String,
    /// Extra lines of `/etc/hosts`: name, address.
    pub extra_hosts: Vec<(String, String)>,
    /// Size of `/dev/shm` in bytes.
    pub shm_size: Option<u64>,
    /// Resource limits.
    pub ulimits: Vec<Ulimit>,
    /// What becomes of what the command writes.
    pub keep: Keep,
}

/// What becomes of what a command writes.
#[derive(Archive, Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Keep {
    /// It is made a layer.
    Layer,
    /// It is thrown away.
    Nothing,
}

/// How a worker reaches an SSH agent.
#[derive(Archive, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Agent {
    /// By a socket on the worker's own machine.
    Path(String),
    /// Through the coordinator, [`crate::worker::Opening::Agent`].
    Client {
        /// Which of the client's agents.
        id: String,
    },
}

/// One mount of a task.
#[derive(Archive, Clone, Debug, Deserialize, Serialize)]
pub struct TaskMount {
    /// Absolute path inside.
    pub target: String,
    /// What is mounted.
    pub kind: TaskMountKind,
}

/// The kinds of mount, with their contents by digest.
#[derive(Archive, Clone, Debug, Deserialize, Serialize)]
pub enum TaskMountKind {
    /// A path of a stack of layers.
    Bind {
        /// The stack, the lowest layer first.
        layers: Vec<LayerRef>,
        /// The merged tree of the stack.
        merged: LayerRef,
        /// Path below its root.
        source: String,
        /// Whether writes are allowed and thrown away.
        writable: bool,
    },
    /// A directory that outlives the build on its worker.
    Cache(CacheMount),
    /// Memory.
    Tmpfs {
        /// Limit in bytes.
        size: Option<u64>,
    },
    /// A secret as a file; memory only.
    Secret {
        /// Its value.
        value: Secret,
        /// Mode of the file.
        mode: u32,
        /// Owner of the file.
        uid: u32,
        /// Group of the file.
        gid: u32,
    },
    /// A secret as an environment variable.
    SecretEnv {
        /// Name of the variable.
        name: String,
        /// Its value.
        value: Secret,
    },
    /// The socket of an SSH agent.
    Ssh {
        /// How the agent is reached.
        agent: Agent,
        /// Mode of the socket inside.
        mode: u32,
        /// Owner of the socket inside.
        uid: u32,
        /// Group of the socket inside.
        gid: u32,
    },
}

/// A cache mount.
#[derive(Archive, Clone, Debug, Deserialize, Serialize)]
pub struct CacheMount {
    /// Identity, the scope included.
    pub id: String,
    /// Who may use it at the same time.
    pub sharing: Sharing,
    /// Whether the command may only read.
    pub read_only: bool,
    /// The build that wants what it held to be dropped first, once: `--no-cache`.
    pub fresh: Option<u64>,
    /// What a fresh directory starts with: a stack of layers, its merged tree, and a path in it.
    pub seed: Option<(Vec<LayerRef>, LayerRef, String)>,
    /// Mode of a fresh directory.
    pub mode: u32,
    /// Owner of a fresh directory.
    pub uid: u32,
    /// Group of a fresh directory.
    pub gid: u32,
}
