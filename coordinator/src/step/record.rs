//! Records of steps: looking them up, and writing them so that downstream stays cached.

use std::time::{Duration, Instant};

use farm_model::result::LayerRef;
use farm_model::{BuildEvent, Stage, Step, StepDigest, StepResult, Usage};
use farm_store::Canonical;
use farm_tree::Tree;

use crate::Error;
use crate::build::blocking;
use crate::dispatch::Order;
use crate::key::Preimage;
use crate::report::micros_since;
use crate::stage::Shared;
use crate::step::Done;

/// The recorded result of a step. Where the stage is to be built anew, only the one that an equal step has made just now.
pub(crate) async fn look_up(
    shared: &Shared,
    stage: &Stage,
    step: &Step,
    key: StepDigest,
    order: Order,
) -> Result<Option<Done>, Error> {
    if stage.no_cache && order == Order::First {
        return Ok(None);
    }
    let (store, scope) = (shared.farm.store.clone(), shared.farm.scope.clone());
    let Some(result) = blocking(move || Ok(store.step(&scope, &key)?)).await? else {
        return Ok(None);
    };
    let saved_micros = result.usage.wall_micros;
    shared.reporter.send(BuildEvent::Cached { step: step.id, key, saved_micros }).await;
    shared.farm.dispatch.settled(shared.build, step.id, Duration::from_micros(saved_micros));
    Ok(Some(Done { layer: result.layer, created: Some(result.created) }))
}

/// What a step that was done made.
pub(crate) struct Fresh {
    pub(crate) layer: Option<LayerRef>,
    pub(crate) ended: i64,
    pub(crate) usage: Usage,
}

/// Records a step that was done. When the scope already knows a layer with this content on this parent, that one is
/// adopted and the new one is dropped: what is built on it does not change then.
pub(crate) async fn commit(
    shared: &Shared,
    step: &Step,
    parent: &Tree,
    preimage: &Preimage,
    fresh: Fresh,
    started: Instant,
) -> Result<Done, Error> {
    let (store, scope) = (shared.farm.store.clone(), shared.farm.scope.clone());
    let (key, encoded) = (preimage.key(), preimage.encode());
    let parent = parent.content_digest();
    let (done, bytes) = blocking(move || {
        let mut result = StepResult { layer: fresh.layer, created: fresh.ended, usage: fresh.usage };
        let mut bytes = 0;
        if let Some(layer) = fresh.layer {
            let own = Canonical { layer, created: fresh.ended };
            let canonical = store.put_canonical(&scope, &parent, &layer.content, own)?;
            result.layer = Some(canonical.layer);
            result.created = canonical.created;
            bytes = store.tree(&canonical.layer.digest)?.map_or(0, |tree| tree.root.record.bytes);
        }
        store.put_step(&scope, &key, &result, &encoded)?;
        Ok((Done { layer: result.layer, created: Some(result.created) }, bytes))
    })
    .await?;
    let event =
        BuildEvent::Finished { step: step.id, micros: micros_since(started), usage: fresh.usage, bytes };
    shared.reporter.send(event).await;
    Ok(done)
}
