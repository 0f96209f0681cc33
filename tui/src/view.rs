//! Widgets: values that borrow state and draw it into a buffer.

pub mod glyphs;
pub mod graph;
pub mod header;
pub mod hints;
pub mod lanes;
pub mod logs;
pub mod overview;
pub mod popup;
mod progress;
pub mod step_text;
pub mod table;
pub mod text;
pub mod theme;
#[cfg(test)]
pub(crate) mod testing;

pub use progress::Progress;
