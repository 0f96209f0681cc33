//! Colours by what they mean. Widgets ask for a meaning; nobody else names a colour.
//!
//! Nothing is said by colour alone: where colours differ, so do glyphs or words, so that [`ThemeName::Mono`] loses nothing.

use ratatui::style::{Color, Modifier, Style};

/// The themes that there are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ThemeName {
    /// For a dark background.
    #[default]
    Dark,
    /// For a light one.
    Light,
    /// For eyes that do not tell red from green, after Okabe and Ito.
    Safe,
    /// The terminal's own sixteen colours.
    Sixteen,
    /// No colours: bold, dim and reverse, as `NO_COLOR` asks for.
    Mono,
}

impl ThemeName {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Dark, Self::Light, Self::Safe, Self::Sixteen, Self::Mono];

    /// What it is called in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dark => "dark",
            Self::Light => "light",
            Self::Safe => "colour-blind",
            Self::Sixteen => "16",
            Self::Mono => "mono",
        }
    }

    /// The theme of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.name() == name)
    }

    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        let at = Self::ALL.iter().position(|theme| *theme == self).unwrap_or_default();
        Self::ALL[(at + 1) % Self::ALL.len()]
    }
}

/// How many colours the terminal has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Depth {
    /// All of them.
    #[default]
    True,
    /// The 256 of xterm.
    Indexed,
}

/// Styles by meaning.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Theme {
    /// Which one it is.
    pub name: ThemeName,
    /// Ordinary text.
    pub text: Style,
    /// What matters less.
    pub dim: Style,
    /// What matters more.
    pub strong: Style,
    /// Titles, heads of tables, keys.
    pub accent: Style,
    /// What went well.
    pub good: Style,
    /// What wants attention.
    pub warn: Style,
    /// What failed.
    pub bad: Style,
    /// What is being done.
    pub running: Style,
    /// What waits.
    pub waiting: Style,
    /// What the cache had.
    pub cached: Style,
    /// What another build does.
    pub shared: Style,
    /// The critical path.
    pub critical: Style,
    /// The selected row, laid over its own style.
    pub selected: Style,
    /// The bars at the top and the bottom.
    pub bar: Style,
    /// What a search found.
    pub found: Style,
    /// From bad to good.
    heat: [Style; 5],
    /// Styles to tell things apart that have no meaning in common.
    series: [Style; 6],
}

impl Theme {
    /// The theme of a name.
    pub fn new(name: ThemeName, depth: Depth) -> Self {
        let theme = match name {
            ThemeName::Dark => coloured(name, &DARK),
            ThemeName::Light => coloured(name, &LIGHT),
            ThemeName::Safe => coloured(name, &SAFE),
            ThemeName::Sixteen => coloured(name, &SIXTEEN),
            ThemeName::Mono => mono(),
        };
        match depth {
            Depth::True => theme,
            Depth::Indexed => theme.indexed(),
        }
    }

    /// The style of a part from 0, bad, to 1, good.
    pub fn heat(&self, part: f64) -> Style {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the table")]
        let at = (part.clamp(0.0, 1.0) * 4.0).round() as usize;
        self.heat[at.min(4)]
    }

    /// A style for the thing of this number; near numbers differ.
    pub fn series(&self, number: usize) -> Style {
        self.series[number % self.series.len()]
    }

    fn indexed(mut self) -> Self {
        let Self { text, dim, strong, accent, good, warn, bad, running, waiting, cached, shared, .. } =
            &mut self;
        for style in [text, dim, strong, accent, good, warn, bad, running, waiting, cached, shared] {
            *style = reduced(*style);
        }
        let Self { critical, selected, bar, found, heat, series, .. } = &mut self;
        for style in [critical, selected, bar, found].into_iter().chain(heat).chain(series) {
            *style = reduced(*style);
        }
        self
    }
}

