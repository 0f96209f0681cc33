//! `farm du` and `farm prune`: the store's own accounts, with what images, running builds and steps need.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use farm_proto::client::Reply;
use farm_proto::image::{PruneRequest, UsageKind, UsageRow};
use farm_store::{Class, InUse, Pins, Prune, Usage};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags};

use crate::build::{Farm, blocking};
use crate::{Error, images};

/// What takes how much.
pub(crate) async fn usage(farm: &Arc<Farm>) -> Result<Reply, Error> {
    let farm = Arc::clone(farm);
    blocking(move || Ok(Reply::Usage(rows(&farm.store.usage(&pins(&farm)?)?)))).await
}

/// Removes what nobody needs. Work that is under way keeps what it looked at; the store sees to that.
pub(crate) async fn prune(farm: &Arc<Farm>, request: PruneRequest) -> Result<Reply, Error> {
    let farm = Arc::clone(farm);
    blocking(move || {
        let prune = Prune {
            classes: request.kinds.iter().map(|kind| class(*kind)).collect(),
            unused_for: request.unused_for.map(Duration::from_secs),
            keep_bytes: request.keep_bytes,
            all: request.all,
            dry_run: request.dry_run,
        };
        let gone = farm.store.prune(&prune, &pins(&farm)?, &is_in_use)?;
        Ok(Reply::Usage(rows(&gone)))
    })
    .await
}

/// Layers and merged trees of images with a name.
fn pins(farm: &Farm) -> Result<Pins, Error> {
    let mut layers = BTreeSet::new();
    for (_, record) in images::all(farm)? {
        layers.extend(record.layers());
        layers.insert(record.merged.digest);
    }
    Ok(Pins { layers })
}

/// A step holds a lock on each cache mount that it uses.
fn is_in_use(what: InUse<'_>) -> bool {
    match what {
        InUse::Layer(_) => false,
        InUse::CacheMount(path) => is_locked(path),
    }
}

fn is_locked(path: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let Ok(directory) = rustix::fs::openat(CWD, path, flags, Mode::empty()) else { return false };
    rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive).is_err()
}

fn rows(usage: &Usage) -> Vec<UsageRow> {
    let row = |class: Class| {
        let amount = usage.of(class);
        UsageRow {
            kind: kind(class),
            count: amount.count,
            bytes: amount.bytes,
            reclaimable: amount.reclaimable,
        }
    };
    Class::ALL.into_iter().map(row).collect()
}

fn class(kind: UsageKind) -> Class {
    match kind {
        UsageKind::Images => Class::Images,
        UsageKind::Cache => Class::Cache,
        UsageKind::CacheMounts => Class::CacheMounts,
        UsageKind::Packed => Class::Packed,
        UsageKind::BaseBlobs => Class::BaseBlobs,
        UsageKind::Metadata => Class::Metadata,
    }
}

fn kind(class: Class) -> UsageKind {
    match class {
        Class::Images => UsageKind::Images,
        Class::Cache => UsageKind::Cache,
        Class::CacheMounts => UsageKind::CacheMounts,
        Class::Packed => UsageKind::Packed,
        Class::BaseBlobs => UsageKind::BaseBlobs,
        Class::Metadata => UsageKind::Metadata,
    }
}
