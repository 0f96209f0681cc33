//! Cache mounts: directories that outlive a build on its worker.
//!
//! A mount is a folder of instances. `shared` steps all use instance 0 at once; a `locked` step has it alone and waits for it; a
//! `private` step takes the first instance that nobody uses. A step takes all its mounts in one go, so that two steps never
//! wait for each other. What a mount holds is never a source of blobs: anybody who may run a step may change it.
//!
//! Which step has which instance is known here alone. That a mount is used at all is known to everybody by a shared lock on
//! its folder, which each step holds: whoever removes an instance locks the folder for itself first, and steps wait.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use farm_executor::CancelFlag;
use farm_model::op::Sharing;
use farm_proto::CacheMount;
use farm_store::Store;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::error::Error;

/// How often a waiting step looks whether it was cancelled.
const CANCEL_CHECK: Duration = Duration::from_millis(100);

/// The cache mounts of one worker.
#[derive(Clone)]
pub(crate) struct CacheMounts {
    store: Store,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    freed: Condvar,
    /// Held while an instance is made.
    making: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    users: Users,
    /// The build for which an instance was emptied last.
    emptied: BTreeMap<PathBuf, u64>,
}

type Users = BTreeMap<PathBuf, Use>;

/// Who uses an instance.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Use {
    Shared(usize),
    Alone,
}

/// An instance in use; given back on drop.
#[derive(Debug)]
pub(crate) struct Instance {
    shared: Arc<Shared>,
    directory: PathBuf,
    /// The lock on the mount's folder.
    _lock: OwnedFd,
}

impl CacheMounts {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, shared: Arc::default() }
    }

    /// Takes an instance of each of `mounts`, waiting until all can be had; two mounts of one id are one instance. What has
    /// to be fresh is emptied if nobody else uses it. None when the step was cancelled meanwhile.
    pub(crate) fn take(
        &self,
        mounts: &[&CacheMount],
        cancel: &CancelFlag,
    ) -> Result<Option<Vec<Arc<Instance>>>, Error> {
        let root = self.store.cache_mounts_root();
        let mut state = self.shared.lock();
        let (directories, locks) = loop {
            if cancel.is_cancelled() {
                return Ok(None);
            }
            if let Some((users, directories)) = claim_all(&state.users, &root, mounts)
                && let Some(locks) = lock_all(&directories)?
            {
                state.users = users;
                break (directories, locks);
            }
            state =
                self.shared.freed.wait_timeout(state, CANCEL_CHECK).unwrap_or_else(PoisonError::into_inner).0;
        };
        let mut instances: BTreeMap<PathBuf, Arc<Instance>> = BTreeMap::new();
        for (directory, lock) in locks {
            let instance =
                Instance { shared: Arc::clone(&self.shared), directory: directory.clone(), _lock: lock };
            instances.insert(directory, Arc::new(instance));
        }
        // An instance locks the state when it is dropped, and so on an error: the state is let go first.
        let emptied = mounts
            .iter()
            .zip(&directories)
            .try_for_each(|(mount, directory)| self.empty(&mut state, mount, directory));
        drop(state);
        emptied?;
        Ok(Some(directories.iter().map(|directory| Arc::clone(&instances[directory])).collect()))
    }

    /// Throws away what an instance held, once a build.
    fn empty(&self, state: &mut State, mount: &CacheMount, directory: &Path) -> Result<(), Error> {
        let Some(build) = mount.fresh else { return Ok(()) };
        let alone = matches!(state.users.get(directory), Some(Use::Alone | Use::Shared(1)));
        if !alone || state.emptied.get(directory) == Some(&build) {
            return Ok(());
        }
        if directory.exists() {
            self.store.throw_away(directory)?;
        }
        state.emptied.insert(directory.to_path_buf(), build);
        Ok(())
    }

    /// Has `make` fill an instance that does not exist yet; others wait for it. It is made under another name first: a
    /// directory that exists is complete.
    pub(crate) fn fill(
        &self,
        instance: &Instance,
        make: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let _turn = self.shared.making.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = instance.directory();
        if directory.exists() {
            return Ok(());
        }
        let making = directory.with_extension("new");
        if making.exists() {
            self.store.throw_away(&making)?;
        }
        std::fs::create_dir_all(&making).map_err(Error::io("create cache mount", &making))?;
        make(&making)?;
        std::fs::rename(&making, directory).map_err(Error::io("create cache mount", directory))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn release(&self, directory: &Path) {
        let users = &mut self.lock().users;
        match users.get_mut(directory) {
            Some(Use::Shared(count)) if *count > 1 => *count -= 1,
            _ => {
                users.remove(directory);
            }
        }
        self.freed.notify_all();
    }
}