impl Default for Theme {
    fn default() -> Self {
        Self::new(ThemeName::default(), Depth::default())
    }
}

/// The colours of a theme.
struct Palette {
    text: Color,
    dim: Color,
    accent: Color,
    good: Color,
    warn: Color,
    bad: Color,
    running: Color,
    shared: Color,
    bar: (Color, Color),
    selected: Color,
    found: (Color, Color),
    heat: [Color; 5],
    series: [Color; 6],
}

const fn rgb(value: u32) -> Color {
    let [_, red, green, blue] = value.to_be_bytes();
    Color::Rgb(red, green, blue)
}

const DARK: Palette = Palette {
    text: Color::Reset,
    dim: rgb(0x80_8a_99),
    accent: rgb(0x6c_b6_ff),
    good: rgb(0x7e_c6_6e),
    warn: rgb(0xe6_b4_50),
    bad: rgb(0xf4_70_67),
    running: rgb(0x56_c8_d8),
    shared: rgb(0xc6_92_e9),
    bar: (rgb(0xd5_dc_e6), rgb(0x26_2d_38)),
    selected: rgb(0x2f_42_5c),
    found: (rgb(0x1b_1f_27), rgb(0xe6_b4_50)),
    heat: [rgb(0xf4_70_67), rgb(0xee_93_5c), rgb(0xe6_b4_50), rgb(0xb3_be_5f), rgb(0x7e_c6_6e)],
    series: [
        rgb(0x6c_b6_ff),
        rgb(0x7e_c6_6e),
        rgb(0xe6_b4_50),
        rgb(0xc6_92_e9),
        rgb(0x56_c8_d8),
        rgb(0xee_93_5c),
    ],
};

const LIGHT: Palette = Palette {
    text: Color::Reset,
    dim: rgb(0x6a_73_7d),
    accent: rgb(0x03_5c_b8),
    good: rgb(0x1a_7f_37),
    warn: rgb(0x95_62_00),
    bad: rgb(0xc0_1f_28),
    running: rgb(0x05_70_85),
    shared: rgb(0x80_3f_b8),
    bar: (rgb(0x1f_23_28), rgb(0xdd_e3_ea)),
    selected: rgb(0xcf_e4_fb),
    found: (rgb(0x1f_23_28), rgb(0xff_d8_6b)),
    heat: [rgb(0xc0_1f_28), rgb(0xb1_4a_0b), rgb(0x95_62_00), rgb(0x57_77_10), rgb(0x1a_7f_37)],
    series: [
        rgb(0x03_5c_b8),
        rgb(0x1a_7f_37),
        rgb(0x95_62_00),
        rgb(0x80_3f_b8),
        rgb(0x05_70_85),
        rgb(0xb1_4a_0b),
    ],
};

/// Okabe and Ito: told apart with any colour vision. Good is blue, bad is vermilion.
const SAFE: Palette = Palette {
    text: Color::Reset,
    dim: rgb(0x8c_8c_8c),
    accent: rgb(0x56_b4_e9),
    good: rgb(0x56_b4_e9),
    warn: rgb(0xf0_e4_42),
    bad: rgb(0xd5_5e_00),
    running: rgb(0x00_9e_73),
    shared: rgb(0xcc_79_a7),
    bar: (rgb(0xe6_e6_e6), rgb(0x30_30_30)),
    selected: rgb(0x00_46_70),
    found: (rgb(0x00_00_00), rgb(0xf0_e4_42)),
    heat: [rgb(0xd5_5e_00), rgb(0xe6_9f_00), rgb(0xf0_e4_42), rgb(0x9f_cc_96), rgb(0x56_b4_e9)],
    series: [
        rgb(0x56_b4_e9),
        rgb(0xe6_9f_00),
        rgb(0x00_9e_73),
        rgb(0xcc_79_a7),
        rgb(0xf0_e4_42),
        rgb(0xd5_5e_00),
    ],
};

