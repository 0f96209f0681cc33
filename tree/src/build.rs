//! Making a tree from paths and nodes that come in any order.
//!
//! The context scanner, the tar reader and the walker of an overlay's upper directory use it. Later insertions win,
//! as in a tar: what is not a directory replaces everything at its path, a directory keeps what is in it. A parent that
//! was never inserted is *implied* and gets the builder's metadata for such.
//!
//! Deliberately absent: symbolic links are never followed. Whoever needs that resolves the path first.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use crate::error::Error;
use crate::links::Groups;
use crate::path;
use crate::record::{Directory, DirectoryRef, Entry, File, Metadata, Node, Tree};
use crate::records::{Entries, Records};

/// A tree in the making.
#[derive(Debug)]
pub struct TreeBuilder {
    root: Dir,
    implied: Metadata,
    /// Files with several names.
    groups: Groups,
}

#[derive(Debug, Default)]
struct Dir {
    /// None while it is only implied.
    metadata: Option<Metadata>,
    opaque: bool,
    children: BTreeMap<Arc<[u8]>, Item>,
}

#[derive(Debug)]
enum Item {
    Dir(Box<Dir>),
    /// Anything but a directory.
    Leaf(Box<Node>),
    /// A file with several names, by its group.
    Linked(usize),
    /// A subtree that is taken over as it stands.
    Graft(Box<Directory>),
    Whiteout,
}

