//! Going through whole trees, without recursion.
//!
//! Trees are graphs: a record may lie at many paths, and a hostile tree of forty records has more paths than fit on any
//! disk. [`each_record`] and [`verify`] look at every record once. [`walk`] goes through paths: compare
//! `tree.root.record.entries` with a limit first, which [`verify`] has shown to be true. The same holds for every other
//! operation of this crate that goes down a tree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use farm_model::DirectoryDigest;

use crate::error::Error;
use crate::path;
use crate::record::{DirectoryRef, Entry, Node, Tree};
use crate::records::{Entries, Records, load};

/// Every entry of `tree` with its tree path: a directory before what is in it, names in byte order. The root itself is
/// left out. Ends after the first error.
pub fn walk<'a>(records: &'a dyn Records, tree: &Tree) -> Walk<'a> {
    Walk { records, open: Vec::new(), next: Some((Vec::new(), tree.root.record)) }
}

/// See [`walk`].
pub struct Walk<'a> {
    records: &'a dyn Records,
    open: Vec<Level>,
    /// A directory whose entries come next.
    next: Option<(Vec<u8>, DirectoryRef)>,
}

struct Level {
    path: Vec<u8>,
    entries: Arc<Entries>,
    /// The last name that was given out.
    last: Option<Arc<[u8]>>,
}

impl Walk<'_> {
    fn step(&mut self) -> Result<Option<(Vec<u8>, Entry)>, Error> {
        if let Some((path, record)) = self.next.take() {
            if self.open.len() >= path::MAX_DEPTH || path.len() >= path::MAX_PATH {
                return Err(Error::TooDeep(path::absolute(&path)));
            }
            let entries = load(self.records, &record)?;
            self.open.push(Level { path, entries, last: None });
        }
        while let Some(level) = self.open.last_mut() {
            let found = match &level.last {
                Some(last) => {
                    let after = (std::ops::Bound::Excluded(last.clone()), std::ops::Bound::Unbounded);
                    level.entries.range::<Arc<[u8]>, _>(after).next()
                }
                None => level.entries.iter().next(),
            };
            let Some((name, entry)) = found else {
                self.open.pop();
                continue;
            };
            let (name, entry) = (name.clone(), entry.clone());
            let path = path::join(&level.path, &name);
            level.last = Some(name);
            if let Entry::Node(Node::Directory(directory)) = &entry {
                self.next = Some((path.clone(), directory.record));
            }
            return Ok(Some((path, entry)));
        }
        Ok(None)
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<(Vec<u8>, Entry), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.open.clear();
        }
        step.transpose()
    }
}

/// Shows every record of `tree` once, in no particular order that means anything but always the same one. `visit`
/// says whether to go on below a record.
pub fn each_record(
    records: &dyn Records,
    tree: &Tree,
    mut visit: impl FnMut(&DirectoryRef, &Entries) -> bool,
) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    let mut open = vec![tree.root.record];
    while let Some(record) = open.pop() {
        if !seen.insert(record.digest) {
            continue;
        }
        let entries = load(records, &record)?;
        if visit(&record, &entries) {
            open.extend(subdirectories(&entries));
        }
    }
    Ok(())
}

/// Checks that every sum and content digest that `tree` holds is that of the record it belongs to, and that no path in
/// it is longer than a path can be. For trees from another machine, once their records are there.
pub fn verify(records: &dyn Records, tree: &Tree) -> Result<(), Error> {
    // What is known of a record: its true name, and the longest path below it in names and bytes.
    let mut known: BTreeMap<DirectoryDigest, (DirectoryRef, usize, usize)> = BTreeMap::new();
    let mut open = vec![tree.root.record];
    while let Some(claimed) = open.last().copied() {
        if let Some((actual, ..)) = known.get(&claimed.digest) {
            if *actual != claimed {
                return Err(Error::Inconsistent(claimed.digest));
            }
            open.pop();
            continue;
        }
        let entries = load(records, &claimed)?;
        let mut complete = true;
        for record in subdirectories(&entries) {
            match known.get(&record.digest) {
                Some((actual, ..)) if *actual != record => return Err(Error::Inconsistent(record.digest)),
                Some(_) => {}
                None => {
                    complete = false;
                    open.push(record);
                }
            }
        }
        if complete {
            let (names, bytes) = longest(&entries, &known);
            if names > path::MAX_DEPTH || bytes >= path::MAX_PATH {
                return Err(Error::TooDeep(claimed.digest.to_string()));
            }
            known.insert(claimed.digest, (DirectoryRef::of(&entries), names, bytes));
        }
    }
    Ok(())
}

