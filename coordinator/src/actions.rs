//! What people do to the farm, kept for whoever asks later, and told to those who watch.
//!
//! An action is kept when it is known what came of it, refusals included. Deliberately absent: what only changes one's own
//! builds and images, of which builds keep their own account.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use farm_model::Reference;
use farm_model::event::{Action, Deed, FarmEvent, FarmRecorded, encoding};
use farm_proto::client::{Duty, Pinning, Reply, Request};
use farm_store::Store;
use tokio::sync::{OwnedMutexGuard, watch};

use crate::Error;
use crate::build::{blocking, now};

/// How many are kept.
const KEPT: u64 = 10_000;
/// How many are read at once.
const CHUNK: usize = 256;
/// The longest name or reason that is kept, in bytes.
const LONGEST: usize = 512;
/// Refusals that are kept a minute: whoever may not do a thing must not crowd out what others did.
const REFUSALS: u32 = 60;
const MINUTE: Duration = Duration::from_secs(60);

/// Every action.
#[derive(Debug)]
pub(crate) struct Actions {
    store: Kept,
    /// The number of the next, held while it is written.
    next: Arc<tokio::sync::Mutex<u64>>,
    count: watch::Sender<u64>,
    refusals: Mutex<Refusals>,
}

/// Where they are kept.
struct Kept(Store);

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept")
    }
}

#[derive(Debug)]
struct Refusals {
    since: Instant,
    count: u32,
}

impl Actions {
    pub(crate) fn new(store: Store) -> Result<Self, Error> {
        let count = store.action_count()?;
        Ok(Self {
            store: Kept(store),
            next: Arc::new(tokio::sync::Mutex::new(count)),
            count: watch::Sender::new(count),
            refusals: Mutex::new(Refusals { since: Instant::now(), count: 0 }),
        })
    }

    /// Hears of each action; the value is how many there ever were.
    pub(crate) fn counts(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    /// Keeps what `by` did, or wanted to do. That it cannot be kept undoes nothing.
    pub(crate) async fn record(&self, by: &str, deed: Deed, result: Result<(), &Error>) {
        let refused = result.err().map(|error| cut(farm_model::causes(error)));
        tracing::info!(by, ?deed, ?refused, "an action");
        if refused.is_some() && !self.may_keep_refusal() {
            return;
        }
        let time = now();
        let action = Action { time, by: cut(by.to_owned()), deed, refused };
        let bytes = encoding::encode_farm(&FarmRecorded { time, event: FarmEvent::Acted(action) });
        let (store, turn) = (self.store.0.clone(), Arc::clone(&self.next).lock_owned().await);
        let kept = blocking(move || {
            let mut turn: OwnedMutexGuard<u64> = turn;
            let number = *turn;
            store.put_action(number, &bytes, (number + 1).saturating_sub(KEPT))?;
            *turn = number + 1;
            Ok(turn)
        });
        match kept.await {
            Ok(turn) => {
                self.count.send_replace(*turn);
            }
            Err(error) => tracing::error!(%error, "an action is not kept"),
        }
    }

    /// Actions from number `from` on with their numbers; none when there are no more.
    pub(crate) async fn read(&self, from: u64) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        let store = self.store.0.clone();
        blocking(move || Ok(store.actions(from, CHUNK)?)).await
    }

    /// The newest actions, the last first; all of them when `limit` is 0.
    pub(crate) async fn list(&self, limit: u32) -> Result<Reply, Error> {
        let limit = if limit == 0 { KEPT } else { u64::from(limit).min(KEPT) };
        let mut from = self.count.borrow().saturating_sub(limit);
        let mut all = Vec::new();
        loop {
            let some = self.read(from).await?;
            let Some((last, _)) = some.last() else { break };
            from = last.saturating_add(1);
            all.extend(some.into_iter().map(|(_, action)| action));
        }
        all.reverse();
        Ok(Reply::Actions(all))
    }

    fn may_keep_refusal(&self) -> bool {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.since.elapsed() >= MINUTE {
            *refusals = Refusals { since: Instant::now(), count: 0 };
        }
        refusals.count = refusals.count.saturating_add(1);
        refusals.count <= REFUSALS
    }
}

/// What is done to the farm by a request; none for those that are kept no account of.
pub(crate) fn deed(request: &Request) -> Option<Deed> {
    match request {
        Request::Cancel { build } => Some(Deed::Cancelled { build: *build }),
        Request::Move { build, step } => Some(Deed::Moved { build: *build, step: *step }),
        Request::Drain { worker, duty } => {
            let worker = farm_model::WorkerId(cut(worker.0.clone()));
            Some(match duty {
                Duty::Drained => Deed::Drained { worker },
                Duty::Open => Deed::Restored { worker },
            })
        }
        Request::Pin { image, pinning } => {
            let name = image.parse::<Reference>().map_or_else(|_| image.clone(), |name| name.familiar());
            let image = cut(name);
            Some(match pinning {
                Pinning::Pinned => Deed::Pinned { image },
                Pinning::Free => Deed::Unpinned { image },
            })
        }
        Request::Prune(prune) => (!prune.dry_run).then_some(Deed::Pruned { bytes: 0 }),
        Request::Build(_)
        | Request::Attach { .. }
        | Request::Builds { .. }
        | Request::Images
        | Request::Inspect { .. }
        | Request::Waste { .. }
        | Request::Entries(_)
        | Request::Compare { .. }
        | Request::Sharing
        | Request::Tag { .. }
        | Request::Remove { .. }
        | Request::DiskUsage
        | Request::Run(_)
        | Request::Status
        | Request::Stop(_)
        | Request::Push(_)
        | Request::Pull(_)
        | Request::Save(_)
        | Request::Load
        | Request::Watch
        | Request::Actions { .. } => None,
    }
}

/// A deed with what is known of it once it is done.
pub(crate) fn done(deed: Deed, reply: &Result<Reply, Error>) -> Deed {
    match (deed, reply) {
        (Deed::Pruned { .. }, Ok(Reply::Usage(rows))) => {
            let rows = rows.iter().flat_map(|node| &node.rows);
            let bytes = rows.fold(0_u64, |sum, row| sum.saturating_add(row.bytes));
            Deed::Pruned { bytes }
        }
        (deed, _) => deed,
    }
}

fn cut(mut text: String) -> String {
    let end = (0..=LONGEST.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or_default());
    text
}
