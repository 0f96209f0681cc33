//! What a step really changed, and how two trees differ.

use std::sync::Arc;

use crate::error::Error;
use crate::path::{self, MAX_DEPTH};
use crate::record::{Directory, DirectoryRef, Entry, Metadata, Mtime, Node, Tree};
use crate::records::{Entries, Records, load};

/// The part of `layer` that changes the merged tree `parent`; none when it changes nothing.
///
/// An overlay's upper directory holds more than a step changed: directories that were copied up on the way, files that
/// were written as they were, whiteouts of what is not there. They go. Equal means mtimes too, else `touch` would
/// disappear. A file with several names stays even when it is equal, because another of its names may be new.
pub fn normalise(records: &dyn Records, parent: &Tree, layer: &Tree) -> Result<Option<Tree>, Error> {
    let root = changed(records, Some(&parent.root), &layer.root, 0)?;
    Ok(root.map(|root| Tree { root }))
}

fn changed(
    records: &dyn Records,
    parent: Option<&Directory>,
    layer: &Directory,
    depth: usize,
) -> Result<Option<Directory>, Error> {
    if depth >= MAX_DEPTH {
        return Err(Error::TooDeep(layer.record.digest.to_string()));
    }
    let hides = layer.opaque && parent.is_some_and(|parent| parent.record != DirectoryRef::empty());
    let below = parent.filter(|_| !layer.opaque);
    let (below_entries, layer_entries) = match below {
        None if layer.record.marks == 0 => {
            let same = parent
                .is_some_and(|parent| parent.record == layer.record && parent.metadata == layer.metadata);
            return Ok((!same).then(|| Directory { opaque: hides, ..layer.clone() }));
        }
        Some(below) if below.record == layer.record && layer.record.linked == 0 => {
            (Arc::default(), Arc::default())
        }
        Some(below) => (load(records, &below.record)?, load(records, &layer.record)?),
        None => (Arc::default(), load(records, &layer.record)?),
    };
    let mut entries = Entries::new();
    for (name, entry) in layer_entries.iter() {
        let old = match below_entries.get(name) {
            Some(Entry::Node(node)) => Some(node),
            Some(Entry::Whiteout) | None => None,
        };
        let kept = match entry {
            Entry::Whiteout => old.map(|_| Entry::Whiteout),
            Entry::Node(Node::Directory(directory)) => {
                let below = old.and_then(Node::as_directory);
                changed(records, below, directory, depth + 1)?
                    .map(|directory| Entry::Node(Node::Directory(directory)))
            }
            Entry::Node(node) => {
                let linked = node.as_file().is_some_and(|file| file.hard_link.is_some());
                (linked || old != Some(node)).then(|| entry.clone())
            }
        };
        if let Some(kept) = kept {
            entries.insert(name.clone(), kept);
        }
    }
    let record = if entries.is_empty() { DirectoryRef::empty() } else { records.put(entries)? };
    let after = Directory { metadata: layer.metadata.clone(), opaque: hides, record };
    let nothing = match parent {
        Some(parent) if hides => parent.record == record && parent.metadata == after.metadata,
        Some(parent) => record == DirectoryRef::empty() && parent.metadata == after.metadata,
        None => false,
    };
    Ok((!nothing).then_some(after))
}

/// How two merged trees differ, mtimes apart.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Changes {
    /// The first of them, in byte order of their names, directories before what is in them.
    pub list: Vec<Change>,
    /// How many entries were added, deleted or modified in all, those in added and deleted directories included.
    pub total: u64,
}

/// One path that differs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// The tree path.
    pub path: Vec<u8>,
    /// What happened to it.
    pub kind: ChangeKind,
}

/// What happened to a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChangeKind {
    /// It is new, with everything in it.
    Added,
    /// It is gone, with everything in it.
    Deleted,
    /// Its bytes, its link target or what kind of thing it is.
    Contents,
    /// Its mode, owner or extended attributes.
    Metadata,
}

