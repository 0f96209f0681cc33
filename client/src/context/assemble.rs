//! From what was seen to a tree: records from the deepest directory up.

use std::collections::HashMap;
use std::sync::Arc;

use farm_model::{BlobDigest, DirectoryDigest};
use farm_tree::{Device, Directory, DirectoryRef, Entry, File, Node, Symlink, Tree, encoding, path};

use crate::context::Scan;
use crate::context::listing::{Child, Contents, Kind, Listing, Stat};

/// Makes the tree of a context. A directory that is ignored itself appears only when something in it does.
pub(super) fn assemble(mut listings: Vec<Option<Listing>>) -> Scan {
    let links = Links::of(&listings);
    let mut scan = Scan::default();
    let mut built: Vec<Option<Directory>> = Vec::new();
    built.resize_with(listings.len(), || None);
    // What lies in a directory always has a later position.
    for at in (0..listings.len()).rev() {
        let Some(listing) = listings[at].take() else { continue };
        let mut entries = Vec::with_capacity(listing.children.len());
        for child in listing.children {
            let (name, stat) = (child.name, child.stat);
            let node = match child.kind {
                Kind::Directory(id) => built[id].take().map(Node::Directory),
                Kind::File(None) => None,
                Kind::File(Some(Contents { blob, xattrs, .. })) => {
                    let full = path::join(&listing.visit.path, &name);
                    let hard_link = links.first(&stat);
                    scan.files += 1;
                    scan.bytes = scan.bytes.saturating_add(blob.size);
                    scan.sources.insert(blob, full.into());
                    Some(Node::File(File { metadata: stat.metadata(xattrs), blob, hard_link }))
                }
                Kind::Symlink(target, xattrs) => {
                    Some(Node::Symlink(Symlink { metadata: stat.metadata(xattrs), target }))
                }
                Kind::Device(kind, xattrs) => {
                    Some(Node::Device(Device { metadata: stat.metadata(xattrs), kind }))
                }
            };
            entries.extend(node.map(|node| (name.into(), Entry::Node(node))));
        }
        if entries.is_empty() && listing.visit.verdict.is_ignored() {
            continue;
        }
        let record = scan.keep(&entries.into_iter().collect());
        built[at] = Some(Directory { metadata: listing.metadata, opaque: false, record });
    }
    if let Some(root) = built.first_mut().and_then(Option::take) {
        scan.tree = Tree { root };
    }
    scan
}

impl Scan {
    fn keep(&mut self, entries: &farm_tree::Entries) -> DirectoryRef {
        if entries.is_empty() {
            return DirectoryRef::empty();
        }
        let (name, bytes) = encoding::seal(entries);
        self.records.insert(name.digest, bytes);
        name
    }
}

/// Files with several names, by device and inode.
struct Links(HashMap<(u64, u64), Linked>);

/// How many names of a file take part, and the first of them in byte order.
struct Linked {
    count: usize,
    first: Arc<[u8]>,
}

impl Links {
    fn of(listings: &[Option<Listing>]) -> Self {
        let mut found: HashMap<(u64, u64), Linked> = HashMap::new();
        for listing in listings.iter().flatten() {
            for Child { name, stat, kind } in &listing.children {
                if stat.links < 2 || !matches!(kind, Kind::File(Some(_))) {
                    continue;
                }
                let full: Arc<[u8]> = path::join(&listing.visit.path, name).into();
                let linked = found
                    .entry((stat.stamp.device, stat.stamp.inode))
                    .or_insert_with(|| Linked { count: 0, first: Arc::clone(&full) });
                linked.count += 1;
                if full < linked.first {
                    linked.first = full;
                }
            }
        }
        Self(found)
    }

    /// The first name of the file, when there is another.
    fn first(&self, stat: &Stat) -> Option<Arc<[u8]>> {
        if stat.links < 2 {
            return None;
        }
        let linked = self.0.get(&(stat.stamp.device, stat.stamp.inode))?;
        (linked.count > 1).then(|| Arc::clone(&linked.first))
    }
}

/// By content: any file that has it.
pub(super) type Sources = HashMap<BlobDigest, Box<[u8]>>;
/// Encoded records.
pub(super) type Records = HashMap<DirectoryDigest, Vec<u8>>;
