//! What lies above a screen, drawn.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::app::action::{Action, COMMANDS, Scope};
use crate::app::effect::Order;
use crate::app::overlay::Overlay;
use crate::app::prompt::Prompt;
use crate::app::screen::{Access, Context, Hits, Target};
use crate::app::{App, orders, palette};
use crate::state::text::harmless;
use crate::view::popup;
use crate::view::table::{Side, put};
use crate::view::text::{clip, width};

/// Completions that are shown at once.
const COMPLETIONS: usize = 12;

impl App {
    /// Draws what lies above the screen; gives how far it can be scrolled, where it can be.
    pub(super) fn draw_overlay(
        &self,
        context: &Context<'_>,
        body: Rect,
        bottom: Rect,
        buffer: &mut Buffer,
        hits: &mut Hits,
    ) -> Option<usize> {
        let (theme, glyphs) = (context.theme, context.glyphs);
        match &self.overlay {
            Overlay::None => {}
            Overlay::Filter { prompt, .. } => draw_prompt('/', prompt, context, bottom, buffer),
            Overlay::Palette { prompt, chosen } => {
                draw_prompt(':', prompt, context, bottom, buffer);
                self.draw_completions(prompt, *chosen, context, body, buffer, hits);
            }
            Overlay::Confirm(order) => draw_question(order, context, body, buffer, hits),
            Overlay::Help { scroll } => {
                return Some(popup::lines(
                    "help",
                    &self.help(context),
                    *scroll,
                    body,
                    (theme, glyphs),
                    buffer,
                ));
            }
            Overlay::Text { title, lines, scroll } => {
                return Some(popup::lines(title, lines, *scroll, body, (theme, glyphs), buffer));
            }
            Overlay::Columns { selected } => self.draw_columns(*selected, context, body, buffer, hits),
        }
        None
    }

    fn draw_completions(
        &self,
        prompt: &Prompt,
        chosen: usize,
        context: &Context<'_>,
        body: Rect,
        buffer: &mut Buffer,
        hits: &mut Hits,
    ) {
        let entries = palette::entries(prompt.text(), &self.scene(context.now));
        let shown = entries.len().min(COMPLETIONS).min(usize::from(body.height.saturating_sub(2)));
        if shown == 0 {
            return;
        }
        let chosen = chosen.min(entries.len() - 1);
        let first = (chosen + 1).saturating_sub(shown);
        let rows = u16::try_from(shown).unwrap_or(u16::MAX);
        let place = Rect { y: body.bottom().saturating_sub(rows + 2), height: rows + 2, ..body };
        let size = (body.width.saturating_sub(4).min(90), rows);
        let inside = popup::frame("command", size, place, context.theme, context.glyphs, buffer);
        for ((at, entry), row) in entries.iter().enumerate().skip(first).take(shown).zip(inside.rows()) {
            let text = format!("{:<24} ", clip(&entry.text, 60, context.glyphs.ellipsis));
            let line = Line::from(vec![
                Span::styled(text, context.theme.text),
                Span::styled(entry.help.clone(), context.theme.dim),
            ]);
            put(&line, row, Side::Left, context.glyphs, buffer);
            if at == chosen {
                buffer.set_style(row, context.theme.selected);
            }
            hits.add(row, Target::Choice(at));
        }
    }

    fn draw_columns(
        &self,
        selected: usize,
        context: &Context<'_>,
        body: Rect,
        buffer: &mut Buffer,
        hits: &mut Hits,
    ) {
        let view = self.place.view();
        let screen = self.screens.iter().find(|screen| screen.view() == view);
        let Some((columns, state)) = screen.and_then(|screen| screen.columns()) else { return };
        let size = (36, u16::try_from(columns.len() + 1).unwrap_or(u16::MAX));
        let inside = popup::frame("columns", size, body, context.theme, context.glyphs, buffer);
        let height = usize::from(inside.height.saturating_sub(1));
        let first = (selected + 1).saturating_sub(height);
        for ((at, column), row) in columns.iter().enumerate().skip(first).take(height).zip(inside.rows()) {
            let mark = if state.hidden.contains(&at) { "[ ]" } else { "[x]" };
            let sorted = match (state.sort == at, state.reverse) {
                (false, _) => "",
                (true, false) => context.glyphs.ascending,
                (true, true) => context.glyphs.descending,
            };
            put(
                &Line::raw(format!("{mark} {} {sorted}", column.name)),
                row,
                Side::Left,
                context.glyphs,
                buffer,
            );
            if at == selected {
                buffer.set_style(row, context.theme.selected);
            }
            hits.add(row, Target::Choice(at));
        }
        let row = Rect { y: inside.bottom().saturating_sub(1), height: inside.height.min(1), ..inside };
        put(
            &Line::styled("space shows, s sorts, esc closes", context.theme.dim),
            row,
            Side::Left,
            context.glyphs,
            buffer,
        );
    }

