//! A build as a trace in the JSON form that Chrome and Perfetto read: a process a worker, a thread a slot, a slice a step, and
//! arrows from what a step needed to the step.
//!
//! Follows the "Trace Event Format": `X` slices and `i` moments, `M` names, `s`/`f` flows, `b`/`e` for the wait for a slot. Times
//! are microseconds since the build's start.

use std::collections::BTreeMap;

use farm_model::StepId;
use serde_json::{Value, json};

use super::lanes::lanes;
use super::{interval, tables};
use crate::state::{Build, Lookup, Phase, Step};
use crate::view::text::first_line;

/// The process in which the cache answers.
const CACHE: usize = 1;
/// Its threads begin with this number.
const FIRST: usize = 1;

/// Where a slice is: its process, its thread, its start and its end.
#[derive(Clone, Copy)]
struct Slice {
    process: usize,
    thread: usize,
    start: u64,
    end: u64,
}

/// The trace of a build.
pub fn trace(build: &Build) -> Value {
    let mut events = vec![name("process_name", CACHE, 0, "cache"), name("thread_name", CACHE, FIRST, "hits")];
    let mut slices: BTreeMap<StepId, Slice> = BTreeMap::new();
    let mut processes: BTreeMap<String, usize> = BTreeMap::new();
    for lane in lanes(build) {
        let next = CACHE + 1 + processes.len();
        let process = *processes.entry(lane.worker.clone()).or_insert_with(|| {
            events.push(name("process_name", next, 0, &format!("worker {}", lane.worker)));
            next
        });
        let thread = FIRST + lane.slot;
        events.push(name("thread_name", process, thread, &format!("slot {}", lane.slot + 1)));
        for (id, start, end) in lane.steps {
            slices.insert(id, Slice { process, thread, start, end });
        }
    }
    for step in build.steps() {
        if let Some(slice) = slices.get(&step.planned.id) {
            events.push(slice_event(build, step, *slice));
        }
        if let (Phase::Cached, Some(at)) = (step.phase, step.ended_at) {
            events.push(json!({
                "ph": "i", "s": "t", "pid": CACHE, "tid": FIRST, "ts": at, "cat": "cache", "name": label(step),
                "args": arguments(step),
            }));
        }
        wait(&mut events, build, step);
    }
    flows(&mut events, build, &slices);
    json!({
        "displayTimeUnit": "ms", "traceEvents": events,
        "otherData": {
            "build": build.id().map(|id| id.to_string()), "title": build.title(), "started_unix_nanos": build.started(),
        },
    })
}

fn name(what: &str, process: usize, thread: usize, text: &str) -> Value {
    json!({"ph": "M", "name": what, "pid": process, "tid": thread, "args": {"name": text}})
}

fn slice_event(build: &Build, step: &Step, slice: Slice) -> Value {
    let stage = build.stages().get(&step.planned.id.stage).map_or("", |stage| stage.name.as_str());
    json!({
        "ph": "X", "pid": slice.process, "tid": slice.thread, "ts": slice.start,
        "dur": slice.end.saturating_sub(slice.start).max(1), "cat": stage, "name": label(step),
        "args": arguments(step),
    })
}

/// The time that a step waited for a slot; waits of several steps overlap, so each is a track of its own.
fn wait(events: &mut Vec<Value>, build: &Build, step: &Step) {
    let Some((queued, started)) = step.queued_at.zip(interval(build, step).map(|(start, _)| start)) else {
        return;
    };
    if started <= queued {
        return;
    }
    let StepId { stage, index } = step.planned.id;
    for (phase, at) in [("b", queued), ("e", started)] {
        events.push(json!({
            "ph": phase, "pid": CACHE, "tid": FIRST, "ts": at, "cat": "waiting for a slot", "name": label(step),
            "id": format!("{}.{index}", stage.0),
        }));
    }
}

/// Arrows to each step from the one before it in its stage, and from the last of each stage that it needs.
fn flows(events: &mut Vec<Value>, build: &Build, slices: &BTreeMap<StepId, Slice>) {
    let mut number = 0_u64;
    for step in build.steps() {
        let id = step.planned.id;
        let before = id.index.checked_sub(1).map(|index| StepId { stage: id.stage, index });
        let needed =
            step.planned.needs.iter().filter_map(|stage| build.stages().get(stage)?.steps.last().copied());
        for from in before.into_iter().chain(needed) {
            let (Some(from), Some(to)) = (slices.get(&from), slices.get(&id)) else { continue };
            number += 1;
            // An arrow belongs to the slice that is open at its time.
            let leaves = from.end.saturating_sub(1).max(from.start);
            let common = |phase: &str, slice: &Slice, at: u64| {
                json!({
                    "ph": phase, "pid": slice.process, "tid": slice.thread, "ts": at, "cat": "needs",
                    "name": "needs", "id": number,
                })
            };
            events.push(common("s", from, leaves));
            let mut arrives = common("f", to, to.start.max(leaves));
            arrives["bp"] = json!("e");
            events.push(arrives);
        }
    }
}

fn label(step: &Step) -> String {
    format!("[{}] {}", step.place(), first_line(&step.planned.name))
}

fn arguments(step: &Step) -> Value {
    let saved = match step.lookup {
        Lookup::Hit { micros, .. } => Some(micros),
        Lookup::Unknown | Lookup::Missed | Lookup::Shared { .. } => None,
    };
    json!({
        "state": tables::word(step), "layer_bytes": step.bytes, "fetched_bytes": step.fetched,
        "usual_micros": step.expected, "saved_micros": saved, "cpu_micros": step.usage.cpu_micros,
        "peak_memory": step.usage.peak_memory, "retries": step.retries,
    })
}
