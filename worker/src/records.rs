//! The directory records of a layer on their way to a coordinator that has not seen them.

use std::collections::HashSet;

use farm_model::DirectoryDigest;
use farm_store::Store;
use farm_tree::{DirectoryRef, Entry, Node, Records as _, Tree};

use crate::error::Error;

/// Bytes of records that travel in one message, unless a single one has more.
const CHUNK_BYTES: usize = 1 << 20;
/// A record that does not fit into a frame together with others is left to a fetch.
const MOST_BYTES: usize = farm_proto::frame::LIMIT / 2;

/// Whether whoever takes records wants more of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Demand {
    More,
    Enough,
}

/// Hands the encoded records of `tree` to `take`, each once, children before parents, in chunks.
pub(crate) fn send(
    store: &Store,
    tree: &Tree,
    mut take: impl FnMut(Vec<Vec<u8>>) -> Demand,
) -> Result<(), Error> {
    let mut seen = HashSet::from([DirectoryRef::empty().digest]);
    let mut open = vec![Visit::Down(tree.root.record.digest)];
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    while let Some(visit) = open.pop() {
        let digest = match visit {
            Visit::Down(digest) => {
                if seen.insert(digest) {
                    open.push(Visit::Up(digest));
                    open.extend(subdirectories(store, digest)?);
                }
                continue;
            }
            Visit::Up(digest) => digest,
        };
        let Some(record) = store.record_bytes(&digest)?.filter(|record| record.len() <= MOST_BYTES) else {
            continue;
        };
        if bytes + record.len() > CHUNK_BYTES && !chunk.is_empty() {
            if take(std::mem::take(&mut chunk)) == Demand::Enough {
                return Ok(());
            }
            bytes = 0;
        }
        bytes += record.len();
        chunk.push(record);
    }
    if !chunk.is_empty() {
        take(chunk);
    }
    Ok(())
}

enum Visit {
    /// Its subdirectories come first.
    Down(DirectoryDigest),
    /// They came.
    Up(DirectoryDigest),
}

fn subdirectories(store: &Store, digest: DirectoryDigest) -> Result<Vec<Visit>, Error> {
    let entries = store.entries(digest)?;
    let below = entries.values().filter_map(|entry| match entry {
        Entry::Node(Node::Directory(directory)) => Some(Visit::Down(directory.record.digest)),
        Entry::Node(Node::File(_) | Node::Symlink(_) | Node::Device(_)) | Entry::Whiteout => None,
    });
    Ok(below.collect())
}

#[cfg(test)]
mod tests {
    use farm_tree::encoding::{decode, record_digest};
    use farm_tree::{Directory, Metadata, Mtime, TreeBuilder};

    use super::*;

    #[test]
    fn each_record_comes_once_and_after_everything_below_it() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let mut builder = TreeBuilder::default();
        for path in ["a/shared/x", "b/c/shared/x", "shared/x", "z/y"] {
            let directory = Directory::empty(Metadata::plain(0o755, Mtime(1)));
            builder.insert(path.as_bytes(), Node::Directory(directory)).unwrap();
        }
        let tree = builder.finish(&store).unwrap();
        let mut seen = HashSet::from([DirectoryRef::empty().digest]);
        let mut count = 0;
        send(&store, &tree, |records| {
            for record in records {
                for entry in decode(&record).unwrap().values() {
                    if let Entry::Node(Node::Directory(directory)) = entry {
                        assert!(seen.contains(&directory.record.digest), "a parent came before its child");
                    }
                }
                assert!(seen.insert(record_digest(&record)), "a record came twice");
                count += 1;
            }
            Demand::More
        })
        .unwrap();
        assert!(seen.contains(&tree.root.record.digest));
        // `z` and `shared` hold one directory each, under different names; `c` and the root are the others.
        assert_eq!(count, seen.len() - 1);
    }
}
