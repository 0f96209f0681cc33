//! The order in which flights are served.
//!
//! Flights that the same workers can do form a class, so that one which has to wait for a rare worker holds nobody up.
//! Within a class the scope with the least share comes first, within it the build with the least share, and within
//! that the flight with the longest remaining path. Between classes the same comparison decides.
//!
//! Invariant: a class, and a line within it, exists only while flights wait in it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use farm_model::{BuildId, Platform, Scope, WorkerId};

use crate::Millis;
use crate::flight::FlightId;
use crate::share::{Change, Share, Shares};
use crate::workers::{Ability, PoolId};

/// A place among the flights of one build; the smallest is served first.
pub(crate) type Place = (Reverse<Millis>, FlightId);

/// When somebody's turn is; the smallest is served first.
pub(crate) type Turn = (Share, Share, Place);

/// Names a class of flights.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct ClassId(u64);

/// What a worker has to be for a flight.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Requirement {
    pub(crate) platform: Platform,
    pub(crate) labels: BTreeSet<String>,
    /// Workers that are taken only when there is no other.
    pub(crate) avoid: BTreeSet<WorkerId>,
}

impl Requirement {
    /// Whether a worker with this ability will do, but for those to avoid.
    pub(crate) fn is_met_by(&self, ability: &Ability) -> bool {
        self.platform == ability.platform && self.labels.is_subset(&ability.labels)
    }
}

/// Flights that the same workers can do.
#[derive(Debug)]
pub(crate) struct Class {
    pub(crate) requirement: Requirement,
    /// The pools of workers that will do.
    pub(crate) pools: BTreeSet<PoolId>,
    /// Since when no worker would do at all.
    pub(crate) lacking: Option<Millis>,
    lines: BTreeMap<Scope, Line>,
    order: BTreeSet<(Share, Scope)>,
}

/// The flights of one scope in a class.
#[derive(Debug, Default)]
struct Line {
    builds: BTreeMap<BuildId, BTreeSet<Place>>,
    order: BTreeSet<(Share, BuildId)>,
}

impl Class {
    /// Whose turn it is.
    pub(crate) fn head(&self) -> Option<Turn> {
        let (scope_share, scope) = self.order.first()?;
        let line = self.lines.get(scope)?;
        let (build_share, build) = line.order.first()?;
        let place = line.builds.get(build)?.first()?;
        Some((*scope_share, *build_share, *place))
    }

    /// Every flight in it.
    pub(crate) fn flights(&self) -> impl Iterator<Item = FlightId> + '_ {
        self.lines.values().flat_map(|line| line.builds.values()).flatten().map(|place| place.1)
    }

    fn reposition(&mut self, scope: &Scope, build: BuildId, old: (Share, Share), new: (Share, Share)) {
        let Some(line) = self.lines.get_mut(scope) else { return };
        if self.order.remove(&(old.0, scope.clone())) {
            self.order.insert((new.0, scope.clone()));
        }
        if line.order.remove(&(old.1, build)) {
            line.order.insert((new.1, build));
        }
    }
}

/// Everything that waits for a worker.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) classes: BTreeMap<ClassId, Class>,
    by_requirement: BTreeMap<Requirement, ClassId>,
    shares: Shares,
    created: u64,
}

impl Queue {
    /// The class of `requirement`; `pools` says which pools will do when it has to be created.
    pub(crate) fn class(
        &mut self,
        requirement: Requirement,
        pools: impl FnOnce(&Requirement) -> BTreeSet<PoolId>,
    ) -> ClassId {
        if let Some(class) = self.by_requirement.get(&requirement) {
            return *class;
        }
        self.created += 1;
        let id = ClassId(self.created);
        self.by_requirement.insert(requirement.clone(), id);
        let class = Class {
            pools: pools(&requirement),
            requirement,
            lacking: None,
            lines: BTreeMap::new(),
            order: BTreeSet::new(),
        };
        self.classes.insert(id, class);
        id
    }

    /// Lets the flight at `place` of `build` wait in `class`.
    pub(crate) fn push(&mut self, class: ClassId, scope: &Scope, build: BuildId, place: Place) {
        let shares = (self.shares.scope(scope), self.shares.build(build));
        let Some(class) = self.classes.get_mut(&class) else { return };
        if !class.lines.contains_key(scope) {
            class.order.insert((shares.0, scope.clone()));
        }
        let line = class.lines.entry(scope.clone()).or_default();
        let places = line.builds.entry(build).or_default();
        if places.is_empty() {
            line.order.insert((shares.1, build));
        }
        places.insert(place);
    }

    /// Takes the flight at `place` of `build` out of class `id`. Says whether the class ended with it.
    pub(crate) fn remove(&mut self, id: ClassId, scope: &Scope, build: BuildId, place: Place) -> Ended {
        let shares = (self.shares.scope(scope), self.shares.build(build));
        let Some(class) = self.classes.get_mut(&id) else { return Ended::No };
        let Some(line) = class.lines.get_mut(scope) else { return Ended::No };
        let Some(places) = line.builds.get_mut(&build) else { return Ended::No };
        places.remove(&place);
        if places.is_empty() {
            line.builds.remove(&build);
            line.order.remove(&(shares.1, build));
        }
        if line.builds.is_empty() {
            class.lines.remove(scope);
            class.order.remove(&(shares.0, scope.clone()));
        }
        if !class.lines.is_empty() {
            return Ended::No;
        }
        if let Some(class) = self.classes.remove(&id) {
            self.by_requirement.remove(&class.requirement);
        }
        Ended::Yes
    }

