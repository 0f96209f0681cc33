//! A layer in the making over a merged tree, as an overlay's upper directory is over its lowers.
//!
//! Nothing of the tree below is read but the directories that are written to. What is put here shows at once to those
//! who look, so one instruction's later sources see what its earlier ones did. A directory that is written to is
//! *copied up*: it appears in the layer with the metadata it has.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use crate::error::Error;
use crate::links::Groups;
use crate::path;
use crate::record::{Directory, DirectoryRef, Entry, Metadata, Node, Tree};
use crate::records::{Entries, Records, load};
use crate::resolve::{Last, Seen, View, walk};

/// A layer in the making.
pub(crate) struct Upper<'a> {
    pub(crate) records: &'a dyn Records,
    pub(crate) root: Dir,
    pub(crate) groups: Groups,
}

/// A directory that was copied up or made.
pub(crate) struct Dir {
    pub(crate) metadata: Metadata,
    /// What shows through from below; none when the directory is new.
    below: Option<Below>,
    /// Whether it hides a directory below.
    opaque: bool,
    children: BTreeMap<Arc<[u8]>, Item>,
}

/// A merged directory, read once when it is first looked into.
struct Below {
    record: DirectoryRef,
    entries: OnceCell<Arc<Entries>>,
}

pub(crate) enum Item {
    Dir(Box<Dir>),
    /// Anything but a directory.
    Leaf(Box<Node>),
    /// A file with several names, by its group.
    Linked(usize),
    /// A directory that is taken over as it stands.
    Graft(Box<Directory>),
}

impl Item {
    /// What is not a directory, as an item.
    pub(crate) fn of(node: Node, groups: &mut Groups) -> Self {
        match node {
            Node::File(file) if file.hard_link.is_some() => Self::Linked(groups.join(file)),
            Node::File(_) | Node::Symlink(_) | Node::Device(_) | Node::Directory(_) => {
                Self::Leaf(Box::new(node))
            }
        }
    }
}

impl<'a> Upper<'a> {
    /// An empty layer over `below`.
    pub(crate) fn new(records: &'a dyn Records, below: &Tree) -> Self {
        Self {
            records,
            root: Dir {
                metadata: below.root.metadata.clone(),
                below: Some(Below::new(below.root.record)),
                opaque: false,
                children: BTreeMap::new(),
            },
            groups: Groups::default(),
        }
    }

    /// Where `path` leads, symbolic links followed.
    pub(crate) fn resolve(&mut self, path: &[u8]) -> Result<Vec<u8>, Error> {
        walk(self, path, Last::Follow).map(|(path, _)| path)
    }

    /// The directory at the tree path `path`, which is resolved, made with its parents where it is missing.
    pub(crate) fn make_directories(&mut self, path: &[u8], metadata: &Metadata) -> Result<&mut Dir, Error> {
        let mut dir = &mut self.root;
        for name in path::names(path)? {
            dir = match dir.see(self.records, name)? {
                Seen::Directory => dir.open(self.records, name)?,
                Seen::Missing => dir.make(self.records, name, metadata.clone())?,
                Seen::Symlink(_) | Seen::Other => {
                    return Err(Error::NotADirectory(path::absolute(path)));
                }
            };
        }
        Ok(dir)
    }

    /// Writes the records and returns the layer.
    pub(crate) fn finish(mut self) -> Result<Tree, Error> {
        self.elect();
        let root = self.root.write(self.records, &self.groups)?;
        Ok(Tree { root })
    }

    fn elect(&mut self) {
        let Some(mut ballot) = self.groups.ballot() else {
            return;
        };
        let mut open = vec![(Vec::new(), &self.root)];
        while let Some((path, dir)) = open.pop() {
            for (name, item) in &dir.children {
                match item {
                    Item::Dir(child) => open.push((path::join(&path, name), child)),
                    Item::Linked(group) => Groups::count(&mut ballot, *group, path::join(&path, name)),
                    Item::Leaf(_) | Item::Graft(_) => {}
                }
            }
        }
        self.groups.elect(ballot);
    }
}

impl View for Upper<'_> {
    fn see(&mut self, path: &[u8]) -> Result<Seen, Error> {
        let names = path::names(path)?;
        let Some((last, parents)) = names.split_last() else {
            return Ok(Seen::Directory);
        };
        let mut dir = &self.root;
        for (depth, name) in parents.iter().enumerate() {
            match dir.children.get(*name) {
                Some(Item::Dir(child)) => dir = child,
                Some(Item::Graft(directory)) => {
                    return see_below(self.records, Some(directory.record), &names[depth + 1..]);
                }
                Some(Item::Leaf(_) | Item::Linked(_)) => return Ok(Seen::Missing),
                None => {
                    let below = dir.below.as_ref().map(|below| below.record);
                    return see_below(self.records, below, &names[depth..]);
                }
            }
        }
        dir.see(self.records, last)
    }
}

impl Below {
    fn new(record: DirectoryRef) -> Self {
        Self { record, entries: OnceCell::new() }
    }

    fn entries(&self, records: &dyn Records) -> Result<&Entries, Error> {
        if let Some(entries) = self.entries.get() {
            return Ok(entries);
        }
        let entries = load(records, &self.record)?;
        Ok(self.entries.get_or_init(|| entries))
    }
}

impl Dir {
    /// A new directory with nothing below it.
    fn new(metadata: Metadata, opaque: bool) -> Self {
        Self { metadata, below: None, opaque, children: BTreeMap::new() }
    }

