//! A tree in the making, whose entries come by written paths.
//!
//! Invariant: nothing is placed before its parent was resolved to a real path inside the root, so no entry can lie behind a
//! symbolic link or outside.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use farm_store::Store;
use farm_tree::build::Found;
use farm_tree::{Directory, Entries, Entry, File, Metadata, Mtime, Node, Records, Tree, TreeBuilder, path};

use crate::Error;
use crate::error::ArchiveFault;

/// How many symbolic links a path may run through.
const MAX_LINKS: u32 = 255;
/// How many directories of the chain below are kept at hand.
const CACHED_DIRECTORIES: usize = 8192;
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Names that old union file systems kept for themselves.
const RESERVED: &[u8] = b".wh..wh.";

/// What paths may run through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reach {
    /// A layer: symbolic links of the whole chain, resolved inside the root. Whiteouts mean something.
    Chain,
    /// An archive of its own: an absolute link is kept, but not followed. Whiteouts are files like others.
    Itself,
}

/// Why an entry could not be placed.
#[derive(Debug)]
pub(super) enum Problem {
    Fault(ArchiveFault),
    Error(Box<Error>),
}

impl From<ArchiveFault> for Problem {
    fn from(fault: ArchiveFault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Error(Box::new(error))
    }
}

impl From<farm_tree::Error> for Problem {
    fn from(error: farm_tree::Error) -> Self {
        if matches!(error, farm_tree::Error::InvalidPath(_) | farm_tree::Error::TooDeep(_)) {
            Self::Fault(ArchiveFault::InvalidPath)
        } else if matches!(error, farm_tree::Error::NotADirectory(_)) {
            Self::Fault(ArchiveFault::ParentNotDirectory)
        } else {
            Self::Error(Box::new(Error::Tree(error)))
        }
    }
}

/// What lies at a real path of the draft over the chain below.
enum Seen {
    Missing,
    Directory,
    Symlink(Vec<u8>),
    Other,
}

pub(super) struct Draft<'a> {
    store: &'a Store,
    below: Tree,
    reach: Reach,
    builder: TreeBuilder,
    /// Directories of the draft that hide what is below.
    opaque: BTreeSet<Vec<u8>>,
    /// The last parent that was resolved without a symbolic link on the way: entries come directory by directory.
    parent: Option<Vec<u8>>,
    below_entries: HashMap<Vec<u8>, Option<Arc<Entries>>>,
    root_written: bool,
}

impl<'a> Draft<'a> {
    pub(super) fn new(store: &'a Store, below: Tree, reach: Reach) -> Self {
        Self {
            store,
            below,
            reach,
            builder: TreeBuilder::default(),
            opaque: BTreeSet::new(),
            parent: None,
            below_entries: HashMap::new(),
            root_written: false,
        }
    }

    /// Puts `node` at the written path `written`.
    pub(super) fn insert(&mut self, written: &[u8], node: Node) -> Result<(), Problem> {
        let mtime = node.metadata().mtime;
        let Some(target) = self.locate(written, mtime)? else {
            return self.insert_root(node);
        };
        if matches!(node, Node::Directory(_)) {
            // It replaces what hid everything below, so it goes on hiding it.
            if matches!(self.builder.get(&target), Some(Found::Leaf(_) | Found::Linked(_) | Found::Whiteout))
            {
                self.opaque.insert(target.clone());
            }
        } else {
            self.forget_directory(&target);
        }
        self.builder.insert(&target, node)?;
        Ok(())
    }

    /// Gives the file at the written path `link` the name `written`, and says so of both. A file of the chain below becomes
    /// part of this layer, as it does when a process links it.
    pub(super) fn hard_link(&mut self, written: &[u8], link: &[u8], mtime: Mtime) -> Result<(), Problem> {
        let missing = Problem::Fault(ArchiveFault::MissingLinkTarget);
        let Some(source) = self.locate(link, mtime)? else {
            return Err(ArchiveFault::BadLinkTarget.into());
        };
        let Some(target) = self.locate(written, mtime)? else {
            return Err(ArchiveFault::RootNotDirectory.into());
        };
        if source == target {
            return Err(missing);
        }
        match self.builder.get(&source) {
            Some(Found::Leaf(_) | Found::Linked(_)) => {}
            Some(Found::Directory(_) | Found::Graft(_)) => return Err(ArchiveFault::BadLinkTarget.into()),
            Some(Found::Whiteout) => return Err(missing),
            None => match self.below_node(&source)? {
                None => return Err(missing),
                Some(Node::Directory(_)) => return Err(ArchiveFault::BadLinkTarget.into()),
                Some(Node::File(file)) => {
                    let file = File { hard_link: None, ..file };
                    self.builder.insert(&source, Node::File(file))?;
                }
                Some(node @ (Node::Symlink(_) | Node::Device(_))) => self.builder.insert(&source, node)?,
            },
        }
        self.forget_directory(&target);
        self.builder.hard_link(&target, &source)?;
        Ok(())
    }

