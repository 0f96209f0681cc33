//! The nouns of the farm, shared by every other crate: digests, the lowered build, results and events.
//!
//! Nothing here does I/O, reads a clock or knows a file format. Types are plain values; whatever enters
//! a digest is encoded by [`encoding`], never by `serde` or `Debug`.
#![warn(missing_docs)]

pub mod causes;
pub mod config;
pub mod digest;
pub mod encoding;
pub mod event;
pub mod graph;
pub mod id;
pub mod op;
pub mod platform;
pub mod reference;
pub mod result;
pub mod scope;
pub mod units;

pub use causes::causes;
pub use config::{Healthcheck, History, ImageConfig};
pub use digest::{BlobDigest, ContentDigest, DirectoryDigest, LayerDigest, OciDigest, StepDigest};
pub use event::{BuildEvent, Recorded};
pub use graph::{Base, BuildGraph, ContextName, ImageId, ImageSource, Stage, StageId, Step, StepId};
pub use id::{BuildId, LeaseId, WorkerId};
pub use op::Op;
pub use platform::Platform;
pub use reference::Reference;
pub use result::{Exit, StepResult, Usage};
pub use scope::Scope;
pub use units::decimal_size;
