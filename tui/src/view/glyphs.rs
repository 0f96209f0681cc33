//! The signs that widgets draw with, for terminals that have them and for those that do not. Each sign is one cell wide.

use crate::state::{Lookup, Phase, Step};

/// The sets that there are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum GlyphSet {
    /// With Braille patterns in graphs.
    #[default]
    Braille,
    /// Without Braille patterns, which some fonts lack.
    Blocks,
    /// ASCII alone.
    Ascii,
}

impl GlyphSet {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Braille, Self::Blocks, Self::Ascii];

    /// What it is called in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Braille => "braille",
            Self::Blocks => "blocks",
            Self::Ascii => "ascii",
        }
    }

    /// The set of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|set| set.name() == name)
    }

    /// Its signs.
    pub fn glyphs(self) -> &'static Glyphs {
        match self {
            Self::Braille => &BRAILLE,
            Self::Blocks => &BLOCKS,
            Self::Ascii => &ASCII,
        }
    }
}

/// Signs by meaning.
#[derive(Debug, Eq, PartialEq)]
pub struct Glyphs {
    /// Which set it is.
    pub set: GlyphSet,
    /// It is being done.
    pub running: &'static str,
    /// It was done.
    pub done: &'static str,
    /// It failed.
    pub failed: &'static str,
    /// It waits for a slot.
    pub queued: &'static str,
    /// It waits for something before it.
    pub waiting: &'static str,
    /// The cache had it.
    pub cached: &'static str,
    /// Another build does it.
    pub shared: &'static str,
    /// It was cancelled.
    pub cancelled: &'static str,
    /// Attention.
    pub warning: &'static str,
    /// On the critical path.
    pub critical: &'static str,
    /// What lies beneath is hidden.
    pub folded: &'static str,
    /// What lies beneath is shown.
    pub unfolded: &'static str,
    /// Sorted, the least first.
    pub ascending: &'static str,
    /// Sorted, the most first.
    pub descending: &'static str,
    /// Something was cut off here.
    pub ellipsis: &'static str,
    /// From, to.
    pub arrow: &'static str,
    /// It became more.
    pub up: &'static str,
    /// It became less.
    pub down: &'static str,
    /// Parts of a bar from empty to full.
    pub bar: &'static [&'static str],
    /// What is not filled of a bar.
    pub bar_rest: &'static str,
    /// Heights of a column of a graph, from nothing to full.
    pub spark: &'static [&'static str],
    /// A branch of a tree, and the last one; the line that passes by.
    pub branch: &'static str,
    /// The last branch.
    pub last_branch: &'static str,
    /// The line that passes by.
    pub trunk: &'static str,
    /// A horizontal line.
    pub rule: &'static str,
    /// Between parts of a line.
    pub separator: &'static str,
    /// The thumb of a scroll bar.
    pub thumb: &'static str,
    /// The track of a scroll bar.
    pub track: &'static str,
    /// Corners and sides of a box: left and right at the top, left and right at the bottom, horizontal, vertical.
    pub frame: [&'static str; 6],
}

impl Glyphs {
    /// The sign of a step.
    pub fn step(&self, step: &Step) -> &'static str {
        match (step.phase, step.lookup) {
            (Phase::Waiting, _) => self.waiting,
            (Phase::Queued { .. }, _) => self.queued,
            (Phase::Running { .. } | Phase::Done { .. }, Lookup::Shared { .. }) => self.shared,
            (Phase::Running { .. }, _) => self.running,
            (Phase::Cached, _) => self.cached,
            (Phase::Done { .. }, _) => self.done,
            (Phase::Failed, _) => self.failed,
            (Phase::Abandoned, _) => self.cancelled,
        }
    }
}

const BRAILLE: Glyphs = Glyphs {
    set: GlyphSet::Braille,
    running: "▶",
    done: "✔",
    failed: "✖",
    queued: "⧗",
    waiting: "·",
    cached: "◆",
    shared: "⇄",
    cancelled: "∅",
    warning: "▲",
    critical: "┃",
    folded: "▸",
    unfolded: "▾",
    ascending: "▴",
    descending: "▾",
    ellipsis: "…",
    arrow: "→",
    up: "↑",
    down: "↓",
    bar: &["▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"],
    bar_rest: "·",
    spark: &[" ", "⡀", "⡄", "⡆", "⡇", "⣇", "⣧", "⣷", "⣿"],
    branch: "├",
    last_branch: "└",
    trunk: "│",
    rule: "─",
    separator: "│",
    thumb: "█",
    track: "│",
    frame: ["╭", "╮", "╰", "╯", "─", "│"],
};

const BLOCKS: Glyphs =
    Glyphs {
        set: GlyphSet::Blocks, spark: &[" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"], ..BRAILLE
    };

const ASCII: Glyphs = Glyphs {
    set: GlyphSet::Ascii,
    running: ">",
    done: "+",
    failed: "X",
    queued: "q",
    waiting: ".",
    cached: "=",
    shared: "~",
    cancelled: "-",
    warning: "!",
    critical: "#",
    folded: "+",
    unfolded: "-",
    ascending: "^",
    descending: "v",
    ellipsis: "~",
    arrow: ">",
    up: "^",
    down: "v",
    bar: &["#"],
    bar_rest: ".",
    spark: &[" ", ".", ":", "-", "=", "+", "*", "#", "@"],
    branch: "|",
    last_branch: "`",
    trunk: "|",
    rule: "-",
    separator: "|",
    thumb: "#",
    track: "|",
    frame: ["+", "+", "+", "+", "-", "|"],
};

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::*;

    fn all(glyphs: &Glyphs) -> Vec<&'static str> {
        let Glyphs { running, done, failed, queued, waiting, cached, shared, cancelled, warning, .. } =
            *glyphs;
        let Glyphs { critical, folded, unfolded, ascending, descending, ellipsis, arrow, up, down, .. } =
            *glyphs;
        let Glyphs { bar_rest, branch, last_branch, trunk, rule, separator, thumb, track, .. } = *glyphs;
        let mut all = vec![running, done, failed, queued, waiting, cached, shared, cancelled, warning];
        all.extend([critical, folded, unfolded, ascending, descending, ellipsis, arrow, up, down]);
        all.extend([bar_rest, branch, last_branch, trunk, rule, separator, thumb, track]);
        all.extend(glyphs.bar.iter().chain(glyphs.spark).chain(&glyphs.frame));
        all
    }

    #[test]
    fn each_sign_is_one_cell_wide() {
        for set in GlyphSet::ALL {
            for sign in all(set.glyphs()) {
                assert_eq!(sign.width(), 1, "{sign}");
            }
        }
    }

    #[test]
    fn ascii_is_ascii() {
        assert!(all(&ASCII).iter().all(|sign| sign.is_ascii()));
    }
}
