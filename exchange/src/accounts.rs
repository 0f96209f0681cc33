//! What a store holds, and what goes of it, in the words of the protocol: the same on a coordinator and on a worker.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use farm_proto::image::{PruneRequest, UsageKind, UsageRow};
use farm_store::{Class, InUse, Pins, Prune, Store, Usage};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags};

/// Removes what nobody needs. Work that is under way keeps what it looked at; the store sees to that.
pub fn prune(store: &Store, request: &PruneRequest, pins: &Pins) -> Result<Vec<UsageRow>, farm_store::Error> {
    let prune = Prune {
        classes: request.kinds.iter().map(|kind| class(*kind)).collect(),
        unused_for: request.unused_for.map(Duration::from_secs),
        keep_bytes: request.keep_bytes,
        all: request.all,
        dry_run: request.dry_run,
    };
    let folders = Folders::default();
    Ok(rows(&store.prune(&prune, pins, &|what| folders.is_in_use(what))?))
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

/// What a store holds, or held, kind by kind.
pub fn rows(usage: &Usage) -> Vec<UsageRow> {
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

/// A class in the words of the protocol.
pub fn kind(class: Class) -> UsageKind {
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
