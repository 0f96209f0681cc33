//! Widgets: values that borrow state and draw it into a buffer.

pub mod glyphs;
mod progress;
pub mod table;
pub mod text;
pub mod theme;

pub use progress::Progress;
