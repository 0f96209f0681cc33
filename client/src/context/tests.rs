//! Contexts as a build sees them.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::time::{Duration, SystemTime};

use farm_tree::{DirectoryRef, Entry, Node};

use super::*;

/// Paths of a scan, with the bytes of files as their digests say.
fn found(scan: &Scan) -> Vec<(String, Option<BlobDigest>)> {
    let mut found = Vec::new();
    let mut pending = vec![(String::new(), scan.tree.root.clone())];
    while let Some((prefix, directory)) = pending.pop() {
        if directory.record == DirectoryRef::empty() {
            continue;
        }
        let record = scan.record(directory.record.digest).unwrap();
        for (name, entry) in farm_tree::encoding::decode(record).unwrap() {
            let path = format!("{prefix}{}", String::from_utf8_lossy(&name));
            let Entry::Node(node) = entry else { panic!("a context has no whiteouts") };
            if let Node::Directory(directory) = &node {
                pending.push((format!("{path}/"), directory.clone()));
            }
            found.push((path, node.as_file().map(|file| file.blob)));
        }
    }
    found.sort();
    found
}

fn paths(scan: &Scan) -> Vec<String> {
    found(scan).into_iter().map(|(path, _)| path).collect()
}

fn digest(text: &str) -> BlobDigest {
    BlobDigest { hash: *blake3::hash(text.as_bytes()).as_bytes(), size: text.len() as u64 }
}

fn context(ignore: &str) -> (tempfile::TempDir, Context) {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("a/b")).unwrap();
    fs::write(root.path().join("a/b/keep"), "k").unwrap();
    fs::write(root.path().join("a/drop"), "d").unwrap();
    fs::write(root.path().join("top"), "t").unwrap();
    let context = Context::new(root.path(), IgnorePatterns::parse(ignore.as_bytes()).unwrap()).unwrap();
    (root, context)
}

fn all(context: &Context) -> Scan {
    context.scan(&[String::new()]).unwrap()
}

#[test]
fn a_directory_that_is_ignored_appears_with_what_is_taken_back_in_it() {
    let (root, context) = context("a\n!a/b/keep\n");
    assert_eq!(paths(&all(&context)), ["a", "a/b", "a/b/keep", "top"]);
    fs::remove_file(root.path().join("a/b/keep")).unwrap();
    assert_eq!(paths(&all(&context)), ["top"]);
}

#[test]
fn only_what_is_wanted_is_read() {
    let (_root, context) = context("");
    assert_eq!(paths(&context.scan(&["a/b".to_owned()]).unwrap()), ["a", "a/b", "a/b/keep"]);
    let two = ["top".to_owned(), "./a/b/../drop".to_owned(), "none/x".to_owned()];
    assert_eq!(paths(&context.scan(&two).unwrap()), ["a", "a/drop", "top"]);
}

#[test]
fn a_link_on_or_in_a_wanted_path_leads_to_what_is_read() {
    let (root, context) = context("");
    symlink("a/b", root.path().join("link")).unwrap();
    let all = ["a", "a/b", "a/b/keep", "a/drop", "link", "top"];
    assert_eq!(paths(&context.scan(&["link/keep".to_owned()]).unwrap()), all);
    fs::remove_file(root.path().join("link")).unwrap();
    symlink("../../top", root.path().join("a/b/out")).unwrap();
    assert!(paths(&context.scan(&["a/b".to_owned()]).unwrap()).contains(&"top".to_owned()));
    fs::remove_file(root.path().join("a/b/out")).unwrap();
    symlink("keep", root.path().join("a/b/in")).unwrap();
    symlink("/nowhere", root.path().join("a/b/dangling")).unwrap();
    let found = paths(&context.scan(&["a/b".to_owned()]).unwrap());
    assert_eq!(found, ["a", "a/b", "a/b/dangling", "a/b/in", "a/b/keep"]);
}

