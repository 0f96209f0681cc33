//! Which layers the store holds completely, and which changes of that the coordinator has not been told.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use farm_model::LayerDigest;
use farm_proto::WorkerMessage;
use farm_store::Store;
use tokio::sync::Notify;

use crate::error::Error;
use crate::provide::apart;

/// Layers that one message names at most.
const MOST_LAYERS: usize = 4096;
/// How often the store is looked through for layers that went without anybody's doing.
const SWEEP: Duration = Duration::from_secs(60);

/// What one worker holds.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    held: BTreeSet<LayerDigest>,
    /// To be told: came.
    added: BTreeSet<LayerDigest>,
    /// To be told: went.
    removed: BTreeSet<LayerDigest>,
    bytes_per_second: Option<u64>,
}

impl Holdings {
    /// These are complete now.
    pub(crate) fn came(&self, layers: impl IntoIterator<Item = LayerDigest>) {
        let mut state = self.lock();
        for layer in layers {
            if state.held.insert(layer) {
                state.removed.remove(&layer);
                state.added.insert(layer);
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    /// These are not complete any more.
    pub(crate) fn went(&self, layers: impl IntoIterator<Item = LayerDigest>) {
        let mut state = self.lock();
        for layer in layers {
            if state.held.remove(&layer) {
                state.added.remove(&layer);
                state.removed.insert(layer);
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    /// So many bytes arrived in so much time.
    pub(crate) fn measured(&self, bytes: u64, span: Duration) {
        let rate = u128::from(bytes) * 1_000_000 / span.as_micros().max(1);
        self.lock().bytes_per_second = Some(u64::try_from(rate).unwrap_or(u64::MAX));
        self.changed.notify_one();
    }

    /// Somebody else listens now, who knows nothing.
    pub(crate) fn start_over(&self) {
        let mut state = self.lock();
        let State { held, added, .. } = &mut *state;
        added.clone_from(held);
        state.removed.clear();
        drop(state);
        self.changed.notify_one();
    }

    /// The next thing to tell. May be given up and taken up again.
    pub(crate) async fn next(&self) -> WorkerMessage {
        loop {
            if let Some(message) = self.take() {
                return message;
            }
            self.changed.notified().await;
        }
    }

    fn take(&self) -> Option<WorkerMessage> {
        let mut state = self.lock();
        if let Some(bytes_per_second) = state.bytes_per_second.take() {
            return Some(WorkerMessage::Bandwidth { bytes_per_second });
        }
        let removed = take_some(&mut state.removed, MOST_LAYERS);
        let room = MOST_LAYERS - removed.len();
        let added = take_some(&mut state.added, room);
        (!added.is_empty() || !removed.is_empty()).then_some(WorkerMessage::Holdings { added, removed })
    }

    /// Looks through the store now and from time to time, for ever.
    pub(crate) async fn sweep(&self, store: &Store) {
        loop {
            if let Err(error) = self.look_through(store).await {
                let reason = farm_model::causes(&error);
                tracing::warn!(reason, "cannot list the layers of the store");
            }
            tokio::time::sleep(SWEEP).await;
        }
    }

    async fn look_through(&self, store: &Store) -> Result<(), Error> {
        let before: Vec<LayerDigest> = self.lock().held.iter().copied().collect();
        let own = store.clone();
        let (complete, gone) = apart(move || {
            let complete = own.layer_digests()?;
            let mut gone = Vec::new();
            for layer in before {
                if !own.is_complete(&layer)? {
                    gone.push(layer);
                }
            }
            Ok((complete, gone))
        })
        .await?;
        self.came(complete);
        self.went(gone);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take_some(from: &mut BTreeSet<LayerDigest>, most: usize) -> Vec<LayerDigest> {
    std::iter::from_fn(|| from.pop_first()).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(number: u16) -> LayerDigest {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        LayerDigest(bytes)
    }

    fn told(holdings: &Holdings) -> Option<(usize, usize)> {
        let message = holdings.take()?;
        let WorkerMessage::Holdings { added, removed } = message else {
            panic!("{message:?} is something else")
        };
        Some((added.len(), removed.len()))
    }

    #[test]
    fn differences_are_told_once_and_in_pieces() {
        let holdings = Holdings::default();
        assert_eq!(told(&holdings), None);
        holdings.came((0..5000).map(layer));
        holdings.came([layer(1)]);
        assert_eq!(
            (told(&holdings), told(&holdings)),
            (Some((MOST_LAYERS, 0)), Some((5000 - MOST_LAYERS, 0)))
        );
        holdings.went([layer(1), layer(6000)]);
        assert_eq!((told(&holdings), told(&holdings)), (Some((0, 1)), None));
    }

    #[test]
    fn what_came_and_went_before_it_was_told_is_only_told_as_gone() {
        let holdings = Holdings::default();
        holdings.came([layer(1)]);
        holdings.went([layer(1)]);
        assert_eq!(told(&holdings), Some((0, 1)));
        holdings.came([layer(2)]);
        assert_eq!(told(&holdings), Some((1, 0)));
        holdings.start_over();
        assert_eq!(told(&holdings), Some((1, 0)), "who is new is told everything");
    }

    #[tokio::test]
    async fn bandwidth_is_told_in_bytes_a_second() {
        let holdings = Holdings::default();
        holdings.measured(10 << 20, Duration::from_millis(500));
        let message = holdings.next().await;
        assert!(
            matches!(message, WorkerMessage::Bandwidth { bytes_per_second } if bytes_per_second == 20 << 20)
        );
    }
}
