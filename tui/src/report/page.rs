//! The page.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use farm_model::StepId;
use farm_model::event::Ending;

use super::{Report, dag, place, tables, timeline};
use crate::state::graph::critical_path;
use crate::state::{Lookup, Phase, Step};
use crate::view::text::{date, first_line, span, time_of_day};

const STYLE: &str = "\
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--dim:#6a737d;--line:#d8dee4;--run:#2f6fde;--hit:#2b9a56;--dup:#8a5cd6;\
--bad:#d1342f;--idle:#c3cad1;--hot:#d97706;--box:#f6f8fa}\
@media(prefers-color-scheme:dark){:root{--bg:#0f1318;--fg:#dde3e9;--dim:#8b949e;--line:#2c333b;--run:#5b93f5;--hit:#3fb96f;\
--dup:#a884ec;--bad:#f0665f;--idle:#3d454e;--hot:#f0a341;--box:#171c22}}\
body{margin:2rem auto;max-width:80rem;padding:0 1rem;background:var(--bg);color:var(--fg);font:14px/1.5 system-ui,sans-serif}\
h1{font-size:1.4rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}h3{font-size:1rem;margin:1rem 0 .3rem}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.2rem .6rem .2rem 0;border-bottom:1px solid var(--line);\
vertical-align:top}th{color:var(--dim);font-weight:normal}code,pre{font:12px/1.45 ui-monospace,monospace}\
pre{background:var(--box);padding:.7rem;overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere}.failure{border-left:4px solid var(--bad)}\
td code{overflow-wrap:anywhere}.dim{color:var(--dim)}.nowrap{white-space:nowrap}.wide{overflow:auto}.chart{width:100%;min-width:50rem}\
svg text{fill:var(--fg);font:12px system-ui,sans-serif}svg .scale{fill:var(--dim);font-size:10px}.grid{stroke:var(--line)}\
svg .stage{font-weight:bold}svg .step{font:11px ui-monospace,monospace}.box{fill:var(--box);stroke:var(--line)}\
.done{fill:var(--run);background:var(--run)}.cached{fill:var(--hit);background:var(--hit)}.dedup{fill:var(--dup);background:var(--dup)}\
.failed{fill:var(--bad);background:var(--bad)}.idle{fill:var(--idle);background:var(--idle)}rect.critical{stroke:var(--hot);stroke-width:2.5}\
.arrow{fill:none;stroke:var(--dim)}.arrow.critical{stroke:var(--hot);stroke-width:2}.tip{fill:var(--dim)}\
.tag{color:#fff;border-radius:3px;padding:0 .4rem;white-space:nowrap}.idle.tag{color:var(--fg)}.track{display:block;width:20rem;background:var(--box)}\
.fill{display:block;height:.9rem;background:var(--idle)}.fill.kept{background:var(--run)}tr.kept td{font-weight:bold}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:.8rem 0}dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere}";

/// The whole page.
pub fn html(report: &Report<'_>) -> String {
    let build = report.build;
    let path = critical_path(build, build.at());
    let critical: BTreeSet<StepId> = path.steps.iter().copied().collect();
    let heading = escape(&build.title());
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<meta name=viewport content=\"width=device-width\">\n<title>{heading}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{heading}</h1>\n"
    );
    facts(&mut out, report, path.micros);
    let failures = tables::failures(report);
    if !failures.is_empty() {
        section(&mut out, "What went wrong", &failures);
    }
    section(&mut out, "Timeline by worker", &wide(&timeline::by_worker(report, &critical)));
    section(&mut out, "Timeline by stage", &wide(&timeline::by_stage(report, &critical)));
    section(&mut out, "Graph", &wide(&dag::draw(build, &critical)));
    section(&mut out, "Cache", &tables::cache_by_stage(report));
    section(&mut out, "Steps", &wide(&tables::steps(report)));
    section(&mut out, "Sizes", &tables::sizes(report));
    let _infallible = writeln!(out, "<p class=dim>farm {}</p>\n</body>\n</html>", escape(report.version));
    out
}

