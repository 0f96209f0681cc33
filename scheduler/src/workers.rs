//! Workers, what they can do, what they hold and how much room they have.
//!
//! Workers with the same platform and labels form a pool, in which they are ordered by load. Invariant: a worker is
//! listed as free exactly when it takes another lease. What comes and goes is told through [`Workers::update`], which
//! keeps the lists.

use std::collections::{BTreeMap, BTreeSet};

use farm_model::{BuildId, LayerDigest, LeaseId, Platform, StageId, WorkerId};

use crate::Capacity;
use crate::lease::Weight;
use crate::queue::{Ended, Place, Requirement};

/// Bytes a second that reach a worker of which nothing has been measured: what a common network link carries.
const UNMEASURED: u64 = 100_000_000;

/// Names a pool.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct PoolId(u64);

/// What the workers of a pool have in common.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Ability {
    pub(crate) platform: Platform,
    pub(crate) labels: BTreeSet<String>,
}

/// Workers that can do the same.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// Those that take leases when they have room.
    pub(crate) open: BTreeSet<WorkerId>,
    /// Those of them that have room, the least loaded first.
    pub(crate) free: BTreeSet<(u64, WorkerId)>,
    members: usize,
}

/// One worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) capacity: Capacity,
    pub(crate) pool: PoolId,
    pub(crate) standing: Standing,
    /// Failures in a row.
    pub(crate) failures: u32,
    pub(crate) bytes_per_second: u64,
    pub(crate) holdings: BTreeSet<LayerDigest>,
    pub(crate) leases: BTreeSet<LeaseId>,
    /// Slots that are kept for stages, with their weights.
    pub(crate) holds: BTreeMap<(BuildId, StageId), u32>,
    /// Flights that wait for this worker.
    pub(crate) parked: BTreeSet<Place>,
    /// Of its leases and holds.
    pub(crate) weight: u64,
    /// Its key in the pool's list of free workers.
    listed: Option<u64>,
}

/// Whether a worker is given work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It is.
    Open,
    /// Not until it is heard of again: a lease of it expired.
    Silent,
    /// Not until it joins again, or is restored if somebody drained it.
    Drained,
}

impl Worker {
    /// Whether it takes another lease.
    pub(crate) fn has_room(&self) -> bool {
        self.is_open() && self.weight < self.slots() && self.count() < self.capacity.most as usize
    }

    /// Whether it takes leases when it has room.
    pub(crate) fn is_open(&self) -> bool {
        self.standing == Standing::Open && self.capacity.slots > 0 && self.capacity.most > 0
    }

    /// Its load, comparable between workers of different sizes.
    pub(crate) fn load(&self) -> u64 {
        self.weight * 1_000 / u64::from(self.capacity.slots).max(1)
    }

    fn slots(&self) -> u64 {
        u64::from(self.capacity.slots) * u64::from(Weight::FULL)
    }

    fn count(&self) -> usize {
        self.leases.len() + self.holds.len()
    }
}

/// All workers.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    known: BTreeMap<WorkerId, Worker>,
    pools: BTreeMap<PoolId, Pool>,
    by_ability: BTreeMap<Ability, PoolId>,
    holders: BTreeMap<LayerDigest, BTreeSet<WorkerId>>,
    /// Workers that have room and are waited for.
    called: BTreeSet<WorkerId>,
    created: u64,
}

impl Workers {
    /// Adds a worker that is not there yet. Returns its pool if that is new.
    pub(crate) fn add(&mut self, id: &WorkerId, capacity: Capacity) -> Option<(PoolId, Ability)> {
        let ability = Ability {
            platform: capacity.platform.clone(),
            labels: capacity.labels.iter().cloned().collect(),
        };
        let former = self.by_ability.get(&ability).copied();
        let pool = former.unwrap_or_else(|| {
            self.created += 1;
            PoolId(self.created)
        });
        self.by_ability.insert(ability.clone(), pool);
        self.pools.entry(pool).or_default().members += 1;
        let worker = Worker {
            capacity,
            pool,
            standing: Standing::Open,
            failures: 0,
            bytes_per_second: UNMEASURED,
            holdings: BTreeSet::new(),
            leases: BTreeSet::new(),
            holds: BTreeMap::new(),
            parked: BTreeSet::new(),
            weight: 0,
            listed: None,
        };
        self.known.insert(id.clone(), worker);
        self.list(id);
        former.is_none().then_some((pool, ability))
    }