    /// Applies the entry if its name makes it a whiteout, and says whether it did.
    pub(super) fn whiteout(&mut self, written: &[u8], mtime: Mtime) -> Result<bool, Problem> {
        if self.reach == Reach::Itself {
            return Ok(false);
        }
        let names = clean(written)?;
        let Some((name, _)) = names.split_last() else {
            return Ok(false);
        };
        let Some(hidden) = name.strip_prefix(WHITEOUT) else {
            return Ok(false);
        };
        if *name != OPAQUE && name.starts_with(RESERVED) {
            return Ok(true);
        }
        if *name != OPAQUE && !path::is_name(hidden) {
            return Err(ArchiveFault::BadWhiteout.into());
        }
        let hidden = hidden.to_vec();
        let is_opaque = *name == OPAQUE;
        let Some(target) = self.locate(written, mtime)? else {
            return Ok(false);
        };
        let parent = parent_of(&target).to_vec();
        if is_opaque {
            self.opaque.insert(parent);
            return Ok(true);
        }
        self.hide(path::join(&parent, &hidden))?;
        Ok(true)
    }

    /// Marks the entry at `written` as deleted; in an archive of its own there is nothing to delete.
    pub(super) fn delete(&mut self, written: &[u8], mtime: Mtime) -> Result<(), Problem> {
        match (self.reach, self.locate(written, mtime)?) {
            (Reach::Itself, _) => Err(ArchiveFault::UnsupportedType.into()),
            (Reach::Chain, None) => Err(ArchiveFault::RootNotDirectory.into()),
            (Reach::Chain, Some(target)) => self.hide(target),
        }
    }

    fn hide(&mut self, target: Vec<u8>) -> Result<(), Problem> {
        // A whiteout concerns the layers below only, whichever entry of this layer comes first.
        match self.builder.get(&target) {
            Some(Found::Directory(_)) => {
                self.opaque.insert(target);
            }
            Some(_) => {}
            None => self.builder.whiteout(&target)?,
        }
        Ok(())
    }

    /// The tree, and the directories that had no entry of their own.
    pub(super) fn finish(mut self) -> Result<(Tree, BTreeSet<Vec<u8>>), Error> {
        for directory in &self.opaque {
            self.builder.opaque(directory)?;
        }
        if !self.root_written && self.reach == Reach::Chain {
            let mut root = Directory::empty(self.below.root.metadata.clone());
            root.opaque = self.opaque.contains(&b""[..]);
            self.builder.insert(b"", Node::Directory(root))?;
        }
        let mut implied = self.builder.implied();
        if !self.root_written {
            implied.insert(Vec::new());
        }
        let tree = self.builder.finish(self.store)?;
        Ok((tree, implied))
    }

    fn insert_root(&mut self, node: Node) -> Result<(), Problem> {
        match (&node, self.reach) {
            (Node::Directory(_), _) => {}
            // Docker passes over an entry without a name: the directory that it would replace is there already.
            (_, Reach::Itself) => return Ok(()),
            (_, Reach::Chain) => return Err(ArchiveFault::RootNotDirectory.into()),
        }
        self.root_written = true;
        self.builder.insert(b"", node)?;
        Ok(())
    }

    /// A directory makes way for something else, with everything that was noted of it.
    fn forget_directory(&mut self, target: &[u8]) {
        if !matches!(self.builder.get(target), Some(Found::Directory(_))) {
            return;
        }
        self.parent = None;
        let mut inside = target.to_vec();
        inside.push(b'/');
        let doomed: Vec<_> = self
            .opaque
            .range(inside.clone()..)
            .take_while(|path| path.starts_with(&inside))
            .cloned()
            .collect();
        for path in doomed {
            self.opaque.remove(&path);
        }
        self.opaque.remove(target);
    }

    /// The real path of `written`, its parents made; none for the root.
    fn locate(&mut self, written: &[u8], mtime: Mtime) -> Result<Option<Vec<u8>>, Problem> {
        let names = clean(written)?;
        let Some((name, parents)) = names.split_last() else {
            return Ok(None);
        };
        if !path::is_name(name) {
            return Err(ArchiveFault::InvalidPath.into());
        }
        let parent = parents.join(&b'/');
        if self.parent.as_ref() != Some(&parent) {
            let (resolved, links) = self.resolve(parents)?;
            self.make_directories(&resolved, mtime)?;
            if links > 0 {
                self.parent = None;
                return Ok(Some(path::join(&resolved, name)));
            }
            self.parent = Some(resolved);
        }
        Ok(Some(path::join(&parent, name)))
    }