fn facts(out: &mut String, report: &Report<'_>, critical: u64) {
    let build = report.build;
    let counts = build.counts();
    out.push_str("<dl>\n");
    let mut fact = |name: &str, value: &str| {
        let _infallible = writeln!(out, "<dt>{name}<dd>{}", escape(value));
    };
    if let Some(id) = build.id() {
        fact("build", &id.to_string());
    }
    if let Some(requested) = build.requested() {
        fact("Dockerfile", &requested.dockerfile);
        fact("context", &requested.context);
        if let Some(target) = &requested.target {
            fact("target", target);
        }
        if !requested.names.is_empty() {
            fact("names", &requested.names.join(", "));
        }
        fact("asked by", &requested.client);
    }
    fact("started", &format!("{} {} UTC", date(build.started()), time_of_day(build.started())));
    fact("took", &span(build.at()));
    fact("critical path", &span(critical));
    fact("ended", ending(build.ending()));
    fact(
        "steps",
        &format!(
            "{}: {} cached, {} done, {} failed, {} abandoned",
            counts.steps, counts.cached, counts.done, counts.failed, counts.abandoned
        ),
    );
    out.push_str("</dl>\n<p class=dim>Blue was done, green was cached, violet was done for another build at the same time, red failed; what is framed lies on the critical path.</p>\n");
}

fn ending(ending: Option<&Ending>) -> &'static str {
    match ending {
        None => "not yet",
        Some(Ending::Succeeded { .. }) => "succeeded",
        Some(Ending::Failed(_)) => "failed",
        Some(Ending::Cancelled) => "cancelled",
        Some(Ending::Interrupted) => "interrupted",
    }
}

fn section(out: &mut String, heading: &str, body: &str) {
    let _infallible = write!(out, "<h2>{heading}</h2>\n{body}");
}

fn wide(body: &str) -> String {
    format!("<div class=wide>\n{body}</div>\n")
}

/// A row of a table; the cells are HTML already.
pub(super) fn row(out: &mut String, class: &str, cells: &[String]) {
    let class = if class.is_empty() { String::new() } else { format!(" class={class}") };
    let _infallible = writeln!(out, "<tr{class}><td>{}</tr>", cells.join("<td>"));
}

/// How a step is coloured.
pub(super) fn class(step: &Step) -> &'static str {
    match (step.phase, step.lookup) {
        (Phase::Cached, _) => "cached",
        (Phase::Done { .. } | Phase::Running { .. }, Lookup::Shared { .. }) => "dedup",
        (Phase::Done { .. } | Phase::Running { .. }, _) => "done",
        (Phase::Failed, _) => "failed",
        (Phase::Waiting | Phase::Queued { .. } | Phase::Abandoned, _) => "idle",
    }
}

/// What is said when somebody points at a step; escaped.
pub(super) fn title(step: &Step, now: u64) -> String {
    let mut text = format!("[{}] {}\n{}", step.place(), first_line(&step.planned.name), tables::word(step));
    if let Some(micros) = step.duration(now) {
        let _infallible = write!(text, ", {}", span(micros));
    }
    if let Some(usual) = step.expected {
        let _infallible = write!(text, " (usually {})", span(usual));
    }
    if step.started_at.is_some() && step.phase != Phase::Cached {
        let _infallible = write!(text, "\n{}", place(step));
    }
    escape(&text)
}

/// Text as HTML, wherever in the page it may stand. Control characters but the end of a line are replaced.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let piece: Cow<'static, str> = match c {
            '&' => "&amp;".into(),
            '<' => "&lt;".into(),
            '>' => "&gt;".into(),
            '"' => "&quot;".into(),
            '\'' => "&#39;".into(),
            '\n' | '\t' => c.to_string().into(),
            c if c.is_control() => "\u{fffd}".into(),
            c => c.to_string().into(),
        };
        out.push_str(&piece);
    }
    out
}
