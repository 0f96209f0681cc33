//! What a step does. Everything that decides its result is in here, expanded and explicit.

use std::time::Duration;

use crate::{ContextName, ImageId, OciDigest, StageId};

/// The operation of a step.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Op {
    /// Changes the configuration only; makes no layer.
    Metadata,
    /// `RUN`.
    Run(Box<Run>),
    /// `COPY` and `ADD`.
    Copy(Box<Copy>),
    /// `WORKDIR`: the directory is made when it does not exist.
    Workdir(Workdir),
}

impl Op {
    /// The stages whose results it reads beside its own.
    pub fn stages(&self) -> Vec<StageId> {
        let of_origin = |origin: &Origin| match origin {
            Origin::Stage(stage) => Some(*stage),
            Origin::Context(_) | Origin::Image(_) | Origin::Scratch => None,
        };
        match self {
            Self::Copy(copy) => of_origin(&copy.from).into_iter().collect(),
            Self::Run(run) => {
                let mounts = run.mounts.iter().filter_map(|mount| match &mount.kind {
                    MountKind::Bind { from, .. } | MountKind::Cache { from: Some(from), .. } => {
                        of_origin(from)
                    }
                    MountKind::Cache { from: None, .. }
                    | MountKind::Tmpfs { .. }
                    | MountKind::Secret { .. }
                    | MountKind::Ssh { .. } => None,
                });
                mounts.collect()
            }
            Self::Metadata | Self::Workdir(_) => Vec::new(),
        }
    }
}

/// `WORKDIR`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Workdir {
    /// Absolute, cleaned path.
    pub path: String,
    /// `USER` at that point: owns the directories that are made.
    pub user: String,
}

/// `COPY` and `ADD`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Copy {
    /// What is copied, in order; never empty.
    pub sources: Vec<Source>,
    /// Where [`Source::Path`] looks.
    pub from: Origin,
    /// Absolute path, or relative to `workdir`, as written; a trailing slash means a directory.
    pub destination: String,
    /// The working directory at that point, absolute.
    pub workdir: String,
    /// `--chown`, expanded: `user[:group]`, names or ids.
    pub chown: Option<String>,
    /// `--chmod`, expanded: octal or symbolic.
    pub chmod: Option<String>,
    /// `--exclude` patterns.
    pub exclude: Vec<String>,
    /// Whether `--parents` keeps the directories of the source paths.
    pub parents: bool,
    /// Whether `--link` lays the result over the stage without looking at it.
    pub link: bool,
    /// Which sources are unpacked when they are archives.
    pub unpack: Unpack,
    /// Whether this is `ADD`; it decides words in messages only.
    pub add: bool,
}

/// What a `COPY` or `ADD` takes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// A path or wildcard below the origin's root, as written.
    Path(String),
    /// A heredoc.
    Inline {
        /// File name: the heredoc's word.
        name: String,
        /// The bytes.
        content: Vec<u8>,
    },
    /// A file fetched over HTTP or HTTPS.
    Url {
        /// The address.
        url: String,
        /// `--checksum`, when given.
        checksum: Option<OciDigest>,
    },
}

/// Where the paths of a `COPY` or of a bind mount lie.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Origin {
    /// A local directory of the client.
    Context(ContextName),
    /// The result of another stage.
    Stage(StageId),
    /// An image.
    Image(ImageId),
    /// An empty file system: `from=scratch`.
    Scratch,
}

/// When `ADD` unpacks archives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unpack {
    /// `COPY`, and `ADD --unpack=false`.
    Never,
    /// `ADD` without the flag: local archives are unpacked, fetched ones are not.
    Local,
    /// `ADD --unpack`: both are.
    Always,
}

