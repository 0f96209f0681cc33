//! A few live rows at the end of a terminal's text. What scrolls by above them stays: it is ordinary text that was
//! written once, so it can be selected, searched and scrolled as any other.

use crossterm::Command as _;
use crossterm::cursor::{MoveToColumn, MoveUp};
use crossterm::terminal::{BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate};
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

/// Turns frames into bytes for a terminal.
#[derive(Clone, Debug, Default)]
pub struct Inline {
    /// Rows of the last frame that are still on the screen, the cursor at the end of the last one.
    rows: u16,
    colour: bool,
}

impl Inline {
    /// Without `colour`, as `NO_COLOR` asks for, only bold and dim are used.
    pub fn new(colour: bool) -> Self {
        Self { rows: 0, colour }
    }

    /// The bytes that take the last frame away, write `log` (whole lines) where it was, and draw `frame` below it.
    pub fn frame(&mut self, log: &str, frame: Option<&Buffer>) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _infallible = BeginSynchronizedUpdate.write_ansi(&mut out);
        if self.rows > 0 {
            let _infallible = MoveToColumn(0).write_ansi(&mut out);
            if self.rows > 1 {
                let _infallible = MoveUp(self.rows - 1).write_ansi(&mut out);
            }
            let _infallible = Clear(ClearType::FromCursorDown).write_ansi(&mut out);
        }
        out.push_str(log);
        self.rows = 0;
        if let Some(frame) = frame {
            for y in 0..frame.area.height {
                if y > 0 {
                    out.push('\n');
                }
                self.row(&mut out, frame, y);
                self.rows += 1;
            }
        }
        let _infallible = EndSynchronizedUpdate.write_ansi(&mut out);
        out
    }

    fn row(&self, out: &mut String, frame: &Buffer, y: u16) {
        let cells: Vec<&Cell> = (0..frame.area.width).map(|x| &frame[(x, y)]).collect();
        let used = cells.iter().rposition(|cell| cell.symbol() != " ").map_or(0, |last| last + 1);
        let (mut style, mut covered) = ("", 0);
        for cell in &cells[..used] {
            // The cell behind a wide character is drawn by it.
            if covered > 0 {
                covered -= 1;
                continue;
            }
            let wanted = self.style(cell);
            if wanted != style {
                out.push_str("\x1b[0m");
                out.push_str(wanted);
                style = wanted;
            }
            out.push_str(cell.symbol());
            covered = ratatui::text::Span::raw(cell.symbol()).width().saturating_sub(1);
        }
        if !style.is_empty() {
            out.push_str("\x1b[0m");
        }
    }

    fn style(&self, cell: &Cell) -> &'static str {
        if cell.modifier.contains(Modifier::BOLD) {
            "\x1b[1m"
        } else if cell.modifier.contains(Modifier::DIM) {
            "\x1b[2m"
        } else if self.colour && cell.fg == Color::Cyan {
            "\x1b[36m"
        } else {
            ""
        }
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    fn frame(rows: &[&str]) -> Buffer {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 10, u16::try_from(rows.len()).unwrap()));
        for (y, row) in (0..).zip(rows) {
            buffer.set_string(0, y, row, Style::new());
        }
        buffer
    }

    #[test]
    fn a_frame_replaces_the_one_before_and_the_log_stays_above() {
        let mut inline = Inline::new(true);
        assert_eq!(inline.frame("", Some(&frame(&["a", "b"]))), "\x1b[?2026ha\nb\x1b[?2026l");
        let next = inline.frame("log\n", Some(&frame(&["c"])));
        assert_eq!(next, "\x1b[?2026h\x1b[1G\x1b[1A\x1b[Jlog\nc\x1b[?2026l");
    }

    #[test]
    fn the_last_frame_leaves_nothing_but_the_log() {
        let mut inline = Inline::new(true);
        inline.frame("", Some(&frame(&["a"])));
        assert_eq!(inline.frame("end\n", None), "\x1b[?2026h\x1b[1G\x1b[Jend\n\x1b[?2026l");
        assert_eq!(inline.frame("", None), "\x1b[?2026h\x1b[?2026l");
    }

    #[test]
    fn wide_characters_are_drawn_once() {
        let mut inline = Inline::new(false);
        assert_eq!(inline.frame("", Some(&frame(&["漢a"]))), "\x1b[?2026h漢a\x1b[?2026l");
    }
}
