//! Single flight: of identical steps that are wanted at the same time one runs, the others wait and find its result.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use farm_model::StepDigest;
use tokio::sync::OwnedMutexGuard;

/// All steps of a coordinator that are being done.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    open: Mutex<BTreeMap<StepDigest, Weak<tokio::sync::Mutex<()>>>>,
}

/// The right to do one step; nobody else does a step with the same key while it lives.
#[derive(Debug)]
pub(crate) struct Flight {
    _turn: OwnedMutexGuard<()>,
    order: Order,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Order {
    First,
    Later,
}

impl Flights {
    /// Waits until nobody else does the step `key`.
    pub(crate) async fn board(&self, key: StepDigest) -> Flight {
        let turn = self.turn(key);
        match Arc::clone(&turn).try_lock_owned() {
            Ok(turn) => Flight { _turn: turn, order: Order::First },
            Err(_) => Flight { _turn: turn.lock_owned().await, order: Order::Later },
        }
    }

    fn turn(&self, key: StepDigest) -> Arc<tokio::sync::Mutex<()>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = open.get(&key).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        open.insert(key, Arc::downgrade(&turn));
        turn
    }
}

impl Flight {
    /// Whether somebody else did the step just before, or tried to.
    pub(crate) fn is_later(&self) -> bool {
        self.order == Order::Later
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_has_landed_is_forgotten() {
        let flights = Flights::default();
        for key in 0..100 {
            drop(flights.board(StepDigest([key; 32])).await);
        }
        assert!(flights.open.lock().unwrap().len() <= 2);
    }

    #[tokio::test]
    async fn the_second_waits_for_the_first_and_knows_it() {
        let flights = Arc::new(Flights::default());
        let key = StepDigest([1; 32]);
        let first = flights.board(key).await;
        assert!(!first.is_later() && !flights.board(StepDigest([2; 32])).await.is_later());
        let mut waiting = tokio::task::JoinSet::new();
        waiting.spawn({
            let flights = Arc::clone(&flights);
            async move { flights.board(key).await.is_later() }
        });
        tokio::task::yield_now().await;
        assert!(waiting.try_join_next().is_none());
        drop(first);
        assert!(waiting.join_next().await.unwrap().unwrap());
        assert!(!flights.board(key).await.is_later(), "nobody does it any more");
    }
}
