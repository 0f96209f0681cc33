//! The client's side of a build: finds the Dockerfile, scans contexts, and answers what the build asks for.
//!
//! It reads files of the user and gives them a name; where their bytes go is not known here. Deliberately absent: the
//! environment and the terminal, which belong to the command line.

pub mod context;
pub mod dockerfile;
pub mod error;
pub mod stdin;

pub use context::{Context, Scan};
pub use dockerfile::DockerfileText;
pub use error::Error;