    /// What `name` is.
    pub(crate) fn see(&self, records: &dyn Records, name: &[u8]) -> Result<Seen, Error> {
        Ok(match self.children.get(name) {
            Some(Item::Dir(_) | Item::Graft(_)) => Seen::Directory,
            Some(Item::Leaf(node)) => seen(node),
            Some(Item::Linked(_)) => Seen::Other,
            None => self.node_below(records, name)?.map_or(Seen::Missing, |node| seen(&node)),
        })
    }

    /// The directory `name`, which is there, copied up.
    pub(crate) fn open(&mut self, records: &dyn Records, name: &[u8]) -> Result<&mut Self, Error> {
        let opened = match self.children.remove(name) {
            Some(Item::Dir(dir)) => dir,
            Some(Item::Graft(directory)) => Box::new(Self::open_graft(records, *directory)?),
            Some(Item::Leaf(_) | Item::Linked(_)) | None => match self.node_below(records, name)? {
                Some(Node::Directory(directory)) => Box::new(Self {
                    metadata: directory.metadata,
                    below: Some(Below::new(directory.record)),
                    opaque: false,
                    children: BTreeMap::new(),
                }),
                Some(Node::File(_) | Node::Symlink(_) | Node::Device(_)) | None => {
                    return Err(Error::NotADirectory(path::text(name)));
                }
            },
        };
        Ok(self.hold(name, opened))
    }

    /// A new and empty directory at `name`, whatever was there.
    pub(crate) fn make(
        &mut self,
        records: &dyn Records,
        name: &[u8],
        metadata: Metadata,
    ) -> Result<&mut Self, Error> {
        let opaque = matches!(self.node_below(records, name)?, Some(Node::Directory(_)));
        Ok(self.hold(name, Box::new(Self::new(metadata, opaque))))
    }

    /// Puts `item` at `name`, whatever was there.
    pub(crate) fn place(&mut self, records: &dyn Records, name: &[u8], mut item: Item) -> Result<(), Error> {
        if let Item::Graft(directory) = &mut item {
            directory.opaque = matches!(self.node_below(records, name)?, Some(Node::Directory(_)));
        }
        self.children.insert(name.into(), item);
        Ok(())
    }

    fn hold(&mut self, name: &[u8], dir: Box<Self>) -> &mut Self {
        let item = match self.children.entry(name.into()) {
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                entry.insert(Item::Dir(dir));
                entry.into_mut()
            }
            std::collections::btree_map::Entry::Vacant(entry) => entry.insert(Item::Dir(dir)),
        };
        match item {
            Item::Dir(dir) => dir,
            Item::Leaf(_) | Item::Linked(_) | Item::Graft(_) => {
                unreachable!("a directory was just put there")
            }
        }
    }

    /// A directory of its own with the entries of a graft. A graft holds neither marks nor files with several names.
    fn open_graft(records: &dyn Records, graft: Directory) -> Result<Self, Error> {
        let mut dir = Self::new(graft.metadata, graft.opaque);
        for (name, entry) in load(records, &graft.record)?.iter() {
            let item = match entry {
                Entry::Whiteout => continue,
                Entry::Node(Node::Directory(directory)) => Item::Graft(Box::new(directory.clone())),
                Entry::Node(node) => Item::Leaf(Box::new(node.clone())),
            };
            dir.children.insert(name.clone(), item);
        }
        Ok(dir)
    }

    fn node_below(&self, records: &dyn Records, name: &[u8]) -> Result<Option<Node>, Error> {
        let Some(below) = &self.below else {
            return Ok(None);
        };
        Ok(match below.entries(records)?.get(name) {
            Some(Entry::Node(node)) => Some(node.clone()),
            Some(Entry::Whiteout) | None => None,
        })
    }

    /// Goes down no further than [`path::MAX_DEPTH`], which whoever makes directories holds.
    fn write(&mut self, records: &dyn Records, groups: &Groups) -> Result<Directory, Error> {
        let mut entries = Entries::new();
        for (name, item) in mem::take(&mut self.children) {
            let node = match item {
                Item::Leaf(node) => *node,
                Item::Linked(group) => groups.node(group),
                Item::Graft(directory) => Node::Directory(*directory),
                Item::Dir(mut dir) => Node::Directory(dir.write(records, groups)?),
            };
            entries.insert(name, Entry::Node(node));
        }
        let record = if entries.is_empty() { DirectoryRef::empty() } else { records.put(entries)? };
        Ok(Directory { metadata: mem::take(&mut self.metadata), opaque: self.opaque, record })
    }
}

/// What lies at `names` in a merged directory; anything but a directory on the way means that nothing does.
fn see_below(records: &dyn Records, below: Option<DirectoryRef>, names: &[&[u8]]) -> Result<Seen, Error> {
    let (Some(mut record), Some((last, parents))) = (below, names.split_last()) else {
        return Ok(Seen::Missing);
    };
    for name in parents {
        match load(records, &record)?.get(*name) {
            Some(Entry::Node(Node::Directory(directory))) => record = directory.record,
            Some(Entry::Node(_) | Entry::Whiteout) | None => return Ok(Seen::Missing),
        }
    }
    Ok(match load(records, &record)?.get(*last) {
        Some(Entry::Node(node)) => seen(node),
        Some(Entry::Whiteout) | None => Seen::Missing,
    })
}

pub(crate) fn seen(node: &Node) -> Seen {
    match node {
        Node::Directory(_) => Seen::Directory,
        Node::Symlink(symlink) => Seen::Symlink(symlink.target.clone()),
        Node::File(_) | Node::Device(_) => Seen::Other,
    }
}
