//! What two merged trees differ in, by weight. Directories that are equal but for times are not read.

use crate::diff::{ChangeKind, difference, pairs, size};
use crate::error::Error;
use crate::path;
use crate::record::{Node, Tree};
use crate::records::{Records, load};
use crate::top::Top;

/// How two merged trees differ, mtimes apart.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Comparison {
    /// The heaviest differences: by how much they change the size, then by how much they are.
    pub list: Vec<Difference>,
    /// Differences that the list leaves out.
    pub more: u64,
    /// What is new.
    pub added: Sum,
    /// What is gone.
    pub removed: Sum,
    /// What has other contents.
    pub changed: Sum,
    /// What has only another mode, owner or extended attributes.
    pub metadata: u64,
}

/// What differences of one kind add up to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sum {
    /// Files and directories, those in added and removed directories included.
    pub entries: u64,
    /// Their bytes before.
    pub before: u64,
    /// Their bytes after.
    pub after: u64,
}

/// A path that differs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Difference {
    /// The tree path.
    pub path: Vec<u8>,
    /// What happened to it.
    pub kind: ChangeKind,
    /// What was there.
    pub before: Option<Extent>,
    /// What is there.
    pub after: Option<Extent>,
}

/// How much lies at a path.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Extent {
    /// Bytes of the file, or of the files beneath the directory.
    pub bytes: u64,
    /// Files and directories, the path itself included.
    pub entries: u64,
    /// Whether it is a directory.
    pub directory: bool,
}

impl Extent {
    /// What `node` is.
    pub fn of(node: &Node) -> Self {
        let bytes = match node {
            Node::Directory(directory) => directory.record.bytes,
            Node::File(file) => file.blob.size,
            Node::Symlink(_) | Node::Device(_) => 0,
        };
        Self { bytes, entries: size(node), directory: node.as_directory().is_some() }
    }
}

/// Compares two merged trees, and lists the `most` heaviest differences.
pub fn compare(records: &dyn Records, before: &Tree, after: &Tree, most: usize) -> Result<Comparison, Error> {
    let mut found = Found { sums: Comparison::default(), total: 0, top: Top::new(most) };
    let root = |tree: &Tree| Node::Directory(tree.root.clone());
    found.pair(&[], &root(before), &root(after));
    let mut open = vec![(Vec::new(), before.root.record, after.root.record)];
    while let Some((at, before, after)) = open.pop() {
        if before.content == after.content {
            continue;
        }
        let (before, after) = (load(records, &before)?, load(records, &after)?);
        for (name, old, new) in pairs(&before, &after) {
            let path = path::join(&at, name);
            if path.len() >= path::MAX_PATH {
                return Err(Error::TooDeep(path::absolute(&at)));
            }
            match (old, new) {
                (Some(old), Some(new)) => {
                    found.pair(&path, old, new);
                    if let (Some(old), Some(new)) = (old.as_directory(), new.as_directory()) {
                        open.push((path, old.record, new.record));
                    }
                }
                (old, new) => found.one(&path, old, new),
            }
        }
    }
    Ok(found.finish())
}

/// Differences while they are found.
struct Found {
    sums: Comparison,
    total: u64,
    /// By the change of size, then by the larger size.
    top: Top<(u64, u64), Difference>,
}

impl Found {
    fn pair(&mut self, path: &[u8], old: &Node, new: &Node) {
        let Some(kind) = difference(old, new) else { return };
        let (before, after) = (Extent::of(old), Extent::of(new));
        if kind == ChangeKind::Metadata {
            self.sums.metadata += 1;
            // Of a directory only the directory itself differs; what is in it is told of by itself.
            let own = |extent: Extent| Extent { bytes: 0, entries: 1, ..extent };
            let (before, after) = if before.directory { (own(before), own(after)) } else { (before, after) };
            return self.add(path, kind, Some(before), Some(after));
        }
        self.sums.changed.add(Some(before), Some(after));
        self.add(path, kind, Some(before), Some(after));
    }

    fn one(&mut self, path: &[u8], old: Option<&Node>, new: Option<&Node>) {
        let (before, after) = (old.map(Extent::of), new.map(Extent::of));
        match (before, after) {
            (None, Some(_)) => {
                self.sums.added.add(before, after);
                self.add(path, ChangeKind::Added, before, after);
            }
            (Some(_), None) => {
                self.sums.removed.add(before, after);
                self.add(path, ChangeKind::Deleted, before, after);
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
    }

    fn add(&mut self, path: &[u8], kind: ChangeKind, before: Option<Extent>, after: Option<Extent>) {
        self.total += 1;
        let bytes = |extent: Option<Extent>| extent.map_or(0, |extent| extent.bytes);
        let (old, new) = (bytes(before), bytes(after));
        self.top.offer((old.abs_diff(new), old.max(new)), || Difference {
            path: path.to_vec(),
            kind,
            before,
            after,
        });
    }

    fn finish(self) -> Comparison {
        let list = self.top.finish();
        let listed = u64::try_from(list.len()).unwrap_or(u64::MAX);
        Comparison { more: self.total.saturating_sub(listed), list, ..self.sums }
    }
}

impl Sum {
    fn add(&mut self, before: Option<Extent>, after: Option<Extent>) {
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        self.entries = self.entries.saturating_add(before.entries.max(after.entries));
        self.before = self.before.saturating_add(before.bytes);
        self.after = self.after.saturating_add(after.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryRecords;
    use crate::test_support::{dir, file, tree};

    #[test]
    fn the_heaviest_differences_come_first_and_sums_hold_them_all() {
        let records = MemoryRecords::new();
        let before = tree(
            &records,
            &[("a", file("1")), ("gone/x", file("123")), ("same/deep/x", file("5")), ("m", dir(0o700))],
        );
        let after = tree(
            &records,
            &[
                ("a", file("12")),
                ("new/x", file("12345")),
                ("new/y", file("1")),
                ("same/deep/x", file("5")),
                ("m", dir(0o755)),
            ],
        );
        let found = compare(&records, &before, &after, 2).unwrap();
        let list: Vec<_> = found.list.iter().map(|one| (path::text(&one.path), one.kind)).collect();
        assert_eq!(list, [("new".to_owned(), ChangeKind::Added), ("gone".to_owned(), ChangeKind::Deleted)]);
        assert_eq!(found.list[0].after, Some(Extent { bytes: 6, entries: 3, directory: true }));
        assert_eq!(found.more, 2);
        assert_eq!(found.added, Sum { entries: 3, before: 0, after: 6 });
        assert_eq!(found.removed, Sum { entries: 2, before: 3, after: 0 });
        assert_eq!(found.changed, Sum { entries: 1, before: 1, after: 2 });
        assert_eq!(found.metadata, 1);
    }

    #[test]
    fn equal_trees_are_not_read() {
        let records = MemoryRecords::new();
        let one = tree(&records, &[("a/b", file("1"))]);
        let found = compare(&MemoryRecords::new(), &one, &one, 9).unwrap();
        assert_eq!(found, Comparison::default());
    }

    #[test]
    fn only_directories_that_differ_are_read() {
        let records = MemoryRecords::new();
        let before = tree(&records, &[("big/x", file("1")), ("f", file("1"))]);
        let after = tree(&records, &[("big/x", file("1")), ("f", file("2"))]);
        let partial = MemoryRecords::new();
        for tree in [&before, &after] {
            partial.put((*records.entries(tree.root.record.digest).unwrap()).clone()).unwrap();
        }
        assert_eq!(compare(&partial, &before, &after, 9).unwrap().list.len(), 1);
    }
}
