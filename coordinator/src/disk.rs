//! `farm du` and `farm prune`: the accounts of every store of the farm, with what images, running builds and steps need.
//!
//! The coordinator's store comes first; the worker in its process shares it. Workers on machines of their own are asked at
//! the same time; one that cannot answer is told of and holds up nobody else.

mod sample;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use farm_exchange::accounts;
use farm_model::{LayerDigest, OciDigest, WorkerId};
use farm_oci::{ImageLayer, Resolved};
use farm_proto::client::Reply;
use farm_proto::image::{NodeUsage, PruneRequest};
use farm_proto::worker::{Accounts, Errand};
use farm_store::Pins;
use farm_transport::Connection;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::build::{Farm, blocking};
use crate::transfer::sources;
use crate::{Error, images};

pub(crate) use sample::{Samples, sample_while_watched};

/// How long a worker may take for its accounts.
const COUNTING: Duration = Duration::from_secs(60);
/// How long a worker may take to prune.
const PRUNING: Duration = Duration::from_secs(3600);

/// What takes how much.
pub(crate) async fn usage(farm: &Arc<Farm>) -> Result<Reply, Error> {
    let own = Arc::clone(farm);
    let (rows, pins) = blocking(move || {
        let pins = pins(&own)?;
        Ok((accounts::rows(&own.store.usage(&pins)?), pins))
    })
    .await?;
    let errand = Errand::Usage { pinned: listed(&pins) };
    everywhere(farm, rows, errand, COUNTING).await
}

/// Removes what nobody needs.
pub(crate) async fn prune(farm: &Arc<Farm>, request: PruneRequest) -> Result<Reply, Error> {
    let (own, asked) = (Arc::clone(farm), request.clone());
    let (rows, pins) = blocking(move || {
        let pins = pins(&own)?;
        let gone = accounts::prune(&own.store, &asked, &pins)?;
        if !asked.dry_run {
            sources::forget_old(&own.store, &base_blobs(&own)?)?;
        }
        Ok((gone, pins))
    })
    .await?;
    everywhere(farm, rows, Errand::Prune { request, pinned: listed(&pins) }, PRUNING).await
}

fn listed(pins: &Pins) -> Vec<LayerDigest> {
    pins.layers.iter().copied().collect()
}

/// The coordinator's own rows, and the answers of the workers to `errand`, by name.
async fn everywhere(
    farm: &Farm,
    rows: Vec<farm_proto::image::UsageRow>,
    errand: Errand,
    patience: Duration,
) -> Result<Reply, Error> {
    let mut asking = JoinSet::new();
    for (worker, connection) in farm.dispatch.workers().connections() {
        let errand = errand.clone();
        asking.spawn(async move { ask(worker, &connection, &errand, patience).await });
    }
    let mut answers = asking.join_all().await;
    answers.sort_by(|one, other| one.worker.cmp(&other.worker));
    let mut nodes = vec![NodeUsage { worker: None, rows, failure: None }];
    nodes.append(&mut answers);
    Ok(Reply::Usage(nodes))
}

async fn ask(worker: WorkerId, connection: &Connection, errand: &Errand, patience: Duration) -> NodeUsage {
    let asking = async {
        let mut stream = connection.open().await?;
        stream.send(errand).await?;
        stream.receive::<Accounts>().await
    };
    let (rows, failure) = match timeout(patience, asking).await {
        Ok(Ok(Some(Accounts::Rows(rows)))) => (rows, None),
        Ok(Ok(Some(Accounts::Failed(reason)))) => (Vec::new(), Some(reason)),
        Ok(Ok(None)) => (Vec::new(), Some("it gave no answer".to_owned())),
        Ok(Err(error)) => (Vec::new(), Some(farm_model::causes(&error))),
        Err(_) => (Vec::new(), Some(format!("it did not answer within {} s", patience.as_secs()))),
    };
    NodeUsage { worker: Some(worker.0), rows, failure }
}

/// Layers and merged trees of images with a name.
fn pins(farm: &Farm) -> Result<Pins, Error> {
    let mut layers = BTreeSet::new();
    // What cannot be read cannot be spared either: nothing is pruned then.
    for (_, record) in images::every(farm)? {
        layers.extend(record.layers());
        layers.insert(record.merged.digest);
    }
    Ok(Pins { layers })
}

/// Layers of base images that images with a name are built on, or that a later build finds by what registries answered.
fn base_blobs(farm: &Farm) -> Result<BTreeSet<OciDigest>, Error> {
    let mut blobs = BTreeSet::new();
    for (_, tag) in farm.store.tags("")? {
        // What is no answer about an image is something else that is remembered there.
        if let Ok(resolved) = Resolved::decode(&tag.bytes) {
            blobs.extend(resolved.layers.iter().map(|layer| layer.descriptor.digest));
        }
    }
    for (_, record) in images::every(farm)? {
        blobs.extend(record.image.layers.iter().filter_map(|layer| match layer {
            ImageLayer::Base { descriptor, .. } => Some(descriptor.descriptor.digest),
            ImageLayer::Built(_) => None,
        }));
    }
    Ok(blobs)
}
