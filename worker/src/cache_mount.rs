//! Cache mounts: directories that outlive a build on its worker.
//!
//! A mount is a folder of instances. `shared` steps all use instance 0 at once; a `locked` step has it alone and waits for it; a
//! `private` step takes the first instance that nobody uses. What a mount holds is never a source of blobs: anybody who
//! may run a step may change it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use farm_executor::CancelFlag;
use farm_model::op::Sharing;
use farm_proto::CacheMount;

/// How often a waiting step looks whether it was cancelled.
const CANCEL_CHECK: Duration = Duration::from_millis(100);

/// The cache mounts of one worker.
#[derive(Clone, Debug)]
pub(crate) struct CacheMounts {
    root: PathBuf,
    users: Arc<(Mutex<BTreeMap<PathBuf, Use>>, Condvar)>,
}

/// Who uses an instance.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Use {
    Shared(usize),
    Alone,
}

/// An instance in use; given back on drop.
#[derive(Debug)]
pub(crate) struct Instance {
    mounts: CacheMounts,
    directory: PathBuf,
    alone: bool,
}

impl CacheMounts {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, users: Arc::default() }
    }

    /// Takes an instance of `mount`, waiting for a locked one. None when the step was cancelled meanwhile.
    pub(crate) fn take(&self, mount: &CacheMount, cancel: &CancelFlag) -> Option<Instance> {
        let folder = self.root.join(blake3::hash(mount.id.as_bytes()).to_hex().as_str());
        let (users, freed) = &*self.users;
        let mut users = users.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if cancel.is_cancelled() {
                return None;
            }
            if let Some(directory) = claim(&mut users, &folder, mount.sharing) {
                let alone = matches!(users.get(&directory), Some(Use::Alone | Use::Shared(1)));
                return Some(Instance { mounts: self.clone(), directory, alone });
            }
            users = freed.wait_timeout(users, CANCEL_CHECK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn release(&self, directory: &Path) {
        let (users, freed) = &*self.users;
        let mut users = users.lock().unwrap_or_else(PoisonError::into_inner);
        match users.get_mut(directory) {
            Some(Use::Shared(count)) if *count > 1 => *count -= 1,
            _ => {
                users.remove(directory);
            }
        }
        freed.notify_all();
    }
}

fn claim(users: &mut BTreeMap<PathBuf, Use>, folder: &Path, sharing: Sharing) -> Option<PathBuf> {
    let first = folder.join("0");
    match (sharing, users.get_mut(&first)) {
        (Sharing::Shared, Some(Use::Shared(count))) => *count += 1,
        (Sharing::Shared, None) => {
            users.insert(first.clone(), Use::Shared(1));
        }
        (Sharing::Locked, None) => {
            users.insert(first.clone(), Use::Alone);
        }
        (Sharing::Shared | Sharing::Locked, Some(_)) => return None,
        (Sharing::Private, _) => {
            let instance =
                (0_u32..).map(|n| folder.join(n.to_string())).find(|path| !users.contains_key(path))?;
            users.insert(instance.clone(), Use::Alone);
            return Some(instance);
        }
    }
    Some(first)
}

impl Instance {
    /// The directory, which may not exist yet.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether nobody else used it when it was taken.
    pub(crate) fn is_alone(&self) -> bool {
        self.alone
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.mounts.release(&self.directory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(sharing: Sharing) -> CacheMount {
        CacheMount {
            id: "main/x".to_owned(),
            sharing,
            read_only: false,
            fresh: false,
            seed: None,
            mode: 0o755,
            uid: 0,
            gid: 0,
        }
    }

    #[test]
    fn shared_users_get_one_directory_and_private_ones_their_own() {
        let mounts = CacheMounts::new(PathBuf::from("/nowhere"));
        let cancel = CancelFlag::new().unwrap();
        let take = |sharing| mounts.take(&mount(sharing), &cancel).unwrap();
        let (a, b) = (take(Sharing::Shared), take(Sharing::Shared));
        assert_eq!(a.directory(), b.directory());
        assert_ne!(take(Sharing::Private).directory(), a.directory());
    }

    #[test]
    fn a_locked_mount_waits_and_a_cancelled_wait_ends() {
        let mounts = CacheMounts::new(PathBuf::from("/nowhere"));
        let cancel = CancelFlag::new().unwrap();
        let held = mounts.take(&mount(Sharing::Locked), &cancel).unwrap();
        let waiter = std::thread::spawn({
            let (mounts, cancel) = (mounts.clone(), cancel.clone());
            move || mounts.take(&mount(Sharing::Locked), &cancel).is_some()
        });
        drop(held);
        assert!(waiter.join().unwrap());
        let _held = mounts.take(&mount(Sharing::Shared), &cancel).unwrap();
        cancel.cancel();
        assert!(mounts.take(&mount(Sharing::Locked), &cancel).is_none());
    }
}
