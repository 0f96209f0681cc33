//! The mounts of a task as the executor wants them, and what must be kept until the step ends.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use farm_executor::{Access, CancelFlag, Mount, MountKind, OverlayAccess, Secret};
use farm_proto::{Agent, CacheMount, RunTask, TaskMountKind};
use farm_store::{Scratch, Store};
use farm_tree::select::{Adjustment, Item, Options, Selection, What};
use farm_tree::{DirectoryRef, File, Metadata, Mtime, Node, TreeBuilder};

use crate::cache_mount::{CacheMounts, Instance};
use crate::error::Error;
use crate::rootfs::{self, Stub};

/// Mode of a `tmpfs` mount's root.
const TMPFS_MODE: u32 = 0o1777;
/// Mode of a heredoc that runs as a program.
const SCRIPT_MODE: u16 = 0o755;
/// Its name in its layer.
const SCRIPT: &str = "script";
const SHM: &str = "/dev/shm";

/// What a step's mounts came to.
#[derive(Default)]
pub(crate) struct Prepared {
    pub(crate) mounts: Vec<Mount>,
    /// Variables that hold secrets.
    pub(crate) env: Vec<(String, String)>,
    /// Values to keep out of log and layer.
    pub(crate) secrets: Vec<farm_proto::Secret>,
    /// What has to exist in the root file system.
    pub(crate) targets: Vec<(String, Stub)>,
    /// Given back when the step ends.
    pub(crate) instances: Vec<Arc<Instance>>,
    /// Removed when the step ends.
    pub(crate) scratches: Vec<Scratch>,
}

/// Prepares the mounts of `task`. None when the step was cancelled while it waited for a cache mount.
pub(crate) fn prepare(
    store: &Store,
    caches: &CacheMounts,
    task: &RunTask,
    cancel: &CancelFlag,
) -> Result<Option<Prepared>, Error> {
    let mut prepared = Prepared::default();
    let wanted: Vec<&CacheMount> = task.mounts.iter().filter_map(|mount| cache_of(&mount.kind)).collect();
    let Some(instances) = caches.take(&wanted, cancel)? else { return Ok(None) };
    let mut taken = instances.iter();
    for mount in &task.mounts {
        let target = mount.target.as_str();
        match &mount.kind {
            TaskMountKind::Bind { layers, merged, source, writable } => {
                let tree = store.tree(&merged.digest)?.ok_or(Error::LayerGone(merged.digest))?;
                let found = farm_tree::resolve::resolve(store, &tree, source.as_bytes())?;
                let stub = match &found.node {
                    Some(farm_tree::Node::Directory(_)) => Stub::Directory,
                    Some(_) => Stub::File,
                    None => {
                        let message =
                            format!("mount at `{target}`: source `{source}`: no such file or directory");
                        return Err(Error::User { message, hint: None });
                    }
                };
                let access = if *writable {
                    let scratch = store.scratch()?;
                    let access = OverlayAccess::Discard { upper: scratch.upper(), work: scratch.work() };
                    prepared.scratches.push(scratch);
                    access
                } else {
                    OverlayAccess::ReadOnly
                };
                let lowers = rootfs::lowers(store, layers)?;
                prepared.add(target, stub, MountKind::Overlay { lowers, subpath: source.clone(), access });
            }
            TaskMountKind::Cache(cache) => {
                let instance = taken.next().expect("an instance was taken for each mount");
                caches.fill(instance, |directory| fill(store, cache, directory))?;
                let access = if cache.read_only { Access::ReadOnly } else { Access::ReadWrite };
                let source = instance.directory().to_path_buf();
                prepared.add(target, Stub::Directory, MountKind::Bind { source, access });
            }
            TaskMountKind::Tmpfs { size } => {
                prepared.add(target, Stub::Directory, MountKind::Tmpfs { size: *size, mode: TMPFS_MODE });
            }
            TaskMountKind::Secret { value, mode, uid, gid } => {
                let bytes = Secret(value.expose().to_vec());
                let kind = MountKind::SecretFile { bytes, mode: *mode, uid: *uid, gid: *gid };
                prepared.secrets.push(value.clone());
                prepared.add(target, Stub::File, kind);
            }
            TaskMountKind::SecretEnv { name, value } => {
                let text = String::from_utf8(value.expose().to_vec()).map_err(|_| Error::User {
                    message: format!("the secret for variable `{name}` is not UTF-8 text"),
                    hint: Some("mount it as a file instead: leave out `env=`"),
                })?;
                // Refused here already: later nobody knows that the text must not be shown.
                if text.contains('\0') {
                    let message = format!("the secret for variable `{name}` contains a zero byte");
                    let hint = Some("mount it as a file instead: leave out `env=`");
                    return Err(Error::User { message, hint });
                }
                prepared.secrets.push(value.clone());
                prepared.env.push((name.clone(), text));
            }
            TaskMountKind::Ssh { agent, mode, uid, gid } => {
                let source = match agent {
                    Agent::Path(path) => path.into(),
                    // Where there is a way to the client's agent, it was given a path before.
                    Agent::Client { id } => {
                        let message = format!("mount at `{target}`: there is no way to the agent `{id}`");
                        return Err(Error::User { message, hint: None });
                    }
                };
                let kind = MountKind::UnixSocket { source, mode: *mode, uid: *uid, gid: *gid };
                prepared.add(target, Stub::File, kind);
            }
        }
    }
    for (path, bytes) in &task.files {
        let kind = script(store, bytes)?;
        prepared.add(path, Stub::File, kind);
    }
    if let Some(size) = task.shm_size
        && !prepared.mounts.iter().any(|mount| mount.target == SHM)
    {
        prepared.add(SHM, Stub::Directory, MountKind::Tmpfs { size: Some(size), mode: TMPFS_MODE });
    }
    prepared.instances = instances;
    Ok(Some(prepared))
}

