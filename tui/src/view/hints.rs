//! The line at the bottom: which keys do what here.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::theme::Theme;
use crate::app::action::{Action, Command, Global, Scope};
use crate::app::keymap::Keymap;
use crate::app::place::View;
use crate::app::screen::{Hits, Target};

/// The hints of a view: its own first, then those of every view.
#[derive(Clone, Copy, Debug)]
pub struct Hints<'a> {
    /// The view.
    pub view: View,
    /// Whether a recording is played.
    pub replay: bool,
    /// Whether what changes the farm is left out.
    pub read_only: bool,
    /// The keys.
    pub keymap: &'a Keymap,
    /// Colours.
    pub theme: &'a Theme,
}

impl Hints<'_> {
    /// Draws those that fit.
    pub fn draw(&self, area: Rect, buffer: &mut Buffer, hits: &mut Hits) {
        buffer.set_style(area, self.theme.bar);
        let own = |action: &Action| matches!(action, Action::Farm(_)) && self.read_only;
        let all = crate::app::action::COMMANDS.iter().filter(|command| {
            !command.hint.is_empty() && command.scope.holds(self.view, self.replay) && !own(&command.action)
        });
        let is_help = |command: &&Command| command.action == Action::App(Global::Help);
        let is_local = |command: &&Command| command.scope != Scope::Everywhere;
        // How to get help is the last thing to give up.
        let local = all.clone().filter(is_help).chain(all.clone().filter(is_local));
        let rest = all.filter(|command| !is_help(command) && !is_local(command));
        let mut x = area.x;
        for command in local.chain(rest) {
            let Some(key) = self.keymap.keys(self.view, self.replay, command).first().copied() else {
                continue;
            };
            let key = Span::styled(format!(" {key}"), self.theme.accent.patch(self.theme.strong));
            let word = Span::raw(format!(" {} ", command.hint));
            let wide = u16::try_from(key.width() + word.width()).unwrap_or(u16::MAX);
            if x.saturating_add(wide) > area.right() {
                continue;
            }
            hits.add(Rect::new(x, area.y, wide, 1), Target::Act(command.action));
            (x, _) = buffer.set_span(x, area.y, &key, wide);
            (x, _) = buffer.set_span(x, area.y, &word, wide);
        }
    }
}
