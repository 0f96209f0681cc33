//! The console behind `farm top`: what is on the screen, and what keys and clicks do to it. It is told events, answers and
//! input, says what it wants done as [`Effect`]s, and draws itself from borrowed state; whoever owns the terminal and the
//! connection performs the effects.

pub mod action;
pub mod effect;
pub mod estimate;
pub mod filter;
pub mod keymap;
pub mod list;
pub mod place;
pub mod screen;

pub use action::Action;
pub use effect::{Answer, Effect, Order, Playback, Query};
pub use filter::Filter;
pub use keymap::{Key, Keymap, KeymapError};
pub use place::{Place, View};
pub use screen::{Access, Context, Hits, Screen, Subject, Target, Wish};
