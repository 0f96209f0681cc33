//! A farm as JSON, for scripts: what is true at a moment.
//!
//! The keys are an interface: they are documented in `docs/`, and none goes or changes its meaning. Times are nanoseconds
//! since the Unix epoch (`…_at`) or microseconds (`…_micros`), sizes are bytes, absent values are `null`.

use farm_model::StepId;
use farm_model::event::{Action, Deed, Ending, PastOutcome};
use serde_json::{Value, json};

use crate::state::graph::critical_path;
use crate::state::{Build, Farm, Link, Lookup, Phase, Standing, Step, Trend, Worker};

/// The farm at a time in nanoseconds since the Unix epoch.
pub fn json(farm: &Farm, now: i64) -> Value {
    let (up, draining, lost) = farm.standings();
    let (used, slots) = farm.slots();
    let wait = farm.queue_wait();
    let totals = farm.totals();
    json!({
        "farm": {
            "name": farm.name,
            "version": farm.version,
            "link": link(farm.link()),
            "now_at": now,
            "newest_at": farm.time(),
        },
        "totals": {
            "builds_running": totals.builds,
            "builds_blocked": totals.blocked,
            "builds_succeeded": totals.succeeded,
            "builds_failed": totals.failed,
            "steps": totals.steps,
            "steps_over": totals.over,
            "steps_running": totals.running,
            "steps_queued": totals.queued,
            "slots": slots,
            "slots_used": used,
            "workers_up": up,
            "workers_draining": draining,
            "workers_lost": lost,
            "hits": totals.hits,
            "misses": totals.misses,
            "shared": totals.shared,
            "hit_rate": farm.hit_rate(),
            "saved_micros": totals.saved_micros,
            "saved_bytes": totals.saved_bytes,
            "fetched_bytes": totals.fetched,
            "queue_wait_median_micros": wait.map(|(median, _)| median),
            "queue_wait_p95_micros": wait.map(|(_, most)| most),
        },
        "builds": farm.builds().values().map(|built| build(built, now)).collect::<Vec<_>>(),
        "workers": farm.workers().values().map(worker).collect::<Vec<_>>(),
        "cache": cache(farm),
        "store": store(farm),
        "images": farm.images().names().iter().map(|(name, trend)| image(name, trend)).collect::<Vec<_>>(),
        "actions": farm.actions().iter().map(action).collect::<Vec<_>>(),
    })
}

fn link(link: &Link) -> &'static str {
    match link {
        Link::Waiting => "waiting",
        Link::CatchingUp => "catching up",
        Link::Live => "live",
        Link::Lost { .. } => "lost",
        Link::Over => "over",
    }
}

fn build(build: &Build, now: i64) -> Value {
    let counts = build.counts();
    let clock = build.clock(now);
    let path = (!build.is_over()).then(|| critical_path(build, clock));
    let requested = build.requested();
    let past = build.past();
    let dockerfile = requested.map(|it| &it.dockerfile).or(past.map(|it| &it.dockerfile));
    let context = requested.map(|it| &it.context).or(past.map(|it| &it.context));
    let client = requested.map(|it| &it.client).or(past.map(|it| &it.client));
    let target = requested.map(|it| &it.target).or(past.map(|it| &it.target)).and_then(Option::as_ref);
    json!({
        "id": build.id().map(|id| id.to_string()),
        "title": build.title(),
        "state": outcome(build),
        "names": build.names(),
        "dockerfile": dockerfile,
        "context": context,
        "target": target,
        "client": client,
        "started_at": build.started(),
        "micros": clock,
        "remaining_micros": path.as_ref().map(|path| path.remaining),
        "image_bytes": build.image_bytes(),
        "discarded_bytes": build.discarded_bytes(),
        "pulled_bytes": build.pulled(),
        "failure": failure(build),
        "warnings": build.warnings(),
        "counts": {
            "steps": counts.steps,
            "waiting": counts.waiting,
            "queued": counts.queued,
            "running": counts.running,
            "cached": counts.cached,
            "done": counts.done,
            "failed": counts.failed,
            "abandoned": counts.abandoned,
        },
        "critical_path": path.map(|path| path.steps.iter().copied().map(step_id).collect::<Vec<_>>()),
        "steps": build.steps().map(|it| step(it, clock)).collect::<Vec<_>>(),
    })
}

fn outcome(build: &Build) -> &'static str {
    match (build.ending(), build.past().filter(|_| build.requested().is_none())) {
        (Some(Ending::Succeeded { .. }), _) => "succeeded",
        (Some(Ending::Failed(_)), _) => "failed",
        (Some(Ending::Cancelled), _) => "cancelled",
        (Some(Ending::Interrupted), _) => "interrupted",
        (None, Some(past)) => match past.outcome {
            PastOutcome::Succeeded => "succeeded",
            PastOutcome::Failed => "failed",
            PastOutcome::Cancelled => "cancelled",
            PastOutcome::Interrupted => "interrupted",
        },
        (None, None) => "running",
    }
}

fn failure(build: &Build) -> Value {
    match build.ending() {
        Some(Ending::Failed(failure)) => json!({ "message": failure.message, "hint": failure.hint }),
        Some(Ending::Succeeded { .. } | Ending::Cancelled | Ending::Interrupted) | None => Value::Null,
    }
}

