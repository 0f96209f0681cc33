//! Everything that one container needs, as plain values.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::network::NetworkNamespace;
use crate::{Blame, Error, Meter};

/// One command and the world it runs in.
#[derive(Clone, Debug)]
pub struct Container {
    /// Unique among the containers of one executor; names its run directory. 1 to 64 of `[A-Za-z0-9._-]`.
    pub id: String,
    /// Read-only layer directories, topmost first, at least one. More than a hundred are fine.
    pub lowers: Vec<PathBuf>,
    /// Receives what the command changes. Made by the caller, empty.
    pub upper: PathBuf,
    /// Scratch space of overlayfs, on the file system of `upper`. Made by the caller, empty. The kernel leaves a directory in it.
    pub work: PathBuf,
    /// The command. A first word without a slash is looked up in the `PATH` of `env`.
    pub argv: Vec<String>,
    /// The whole environment; nothing is inherited and nothing added, `HOME` and `PATH` included.
    pub env: Vec<(String, String)>,
    /// Working directory, absolute; the caller makes sure that it exists.
    pub cwd: String,
    /// Who runs the command.
    pub user: User,
    /// Mounts besides `/proc`, `/sys` and `/dev`, applied in this order. A missing target is created in what lies
    /// below it, which changes `upper`: provide stubs in a lower.
    pub mounts: Vec<Mount>,
    /// What the command can reach.
    pub network: Network,
    /// Host name inside.
    pub hostname: String,
    /// Content of `/etc/hosts`; see [`hosts_file`](crate::hosts_file). Mounted over the image's, writable, not kept.
    pub hosts: String,
    /// Content of `/etc/resolv.conf`; see [`resolv_conf`](crate::resolv_conf). Mounted likewise.
    pub resolv_conf: String,
    /// Size of `/dev/shm` in bytes; Docker's default is [`Container::DEFAULT_SHM_SIZE`].
    pub shm_size: u64,
    /// Resource limits of processes that differ from the defaults.
    pub ulimits: Vec<Ulimit>,
    /// Limits of the container as a whole.
    pub limits: Limits,
    /// Shows how much processor time the container has used, while it runs and afterwards. One a container.
    pub meter: Meter,
}

impl Container {
    /// What `/dev/shm` gets unless asked otherwise: 64 MiB.
    pub const DEFAULT_SHM_SIZE: u64 = 64 << 20;

    /// Refuses what cannot work, before anything is started.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let invalid = |blame, problem: String| Err(Error::Invalid { id: self.id.clone(), problem, blame });
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if self.id.is_empty()
            || self.id.len() > 64
            || self.id.starts_with('.')
            || !self.id.bytes().all(is_plain)
        {
            return invalid(Blame::Internal, "the id is not a plain name".to_owned());
        }
        if self.lowers.is_empty() {
            return invalid(Blame::Internal, "there is no layer".to_owned());
        }
        if self.argv.is_empty() {
            return invalid(Blame::User, "there is no command".to_owned());
        }
        let mut texts = self.argv.iter().chain(self.env.iter().flat_map(|(name, value)| [name, value]));
        if let Some(text) = texts.find(|text| text.contains('\0')) {
            return invalid(Blame::User, format!("`{}` contains a zero byte", text.escape_debug()));
        }
        if let Some((name, _)) = self.env.iter().find(|(name, _)| name.is_empty() || name.contains('=')) {
            return invalid(Blame::User, format!("`{name}` is not the name of a variable"));
        }
        if !self.cwd.starts_with('/') {
            return invalid(Blame::User, format!("working directory `{}` is not absolute", self.cwd));
        }
        for mount in &self.mounts {
            let target = mount.target.as_str();
            let parts = target.split('/').filter(|part| !part.is_empty() && *part != ".");
            let first = parts.clone().next();
            let problem = match first {
                _ if !target.starts_with('/') => "is not absolute",
                None => "is the root itself",
                Some("proc" | "sys") => "is inside `/proc` or `/sys`",
                Some(_) if parts.clone().any(|part| part == "..") => "contains `..`",
                Some(_) if target.contains('\0') => "contains a zero byte",
                Some(_) => continue,
            };
            return invalid(Blame::User, format!("mount target `{}` {problem}", target.escape_debug()));
        }
        Ok(())
    }
}

/// Numeric identity of a process.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// One mount of the step.
#[derive(Clone, Debug)]
pub struct Mount {
    /// Absolute path in the container; symlinks in it are followed inside the container's root.
    pub target: String,
    /// What appears there.
    pub kind: MountKind,
}

