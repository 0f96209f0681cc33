//! What people order: workers that rest, steps that go elsewhere, images that stay.

use std::sync::Arc;

use farm_model::{BuildId, StepId, WorkerId};
use farm_proto::client::{Duty, Pinning, Reply};
use farm_store::Mark;

use crate::build::{Farm, blocking};
use crate::{Error, images};

/// Drains a worker, or has it work again; that holds until somebody says otherwise, over all restarts.
pub(crate) async fn drain(farm: &Arc<Farm>, worker: WorkerId, duty: Duty) -> Result<Reply, Error> {
    if !farm.dispatch.set_duty(worker.clone(), duty).await {
        return Err(Error::NoSuchWorker(worker));
    }
    let farm = Arc::clone(farm);
    blocking(move || {
        match duty {
            Duty::Drained => farm.store.put_mark(Mark::DrainedWorker, &worker.0)?,
            Duty::Open => farm.store.remove_mark(Mark::DrainedWorker, &worker.0)?,
        }
        Ok(Reply::Done)
    })
    .await
}

/// Takes a step from its worker and has it done elsewhere.
pub(crate) async fn relocate(farm: &Farm, build: BuildId, step: StepId, by: &str) -> Result<Reply, Error> {
    if farm.builds.running(build).is_none() && !farm.builds.history().is_known(build).await? {
        return Err(Error::NoBuild(build));
    }
    if !farm.dispatch.relocate((build, step), format!("moved by {by}")).await {
        return Err(Error::RunsNowhere { build, step });
    }
    Ok(Reply::Done)
}

/// Keeps an image under its name, or no longer than others.
pub(crate) async fn pin(farm: &Arc<Farm>, image: String, pinning: Pinning) -> Result<Reply, Error> {
    let farm = Arc::clone(farm);
    blocking(move || {
        let (name, _) = images::look_up(&farm, &image)?;
        match pinning {
            Pinning::Pinned => farm.store.put_mark(Mark::PinnedImage, &name)?,
            Pinning::Free => farm.store.remove_mark(Mark::PinnedImage, &name)?,
        }
        Ok(Reply::Done)
    })
    .await
}
