//! What a console remembers until the next time, as lines of `name = value`. What is not understood is passed over, so that an
//! older one can read what a newer one wrote.

use std::fmt::Write as _;

use super::App;
use super::place::{Place, View};
use crate::view::glyphs::GlyphSet;
use crate::view::theme::ThemeName;

impl App {
    /// What is to be remembered.
    pub(super) fn settings(&self) -> String {
        let mut text =
            format!("theme = {}\nglyphs = {}\n", self.world.theme.name.name(), self.world.glyphs.set.name());
        // A build that is looked at now may be gone by then.
        let view = match self.place.view() {
            view @ (View::Overview | View::Workers | View::Cache | View::Images | View::Actions) => view,
            View::Stages | View::Log => View::Overview,
        };
        let _infallible = writeln!(text, "view = {}", view.name());
        for screen in &self.screens {
            let setting = screen.setting();
            if !setting.is_empty() {
                let _infallible = writeln!(text, "screen.{} = {setting}", screen.view().name());
            }
        }
        for filter in &self.history {
            let _infallible = writeln!(text, "filter = {filter}");
        }
        text
    }

    /// Takes what was remembered; a theme or signs that were asked for on the command line stay.
    pub(super) fn restore(&mut self, text: &str, keep_theme: bool, keep_glyphs: bool) {
        for line in text.lines() {
            let Some((name, value)) = line.split_once('=') else { continue };
            let (name, value) = (name.trim(), value.trim());
            match name {
                "theme" if !keep_theme => {
                    if let Some(theme) = ThemeName::named(value) {
                        self.theme(theme);
                    }
                }
                "glyphs" if !keep_glyphs => {
                    if let Some(set) = GlyphSet::named(value) {
                        self.world.glyphs = set.glyphs();
                    }
                }
                "view" => self.restore_view(value),
                "filter" => self.recall(value),
                _ => {
                    let screen = name.strip_prefix("screen.").and_then(View::named);
                    if let Some(screen) = self.screens.iter_mut().find(|known| Some(known.view()) == screen) {
                        screen.restore(value);
                    }
                }
            }
        }
    }

    fn restore_view(&mut self, name: &str) {
        let place = match View::named(name) {
            Some(View::Workers) => Place::Workers(None),
            Some(View::Cache) => Place::Cache,
            Some(View::Images) => Place::Images(None),
            Some(View::Actions) => Place::Actions,
            Some(View::Overview | View::Stages | View::Log) | None => return,
        };
        if self.screens.iter().any(|screen| screen.view() == place.view()) {
            self.place = place;
        }
    }
}