/// What a mount shows.
#[derive(Clone, Debug)]
pub enum MountKind {
    /// A file or directory of the host, with what is mounted below it.
    Bind {
        /// Path on the host.
        source: PathBuf,
        /// Whether writes reach the source.
        access: Access,
    },
    /// A stack of layer directories.
    Overlay {
        /// Layer directories, topmost first, at least one.
        lowers: Vec<PathBuf>,
        /// Path below the stack's root to show, a file or a directory; empty or `/` for all of it.
        subpath: String,
        /// What happens to writes.
        access: OverlayAccess,
    },
    /// An empty file system in memory.
    Tmpfs {
        /// Limit in bytes; none means the kernel's default of half the memory.
        size: Option<u64>,
        /// Permission bits of its root.
        mode: u32,
    },
    /// A read-only file whose content never touches a disk.
    SecretFile {
        /// Its content.
        bytes: Secret,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// A socket of the host, such as an ssh agent's, under other permissions: connections to a fresh socket in the container are
    /// forwarded to `source` for as long as the container runs.
    UnixSocket {
        /// Path of a listening socket on the host.
        source: PathBuf,
        /// Permission bits of the socket in the container.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
}

/// Whether a bind mount lets writes through.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Access {
    /// Writes fail with `EROFS`.
    ReadOnly,
    /// Writes reach the source.
    ReadWrite,
}

/// What happens to writes into an overlay mount.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum OverlayAccess {
    /// They fail with `EROFS`.
    ReadOnly,
    /// They succeed and go to `upper`, which the caller throws away afterwards.
    Discard {
        /// Empty directory made by the caller.
        upper: PathBuf,
        /// Empty directory on the same file system.
        work: PathBuf,
    },
}

/// What a container can reach.
#[derive(Clone, Debug)]
pub enum Network {
    /// A namespace of its own with a way out through NAT.
    Sandbox(NetworkNamespace),
    /// A namespace of its own with nothing but a loopback interface.
    None,
    /// The host's own network.
    Host,
}

/// Bytes that no debug output shows.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(pub Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

/// A limit of each process, as of `setrlimit(2)`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Ulimit {
    /// What is limited.
    pub resource: Resource,
    /// What applies; `u64::MAX` is unlimited.
    pub soft: u64,
    /// How far a process may raise it; `u64::MAX` is unlimited.
    pub hard: u64,
}

/// Resources of `setrlimit(2)`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Resource {
    /// Size of a core dump.
    Core,
    /// Processor time.
    Cpu,
    /// Size of the data segment.
    Data,
    /// Size of a file.
    Fsize,
    /// File locks.
    Locks,
    /// Locked memory.
    Memlock,
    /// Bytes in message queues.
    Msgqueue,
    /// Nice value.
    Nice,
    /// Open files.
    Nofile,
    /// Processes of the user.
    Nproc,
    /// Resident set.
    Rss,
    /// Real-time priority.
    Rtprio,
    /// Real-time processor time.
    Rttime,
    /// Pending signals.
    Sigpending,
    /// Size of the stack.
    Stack,
}

impl Resource {
    /// The resource that `docker build --ulimit` calls `name`, such as `nofile`.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "core" => Self::Core,
            "cpu" => Self::Cpu,
            "data" => Self::Data,
            "fsize" => Self::Fsize,
            "locks" => Self::Locks,
            "memlock" => Self::Memlock,
            "msgqueue" => Self::Msgqueue,
            "nice" => Self::Nice,
            "nofile" => Self::Nofile,
            "nproc" => Self::Nproc,
            "rss" => Self::Rss,
            "rtprio" => Self::Rtprio,
            "rttime" => Self::Rttime,
            "sigpending" => Self::Sigpending,
            "stack" => Self::Stack,
            _ => return None,
        })
    }
}

/// Limits of a container as a whole; `None` is unlimited unless something else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Memory in bytes, page cache included, swap excluded.
    pub memory: Option<u64>,
    /// Processors, such as 1.5.
    pub cpus: Option<f64>,
    /// Processes and threads; `None` is [`Limits::DEFAULT_PIDS`] where the machine can count them.
    pub pids: Option<u64>,
    /// Time from start until the container is killed.
    pub timeout: Option<Duration>,
}

impl Limits {
    /// More processes and threads than a build has, and fewer than a machine has room for.
    pub const DEFAULT_PIDS: u64 = 32_768;
}
