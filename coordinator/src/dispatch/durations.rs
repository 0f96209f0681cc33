//! What steps took, kept beyond the life of the process.

use farm_scheduler::Millis;
use farm_store::Store;
use tokio::sync::mpsc;

use crate::build::blocking;

/// A family of steps and what one of it is expected to take from now on.
pub(super) type Duration = ([u8; 32], Millis);

/// Writes durations into the store while it is polled, so that who learns them need not wait for the disk.
pub(super) struct Keeper {
    store: Store,
    learned: mpsc::Receiver<Duration>,
}

impl Keeper {
    pub(super) fn new(store: Store, learned: mpsc::Receiver<Duration>) -> Self {
        Self { store, learned }
    }

    pub(super) async fn run(mut self) {
        while let Some((family, took)) = self.learned.recv().await {
            let store = self.store.clone();
            let kept = blocking(move || Ok(store.put_duration(&family, took.0.saturating_mul(1000))?)).await;
            if let Err(error) = kept {
                tracing::warn!(%error, "cannot keep what a step took");
            }
        }
    }
}
