//! How far a recording was played: a line of time that can be clicked.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::glyphs::Glyphs;
use super::table::{Side, put};
use super::text::{date, span, time_of_day, width};
use super::theme::Theme;
use crate::app::Position;
use crate::app::screen::{Hits, Target};

/// The fewest cells of the line that are worth drawing.
const LEAST: usize = 8;
/// From this width on the date is said too.
const WIDE: u16 = 100;

/// One row below a screen.
#[derive(Clone, Copy, Debug)]
pub struct PlaybackBar<'a> {
    /// How far it was played.
    pub position: Position,
    /// Its colours.
    pub theme: &'a Theme,
    /// Its signs.
    pub glyphs: &'a Glyphs,
}

impl PlaybackBar<'_> {
    /// Draws it, and says which cell is which point.
    pub fn draw(&self, area: Rect, buffer: &mut Buffer, hits: &mut Hits) {
        let area = Rect { height: 1, ..area }.intersection(buffer.area);
        if area.is_empty() {
            return;
        }
        let Position { first, last, at, speed, is_paused } = self.position;
        let (sign, style) = match (is_paused, at >= last) {
            (_, true) => (self.glyphs.done, self.theme.dim),
            (true, false) => ("\"", self.theme.warn),
            (false, false) => (self.glyphs.running, self.theme.running),
        };
        let day = if area.width >= WIDE { format!("{} ", date(at)) } else { String::new() };
        let state = if is_paused { "paused".to_owned() } else { format!("{speed}x") };
        let left = format!(" {state} {day}{} ", time_of_day(at));
        let micros = |from: i64, to: i64| to.saturating_sub(from).max(0).unsigned_abs() / 1000;
        let right = format!(" {} of {}", span(micros(first, at)), span(micros(first, last)));
        let room = usize::from(area.width).saturating_sub(width(&left) + width(&right) + 1);
        let mut spans = vec![Span::styled(sign, style), Span::styled(left, self.theme.strong)];
        if room >= LEAST {
            let x = area.x + u16::try_from(width(&spans[1].content) + 1).unwrap_or(0);
            self.track(Rect { x, width: u16::try_from(room).unwrap_or(0), ..area }, buffer, hits);
            let behind = Rect { x: x + u16::try_from(room).unwrap_or(0), ..area }.intersection(area);
            put(&Line::styled(right, self.theme.dim), behind, Side::Left, self.glyphs, buffer);
        } else {
            spans.push(Span::styled(right, self.theme.dim));
        }
        let room = if room >= LEAST { room } else { 0 };
        let before = Rect { width: area.width - u16::try_from(room).unwrap_or(0), ..area };
        put(&Line::from(spans), before, Side::Left, self.glyphs, buffer);
    }

    fn track(&self, area: Rect, buffer: &mut Buffer, hits: &mut Hits) {
        let Position { first, last, at, .. } = self.position;
        let whole = i128::from(last) - i128::from(first);
        let cells = i128::from(area.width) - 1;
        let reached = (i128::from(at) - i128::from(first)).max(0) * cells;
        let reached = reached.checked_div(whole).unwrap_or(cells).min(cells);
        for (cell, x) in (0_i128..).zip(area.x..area.right()) {
            let (sign, style) = match cell.cmp(&reached) {
                std::cmp::Ordering::Less => (self.glyphs.rule, self.theme.running),
                std::cmp::Ordering::Equal => (self.glyphs.thumb, self.theme.strong),
                std::cmp::Ordering::Greater => (self.glyphs.bar_rest, self.theme.dim),
            };
            buffer.set_string(x, area.y, sign, style);
            let part = (cell * 1000).checked_div(cells).unwrap_or(0);
            hits.add(Rect::new(x, area.y, 1, 1), Target::Scrub(u16::try_from(part).unwrap_or(1000)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::glyphs::GlyphSet;
    use crate::view::testing::START;

    fn drawn(columns: u16, seconds: i64, is_paused: bool) -> (String, Hits) {
        let position = Position {
            first: START,
            last: START + 6_000_000_000_000,
            at: START + seconds * 1_000_000_000,
            speed: 4.0,
            is_paused,
        };
        let area = Rect::new(0, 0, columns, 1);
        let (mut buffer, mut hits) = (Buffer::empty(area), Hits::default());
        let (theme, glyphs) = (&Theme::default(), GlyphSet::Braille.glyphs());
        PlaybackBar { position, theme, glyphs }.draw(area, &mut buffer, &mut hits);
        (crate::export::text(&buffer).trim_end().to_owned(), hits)
    }

    #[test]
    fn the_line_says_how_far_it_was_played() {
        assert_eq!(drawn(60, 0, false).0, "▶ 4x 18:40:00 █······························· 0.0s of 1h40m");
        let half = drawn(60, 3000, true).0;
        assert_eq!(half, "\" paused 19:30:00 ────────────█············· 50m00s of 1h40m");
        assert!(drawn(60, 6000, false).0.starts_with("✔ 4x 20:20:00 ─────"));
        assert_eq!(drawn(30, 3000, false).0, "▶ 4x 19:30:00  50m00s of 1h40m");
    }

    #[test]
    fn each_cell_of_the_line_is_a_point() {
        let (_, hits) = drawn(80, 3000, false);
        let points: Vec<u16> = (0..80)
            .filter_map(|x| match hits.at(x, 0) {
                Some(Target::Scrub(part)) => Some(*part),
                _ => None,
            })
            .collect();
        assert!(points.len() > 30 && points.is_sorted());
        assert_eq!((points.first(), points.last()), (Some(&0), Some(&1000)));
    }

    #[test]
    fn no_size_is_too_small() {
        for columns in 0..120 {
            drawn(columns, 10_000, false);
            drawn(columns, -10, true);
        }
    }
}
