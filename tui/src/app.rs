//! The console behind `farm top`: what is on the screen, and what keys and clicks do to it. It is told events, answers and
//! input, says what it wants done as [`Effect`]s, and draws itself from borrowed state; whoever owns the terminal and the
//! connection performs the effects.

pub mod effect;
pub mod screen;

pub use effect::{Answer, Effect, Order, Playback, Query};
pub use screen::{Context, Hits, Screen, Target};
