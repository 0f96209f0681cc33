//! Widgets: values that borrow state and draw it into a buffer.

pub mod actions;
pub mod cache;
mod compare;
mod files;
pub mod glyphs;
pub mod graph;
pub mod header;
pub mod hints;
pub mod images;
pub mod lanes;
mod layers;
pub mod logs;
pub mod overview;
pub mod people;
pub mod playback;
pub mod popup;
mod progress;
pub mod stages;
pub mod step_text;
pub mod table;
#[cfg(test)]
pub(crate) mod testing;
pub mod text;
pub mod theme;

pub use progress::Progress;
