//! The tables of a report: the cache, sizes, failures.

use std::fmt::Write as _;

use farm_model::StepId;
use farm_model::event::Ending;

use super::Report;
use super::page::{class, escape, row};
use crate::state::{Lookup, Phase, Step};
use crate::view::text::{first_line, size, span};

/// The last lines of a log that a failure is told with.
const LAST_LINES: usize = 40;

/// What became of the steps of each stage.
#[derive(Default)]
struct Sum {
    steps: u64,
    hit: u64,
    ran: u64,
    shared: u64,
    failed: u64,
    fetched: u64,
    took: u64,
    saved: u64,
}

/// Hits, misses, deduplicated steps and fetched bytes, by stage.
pub(super) fn cache_by_stage(report: &Report<'_>) -> String {
    let heading = ["stage", "steps", "hit", "ran", "deduplicated", "failed", "fetched", "took", "saved"];
    let mut out = format!("<table>\n<tr><th>{}</tr>\n", heading.join("<th>"));
    for stage in report.build.stages().values() {
        let mut sum = Sum::default();
        for step in stage.steps.iter().filter_map(|id| report.build.step(*id)) {
            sum.add(step, report.build.at());
        }
        let cells = [
            escape(&stage.name),
            sum.steps.to_string(),
            sum.hit.to_string(),
            sum.ran.to_string(),
            sum.shared.to_string(),
            sum.failed.to_string(),
            size(sum.fetched),
            span(sum.took),
            span(sum.saved),
        ];
        row(&mut out, "", &cells);
    }
    out.push_str("</table>\n");
    out
}

impl Sum {
    fn add(&mut self, step: &Step, now: u64) {
        self.steps += 1;
        self.fetched = self.fetched.saturating_add(step.fetched);
        self.took = self.took.saturating_add(step.duration(now).unwrap_or_default());
        match (step.phase, step.lookup) {
            (Phase::Failed, _) => self.failed += 1,
            (_, Lookup::Hit { micros, .. }) => {
                self.hit += 1;
                self.saved = self.saved.saturating_add(micros);
            }
            (_, Lookup::Shared { .. }) => self.shared += 1,
            (Phase::Done { .. } | Phase::Running { .. }, _) => self.ran += 1,
            (Phase::Waiting | Phase::Queued { .. } | Phase::Cached | Phase::Abandoned, _) => {}
        }
    }
}

/// Every step with what became of it, and why it was not found in the cache.
pub(super) fn steps(report: &Report<'_>) -> String {
    let heading = ["step", "", "state", "by", "waited", "took", "usually", "layer", "fetched", "why it ran"];
    let mut out = format!("<table>\n<tr><th>{}</tr>\n", heading.join("<th>"));
    for step in report.build.steps() {
        let waited =
            step.queued_at.zip(step.started_at).map(|(queued, started)| started.saturating_sub(queued));
        let micros = |micros: Option<u64>| micros.map(span).unwrap_or_default();
        let bytes = |bytes: u64| if bytes > 0 { size(bytes) } else { String::new() };
        let reasons: Vec<_> = step.reasons.iter().map(|reason| lines(&(report.reason)(reason))).collect();
        let why = match step.lookup {
            Lookup::Hit { micros, .. } => format!("<span class=dim>cached; {} saved</span>", span(micros)),
            Lookup::Shared { build } => format!("{} (done once with build {build})", reasons.join("<br>")),
            Lookup::Missed | Lookup::Unknown => reasons.join("<br>"),
        };
        let cells = [
            format!("<span class=nowrap>{}</span>", escape(&step.place())),
            format!("<code>{}</code>", escape(&first_line(&step.planned.name))),
            format!("<span class=\"tag {}\">{}</span>", class(step), word(step)),
            escape(step.worker.as_ref().map(|worker| worker.0.as_str()).unwrap_or_default()),
            micros(waited),
            micros(step.duration(report.build.at())),
            micros(step.expected),
            bytes(step.bytes),
            bytes(step.fetched),
            why,
        ];
        row(&mut out, "", &cells);
    }
    out.push_str("</table>\n");
    out
}

