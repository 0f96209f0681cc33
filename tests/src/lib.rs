//! What the end-to-end tests share: a farm of their own per test, images read back without any code of farm, and the
//! runner for conformance cases.
//!
//! Invariant: results are read without any other crate of the workspace, as a stranger would read them, so that a mistake in
//! farm's own tar or config code cannot hide itself. Only [`topology`] uses one: it issues certificates as an administrator
//! does.

pub mod case;
pub mod context;
pub mod expectation;
pub mod farm;
pub mod filesystem;
pub mod image;
pub mod layout;
pub mod registry;
pub mod sequence;
pub mod terminal;
pub mod topology;