/// `RUN`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Run {
    /// The program and its arguments; the shell is already in front of a shell form.
    pub argv: Vec<String>,
    /// The environment that the command sees and that is part of its key.
    pub env: Vec<(String, String)>,
    /// Predefined proxy variables that were given but not declared: seen by the command, not part of its key.
    pub unkeyed_env: Vec<(String, String)>,
    /// `user[:group]`, names or ids; empty means root.
    pub user: String,
    /// Absolute working directory.
    pub workdir: String,
    /// `--mount`, in order.
    pub mounts: Vec<Mount>,
    /// Heredocs that run as programs, made available as read-only files at their absolute path, mode 0755.
    pub files: Vec<(String, Vec<u8>)>,
    /// `--network`.
    pub network: Network,
    /// Host name inside; `buildkitsandbox` unless an argument sets it.
    pub hostname: String,
    /// `--add-host`: name and address, in the order of the command line.
    pub extra_hosts: Vec<(String, String)>,
    /// `--shm-size` in bytes; not part of the key.
    pub shm_size: Option<u64>,
    /// `--ulimit`; not part of the key.
    pub ulimits: Vec<Ulimit>,
}

/// A resource limit as `setrlimit(2)` takes it; `u64::MAX` is unlimited.
#[derive(Clone, Debug, Eq, PartialEq, rkyv::Archive, rkyv::Deserialize, rkyv::Serialize)]
pub struct Ulimit {
    /// Name in lower case without `RLIMIT_`, such as `nofile`.
    pub name: String,
    /// The soft limit.
    pub soft: u64,
    /// The hard limit.
    pub hard: u64,
}

/// The network of a `RUN`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, rkyv::Archive, rkyv::Deserialize, rkyv::Serialize)]
pub enum Network {
    /// A network namespace of its own, with address translation.
    Default,
    /// A network namespace with only a loopback device.
    None,
    /// The host's network.
    Host,
}

/// One `--mount`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mount {
    /// Absolute path inside.
    pub target: String,
    /// What is mounted there.
    pub kind: MountKind,
}

/// The kinds of `--mount`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MountKind {
    /// Files of a context, stage or image.
    Bind {
        /// Where they lie.
        from: Origin,
        /// Path below the origin's root.
        source: String,
        /// Whether the command may write; what it writes is thrown away.
        writable: bool,
    },
    /// A directory that outlives the build on its machine.
    Cache {
        /// Identity of the directory.
        id: String,
        /// Who may use it at the same time.
        sharing: Sharing,
        /// Whether the command may only read.
        read_only: bool,
        /// What a fresh directory starts with.
        from: Option<Origin>,
        /// Path below that origin's root.
        source: String,
        /// Mode of a fresh directory.
        mode: u32,
        /// Owner of a fresh directory.
        uid: u32,
        /// Group of a fresh directory.
        gid: u32,
    },
    /// Memory.
    Tmpfs {
        /// Limit in bytes.
        size: Option<u64>,
    },
    /// A secret as a file; only its name is part of the key.
    Secret {
        /// Which secret.
        id: String,
        /// Whether the step fails without it.
        required: bool,
        /// Environment variable that receives the value.
        env: Option<String>,
        /// Whether a file is mounted at the target; false when only `env` was asked for.
        file: bool,
        /// Mode of the file.
        mode: u32,
        /// Owner of the file.
        uid: u32,
        /// Group of the file.
        gid: u32,
    },
    /// The socket of an SSH agent.
    Ssh {
        /// Which agent.
        id: String,
        /// Whether the step fails without it.
        required: bool,
        /// Mode of the socket.
        mode: u32,
        /// Owner of the socket.
        uid: u32,
        /// Group of the socket.
        gid: u32,
    },
}

/// Who may use a cache mount at the same time.
#[derive(Clone, Copy, Debug, Eq, PartialEq, rkyv::Archive, rkyv::Deserialize, rkyv::Serialize)]
pub enum Sharing {
    /// Anybody.
    Shared,
    /// One step at a time; another gets a directory of its own.
    Private,
    /// One step at a time; another waits.
    Locked,
}

/// How long a fetched file may take before the build gives up on it.
pub const URL_DEADLINE: Duration = Duration::from_secs(600);
