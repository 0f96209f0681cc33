//! The Dockerfile front end, from bytes to a graph of stages, without any I/O.
//!
//! The way of a Dockerfile through this crate: [`parse`] splits the text into an [`Ast`] of nodes
//! that know where they stand; the instruction layer gives each node its type; lowering expands
//! variables with [`expand`] and builds the graph. [`ignore`] and [`glob`] hold the two pattern
//! languages that a build context needs.
//!
//! Everything that a user can get wrong ends in an [`Error`], which carries a [`Diagnostic`] that
//! points at a line and column of the file.
//!
//! Deliberately absent: reading files, asking registries, and any notion of a machine that builds.

pub mod ast;
pub mod diagnostic;
pub mod expand;
pub mod glob;
pub mod ignore;
pub mod instruction;
pub mod lower;
pub mod parser;

pub use ast::{Ast, Directive, DirectiveName, Flag, Heredoc, Node, Word};
pub use diagnostic::{Diagnostic, Error, Severity, Span};
pub use expand::{ExpandError, Expander, Expansion, Quotes};
pub use lower::{Lowered, NamedContext, NoCache, Options, Prepared, prepare, prepare_source};
pub use parser::{parse, parse_up_to_error};
