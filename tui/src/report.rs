//! A build after the fact, for reading elsewhere: a page of HTML that needs nothing beside itself, and a trace for
//! <https://ui.perfetto.dev>.
//!
//! Pure functions of a build and its log. Nothing in the page comes from anywhere else: no script, no font, no picture, and a
//! policy in it that forbids browsers to fetch any. Everything that a Dockerfile, a name or a log said is escaped.

mod dag;
mod lanes;
mod page;
mod tables;
mod timeline;
mod trace;

use farm_model::event::MissReason;

use crate::state::{Build, Log, Phase, Step};

pub use page::html;
pub use trace::trace;

/// What a report is made of.
#[derive(Clone, Copy)]
pub struct Report<'a> {
    /// The build.
    pub build: &'a Build,
    /// Its log, as far as it is kept.
    pub log: &'a Log,
    /// A reason of a miss in words.
    pub reason: &'a dyn Fn(&MissReason) -> String,
    /// The version of farm, for the foot of the page.
    pub version: &'a str,
}

/// From when to when a step was done, in microseconds since the build's start; none for what never began.
fn interval(build: &Build, step: &Step) -> Option<(u64, u64)> {
    let start = step.started_at?;
    let end = match step.phase {
        Phase::Cached => return None,
        Phase::Done { .. } | Phase::Failed | Phase::Abandoned => step.ended_at?,
        Phase::Running { .. } | Phase::Queued { .. } | Phase::Waiting => build.at(),
    };
    Some((start, end.max(start)))
}

/// Who did a step.
fn place(step: &Step) -> &str {
    step.worker.as_ref().map_or("coordinator", |worker| worker.0.as_str())
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
