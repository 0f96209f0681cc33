//! The colours of a terminal as red, green and blue.

use std::fmt;

use ratatui::style::Color;

/// A colour; shown as `#rrggbb`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Rgb(u8, u8, u8);

/// The sixteen named colours, dark ones first, in the order of their codes.
const NAMED: [Rgb; 16] = [
    Rgb(0x1d, 0x20, 0x26),
    Rgb(0xe0, 0x6c, 0x75),
    Rgb(0x7f, 0xc3, 0x79),
    Rgb(0xd9, 0xa8, 0x57),
    Rgb(0x61, 0x9f, 0xe8),
    Rgb(0xbd, 0x7c, 0xd8),
    Rgb(0x56, 0xb6, 0xc2),
    Rgb(0xab, 0xb2, 0xbf),
    Rgb(0x6b, 0x73, 0x80),
    Rgb(0xf0, 0x8a, 0x92),
    Rgb(0x9e, 0xdc, 0x98),
    Rgb(0xee, 0xc6, 0x7f),
    Rgb(0x86, 0xb9, 0xf5),
    Rgb(0xd3, 0x9d, 0xea),
    Rgb(0x7b, 0xd0, 0xdb),
    Rgb(0xf2, 0xf4, 0xf8),
];

impl Rgb {
    /// A colour of a terminal; the default one is that of plain text.
    pub(super) fn of(colour: Color) -> Self {
        match colour {
            Color::Rgb(red, green, blue) => Self(red, green, blue),
            Color::Indexed(index) => Self::indexed(index),
            Color::Black => NAMED[0],
            Color::Red => NAMED[1],
            Color::Green => NAMED[2],
            Color::Yellow => NAMED[3],
            Color::Blue => NAMED[4],
            Color::Magenta => NAMED[5],
            Color::Cyan => NAMED[6],
            Color::Reset | Color::Gray => NAMED[7],
            Color::DarkGray => NAMED[8],
            Color::LightRed => NAMED[9],
            Color::LightGreen => NAMED[10],
            Color::LightYellow => NAMED[11],
            Color::LightBlue => NAMED[12],
            Color::LightMagenta => NAMED[13],
            Color::LightCyan => NAMED[14],
            Color::White => NAMED[15],
        }
    }

    /// Half way to another, as dim text is.
    pub(super) fn towards(self, other: Self) -> Self {
        let half = |a: u8, b: u8| u8::try_from((u16::from(a) * 11 + u16::from(b) * 9) / 20).unwrap_or(a);
        Self(half(self.0, other.0), half(self.1, other.1), half(self.2, other.2))
    }

    /// The 256 colours of xterm: 16 named ones, a cube of six levels each, and 24 greys.
    fn indexed(index: u8) -> Self {
        let level = |part: u8| if part == 0 { 0 } else { 55 + 40 * part };
        match index {
            0..16 => NAMED[usize::from(index)],
            16..232 => {
                let cube = index - 16;
                Self(level(cube / 36), level(cube / 6 % 6), level(cube % 6))
            }
            232.. => {
                let grey = 8 + 10 * (index - 232);
                Self(grey, grey, grey)
            }
        }
    }
}

impl From<(u8, u8, u8)> for Rgb {
    fn from((red, green, blue): (u8, u8, u8)) -> Self {
        Self(red, green, blue)
    }
}

impl fmt::Display for Rgb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_has_a_colour() {
        assert_eq!(Rgb::of(Color::Indexed(16)).to_string(), "#000000");
        assert_eq!(Rgb::of(Color::Indexed(231)).to_string(), "#ffffff");
        assert_eq!(Rgb::of(Color::Indexed(196)).to_string(), "#ff0000");
        assert_eq!(Rgb::of(Color::Indexed(255)).to_string(), "#eeeeee");
    }
}
