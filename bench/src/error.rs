//! What can go wrong while workloads are written and measured.

use std::io;
use std::path::{Path, PathBuf};

/// A workload that could not be written, or a build that could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("cannot {action} `{}`", path.display())]
    File {
        /// What was tried, as in "cannot … `path`".
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A workload would overwrite something.
    #[error("`{}` exists already", .0.display())]
    Exists(PathBuf),
    /// No workload or scenario has this name.
    #[error("there is no workload `{0}`")]
    UnknownWorkload(String),
    /// The program that a workload's steps run did not compile.
    #[error("`rustc` cannot compile the data generator: {0}")]
    Compiler(String),
    /// farm ended with a failure; the second text is the end of what it printed.
    #[error("`farm {arguments}` ended with {status}; its last lines:\n{log}")]
    Build {
        /// Its command line.
        arguments: String,
        /// As the system words it.
        status: String,
        /// The end of its output.
        log: String,
    },
    /// farm ended well, but without what the scenario is about.
    #[error("`{scenario}` cannot be measured: {reason}")]
    Unmeasurable {
        /// The scenario's name.
        scenario: &'static str,
        /// What is missing.
        reason: &'static str,
    },
}

impl Error {
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    /// The way out, where there is one to name.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Exists(_) => Some("remove it, or write to another directory"),
            Self::UnknownWorkload(_) => Some("`farm-workload list` names them"),
            Self::Compiler(_) => {
                Some("a static program needs the C library's static half (`libc6-dev` on Debian)")
            }
            Self::Build { .. } => {
                Some("the base images are those of `bases/serve DIR`; set FARM_CONFIG=DIR/farm.toml")
            }
            Self::File { .. } | Self::Unmeasurable { .. } => None,
        }
    }
}