const SIXTEEN: Palette = Palette {
    text: Color::Reset,
    dim: Color::DarkGray,
    accent: Color::LightBlue,
    good: Color::Green,
    warn: Color::Yellow,
    bad: Color::LightRed,
    running: Color::Cyan,
    shared: Color::Magenta,
    bar: (Color::White, Color::Blue),
    selected: Color::Blue,
    found: (Color::Black, Color::Yellow),
    heat: [Color::LightRed, Color::Red, Color::Yellow, Color::Green, Color::LightGreen],
    series: [Color::LightBlue, Color::Green, Color::Yellow, Color::Magenta, Color::Cyan, Color::Red],
};

fn coloured(name: ThemeName, palette: &Palette) -> Theme {
    let of = |colour| Style::new().fg(colour);
    Theme {
        name,
        text: of(palette.text),
        dim: of(palette.dim),
        strong: of(palette.text).add_modifier(Modifier::BOLD),
        accent: of(palette.accent),
        good: of(palette.good),
        warn: of(palette.warn),
        bad: of(palette.bad).add_modifier(Modifier::BOLD),
        running: of(palette.running),
        waiting: of(palette.dim),
        cached: of(palette.good),
        shared: of(palette.shared),
        critical: of(palette.warn).add_modifier(Modifier::BOLD),
        selected: Style::new().bg(palette.selected),
        bar: of(palette.bar.0).bg(palette.bar.1),
        found: of(palette.found.0).bg(palette.found.1),
        heat: palette.heat.map(of),
        series: palette.series.map(of),
    }
}

fn mono() -> Theme {
    let (plain, bold) = (Style::new(), Style::new().add_modifier(Modifier::BOLD));
    let (dim, reverse) =
        (Style::new().add_modifier(Modifier::DIM), Style::new().add_modifier(Modifier::REVERSED));
    Theme {
        name: ThemeName::Mono,
        text: plain,
        dim,
        strong: bold,
        accent: bold,
        good: plain,
        warn: bold,
        bad: bold,
        running: bold,
        waiting: dim,
        cached: plain,
        shared: plain,
        critical: bold,
        selected: reverse,
        bar: reverse,
        found: reverse,
        heat: [bold, bold, plain, plain, dim],
        series: [plain, bold, dim, plain, bold, dim],
    }
}

fn reduced(mut style: Style) -> Style {
    style.fg = style.fg.map(nearest);
    style.bg = style.bg.map(nearest);
    style
}

/// The colour of xterm's cube or grey ramp that is nearest to a full one.
fn nearest(colour: Color) -> Color {
    let Color::Rgb(red, green, blue) = colour else { return colour };
    let level = |value: u8| match value {
        0..48 => 0,
        48..115 => 1,
        115.. => (value - 35) / 40,
    };
    let (r, g, b) = (level(red), level(green), level(blue));
    let spread = red.max(green).max(blue) - red.min(green).min(blue);
    if spread < 24 && (8..=238).contains(&green) {
        return Color::Indexed(232 + (green - 8) / 10);
    }
    Color::Indexed(16 + 36 * r + 6 * g + b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mono_names_no_colour() {
        let theme = Theme::new(ThemeName::Mono, Depth::True);
        for style in [theme.bad, theme.good, theme.selected, theme.bar, theme.heat(0.3), theme.series(9)] {
            assert_eq!((style.fg, style.bg), (None, None));
        }
    }

    #[test]
    fn indexed_names_no_full_colour() {
        for name in ThemeName::ALL {
            let text = format!("{:?}", Theme::new(name, Depth::Indexed));
            assert!(!text.contains("Rgb"), "{text}");
        }
    }

    #[test]
    fn a_name_gives_its_theme() {
        for name in ThemeName::ALL {
            assert_eq!(ThemeName::named(name.name()), Some(name));
        }
        assert_eq!(ThemeName::Mono.next(), ThemeName::Dark);
    }
}
