//! Turns: of equal steps that are wanted at the same time one is done, and the others know of it.
//!
//! A turn is taken before a result is looked up and kept until the result is recorded. Whoever finds no record is then sure
//! to meet either the flight that makes it or what that flight has just delivered; there is no moment between the two.
//! Steps that the coordinator computes itself take turns one after the other; steps of workers share a flight.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use farm_model::{BuildId, Scope, StepDigest};
use tokio::sync::OwnedMutexGuard;

use super::{Delivered, Log};

/// How many turns there are at least before those that are over are looked for.
const FEW: usize = 64;

/// All steps that somebody is about to do.
#[derive(Debug, Default)]
pub(super) struct Turns {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    slots: BTreeMap<(Scope, StepDigest), Weak<Slot>>,
    /// How many were left when those that are over were forgotten last.
    left: usize,
}

#[derive(Debug, Default)]
struct Slot {
    alone: Arc<tokio::sync::Mutex<()>>,
    landed: Mutex<Option<Landed>>,
}

/// What a flight delivered that somebody still records.
#[derive(Clone, Debug)]
pub(super) struct Landed {
    pub(super) build: BuildId,
    pub(super) log: Arc<Log>,
    pub(super) delivered: Delivered,
}

/// Somebody's interest in a step.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    slot: Arc<Slot>,
}

/// The right to compute a step; nobody else does meanwhile.
#[derive(Debug)]
pub(crate) struct Alone {
    _turn: OwnedMutexGuard<()>,
    _slot: Arc<Slot>,
    order: Order,
}

/// Whether somebody else has just done the step, or tried to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Order {
    First,
    Later,
}

impl Turns {
    pub(super) fn turn(&self, scope: &Scope, key: StepDigest) -> Turn {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // Now and then: each turn pays for looking at two.
        if open.slots.len() >= open.left.max(FEW) * 2 {
            open.slots.retain(|_, slot| slot.strong_count() > 0);
            open.left = open.slots.len();
        }
        let key = (scope.clone(), key);
        if let Some(slot) = open.slots.get(&key).and_then(Weak::upgrade) {
            return Turn { slot };
        }
        let slot = Arc::default();
        open.slots.insert(key, Arc::downgrade(&slot));
        Turn { slot }
    }
}

impl Turn {
    /// Waits until nobody else computes the step.
    pub(crate) async fn alone(self) -> Alone {
        let turn = Arc::clone(&self.slot.alone);
        match Arc::clone(&turn).try_lock_owned() {
            Ok(turn) => Alone { _turn: turn, _slot: self.slot, order: Order::First },
            Err(_) => Alone { _turn: turn.lock_owned().await, _slot: self.slot, order: Order::Later },
        }
    }

    pub(super) fn land(&self, landed: Landed) {
        *self.slot.landed.lock().unwrap_or_else(PoisonError::into_inner) = Some(landed);
    }

    pub(super) fn landed(&self) -> Option<Landed> {
        self.slot.landed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Alone {
    /// Whether somebody else did the step just before, or tried to.
    pub(crate) fn order(&self) -> Order {
        self.order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_nobody_wants_any_more_is_forgotten() {
        let turns = Turns::default();
        let waited_for = turns.turn(&Scope::main(), StepDigest([200; 32]));
        for key in 0..2000u16 {
            let mut digest = [0; 32];
            digest[..2].copy_from_slice(&key.to_be_bytes());
            drop(turns.turn(&Scope::main(), StepDigest(digest)).alone().await);
        }
        assert!(turns.open.lock().unwrap().slots.len() <= 2 * FEW);
        let again = turns.turn(&Scope::main(), StepDigest([200; 32]));
        assert!(Arc::ptr_eq(&again.slot, &waited_for.slot));
    }

    #[tokio::test]
    async fn the_second_waits_for_the_first_and_knows_it() {
        let turns = Arc::new(Turns::default());
        let turn = |key| turns.turn(&Scope::main(), StepDigest([key; 32])).alone();
        let first = turn(1).await;
        assert!(first.order() == Order::First && turn(2).await.order() == Order::First);
        let second = turn(1);
        let mut waiting = tokio::task::JoinSet::new();
        waiting.spawn(async move { second.await.order() });
        tokio::task::yield_now().await;
        assert!(waiting.try_join_next().is_none());
        drop(first);
        assert_eq!(waiting.join_next().await.unwrap().unwrap(), Order::Later);
        assert_eq!(turn(1).await.order(), Order::First, "nobody does it any more");
    }
}
