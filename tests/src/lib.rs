//! What the end-to-end tests share: a farm of their own per test, images read back without any code of farm, and the
//! runner for conformance cases.
//!
//! Invariant: nothing here links another crate of the workspace. A result is read as a stranger would read it, so that a
//! mistake in farm's own tar or config code cannot hide itself.

pub mod case;
pub mod context;
pub mod expectation;
pub mod farm;
pub mod filesystem;
pub mod image;
pub mod layout;
pub mod registry;
pub mod sequence;
