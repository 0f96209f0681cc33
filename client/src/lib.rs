//! The client's side of a build: speaks to a coordinator, finds the Dockerfile, scans contexts, answers what the build
//! asks for, and writes its results.
//!
//! Invariants: nothing of the user is read that the command line did not name; what a coordinator sends never leads a
//! write outside of its destination; nothing stands under its final name before it is whole. Deliberately absent: the
//! environment and the terminal, which belong to the command line.

pub mod build;
pub mod connection;
pub mod context;
pub mod dockerfile;
pub mod error;
pub mod output;
pub mod session;
pub mod stdin;
pub mod watch;

pub use build::{attach, build};
pub use connection::{Client, Replies};
pub use context::{Context, Scan};
pub use dockerfile::DockerfileText;
pub use error::Error;
pub use output::Destination;
pub use session::{Answers, Exported, SecretSource};
pub use watch::{Heard, watch};
