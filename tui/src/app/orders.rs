//! What can be done to a farm: what a person asks for, made an order on what is selected, in words before and after.

use super::action::Deed;
use super::dispatch::is_running;
use super::effect::Order;
use super::screen::{Context, Subject};
use crate::state::Standing;
use crate::state::text::harmless;
use crate::view::text::{clip, first_line};

/// The order; none where only the screen knows, or why there is none.
pub(super) fn order(deed: Deed, subject: &Subject, context: &Context<'_>) -> Result<Option<Order>, String> {
    let order = match deed {
        Deed::Cancel => {
            let id = subject.build.ok_or("no build is selected")?;
            let known = context.farm.builds().get(&id);
            if known.is_none_or(crate::state::Build::is_over) {
                return Err(format!("build {id} is over already"));
            }
            Order::Cancel(id)
        }
        Deed::Move => {
            let (Some(build), Some(step)) = (subject.build, subject.step) else {
                return Err("no step is selected".to_owned());
            };
            let known = context.farm.builds().get(&build).and_then(|build| build.step(step));
            if !known.is_some_and(|step| is_running(step.phase) && step.worker.is_some()) {
                return Err("only a step that runs on a worker can be done elsewhere".to_owned());
            }
            Order::Move { build, step }
        }
        Deed::Drain => {
            let id = subject.worker.clone().ok_or("no worker is selected")?;
            match context.farm.workers().get(&id).map(|worker| worker.standing) {
                Some(Standing::Up) => Order::Drain(id),
                Some(Standing::Draining) => Order::Restore(id),
                Some(Standing::Lost { .. }) | None => return Err(format!("worker `{id}` is gone")),
            }
        }
        Deed::Pin => return Ok(None),
        Deed::Prune => Order::Prune { all: false },
        Deed::PruneAll => Order::Prune { all: true },
    };
    Ok(Some(order))
}

/// The question that is asked before, and what the order means.
pub(super) fn question(order: &Order, context: &Context<'_>) -> (String, String) {
    match order {
        Order::Cancel(id) => {
            let build = context.farm.builds().get(id);
            let title = build.map_or_else(String::new, crate::state::Build::title);
            let who = build.and_then(|build| build.requested()).map(|requested| requested.client.as_str());
            let who = harmless(who.unwrap_or("somebody")).into_owned();
            let running = build.map_or(0, |build| build.counts().running);
            let meaning =
                format!("It is {who}'s; {running} of its steps run. What was finished stays in the cache.");
            (format!("Cancel build {id} of {title} for everybody?"), meaning)
        }
        Order::Move { build, step } => {
            let state = context.farm.builds().get(build).and_then(|build| build.step(*step));
            let name = state.map_or_else(String::new, |step| first_line(&step.planned.name).into_owned());
            let worker = state.and_then(|step| step.worker.as_ref());
            let worker =
                worker.map_or_else(|| "its worker".to_owned(), |worker| harmless(&worker.0).into_owned());
            let name = clip(&name, 60, "~").into_owned();
            (format!("Take `{name}` from {worker}?"), "It starts over on another worker.".to_owned())
        }
        Order::Drain(id) => {
            let running = context.farm.workers().get(id).map_or(0, crate::state::Worker::running);
            let meaning = format!("It gets no more work; the {running} steps that run on it are finished.");
            (format!("Drain worker {}?", harmless(&id.0)), meaning)
        }
        Order::Restore(id) => {
            (format!("Give worker {} work again?", harmless(&id.0)), "It was drained.".to_owned())
        }
        Order::Pin(image) => (
            format!("Pin {}?", harmless(image)),
            "It is kept whatever is pruned, until it is unpinned.".to_owned(),
        ),
        Order::Unpin(image) => {
            (format!("Unpin {}?", harmless(image)), "It is kept no longer than others.".to_owned())
        }
        Order::Prune { all: false } => {
            ("Prune the store?".to_owned(), "What no image and no recent build needs is deleted.".to_owned())
        }
        Order::Prune { all: true } => (
            "Prune everything that no image needs?".to_owned(),
            "The cache of recent builds is deleted too: the next builds do all their steps.".to_owned(),
        ),
    }
}

/// What is said once it was carried out.
pub(super) fn done(order: &Order) -> String {
    match order {
        Order::Cancel(id) => format!("build {id} is cancelled"),
        Order::Move { .. } => "the step starts over elsewhere".to_owned(),
        Order::Drain(id) => format!("worker {} is draining", harmless(&id.0)),
        Order::Restore(id) => format!("worker {} takes work again", harmless(&id.0)),
        Order::Pin(image) => format!("{} is pinned", harmless(image)),
        Order::Unpin(image) => format!("{} is not pinned any more", harmless(image)),
        Order::Prune { .. } => "the store is pruned".to_owned(),
    }
}
