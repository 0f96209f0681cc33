//! Layers laid over each other: what a container sees.
//!
//! A merged tree holds no whiteouts and no opaque marks. Only the directories that the layer holds are read and
//! written; everything else is shared by digest, and a subtree without marks over nothing is taken over unread.

use crate::error::Error;
use crate::path::MAX_DEPTH;
use crate::record::{Directory, DirectoryRef, Entry, Node, Tree};
use crate::records::{Records, load};

/// Lays `layer` over `below`, which is merged already. The root gets the layer's metadata.
pub fn merge(records: &dyn Records, below: &Tree, layer: &Tree) -> Result<Tree, Error> {
    Ok(Tree { root: over(records, Some(&below.root), &layer.root, 0)? })
}

/// Lays `layers` over each other, the lowest first. Without layers the tree is empty.
pub fn merge_all<'a>(
    records: &dyn Records,
    layers: impl IntoIterator<Item = &'a Tree>,
) -> Result<Tree, Error> {
    let mut merged = Tree::empty();
    for layer in layers {
        merged = merge(records, &merged, layer)?;
    }
    Ok(merged)
}

fn over(
    records: &dyn Records,
    below: Option<&Directory>,
    layer: &Directory,
    depth: usize,
) -> Result<Directory, Error> {
    let below = below.filter(|_| !layer.opaque).map(|below| below.record);
    let record = match below {
        None if layer.record.marks == 0 => layer.record,
        Some(below) if layer.record == DirectoryRef::empty() => below,
        Some(below) if layer.record == below && below.marks == 0 => below,
        below => combine(records, below.unwrap_or_else(DirectoryRef::empty), layer.record, depth)?,
    };
    Ok(Directory { metadata: layer.metadata.clone(), opaque: false, record })
}

fn combine(
    records: &dyn Records,
    below: DirectoryRef,
    layer: DirectoryRef,
    depth: usize,
) -> Result<DirectoryRef, Error> {
    if depth >= MAX_DEPTH {
        return Err(Error::TooDeep(layer.digest.to_string()));
    }
    let mut entries = (*load(records, &below)?).clone();
    for (name, entry) in load(records, &layer)?.iter() {
        let merged = match entry {
            Entry::Whiteout => {
                entries.remove(name);
                continue;
            }
            Entry::Node(Node::Directory(directory)) => {
                let below = match entries.get(name) {
                    Some(Entry::Node(node)) => node.as_directory(),
                    Some(Entry::Whiteout) | None => None,
                };
                Node::Directory(over(records, below, directory, depth + 1)?)
            }
            Entry::Node(node) => node.clone(),
        };
        entries.insert(name.clone(), Entry::Node(merged));
    }
    if entries.is_empty() {
        return Ok(DirectoryRef::empty());
    }
    records.put(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{dir, file, outline, tree};
    use crate::{MemoryRecords, TreeBuilder};

    #[test]
    fn whiteouts_and_opaque_directories_hide_what_is_below() {
        let records = MemoryRecords::new();
        let below = tree(&records, &[("a/x", file("1")), ("b/y", file("2")), ("c", file("3"))]);
        let mut layer = TreeBuilder::default();
        layer.insert(b"a/z", file("4")).unwrap();
        layer.opaque(b"a").unwrap();
        layer.whiteout(b"b").unwrap();
        let layer = layer.finish(&records).unwrap();
        let merged = merge(&records, &below, &layer).unwrap();
        assert_eq!(outline(&records, &merged), ["a/", "a/z 4", "c 3"]);
        assert_eq!(merged.root.record.marks, 0);
    }

    #[test]
    fn a_directory_over_a_file_starts_empty_and_a_file_over_a_directory_hides_it() {
        let records = MemoryRecords::new();
        let below = tree(&records, &[("a", file("1")), ("b/y", file("2"))]);
        let layer = tree(&records, &[("a", dir(0o755)), ("b", file("3"))]);
        let merged = merge(&records, &below, &layer).unwrap();
        assert_eq!(outline(&records, &merged), ["a/", "b 3"]);
    }

    #[test]
    fn directories_that_the_layer_does_not_hold_are_shared() {
        let records = MemoryRecords::new();
        let below = tree(&records, &[("deep/er/x", file("1")), ("b", file("2"))]);
        let layer = tree(&records, &[("new/x", file("3"))]);
        let before = records.len();
        let merged = merge(&records, &below, &layer).unwrap();
        assert_eq!(records.len(), before + 1, "only the root is written");
        assert_eq!(
            outline(&records, &merged),
            ["b 2", "deep/", "deep/er/", "deep/er/x 1", "new/", "new/x 3"]
        );
    }

    #[test]
    fn an_opaque_directory_inside_a_new_one_leaves_no_mark() {
        let records = MemoryRecords::new();
        let mut layer = TreeBuilder::default();
        layer.insert(b"n/o/x", file("1")).unwrap();
        layer.opaque(b"n/o").unwrap();
        layer.whiteout(b"n/gone").unwrap();
        let layer = layer.finish(&records).unwrap();
        let merged = merge(&records, &Tree::empty(), &layer).unwrap();
        assert_eq!(outline(&records, &merged), ["n/", "n/o/", "n/o/x 1"]);
        assert_eq!(merged.root.record.marks, 0);
    }
}