    /// Removes a worker. Says whether its pool ended with it.
    pub(crate) fn remove(&mut self, id: &WorkerId) -> Option<(Worker, Ended)> {
        let worker = self.known.remove(id)?;
        self.called.remove(id);
        for layer in &worker.holdings {
            self.unhold(*layer, id);
        }
        let Some(pool) = self.pools.get_mut(&worker.pool) else { return Some((worker, Ended::No)) };
        pool.open.remove(id);
        if let Some(load) = worker.listed {
            pool.free.remove(&(load, id.clone()));
        }
        pool.members -= 1;
        if pool.members > 0 {
            return Some((worker, Ended::No));
        }
        self.pools.remove(&worker.pool);
        self.by_ability.retain(|_, pool| *pool != worker.pool);
        Some((worker, Ended::Yes))
    }

    /// Changes a worker and lists it anew.
    pub(crate) fn update<T>(&mut self, id: &WorkerId, change: impl FnOnce(&mut Worker) -> T) -> Option<T> {
        let changed = change(self.known.get_mut(id)?);
        self.list(id);
        Some(changed)
    }

    /// Layers came to, or left, a worker.
    pub(crate) fn hold(&mut self, id: &WorkerId, added: Vec<LayerDigest>, removed: &[LayerDigest]) {
        let Some(worker) = self.known.get_mut(id) else { return };
        for layer in added {
            worker.holdings.insert(layer);
            self.holders.entry(layer).or_default().insert(id.clone());
        }
        for layer in removed {
            worker.holdings.remove(layer);
        }
        for layer in removed {
            self.unhold(*layer, id);
        }
    }

    pub(crate) fn find(&self, id: &WorkerId) -> Option<&Worker> {
        self.known.get(id)
    }

    pub(crate) fn pool(&self, id: PoolId) -> Option<&Pool> {
        self.pools.get(&id)
    }

    /// The workers that hold a layer.
    pub(crate) fn holders(&self, layer: LayerDigest) -> impl Iterator<Item = &WorkerId> {
        self.holders.get(&layer).into_iter().flatten()
    }

    /// The pools that will do.
    pub(crate) fn pools_for(&self, requirement: &Requirement) -> BTreeSet<PoolId> {
        let matching = self.by_ability.iter().filter(|(ability, _)| requirement.is_met_by(ability));
        matching.map(|(_, pool)| *pool).collect()
    }

    /// A flight that waits for a worker which has room now.
    pub(crate) fn next_parked(&self) -> Option<(&WorkerId, Place)> {
        let id = self.called.first()?;
        Some((id, *self.known.get(id)?.parked.first()?))
    }

    /// Whether another worker of the same platform takes leases.
    pub(crate) fn has_substitute(&self, id: &WorkerId) -> bool {
        let Some(worker) = self.known.get(id) else { return false };
        let alike =
            self.by_ability.iter().filter(|(ability, _)| ability.platform == worker.capacity.platform);
        alike
            .filter_map(|(_, pool)| self.pools.get(pool))
            .any(|pool| pool.open.iter().any(|other| other != id))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&WorkerId, &Worker)> {
        self.known.iter()
    }

    fn list(&mut self, id: &WorkerId) {
        let Some(worker) = self.known.get_mut(id) else { return };
        let Some(pool) = self.pools.get_mut(&worker.pool) else { return };
        if worker.is_open() {
            pool.open.insert(id.clone());
        } else {
            pool.open.remove(id);
        }
        let listed = worker.has_room().then(|| worker.load());
        if listed != worker.listed {
            if let Some(load) = worker.listed {
                pool.free.remove(&(load, id.clone()));
            }
            if let Some(load) = listed {
                pool.free.insert((load, id.clone()));
            }
            worker.listed = listed;
        }
        if listed.is_some() && !worker.parked.is_empty() {
            self.called.insert(id.clone());
        } else {
            self.called.remove(id);
        }
    }

    fn unhold(&mut self, layer: LayerDigest, id: &WorkerId) {
        if let Some(holders) = self.holders.get_mut(&layer) {
            holders.remove(id);
            if holders.is_empty() {
                self.holders.remove(&layer);
            }
        }
    }
}
