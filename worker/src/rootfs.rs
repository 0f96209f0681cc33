//! The root file system of a step: layer directories, and on top of them a layer of stubs.
//!
//! A mount needs something to be mounted on. Where the image has nothing at a target, a stub is put into a layer of its own
//! just above the image, with parent directories that equal the image's. The step's upper directory is thus never
//! touched by us, and nothing has to be told apart or taken out again at commit. The same image and targets give the same
//! stub layer, which is kept like any other.

use std::path::{Path, PathBuf};

use farm_model::result::LayerRef;
use farm_store::Store;
use farm_tree::{Directory, File, Metadata, Node, Tree, TreeBuilder, resolve};
use rustix::fs::{CWD, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};

use crate::error::Error;

const NANOS: i64 = 1_000_000_000;

/// What a mount needs below it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stub {
    Directory,
    File,
}

/// Makes an empty upper directory look like the root below it: its own mode, owner and time are what a step sees as those
/// of `/`, and what commit finds changed.
pub(crate) fn dress(upper: &Path, root: &Metadata) -> Result<(), Error> {
    let failed = |error: rustix::io::Errno| Error::io("set the attributes of", upper)(error.into());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let handle = rustix::fs::openat(CWD, upper, flags, Mode::empty()).map_err(failed)?;
    rustix::fs::fchown(&handle, Some(Uid::from_raw(root.uid)), Some(Gid::from_raw(root.gid)))
        .map_err(failed)?;
    rustix::fs::fchmod(&handle, Mode::from_raw_mode(u32::from(root.mode))).map_err(failed)?;
    for (name, value) in &root.xattrs {
        rustix::fs::fsetxattr(&handle, name.as_slice(), value, XattrFlags::empty()).map_err(failed)?;
    }
    let time =
        Timespec { tv_sec: root.mtime.0.div_euclid(NANOS), tv_nsec: root.mtime.0.rem_euclid(NANOS) as _ };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::futimens(&handle, &times).map_err(failed)
}

/// The directories of a stack of layers, topmost first, made where they are missing. Never fewer than two: overlayfs wants
/// that of a read-only mount.
pub(crate) fn lowers(store: &Store, layers: &[LayerRef]) -> Result<Vec<PathBuf>, Error> {
    let mut directories = Vec::with_capacity(layers.len().max(2));
    for layer in layers.iter().rev() {
        let directory = if let Some(directory) = store.layer_directory(&layer.digest)? {
            directory
        } else {
            let tree = store.tree(&layer.digest)?.ok_or(Error::LayerGone(layer.digest))?;
            // What was damaged was moved aside, and has to be made or fetched anew.
            store.materialise(&tree).map_err(|error| {
                if error.is_loss() { Error::Lost(vec![layer.digest]) } else { error.into() }
            })?
        };
        if !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    let mut filler = Tree::empty();
    while directories.len() < 2 {
        // Two empty layers must differ, since overlayfs refuses the same directory twice.
        filler.root.metadata.mtime.0 += 1;
        store.put_tree(&filler)?;
        directories.push(store.materialise(&filler)?);
    }
    Ok(directories)
}

/// A layer with what `targets` lack in `merged`; none when they lack nothing.
pub(crate) fn stubs(store: &Store, merged: &Tree, targets: &[(String, Stub)]) -> Result<Option<Tree>, Error> {
    let mut builder = TreeBuilder::new(merged.root.metadata.clone());
    builder.insert(b"", Node::Directory(Directory::empty(merged.root.metadata.clone())))?;
    let mut missing = false;
    for (target, stub) in targets {
        let found = resolve::resolve(store, merged, target.as_bytes())?;
        if found.node.is_some() || builder.get(&found.path).is_some() {
            continue;
        }
        missing = true;
        parents(store, merged, &mut builder, &found.path)?;
        let metadata = |mode| Metadata::plain(mode, merged.root.metadata.mtime);
        let node = match stub {
            Stub::Directory => Node::Directory(Directory::empty(metadata(0o755))),
            Stub::File => {
                let blob = store.ingest(&mut std::io::empty(), None)?;
                Node::File(File { metadata: metadata(0o644), blob, hard_link: None })
            }
        };
        builder.insert(&found.path, node)?;
    }
    if !missing {
        return Ok(None);
    }
    let tree = builder.finish(store)?;
    store.put_tree(&tree)?;
    Ok(Some(tree))
}

/// Puts the directories above `path` into `builder` as the image has them.
fn parents(store: &Store, merged: &Tree, builder: &mut TreeBuilder, path: &[u8]) -> Result<(), Error> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    for end in slashes {
        let parent = &path[..end];
        if builder.get(parent).is_some() {
            continue;
        }
        let found = resolve::lookup(store, merged, parent)?;
        let metadata = found.node.as_ref().map_or_else(
            || Metadata::plain(0o755, merged.root.metadata.mtime),
            |node| node.metadata().clone(),
        );
        builder.insert(parent, Node::Directory(Directory::empty(metadata)))?;
    }
    Ok(())
}
