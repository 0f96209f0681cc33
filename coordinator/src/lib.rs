//! Plans builds, looks their steps up, has workers run the rest, puts images together, and tells whoever wants to know.
//!
//! The coordinator alone computes keys and the trees of `COPY`, `ADD` and `WORKDIR`. It starts no container; that is the
//! workers'. What it needs from a client (files, secrets) it asks for through a `session`, and results are written there.
//!
//! A build flows through this crate from top to bottom: `service` takes the request, `builds` gives it a log and a task,
//! `plan` makes its graph, one task a stage in `stage` asks `step` for results, `dispatch` has workers make what is missing,
//! `image` and `output` put the result together. Every fact on the way is a [`BuildEvent`](farm_model::BuildEvent) in the
//! build's log, and who watches sees nothing else.

mod actions;
mod base;
mod build;
mod builds;
mod context;
mod diagnosis;
mod disk;
mod dispatch;
mod duty;
mod error;
mod image;
mod images;
mod key;
mod layout;
mod output;
mod plan;
mod report;
mod request;
mod run_image;
mod service;
mod session;
mod stage;
mod step;
mod transfer;
mod waiting;
mod why;
mod workers;

pub use build::{Options, Paths};
pub use error::Error;
pub use service::Coordinator;

pub(crate) use request::Request;
pub(crate) use session::Session;
