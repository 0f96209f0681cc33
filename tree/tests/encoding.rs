//! Records survive being written, and bytes from anywhere never do worse than be refused.

use std::sync::Arc;

use farm_model::BlobDigest;
use farm_tree::encoding::{decode, encode};
use farm_tree::record::{Device, DeviceKind, Symlink};
use farm_tree::{Directory, DirectoryRef, Entries, Entry, File, Metadata, Mtime, Node, Tree};
use proptest::prelude::*;

fn any_name() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>().prop_filter("no name holds it", |byte| !matches!(byte, 0 | b'/')), 1..9)
        .prop_filter("dots", |name| name != b"." && name != b"..")
}

fn any_metadata() -> impl Strategy<Value = Metadata> {
    let xattrs =
        prop::collection::btree_map("user\\.[a-n]{1,4}".prop_map(String::into_bytes), any::<Vec<u8>>(), 0..3);
    (0..=0o7777_u16, any::<(u32, u32, i64)>(), xattrs).prop_map(|(mode, (uid, gid, mtime), xattrs)| {
        Metadata { mode, uid, gid, mtime: Mtime(mtime), xattrs }
    })
}

fn any_record() -> impl Strategy<Value = DirectoryRef> {
    prop::collection::btree_map(any_name(), Just(Entry::Whiteout), 0..3).prop_map(|names| {
        DirectoryRef::of(&names.into_iter().map(|(name, entry)| (name.into(), entry)).collect())
    })
}

fn any_directory() -> impl Strategy<Value = Directory> {
    (any_metadata(), any::<bool>(), any_record()).prop_map(|(metadata, opaque, record)| Directory {
        metadata,
        opaque,
        record,
    })
}

fn any_node() -> impl Strategy<Value = Node> {
    let hard_link =
        prop::option::of(prop::collection::vec(any_name(), 1..3).prop_map(|path| path.join(&b'/').into()));
    let file = (any_metadata(), any::<([u8; 32], u64)>(), hard_link).prop_map(
        |(metadata, (hash, size), hard_link)| {
            Node::File(File { metadata, blob: BlobDigest { hash, size }, hard_link })
        },
    );
    let symlink = (any_metadata(), any_name()).prop_map(|(metadata, target)| {
        let metadata = Metadata { mode: 0o777, ..metadata };
        Node::Symlink(Symlink { metadata, target })
    });
    let kind = prop_oneof![
        any::<(u32, u32)>().prop_map(|(major, minor)| DeviceKind::Character { major, minor }),
        any::<(u32, u32)>().prop_map(|(major, minor)| DeviceKind::Block { major, minor }),
        Just(DeviceKind::Fifo),
    ];
    let device = (any_metadata(), kind).prop_map(|(metadata, kind)| Node::Device(Device { metadata, kind }));
    prop_oneof![any_directory().prop_map(Node::Directory), file, symlink, device]
}

fn any_entries() -> impl Strategy<Value = Entries> {
    let entry = prop_oneof![1 => Just(Entry::Whiteout), 6 => any_node().prop_map(Entry::Node)];
    prop::collection::btree_map(any_name().prop_map(Arc::from), entry, 0..6)
}

/// What a digest without mtimes must not see.
fn without_mtimes(entries: &Entries) -> Entries {
    let mut entries = entries.clone();
    for entry in entries.values_mut() {
        if let Entry::Node(node) = entry {
            node.metadata_mut().mtime = Mtime(0);
        }
    }
    entries
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_record_is_read_as_it_was_written(entries in any_entries()) {
        prop_assert_eq!(decode(&encode(&entries)).unwrap(), entries);
    }

    #[test]
    fn a_tree_is_read_as_it_was_written(root in any_directory()) {
        let tree = Tree { root };
        prop_assert_eq!(Tree::decode(&tree.encode()).unwrap(), tree);
    }

    #[test]
    fn the_content_digest_ignores_mtimes_and_nothing_else(one in any_entries(), other in any_entries()) {
        let (bare, name) = (DirectoryRef::of(&without_mtimes(&one)), DirectoryRef::of(&one));
        prop_assert_eq!(bare.content, name.content);
        let same = without_mtimes(&one) == without_mtimes(&other);
        prop_assert_eq!(name.content == DirectoryRef::of(&other).content, same);
        prop_assert_eq!(name.digest == DirectoryRef::of(&other).digest, one == other);
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_mean_one_thing(bytes in any::<Vec<u8>>()) {
        if let Ok(entries) = decode(&bytes) {
            prop_assert_eq!(encode(&entries), bytes.clone());
        }
        if let Ok(tree) = Tree::decode(&bytes) {
            prop_assert_eq!(tree.encode(), bytes);
        }
    }

    #[test]
    fn a_damaged_record_is_refused_or_means_one_thing(
        entries in any_entries(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = encode(&entries);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(entries) = decode(&bytes) {
            prop_assert_eq!(encode(&entries), bytes);
        }
    }
}
