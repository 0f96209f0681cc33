//! Layer directories: what they look like, when they are believed, and what happens to damaged ones.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use farm_model::BlobDigest;
use farm_store::Error;
use farm_tree::{Device, DeviceKind, Metadata, Mtime, Node, Tree};

use crate::support::{
    Dir, Item, MTIME, TestStore, bytes_of, damage, file, files, linked, metadata, new_store, new_store_in,
    regular_files, scan, symlink, text,
};

/// `security.capability` for `cap_net_raw+ep`, in its second version.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn device(kind: DeviceKind) -> Item {
    let metadata = metadata(0o620);
    Item::Node(Node::Device(Device { metadata, kind }))
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = [0; 256];
    let count = rustix::fs::lgetxattr(path, name, &mut value).ok()?;
    Some(value[..count].to_vec())
}

#[test]
fn everything_that_a_tree_says_is_in_the_directory() {
    let test = new_store();
    let store = &test.store;
    let program = store.ingest(&mut vec![7; 9000].as_slice(), None).unwrap();
    let special = Metadata {
        mode: 0o4711,
        uid: 12,
        gid: 34,
        mtime: Mtime(-1_000_000_001),
        xattrs: BTreeMap::from([
            (b"security.capability".to_vec(), CAPABILITY.to_vec()),
            (b"user.note".to_vec(), b"hello".to_vec()),
        ]),
    };
    let inner =
        Dir { opaque: true, metadata: Some(Metadata { uid: 5, ..metadata(0o1755) }), ..Dir::default() };
    let tree = Dir::default()
        .with("program", file(program, special.clone()))
        .with("empty", text(store, b""))
        .with("small", text(store, b"small"))
        .with("link", symlink("/no/such/target"))
        .with("null", device(DeviceKind::Character { major: 1, minor: 3 }))
        .with("disk", device(DeviceKind::Block { major: 259, minor: 300 }))
        .with("pipe", device(DeviceKind::Fifo))
        .with("gone", Item::Whiteout)
        .with(
            "closed",
            Item::Dir(Dir { metadata: Some(metadata(0o000)), ..Dir::default() }.with("f", text(store, b"x"))),
        )
        .with("dir", Item::Dir(inner.with("nested", text(store, b"nested")).with("old", Item::Whiteout)))
        .tree(store);
    let path = store.materialise(&tree).unwrap();
    let stat = |name: &str| fs::symlink_metadata(path.join(name)).unwrap();

    let program = stat("program");
    assert_eq!((program.mode() & 0o7777, program.uid(), program.gid()), (0o4711, 12, 34));
    assert_eq!((program.mtime(), program.mtime_nsec()), (-2, 999_999_999));
    assert_eq!(xattr(&path.join("program"), "security.capability").unwrap(), CAPABILITY);
    assert_eq!(xattr(&path.join("program"), "user.note").unwrap(), b"hello");
    assert_eq!(fs::read(path.join("program")).unwrap(), [7; 9000]);
    assert_eq!(fs::read_link(path.join("link")).unwrap(), Path::new("/no/such/target"));
    assert_eq!(stat("null").rdev(), rustix::fs::makedev(1, 3));
    assert!(stat("disk").file_type().is_block_device());
    assert_eq!(stat("disk").rdev(), rustix::fs::makedev(259, 300));
    assert!(stat("pipe").file_type().is_fifo());
    for whiteout in ["gone", "dir/old"] {
        assert!(stat(whiteout).file_type().is_char_device());
        assert_eq!(stat(whiteout).rdev(), 0);
    }
    assert_eq!((stat("dir").mode() & 0o7777, stat("dir").uid()), (0o1755, 5));
    assert_eq!(xattr(&path.join("dir"), "trusted.overlay.opaque").unwrap(), b"y");
    assert_eq!(stat("closed").mode() & 0o7777, 0);
    for name in ["small", "link", "null", "dir", "dir/nested", "", "closed"] {
        let nanos = stat(name).mtime() * 1_000_000_000 + stat(name).mtime_nsec();
        assert_eq!(Mtime(nanos), MTIME, "{name}");
    }
    let test = test.reopen();
    assert_eq!(test.store.layer_directory(&tree.layer_digest()).unwrap(), Some(path));
}

