//! Layers as Merkle trees of directory records, and the algebra on them: merge, resolve, select, copy, diff, sizes.
//!
//! A tree is pure metadata; file contents are named by their digest and never read here. What `COPY`, `ADD` of
//! local files and `WORKDIR` do is a function of records, so it is computed without a container, a mount or a byte moved.
#![warn(missing_docs)]

pub mod build;
pub mod encoding;
pub mod error;
pub mod glob;
pub mod merge;
pub mod mode;
pub mod passwd;
pub mod path;
pub mod record;
pub mod records;
pub mod resolve;
#[cfg(test)]
mod test_support;

pub use build::TreeBuilder;
pub use error::Error;
pub use record::{Device, DeviceKind, Directory, DirectoryRef, Entry, File, Metadata, Mtime, Node, Symlink, Tree};
pub use records::{Entries, MemoryRecords, Records};
