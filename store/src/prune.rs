//! Disk use and pruning.
//!
//! A prune surveys what there is, chooses what goes, and then sweeps from the top down: directories and trees of layers,
//! then records and blobs that no tree that is left names, then the records of steps that lost their layer. Before a
//! directory goes, blobs that lie only there and that something else needs become blob files, and are synced once for
//! all. Rows go before files, so a kill at any point leaves at worst files without rows, which are swept at the next
//! open. Work under way is never in the way: see [`crate::work`].
//!
//! Deliberately absent: policy. What is pinned and how much may stay is the caller's to say.

mod disk;
mod marks;
mod packs;
mod plan;
mod steps;
mod survey;
mod sweep;

use std::sync::PoisonError;

use crate::prune::plan::Plan;
use crate::prune::survey::Survey;
use crate::prune::sweep::Sweep;
use crate::usage::{InUse, Pins, Prune, Usage};
use crate::work::Touched;
use crate::{Error, Store};

impl Store {
    /// What takes how much of the disk. Bytes of layers and blobs are those of their files' contents.
    pub fn usage(&self, pins: &Pins) -> Result<Usage, Error> {
        Survey::take(self, pins).map(|survey| survey.usage())
    }

    /// Removes what `prune` asks for and nothing that `pins` or running work needs; says what went, or with `dry_run` what
    /// would go. `in_use` says whether something is in use that must not be removed.
    pub fn prune(
        &self,
        prune: &Prune,
        pins: &Pins,
        in_use: &dyn Fn(InUse<'_>) -> bool,
    ) -> Result<Usage, Error> {
        let _turn = self.core.pruning.lock().unwrap_or_else(PoisonError::into_inner);
        let _watch = Watch::begin(&self.core.touched);
        let survey = Survey::take(self, pins)?;
        let plan = Plan::choose(self, &survey, prune, in_use);
        if prune.dry_run {
            return Ok(plan.usage());
        }
        Sweep::new(self, &survey, &plan, in_use).run()
    }
}

/// While it lives, the store notes which layers are looked at.
struct Watch<'a>(&'a Touched);

impl<'a> Watch<'a> {
    fn begin(touched: &'a Touched) -> Self {
        touched.begin_sweep();
        Self(touched)
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.0.end_sweep();
    }
}
