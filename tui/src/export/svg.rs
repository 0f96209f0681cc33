//! A frame as a picture (SVG 1.1) that looks the same wherever it is shown.
//!
//! Characters stand on a grid of fixed measures, whatever font there is: each run of text is told how long it is. Lines,
//! blocks and braille dots are drawn as shapes, since fonts differ most in them. Nothing is embedded or fetched.

mod colour;
mod shape;

use std::fmt::Write as _;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

use super::{Glyph, glyphs};
use colour::Rgb;

/// Measures of a cell and its text.
const WIDTH: f64 = 9.0;
const HEIGHT: f64 = 19.0;
const BASELINE: f64 = 14.0;
const SIZE: f64 = 15.0;
/// What lies around the grid.
const MARGIN: f64 = 12.0;

/// What a picture is drawn on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Paper {
    /// What the picture is called; shown by readers that do not show pictures.
    pub title: String,
    /// The colour of text that has none, as red, green and blue.
    pub front: (u8, u8, u8),
    /// The colour behind everything.
    pub back: (u8, u8, u8),
}

impl Default for Paper {
    fn default() -> Self {
        Self { title: "farm top".to_owned(), front: (0xd0, 0xd4, 0xdc), back: (0x14, 0x17, 0x1c) }
    }
}

/// The frame as a picture.
pub fn svg(frame: &Buffer, paper: &Paper) -> String {
    let width = f64::from(frame.area.width) * WIDTH + 2.0 * MARGIN;
    let height = f64::from(frame.area.height) * HEIGHT + 2.0 * MARGIN;
    let mut out = Picture { out: String::new(), paper };
    out.add(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" xml:space=\"preserve\">\n<title>{}</title>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{}\"/>\n\
         <g transform=\"translate({MARGIN} {MARGIN})\" font-size=\"{SIZE}\" font-family=\"ui-monospace, \
         SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace\">\n",
        escaped(&paper.title),
        Rgb::from(paper.back),
    ));
    for row in 0..frame.area.height {
        let glyphs = glyphs(frame, row);
        out.backgrounds(&glyphs, row);
        out.texts(&glyphs, row);
    }
    out.add(format_args!("</g>\n</svg>\n"));
    out.out
}

/// How a run of cells looks.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Look {
    front: Rgb,
    modifier: Modifier,
}

struct Picture<'a> {
    out: String,
    paper: &'a Paper,
}