fn cache_of(kind: &TaskMountKind) -> Option<&CacheMount> {
    if let TaskMountKind::Cache(cache) = kind { Some(cache) } else { None }
}

impl Prepared {
    /// Gives back what only a running command needs, and keeps the secrets.
    pub(crate) fn release(self) -> Vec<farm_proto::Secret> {
        self.secrets
    }

    fn add(&mut self, target: &str, stub: Stub, kind: MountKind) {
        // What lies inside an earlier mount, or in /dev and its like, is made there by the executor.
        let covered = |earlier: &Mount| Path::new(target).starts_with(&earlier.target);
        let virtual_root = ["/proc", "/sys", "/dev"].iter().any(|root| Path::new(target).starts_with(root));
        if !virtual_root && !self.mounts.iter().any(covered) {
            self.targets.push((target.to_owned(), stub));
        }
        self.mounts.push(Mount { target: target.to_owned(), kind });
    }
}

/// A program that exists only while the command runs. It must be executable, so it lies in a layer of its own.
fn script(store: &Store, bytes: &[u8]) -> Result<MountKind, Error> {
    let blob = store.ingest(&mut &*bytes, None)?;
    let metadata = Metadata::plain(SCRIPT_MODE, Mtime::default());
    let mut builder = TreeBuilder::default();
    builder.insert(SCRIPT.as_bytes(), Node::File(File { metadata, blob, hard_link: None }))?;
    let layer = store.put_tree(&builder.finish(store)?)?;
    let lowers = rootfs::lowers(store, &[layer])?;
    Ok(MountKind::Overlay { lowers, subpath: SCRIPT.to_owned(), access: OverlayAccess::ReadOnly })
}

/// Makes a fresh instance of a cache mount in an empty directory.
fn fill(store: &Store, cache: &CacheMount, directory: &Path) -> Result<(), Error> {
    seed(store, cache, directory)?;
    std::os::unix::fs::chown(directory, Some(cache.uid), Some(cache.gid))
        .map_err(Error::io("change owner of", directory))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(cache.mode);
    std::fs::set_permissions(directory, mode).map_err(Error::io("change mode of", directory))
}

/// Copies what a fresh instance starts with.
fn seed(store: &Store, cache: &CacheMount, directory: &Path) -> Result<(), Error> {
    let Some((_, merged, path)) = &cache.seed else { return Ok(()) };
    let tree = store.tree(&merged.digest)?.ok_or(Error::LayerGone(merged.digest))?;
    let found = farm_tree::resolve::resolve(store, &tree, path.as_bytes())?;
    let Some(root) = found.node.and_then(|node| node.as_directory().cloned()) else {
        let message = format!("cache mount `{}`: source `{path}` is not a directory", cache.id);
        return Err(Error::User { message, hint: None });
    };
    let record = if root.record.linked == 0 { root.record } else { relinked(store, &tree, path)? };
    let subtree = farm_tree::Tree { root: farm_tree::Directory { record, ..root } };
    store.put_tree(&subtree)?;
    let source = store.materialise(&subtree)?;
    let mut copy = Command::new("cp");
    copy.args(["-a", "--reflink=auto", "--"]).arg(source.join(".")).arg(directory);
    let output = copy.output().map_err(Error::io("run `cp` for", directory))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let reason = std::io::Error::other(format!("`cp` failed with {}: {}", output.status, said.trim()));
    Err(Error::io("seed cache mount", directory)(reason))
}

/// The directory `path` of `tree` on its own: files with several names are named from there.
fn relinked(store: &Store, tree: &farm_tree::Tree, path: &str) -> Result<DirectoryRef, Error> {
    let mut selection = Selection::new(Adjustment::default());
    let literal: String = path
        .chars()
        .flat_map(|char| matches!(char, '*' | '?' | '[' | '\\').then_some('\\').into_iter().chain([char]))
        .collect();
    selection.add_path(store, tree, &literal, &Options::default())?;
    match selection.items() {
        [Item { what: What::Contents { record, .. }, .. }] => Ok(*record),
        _ => Err(farm_tree::Error::NotFound(path.to_owned()).into()),
    }
}
