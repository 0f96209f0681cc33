//! What each build and each scope gets of the farm right now.
//!
//! Fairness is kept by what runs, not by what ran: who has the least running is served next, and among equals who was
//! served longest ago. A small build that arrives beside a huge one gets each slot that becomes free until it has as
//! much as the other, or all that it can use.

use std::collections::BTreeMap;

use farm_model::{BuildId, Scope};

/// What one build or scope has; the least is served first.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Share {
    /// Thousandths of processors that its leases weigh.
    pub(crate) running: u64,
    /// When it was served last, as a count of grants.
    pub(crate) served: u64,
}

/// The shares of all live builds and their scopes.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    scopes: BTreeMap<Scope, (Share, usize)>,
    builds: BTreeMap<BuildId, Share>,
    served: u64,
}

/// How a share changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    /// A lease came from another build.
    Add(u32),
    /// A lease ended, or went to another build.
    Subtract(u32),
    /// A lease weighs something else.
    Replace {
        /// What it weighed.
        old: u32,
        /// What it weighs.
        new: u32,
    },
    /// It was served: a lease began.
    Serve(u32),
}

impl Shares {
    /// A build begins.
    pub(crate) fn open(&mut self, scope: &Scope, build: BuildId) {
        self.builds.insert(build, Share::default());
        self.scopes.entry(scope.clone()).or_default().1 += 1;
    }

    /// A build, to which nothing is charged any more, is over.
    pub(crate) fn close(&mut self, scope: &Scope, build: BuildId) {
        self.builds.remove(&build);
        if let Some((_, builds)) = self.scopes.get_mut(scope) {
            *builds -= 1;
            if *builds == 0 {
                self.scopes.remove(scope);
            }
        }
    }

    pub(crate) fn scope(&self, scope: &Scope) -> Share {
        self.scopes.get(scope).map(|(share, _)| *share).unwrap_or_default()
    }

    pub(crate) fn build(&self, build: BuildId) -> Share {
        self.builds.get(&build).copied().unwrap_or_default()
    }

    /// Changes the shares of a build and its scope.
    pub(crate) fn change(&mut self, scope: &Scope, build: BuildId, change: Change) {
        self.served += 1;
        let served = self.served;
        let shares = self.scopes.get_mut(scope).map(|(share, _)| share);
        for share in shares.into_iter().chain(self.builds.get_mut(&build)) {
            match change {
                Change::Add(weight) => share.running += u64::from(weight),
                Change::Subtract(weight) => share.running = share.running.saturating_sub(u64::from(weight)),
                Change::Replace { old, new } => {
                    share.running = share.running.saturating_sub(u64::from(old)) + u64::from(new);
                }
                Change::Serve(weight) => {
                    share.running += u64::from(weight);
                    share.served = served;
                }
            }
        }
    }

    /// Every running weight, for checks.
    pub(crate) fn running(&self) -> (u64, u64) {
        (
            self.scopes.values().map(|(share, _)| share.running).sum(),
            self.builds.values().map(|share| share.running).sum(),
        )
    }
}
