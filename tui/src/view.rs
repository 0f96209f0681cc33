//! Widgets: values that borrow state and draw it into a buffer.

mod progress;

pub use progress::Progress;
