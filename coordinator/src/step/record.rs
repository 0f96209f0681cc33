//! Records of steps: looking them up, and writing them so that downstream stays cached.

use std::time::{Duration, Instant};

use farm_model::result::LayerRef;
use farm_model::{BuildEvent, Stage, Step, StepResult, Usage};
use farm_proto::client::Goal;
use farm_store::{Bytes, Canonical, StepRecord};
use farm_tree::Tree;

use crate::build::blocking;
use crate::dispatch::Order;
use crate::key::Preimage;
use crate::report::micros_since;
use crate::stage::Shared;
use crate::step::Done;
use crate::{Error, why};

/// The recorded result of a step, while its bytes can be found. Where the stage is to be built anew, only the one that an
/// equal step has made just now, which `order` says. A miss is reported with its reasons; where nothing is to run, it is
/// [`Error::WouldRun`].
pub(crate) async fn look_up(
    shared: &Shared,
    stage: &Stage,
    step: &Step,
    preimage: &Preimage,
    order: Order,
) -> Result<Option<Done>, Error> {
    let key = preimage.key();
    if !stage.no_cache || order == Order::Later {
        // One row of the database: cheaper than a hop to another thread.
        let known = shared.farm.store.step_record(&shared.farm.scope, &key)?;
        if let Some(result) = known
            && is_available(shared, &result).await?
        {
            let saved_micros = result.usage.wall_micros;
            let layer =
                result.layer.map(|layer| shared.farm.store.tree(&layer.digest)).transpose()?.flatten();
            let saved_bytes = layer.map_or(0, |tree| tree.root.record.bytes);
            shared.reporter.send(BuildEvent::Cached { step: step.id, key, saved_micros, saved_bytes }).await;
            shared.farm.dispatch.settled(shared.build, step.id, Duration::from_micros(saved_micros));
            return Ok(Some(Done { layer: result.layer, created: Some(result.created) }));
        }
    }
    let reasons = why::reasons(shared, stage, step, preimage, why::Open::Nothing).await?;
    shared.reporter.send(BuildEvent::Missed { step: step.id, key, reasons }).await;
    match shared.request.goal {
        Goal::Image => Ok(None),
        Goal::Plan => Err(Error::WouldRun),
    }
}

async fn is_available(shared: &Shared, result: &StepResult) -> Result<bool, Error> {
    match result.layer {
        None => Ok(true),
        Some(layer) => shared.farm.is_available(&layer.digest).await,
    }
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
    stage: &Stage,
    step: &Step,
    parent: &Tree,
    preimage: &Preimage,
    fresh: Fresh,
    started: Instant,
) -> Result<Done, Error> {
    let (farm, family) = (shared.farm.clone(), why::family(shared, stage, step));
    let (key, encoded) = (preimage.key(), preimage.encode());
    let witness = why::witness(shared, stage, step, preimage);
    let parent = parent.content_digest();
    let micros = micros_since(started);
    let dispatch = farm.dispatch.clone();
    let (done, bytes, place) = blocking(move || {
        // What a later build saves by this record is all of the time it took, not that of the process alone.
        let usage = Usage { wall_micros: fresh.usage.wall_micros.max(micros), ..fresh.usage };
        let mut result = StepResult { layer: fresh.layer, created: fresh.ended, usage };
        let (mut bytes, mut place) = (0, Bytes::Here);
        if let Some(layer) = fresh.layer {
            let own = Canonical { layer, created: fresh.ended };
            let elsewhere = |layer: &farm_model::LayerDigest| farm.dispatch.workers().holds(layer);
            let canonical =
                farm.store.put_canonical_where(&farm.scope, &parent, &layer.content, own, &elsewhere)?;
            if !farm.store.is_complete(&canonical.layer.digest)? {
                place = Bytes::Elsewhere;
            }
            result.layer = Some(canonical.layer);
            result.created = canonical.created;
            bytes = farm.memo.bytes(&farm.store, &canonical.layer.digest);
        }
        why::keep(&farm.store, &witness)?;
        farm.store.record_step(&StepRecord {
            scope: &farm.scope,
            step: &key,
            result: &result,
            bytes: place,
            preimage: &encoded,
            witness: &witness.encode(),
            evidence: &witness.evidence(),
            family: Some(&family),
        })?;
        Ok((Done { layer: result.layer, created: Some(result.created) }, bytes, place))
    })
    .await?;
    // The loss of one worker is to lose nothing.
    if let (Bytes::Elsewhere, Some(layer)) = (place, done.layer) {
        dispatch.replicate(layer.digest);
    }
    let event = BuildEvent::Finished { step: step.id, micros, usage: fresh.usage, bytes };
    shared.reporter.send(event).await;
    Ok(done)
}
