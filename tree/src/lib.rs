//! Layers as Merkle trees of directory records, and the algebra on them: merge, resolve, select, copy, diff, sizes.
//!
//! A tree is pure metadata; file contents are named by their digest and never read here. What `COPY`, `ADD` of
//! local files and `WORKDIR` do is a function of records, so it is computed without a container, a mount or a byte moved.
#![warn(missing_docs)]

pub mod build;
pub mod compare;
pub mod copy;
pub mod diff;
pub mod encoding;
pub mod error;
pub mod glob;
pub mod heaviest;
mod links;
pub mod list;
pub mod merge;
pub mod mode;
pub mod passwd;
pub mod path;
pub mod record;
pub mod records;
pub mod resolve;
pub mod select;
#[cfg(test)]
mod test_support;
mod top;
mod upper;
pub mod walk;
pub mod waste;

pub use build::TreeBuilder;
pub use compare::compare;
pub use copy::{Destination, copy, workdir};
pub use diff::{changes, normalise};
pub use error::Error;
pub use heaviest::heaviest;
pub use list::list;
pub use merge::{merge, merge_all};
pub use record::{
    Device, DeviceKind, Directory, DirectoryRef, Entry, File, Metadata, Mtime, Node, Symlink, Tree,
};
pub use records::{Entries, MemoryRecords, Records};
pub use select::{Adjustment, Selection};
pub use walk::{each_record, verify, walk};
pub use waste::waste;
