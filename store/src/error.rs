//! Why the store failed. Messages are fragments that complete "failed to …"; the way out is a hint of its own.

use std::io;
use std::path::{Path, PathBuf};

use farm_model::encoding::Malformed;
use farm_model::{BlobDigest, LayerDigest, OciDigest};

/// Why a call to the store failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("{action} `{}`", path.display())]
    Io {
        /// What was being done, as an infinitive.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk or the quota is full. Nothing half-written is left under a final name.
    #[error("{action} `{}`: no space left on the device", path.display())]
    NoSpace {
        /// What was being done, as an infinitive.
        action: &'static str,
        /// To what.
        path: PathBuf,
    },
    /// There is less room on the disk than what is about to be done needs.
    #[error("store {needed} bytes below `{}`: only {free} bytes are free", root.display())]
    LowSpace {
        /// The store's directory.
        root: PathBuf,
        /// What is free.
        free: u64,
        /// What is needed.
        needed: u64,
    },
    /// RocksDB refused.
    #[error("{action} the store's database")]
    Database {
        /// What was being done, as an infinitive.
        action: &'static str,
        /// What it said.
        source: rocksdb::Error,
    },
    /// Another process holds the store.
    #[error("open the store `{}`: {}", root.display(), holder(*pid))]
    InUse {
        /// The store's directory.
        root: PathBuf,
        /// Process id of the holder, when it wrote one.
        pid: Option<u32>,
    },
    /// The reader that was to be stored failed.
    #[error("read the bytes that were to be stored")]
    Source(#[source] io::Error),
    /// The bytes that came are not those that were announced. Nothing was stored.
    #[error("store blob `{expected}`: the bytes that came are others")]
    Mismatch {
        /// What was announced.
        expected: BlobDigest,
    },
    /// As [`Error::Mismatch`], for OCI blobs.
    #[error("store blob `{expected}`: the bytes that came are others")]
    OciMismatch {
        /// What was announced.
        expected: OciDigest,
    },
    /// More bytes came than the caller allows.
    #[error("store more than {limit} bytes")]
    TooLarge {
        /// The caller's limit.
        limit: u64,
    },
    /// No good copy of a blob is in the store.
    #[error("find blob `{0}` in the store")]
    MissingBlob(BlobDigest),
    /// A copy of a blob was not what its digest says; it was moved aside.
    #[error("read blob `{0}`: its bytes were damaged and have been moved aside")]
    Corrupt(BlobDigest),
    /// As [`Error::Corrupt`], for OCI blobs.
    #[error("read blob `{0}`: its bytes were damaged and have been moved aside")]
    OciCorrupt(OciDigest),
    /// A layer's tree is not in the store.
    #[error("find the tree of layer `{0}` in the store")]
    MissingTree(LayerDigest),
    /// A record was to be kept whose layer is not all there.
    #[error("record layer `{0}`: its tree or some of its bytes are not in the store")]
    IncompleteLayer(LayerDigest),
    /// A directory that was to become a layer is not what its tree says.
    #[error("use `{path}` as part of a layer: {reason}")]
    NotItsTree {
        /// Path below the layer's root.
        path: String,
        /// What differs.
        reason: &'static str,
    },
    /// A path inside a layer cannot be handed to the kernel.
    #[error("use a path of a layer: it is longer than {limit} bytes")]
    PathTooLong {
        /// The kernel's limit.
        limit: usize,
    },
    /// A tree claims more names than any layer has.
    #[error("use a layer with more than {limit} names")]
    TooManyEntries {
        /// The most that are accepted.
        limit: u64,
    },
    /// A value in the database cannot be read.
    #[error("read a record of the store ({table})")]
    Malformed {
        /// The table it is in.
        table: &'static str,
        /// What is wrong with it.
        source: Malformed,
    },
    /// A value in the database was written by another version.
    #[error("read a record of the store ({table}): its version {version} is unknown")]
    UnknownVersion {
        /// The table it is in.
        table: &'static str,
        /// What it says.
        version: u8,
    },
    /// The database has tables that this version does not know.
    #[error("open the database `{}`: another version of farm made it", path.display())]
    OtherLayout {
        /// Where it is.
        path: PathBuf,
    },
    /// A tree could not be read or kept.
    #[error(transparent)]
    Tree(#[from] farm_tree::Error),
}

impl Error {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoSpace { .. } | Self::LowSpace { .. } => Some(
                "free some space on that file system (`farm prune` frees the cache), or put the state directory on a larger one",
            ),
            Self::InUse { .. } => Some("wait for that process, or stop it, or use another state directory"),
            Self::UnknownVersion { .. } | Self::OtherLayout { .. } => {
                Some("use the version of farm that wrote the store, or a new state directory")
            }
            Self::Corrupt(_) | Self::OciCorrupt(_) | Self::MissingBlob(_) => {
                Some("run the build again: what was lost is fetched or built anew")
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => Some(
                "layers hold files of many owners; the store needs root and a file system that allows it",
            ),
            Self::Io { .. }
            | Self::Database { .. }
            | Self::Source(_)
            | Self::Mismatch { .. }
            | Self::OciMismatch { .. }
            | Self::TooLarge { .. }
            | Self::MissingTree(_)
            | Self::IncompleteLayer(_)
            | Self::NotItsTree { .. }
            | Self::PathTooLong { .. }
            | Self::TooManyEntries { .. }
            | Self::Malformed { .. }
            | Self::Tree(_) => None,
        }
    }

    /// Whether the machine is to blame (disk, permission, another process) rather than the caller or farm.
    pub fn is_environment(&self) -> bool {
        match self {
            Self::Io { .. }
            | Self::NoSpace { .. }
            | Self::LowSpace { .. }
            | Self::Database { .. }
            | Self::InUse { .. }
            | Self::Source(_)
            | Self::Corrupt(_)
            | Self::OciCorrupt(_)
            | Self::MissingBlob(_)
            | Self::UnknownVersion { .. }
            | Self::OtherLayout { .. } => true,
            Self::Mismatch { .. }
            | Self::OciMismatch { .. }
            | Self::TooLarge { .. }
            | Self::MissingTree(_)
            | Self::IncompleteLayer(_)
            | Self::NotItsTree { .. }
            | Self::PathTooLong { .. }
            | Self::TooManyEntries { .. }
            | Self::Malformed { .. }
            | Self::Tree(_) => false,
        }
    }

    /// Whether bytes that the store should have are damaged or gone: another try finds a good copy, or that they have to
    /// be had anew.
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::Corrupt(_) | Self::OciCorrupt(_) | Self::MissingBlob(_))
    }

    pub(crate) fn database(action: &'static str, path: &Path, source: rocksdb::Error) -> Self {
        // RocksDB reports the system's error only as text.
        if source.as_ref().contains("No space left") {
            return Self::NoSpace { action, path: path.to_owned() };
        }
        Self::Database { action, source }
    }
}

fn holder(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("process {pid} is using it"),
        None => "another process is using it".to_owned(),
    }
}

/// Gives a system error its context.
pub(crate) trait Context<T> {
    fn while_doing(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn while_doing(self, action: &'static str, path: impl AsRef<Path>) -> Result<T, Error> {
        self.map_err(|source| {
            let source = source.into();
            let path = path.as_ref().to_owned();
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
                return Error::NoSpace { action, path };
            }
            Error::Io { action, path, source }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_the_environments_fault_and_has_a_way_out() {
        let full: Result<(), _> = Err(io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error()));
        let error = full.while_doing("write", "/x/y").unwrap_err();
        assert!(matches!(error, Error::NoSpace { .. }));
        assert!(error.is_environment());
        assert!(error.hint().is_some());
        assert_eq!(error.to_string(), "write `/x/y`: no space left on the device");
    }
}