impl Picture<'_> {
    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _infallible = self.out.write_fmt(text);
    }

    fn colours(&self, cell: &Cell) -> (Rgb, Rgb) {
        let of = |colour, default| if colour == Color::Reset { default } else { Rgb::of(colour) };
        let (front, back) = (of(cell.fg, self.paper.front.into()), of(cell.bg, self.paper.back.into()));
        let (front, back) =
            if cell.modifier.contains(Modifier::REVERSED) { (back, front) } else { (front, back) };
        (if cell.modifier.contains(Modifier::DIM) { front.towards(back) } else { front }, back)
    }

    fn backgrounds(&mut self, glyphs: &[Glyph<'_>], row: u16) {
        let paper = Rgb::from(self.paper.back);
        let backs: Vec<Rgb> = glyphs.iter().map(|glyph| self.colours(glyph.cell).1).collect();
        let mut from = 0;
        while from < glyphs.len() {
            let same = backs[from..].iter().take_while(|back| **back == backs[from]).count();
            if backs[from] != paper {
                let (x, columns) = extent(&glyphs[from..from + same]);
                let (y, width) = (f64::from(row) * HEIGHT, columns * WIDTH);
                self.add(format_args!(
                    "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{HEIGHT}\" fill=\"{}\"/>\n",
                    backs[from]
                ));
            }
            from += same;
        }
    }

    fn texts(&mut self, glyphs: &[Glyph<'_>], row: u16) {
        let mut from = 0;
        while from < glyphs.len() {
            let look = self.look(glyphs[from].cell);
            let kind = Kind::of(&glyphs[from]);
            let belongs = |glyph: &&Glyph<'_>| Kind::of(glyph) == kind && self.look(glyph.cell) == look;
            let same = match kind {
                Kind::Other => 1,
                Kind::Plain | Kind::Shape { .. } | Kind::Space => {
                    glyphs[from..].iter().take_while(belongs).count()
                }
            };
            let run = &glyphs[from..from + same];
            match kind {
                Kind::Space => self.decoration(run, row, look),
                Kind::Plain | Kind::Other => {
                    self.run(run, row, look);
                    self.decoration(run, row, look);
                }
                Kind::Shape { percent } => self.shapes(run, row, look, percent),
            }
            from += same;
        }
    }

    fn look(&self, cell: &Cell) -> Look {
        let shown = Modifier::BOLD | Modifier::ITALIC | Modifier::UNDERLINED | Modifier::CROSSED_OUT;
        Look { front: self.colours(cell).0, modifier: cell.modifier & shown }
    }

    fn run(&mut self, run: &[Glyph<'_>], row: u16, look: Look) {
        let (x, columns) = extent(run);
        let (y, length) = (f64::from(row) * HEIGHT + BASELINE, columns * WIDTH);
        let text: String = run.iter().map(|glyph| glyph.cell.symbol()).collect();
        let weight = if look.modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
        let slant = if look.modifier.contains(Modifier::ITALIC) { " font-style=\"italic\"" } else { "" };
        // A lone character of another script is as wide as its font has it: stretching would spoil it.
        let length = if Kind::of(&run[0]) == Kind::Plain {
            format!(" textLength=\"{length}\" lengthAdjust=\"spacingAndGlyphs\"")
        } else {
            String::new()
        };
        self.add(format_args!(
            "<text x=\"{x}\" y=\"{y}\" fill=\"{}\"{weight}{slant}{length}>{}</text>\n",
            look.front,
            escaped(&text),
        ));
    }

    fn decoration(&mut self, run: &[Glyph<'_>], row: u16, look: Look) {
        let (x, columns) = extent(run);
        let lines = [(Modifier::UNDERLINED, BASELINE + 2.0), (Modifier::CROSSED_OUT, BASELINE - 5.0)];
        for (modifier, below) in lines {
            if look.modifier.contains(modifier) {
                let (y, width) = (f64::from(row) * HEIGHT + below, columns * WIDTH);
                self.add(format_args!(
                    "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"1\" fill=\"{}\"/>\n",
                    look.front
                ));
            }
        }
    }

    /// All shapes of a run as one path.
    fn shapes(&mut self, run: &[Glyph<'_>], row: u16, look: Look, percent: u8) {
        let mut path = String::new();
        for glyph in run {
            let Some(shape) = first(glyph).and_then(shape::of) else { continue };
            for [x, y, width, height] in shape.rectangles {
                let x = f64::from(glyph.column) * WIDTH + x * WIDTH;
                let y = f64::from(row) * HEIGHT + y * HEIGHT;
                let (width, height) = (width * WIDTH, height * HEIGHT);
                let (x, y, width, height) = (tidy(x), tidy(y), tidy(width), tidy(height));
                let _infallible = write!(path, "M{x} {y}h{width}v{height}h-{width}z");
            }
        }
        if path.is_empty() {
            return;
        }
        let opacity = if percent < 100 { format!(" opacity=\"0.{percent}\"") } else { String::new() };
        self.add(format_args!("<path fill=\"{}\"{opacity} d=\"{path}\"/>\n", look.front));
    }
}

/// How a character is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Space,
    /// As text, together with its neighbours.
    Plain,
    /// As text by itself.
    Other,
    /// As a shape; those of one strength together.
    Shape {
        /// How much of what is behind it it hides.
        percent: u8,
    },
}

impl Kind {
    fn of(glyph: &Glyph<'_>) -> Self {
        match first(glyph) {
            None | Some(' ') => Self::Space,
            Some(c) if c.is_ascii() => Self::Plain,
            Some(c) => shape::of(c).map_or(Self::Other, |shape| Self::Shape { percent: shape.percent }),
        }
    }
}

fn first(glyph: &Glyph<'_>) -> Option<char> {
    glyph.cell.symbol().chars().next()
}

/// Where a run begins, in points, and how many columns it has.
fn extent(run: &[Glyph<'_>]) -> (f64, f64) {
    let column = run.first().map_or(0, |glyph| glyph.column);
    (f64::from(column) * WIDTH, run.iter().map(|glyph| f64::from(glyph.columns)).sum())
}

/// A number with at most two digits after the point.
fn tidy(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// Text as XML has it; what XML cannot have is replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    fn picture(text: &str, style: Style) -> String {
        let mut frame = Buffer::empty(Rect::new(0, 0, 12, 1));
        frame.set_string(0, 0, text, style);
        svg(&frame, &Paper::default())
    }

    #[test]
    fn text_is_escaped_and_stands_on_the_grid() {
        let out = picture("a<b>&\"", Style::new().fg(Color::Rgb(1, 2, 3)));
        let text = "<text x=\"0\" y=\"14\" fill=\"#010203\" textLength=\"54\" \
                    lengthAdjust=\"spacingAndGlyphs\">a&lt;b&gt;&amp;&quot;</text>";
        assert!(out.contains(text), "{out}");
    }

    #[test]
    fn what_follows_a_wide_character_is_two_columns_further() {
        let out = picture("漢a", Style::new());
        assert!(out.contains(">漢</text>") && out.contains("<text x=\"18\""), "{out}");
    }

    #[test]
    fn colours_behind_text_and_shapes_are_drawn() {
        let out = picture("█▒x", Style::new().bg(Color::Indexed(196)));
        assert!(out.contains("width=\"27\" height=\"19\" fill=\"#ff0000\""), "{out}");
        assert!(out.contains("M0 0h9v19h-9z") && out.contains("opacity=\"0.50\""), "{out}");
    }

    #[test]
    fn nothing_that_xml_forbids_comes_out() {
        let out = picture("x", Style::new());
        assert!(out.chars().all(|c| c == '\n' || !c.is_control()));
        assert_eq!(escaped("\u{1}<"), "\u{fffd}&lt;");
    }
}
