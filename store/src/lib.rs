//! The content-addressed store of a node: RocksDB for metadata, files for bytes.
//!
//! One store type serves every role. It holds blobs, directory records and trees, layer directories that an overlay
//! can use as they are, step records by scope, and what the OCI border wants to remember.
//!
//! Invariants:
//! - A record never precedes its bytes, and is returned only while they can be found.
//! - A final name only ever holds complete bytes; a digest only ever names bytes that were hashed on their way in.
//! - A process kill loses nothing that was recorded. A power cut loses what was not yet synced, and all of it.
//! - A damaged copy is moved aside and counts as missing.
//!
//! Deliberately absent: policy. Who may read which scope, what is kept and for how long, is decided above.
#![warn(missing_docs)]

mod actions;
mod blobs;
mod builds;
mod cache;
mod conform;
mod database;
mod directories;
mod durability;
mod error;
mod files;
mod handles;
mod intake;
mod layers;
mod layout;
mod lock;
mod materialise;
mod missing;
mod oci;
mod packs;
mod prune;
mod reading;
mod recovery;
mod scratch;
mod space;
mod spool;
mod steps;
mod store;
mod trash;
mod trees;
mod usage;
mod uses;
mod whole;
mod work;

pub use actions::Mark;
pub use builds::Sync;
pub use error::Error;
pub use intake::Intake;
pub use oci::{OciWriter, Packed, Tag, VerifiedOciBlob};
pub use reading::{Blob, VerifiedBlob};
pub use scratch::Scratch;
pub use space::Space;
pub use spool::Spool;
pub use steps::{Bytes, Canonical, IsElsewhere, StepRecord};
pub use store::{Settings, Store};
pub use usage::{Amount, Class, InUse, Pins, Prune, Usage, Warmth};
pub use work::Work;
