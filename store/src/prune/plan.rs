//! What goes: the choice among what may go.

use std::collections::BTreeSet;

use crate::Store;
use crate::prune::survey::{Standing, Survey};
use crate::usage::{Class, InUse, Prune, Usage};
use crate::uses::now_seconds;

/// Something that goes, by its place in the survey.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Victim {
    Strays,
    Layer(usize),
    Oci(usize),
    Mount(usize),
}

/// What is given up first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Order {
    /// Nobody would find it.
    Garbage,
    /// It can be made again from what stays.
    Derived,
    /// It costs a build, a download or a warm-up to get it back.
    Useful,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    order: Order,
    last_use: u64,
    victim: Victim,
    class: Class,
    count: u64,
    bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) victims: BTreeSet<Victim>,
    usage: Usage,
}

impl Plan {
    pub(super) fn choose(
        store: &Store,
        survey: &Survey,
        prune: &Prune,
        in_use: &dyn Fn(InUse<'_>) -> bool,
    ) -> Self {
        let selected = |class| prune.classes.is_empty() || prune.classes.contains(&class);
        let named = |class| prune.classes.contains(&class);
        let mut candidates = Vec::new();
        if selected(Class::Cache) {
            candidates.extend(cache(store, survey, prune, in_use));
        }
        for (number, blob) in survey.oci.iter().enumerate() {
            // What came from a registry may be there no more, so it goes only when it is named.
            let goes = match blob.class {
                Class::Packed => selected(Class::Packed),
                Class::Images | Class::Cache | Class::CacheMounts | Class::BaseBlobs | Class::Metadata => {
                    named(Class::BaseBlobs)
                }
            };
            if goes {
                let order = if blob.class == Class::Packed { Order::Derived } else { Order::Useful };
                let (last_use, victim) = (blob.last_use, Victim::Oci(number));
                let (class, bytes) = (blob.class, blob.size);
                candidates.push(Candidate { order, last_use, victim, class, count: 1, bytes });
            }
        }
        if named(Class::CacheMounts) || (prune.all && selected(Class::CacheMounts)) {
            candidates.extend(mounts(survey, in_use));
        }
        let usage = survey.usage();
        // What never goes would only push out what does.
        let counts = |class| selected(class) && !matches!(class, Class::Images | Class::Metadata);
        let total = usage.iter().filter(|(class, _)| counts(*class)).map(|(_, amount)| amount.bytes).sum();
        Self::take(candidates, total, prune)
    }

    fn take(mut candidates: Vec<Candidate>, mut total: u64, prune: &Prune) -> Self {
        candidates.sort_by_key(|candidate| (candidate.order, candidate.last_use, candidate.victim));
        let latest = prune.unused_for.map(|unused| now_seconds().saturating_sub(unused.as_secs()));
        let mut plan = Self::default();
        for candidate in candidates {
            if prune.keep_bytes.is_some_and(|keep| total <= keep) {
                break;
            }
            if latest.is_some_and(|latest| candidate.last_use > latest) {
                continue;
            }
            total = total.saturating_sub(candidate.bytes);
            plan.victims.insert(candidate.victim);
            plan.usage.add_many(candidate.class, candidate.count, candidate.bytes);
        }
        plan
    }

    pub(super) fn usage(self) -> Usage {
        self.usage
    }
}

fn cache<'a>(
    store: &Store,
    survey: &'a Survey,
    prune: &Prune,
    in_use: &'a dyn Fn(InUse<'_>) -> bool,
) -> Vec<Candidate> {
    let class = Class::Cache;
    let mut candidates = Vec::new();
    for (number, layer) in survey.layers.iter().enumerate() {
        let order = match layer.standing {
            Standing::Unreached => Order::Garbage,
            Standing::Recorded if prune.all => Order::Useful,
            Standing::Pinned | Standing::Busy | Standing::Recorded | Standing::Evidence => continue,
        };
        if store.core.directories.has(&layer.digest) && in_use(InUse::Layer(&layer.digest)) {
            continue;
        }
        let (last_use, victim, bytes) = (layer.last_use, Victim::Layer(number), layer.bytes);
        candidates.push(Candidate { order, last_use, victim, class, count: 1, bytes });
    }
    let (count, bytes) = survey.stray;
    if count > 0 {
        let (order, victim) = (Order::Garbage, Victim::Strays);
        candidates.push(Candidate { order, last_use: 0, victim, class, count, bytes });
    }
    candidates
}

fn mounts<'a>(
    survey: &'a Survey,
    in_use: &'a dyn Fn(InUse<'_>) -> bool,
) -> impl Iterator<Item = Candidate> + 'a {
    let free = survey.mounts.iter().enumerate().filter(|(_, mount)| !in_use(InUse::CacheMount(&mount.path)));
    free.map(|(number, mount)| Candidate {
        order: Order::Useful,
        last_use: mount.last_use,
        victim: Victim::Mount(number),
        class: Class::CacheMounts,
        count: 1,
        bytes: mount.bytes,
    })
}
