//! The live lines of one build below its log.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use crate::state::{Build, Lookup, Phase, Step};

/// A headline, and a line for each step that is being done.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The build.
    pub build: &'a Build,
    /// Microseconds since the build's start.
    pub now: u64,
}

impl Progress<'_> {
    /// How many rows it wants.
    pub fn rows(&self) -> usize {
        1 + self.live().count()
    }

    fn live(&self) -> impl Iterator<Item = &Step> {
        self.build.steps().filter(|step| matches!(step.phase, Phase::Running { .. } | Phase::Queued { .. }))
    }

    fn headline(&self) -> Line<'static> {
        let counts = self.build.counts();
        let (done, cached, all) = (counts.over(), counts.cached, counts.steps);
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let text = if all == 0 {
            format!("[+] {} {}", seconds(self.now), self.build.activity().unwrap_or("starting"))
        } else if done == all {
            format!(
                "[+] {} {done}/{all} steps, {}",
                seconds(self.now),
                self.build.activity().unwrap_or_default()
            )
        } else {
            format!("[+] {} {done}/{all} steps, {cached} cached", seconds(self.now))
        };
        Line::styled(text, bold)
    }

    fn line(&self, step: &Step) -> Line<'static> {
        let (position, total) = step.position;
        let name = step.planned.name.lines().next().unwrap_or_default();
        let title: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let dim = Style::new().add_modifier(Modifier::DIM);
        let time = match step.phase {
            Phase::Running { since } => seconds(self.now.saturating_sub(since)),
            Phase::Waiting
            | Phase::Queued { .. }
            | Phase::Cached
            | Phase::Done { .. }
            | Phase::Failed
            | Phase::Abandoned => "queued".to_owned(),
        };
        let worker = match (&step.worker, step.lookup) {
            (Some(worker), _) => worker.to_string(),
            (None, Lookup::Shared { build }) => format!("build {build}"),
            (None, Lookup::Unknown | Lookup::Hit { .. } | Lookup::Missed) => String::new(),
        };
        let mut spans = vec![
            Span::styled(format!("{time:>8} "), Style::new().fg(Color::Cyan)),
            Span::raw(format!("[{} {position}/{total}] {title}", step.planned.stage)),
        ];
        if !worker.is_empty() && worker != "local" {
            spans.push(Span::styled(format!(" @{worker}"), dim));
        }
        if !step.last_line.is_empty() {
            spans.push(Span::styled(format!("  {}", step.last_line), dim));
        }
        Line::from(spans)
    }
}

impl Widget for Progress<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let room = usize::from(area.height).saturating_sub(1);
        let live: Vec<_> = self.live().collect();
        let shown = if live.len() > room { room.saturating_sub(1) } else { live.len() };
        let hidden = live.len() - shown;
        let more = (hidden > 0).then(|| Line::raw(format!("         + {hidden} more")));
        let steps = live.iter().take(shown).map(|step| self.line(step));
        let lines = std::iter::once(self.headline()).chain(steps).chain(more);
        for (line, row) in lines.zip(area.rows()) {
            line.render(row, buffer);
        }
    }
}

fn seconds(micros: u64) -> String {
    format!("{}.{}s", micros / 1_000_000, micros / 100_000 % 10)
}

#[cfg(test)]
mod tests {
    use farm_model::event::PlannedStep;
    use farm_model::{BuildEvent, Recorded, StageId, StepId};

    use super::*;

    fn text(build: &Build, width: u16, height: u16) -> Vec<String> {
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        Progress { build, now: 3_000_000 }.render(area, &mut buffer);
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol().to_owned()).collect::<String>();
        (0..height).map(|y| row(y).trim_end().to_owned()).collect()
    }

    fn running(count: u32) -> Build {
        let id = |index| StepId { stage: StageId(0), index };
        let step = |index| PlannedStep {
            id: id(index),
            stage: "build".into(),
            name: format!("RUN {index}"),
            lines: None,
            needs: Vec::new(),
        };
        let mut state = Build::default();
        state
            .apply(&Recorded { at: 0, event: BuildEvent::Planned { steps: (0..count).map(step).collect() } });
        for index in 0..count {
            let event = BuildEvent::Started { step: id(index), worker: None };
            state.apply(&Recorded { at: 1_500_000, event });
        }
        state
    }

    #[test]
    fn running_steps_have_a_line_each() {
        let shown = text(&running(1), 60, 2);
        assert_eq!(shown, ["[+] 3.0s 0/1 steps, 0 cached", "    1.5s [build 1/1] RUN 0"]);
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let shown = text(&running(5), 30, 4);
        assert_eq!(
            shown[1..],
            ["    1.5s [build 1/5] RUN 0", "    1.5s [build 2/5] RUN 1", "         + 3 more"]
        );
    }

    #[test]
    fn a_narrow_terminal_cuts_and_does_not_panic() {
        assert_eq!(text(&running(2), 1, 1), ["["]);
    }
}
