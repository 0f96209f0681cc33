//! Layers as Merkle trees of directory records, and the algebra on them: merge, resolve, select, copy, diff, sizes.
//!
//! A tree is pure metadata; file contents are named by their digest and never read here. What `COPY`, `ADD` of
//! local files and `WORKDIR` do is a function of records, so it is computed without a container, a mount or a byte moved.
#![warn(missing_docs)]

pub mod record;
pub mod records;

pub use record::{Device, DeviceKind, Directory, DirectoryRef, Entry, File, Mtime, Node, Metadata, Symlink, Tree};
pub use records::{Error, MemoryRecords, Records};