#[test]
fn what_vanishes_or_turns_into_something_else_takes_no_part() {
    let (root, context) = context("");
    let handle = context.open().unwrap();
    let settling = Settling::now(handle.as_fd(), 0);
    let mut listings = context.walk(handle.as_fd(), &StatCache::default(), None).unwrap();
    fs::remove_dir_all(root.path().join("a/b")).unwrap();
    fs::remove_file(root.path().join("top")).unwrap();
    rustix::fs::mknodat(CWD, root.path().join("top"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    hash::fill(&mut listings, handle.as_fd(), &context.root, &settling).unwrap();
    assert_eq!(paths(&assemble::assemble(listings)), ["a", "a/b", "a/drop"]);
}

#[test]
fn files_of_a_context_belong_to_root() {
    let (root, context) = context("");
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(root.path().join("top"), Some(7), Some(7)).unwrap();
    }
    let scan = context.scan(&["top".to_owned()]).unwrap();
    let record = scan.record(scan.tree.root.record.digest).unwrap();
    let entries = farm_tree::encoding::decode(record).unwrap();
    let Entry::Node(node) = &entries[b"top".as_slice()] else { panic!("it is a file") };
    assert_eq!((node.metadata().uid, node.metadata().gid), (0, 0));
}

#[test]
fn names_of_one_file_are_linked_when_more_than_one_takes_part() {
    let (root, context) = context("");
    fs::hard_link(root.path().join("top"), root.path().join("a/b.x")).unwrap();
    fs::hard_link(root.path().join("top"), root.path().join("a/b/z")).unwrap();
    let first = |scan: &Scan| {
        let record = scan.record(scan.tree.root.record.digest).unwrap();
        let entries = farm_tree::encoding::decode(record).unwrap();
        let Entry::Node(Node::File(file)) = &entries[b"top".as_slice()] else { panic!("it is a file") };
        file.hard_link.clone()
    };
    assert_eq!(first(&all(&context)).as_deref(), Some(&b"a/b.x"[..]));
    assert_eq!(first(&context.scan(&["top".to_owned()]).unwrap()), None);
}

/// A context whose files have rested for long, with a cache.
fn rested() -> (tempfile::TempDir, tempfile::TempDir, Context) {
    let (root, context) = context("");
    let folder = tempfile::tempdir().unwrap();
    let context = context.remembered_in(folder.path().join("made"));
    (root, folder, context)
}

/// Waits until what was written has rested for a tick.
fn rest(root: &Path) {
    let newest = |path: &Path| {
        let metadata = fs::metadata(path).unwrap();
        SystemTime::UNIX_EPOCH
            + Duration::new(metadata.ctime().unsigned_abs(), u32::try_from(metadata.ctime_nsec()).unwrap())
    };
    let newest =
        ["top", "a/drop", "a/b/keep"].map(|name| newest(&root.join(name))).into_iter().max().unwrap();
    while SystemTime::now() < newest + Duration::from_millis(25) {
        std::thread::yield_now();
    }
}

/// How many files a scan had to read.
fn read(context: &Context) -> usize {
    let handle = context.open().unwrap();
    let cache = StatCache::load(context.cache.as_ref().unwrap(), &context.root);
    let listings = context.walk(handle.as_fd(), &cache, None).unwrap();
    let children = listings.iter().flatten().flat_map(|listing| &listing.children);
    children.filter(|child| matches!(child.kind, Kind::File(None))).count()
}

#[test]
fn what_has_rested_is_not_read_again() {
    let (root, _folder, context) = rested();
    rest(root.path());
    let first = all(&context);
    assert_eq!(read(&context), 0);
    let second = all(&context);
    assert_eq!(found(&first), found(&second));
    assert_eq!((second.files, second.bytes), (3, 3));
}

#[test]
fn a_change_within_the_tick_is_seen() {
    let (root, _folder, context) = rested();
    let top = root.path().join("top");
    for text in ["1", "2", "3", "4"] {
        let before = fs::metadata(&top).unwrap().modified().unwrap();
        fs::write(&top, text).unwrap();
        fs::File::options().write(true).open(&top).unwrap().set_modified(before).unwrap();
        assert!(found(&all(&context)).contains(&("top".to_owned(), Some(digest(text)))), "{text}");
    }
}

#[test]
fn a_file_with_its_old_size_and_time_but_another_change_time_is_read() {
    let (root, _folder, context) = rested();
    rest(root.path());
    all(&context);
    let top = root.path().join("top");
    let before = fs::metadata(&top).unwrap().modified().unwrap();
    fs::write(&top, "T").unwrap();
    fs::File::options().write(true).open(&top).unwrap().set_modified(before).unwrap();
    assert_eq!(fs::metadata(&top).unwrap().modified().unwrap(), before);
    assert_eq!(read(&context), 1);
    assert!(found(&all(&context)).contains(&("top".to_owned(), Some(digest("T")))));
}

#[test]
fn a_scan_of_a_part_keeps_what_is_known_of_the_rest() {
    let (root, _folder, context) = rested();
    rest(root.path());
    all(&context);
    fs::write(root.path().join("top"), "other").unwrap();
    rest(root.path());
    context.scan(&["top".to_owned()]).unwrap();
    assert_eq!(read(&context), 0);
    fs::remove_dir_all(root.path().join("a")).unwrap();
    all(&context);
    let cache = fs::read_dir(context.cache.as_ref().unwrap()).unwrap().next().unwrap().unwrap().path();
    let bytes = fs::read(cache).unwrap();
    assert!(!bytes.windows(4).any(|window| window == b"keep"), "what is gone is forgotten");
}

#[test]
fn a_damaged_cache_is_an_empty_one() {
    let (root, _folder, context) = rested();
    rest(root.path());
    all(&context);
    let cache = fs::read_dir(context.cache.as_ref().unwrap()).unwrap().next().unwrap().unwrap().path();
    let good = fs::read(&cache).unwrap();
    for at in [0, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&cache, &bad).unwrap();
        assert_eq!(read(&context), 3, "byte {at}");
    }
    fs::write(&cache, &good[..good.len() - 40]).unwrap();
    assert_eq!(read(&context), 3);
    all(&context);
    assert_eq!(read(&context), 0, "it is written anew");
}