fn subdirectories(entries: &Entries) -> impl Iterator<Item = DirectoryRef> {
    entries.values().filter_map(|entry| match entry {
        Entry::Node(Node::Directory(directory)) => Some(directory.record),
        Entry::Node(_) | Entry::Whiteout => None,
    })
}

fn longest(
    entries: &Entries,
    known: &BTreeMap<DirectoryDigest, (DirectoryRef, usize, usize)>,
) -> (usize, usize) {
    entries.iter().fold((0, 0), |(names, bytes), (name, entry)| {
        let below = match entry {
            Entry::Node(Node::Directory(directory)) => known.get(&directory.record.digest),
            Entry::Node(_) | Entry::Whiteout => None,
        };
        let (below_names, below_bytes) = below.map_or((0, 0), |(_, names, bytes)| (*names, *bytes + 1));
        (names.max(below_names + 1), bytes.max(below_bytes + name.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{dir, file, tree};
    use crate::{Directory, MemoryRecords, Metadata};

    #[test]
    fn directories_come_before_what_is_in_them_and_names_in_byte_order() {
        let records = MemoryRecords::new();
        let tree = tree(&records, &[("a/b/c", file("1")), ("a.b", file("2")), ("z", dir(0o700))]);
        let paths: Vec<_> =
            walk(&records, &tree).map(|step| String::from_utf8(step.unwrap().0).unwrap()).collect();
        assert_eq!(paths, ["a", "a/b", "a/b/c", "a.b", "z"]);
    }

    #[test]
    fn a_tree_that_lies_about_a_directory_is_found_out() {
        let records = MemoryRecords::new();
        let honest = tree(&records, &[("a/b/c", file("1"))]);
        verify(&records, &honest).unwrap();
        let mut lying = honest.clone();
        lying.root.record.entries += 1;
        assert!(verify(&records, &lying).is_err());
        let mut below = (*records.entries(honest.root.record.digest).unwrap()).clone();
        for entry in below.values_mut() {
            if let Entry::Node(Node::Directory(directory)) = entry {
                directory.record.bytes = 0;
            }
        }
        lying.root.record = records.put(below).unwrap();
        assert!(verify(&records, &lying).is_err());
    }

    fn nested(records: &MemoryRecords, depth: usize) -> Tree {
        let mut directory = Directory::empty(Metadata::default());
        for _ in 0..depth {
            // Two names each: as many paths as two to the power of the depth.
            let entry = Entry::Node(Node::Directory(directory.clone()));
            let names = [b"a".as_slice(), b"b"].map(|name| (Arc::from(name), entry.clone()));
            directory.record = records.put(names.into()).unwrap();
        }
        Tree { root: directory }
    }

    #[test]
    fn records_at_many_paths_are_looked_at_once() {
        let records = MemoryRecords::new();
        let tree = nested(&records, 100);
        verify(&records, &tree).unwrap();
        let mut count = 0;
        each_record(&records, &tree, |_, _| {
            count += 1;
            true
        })
        .unwrap();
        assert_eq!(count, 101);
        assert_eq!(tree.root.record.entries, u64::MAX, "the sum saturates");
    }

    #[test]
    fn a_tree_deeper_than_a_path_is_refused() {
        let records = MemoryRecords::new();
        assert!(matches!(verify(&records, &nested(&records, path::MAX_DEPTH + 1)), Err(Error::TooDeep(_))));
        let deep = nested(&records, path::MAX_DEPTH);
        verify(&records, &deep).unwrap();
        assert!(walk(&records, &deep).take(path::MAX_DEPTH).all(|step| step.is_ok()));
    }
}
