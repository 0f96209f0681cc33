//! What `COPY`, `ADD` and `WORKDIR` do to a stage, computed on records.
//!
//! The destination is looked at in the stage's merged tree, symbolic links followed inside the root, and the result is a
//! layer over it: what was copied, and the directories on the way with the metadata that they have. The rules are those
//! of `docker build`:
//!
//! - a destination that ends in a slash, or is the working directory, is a directory and is made as one;
//! - a file goes into a destination that is a directory, else it is made or replaced; a directory is never replaced by it;
//! - of a directory the contents are copied, merged with what is there; the destination itself keeps its metadata, and
//!   directories inside it get those of the source; nothing but a directory is ever merged with a directory;
//! - directories that have to be made belong to `--chown` or root and have mode 0755 or an octal `--chmod`;
//! - an archive is unpacked into the destination, and there whatever is in the way is replaced.
//!
//! One thing differs, for there is no clock here: directories that are made get the newest mtime that is copied, and
//! those of existing directories stay as they are.

mod archive;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::mem;

use crate::error::Error;
use crate::links::Groups;
use crate::passwd::Owner;
use crate::path;
use crate::record::{Directory, DirectoryRef, Entry, Metadata, Node, Tree};
use crate::records::{Records, load};
use crate::resolve::{Seen, View, resolve};
use crate::select::{Selection, What};
use crate::upper::{Dir, Item, Upper};

/// Where a selection goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Destination<'a> {
    /// As written: absolute, or relative to `workdir`; a trailing slash means a directory.
    pub path: &'a str,
    /// The working directory, absolute.
    pub workdir: &'a str,
    /// `--link`: the stage is not looked at, and symbolic links in it are replaced.
    pub link: bool,
}

/// Copies `selection` into the merged tree `stage` and returns the layer. It is empty when nothing was selected.
pub fn copy(
    records: &dyn Records,
    stage: &Tree,
    selection: &Selection,
    destination: Destination<'_>,
) -> Result<Tree, Error> {
    let mut upper = if destination.link {
        let root = Directory::empty(stage.root.metadata.clone());
        Upper::new(records, &Tree { root })
    } else {
        Upper::new(records, stage)
    };
    let target = Target::new(destination);
    let made = selection.made_directories();
    for item in selection.items() {
        upper.groups.forget_names();
        let at = target.prepare(&mut upper, &made)?;
        match &item.what {
            What::Leaf(node) => leaf(&mut upper, &at, &item.name, node, &made)?,
            What::Contents { record, partial } => contents(&mut upper, &at, record, partial, &made)?,
            What::Archive { tree, implied } => {
                archive::unpack(&mut upper, &at, tree, implied, selection)?;
            }
        }
    }
    upper.finish()
}

/// Makes `path`, which is absolute, for `WORKDIR`: a layer when something is missing, none when it is there. What is
/// made has mode 0755, belongs to `owner` and is as old as the directory that it is made in.
pub fn workdir(records: &dyn Records, stage: &Tree, path: &str, owner: Owner) -> Result<Option<Tree>, Error> {
    let at = resolve(records, stage, path.as_bytes())?;
    match at.node {
        Some(Node::Directory(_)) => return Ok(None),
        Some(_) => return Err(Error::NotADirectory(path::absolute(&at.path))),
        None => {}
    }
    let parent = resolve(records, stage, &at.existing)?.node;
    let parent = parent.as_ref().map_or(&stage.root.metadata, Node::metadata);
    let metadata = Metadata { uid: owner.uid, gid: owner.gid, ..Metadata::plain(0o755, parent.mtime) };
    let mut upper = Upper::new(records, stage);
    upper.make_directories(&at.path, &metadata)?;
    upper.finish().map(Some)
}

/// A destination, cleaned.
struct Target {
    /// The tree path before symbolic links are followed.
    path: Vec<u8>,
    /// Whether it has to be a directory.
    directory: bool,
}

impl Target {
    fn new(destination: Destination<'_>) -> Self {
        let written = destination.path;
        let directory = matches!(written, "" | ".") || written.ends_with('/') || written.ends_with("/.");
        let path = if written.starts_with('/') {
            path::clean(written.as_bytes())
        } else {
            path::clean(format!("{}/{written}", destination.workdir).as_bytes())
        };
        Self { path, directory }
    }