/// Compares two merged trees and lists the first `limit` paths that differ. Only directories that differ are read.
pub fn changes(records: &dyn Records, before: &Tree, after: &Tree, limit: usize) -> Result<Changes, Error> {
    let mut found = Changes::default();
    let mut open = vec![(Vec::new(), before.root.record, after.root.record)];
    found.compare(&[], &Node::Directory(before.root.clone()), &Node::Directory(after.root.clone()), limit);
    while let Some((at, before, after)) = open.pop() {
        if before.content == after.content {
            continue;
        }
        let (before, after) = (load(records, &before)?, load(records, &after)?);
        let mut below = Vec::new();
        for (name, old, new) in pairs(&before, &after) {
            let path = path::join(&at, name);
            if path.len() >= path::MAX_PATH {
                return Err(Error::TooDeep(path::absolute(&at)));
            }
            match (old, new) {
                (Some(old), Some(new)) => {
                    found.compare(&path, old, new, limit);
                    if let (Some(old), Some(new)) = (old.as_directory(), new.as_directory()) {
                        below.push((path, old.record, new.record));
                    }
                }
                (None, Some(new)) => found.add(path, ChangeKind::Added, size(new), limit),
                (Some(old), None) => found.add(path, ChangeKind::Deleted, size(old), limit),
                (None, None) => {}
            }
        }
        open.extend(below.into_iter().rev());
    }
    Ok(found)
}

impl Changes {
    fn add(&mut self, path: Vec<u8>, kind: ChangeKind, count: u64, limit: usize) {
        self.total = self.total.saturating_add(count);
        if self.list.len() < limit {
            self.list.push(Change { path, kind });
        }
    }

    fn compare(&mut self, path: &[u8], old: &Node, new: &Node, limit: usize) {
        match difference(old, new) {
            Some(ChangeKind::Contents) => {
                let count = size(old).max(size(new));
                self.add(path.to_vec(), ChangeKind::Contents, count, limit);
            }
            Some(kind) => self.add(path.to_vec(), kind, 1, limit),
            None => {}
        }
    }
}

/// How two things at the same path differ, mtimes apart; of directories what is in them is left out.
pub(crate) fn difference(old: &Node, new: &Node) -> Option<ChangeKind> {
    let contents = match (old, new) {
        (Node::Directory(_), Node::Directory(_)) => true,
        (Node::File(old), Node::File(new)) => old.blob == new.blob && old.hard_link == new.hard_link,
        (Node::Symlink(old), Node::Symlink(new)) => old.target == new.target,
        (Node::Device(old), Node::Device(new)) => old.kind == new.kind,
        (Node::Directory(_) | Node::File(_) | Node::Symlink(_) | Node::Device(_), _) => false,
    };
    if !contents {
        return Some(ChangeKind::Contents);
    }
    (timeless(old.metadata()) != timeless(new.metadata())).then_some(ChangeKind::Metadata)
}

fn timeless(metadata: &Metadata) -> Metadata {
    Metadata { mtime: Mtime(0), ..metadata.clone() }
}

/// How many entries a node is, itself included.
pub(crate) fn size(node: &Node) -> u64 {
    node.as_directory().map_or(0, |directory| directory.record.entries).saturating_add(1)
}

pub(crate) type Pair<'a> = (&'a Arc<[u8]>, Option<&'a Node>, Option<&'a Node>);