/// How a step is, in a word.
pub(super) fn word(step: &Step) -> &'static str {
    match (step.phase, step.lookup) {
        (Phase::Waiting, _) => "waiting",
        (Phase::Queued { .. }, _) => "queued",
        (Phase::Running { .. }, _) => "running",
        (Phase::Cached, _) => "cached",
        (Phase::Done { .. }, Lookup::Shared { .. }) => "deduplicated",
        (Phase::Done { .. }, _) => "done",
        (Phase::Failed, _) => "failed",
        (Phase::Abandoned, _) => "abandoned",
    }
}

/// What stages weigh, the layers of the image, and what was written.
pub(super) fn sizes(report: &Report<'_>) -> String {
    let build = report.build;
    if build.sizes().is_empty() {
        return "<p class=dim>The build did not come so far.</p>\n".to_owned();
    }
    let most = build.sizes().iter().map(|stage| stage.bytes).max().unwrap_or(0).max(1);
    let mut out = "<table>\n<tr><th>stage<th>size<th>entries<th><th></tr>\n".to_owned();
    for stage in build.sizes() {
        let part = u128::from(stage.bytes) * 100 / u128::from(most);
        let (mark, word) = if stage.kept { ("kept", "the image") } else { ("", "discarded") };
        let bar =
            format!("<span class=track><span class=\"fill {mark}\" style=\"width:{part}%\"></span></span>");
        let cells =
            [escape(&stage.stage), size(stage.bytes), stage.entries.to_string(), bar, word.to_owned()];
        row(&mut out, mark, &cells);
    }
    out.push_str("</table>\n");
    if let (Some(image), Some(discarded)) = (build.image_bytes(), build.discarded_bytes()) {
        let _infallible = writeln!(
            out,
            "<p>The image has {} unpacked; {} of layers were left behind.</p>",
            size(image),
            size(discarded)
        );
    }
    let kept = build.sizes().iter().find(|stage| stage.kept).map(|stage| stage.stage.as_str());
    let mut layers: Vec<&Step> =
        build.steps().filter(|step| Some(step.planned.stage.as_str()) == kept && step.bytes > 0).collect();
    layers.sort_by_key(|step| std::cmp::Reverse(step.bytes));
    if !layers.is_empty() {
        out.push_str("<h3>Layers of its own</h3>\n<table>\n");
        for step in layers {
            let name = format!("<code>{}</code>", escape(&first_line(&step.planned.name)));
            row(&mut out, "", &[size(step.bytes), name]);
        }
        out.push_str("</table>\n");
    }
    if !build.exported().is_empty() {
        out.push_str("<h3>Written</h3>\n<table>\n");
        for exported in build.exported() {
            let image = exported.image.map(|image| image.to_string()).unwrap_or_default();
            let cells =
                [escape(&exported.output), size(exported.bytes), span(exported.micros), escape(&image)];
            row(&mut out, "", &cells);
        }
        out.push_str("</table>\n");
    }
    out
}

/// Why the build failed, the steps that did with the last lines of their logs, and warnings; nothing where all is well.
pub(super) fn failures(report: &Report<'_>) -> String {
    let mut out = String::new();
    if let Some(Ending::Failed(failure)) = report.build.ending() {
        let _infallible = writeln!(out, "<pre class=failure>{}</pre>", escape(failure.message.trim_end()));
        if let Some(hint) = &failure.hint {
            let _infallible = writeln!(out, "<p>Hint: {}</p>", escape(hint));
        }
    }
    for step in report.build.steps().filter(|step| step.phase == Phase::Failed) {
        let exit = step.exit.map(|exit| exit.to_string()).unwrap_or_default();
        let _infallible = writeln!(
            out,
            "<h3>{} <code>{}</code>: {}</h3>\n<pre>{}</pre>",
            escape(&step.place()),
            escape(&first_line(&step.planned.name)),
            escape(&exit),
            escape(&last_lines(report, step.planned.id)),
        );
    }
    for warning in report.build.warnings() {
        let _infallible = writeln!(out, "<p>Warning: {}</p>", lines(warning));
    }
    out
}

fn last_lines(report: &Report<'_>, step: StepId) -> String {
    let own = report.log.lines().iter().rev().filter(|line| line.step == Some(step));
    let mut last: Vec<&str> = own.take(LAST_LINES).map(|line| line.text.as_str()).collect();
    last.reverse();
    last.join("\n")
}

/// Text of several lines.
fn lines(text: &str) -> String {
    escape(text).replace('\n', "<br>")
}
