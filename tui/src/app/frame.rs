//! The frame: header, tabs, the screen, hints, and what lies above it.

mod overlays;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::action::{Action, COMMANDS, Global};
use super::overlay::Overlay;
use super::place::{Place, View};
use super::screen::{Access, Context, Hits, Target};
use super::{App, Need};
use crate::state::text::harmless;
use crate::view::header::Header;
use crate::view::hints::Hints;
use crate::view::playback::PlaybackBar;
use crate::view::table::{Side, put};
use crate::view::text::{clip, width};

/// The smallest size on which anything is drawn.
const LEAST: (u16, u16) = (20, 5);
/// From this height on the header has two lines.
const TALL: u16 = 18;
/// The fewest rows in which it is said how far a recording was played.
const ROOM_FOR_PLAYBACK: u16 = 8;

impl App {
    /// Draws a frame.
    pub fn draw(&mut self, area: Rect, now: i64) -> Buffer {
        self.refresh(now);
        (self.need, self.drawn) = (Need::None, now);
        let mut buffer = Buffer::empty(area);
        let mut hits = Hits::default();
        if area.width < LEAST.0 || area.height < LEAST.1 {
            let text = clip("too small", usize::from(area.width), "~");
            if !area.is_empty() {
                buffer.set_string(area.x, area.y, text, self.world.theme.warn);
            }
        } else {
            self.draw_frame(area, now, &mut buffer, &mut hits);
        }
        self.hits = hits;
        buffer
    }

    fn draw_frame(&mut self, area: Rect, now: i64, buffer: &mut Buffer, hits: &mut Hits) {
        let head = if area.height >= TALL { 2 } else { 1 };
        let header = Rect { height: head, ..area };
        let tabs = Rect { y: area.y + head, height: 1, ..area };
        let bottom = Rect { y: area.bottom() - 1, height: 1, ..area };
        let played = self.position.filter(|_| self.replay && area.height >= ROOM_FOR_PLAYBACK);
        let bar = u16::from(played.is_some());
        let body = Rect { y: tabs.bottom(), height: area.height - head - 2 - bar, ..area };
        let context = self.world.context(now);
        let frozen = self.world.frozen.is_some();
        Header { context: &context, summary: &self.summary, label: &self.label, frozen }.draw(header, buffer);
        self.draw_tabs(&context, tabs, buffer, hits);
        let view = self.place.view();
        if let Some(screen) = self.screens.iter().find(|screen| screen.view() == view) {
            screen.draw(&context, body, buffer, hits);
        }
        if let Some(position) = played {
            let (theme, glyphs) = (&self.world.theme, self.world.glyphs);
            let row = Rect { y: body.bottom(), height: 1, ..area };
            PlaybackBar { position, theme, glyphs }.draw(row, buffer, hits);
        }
        self.draw_bottom(bottom, buffer, hits);
        let most = self.draw_overlay(&context, body, bottom, buffer, hits);
        // A text that was scrolled beyond its end comes back at the first key.
        if let (Some(most), Overlay::Help { scroll } | Overlay::Text { scroll, .. }) =
            (most, &mut self.overlay)
        {
            *scroll = (*scroll).min(most);
        }
    }

    fn draw_tabs(&self, context: &Context<'_>, area: Rect, buffer: &mut Buffer, hits: &mut Hits) {
        let theme = context.theme;
        let here = self.place.view();
        let mut right = self.caption(context);
        let room = usize::from(area.width);
        right.truncate(right.len().min(6));
        let caption: usize = right.iter().map(Span::width).sum();
        let mut x = area.x;
        for view in View::ALL {
            let is_here = view == here;
            let of_build = matches!(view, View::Stages | View::Log);
            let known = self.screens.iter().any(|screen| screen.view() == view);
            if !known || (of_build && !is_here && self.place.build().is_none()) {
                continue;
            }
            let key = COMMANDS.iter().find(|command| command.name == view.name());
            let key = key.and_then(|command| self.keymap.keys(here, self.replay, command).first().copied());
            let key = key.map_or_else(String::new, |key| format!("{key} "));
            let text = format!(" {key}{} ", view.name());
            let wide = u16::try_from(width(&text)).unwrap_or(u16::MAX);
            let used = usize::from(x - area.x) + usize::from(wide);
            // Where it is narrow the view that one is in says enough.
            if !is_here && used + caption + 12 > room || used > room {
                continue;
            }
            let style = if is_here { theme.accent.patch(theme.strong) } else { theme.dim };
            hits.add(Rect::new(x, area.y, wide, 1), Target::Act(Action::App(Global::View(view))));
            (x, _) = buffer.set_stringn(x, area.y, &text, usize::from(wide), style);
        }
        let left = usize::from(area.right().saturating_sub(x));
        let rest = Rect { x, width: u16::try_from(left).unwrap_or(0), ..area };
        put(&Line::from(right), rest, Side::Right, context.glyphs, buffer);
    }

    /// What is shown, and through which filter.
    fn caption(&self, context: &Context<'_>) -> Vec<Span<'static>> {
        let view = self.place.view();
        let mut spans = Vec::new();
        if let Some(filter) = self.filters.get(&view).filter(|filter| !filter.as_str().is_empty()) {
            let style = if filter.error().is_some() { context.theme.bad } else { context.theme.found };
            spans.push(Span::styled(format!(" /{} ", clip(&harmless(filter.as_str()), 30, "~")), style));
            spans.push(Span::raw(" "));
        }
        if let Some(screen) = self.screens.iter().find(|screen| screen.view() == view) {
            spans.push(Span::styled(screen.title(context), context.theme.dim));
        }
        spans
    }

    fn draw_bottom(&self, area: Rect, buffer: &mut Buffer, hits: &mut Hits) {
        let theme = &self.world.theme;
        if let Some(notice) = &self.notice {
            let style = theme.bar.patch(if notice.is_bad { theme.bad } else { theme.good });
            buffer.set_style(area, theme.bar);
            let text = harmless(&notice.text);
            let text = clip(&text, usize::from(area.width.saturating_sub(2)), self.world.glyphs.ellipsis);
            buffer.set_stringn(area.x + 1, area.y, text, usize::from(area.width.saturating_sub(1)), style);
            return;
        }
        let read_only = matches!(self.world.access, Access::ReadOnly { .. });
        let (view, replay) = (self.place.view(), self.replay);
        Hints { view, replay, read_only, keymap: &self.keymap, theme }.draw(area, buffer, hits);
    }

    /// Where the console is.
    pub fn place(&self) -> &Place {
        &self.place
    }
}
