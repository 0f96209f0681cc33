//! What makes a tree heavy, in a few paths. A directory is named instead of what is in it where many small things make it
//! heavy; where a few things do, those are named. Only directories on the way are read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::compare::Extent;
use crate::error::Error;
use crate::path;
use crate::record::{DirectoryRef, Entry, Node, Tree};
use crate::records::{Records, load};

/// So many things in a directory are few.
const FEW: usize = 4;
/// Directories that are opened for each path that is wanted.
const OPENED: usize = 32;

/// A path that weighs much.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Heavy {
    /// The tree path.
    pub path: Vec<u8>,
    /// What lies there.
    pub extent: Extent,
}

/// The at most `most` paths of `tree` that weigh most, none of them inside another.
pub fn heaviest(records: &dyn Records, tree: &Tree, most: usize) -> Result<Vec<Heavy>, Error> {
    let mut found = Vec::new();
    let mut waiting = BinaryHeap::from([Candidate::root(tree)]);
    let mut budget = most.saturating_mul(OPENED);
    while found.len() < most
        && let Some(next) = waiting.pop()
    {
        let inside = match next.directory {
            Some(record) if budget > 0 && next.depth < path::MAX_DEPTH => {
                budget -= 1;
                let inside = open(records, &next, &record)?;
                (next.depth == 0 || few_weigh_most(&inside, next.bytes)).then_some(inside)
            }
            _ => None,
        };
        match inside {
            Some(inside) => waiting.extend(inside),
            None => found.push(next.named()),
        }
    }
    Ok(found)
}

/// Ordered by bytes, and among equals by path.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Candidate {
    bytes: u64,
    path: Reverse<Vec<u8>>,
    entries: u64,
    depth: usize,
    directory: Option<Opened>,
}

impl Candidate {
    fn root(tree: &Tree) -> Self {
        let record = tree.root.record;
        Self {
            bytes: record.bytes,
            path: Reverse(Vec::new()),
            entries: record.entries.saturating_add(1),
            depth: 0,
            directory: Some(Opened(record)),
        }
    }

    fn named(self) -> Heavy {
        let extent = Extent { bytes: self.bytes, entries: self.entries, directory: self.directory.is_some() };
        Heavy { path: self.path.0, extent }
    }
}

/// A record that takes no part in the order.
#[derive(Clone, Copy, Debug)]
struct Opened(DirectoryRef);

impl PartialEq for Opened {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Opened {}

impl Ord for Opened {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

impl PartialOrd for Opened {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// What lies in a directory and has bytes.
fn open(records: &dyn Records, at: &Candidate, record: &Opened) -> Result<Vec<Candidate>, Error> {
    let mut inside = Vec::new();
    for (name, entry) in load(records, &record.0)?.iter() {
        let Entry::Node(node) = entry else { continue };
        let extent = Extent::of(node);
        if extent.bytes == 0 {
            continue;
        }
        let directory = node.as_directory().map(|directory| Opened(directory.record));
        let path = path::join(&at.path.0, name);
        // A file with several names weighs where its first path is.
        let elsewhere = |node: &Node| {
            node.as_file().and_then(|file| file.hard_link.as_deref()).is_some_and(|first| first != path)
        };
        if !elsewhere(node) {
            inside.push(Candidate {
                bytes: extent.bytes,
                entries: extent.entries,
                depth: at.depth + 1,
                path: Reverse(path),
                directory,
            });
        }
    }
    Ok(inside)
}

fn few_weigh_most(inside: &[Candidate], bytes: u64) -> bool {
    let mut sizes: Vec<u64> = inside.iter().map(|candidate| candidate.bytes).collect();
    sizes.sort_unstable_by_key(|size| Reverse(*size));
    let few = sizes.iter().take(FEW).fold(0_u64, |sum, size| sum.saturating_add(*size));
    few.saturating_mul(3) >= bytes.saturating_mul(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryRecords;
    use crate::test_support::{file, linked, tree};

    fn named(nodes: &[(&str, Node)], most: usize) -> Vec<(String, u64)> {
        let records = MemoryRecords::new();
        let tree = tree(&records, nodes);
        let found = heaviest(&records, &tree, most).unwrap();
        found.iter().map(|one| (path::text(&one.path), one.extent.bytes)).collect()
    }

    #[test]
    fn a_directory_of_many_small_files_is_named_as_a_whole() {
        let names: Vec<String> = (0..50).map(|number| format!("app/modules/m{number}/index")).collect();
        let mut nodes: Vec<(&str, Node)> = names.iter().map(|name| (name.as_str(), file("12"))).collect();
        nodes.push(("usr/bin/tool", file(&"x".repeat(70))));
        nodes.push(("etc/small", file("1")));
        let wanted = [("app/modules".to_owned(), 100), ("usr/bin/tool".to_owned(), 70)];
        assert_eq!(named(&nodes, 2), wanted);
        assert_eq!(named(&nodes, 9).len(), 3);
        assert!(named(&nodes, 0).is_empty());
    }

    #[test]
    fn a_file_with_several_names_is_named_once() {
        let nodes = [("a", linked("1234", "a")), ("b", linked("1234", "a"))];
        assert_eq!(named(&nodes, 9), [("a".to_owned(), 4)]);
    }
}
