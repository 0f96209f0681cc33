//! `WORKDIR`: the directory appears when it does not exist. A pure function of the stage's tree.

use std::time::Instant;

use farm_model::op::Workdir;
use farm_model::{BuildEvent, Stage, Step, Usage};

use farm_tree::passwd::Owner;

use crate::Error;
use crate::build::{blocking, now};
use crate::key::Preimage;
use crate::stage::{Shared, State};
use crate::step::record::{self, Fresh};
use crate::step::{Done, copy};

pub(super) fn preimage(stage: &Stage, workdir: &Workdir, so_far: &State) -> Preimage {
    let mut preimage = Preimage::new("workdir", &so_far.merged, &stage.platform);
    preimage.text("path", &workdir.path);
    preimage.text("user", &workdir.user);
    preimage
}

pub(crate) async fn workdir(
    shared: &Shared,
    stage: &Stage,
    step: &Step,
    workdir: &Workdir,
    so_far: &State,
) -> Result<Done, Error> {
    let preimage = preimage(stage, workdir, so_far);
    let key = preimage.key();
    let alone = shared.farm.dispatch.turn(&shared.farm.scope, key).alone().await;
    if let Some(done) = record::look_up(shared, stage, step, &preimage, alone.order()).await? {
        return Ok(done);
    }
    let started = Instant::now();
    shared.reporter.send(BuildEvent::Started { step: step.id, worker: None }).await;
    if !workdir.user.is_empty() {
        copy::ensure_accounts(shared, so_far).await?;
    }
    let (store, merged, op) = (shared.farm.store.clone(), so_far.merged.clone(), workdir.clone());
    let layer = blocking(move || {
        // Whoever USER names may be made only later; until then the directory is root's, as with `docker build`.
        let owner = match copy::owner(&store, &merged, &op.user) {
            Err(Error::Tree(error)) if matches!(*error, farm_tree::Error::UnknownName { .. }) => {
                Owner::default()
            }
            owner => owner?,
        };
        let layer = farm_tree::copy::workdir(&store, &merged, &op.path, owner)?;
        Ok(layer.map(|tree| store.put_tree(&tree)).transpose()?)
    })
    .await?;
    let fresh = Fresh { layer, ended: now(), usage: Usage::default() };
    let done = record::commit(shared, stage, step, &so_far.merged, &preimage, fresh, started).await?;
    shared.farm.dispatch.settled(shared.build, step.id, started.elapsed());
    Ok(done)
}