#[test]
fn names_of_one_group_are_one_file_and_equal_files_are_not() {
    let test = new_store();
    let blob = test.store.ingest(&mut vec![3; 9000].as_slice(), None).unwrap();
    // In byte order `a.b` comes before `a/x`, in the order of a walk it may not.
    let tree = Dir::default()
        .with("a", Item::Dir(Dir::default().with("x", linked(blob, "a.b"))))
        .with("a.b", linked(blob, "a.b"))
        .with("z", linked(blob, "a.b"))
        .with("copy", file(blob, metadata(0o644)))
        .with("copy2", file(blob, metadata(0o644)))
        .tree(&test.store);
    let path = test.store.materialise(&tree).unwrap();
    let inode = |name: &str| {
        let found = fs::metadata(path.join(name)).unwrap();
        (found.ino(), found.nlink())
    };
    assert_eq!(inode("a.b").1, 3);
    assert_eq!(inode("a.b"), inode("a/x"));
    assert_eq!(inode("a.b"), inode("z"));
    assert_eq!((inode("copy").1, inode("copy2").1), (1, 1));
    assert_ne!(inode("copy").0, inode("copy2").0);
}

#[test]
fn concurrent_calls_make_a_layer_once() {
    let test = new_store();
    let mut dir = Dir::default();
    for number in 0..300 {
        dir = dir.with(&format!("f{number}"), text(&test.store, format!("{number}").as_bytes()));
    }
    let tree = dir.tree(&test.store);
    let barrier = Barrier::new(8);
    let inodes: Vec<u64> = thread::scope(|scope| {
        let run = || {
            barrier.wait();
            let path = test.store.materialise(&tree).unwrap();
            fs::metadata(path).unwrap().ino()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(inodes.iter().all(|inode| *inode == inodes[0]));
    assert_eq!(fs::read_dir(test.store.root().join("layers")).unwrap().count(), 1);
}

#[test]
fn a_spooled_layer_takes_the_files_themselves() {
    let test = new_store();
    let spool = test.store.spool().unwrap();
    let blob = spool.write(&mut vec![1; 70_000].as_slice(), None).unwrap();
    let empty = spool.write(&mut [].as_slice(), None).unwrap();
    let extra = spool.write(&mut vec![2; 70_000].as_slice(), None).unwrap();
    assert!(spool.contains(&blob) && spool.contains(&empty));
    assert!(!test.store.contains(&blob).unwrap());
    let spooled = regular_files(&test.store.root().join("tmp"));
    let inodes: Vec<u64> = spooled.iter().map(|path| fs::metadata(path).unwrap().ino()).collect();
    let tree = Dir::default()
        .with("one", file(blob, metadata(0o600)))
        .with("two", file(blob, metadata(0o644)))
        .with("empty", file(empty, metadata(0o644)))
        .tree(&test.store);
    let layer = test.store.commit_spool(spool, &tree).unwrap();
    let path = test.store.layer_directory(&layer.digest).unwrap().unwrap();
    let one = fs::metadata(path.join("one")).unwrap();
    let two = fs::metadata(path.join("two")).unwrap();
    assert!(inodes.contains(&one.ino()));
    assert_ne!(one.ino(), two.ino());
    assert_eq!((one.mode() & 0o777, two.mode() & 0o777), (0o600, 0o644));
    assert_eq!(bytes_of(&test.store, &blob).unwrap(), vec![1; 70_000]);
    assert!(!test.store.contains(&extra).unwrap());
    assert!(regular_files(&test.store.root().join("blobs")).is_empty(), "a step's bytes are on disk once");
    assert!(regular_files(&test.store.root().join("tmp")).is_empty());
}

/// A store with one layer that was adopted: `big` is in no other place.
fn adopted() -> (TestStore, Tree) {
    let test = new_store();
    let scratch = test.store.scratch().unwrap();
    fs::create_dir(scratch.upper().join("d")).unwrap();
    fs::write(scratch.upper().join("d/big"), vec![8; 30_000]).unwrap();
    fs::write(scratch.upper().join("small"), b"s").unwrap();
    let tree = scan(&test.store, &scratch.upper());
    test.store.adopt(&scratch.upper(), &tree).unwrap();
    (test, tree)
}

#[test]
fn an_adopted_layer_is_the_upper_directory_itself() {
    let test = new_store();
    let scratch = test.store.scratch().unwrap();
    fs::write(scratch.upper().join("f"), vec![8; 30_000]).unwrap();
    let inode = fs::metadata(scratch.upper().join("f")).unwrap().ino();
    let tree = scan(&test.store, &scratch.upper());
    let layer = test.store.adopt(&scratch.upper(), &tree).unwrap();
    drop(scratch);
    let path = test.store.layer_directory(&layer.digest).unwrap().unwrap();
    assert_eq!(fs::metadata(path.join("f")).unwrap().ino(), inode);
    assert_eq!(bytes_of(&test.store, &BlobDigest::of(&vec![8; 30_000])).unwrap(), vec![8; 30_000]);
    assert!(test.store.is_complete(&layer.digest).unwrap());
    assert!(fs::read_dir(test.store.root().join("tmp")).unwrap().next().is_none());

    // The same result again: the new directory is dropped.
    let again = test.store.scratch().unwrap();
    fs::write(again.upper().join("f"), vec![8; 30_000]).unwrap();
    assert_eq!(test.store.adopt(&again.upper(), &tree).unwrap(), layer);
    assert!(!again.upper().exists());
    assert_eq!(fs::metadata(path.join("f")).unwrap().ino(), inode);
}

#[test]
fn adopting_applies_the_mtimes_and_opaque_marks_of_the_tree() {
    let test = new_store();
    let scratch = test.store.scratch().unwrap();
    let upper = scratch.upper();
    fs::create_dir(upper.join("d")).unwrap();
    fs::create_dir(upper.join("e")).unwrap();
    fs::write(upper.join("d/f"), b"f").unwrap();
    rustix::fs::lsetxattr(upper.join("e"), "trusted.overlay.opaque", b"y", rustix::fs::XattrFlags::empty())
        .unwrap();
    let tree = Dir::default()
        .with("d", Item::Dir(Dir { opaque: true, ..Dir::default() }.with("f", text(&test.store, b"f"))))
        .with("e", Item::Dir(Dir::default()))
        .tree(&test.store);
    let layer = test.store.adopt(&upper, &tree).unwrap();
    let path = test.store.layer_directory(&layer.digest).unwrap().unwrap();
    for name in ["", "d", "d/f", "e"] {
        assert_eq!(fs::metadata(path.join(name)).unwrap().mtime(), 1_500_000_000, "{name}");
    }
    assert!(xattr(&path.join("d"), "trusted.overlay.opaque").is_some());
    assert!(xattr(&path.join("e"), "trusted.overlay.opaque").is_none());
}

#[test]
fn an_upper_that_is_not_its_tree_is_refused_and_left() {
    let test = new_store();
    let scratch = test.store.scratch().unwrap();
    let upper = scratch.upper();
    fs::write(upper.join("f"), b"f").unwrap();
    let tree = scan(&test.store, &upper);
    fs::write(upper.join("stub"), b"left by a mount").unwrap();
    assert!(matches!(test.store.adopt(&upper, &tree), Err(Error::NotItsTree { .. })));
    fs::remove_file(upper.join("stub")).unwrap();
    fs::write(upper.join("f"), b"longer").unwrap();
    assert!(matches!(test.store.adopt(&upper, &tree), Err(Error::NotItsTree { .. })));
    assert!(upper.exists());
    assert!(test.store.layer_directory(&tree.layer_digest()).unwrap().is_none());
}

#[test]
fn a_layer_that_was_changed_behind_the_stores_back_is_not_used_after_a_restart() {
    let (test, tree) = adopted();
    let layer = tree.layer_digest();
    let path = test.store.layer_directory(&layer).unwrap().unwrap();
    let test = test.reopen();
    damage(&path.join("d/big"));
    assert_eq!(test.store.layer_directory(&layer).unwrap(), None);
    assert!(!test.store.is_complete(&layer).unwrap());
    assert_eq!(test.store.missing_blobs(&tree).unwrap(), [BlobDigest::of(&vec![8; 30_000])]);
    assert_eq!(bytes_of(&test.store, &BlobDigest::of(b"s")).unwrap(), b"s", "good files are saved");
    test.store.ingest(&mut vec![8; 30_000].as_slice(), None).unwrap();
    assert_eq!(fs::read(test.store.materialise(&tree).unwrap().join("d/big")).unwrap(), vec![8; 30_000]);
}

#[test]
fn a_layer_that_was_only_touched_is_hashed_and_kept() {
    let (test, tree) = adopted();
    let path = test.store.layer_directory(&tree.layer_digest()).unwrap().unwrap();
    let test = test.reopen();
    fs::write(path.join("d/big"), vec![8; 30_000]).unwrap();
    assert_eq!(test.store.layer_directory(&tree.layer_digest()).unwrap(), Some(path));
}

#[test]
fn an_extra_or_missing_file_gives_a_layer_away() {
    for change in [
        |path: &Path| fs::write(path.join("extra"), b"x").unwrap(),
        |path: &Path| fs::remove_file(path.join("small")).unwrap(),
    ] {
        let (test, tree) = adopted();
        let path = test.store.layer_directory(&tree.layer_digest()).unwrap().unwrap();
        let test = test.reopen();
        change(&path);
        assert_eq!(test.store.layer_directory(&tree.layer_digest()).unwrap(), None);
        assert!(!path.exists());
    }
}

#[test]
fn a_layer_directory_that_vanished_is_a_miss() {
    let (test, tree) = adopted();
    let path = test.store.layer_directory(&tree.layer_digest()).unwrap().unwrap();
    fs::remove_dir_all(&path).unwrap();
    assert!(!test.store.is_complete(&tree.layer_digest()).unwrap());
}

#[test]
fn dropping_a_directory_keeps_the_blobs_that_lie_only_there() {
    let (test, tree) = adopted();
    let layer = tree.layer_digest();
    test.store.drop_layer_directory(&layer).unwrap();
    assert_eq!(test.store.layer_directory(&layer).unwrap(), None);
    assert!(test.store.is_complete(&layer).unwrap());
    for (_, blob) in files(&test.store, &tree) {
        assert_eq!(BlobDigest::of(&bytes_of(&test.store, &blob).unwrap()), blob);
    }
    let path = test.store.materialise(&tree).unwrap();
    assert_eq!(fs::read(path.join("d/big")).unwrap(), vec![8; 30_000]);
    assert_eq!(fs::metadata(path.join("d/big")).unwrap().nlink(), 1);
}

#[test]
fn a_tree_cannot_reach_outside_its_directory() {
    let test = new_store();
    let outside = test.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    // The link is made first; what is named like something below it must not follow it.
    let tree = Dir::default()
        .with("way", symlink(outside.to_str().unwrap()))
        .with("way2", Item::Dir(Dir::default().with("f", text(&test.store, b"f"))))
        .tree(&test.store);
    test.store.materialise(&tree).unwrap();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn a_tree_deeper_than_a_path_can_be_is_refused_without_a_trace() {
    let test = new_store();
    let mut dir = Dir::default();
    for _ in 0..40 {
        dir = Dir::default().with(&"n".repeat(200), Item::Dir(dir));
    }
    let result = test.store.materialise(&dir.tree(&test.store));
    assert!(matches!(result, Err(Error::PathTooLong { .. })), "{result:?}");
    assert_eq!(fs::read_dir(test.store.root().join("layers")).unwrap().count(), 0);
}

#[test]
fn a_layer_of_fifty_thousand_files_costs_in_proportion() {
    // In memory, since ext4 is slow to give out inodes that another test has just freed.
    let test = new_store_in(tempfile::tempdir_in("/dev/shm").unwrap());
    let time = |count: u32, salt: u32| {
        let mut root = Dir::default();
        for directory in 0..count / 100 {
            let mut dir = Dir::default();
            for number in 0..100 {
                let bytes = format!("{salt} {directory} {number}");
                dir = dir.with(&format!("f{number}"), text(&test.store, bytes.as_bytes()));
            }
            root = root.with(&format!("d{directory}"), Item::Dir(dir));
        }
        let tree = root.tree(&test.store);
        let start = Instant::now();
        test.store.materialise(&tree).unwrap();
        start.elapsed()
    };
    let small = time(5_000, 1);
    let large = time(50_000, 2);
    println!("5,000 files: {small:?}, 50,000 files: {large:?}");
    assert!(large < small * 40, "{small:?} {large:?}");
}

#[test]
fn a_damaged_blob_goes_into_no_directory() {
    let test = new_store();
    let (small, large) = (vec![1; 9_000], vec![2; 300_000]);
    let tree = Dir::default().with("large", text(&test.store, &large)).tree(&test.store);
    damage(test.store.open_blob(&BlobDigest::of(&large)).unwrap().path().unwrap());
    assert!(matches!(test.store.materialise(&tree), Err(Error::Corrupt(_))));
    assert!(test.store.layer_directory(&tree.layer_digest()).unwrap().is_none());
    assert!(!test.store.is_complete(&tree.layer_digest()).unwrap());
    // Brought again it is as good as new.
    test.store.ingest_expected(&mut large.as_slice(), &BlobDigest::of(&large)).unwrap();
    let path = test.store.materialise(&tree).unwrap();
    assert_eq!(fs::read(path.join("large")).unwrap(), large);
    // A good copy elsewhere takes the place of a damaged one.
    let both =
        Dir::default().with("large", text(&test.store, &large)).with("small", text(&test.store, &small));
    let both = both.tree(&test.store);
    damage(test.store.open_blob(&BlobDigest::of(&large)).unwrap().path().unwrap());
    let path = test.store.materialise(&both).unwrap();
    assert_eq!(fs::read(path.join("large")).unwrap(), large);
}
