//! What the builds of each person took of the farm and what the cache saved them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use farm_model::event::Ending;
use ratatui::text::{Line, Span};

use super::text::{clip, size, span};
use crate::app::screen::Context;
use crate::state::text::harmless;
use crate::state::{Build, Lookup};

/// What is summed up for a person.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    builds: usize,
    running: usize,
    failed: usize,
    steps: usize,
    /// Time of workers.
    took: u64,
    saved: u64,
    bytes: u64,
}

impl Account {
    fn add(&mut self, build: &Build, now: i64) {
        self.builds += 1;
        self.running += usize::from(!build.is_over());
        self.failed += usize::from(matches!(build.ending(), Some(Ending::Failed(_))));
        let clock = build.clock(now);
        for step in build.steps() {
            self.steps += usize::from(step.phase.is_over());
            if step.worker.is_some() {
                self.took = self.took.saturating_add(step.duration(clock).unwrap_or(0));
            }
            if let Lookup::Hit { micros, bytes } = step.lookup {
                self.saved = self.saved.saturating_add(micros);
                self.bytes = self.bytes.saturating_add(bytes);
            }
        }
    }
}

/// A line a person, who took most first.
pub fn lines(context: &Context<'_>) -> Vec<Line<'static>> {
    let mut people: BTreeMap<String, Account> = BTreeMap::new();
    for build in context.farm.builds().values() {
        // Of a build that was over before anybody looked only the number is known.
        let past = || build.past().map(|past| past.client.as_str());
        let who =
            build.requested().map(|requested| requested.client.as_str()).or_else(past).unwrap_or_default();
        people.entry(harmless(who).into_owned()).or_default().add(build, context.now);
    }
    let mut people: Vec<(String, Account)> = people.into_iter().collect();
    people.sort_by_key(|(_, account)| Reverse((account.took, account.builds)));
    let theme = context.theme;
    let head = format!(
        "{:<16}{:>7}{:>8}{:>7}{:>7}{:>9}{:>8}{:>8}",
        "WHO", "BUILDS", "RUNNING", "FAILED", "STEPS", "WORKERS", "SAVED", "BYTES"
    );
    let mut lines = vec![Line::styled(head, theme.accent)];
    lines.extend(people.into_iter().map(|(who, account)| {
        let Account { builds, running, failed, steps, took, saved, bytes } = account;
        Line::from(vec![
            Span::styled(format!("{:<16}", clip(&who, 15, context.glyphs.ellipsis)), theme.strong),
            Span::styled(format!("{builds:>7}{running:>8}"), theme.text),
            Span::styled(format!("{failed:>7}"), if failed > 0 { theme.bad } else { theme.dim }),
            Span::styled(format!("{steps:>7}{:>9}", span(took)), theme.text),
            Span::styled(format!("{:>8}{:>8}", span(saved), size(bytes)), theme.good),
        ])
    }));
    if lines.len() == 1 {
        lines.push(Line::styled("nobody has built anything", theme.dim));
    }
    lines
}
