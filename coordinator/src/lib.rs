//! Plans a build, looks its steps up, has workers run the rest, and puts the image together.
//!
//! The coordinator alone computes keys and the trees of `COPY`, `ADD` and `WORKDIR`. It starts no container; that is the
//! worker's. What it needs from the client (files, secrets) it asks for through a [`Session`].
//!
//! A build flows through this crate from top to bottom: [`Request`] → `plan` → one task a stage in `stage`, which asks
//! `step` for a result → [`Built`]. Every fact on the way is a [`BuildEvent`](farm_model::BuildEvent).

mod base;
mod build;
mod context;
mod error;
mod flight;
mod image;
mod key;
mod link;
mod plan;
mod report;
mod request;
mod session;
mod stage;
mod step;

pub use build::{Built, Coordinator, Options};
pub use error::{Blame, Error};
pub use request::Request;
pub use session::{ScannedContext, Session, SessionRequest};
