//! The border between the farm and the world of OCI: tar ↔ tree, configs, manifests, layouts and registries.
//!
//! Inside the farm a layer is a tree. [`unpack`] makes trees of layer tars and archives, [`pack`] makes deterministic tars
//! of trees, [`registry`], [`layout`] and [`load`] bring images in, [`image`], [`export`] and [`push`] take them out. Nothing that comes from
//! outside is believed: paths cannot escape, sizes are bounded, digests are checked. The crate reads no environment.
#![warn(missing_docs)]

pub mod compression;
pub mod config;
pub mod error;
pub mod export;
pub mod fetch;
pub mod image;
pub mod layout;
pub mod load;
pub mod manifest;
pub mod pack;
pub mod pull;
pub mod push;
pub mod registry;
pub mod resolved;
pub mod unpack;

mod hashing;
mod pipe;
mod remembered;
mod tar_reader;

pub use compression::{Cancel, Limits};
pub use error::{Blame, Error};
pub use image::{Assembled, Image, ImageLayer};
pub use layout::Layout;
pub use manifest::Descriptor;
pub use pull::{Pulled, Source, pull_base};
pub use push::{PushOptions, Pushed, Pusher};
pub use registry::{Client, Proxies, Registry, RegistryConfig, Timeouts};
pub use resolved::{LayerDescriptor, Resolved};
pub use unpack::{unpack_archive, unpack_layer};

/// How many indexes may lie inside each other.
pub(crate) const MAX_MANIFEST_DEPTH: usize = 4;
