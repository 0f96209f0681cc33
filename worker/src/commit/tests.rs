//! Commits of real directories, made as an overlay would leave them. Needs root, as the worker does.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;

use farm_store::{Scratch, Store};
use farm_tree::resolve::lookup;
use farm_tree::{Entry, File};
use rustix::fs::{Timespec, Timestamps, XattrFlags, makedev, mkdirat, mknodat, setxattr};

use super::*;

/// More files than the readers are given at once.
const MANY: usize = 4196;

const END: Mtime = Mtime(2_000_000_000 * NANOS);

struct Fixture {
    _root: tempfile::TempDir,
    store: Store,
    scratch: Scratch,
    parent: Tree,
}

impl Fixture {
    /// A parent with a file, and a directory with two more.
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let scratch = store.scratch().unwrap();
        let mut builder = TreeBuilder::default();
        for (path, content) in [("top", "1"), ("dir/a", "2"), ("dir/b", "3")] {
            let blob = store.ingest(&mut content.as_bytes(), None).unwrap();
            let metadata = Metadata::plain(0o644, Mtime(5 * NANOS));
            builder.insert(path.as_bytes(), Node::File(File { metadata, blob, hard_link: None })).unwrap();
        }
        let parent = builder.finish(&store).unwrap();
        store.put_tree(&parent).unwrap();
        crate::rootfs::dress(&scratch.upper(), &parent.root.metadata).unwrap();
        Self { _root: root, store, scratch, parent }
    }

    fn upper(&self, path: &str) -> PathBuf {
        self.scratch.upper().join(path)
    }

    fn write(&self, path: &str, content: &str) {
        fs::write(self.upper(path), content).unwrap();
    }

    fn commit(&self, secrets: &[&[u8]]) -> Result<Committed, Error> {
        commit(&self.store, &self.parent, &self.scratch.upper(), END, secrets)
    }

    /// The layer, after the store has taken the directory over as exactly that.
    fn layer(&self) -> Option<Tree> {
        let layer = self.commit(&[]).unwrap().layer?;
        self.store.adopt(&self.scratch.upper(), &layer).unwrap();
        Some(layer)
    }

    fn node(&self, tree: &Tree, path: &str) -> Option<Node> {
        lookup(&self.store, tree, path.as_bytes()).unwrap().node
    }

    fn names(&self, tree: &Tree) -> Vec<String> {
        let mut names = Vec::new();
        let mut open = vec![(String::new(), tree.root.record.digest)];
        while let Some((path, digest)) = open.pop() {
            for (name, entry) in self.store.entries(digest).unwrap().iter() {
                let path = format!("{path}{}", String::from_utf8_lossy(name));
                match entry {
                    Entry::Node(Node::Directory(directory)) => {
                        open.push((format!("{path}/"), directory.record.digest));
                        names.push(format!("{path}{}", if directory.opaque { "/ opaque" } else { "/" }));
                    }
                    Entry::Node(_) => names.push(path),
                    Entry::Whiteout => names.push(format!("{path} deleted")),
                }
            }
        }
        names.sort();
        names
    }
}

fn set_time(path: &Path, seconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn special(path: &Path, kind: FileType, major: u32, minor: u32) {
    mknodat(CWD, path, kind, Mode::from_raw_mode(0o600), makedev(major, minor)).unwrap();
}

#[test]
fn a_command_that_changes_nothing_makes_no_layer() {
    assert!(Fixture::new().layer().is_none());
}

#[test]
fn what_was_only_copied_up_is_dropped_from_tree_and_disk() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.upper("dir")).unwrap();
    fixture.write("dir/a", "2");
    set_time(&fixture.upper("dir/a"), 5);
    fs::set_permissions(fixture.upper("dir/a"), fs::Permissions::from_mode(0o644)).unwrap();
    set_time(&fixture.upper("dir"), 0);
    fixture.write("new", "4");
    let layer = fixture.layer().unwrap();
    assert_eq!(fixture.names(&layer), ["new"]);
    let directory = fixture.store.layer_directory(&layer.layer_ref().digest).unwrap().unwrap();
    let left: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["new"]);
}

#[test]
fn deletions_and_opaque_directories_are_kept_where_they_hide_something() {
    let fixture = Fixture::new();
    special(&fixture.upper("top"), FileType::CharacterDevice, 0, 0);
    special(&fixture.upper("never-was"), FileType::CharacterDevice, 0, 0);
    for (name, file) in [("dir", "a"), ("fresh", "x")] {
        fs::create_dir(fixture.upper(name)).unwrap();
        setxattr(fixture.upper(name), OPAQUE, b"y", XattrFlags::empty()).unwrap();
        fixture.write(&format!("{name}/{file}"), "n");
    }
    let layer = fixture.layer().unwrap();
    assert_eq!(fixture.names(&layer), ["dir/ opaque", "dir/a", "fresh/", "fresh/x", "top deleted"]);
}

#[test]
fn names_of_one_file_stay_one_file() {
    let fixture = Fixture::new();
    fixture.write("z", "same");
    fs::hard_link(fixture.upper("z"), fixture.upper("b")).unwrap();
    fs::create_dir(fixture.upper("a")).unwrap();
    fs::hard_link(fixture.upper("z"), fixture.upper("a/c")).unwrap();
    let layer = fixture.layer().unwrap();
    for name in ["z", "b", "a/c"] {
        let node = fixture.node(&layer, name).unwrap();
        assert_eq!(node.as_file().unwrap().hard_link.as_deref(), Some(b"a/c".as_slice()), "{name}");
    }
}

