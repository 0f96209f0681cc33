//! What a terminal shows of builds: `state` is a fold over events and knows no terminal, `view` are pure functions of
//! borrowed state, size and time, and `inline` puts frames below the text that scrolls by.
//!
//! Nothing here opens a terminal, reads a clock or the environment; bytes come out, and whoever called writes them.

pub mod inline;
pub mod state;
pub mod view;

pub use inline::Inline;
pub use state::BuildState;
