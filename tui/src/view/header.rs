//! The top of every screen: which farm, how it is, what the cache saves, and how long it still takes.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::graph::spark;
use super::text::{ago, clip, percent, size, span};
use crate::app::screen::Context;
use crate::app::summary::Summary;
use crate::state::Link;
use crate::state::text::harmless;

/// The header of a screen.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// The farm.
    pub context: &'a Context<'a>,
    /// Its numbers.
    pub summary: &'a Summary,
    /// What the console is attached to.
    pub label: &'a str,
    /// Whether the display is held still.
    pub frozen: bool,
}

/// A part of a line.
type Part = Vec<Span<'static>>;

impl Header<'_> {
    /// Draws as many lines as there is room for, the most telling first.
    pub fn draw(&self, area: Rect, buffer: &mut Buffer) {
        buffer.set_style(area, self.context.theme.bar);
        let (first, second) = (self.state(), self.savings());
        let lines = if area.height > 1 {
            vec![first, second]
        } else {
            vec![first.into_iter().chain(second).collect()]
        };
        for (parts, row) in lines.into_iter().zip(area.rows()) {
            self.line(parts, row, buffer);
        }
    }

    /// The parts that fit, with signs between them.
    fn line(&self, parts: Vec<Part>, area: Rect, buffer: &mut Buffer) {
        let theme = self.context.theme;
        let room = usize::from(area.width);
        let mut line: Vec<Span<'static>> = Vec::new();
        let mut used = 0;
        for part in parts {
            let wide: usize = part.iter().map(Span::width).sum();
            let gap = if line.is_empty() { 1 } else { 3 };
            if used + gap + wide > room && !line.is_empty() {
                continue;
            }
            let gap =
                if line.is_empty() { " ".to_owned() } else { format!(" {} ", self.context.glyphs.separator) };
            line.push(Span::styled(gap, theme.dim));
            line.extend(part);
            used += wide + if used == 0 { 1 } else { 3 };
        }
        buffer.set_line(area.x, area.y, &Line::from(line), area.width);
    }

    fn state(&self) -> Vec<Part> {
        let (theme, totals) = (self.context.theme, &self.summary.totals);
        let name = &self.context.farm.name;
        let name = if name.is_empty() { self.label } else { name };
        let mut parts = vec![
            vec![Span::styled(clip(&harmless(name), 24, "~").into_owned(), theme.strong)],
            self.link(),
            self.numbers(
                "builds",
                &[
                    (totals.builds - totals.blocked.min(totals.builds), "running", theme.running),
                    (totals.blocked, "queued", theme.warn),
                ],
            ),
            self.numbers(
                "steps",
                &[(totals.running, "running", theme.running), (totals.queued, "queued", theme.warn)],
            ),
        ];
        let (up, draining, lost) = self.summary.workers;
        let standings =
            [(up, "up", theme.good), (draining, "draining", theme.warn), (lost, "lost", theme.bad)];
        parts.push(self.numbers("workers", &standings));
        let (used, slots) = self.summary.slots;
        parts.push(vec![plain("slots "), Span::styled(format!("{used}/{slots}"), theme.strong)]);
        if self.frozen {
            parts.insert(1, vec![Span::styled("frozen", theme.found)]);
        }
        parts
    }

    fn savings(&self) -> Vec<Part> {
        let (theme, totals, now) = (self.context.theme, &self.summary.totals, self.context.now);
        let mut parts = Vec::new();
        let mut hits = vec![plain("hits ")];
        match self.summary.hit_rate {
            Some(rate) => hits.push(Span::styled(percent(rate), theme.heat(rate))),
            None => hits.push(plain("-")),
        }
        if self.summary.hits.iter().any(Option::is_some) {
            hits.push(Span::raw(format!(" {}", spark(&self.summary.hits, self.context.glyphs))));
        }
        parts.push(hits);
        let saved = format!("{} {}", span(totals.saved_micros), size(totals.saved_bytes));
        parts.push(vec![plain("saved "), Span::styled(saved, theme.good)]);
        if totals.builds > 0 {
            let left = self.context.estimates.longest(now).map_or_else(|| "-".to_owned(), span);
            parts.push(vec![plain("left "), Span::styled(left, theme.strong)]);
        }
        if let Some((median, most)) = self.summary.wait {
            let wait = format!("{} p95 {}", span(median), span(most));
            parts.push(vec![plain("wait p50 "), Span::raw(wait)]);
        }
        if totals.fetched > 0 {
            parts.push(vec![plain("fetched "), Span::raw(size(totals.fetched))]);
        }
        if totals.failed > 0 {
            parts.push(vec![Span::styled(format!("{} failed", totals.failed), theme.bad)]);
        }
        parts
    }

    fn link(&self) -> Part {
        let theme = self.context.theme;
        let (text, style) = match self.context.farm.link() {
            Link::Waiting => (format!("connecting to {}", harmless(self.label)), theme.warn),
            Link::CatchingUp => ("catching up".to_owned(), theme.warn),
            Link::Live => ("live".to_owned(), theme.good),
            Link::Lost { since, reason } => {
                let since = ago(self.context.now, *since);
                let reason = harmless(reason);
                (format!("lost {since} ago, reattaching: {}", clip(&reason, 40, "~")), theme.bad)
            }
            Link::Over => ("end of the recording".to_owned(), theme.warn),
        };
        vec![Span::styled(text, style)]
    }

    /// `builds 3 running 1 queued`; what is 0 is left out, apart from the first.
    fn numbers(&self, what: &str, numbers: &[(usize, &str, Style)]) -> Part {
        let mut part = vec![plain(&format!("{what} "))];
        for (at, (number, word, style)) in
            numbers.iter().enumerate().filter(|(at, (number, ..))| *at == 0 || *number > 0)
        {
            let gap = if at == 0 { "" } else { " " };
            let style = if *number == 0 { self.context.theme.dim } else { *style };
            part.push(Span::styled(format!("{gap}{number}"), style));
            part.push(plain(&format!(" {word}")));
        }
        part
    }
}

fn plain(text: &str) -> Span<'static> {
    Span::raw(text.to_owned())
}
