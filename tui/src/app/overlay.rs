//! What lies above a screen and takes the keys: prompts, dialogs, help.

use ratatui::text::Line;

use super::effect::Order;
use super::filter::Filter;
use super::prompt::Prompt;

/// What lies above the screen.
#[derive(Clone, Debug)]
pub(super) enum Overlay {
    /// Nothing.
    None,
    /// A filter is typed.
    Filter {
        prompt: Prompt,
        /// What was there before, should it not be wanted.
        before: Filter,
        /// Which of the filters that were typed before is shown.
        recalled: Option<usize>,
    },
    /// A command is typed.
    Palette {
        prompt: Prompt,
        /// Which of the completions is chosen.
        chosen: usize,
    },
    /// Something is to be confirmed.
    Confirm(Order),
    /// Help of the view.
    Help { scroll: usize },
    /// The columns of the table.
    Columns { selected: usize },
    /// Lines of text.
    Text { title: String, lines: Vec<Line<'static>>, scroll: usize },
}