/// What a builder holds at a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Found<'a> {
    /// A directory with its metadata; none while it is only implied.
    Directory(Option<&'a Metadata>),
    /// Anything else.
    Leaf(&'a Node),
    /// A file that has several names.
    Linked(&'a File),
    /// A subtree that was taken over as it stands.
    Graft(&'a Directory),
    /// A whiteout.
    Whiteout,
}

impl TreeBuilder {
    /// An empty tree in which implied directories, the root among them, get the metadata `implied`.
    pub fn new(implied: Metadata) -> Self {
        Self { root: Dir::default(), implied, groups: Groups::default() }
    }

    /// Puts `node` at `path`; the empty path is the root. Of a directory its metadata and opaque mark are taken, and
    /// never its record: see [`TreeBuilder::graft`]. A file that says it is hard-linked shares its inode with those
    /// that say the same and are equal.
    pub fn insert(&mut self, path: &[u8], node: Node) -> Result<(), Error> {
        let item = match node {
            Node::Directory(directory) => return self.directory(path, directory),
            Node::File(file) if file.hard_link.is_some() => Item::Linked(self.groups.join(file)),
            Node::File(_) | Node::Symlink(_) | Node::Device(_) => Item::Leaf(Box::new(node)),
        };
        self.place(path, item)
    }

    /// Puts a whole subtree at `path`. Nothing can be inserted below it later.
    pub fn graft(&mut self, path: &[u8], directory: Directory) -> Result<(), Error> {
        if directory.record == DirectoryRef::empty() {
            return self.directory(path, directory);
        }
        self.place(path, Item::Graft(Box::new(directory)))
    }

    /// Marks `path` as deleted from the layers below.
    pub fn whiteout(&mut self, path: &[u8]) -> Result<(), Error> {
        self.place(path, Item::Whiteout)
    }

    /// Marks the directory at `path`, which is implied if need be, as hiding what the layers below have in it.
    pub fn opaque(&mut self, path: &[u8]) -> Result<(), Error> {
        self.open(path)?.opaque = true;
        Ok(())
    }

    /// Gives the file at `target` another name. What the target is decides whether it can have one: a directory cannot.
    pub fn hard_link(&mut self, path: &[u8], target: &[u8]) -> Result<(), Error> {
        let missing = || Error::NotFound(path::absolute(target));
        let names = path::names(target)?;
        let Some((last, parents)) = names.split_last() else {
            return Err(Error::InvalidPath(path::absolute(target)));
        };
        let mut dir = &mut self.root;
        for name in parents {
            let Some(Item::Dir(child)) = dir.children.get_mut(*name) else {
                return Err(missing());
            };
            dir = child;
        }
        let item = dir.children.get_mut(*last).ok_or_else(missing)?;
        let again = match item {
            Item::Linked(group) => Item::Linked(*group),
            Item::Leaf(node) => match node.as_ref() {
                Node::File(file) => {
                    let group = self.groups.join(file.clone());
                    *item = Item::Linked(group);
                    Item::Linked(group)
                }
                // Linux gives these several names too, but a tree keeps that of regular files only.
                Node::Symlink(_) | Node::Device(_) | Node::Directory(_) => Item::Leaf(node.clone()),
            },
            Item::Dir(_) | Item::Graft(_) | Item::Whiteout => return Err(missing()),
        };
        self.place(path, again)
    }

    /// Forgets `path` and everything below it, and says whether anything was there.
    pub fn remove(&mut self, path: &[u8]) -> Result<bool, Error> {
        let names = path::names(path)?;
        let Some((last, parents)) = names.split_last() else {
            let old = mem::take(&mut self.root);
            return Ok(!old.children.is_empty());
        };
        let mut dir = &mut self.root;
        for name in parents {
            let Some(Item::Dir(child)) = dir.children.get_mut(*name) else {
                return Ok(false);
            };
            dir = child;
        }
        Ok(dir.children.remove(*last).is_some())
    }

    /// What is at `path`.
    pub fn get(&self, path: &[u8]) -> Option<Found<'_>> {
        let names = path::names(path).ok()?;
        let Some((last, parents)) = names.split_last() else {
            return Some(Found::Directory(self.root.metadata.as_ref()));
        };
        let mut dir = &self.root;
        for name in parents {
            let Item::Dir(child) = dir.children.get(*name)? else {
                return None;
            };
            dir = child;
        }
        Some(match dir.children.get(*last)? {
            Item::Dir(child) => Found::Directory(child.metadata.as_ref()),
            Item::Leaf(node) => Found::Leaf(node),
            Item::Linked(group) => Found::Linked(self.groups.file(*group)),
            Item::Graft(directory) => Found::Graft(directory),
            Item::Whiteout => Found::Whiteout,
        })
    }

    /// The directories that nobody inserted, as tree paths. The root is not among them.
    pub fn implied(&self) -> BTreeSet<Vec<u8>> {
        let mut implied = BTreeSet::new();
        let mut open = vec![(Vec::new(), &self.root)];
        while let Some((path, dir)) = open.pop() {
            for (name, item) in &dir.children {
                if let Item::Dir(child) = item {
                    let path = path::join(&path, name);
                    if child.metadata.is_none() {
                        implied.insert(path.clone());
                    }
                    open.push((path, child));
                }
            }
        }
        implied
    }

    /// Writes the records and returns the tree.
    pub fn finish(mut self, records: &dyn Records) -> Result<Tree, Error> {
        self.elect();
        let metadata = self.root.metadata.take().unwrap_or_else(|| self.implied.clone());
        Ok(Tree {
            root: Directory {
                metadata,
                opaque: self.root.opaque,
                record: write(mem::take(&mut self.root.children), &self.implied, &self.groups, records)?,
            },
        })
    }

    fn directory(&mut self, path: &[u8], directory: Directory) -> Result<(), Error> {
        if let Some((parent, name)) = split(&path::names(path)?) {
            let parent = self.descend(parent, path)?;
            if !matches!(parent.children.get(name), Some(Item::Dir(_))) {
                parent.children.insert(name.into(), Item::Dir(Box::default()));
            }
        }
        let dir = self.open(path)?;
        dir.metadata = Some(directory.metadata);
        dir.opaque = directory.opaque;
        Ok(())
    }

    fn place(&mut self, path: &[u8], item: Item) -> Result<(), Error> {
        let names = path::names(path)?;
        let Some((parents, name)) = split(&names) else {
            return Err(Error::InvalidPath("/".to_owned()));
        };
        let parent = self.descend(parents, path)?;
        parent.children.insert(name.into(), item);
        Ok(())
    }

    fn open(&mut self, path: &[u8]) -> Result<&mut Dir, Error> {
        self.descend(&path::names(path)?, path)
    }

    /// The directory at `names`, implied where it is missing.
    fn descend(&mut self, names: &[&[u8]], path: &[u8]) -> Result<&mut Dir, Error> {
        let mut dir = &mut self.root;
        for name in names {
            // Looked up first: most parents are there, and an entry would copy the name each time.
            if !dir.children.contains_key(*name) {
                dir.children.insert((*name).into(), Item::Dir(Box::default()));
            }
            let Some(Item::Dir(child)) = dir.children.get_mut(*name) else {
                return Err(Error::NotADirectory(format!(
                    "{}` on the way to `{}",
                    path::text(name),
                    path::text(path)
                )));
            };
            dir = child;
        }
        Ok(dir)
    }

    /// Writes into every group the first path in byte order that it still has.
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
                    Item::Leaf(_) | Item::Graft(_) | Item::Whiteout => {}
                }
            }
        }
        self.groups.elect(ballot);
    }
}

impl Default for TreeBuilder {
    /// Implied directories have mode 0755, belong to root and are from the epoch.
    fn default() -> Self {
        Self::new(Tree::empty().root.metadata)
    }
}