    /// Makes the directories that have to be there and returns where the destination leads.
    fn prepare(&self, upper: &mut Upper<'_>, made: &Metadata) -> Result<Vec<u8>, Error> {
        let needed = if self.directory { self.path.as_slice() } else { path::parent(&self.path) };
        let needed = upper.resolve(needed)?;
        upper.make_directories(&needed, made)?;
        upper.resolve(&self.path)
    }
}

fn leaf(upper: &mut Upper<'_>, at: &[u8], name: &[u8], node: &Node, made: &Metadata) -> Result<(), Error> {
    let at = if upper.see(at)? == Seen::Directory { path::join(at, name) } else { at.to_vec() };
    let records = upper.records;
    let parent = upper.make_directories(path::parent(&at), made)?;
    put_leaf(records, parent, path::name(&at), Item::Leaf(Box::new(node.clone())), &at)
}

/// Puts what is not a directory at `name`, unless a directory is there.
fn put_leaf(
    records: &dyn Records,
    parent: &mut Dir,
    name: &[u8],
    item: Item,
    at: &[u8],
) -> Result<(), Error> {
    if parent.see(records, name)? == Seen::Directory {
        return Err(Error::FileOverDirectory(path::absolute(at)));
    }
    parent.place(records, name, item)
}

fn contents(
    upper: &mut Upper<'_>,
    at: &[u8],
    record: &DirectoryRef,
    partial: &BTreeMap<Vec<u8>, u16>,
    made: &Metadata,
) -> Result<(), Error> {
    match upper.see(at)? {
        Seen::Directory | Seen::Missing => {}
        Seen::Symlink(_) | Seen::Other => return Err(Error::DirectoryOverFile(path::absolute(at))),
    }
    let records = upper.records;
    let mut groups = mem::take(&mut upper.groups);
    let dir = upper.make_directories(at, made)?;
    let mut lay = Lay { records, groups: &mut groups, partial, at };
    lay.directory(dir, record, b"")?;
    upper.groups = groups;
    Ok(())
}

/// Laying the contents of a source directory over a destination.
struct Lay<'a> {
    records: &'a dyn Records,
    groups: &'a mut Groups,
    partial: &'a BTreeMap<Vec<u8>, u16>,
    /// The destination, for messages and limits.
    at: &'a [u8],
}

impl Lay<'_> {
    /// Lays `record` over `dir`; `below` is where both are, from the destination on.
    fn directory(&mut self, dir: &mut Dir, record: &DirectoryRef, below: &[u8]) -> Result<(), Error> {
        for (name, entry) in load(self.records, record)?.iter() {
            let Entry::Node(node) = entry else { continue };
            let path = path::join(below, name);
            match node {
                Node::Directory(source) => self.subdirectory(dir, name, source, &path)?,
                Node::File(_) | Node::Symlink(_) | Node::Device(_) => {
                    let item = Item::of(node.clone(), self.groups);
                    put_leaf(self.records, dir, name, item, &path::join(self.at, &path))?;
                }
            }
        }
        Ok(())
    }

    fn subdirectory(
        &mut self,
        dir: &mut Dir,
        name: &[u8],
        source: &Directory,
        path: &[u8],
    ) -> Result<(), Error> {
        let child = match dir.see(self.records, name)? {
            Seen::Missing if source.record.linked == 0 => {
                return dir.place(self.records, name, Item::Graft(Box::new(source.clone())));
            }
            Seen::Missing => {
                // Only what is descended into counts here: a graft was a tree before.
                path::names(&path::join(self.at, path))?;
                dir.make(self.records, name, source.metadata.clone())?
            }
            Seen::Directory => {
                let child = dir.open(self.records, name)?;
                match self.partial.get(path) {
                    Some(mode) => child.metadata.mode = *mode,
                    None => overwrite(&mut child.metadata, &source.metadata),
                }
                child
            }
            Seen::Symlink(_) | Seen::Other => {
                let at = path::join(self.at, path);
                return Err(Error::DirectoryOverFile(path::absolute(&at)));
            }
        };
        self.directory(child, &source.record, path)
    }
}

/// Gives a directory that is there the metadata of its source. Extended attributes are added to those it has.
fn overwrite(metadata: &mut Metadata, source: &Metadata) {
    let mut xattrs = mem::take(&mut metadata.xattrs);
    xattrs.extend(source.xattrs.clone());
    *metadata = Metadata { xattrs, ..source.clone() };
}
