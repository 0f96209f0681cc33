//! What the store holds, looked at from time to time for those who watch the farm: once for all of them, and not at all
//! when nobody does.

use std::sync::Arc;
use std::time::Duration;

use farm_model::event::{StoreLoad, StoreRow};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::pins;
use crate::Error;
use crate::build::{Farm, blocking};

/// How often.
const EVERY: Duration = Duration::from_secs(30);
/// A look takes longer in a larger store; this many times as long is rested at least.
const REST: u32 = 50;

/// The last look.
#[derive(Debug)]
pub(crate) struct Samples(watch::Sender<Option<Arc<StoreLoad>>>);

impl Default for Samples {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Samples {
    /// Hears of every look; the last one may be old when nobody watched.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Arc<StoreLoad>>> {
        self.0.subscribe()
    }
}

/// Looks while somebody watches. Ends with the farm.
pub(crate) async fn sample_while_watched(farm: Arc<Farm>) {
    let mut viewers = farm.builds.audience().counts();
    loop {
        if viewers.wait_for(|count| *count > 0).await.is_err() {
            return;
        }
        let start = Instant::now();
        match sample(&farm).await {
            Ok(load) => {
                farm.samples.0.send_replace(Some(Arc::new(load)));
            }
            Err(error) => tracing::warn!(%error, "cannot tell what the store holds"),
        }
        sleep(EVERY.max(start.elapsed().saturating_mul(REST))).await;
    }
}

async fn sample(farm: &Arc<Farm>) -> Result<StoreLoad, Error> {
    let farm = Arc::clone(farm);
    blocking(move || {
        let usage = farm.store.usage(&pins(&farm)?)?;
        let row = |row: farm_proto::image::UsageRow| StoreRow {
            kind: row.kind.name().to_owned(),
            count: row.count,
            bytes: row.bytes,
            reclaimable: row.reclaimable,
        };
        let (layers, space) = (usage.layers(), farm.store.space()?);
        Ok(StoreLoad {
            rows: farm_exchange::accounts::rows(&usage).into_iter().map(row).collect(),
            hot: layers.hot,
            cold: layers.cold,
            free: space.free,
            limit: None,
        })
    })
    .await
}