    /// A pool of workers came up.
    pub(crate) fn pool_created(&mut self, pool: PoolId, ability: &Ability) {
        for class in self.classes.values_mut().filter(|class| class.requirement.is_met_by(ability)) {
            class.pools.insert(pool);
        }
    }

    /// A pool of workers is empty for good.
    pub(crate) fn pool_removed(&mut self, pool: PoolId) {
        for class in self.classes.values_mut() {
            class.pools.remove(&pool);
        }
    }

    /// A build begins.
    pub(crate) fn open(&mut self, scope: &Scope, build: BuildId) {
        self.shares.open(scope, build);
    }

    /// A build is over; none of its flights waits or runs.
    pub(crate) fn close(&mut self, scope: &Scope, build: BuildId) {
        self.shares.close(scope, build);
    }

    /// Changes the shares of a build and its scope, and with them the order.
    pub(crate) fn change(&mut self, scope: &Scope, build: BuildId, change: Change) {
        let old = (self.shares.scope(scope), self.shares.build(build));
        self.shares.change(scope, build, change);
        let new = (self.shares.scope(scope), self.shares.build(build));
        for class in self.classes.values_mut() {
            class.reposition(scope, build, old, new);
        }
    }

    pub(crate) fn shares(&self) -> &Shares {
        &self.shares
    }
}

/// Whether something ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ended {
    /// It did.
    Yes,
    /// It goes on.
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: BuildId = BuildId([1; 8]);
    const TWO: BuildId = BuildId([2; 8]);

    fn place(remaining: u64, id: u64) -> Place {
        (Reverse(Millis(remaining)), FlightId(id))
    }

    fn queue() -> (Queue, ClassId, Scope) {
        let (mut queue, scope) = (Queue::default(), Scope::main());
        queue.open(&scope, ONE);
        queue.open(&scope, TWO);
        let requirement =
            Requirement { platform: Platform::host(), labels: BTreeSet::new(), avoid: BTreeSet::new() };
        let class = queue.class(requirement, |_| BTreeSet::new());
        (queue, class, scope)
    }

    fn head(queue: &Queue, class: ClassId) -> u64 {
        queue.classes[&class].head().unwrap().2.1.0
    }

    #[test]
    fn the_longest_remaining_path_of_a_build_comes_first() {
        let (mut queue, class, scope) = queue();
        queue.push(class, &scope, ONE, place(5, 1));
        queue.push(class, &scope, ONE, place(50, 2));
        queue.push(class, &scope, ONE, place(50, 3));
        assert_eq!(head(&queue, class), 2);
    }

    #[test]
    fn a_build_with_less_running_comes_before_one_with_a_longer_path() {
        let (mut queue, class, scope) = queue();
        queue.push(class, &scope, ONE, place(5_000, 1));
        queue.push(class, &scope, TWO, place(5, 2));
        queue.change(&scope, ONE, Change::Add(1_000));
        assert_eq!(head(&queue, class), 2);
        queue.change(&scope, TWO, Change::Add(2_000));
        assert_eq!(head(&queue, class), 1);
    }

    #[test]
    fn among_equals_the_one_that_was_served_longest_ago_comes_first() {
        let (mut queue, class, scope) = queue();
        queue.push(class, &scope, ONE, place(5, 1));
        queue.push(class, &scope, TWO, place(5, 2));
        queue.change(&scope, ONE, Change::Serve(0));
        assert_eq!(head(&queue, class), 2);
        queue.change(&scope, TWO, Change::Serve(0));
        assert_eq!(head(&queue, class), 1);
    }

    #[test]
    fn a_scope_with_less_running_comes_before_the_builds_of_another() {
        let (mut queue, class, scope) = queue();
        let (other, third): (Scope, BuildId) = ("pr-1".parse().unwrap(), BuildId([3; 8]));
        queue.open(&other, third);
        queue.push(class, &scope, TWO, place(5_000, 1));
        queue.push(class, &other, third, place(5, 2));
        queue.change(&scope, ONE, Change::Add(1_000));
        assert_eq!(head(&queue, class), 2);
    }

    #[test]
    fn a_class_ends_with_its_last_flight() {
        let (mut queue, class, scope) = queue();
        queue.push(class, &scope, ONE, place(5, 1));
        queue.push(class, &scope, TWO, place(5, 2));
        assert_eq!(queue.remove(class, &scope, ONE, place(5, 1)), Ended::No);
        assert_eq!(queue.remove(class, &scope, TWO, place(5, 2)), Ended::Yes);
        assert!(queue.classes.is_empty() && queue.by_requirement.is_empty());
    }
}