impl Instance {
    /// The directory, which may not exist yet.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.shared.release(&self.directory);
    }
}

/// Locks the folder of each of `directories` for use; none when one of them is being removed from.
fn lock_all(directories: &[PathBuf]) -> Result<Option<BTreeMap<PathBuf, OwnedFd>>, Error> {
    let mut locks = BTreeMap::new();
    for directory in directories {
        if !locks.contains_key(directory) {
            let Some(lock) = lock_folder(directory)? else { return Ok(None) };
            locks.insert(directory.clone(), lock);
        }
    }
    Ok(Some(locks))
}

fn lock_folder(instance: &Path) -> Result<Option<OwnedFd>, Error> {
    let folder = instance.parent().unwrap_or(instance);
    std::fs::create_dir_all(folder).map_err(Error::io("create cache mount", folder))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let opened = rustix::fs::openat(CWD, folder, flags, Mode::empty());
    let opened = opened.map_err(std::io::Error::from).map_err(Error::io("open cache mount", folder))?;
    match rustix::fs::flock(&opened, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(Some(opened)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(Error::io("lock cache mount", folder)(error.into())),
    }
}

/// The instances of all `mounts` and who uses what then; none when one of them cannot be had now.
fn claim_all(users: &Users, root: &Path, mounts: &[&CacheMount]) -> Option<(Users, Vec<PathBuf>)> {
    let mut users = users.clone();
    let mut own: BTreeMap<&str, PathBuf> = BTreeMap::new();
    // Who wants to be alone comes first: a step that names a mount twice is alone with it if it wants that once.
    let (shared, alone): (Vec<&CacheMount>, Vec<_>) =
        mounts.iter().partition(|mount| mount.sharing == Sharing::Shared);
    for mount in alone.into_iter().chain(shared) {
        if !own.contains_key(mount.id.as_str()) {
            let folder = root.join(blake3::hash(mount.id.as_bytes()).to_hex().as_str());
            own.insert(&mount.id, claim(&mut users, &folder, mount.sharing)?);
        }
    }
    Some((users, mounts.iter().map(|mount| own[mount.id.as_str()].clone()).collect()))
}

fn claim(users: &mut Users, folder: &Path, sharing: Sharing) -> Option<PathBuf> {
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
            // One of these is free: there are more of them than users.
            let mut instances = (0..=users.len()).map(|number| folder.join(number.to_string()));
            let instance = instances.find(|path| !users.contains_key(path))?;
            users.insert(instance.clone(), Use::Alone);
            return Some(instance);
        }
    }
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(id: &str, sharing: Sharing) -> CacheMount {
        CacheMount {
            id: id.to_owned(),
            sharing,
            read_only: false,
            fresh: None,
            seed: None,
            mode: 0o755,
            uid: 0,
            gid: 0,
        }
    }

    fn mounts() -> (tempfile::TempDir, CacheMounts) {
        let root = tempfile::tempdir().unwrap();
        let mounts = CacheMounts::new(Store::open(root.path()).unwrap());
        (root, mounts)
    }

    fn take(mounts: &CacheMounts, wanted: &[CacheMount]) -> Vec<Arc<Instance>> {
        let wanted: Vec<&CacheMount> = wanted.iter().collect();
        mounts.take(&wanted, &CancelFlag::new().unwrap()).unwrap().unwrap()
    }

    #[test]
    fn shared_users_get_one_directory_and_private_ones_their_own() {
        let (_root, mounts) = mounts();
        let a = take(&mounts, &[mount("x", Sharing::Shared)]);
        let b = take(&mounts, &[mount("x", Sharing::Shared)]);
        let private = take(&mounts, &[mount("x", Sharing::Private)]);
        assert_eq!(a[0].directory(), b[0].directory());
        assert_ne!(private[0].directory(), a[0].directory());
    }

    #[test]
    fn whoever_removes_an_instance_and_the_steps_that_use_it_exclude_each_other() {
        let (_root, mounts) = mounts();
        let held = take(&mounts, &[mount("x", Sharing::Shared)]);
        let folder = std::fs::File::open(held[0].directory().parent().unwrap()).unwrap();
        let exclude = || rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive);
        assert!(exclude().is_err());
        drop(held);
        exclude().unwrap();
        let waiter = std::thread::spawn({
            let mounts = mounts.clone();
            move || take(&mounts, &[mount("x", Sharing::Shared)]).len()
        });
        std::thread::yield_now();
        assert!(!waiter.is_finished());
        drop(folder);
        assert_eq!(waiter.join().unwrap(), 1);
    }

    #[test]
    fn a_locked_mount_waits_and_a_cancelled_wait_ends() {
        let (_root, mounts) = mounts();
        let held = take(&mounts, &[mount("x", Sharing::Locked)]);
        let waiter = std::thread::spawn({
            let mounts = mounts.clone();
            move || take(&mounts, &[mount("x", Sharing::Locked)]).len()
        });
        drop(held);
        assert_eq!(waiter.join().unwrap(), 1);
        let _held = take(&mounts, &[mount("x", Sharing::Shared)]);
        let cancel = CancelFlag::new().unwrap();
        cancel.cancel();
        assert!(mounts.take(&[&mount("x", Sharing::Locked)], &cancel).unwrap().is_none());
    }

    #[test]
    fn steps_that_lock_the_same_mounts_in_another_order_do_not_wait_for_ever() {
        let (_root, mounts) = mounts();
        let threads: Vec<_> = [["a", "b"], ["b", "a"]]
            .into_iter()
            .map(|ids| {
                let mounts = mounts.clone();
                std::thread::spawn(move || {
                    for _ in 0..200 {
                        assert_eq!(take(&mounts, &ids.map(|id| mount(id, Sharing::Locked))).len(), 2);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    }

    #[test]
    fn a_step_that_names_a_locked_mount_twice_gets_it_twice() {
        let (_root, mounts) = mounts();
        let both = take(&mounts, &[mount("x", Sharing::Shared), mount("x", Sharing::Locked)]);
        assert_eq!(both[0].directory(), both[1].directory());
        let cancel = CancelFlag::new().unwrap();
        cancel.cancel();
        assert!(mounts.take(&[&mount("x", Sharing::Shared)], &cancel).unwrap().is_none());
        drop(both);
        assert_eq!(take(&mounts, &[mount("x", Sharing::Locked)]).len(), 1);
    }

    #[test]
    fn a_mount_is_made_once_and_emptied_once_a_build() {
        let (_root, mounts) = mounts();
        let fresh = |build| CacheMount { fresh: Some(build), ..mount("x", Sharing::Shared) };
        let mut made = 0;
        for build in [1, 1, 2] {
            let taken = take(&mounts, &[fresh(build)]);
            mounts
                .fill(&taken[0], |directory| {
                    made += 1;
                    std::fs::write(directory.join("f"), "x").map_err(Error::io("write", directory))
                })
                .unwrap();
            assert!(taken[0].directory().join("f").exists());
        }
        assert_eq!(made, 2);
        let user = take(&mounts, &[mount("x", Sharing::Shared)]);
        let _other = take(&mounts, &[fresh(3)]);
        assert!(user[0].directory().join("f").exists(), "it was emptied under a step that uses it");
    }
}
