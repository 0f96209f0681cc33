//! From a syntax tree to the closed graph of a build.
//!
//! Lowering has three moments, and reads nothing itself:
//! 1. [`prepare`] finds the stages, expands the `FROM` lines, and walks from the target to what it
//!    needs. Every instruction of every stage is checked, also of those that the target does not need.
//! 2. [`Prepared::wanted`] names the base images whose configuration decides what follows;
//!    [`Prepared::provide`] takes one. `ONBUILD` triggers in it may make more stages, and so more
//!    images, wanted.
//! 3. [`Prepared::finish`] walks the needed stages once, in order, expanding each instruction against
//!    the variables at that point, and leaves a [`BuildGraph`] to which execution adds nothing.
//!
//! Deliberately absent: tags are not resolved, files are not looked at, and `HOME` is not set, because
//! it depends on the stage's `/etc/passwd`.

mod options;

use farm_model::BuildGraph;

pub use options::{NamedContext, NoCache, Options};

use crate::diagnostic::Diagnostic;

/// What lowering makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Lowered {
    /// The graph.
    pub graph: BuildGraph,
    /// `SOURCE_DATE_EPOCH` of the Dockerfile or a build argument, in seconds since the Unix epoch.
    pub source_date_epoch: Option<i64>,
    /// What is legal but will be regretted.
    pub warnings: Vec<Diagnostic>,
}

// The doors that follow, in this shape:
//   prepare(ast: &Ast, options: Options) -> Result<Prepared, Error>
//   Prepared::wanted(&self) -> &[Image]                      // base images whose configuration is needed now
//   Prepared::provide(&mut self, image: &Image, config: ImageConfig) -> Result<(), Error>   // repeat until nothing is wanted
//   Prepared::finish(self) -> Result<Lowered, Error>