    /// Follows symbolic links; a tail that does not exist stays as it is. Also says how many links there were.
    fn resolve(&mut self, names: &[&[u8]]) -> Result<(Vec<u8>, u32), Problem> {
        let mut pending: VecDeque<Vec<u8>> = names.iter().map(|name| name.to_vec()).collect();
        let mut resolved = Vec::new();
        let mut links = 0;
        while let Some(name) = pending.pop_front() {
            if name == b".." {
                // As in a change root: above the root lies the root.
                resolved = parent_of(&resolved).to_vec();
                continue;
            }
            let next = path::join(&resolved, &name);
            match self.look(&next)? {
                Seen::Missing | Seen::Directory => resolved = next,
                Seen::Other => return Err(ArchiveFault::ParentNotDirectory.into()),
                Seen::Symlink(target) => {
                    links += 1;
                    if links > MAX_LINKS || target.len() >= path::MAX_PATH {
                        return Err(ArchiveFault::SymlinkLoop.into());
                    }
                    if target.starts_with(b"/") {
                        if self.reach == Reach::Itself {
                            return Err(ArchiveFault::Escapes.into());
                        }
                        resolved.clear();
                    }
                    for part in path::written(&target).rev() {
                        pending.push_front(part.to_vec());
                    }
                }
            }
            if resolved.len() >= path::MAX_PATH {
                return Err(ArchiveFault::InvalidPath.into());
            }
        }
        Ok((resolved, links))
    }

    fn look(&mut self, target: &[u8]) -> Result<Seen, Problem> {
        let node = match self.builder.get(target) {
            Some(Found::Directory(_) | Found::Graft(_)) => return Ok(Seen::Directory),
            Some(Found::Whiteout) => return Ok(Seen::Missing),
            Some(Found::Leaf(Node::Symlink(symlink))) => return Ok(Seen::Symlink(symlink.target.clone())),
            Some(Found::Leaf(_) | Found::Linked(_)) => return Ok(Seen::Other),
            None => self.below_node(target)?,
        };
        Ok(match node {
            None => Seen::Missing,
            Some(Node::Directory(_)) => Seen::Directory,
            Some(Node::Symlink(symlink)) => Seen::Symlink(symlink.target),
            Some(Node::File(_) | Node::Device(_)) => Seen::Other,
        })
    }

    /// Gives every directory on the way to `target` an entry, with the metadata that it has below.
    fn make_directories(&mut self, target: &[u8], mtime: Mtime) -> Result<(), Problem> {
        if target.is_empty()
            || self.reach == Reach::Itself
            || matches!(self.builder.get(target), Some(Found::Directory(_)))
        {
            return Ok(());
        }
        let ends = target
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'/')
            .map(|(at, _)| at)
            .chain([target.len()]);
        for end in ends {
            let directory = &target[..end];
            let below = match self.builder.get(directory) {
                Some(Found::Directory(_) | Found::Graft(_)) => continue,
                Some(Found::Whiteout) => {
                    self.opaque.insert(directory.to_vec());
                    None
                }
                Some(Found::Leaf(_) | Found::Linked(_)) | None => self.below_node(directory)?,
            };
            let metadata = match below {
                Some(Node::Directory(directory)) => directory.metadata,
                Some(_) | None => Metadata::plain(0o755, mtime),
            };
            self.builder.insert(directory, Node::Directory(Directory::empty(metadata)))?;
        }
        Ok(())
    }

    /// What the chain below has at the real path `target`, unless the draft hides it.
    fn below_node(&mut self, target: &[u8]) -> Result<Option<Node>, Problem> {
        if self.below.is_empty() || self.is_hidden(target) {
            return Ok(None);
        }
        let Some(entries) = self.below_directory(parent_of(target))? else {
            return Ok(None);
        };
        Ok(match entries.get(path::name(target)) {
            Some(Entry::Node(node)) => Some(node.clone()),
            Some(Entry::Whiteout) | None => None,
        })
    }

    fn is_hidden(&self, target: &[u8]) -> bool {
        let mut directory = target;
        while !directory.is_empty() {
            directory = parent_of(directory);
            if self.opaque.contains(directory) || matches!(self.builder.get(directory), Some(Found::Whiteout))
            {
                return true;
            }
        }
        false
    }

    fn below_directory(&mut self, directory: &[u8]) -> Result<Option<Arc<Entries>>, Problem> {
        if let Some(known) = self.below_entries.get(directory) {
            return Ok(known.clone());
        }
        let mut entries = Some(self.store.entries(self.below.root.record.digest).map_err(Error::Tree)?);
        for name in path::written(directory) {
            let record = entries.as_deref().and_then(|entries| match entries.get(name) {
                Some(Entry::Node(Node::Directory(directory))) => Some(directory.record.digest),
                Some(_) | None => None,
            });
            let Some(record) = record else {
                entries = None;
                break;
            };
            entries = Some(self.store.entries(record).map_err(Error::Tree)?);
        }
        if self.below_entries.len() >= CACHED_DIRECTORIES {
            self.below_entries.clear();
        }
        self.below_entries.insert(directory.to_vec(), entries.clone());
        Ok(entries)
    }
}

/// The names of a written path, `..` taken lexically. Leading slashes mean nothing, as Docker has it.
fn clean(written: &[u8]) -> Result<Vec<&[u8]>, Problem> {
    if written.contains(&0) || written.len() >= path::MAX_PATH {
        return Err(ArchiveFault::InvalidPath.into());
    }
    let mut names: Vec<&[u8]> = Vec::new();
    for part in path::written(written) {
        if part == b".." {
            names.pop().ok_or(ArchiveFault::Escapes)?;
        } else {
            names.push(part);
        }
    }
    Ok(names)
}

fn parent_of(target: &[u8]) -> &[u8] {
    let slash = target.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    &target[..slash]
}
