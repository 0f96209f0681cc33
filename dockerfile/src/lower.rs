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

mod build;
mod chmod;
mod globals;
mod history;
mod mounts;
mod need;
mod options;
mod paths;
mod plan;
mod ports;
mod run;
mod signal;
mod size;
mod stage;
mod transfer;
mod variables;

use farm_model::BuildGraph;

pub use need::Prepared;
pub use options::{NamedContext, NoCache, Options};

use crate::ast::Ast;
use crate::diagnostic::{Diagnostic, Error};
use crate::instruction;
use crate::parser::parse_up_to_error;
use plan::Plan;

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

/// Finds the stages, and what the target needs of them.
///
/// # Errors
/// Whatever is wrong with any line of any stage, unless only the value of a variable could tell.
pub fn prepare(ast: &Ast, options: Options) -> Result<Prepared, Error> {
    Prepared::new(Plan::new(ast, options)?)
}

/// As [`prepare`], from the bytes of a file; what is wrong first in the file is reported first.
///
/// # Errors
/// As [`prepare`], and what is no Dockerfile at all.
pub fn prepare_source(source: &[u8], options: Options) -> Result<Prepared, Error> {
    let (ast, error) = parse_up_to_error(source);
    if let Some(error) = error {
        ast.nodes.iter().try_for_each(|node| instruction::parse(node).map(|_| ()))?;
        return Err(error);
    }
    prepare(&ast, options)
}
