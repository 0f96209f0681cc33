//! What a key, a click or the palette can ask for. One table says how each thing is called, which keys do it where, and what
//! help says of it; the hint bar, the help page, the palette and the keymap are all made from it.

mod table;

use super::effect::Playback;
use super::place::View;
pub use table::COMMANDS;

/// Something that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// Of the console as a whole.
    App(Global),
    /// In whatever has a selection.
    Move(Move),
    /// Of a table.
    Table(Tabular),
    /// What to do to the thing that is selected.
    Farm(Deed),
    /// In the stages of a build.
    Stages(Stages),
    /// In a log.
    Log(Logging),
    /// In the lanes of workers.
    Lanes(Lanes),
    /// In images.
    Images(Imaging),
    /// Of a recording.
    Play(Playback),
}

/// Of the console as a whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Global {
    /// End.
    Quit,
    /// Back to where one was.
    Back,
    /// Help of the view.
    Help,
    /// Open the palette.
    Palette,
    /// Type a filter.
    Filter,
    /// Take the filter away, or the last one back.
    ToggleFilter,
    /// Go to a view.
    View(View),
    /// Go to the next view.
    NextView,
    /// Go to the previous view.
    PreviousView,
    /// Go to the next failure.
    NextFailure,
    /// Hold the display still, or let it go on.
    Freeze,
    /// The next theme.
    Theme,
    /// The next set of signs.
    Glyphs,
    /// Choose the columns of the table.
    Columns,
    /// Write a picture of the frame.
    Picture,
    /// Why the selected step was not in the cache.
    Why,
    /// What the builds of each person took and saved.
    People,
    /// Open the log of what is selected.
    OpenLog,
    /// Copy what is selected.
    Copy,
    /// Play a recording half as fast.
    Slower,
    /// Play a recording twice as fast.
    Faster,
    /// Take the failures away that are pinned to the top of all builds.
    Dismiss,
}

/// Moves a selection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Move {
    /// A row up.
    Up,
    /// A row down.
    Down,
    /// To the left, or fold.
    Left,
    /// To the right, or unfold.
    Right,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// Half a page up.
    HalfUp,
    /// Half a page down.
    HalfDown,
    /// To the start.
    First,
    /// To the end.
    Last,
    /// Into what is selected.
    Enter,
}

/// Of a table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tabular {
    /// Sort by a column; turn the order round where it is sorted by it.
    Sort(usize),
    /// Sort by the next column.
    SortNext,
    /// Sort by the previous column.
    SortPrevious,
    /// Turn the order round.
    Reverse,
    /// Show a column, or hide it.
    Toggle(usize),
}

/// What to do to the thing that is selected. Each is confirmed first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Deed {
    /// Cancel the build.
    Cancel,
    /// Have the step done elsewhere.
    Move,
    /// Give the worker no more work, or work again.
    Drain,
    /// Keep the image, or keep it no longer.
    Pin,
    /// Prune the store.
    Prune,
    /// Prune all of it.
    PruneAll,
}

/// In the stages of a build.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stages {
    /// Fold the stage, or unfold it.
    Fold,
    /// Fold all stages that are finished, or none.
    FoldFinished,
    /// Go to the step at the end of the critical path that is being done.
    Critical,
}

/// In a log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Logging {
    /// Stay at the end.
    Follow,
    /// Break long lines.
    Wrap,
    /// Show times.
    Timestamps,
    /// All steps, or the one of the line.
    Merge,
    /// Only what the filter finds, or all lines with what it finds marked.
    Only,
    /// Begin to select lines, or select none.
    Select,
    /// The next line that was found.
    NextMatch,
    /// The previous line that was found.
    PreviousMatch,
    /// Write the whole log to the normal screen.
    Stream,
    /// Write the log of this step to the normal screen.
    StreamStep,
}

/// In the lanes of workers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lanes {
    /// A shorter time.
    ZoomIn,
    /// A longer time.
    ZoomOut,
    /// Stay at now.
    Now,
}

/// In images.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Imaging {
    /// The files of the image or layer.
    Files,
    /// What its layers waste.
    Waste,
    /// Mark this image to compare another with it.
    Mark,
    /// Compare with the marked image, or with the previous one.
    Compare,
}

/// Where keys do something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// In every view.
    Everywhere,
    /// In some.
    In(&'static [View]),
    /// Where a recording is played.
    Replay,
}

impl Scope {
    /// Whether it takes in a view.
    pub fn holds(self, view: View, replay: bool) -> bool {
        match self {
            Self::Everywhere => true,
            Self::In(views) => views.contains(&view),
            Self::Replay => replay,
        }
    }
}

/// How something is called and what does it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Command {
    /// What it does.
    pub action: Action,
    /// What it is called in the palette and in settings.
    pub name: &'static str,
    /// The keys that do it unless others were set.
    pub keys: &'static [&'static str],
    /// Where.
    pub scope: Scope,
    /// What help says.
    pub help: &'static str,
    /// A word for the hint bar; empty for what is not hinted at.
    pub hint: &'static str,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_used_once() {
        let names: BTreeSet<&str> = COMMANDS.iter().map(|command| command.name).collect();
        assert_eq!(names.len(), COMMANDS.len());
    }

    #[test]
    fn no_key_does_two_things_in_a_view() {
        for view in View::ALL {
            let mut seen = BTreeSet::new();
            let own =
                |command: &&Command| command.scope != Scope::Everywhere && command.scope.holds(view, true);
            for key in COMMANDS.iter().filter(own).flat_map(|command| command.keys) {
                assert!(seen.insert(*key), "`{key}` in {view:?}");
            }
        }
        let mut seen = BTreeSet::new();
        let all = COMMANDS.iter().filter(|command| command.scope == Scope::Everywhere);
        for key in all.flat_map(|command| command.keys) {
            assert!(seen.insert(*key), "`{key}`");
        }
    }
}