    /// The keys of the view and of all views, made from the table of commands.
    fn help(&self, context: &Context<'_>) -> Vec<Line<'static>> {
        let theme = context.theme;
        let view = self.place.view();
        let mut lines = Vec::new();
        let own = COMMANDS.iter().filter(|command| command.scope != Scope::Everywhere);
        let all = COMMANDS.iter().filter(|command| command.scope == Scope::Everywhere);
        let groups: [(&str, Vec<_>); 2] = [(view.name(), own.collect()), ("everywhere", all.collect())];
        for (title, commands) in groups {
            if !lines.is_empty() {
                lines.push(Line::raw(""));
            }
            lines.push(Line::styled(title.to_owned(), theme.strong));
            for command in commands.into_iter().filter(|command| command.scope.holds(view, self.replay)) {
                let keys = self.keymap.keys(view, self.replay, command);
                let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
                let denied =
                    matches!((&command.action, context.access), (Action::Farm(_), Access::ReadOnly { .. }));
                let note = if denied { " (not for you: read-only)" } else { "" };
                lines.push(Line::from(vec![
                    Span::styled(format!("  {:<14}", keys.join(" ")), theme.accent),
                    Span::styled(format!(" {:<18}", command.name), theme.dim),
                    Span::raw(format!(" {}{note}", command.help)),
                ]));
            }
        }
        if let Access::ReadOnly { reason } = context.access {
            lines.push(Line::raw(""));
            lines.push(Line::styled(format!("read-only: {}", harmless(reason)), theme.warn));
        }
        lines
    }
}

fn draw_question(order: &Order, context: &Context<'_>, body: Rect, buffer: &mut Buffer, hits: &mut Hits) {
    let (theme, glyphs) = (context.theme, context.glyphs);
    let (question, meaning) = orders::question(order, context);
    let inside_wide = usize::from(body.width.saturating_sub(4)).max(1);
    let mut lines = wrapped(&question, inside_wide, theme.strong);
    lines.extend(wrapped(&meaning, inside_wide, theme.text));
    let wide = lines.iter().map(Line::width).max().unwrap_or(0).max(24);
    let size = (u16::try_from(wide).unwrap_or(u16::MAX), u16::try_from(lines.len() + 2).unwrap_or(u16::MAX));
    let inside = popup::frame("confirm", size, body, theme, glyphs, buffer);
    for (line, row) in lines.iter().zip(inside.rows()) {
        put(line, row, Side::Left, glyphs, buffer);
    }
    let row = Rect { y: inside.bottom().saturating_sub(1), height: inside.height.min(1), ..inside };
    let answers = Line::from(vec![
        Span::styled("[y] yes", theme.warn),
        Span::raw("    "),
        Span::styled("[n] no", theme.accent),
    ]);
    put(&answers, row, Side::Left, glyphs, buffer);
    hits.add(Rect { width: row.width.min(7), ..row }, Target::Answer(true));
    hits.add(Rect { x: row.x + 11, width: 6, ..row }.intersection(row), Target::Answer(false));
}

fn draw_prompt(sign: char, prompt: &Prompt, context: &Context<'_>, area: Rect, buffer: &mut Buffer) {
    buffer.set_style(area, context.theme.bar);
    for x in area.x..area.right() {
        buffer[(x, area.y)].set_symbol(" ");
    }
    let room = usize::from(area.width.saturating_sub(3));
    // The end of what is typed is in sight.
    let text = crate::view::text::clip_start(prompt.text(), room, context.glyphs.ellipsis);
    let hidden = width(prompt.text()).saturating_sub(width(&text));
    buffer.set_stringn(area.x, area.y, format!("{sign}{text}"), room + 1, context.theme.strong);
    let cursor = u16::try_from(1 + prompt.cursor().saturating_sub(hidden)).unwrap_or(u16::MAX);
    let x = area.x.saturating_add(cursor).min(area.right() - 1);
    buffer.set_style(Rect::new(x, area.y, 1, 1), ratatui::style::Style::new().reversed());
}

/// A text in lines of at most so many cells, broken between words.
fn wrapped(text: &str, most: usize, style: ratatui::style::Style) -> Vec<Line<'static>> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split_whitespace() {
        if !line.is_empty() && width(&line) + 1 + width(word) > most {
            lines.push(Line::styled(std::mem::take(&mut line), style));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(Line::styled(line, style));
    lines
}
