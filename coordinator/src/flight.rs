//! Single flight: of identical steps that are wanted at the same time one runs, the others wait and find its result.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use farm_model::StepDigest;
use tokio::sync::OwnedMutexGuard;

type Gate = tokio::sync::Mutex<()>;

/// The steps that are in flight, over all builds of a coordinator.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    gates: Mutex<BTreeMap<StepDigest, Weak<Gate>>>,
}

impl Flights {
    /// Waits until nobody else has `key` in flight. Look the key up again afterwards; the key is in flight while the
    /// guard lives.
    pub(crate) async fn enter(&self, key: StepDigest) -> OwnedMutexGuard<()> {
        self.gate(key).lock_owned().await
    }

    fn gate(&self, key: StepDigest) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.get(&key).and_then(Weak::upgrade) {
            return gate;
        }
        gates.retain(|_, gate| gate.strong_count() > 0);
        let gate = Arc::new(Gate::default());
        gates.insert(key, Arc::downgrade(&gate));
        gate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_in_flight_is_waited_for_and_another_is_not() {
        let flights = Flights::default();
        let (a, b) = (StepDigest([1; 32]), StepDigest([2; 32]));
        let first = flights.enter(a).await;
        let _other = flights.enter(b).await;
        let second = flights.enter(a);
        tokio::pin!(second);
        tokio::select! {
            biased;
            _ = &mut second => panic!("the key is in flight"),
            () = tokio::task::yield_now() => {}
        }
        drop(first);
        let _second = second.await;
    }

    #[tokio::test]
    async fn what_has_landed_is_forgotten() {
        let flights = Flights::default();
        for key in 0..100 {
            drop(flights.enter(StepDigest([key; 32])).await);
        }
        assert!(flights.gates.lock().unwrap().len() <= 2);
    }
}
