//! Where a line of text breaks when only so many columns are left of the screen.
//!
//! Lines break between graphemes, wherever the screen ends: logs are read for what they say to the letter, so no space is
//! dropped and nothing is hyphenated.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// The parts of a text that are each at most `columns` wide; at least one, which is empty for an empty text.
pub(super) fn rows(text: &str, columns: usize) -> Vec<Range<usize>> {
    let columns = columns.max(1);
    if text.is_ascii() {
        let starts = (0..text.len().max(1)).step_by(columns);
        return starts.map(|start| start..(start + columns).min(text.len())).collect();
    }
    let (mut rows, mut start, mut used) = (Vec::new(), 0, 0);
    for (at, grapheme) in text.grapheme_indices(true) {
        let width = grapheme.width();
        if used + width > columns && at > start {
            rows.push(start..at);
            (start, used) = (at, 0);
        }
        used += width;
    }
    rows.push(start..text.len());
    rows
}

/// How many rows a text takes.
pub(super) fn count(text: &str, columns: usize) -> usize {
    if text.is_ascii() {
        return text.len().div_ceil(columns.max(1)).max(1);
    }
    rows(text, columns).len()
}

/// The part of a text that is seen when the first `skipped` columns are scrolled away, and how many blank columns come
/// before it because a wide character is cut.
pub(super) fn window(text: &str, skipped: usize, columns: usize) -> (usize, Range<usize>) {
    if text.is_ascii() {
        let start = skipped.min(text.len());
        return (0, start..(start + columns).min(text.len()));
    }
    let (mut used, mut start, mut blank) = (0, None, 0);
    for (at, grapheme) in text.grapheme_indices(true) {
        let end = used + grapheme.width();
        if start.is_none() && used >= skipped {
            (start, blank) = (Some(at), used - skipped);
        }
        if end > skipped + columns {
            return (blank, start.unwrap_or(at)..at);
        }
        used = end;
    }
    (blank, start.unwrap_or(text.len())..text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str, columns: usize) -> Vec<&str> {
        rows(text, columns).into_iter().map(|row| &text[row]).collect()
    }

    #[test]
    fn lines_break_where_the_screen_ends() {
        assert_eq!(parts("abcdef", 4), ["abcd", "ef"]);
        assert_eq!(parts("abcd", 4), ["abcd"]);
        assert_eq!(parts("", 4), [""]);
        assert_eq!(parts("ab", 0), ["a", "b"]);
    }

    #[test]
    fn wide_characters_do_not_hang_over_the_edge() {
        assert_eq!(parts("a漢字b", 4), ["a漢", "字b"]);
        assert_eq!(parts("漢字", 1), ["漢", "字"]);
        assert_eq!(parts("e\u{301}e\u{301}", 1), ["e\u{301}", "e\u{301}"]);
    }

    #[test]
    fn counting_agrees_with_breaking() {
        for text in ["", "abcdefgh", "漢字 and more", "e\u{301}x漢", "👩‍👩‍👧 family"] {
            for columns in 0..12 {
                assert_eq!(count(text, columns), rows(text, columns).len(), "{text} in {columns}");
            }
        }
    }

    #[test]
    fn a_window_cuts_wide_characters_on_both_sides() {
        let seen = |skipped, columns| {
            let (blank, range) = window("a漢字b", skipped, columns);
            (blank, &"a漢字b"[range])
        };
        assert_eq!(seen(0, 3), (0, "a漢"));
        assert_eq!(seen(1, 3), (0, "漢"));
        assert_eq!(seen(2, 4), (1, "字b"));
        assert_eq!(seen(9, 4), (0, ""));
        assert_eq!(window("abc", 1, 1), (0, 1..2));
    }
}
