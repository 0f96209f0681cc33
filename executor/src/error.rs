//! What can keep a container from running, and whose fault it is.

use std::io;

use serde::{Deserialize, Serialize};

/// Who can do something about an error.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Blame {
    /// The author of the Dockerfile.
    User,
    /// Whoever runs the machine.
    Environment,
    /// The author of this program.
    Internal,
}

/// Why a container could not be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was asked for makes no sense.
    #[error("container `{id}`: {problem}")]
    Invalid {
        /// The container's id.
        id: String,
        /// What is wrong with it.
        problem: String,
        /// Who can change it.
        blame: Blame,
    },
    /// A step of the set-up failed, before the command was started.
    #[error("set up container: {action}")]
    Setup {
        /// What was attempted, such as "mount `/proc`".
        action: String,
        /// Who can do something about it.
        blame: Blame,
        /// Why it failed.
        source: io::Error,
    },
    /// The host cannot provide what was asked for.
    #[error("{missing}")]
    Unsupported {
        /// What is missing.
        missing: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// The network of the sandbox could not be made.
    #[error("prepare the network of a step: {action}: {problem}")]
    Network {
        /// What was attempted.
        action: String,
        /// What was said about it.
        problem: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// The OCI runtime cannot be used, or failed in its own way: the command was not started.
    #[error("OCI runtime `{runtime}`: {problem}")]
    Runtime {
        /// Its path.
        runtime: String,
        /// What it, or the kernel, says.
        problem: String,
    },
    /// Another live process uses the run directory.
    #[error("run directory `{path}` is in use by another process")]
    Busy {
        /// The directory.
        path: String,
    },
    /// The first process of the container died without a report, before it started the command.
    #[error("the container's first process died: {how}")]
    HelperDied {
        /// Its wait status in words.
        how: String,
    },
}

/// Of processes, memory, descriptors, and of namespaces or mounts.
const SHORTAGES: [i32; 5] = [libc::EAGAIN, libc::ENOMEM, libc::EMFILE, libc::ENFILE, libc::ENOSPC];

impl Error {
    /// Whether there was too little of something of which there may be more in a moment; the command was not started.
    pub(crate) fn is_shortage(&self) -> bool {
        match self {
            Self::Setup { source, .. } => {
                source.raw_os_error().is_some_and(|errno| SHORTAGES.contains(&errno))
            }
            // Before it started the command, or that would be its end; the kernel kills whoever needs memory.
            Self::HelperDied { .. } => true,
            Self::Invalid { .. }
            | Self::Unsupported { .. }
            | Self::Network { .. }
            | Self::Runtime { .. }
            | Self::Busy { .. } => false,
        }
    }

    /// Who can do something about this.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Invalid { blame, .. } | Self::Setup { blame, .. } => *blame,
            Self::Unsupported { .. } | Self::Network { .. } | Self::Runtime { .. } | Self::Busy { .. } => {
                Blame::Environment
            }
            Self::HelperDied { .. } => Blame::Internal,
        }
    }

    /// What to try, where that is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Unsupported { hint, .. } | Self::Network { hint, .. } => Some(hint),
            Self::Runtime { .. } => Some(
                "`oci-runtime` in the configuration names the program; `runtime = \"native\"` needs none",
            ),
            Self::Busy { .. } => Some("stop the other worker, or give this one a run directory of its own"),
            Self::Setup { source, .. } if source.raw_os_error() == Some(libc::EPERM) => {
                Some("containers need root with all capabilities")
            }
            Self::HelperDied { .. } => {
                Some("the machine may be out of memory; look for the kill in the kernel's log")
            }
            Self::Invalid { .. } | Self::Setup { .. } => None,
        }
    }

    pub(crate) fn setup(action: impl Into<String>, blame: Blame, source: impl Into<io::Error>) -> Self {
        Self::Setup { action: action.into(), blame, source: source.into() }
    }

    pub(crate) fn environment(action: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::setup(action, Blame::Environment, source)
    }
}
