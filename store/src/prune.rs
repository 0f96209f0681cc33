//! Disk use and pruning.

use crate::usage::{InUse, Pins, Prune, Usage};
use crate::{Error, Store};

impl Store {
    /// What takes how much of the disk.
    pub fn usage(&self, _pins: &Pins) -> Result<Usage, Error> {
        Ok(Usage::default())
    }

    /// Removes what `prune` asks for and nothing that `pins` or running work needs; says what went, or with `dry_run` what
    /// would go. `in_use` says whether something is in use that may not be removed.
    pub fn prune(
        &self,
        _prune: &Prune,
        _pins: &Pins,
        _in_use: &dyn Fn(InUse<'_>) -> bool,
    ) -> Result<Usage, Error> {
        Ok(Usage::default())
    }
}
