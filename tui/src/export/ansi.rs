//! A frame as lines of text, plain or with the sequences that colour it (ECMA-48, SGR).

use std::fmt::Write as _;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

use super::glyphs;

/// The frame as text: a line a row, without spaces at the ends of lines.
pub fn text(frame: &Buffer) -> String {
    let mut out = String::new();
    for row in 0..frame.area.height {
        let start = out.len();
        for glyph in glyphs(frame, row) {
            out.push_str(shown(glyph.cell));
        }
        out.truncate(start + out[start..].trim_end().len());
        out.push('\n');
    }
    out
}

/// The frame as text with the colours and attributes of its cells; each line ends without any.
pub fn ansi(frame: &Buffer) -> String {
    let mut out = String::new();
    for row in 0..frame.area.height {
        let glyphs = glyphs(frame, row);
        let is_blank = |cell: &Cell| {
            shown(cell) == " " && cell.bg == Color::Reset && !cell.modifier.intersects(VISIBLE_ON_SPACES)
        };
        let used = glyphs.iter().rposition(|glyph| !is_blank(glyph.cell)).map_or(0, |last| last + 1);
        let mut before = Look::default();
        for glyph in &glyphs[..used] {
            let look = Look::of(glyph.cell);
            if look != before {
                look.write(&mut out);
                before = look;
            }
            out.push_str(shown(glyph.cell));
        }
        if before != Look::default() {
            out.push_str("\x1b[0m");
        }
        out.push('\n');
    }
    out
}

/// Attributes that show where there is only a space.
const VISIBLE_ON_SPACES: Modifier =
    Modifier::REVERSED.union(Modifier::UNDERLINED).union(Modifier::CROSSED_OUT);

/// An empty cell takes its column all the same.
fn shown(cell: &Cell) -> &str {
    if cell.symbol().is_empty() { " " } else { cell.symbol() }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Look {
    front: Color,
    back: Color,
    modifier: Modifier,
}

impl Default for Look {
    fn default() -> Self {
        Self { front: Color::Reset, back: Color::Reset, modifier: Modifier::empty() }
    }
}

impl Look {
    fn of(cell: &Cell) -> Self {
        Self { front: cell.fg, back: cell.bg, modifier: cell.modifier }
    }

    fn write(self, out: &mut String) {
        out.push_str("\x1b[0");
        let codes = [
            (Modifier::BOLD, ";1"),
            (Modifier::DIM, ";2"),
            (Modifier::ITALIC, ";3"),
            (Modifier::UNDERLINED, ";4"),
            (Modifier::SLOW_BLINK, ";5"),
            (Modifier::RAPID_BLINK, ";6"),
            (Modifier::REVERSED, ";7"),
            (Modifier::HIDDEN, ";8"),
            (Modifier::CROSSED_OUT, ";9"),
        ];
        for (modifier, code) in codes {
            if self.modifier.contains(modifier) {
                out.push_str(code);
            }
        }
        colour(out, self.front, 30);
        colour(out, self.back, 40);
        out.push('m');
    }
}

/// Adds the code of a colour; `base` is 30 for the text and 40 for what lies behind it.
fn colour(out: &mut String, colour: Color, base: u8) {
    let code = match colour {
        Color::Reset => return,
        Color::Black => base,
        Color::Red => base + 1,
        Color::Green => base + 2,
        Color::Yellow => base + 3,
        Color::Blue => base + 4,
        Color::Magenta => base + 5,
        Color::Cyan => base + 6,
        Color::Gray => base + 7,
        Color::DarkGray => base + 60,
        Color::LightRed => base + 61,
        Color::LightGreen => base + 62,
        Color::LightYellow => base + 63,
        Color::LightBlue => base + 64,
        Color::LightMagenta => base + 65,
        Color::LightCyan => base + 66,
        Color::White => base + 67,
        Color::Rgb(red, green, blue) => {
            // Writing to a string does not fail.
            let _infallible = write!(out, ";{};2;{red};{green};{blue}", base + 8);
            return;
        }
        Color::Indexed(index) => {
            let _infallible = write!(out, ";{};5;{index}", base + 8);
            return;
        }
    };
    let _infallible = write!(out, ";{code}");
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn text_has_a_line_a_row_and_wide_characters_once() {
        let mut frame = Buffer::empty(Rect::new(3, 2, 8, 2));
        frame.set_string(3, 2, "漢a b", Style::new());
        assert_eq!(text(&frame), "漢a b\n\n");
    }

    #[test]
    fn colours_change_only_where_they_do() {
        let mut frame = Buffer::empty(Rect::new(0, 0, 8, 2));
        frame.set_string(0, 0, "ab", Style::new().fg(Color::Red).add_modifier(Modifier::BOLD));
        frame.set_string(2, 0, "c", Style::new());
        frame.set_string(0, 1, "d ", Style::new().fg(Color::Rgb(1, 2, 3)).bg(Color::Indexed(9)));
        assert_eq!(ansi(&frame), "\x1b[0;1;31mab\x1b[0mc\n\x1b[0;38;2;1;2;3;48;5;9md \x1b[0m\n");
    }
}
