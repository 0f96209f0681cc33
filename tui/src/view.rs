//! Widgets: values that borrow state and draw it into a buffer.

pub mod glyphs;
pub mod lanes;
pub mod logs;
mod progress;
pub mod table;
#[cfg(test)]
pub(crate) mod testing;
pub mod text;
pub mod theme;

pub use progress::Progress;
