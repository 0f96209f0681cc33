//! Walking a path in a merged tree as a process inside it would, without ever leaving it.
//!
//! Absolute symbolic links start over at the root of the tree and `..` stops there. A path whose tail does not exist
//! resolves to where that tail would come to lie, since `COPY` creates it there.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Error;
use crate::path;
use crate::record::{Entry, Node, Tree};
use crate::records::{Entries, Records, load};

/// How many symbolic links a path may lead through.
pub const MAX_LINKS: usize = 255;

/// Where a path leads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resolved {
    /// The tree path without symbolic links on the way, a missing tail included.
    pub path: Vec<u8>,
    /// The longest part of `path` that exists.
    pub existing: Vec<u8>,
    /// What lies at `path`; none when it does not exist.
    pub node: Option<Node>,
}

/// Resolves `path` and follows a symbolic link at its end.
pub fn resolve(records: &dyn Records, tree: &Tree, path: &[u8]) -> Result<Resolved, Error> {
    resolve_in(records, tree, path, Last::Follow)
}

/// Resolves the parents of `path` and looks at what lies there, be it a symbolic link.
pub fn lookup(records: &dyn Records, tree: &Tree, path: &[u8]) -> Result<Resolved, Error> {
    resolve_in(records, tree, path, Last::Keep)
}

fn resolve_in(records: &dyn Records, tree: &Tree, path: &[u8], last: Last) -> Result<Resolved, Error> {
    let mut view = TreeView::new(records, tree);
    let (path, existing) = walk(&mut view, path, last)?;
    let node = if path == existing { view.node(&path)? } else { None };
    Ok(Resolved { path, existing, node })
}

/// What to do with a symbolic link at the end of a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Last {
    Follow,
    Keep,
}

/// What a path walk needs to know of a tree path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Seen {
    Missing,
    Directory,
    Symlink(Vec<u8>),
    Other,
}

/// Something that paths can be walked in.
pub(crate) trait View {
    /// What lies at `path`, whose parent was seen to be a directory.
    fn see(&mut self, path: &[u8]) -> Result<Seen, Error>;
}

/// The real tree path of `written`, and the part of it that exists.
pub(crate) fn walk(view: &mut dyn View, written: &[u8], last: Last) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let circle = || Error::TooManyLinks(path::text(written));
    let mut pending: Vec<Vec<u8>> = parts(written);
    let mut real: Vec<Vec<u8>> = Vec::new();
    // How many of `real` exist.
    let mut existing = 0;
    let mut links = 0;
    while let Some(part) = pending.pop() {
        if part == b".." {
            real.pop();
            existing = existing.min(real.len());
            continue;
        }
        if !path::is_name(&part) || real.len() >= path::MAX_DEPTH {
            return Err(Error::InvalidPath(path::text(written)));
        }
        real.push(part);
        if existing + 1 < real.len() {
            continue;
        }
        let here = real.join(&b'/');
        match view.see(&here)? {
            Seen::Missing => continue,
            Seen::Directory => {}
            Seen::Other if pending.is_empty() => {}
            Seen::Other => return Err(Error::NotADirectory(path::absolute(&here))),
            Seen::Symlink(_) if last == Last::Keep && pending.is_empty() => {}
            Seen::Symlink(target) => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(circle());
                }
                real.pop();
                if target.first() == Some(&b'/') {
                    real.clear();
                    existing = 0;
                }
                pending.extend(parts(&target));
                continue;
            }
        }
        existing = real.len();
    }
    let path = real.join(&b'/');
    let existing = real[..existing].join(&b'/');
    if path.len() >= path::MAX_PATH {
        return Err(Error::InvalidPath(path::text(written)));
    }
    Ok((path, existing))
}

/// The parts of a path, the first one last.
fn parts(written: &[u8]) -> Vec<Vec<u8>> {
    path::written(written).rev().map(<[u8]>::to_vec).collect()
}

/// A merged tree, with the directories on the way kept.
pub(crate) struct TreeView<'a> {
    records: &'a dyn Records,
    tree: &'a Tree,
    open: BTreeMap<Vec<u8>, Arc<Entries>>,
}

impl<'a> TreeView<'a> {
    pub(crate) fn new(records: &'a dyn Records, tree: &'a Tree) -> Self {
        Self { records, tree, open: BTreeMap::new() }
    }

    /// What lies at the tree path `path`, whose parents are no symbolic links.
    pub(crate) fn node(&mut self, path: &[u8]) -> Result<Option<Node>, Error> {
        if path.is_empty() {
            return Ok(Some(Node::Directory(self.tree.root.clone())));
        }
        let parent = path::parent(path);
        if !self.open.contains_key(parent) {
            let Some(Node::Directory(directory)) = self.node(parent)? else {
                return Ok(None);
            };
            self.open.insert(parent.to_vec(), load(self.records, &directory.record)?);
        }
        let found = self.open.get(parent).and_then(|entries| entries.get(path::name(path)));
        Ok(match found {
            Some(Entry::Node(node)) => Some(node.clone()),
            Some(Entry::Whiteout) | None => None,
        })
    }
}

impl View for TreeView<'_> {
    fn see(&mut self, path: &[u8]) -> Result<Seen, Error> {
        Ok(match self.node(path)? {
            None => Seen::Missing,
            Some(Node::Directory(_)) => Seen::Directory,
            Some(Node::Symlink(symlink)) => Seen::Symlink(symlink.target),
            Some(Node::File(_) | Node::Device(_)) => Seen::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryRecords;
    use crate::test_support::{file, link, tree};

    fn sample() -> (MemoryRecords, Tree) {
        let records = MemoryRecords::new();
        let nodes = [
            ("usr/bin/sh", file("1")),
            ("bin", link("usr/bin")),
            ("abs", link("/usr/bin/sh")),
            ("up", link("../../../usr")),
            ("a", link("b")),
            ("b", link("a")),
            ("dangling", link("nowhere/at/all")),
            ("usr/out", link("../new/place")),
        ];
        let tree = tree(&records, &nodes);
        (records, tree)
    }

    fn real(path: &str) -> String {
        let (records, tree) = sample();
        let found = resolve(&records, &tree, path.as_bytes()).unwrap();
        format!("{} [{}]", path::text(&found.path), path::text(&found.existing))
    }

    #[test]
    fn links_are_followed_inside_the_root() {
        assert_eq!(real("/bin/sh"), "usr/bin/sh [usr/bin/sh]");
        assert_eq!(real("abs"), "usr/bin/sh [usr/bin/sh]");
        assert_eq!(real("up/bin/../../.."), " []");
        assert_eq!(real("/"), " []");
    }

    #[test]
    fn a_missing_tail_is_kept_where_it_would_lie() {
        assert_eq!(real("bin/new/x"), "usr/bin/new/x [usr/bin]");
        assert_eq!(real("dangling/y"), "nowhere/at/all/y []");
        assert_eq!(real("usr/out/z"), "new/place/z []");
        assert_eq!(real("gone/../usr"), "usr [usr]");
    }

    #[test]
    fn a_circle_of_links_ends_in_an_error() {
        let (records, tree) = sample();
        assert!(matches!(resolve(&records, &tree, b"a/x"), Err(Error::TooManyLinks(_))));
        assert!(lookup(&records, &tree, b"a").unwrap().node.is_some());
    }

    #[test]
    fn a_file_on_the_way_is_no_directory() {
        let (records, tree) = sample();
        assert!(matches!(resolve(&records, &tree, b"abs/x"), Err(Error::NotADirectory(_))));
    }
}
