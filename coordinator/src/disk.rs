//! `farm du` and `farm prune`: the store's own accounts, with what images, running builds and steps need.

mod sample;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use farm_model::OciDigest;
use farm_oci::{ImageLayer, Resolved};
use farm_proto::client::Reply;
use farm_proto::image::{PruneRequest, UsageKind, UsageRow};
use farm_store::{Class, InUse, Pins, Prune, Usage};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags};

use crate::build::{Farm, blocking};
use crate::transfer::sources;
use crate::{Error, images};

pub(crate) use sample::{Samples, sample_while_watched};

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
        let folders = Folders::default();
        let gone = farm.store.prune(&prune, &pins(&farm)?, &|what| folders.is_in_use(what))?;
        if !prune.dry_run {
            sources::forget_old(&farm.store, &base_blobs(&farm)?)?;
        }
        Ok(Reply::Usage(rows(&gone)))
    })
    .await
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

/// Folders of cache mounts that are about to be removed, locked until everything is: every step that uses a mount holds a
/// shared lock on its folder, and one that wants to waits meanwhile. Of mounts that may stay the lock is only tried.
#[derive(Debug, Default)]
struct Folders {
    locked: RefCell<BTreeMap<PathBuf, OwnedFd>>,
}

impl Folders {
    fn is_in_use(&self, what: InUse<'_>) -> bool {
        match what {
            InUse::Layer(_) => false,
            InUse::CacheMount(instance) => instance.parent().is_none_or(|folder| lock(folder).is_none()),
            InUse::Removal(instance) => instance.parent().is_none_or(|folder| !self.keep_locked(folder)),
        }
    }

    fn keep_locked(&self, folder: &Path) -> bool {
        let mut locked = self.locked.borrow_mut();
        if locked.contains_key(folder) {
            return true;
        }
        let Some(free) = lock(folder) else { return false };
        locked.insert(folder.to_owned(), free);
        true
    }
}

/// Locks a folder that no step uses, as long as the handle is open.
fn lock(folder: &Path) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let opened = rustix::fs::openat(CWD, folder, flags, Mode::empty()).ok()?;
    rustix::fs::flock(&opened, FlockOperation::NonBlockingLockExclusive).is_ok().then_some(opened)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_that_may_stay_is_free_for_steps_while_others_are_removed() {
        let root = tempfile::tempdir().unwrap();
        let (stays, goes) = (root.path().join("stays"), root.path().join("goes"));
        for folder in [&stays, &goes] {
            std::fs::create_dir(folder).unwrap();
        }
        let folders = Folders::default();
        let used = lock(&stays);
        assert!(folders.is_in_use(InUse::CacheMount(&stays.join("0"))));
        drop(used);
        for folder in [&stays, &goes] {
            assert!(!folders.is_in_use(InUse::CacheMount(&folder.join("0"))));
        }
        for instance in ["0", "1"] {
            assert!(!folders.is_in_use(InUse::Removal(&goes.join(instance))));
        }
        assert!(lock(&stays).is_some() && lock(&goes).is_none());
    }
}
