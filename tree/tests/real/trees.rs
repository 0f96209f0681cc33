//! Random trees: few names, so that they collide, and few contents, so that a digest can be turned back into bytes.

use farm_model::BlobDigest;
use farm_tree::path;
use farm_tree::record::{Device, DeviceKind, Entry, Symlink};
use farm_tree::{Directory, File, MemoryRecords, Metadata, Mtime, Node, Tree, TreeBuilder, walk};
use proptest::prelude::*;

pub(crate) const CONTENTS: [&str; 4] = ["", "one", "two\n", "three three three"];
const NAMES: [&str; 4] = ["a", "b", "c", "d.txt"];
const TARGETS: [&str; 9] = ["a", "b/c", "../b", "/a", "/c/b", "/", "../../a/b", "nowhere/x", "/a/new"];
const MODES: [u16; 6] = [0o755, 0o700, 0o644, 0o600, 0o4755, 0o1777];

/// One insertion into a tree.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Put(String, Node),
    Link(String, String),
    Whiteout(String),
    Opaque(String),
}

pub(crate) fn any_path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&NAMES[..]), 1..4).prop_map(|names| names.join("/"))
}

fn any_metadata(age: i64) -> impl Strategy<Value = Metadata> {
    let xattr = prop::option::weighted(0.1, Just((b"user.color".to_vec(), b"blue".to_vec())));
    (prop::sample::select(&MODES[..]), 0..3_u32, 0..3_u32, 0..3_i64, xattr).prop_map(
        move |(mode, uid, gid, second, xattr)| Metadata {
            mode,
            uid,
            gid,
            mtime: Mtime((1_000_000 + age * 100 + second) * 1_000_000_000 + 5),
            xattrs: xattr.into_iter().collect(),
        },
    )
}

fn any_node(age: i64) -> impl Strategy<Value = Node> {
    let file = (any_metadata(age), prop::sample::select(&CONTENTS[..])).prop_map(|(metadata, text)| {
        Node::File(File { metadata, blob: BlobDigest::of(text.as_bytes()), hard_link: None })
    });
    let directory = any_metadata(age).prop_map(|metadata| Node::Directory(Directory::empty(metadata)));
    let symlink = (any_metadata(age), prop::sample::select(&TARGETS[..])).prop_map(|(metadata, target)| {
        Node::Symlink(Symlink {
            metadata: Metadata { mode: 0o777, xattrs: [].into(), ..metadata },
            target: target.as_bytes().to_vec(),
        })
    });
    let fifo = any_metadata(age).prop_map(|metadata| {
        Node::Device(Device { metadata: Metadata { xattrs: [].into(), ..metadata }, kind: DeviceKind::Fifo })
    });
    prop_oneof![8 => file, 4 => directory, 3 => symlink, 1 => fifo]
}

/// What goes into a merged tree. Times of different ages never meet.
pub(crate) fn any_steps(age: i64) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (any_path(), any_node(age)).prop_map(|(path, node)| Step::Put(path, node)),
        1 => (any_path(), any_path()).prop_map(|(path, target)| Step::Link(path, target)),
    ];
    prop::collection::vec(step, 0..14)
}

/// What goes into a layer.
pub(crate) fn any_layer(age: i64) -> impl Strategy<Value = Vec<Step>> {
    let marks = prop_oneof![any_path().prop_map(Step::Whiteout), any_path().prop_map(Step::Opaque)];
    (any_steps(age), prop::collection::vec(marks, 0..4)).prop_map(|(mut steps, marks)| {
        steps.extend(marks);
        steps
    })
}

/// The tree that `steps` make; those that cannot be done are left out.
pub(crate) fn build(records: &MemoryRecords, steps: &[Step]) -> Tree {
    let mut builder = TreeBuilder::new(Metadata::plain(0o755, Mtime(1_000_000_000)));
    for step in steps {
        // A path through a file or a link to nothing is part of what is random.
        let _ = match step {
            Step::Put(path, node) => builder.insert(path.as_bytes(), node.clone()),
            Step::Link(path, target) if path == target => Ok(()),
            Step::Link(path, target) => builder.hard_link(path.as_bytes(), target.as_bytes()),
            Step::Whiteout(path) => builder.whiteout(path.as_bytes()),
            Step::Opaque(path) => builder.opaque(path.as_bytes()),
        };
    }
    builder.finish(records).unwrap()
}

/// `tree` as a scan of it would give it: names of a file count together when they are equal and there are two, and
/// directories have no mtime, which the real thing changes on its own.
pub(crate) fn canonical(records: &MemoryRecords, tree: &Tree) -> Vec<String> {
    let mut builder = TreeBuilder::new(tree.root.metadata.clone());
    for step in walk(records, tree) {
        let (path, entry) = step.unwrap();
        match entry {
            Entry::Node(node) => builder.insert(&path, node).unwrap(),
            Entry::Whiteout => builder.whiteout(&path).unwrap(),
        }
    }
    let tree = builder.finish(records).unwrap();
    let root = format!("/ {}", metadata(&tree.root.metadata, false));
    let lines = walk(records, &tree).map(|step| {
        let (at, entry) = step.unwrap();
        let Entry::Node(node) = entry else {
            return format!("{} whiteout", path::text(&at));
        };
        let what = match &node {
            Node::Directory(directory) => format!("directory opaque={}", directory.opaque),
            Node::File(file) => format!("{} {:?}", file.blob, file.hard_link.as_deref().map(path::text)),
            Node::Symlink(symlink) => format!("-> {}", path::text(&symlink.target)),
            Node::Device(device) => format!("{:?}", device.kind),
        };
        let timed = !matches!(node, Node::Directory(_));
        format!("{} {} {what}", path::text(&at), metadata(node.metadata(), timed))
    });
    [root].into_iter().chain(lines).collect()
}

fn metadata(metadata: &Metadata, timed: bool) -> String {
    let time = if timed { metadata.mtime.0 } else { 0 };
    format!("{:o} {}:{} {time} {:?}", metadata.mode, metadata.uid, metadata.gid, metadata.xattrs)
}