fn split<'a, 'b>(names: &'b [&'a [u8]]) -> Option<(&'b [&'a [u8]], &'a [u8])> {
    names.split_last().map(|(name, parents)| (parents, *name))
}

/// Writes a directory's entries. Goes down no further than [`path::MAX_DEPTH`], which insertion holds.
fn write(
    children: BTreeMap<Arc<[u8]>, Item>,
    implied: &Metadata,
    groups: &Groups,
    records: &dyn Records,
) -> Result<DirectoryRef, Error> {
    if children.is_empty() {
        return Ok(DirectoryRef::empty());
    }
    let mut entries = Entries::new();
    for (name, item) in children {
        let entry = match item {
            Item::Whiteout => Entry::Whiteout,
            Item::Leaf(node) => Entry::Node(*node),
            Item::Linked(group) => Entry::Node(groups.node(group)),
            Item::Graft(directory) => Entry::Node(Node::Directory(*directory)),
            Item::Dir(dir) => Entry::Node(Node::Directory(Directory {
                record: write(dir.children, implied, groups, records)?,
                metadata: dir.metadata.unwrap_or_else(|| implied.clone()),
                opaque: dir.opaque,
            })),
        };
        entries.insert(name, entry);
    }
    records.put(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryRecords;
    use crate::test_support::{dir, file, link, outline};

    fn lines(builder: TreeBuilder) -> Vec<String> {
        let records = MemoryRecords::new();
        let tree = builder.finish(&records).unwrap();
        outline(&records, &tree)
    }

    #[test]
    fn later_insertions_win_and_directories_keep_what_is_in_them() {
        let mut builder = TreeBuilder::default();
        builder.insert(b"/a/b/", file("1")).unwrap();
        builder.insert(b"./a", dir(0o700)).unwrap();
        builder.insert(b"c/d", file("2")).unwrap();
        builder.insert(b"c", file("3")).unwrap();
        assert!(builder.insert(b"c/e", file("4")).is_err());
        assert!(builder.insert(b"a/../x", file("4")).is_err());
        assert_eq!(lines(builder), ["a/", "a/b 1", "c 3"]);
    }

    #[test]
    fn a_link_shares_the_file_and_the_first_name_in_byte_order_leads() {
        let mut builder = TreeBuilder::default();
        builder.insert(b"a/z", file("1")).unwrap();
        builder.hard_link(b"a.b", b"a/z").unwrap();
        builder.hard_link(b"c", b"a.b").unwrap();
        builder.insert(b"s", link("t")).unwrap();
        builder.hard_link(b"s2", b"s").unwrap();
        assert!(builder.hard_link(b"x", b"nowhere").is_err());
        assert!(builder.hard_link(b"x", b"a").is_err(), "a directory has one name");
        let expected = ["a/", "a/z 1 = a.b", "a.b 1 = a.b", "c 1 = a.b", "s -> t", "s2 -> t"];
        assert_eq!(lines(builder), expected);
    }

    #[test]
    fn the_last_name_of_a_file_is_a_file_again() {
        let mut builder = TreeBuilder::default();
        builder.insert(b"a", file("1")).unwrap();
        builder.hard_link(b"b", b"a").unwrap();
        assert!(builder.remove(b"a").unwrap());
        assert!(!builder.remove(b"a").unwrap());
        assert_eq!(lines(builder), ["b 1"]);
    }

    #[test]
    fn implied_directories_are_told_apart() {
        let mut builder = TreeBuilder::new(Metadata { mode: 0o711, ..Metadata::default() });
        builder.insert(b"a/b/c", file("1")).unwrap();
        builder.insert(b"a", dir(0o700)).unwrap();
        builder.whiteout(b"w/x").unwrap();
        assert_eq!(builder.implied(), [b"a/b".to_vec(), b"w".to_vec()].into());
        assert_eq!(builder.get(b"a/b"), Some(Found::Directory(None)));
        assert_eq!(builder.get(b"w/x"), Some(Found::Whiteout));
        let records = MemoryRecords::new();
        assert_eq!(builder.finish(&records).unwrap().root.metadata.mode, 0o711);
    }

    #[test]
    fn the_deepest_tree_is_built_and_a_deeper_one_refused() {
        let deep = |depth: usize| vec!["d"; depth].join("/").into_bytes();
        let mut builder = TreeBuilder::default();
        assert!(builder.insert(&deep(path::MAX_DEPTH + 1), file("1")).is_err());
        builder.insert(&deep(path::MAX_DEPTH), file("1")).unwrap();
        let records = MemoryRecords::new();
        let tree = builder.finish(&records).unwrap();
        let merged = crate::merge(&records, &tree, &tree).unwrap();
        assert_eq!(merged, tree);
    }
}