fn step(step: &Step, clock: u64) -> Value {
    let (saved, shared) = match step.lookup {
        Lookup::Hit { micros, .. } => (Some(micros), None),
        Lookup::Shared { build } => (None, Some(build.to_string())),
        Lookup::Unknown | Lookup::Missed => (None, None),
    };
    json!({
        "id": step_id(step.planned.id),
        "stage": step.planned.stage,
        "name": step.planned.name,
        "state": phase(step.phase),
        "worker": step.worker.as_ref().map(ToString::to_string),
        "micros": step.duration(clock),
        "expected_micros": step.expected,
        "saved_micros": saved,
        "shared_with": shared,
        "bytes": step.bytes,
        "fetched_bytes": step.fetched,
        "retries": step.retries,
        "exit": step.exit.as_ref().map(ToString::to_string),
    })
}

/// `STAGE.INDEX`, both from 0.
fn step_id(id: StepId) -> String {
    format!("{}.{}", id.stage.0, id.index)
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Waiting => "waiting",
        Phase::Queued { .. } => "queued",
        Phase::Running { .. } => "running",
        Phase::Cached => "cached",
        Phase::Done { .. } => "done",
        Phase::Failed => "failed",
        Phase::Abandoned => "abandoned",
    }
}

fn worker(worker: &Worker) -> Value {
    let standing = match worker.standing {
        Standing::Up => "up",
        Standing::Draining => "draining",
        Standing::Lost { .. } => "lost",
    };
    let load = worker.load().map(|load| {
        json!({
            "cpu_millis": load.cpu,
            "processors": load.processors,
            "memory_bytes": load.memory,
            "memory_total_bytes": load.memory_total,
            "received_bytes_per_second": load.received,
            "sent_bytes_per_second": load.sent,
            "disk_bytes": load.disk,
            "disk_total_bytes": load.disk_total,
        })
    });
    json!({
        "name": worker.facts.worker.to_string(),
        "state": standing,
        "platform": worker.facts.platform,
        "labels": worker.facts.labels,
        "slots": worker.facts.slots,
        "slots_most": worker.facts.most,
        "running": worker.running(),
        "load": load,
    })
}

fn cache(farm: &Farm) -> Vec<Value> {
    let cells = farm.cache().cells().iter();
    let cell = |((image, stage), cell): (&(String, String), &crate::state::CacheCell)| {
        json!({
            "image": image,
            "stage": stage,
            "hits": cell.hits,
            "misses": cell.misses,
            "shared": cell.shared,
            "hit_rate": cell.hit_rate(),
            "fetched_bytes": cell.fetched,
            "saved_micros": cell.saved_micros,
            "saved_bytes": cell.saved_bytes,
        })
    };
    cells.map(cell).collect()
}

fn store(farm: &Farm) -> Value {
    let Some((time, load)) = farm.store().back() else { return Value::Null };
    let row = |row: &farm_model::event::StoreRow| json!({ "kind": row.kind, "count": row.count, "bytes": row.bytes, "reclaimable_bytes": row.reclaimable });
    json!({
        "sampled_at": time,
        "hot_bytes": load.hot,
        "cold_bytes": load.cold,
        "free_bytes": load.free,
        "limit_bytes": load.limit,
        "rows": load.rows.iter().map(row).collect::<Vec<_>>(),
    })
}

fn image(name: &str, trend: &Trend) -> Value {
    let sample = |sample: &crate::state::Sample| {
        json!({
            "made_at": sample.time,
            "build": sample.build.to_string(),
            "bytes": sample.bytes,
            "discarded_bytes": sample.discarded,
            "written_bytes": sample.written,
        })
    };
    json!({ "name": name, "sizes": trend.samples.iter().map(sample).collect::<Vec<_>>() })
}

fn action(action: &Action) -> Value {
    let (what, on) = match &action.deed {
        Deed::Cancelled { build } => ("cancelled", build.to_string()),
        Deed::Moved { build, step } => ("moved", format!("{build} {}", step_id(*step))),
        Deed::Drained { worker } => ("drained", worker.to_string()),
        Deed::Restored { worker } => ("restored", worker.to_string()),
        Deed::Pinned { image } => ("pinned", image.clone()),
        Deed::Unpinned { image } => ("unpinned", image.clone()),
        Deed::Pruned { bytes } => ("pruned", bytes.to_string()),
    };
    json!({ "at": action.time, "by": action.by, "what": what, "on": on, "refused": action.refused })
}

#[cfg(test)]
mod tests {
    use farm_model::BuildEvent;

    use super::*;
    use crate::view::testing::{World, step};

    fn keys(value: &Value) -> Vec<&str> {
        value.as_object().map(|object| object.keys().map(String::as_str).collect()).unwrap_or_default()
    }

    #[test]
    fn the_page_about_the_console_names_every_key() {
        let mut world = World::new();
        let worker = world.worker("w", 2);
        world.load(&worker, 50);
        world.plan(&[("build", 2)]);
        world.built(1, BuildEvent::Started { step: step(0, 0), worker: Some(worker) });
        world.built(5, BuildEvent::Completed { stages: Vec::new(), image_bytes: 9, discarded_bytes: 1 });
        let farm = json(&world.farm, world.now);
        let wanted = ["farm", "totals", "builds", "workers", "cache", "store", "images", "actions"];
        assert_eq!(keys(&farm), wanted);
        let page = include_str!("../../../docs/console.md");
        let parts =
            ["/farm", "/builds/0", "/builds/0/counts", "/builds/0/steps/0", "/workers/0", "/workers/0/load"];
        for part in parts.into_iter().chain(["/images/0", "/images/0/sizes/0"]) {
            let named = keys(farm.pointer(part).unwrap());
            assert!(!named.is_empty(), "{part}");
            for key in named {
                assert!(page.contains(&format!("`{key}`")), "`{key}` of {part} is not documented");
            }
        }
        assert_eq!(farm["builds"][0]["steps"][0]["state"], "running");
        assert_eq!(farm["totals"]["slots_used"], 1);
    }
}
