//! Short ways to write trees down in tests.

use farm_model::BlobDigest;

use crate::record::{Directory, Entry, File, Metadata, Mtime, Node, Symlink, Tree};
use crate::records::{MemoryRecords, load};
use crate::{DirectoryRef, TreeBuilder, path};

/// A file with the given text.
pub(crate) fn file(text: &str) -> Node {
    Node::File(File {
        metadata: Metadata::plain(0o644, Mtime(1_000)),
        blob: BlobDigest::of(text.as_bytes()),
        hard_link: None,
    })
}

/// A file that belongs to the group of `first`.
pub(crate) fn linked(text: &str, first: &str) -> Node {
    Node::File(File {
        metadata: Metadata::plain(0o644, Mtime(1_000)),
        blob: BlobDigest::of(text.as_bytes()),
        hard_link: Some(first.as_bytes().into()),
    })
}

/// A directory.
pub(crate) fn dir(mode: u16) -> Node {
    Node::Directory(Directory::empty(Metadata::plain(mode, Mtime(1_000))))
}

/// A symbolic link.
pub(crate) fn link(target: &str) -> Node {
    Node::Symlink(Symlink {
        metadata: Metadata::plain(0o777, Mtime(1_000)),
        target: target.as_bytes().to_vec(),
    })
}

/// A tree of `nodes`.
pub(crate) fn tree(records: &MemoryRecords, nodes: &[(&str, Node)]) -> Tree {
    let mut builder = TreeBuilder::default();
    for (path, node) in nodes {
        builder.insert(path.as_bytes(), node.clone()).unwrap();
    }
    builder.finish(records).unwrap()
}

/// Every entry as a line: `path/` with `!` when opaque, `path text` for one-digit files, `path -> target`,
/// `path = first` for hard links, `path X` for whiteouts.
pub(crate) fn outline(records: &MemoryRecords, tree: &Tree) -> Vec<String> {
    let mut lines = Vec::new();
    collect(records, &tree.root.record, b"", &mut lines);
    lines
}

fn collect(records: &MemoryRecords, record: &DirectoryRef, at: &[u8], lines: &mut Vec<String>) {
    for (name, entry) in load(records, record).unwrap().iter() {
        let path = path::join(at, name);
        let shown = path::text(&path);
        match entry {
            Entry::Whiteout => lines.push(format!("{shown} X")),
            Entry::Node(Node::Directory(directory)) => {
                lines.push(format!("{shown}/{}", if directory.opaque { "!" } else { "" }));
                collect(records, &directory.record, &path, lines);
            }
            Entry::Node(Node::File(file)) => {
                let first = file.hard_link.as_deref().map(|first| format!(" = {}", path::text(first)));
                let text = ["1", "2", "3", "4", "5", "6"]
                    .into_iter()
                    .find(|text| BlobDigest::of(text.as_bytes()) == file.blob);
                lines.push(format!("{shown} {}{}", text.unwrap_or("?"), first.unwrap_or_default()));
            }
            Entry::Node(Node::Symlink(symlink)) => {
                lines.push(format!("{shown} -> {}", path::text(&symlink.target)));
            }
            Entry::Node(Node::Device(_)) => lines.push(format!("{shown} device")),
        }
    }
}