#[test]
fn sockets_are_left_out_and_other_special_files_are_kept() {
    let fixture = Fixture::new();
    let _listener = std::os::unix::net::UnixListener::bind(fixture.upper("socket")).unwrap();
    special(&fixture.upper("pipe"), FileType::Fifo, 0, 0);
    special(&fixture.upper("null"), FileType::CharacterDevice, 1, 3);
    symlink("/no/where", fixture.upper("link")).unwrap();
    let layer = fixture.layer().unwrap();
    assert_eq!(fixture.names(&layer), ["link", "null", "pipe"]);
    let Some(Node::Device(null)) = fixture.node(&layer, "null") else { panic!("it is a device") };
    assert_eq!(null.kind, DeviceKind::Character { major: 1, minor: 3 });
}

#[test]
fn times_are_clamped_to_the_end_and_no_time_overflows() {
    let fixture = Fixture::new();
    for (name, seconds) in
        [("late", 2_000_000_001), ("far", i64::MAX / 2), ("early", -5), ("dawn", i64::MIN / 2)]
    {
        fixture.write(name, name);
        set_time(&fixture.upper(name), seconds);
    }
    let layer = fixture.layer().unwrap();
    let time = |name| fixture.node(&layer, name).unwrap().metadata().mtime;
    assert_eq!((time("late"), time("far"), time("early")), (END, END, Mtime(-5 * NANOS)));
    assert!(time("dawn") < Mtime(0));
}

#[test]
fn attributes_are_kept_by_a_list_however_many_there_are() {
    let fixture = Fixture::new();
    fixture.write("file", "x");
    for number in 0..100 {
        let name = format!("trusted.a-rather-long-name-of-an-attribute-{number:060}");
        if setxattr(fixture.upper("file"), name.as_str(), b"", XattrFlags::empty()).is_err() {
            break;
        }
    }
    setxattr(fixture.upper("file"), c"security.capability", CAPABILITY, XattrFlags::empty()).unwrap();
    let layer = fixture.layer().unwrap();
    let node = fixture.node(&layer, "file").unwrap();
    let kept: Vec<&[u8]> = node.metadata().xattrs.keys().map(Vec::as_slice).collect();
    assert_eq!(kept, [b"security.capability".as_slice()]);
}

/// Revision 2, `cap_net_bind_service` permitted and effective.
const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn a_root_directory_with_another_mode_or_owner_is_a_change() {
    let fixture = Fixture::new();
    fs::set_permissions(fixture.scratch.upper(), fs::Permissions::from_mode(0o700)).unwrap();
    chown(fixture.scratch.upper(), Some(7), Some(8)).unwrap();
    let layer = fixture.layer().unwrap();
    let Metadata { mode, uid, gid, .. } = layer.root.metadata.clone();
    assert_eq!((mode, uid, gid, layer.is_empty()), (0o700, 7, 8, true));
    crate::rootfs::dress(&fixture.store.scratch().unwrap().upper(), &layer.root.metadata).unwrap();
}

#[test]
fn names_that_are_no_text_survive() {
    let fixture = Fixture::new();
    let name = OsStr::from_bytes(b"\xff\xfe\n");
    fs::write(fixture.scratch.upper().join(name), "x").unwrap();
    let layer = fixture.layer().unwrap();
    assert!(lookup(&fixture.store, &layer, name.as_bytes()).unwrap().node.is_some());
}

#[test]
fn nesting_deeper_than_any_path_is_the_users_error() {
    let fixture = Fixture::new();
    let mut at = rustix::fs::openat(CWD, fixture.scratch.upper(), DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..5000 {
        mkdirat(&at, "d", Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, "d", DIRECTORY, Mode::empty()).unwrap();
    }
    let error = fixture.commit(&[]).unwrap_err();
    assert!(matches!(&error, Error::User { message, .. } if message.len() < 200), "{error}");
}

#[test]
fn many_files_of_many_directories_are_read_by_several_threads() {
    let fixture = Fixture::new();
    for number in 0..MANY {
        let directory = format!("d{}", number % 10);
        fs::create_dir_all(fixture.upper(&directory)).unwrap();
        fixture.write(&format!("{directory}/{number}"), &format!("content {number}"));
    }
    let layer = fixture.layer().unwrap();
    for number in [0, 1, 17, MANY - 1] {
        let node = fixture.node(&layer, &format!("d{}/{number}", number % 10)).unwrap();
        assert_eq!(
            node.as_file().unwrap().blob,
            farm_model::BlobDigest::of(format!("content {number}").as_bytes())
        );
    }
}

#[test]
fn a_secret_is_found_wherever_it_lies() {
    let fixture = Fixture::new();
    let secret = b"correct-horse\n";
    for (name, before) in [("start", 0), ("across", (256 << 10) - 5), ("far", 700_000)] {
        fixture.write(name, &format!("{}correct-horse.", "x".repeat(before)));
    }
    fixture.write("without", "correct-house");
    let mut exposed = fixture.commit(&[secret, b"x"]).unwrap().exposed;
    exposed.sort();
    assert_eq!(exposed, ["across", "far", "start"].map(PathBuf::from));
}

#[test]
fn the_inode_of_a_committed_file_is_the_one_that_the_step_wrote() {
    let fixture = Fixture::new();
    fixture.write("file", &"x".repeat(100_000));
    let inode = fs::metadata(fixture.upper("file")).unwrap().ino();
    let layer = fixture.layer().unwrap();
    let directory = fixture.store.layer_directory(&layer.layer_ref().digest).unwrap().unwrap();
    assert_eq!(fs::metadata(directory.join("file")).unwrap().ino(), inode);
}
