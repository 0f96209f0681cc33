//! How long builds still take: their critical paths, computed in turn, of so many steps at a time, so that a frame costs the
//! same however many builds there are.

use std::collections::BTreeMap;

use farm_model::BuildId;

use crate::state::graph::{CriticalPath, critical_path};
use crate::state::{Build, Farm};

/// Steps that are looked at in one go.
const BUDGET: usize = 1000;
/// A path holds for so long, in nanoseconds; then it is computed anew.
const HOLDS: i64 = 1_000_000_000;

/// The critical paths of builds that run, as they were of late.
#[derive(Clone, Debug, Default)]
pub struct Estimates {
    paths: BTreeMap<BuildId, (i64, CriticalPath)>,
    next: Option<BuildId>,
}

impl Estimates {
    /// Computes what is too old, as far as the budget goes; goes on there the next time.
    pub fn refresh(&mut self, farm: &Farm, now: i64) {
        self.paths.retain(|id, _| farm.builds().get(id).is_some_and(|build| !build.is_over()));
        let start = self.next.take();
        let after = farm.builds().range(start.unwrap_or(BuildId([0; 8]))..);
        let before = farm.builds().iter().take_while(|(id, _)| start.is_some_and(|start| **id < start));
        let mut budget = BUDGET;
        for (id, build) in after.chain(before).filter(|(_, build)| !build.is_over()) {
            if self.paths.get(id).is_some_and(|(at, _)| (0..HOLDS).contains(&(now - at))) {
                continue;
            }
            // One build is always done, however large.
            let cost = build.counts().steps + 1;
            if cost > budget && budget < BUDGET {
                self.next = Some(*id);
                return;
            }
            budget = budget.saturating_sub(cost);
            self.paths.insert(*id, (now, critical_path(build, build.clock(now))));
        }
    }

    /// Computes that of one build now, as it is looked at.
    pub fn look(&mut self, id: BuildId, build: &Build, now: i64) {
        if !self.paths.get(&id).is_some_and(|(at, _)| (0..HOLDS / 4).contains(&(now - at))) {
            self.paths.insert(id, (now, critical_path(build, build.clock(now))));
        }
    }

    /// The critical path of a build.
    pub fn path(&self, id: BuildId) -> Option<&CriticalPath> {
        self.paths.get(&id).map(|(_, path)| path)
    }

    /// Microseconds that a build still takes, as far as is known.
    pub fn remaining(&self, id: BuildId, now: i64) -> Option<u64> {
        let (at, path) = self.paths.get(&id)?;
        let gone = now.saturating_sub(*at).max(0).cast_unsigned() / 1000;
        (!path.steps.is_empty()).then(|| path.remaining.saturating_sub(gone))
    }

    /// Microseconds that the longest of all builds still takes.
    pub fn longest(&self, now: i64) -> Option<u64> {
        self.paths.keys().filter_map(|id| self.remaining(*id, now)).max()
    }
}