/// The names of both in order, with what each has there.
pub(crate) fn pairs<'a>(before: &'a Entries, after: &'a Entries) -> impl Iterator<Item = Pair<'a>> {
    let node = |entry: Option<&'a Entry>| match entry {
        Some(Entry::Node(node)) => Some(node),
        Some(Entry::Whiteout) | None => None,
    };
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    std::iter::from_fn(move || {
        let order = match (old.peek(), new.peek()) {
            (Some((old, _)), Some((new, _))) => old.cmp(new),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return None,
        };
        let from_old = if order.is_le() { old.next() } else { None };
        let from_new = if order.is_ge() { new.next() } else { None };
        let (name, _) = from_old.or(from_new)?;
        Some((name, node(from_old.map(|(_, entry)| entry)), node(from_new.map(|(_, entry)| entry))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{dir, file, linked, outline, tree};
    use crate::{MemoryRecords, TreeBuilder};

    #[test]
    fn what_equals_the_parent_is_dropped() {
        let records = MemoryRecords::new();
        let parent = tree(&records, &[("a/x", file("1")), ("a/y", file("2")), ("b/z", file("3"))]);
        let layer = tree(&records, &[("a/x", file("1")), ("a/y", file("4")), ("b/z", file("3"))]);
        let kept = normalise(&records, &parent, &layer).unwrap().unwrap();
        assert_eq!(outline(&records, &kept), ["a/", "a/y 4"]);
        assert_eq!(normalise(&records, &parent, &parent).unwrap(), None);
    }

    #[test]
    fn a_new_mtime_is_a_change() {
        let records = MemoryRecords::new();
        let parent = tree(&records, &[("a", file("1"))]);
        let mut touched = file("1");
        touched.metadata_mut().mtime = Mtime(2_000);
        let layer = tree(&records, &[("a", touched)]);
        assert_eq!(normalise(&records, &parent, &layer).unwrap(), Some(layer));
    }

    #[test]
    fn whiteouts_of_nothing_are_dropped_at_any_depth() {
        let records = MemoryRecords::new();
        let parent = tree(&records, &[("a/x", file("1"))]);
        let mut layer = TreeBuilder::default();
        layer.whiteout(b"gone").unwrap();
        layer.whiteout(b"a/gone").unwrap();
        layer.whiteout(b"new/gone").unwrap();
        layer.whiteout(b"a/x").unwrap();
        let layer = layer.finish(&records).unwrap();
        let kept = normalise(&records, &parent, &layer).unwrap().unwrap();
        assert_eq!(outline(&records, &kept), ["a/", "a/x X", "new/"]);
    }

    #[test]
    fn an_opaque_directory_stays_only_where_it_hides_something() {
        let records = MemoryRecords::new();
        let parent = tree(&records, &[("a/x", file("1")), ("e", dir(0o755))]);
        let mut layer = TreeBuilder::default();
        layer.insert(b"a/y", file("2")).unwrap();
        for path in ["a", "e", "n"] {
            layer.opaque(path.as_bytes()).unwrap();
        }
        let layer = layer.finish(&records).unwrap();
        let kept = normalise(&records, &parent, &layer).unwrap().unwrap();
        assert_eq!(outline(&records, &kept), ["a/!", "a/y 2", "e/", "n/"]);
    }

    #[test]
    fn a_name_of_a_linked_file_is_kept_for_the_others() {
        let records = MemoryRecords::new();
        let parent = tree(&records, &[("a", linked("1", "a")), ("b", linked("1", "a"))]);
        let layer = tree(&records, &[("a", linked("1", "a")), ("c", linked("1", "a"))]);
        let kept = normalise(&records, &parent, &layer).unwrap().unwrap();
        assert_eq!(outline(&records, &kept), ["a 1 = a", "c 1 = a"]);
    }

    #[test]
    fn two_trees_are_compared_without_their_mtimes() {
        let records = MemoryRecords::new();
        let mut touched = file("1");
        touched.metadata_mut().mtime = Mtime(9);
        let before =
            tree(&records, &[("a", file("1")), ("b/x", file("2")), ("c", file("3")), ("d", dir(0o700))]);
        let after =
            tree(&records, &[("a", touched), ("b/x", file("4")), ("n/y", file("3")), ("d", dir(0o755))]);
        let found = changes(&records, &before, &after, 10).unwrap();
        let list: Vec<_> = found.list.iter().map(|change| (path::text(&change.path), change.kind)).collect();
        let expected = [
            ("c", ChangeKind::Deleted),
            ("d", ChangeKind::Metadata),
            ("n", ChangeKind::Added),
            ("b/x", ChangeKind::Contents),
        ];
        assert_eq!(list, expected.map(|(path, kind)| (path.to_owned(), kind)));
        assert_eq!(found.total, 5);
        assert_eq!(changes(&records, &before, &after, 1).unwrap().list.len(), 1);
    }
}
