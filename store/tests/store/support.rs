//! Stores in temporary directories, small trees written by hand, and reproducible random numbers.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use farm_model::BlobDigest;
use farm_store::{Error, Settings, Store};
use farm_tree::{Directory, Entries, Entry, File, Metadata, Mtime, Node, Records, Symlink, Tree};

/// Whose mtimes tests use: far from now, with nanoseconds.
pub(crate) const MTIME: Mtime = Mtime(1_500_000_000_123_456_789);

/// A store that is removed with its directory.
pub(crate) struct TestStore {
    pub(crate) store: Store,
    pub(crate) directory: tempfile::TempDir,
}

pub(crate) fn new_store() -> TestStore {
    new_store_in(tempfile::tempdir().unwrap())
}

pub(crate) fn new_store_in(directory: tempfile::TempDir) -> TestStore {
    let store = Store::open(&directory.path().join("state")).unwrap();
    TestStore { store, directory }
}

/// A process that another test forks holds the lock too until its program starts.
const FORKED: Duration = Duration::from_secs(5);

impl TestStore {
    /// Closes the store and opens it again, as a restart of the daemon does.
    pub(crate) fn reopen(self) -> Self {
        let root = self.store.root().to_owned();
        drop(self.store);
        let store = Store::open_waiting(&root, FORKED, &mut |_| {}).unwrap();
        Self { store, ..self }
    }

    /// As [`TestStore::reopen`], after a restart of the machine.
    pub(crate) fn reboot(self, boot: &str) -> Self {
        let root = self.store.root().to_owned();
        drop(self.store);
        let store = open_in_boot(&root, boot).unwrap();
        Self { store, ..self }
    }
}

pub(crate) fn open_in_boot(root: &Path, boot: &str) -> Result<Store, Error> {
    let settings = Settings { boot: Some(boot.to_owned()), ..Settings::default() };
    Store::open_with(root, &settings, FORKED, &mut |_| {})
}

/// A tree that is being written down.
#[derive(Default)]
pub(crate) struct Dir {
    pub(crate) metadata: Option<Metadata>,
    pub(crate) opaque: bool,
    pub(crate) entries: BTreeMap<Vec<u8>, Item>,
}

pub(crate) enum Item {
    Dir(Dir),
    Node(Node),
    Whiteout,
}

impl Dir {
    pub(crate) fn with(mut self, name: &str, item: Item) -> Self {
        self.entries.insert(name.as_bytes().to_vec(), item);
        self
    }

    pub(crate) fn tree(self, store: &Store) -> Tree {
        Tree { root: self.directory(store) }
    }

    fn directory(self, store: &Store) -> Directory {
        let mut entries = Entries::new();
        for (name, item) in self.entries {
            let entry = match item {
                Item::Dir(dir) => Entry::Node(Node::Directory(dir.directory(store))),
                Item::Node(node) => Entry::Node(node),
                Item::Whiteout => Entry::Whiteout,
            };
            entries.insert(Arc::from(name), entry);
        }
        Directory {
            metadata: self.metadata.unwrap_or_else(|| metadata(0o755)),
            opaque: self.opaque,
            record: store.put(entries).unwrap(),
        }
    }
}

pub(crate) fn metadata(mode: u16) -> Metadata {
    Metadata { mode, mtime: MTIME, ..Metadata::default() }
}

pub(crate) fn file(blob: BlobDigest, metadata: Metadata) -> Item {
    Item::Node(Node::File(File { metadata, blob, hard_link: None }))
}

pub(crate) fn linked(blob: BlobDigest, first: &str) -> Item {
    Item::Node(Node::File(File {
        metadata: metadata(0o644),
        blob,
        hard_link: Some(Arc::from(first.as_bytes())),
    }))
}

/// Ingests `bytes` and makes a file of them.
pub(crate) fn text(store: &Store, bytes: &[u8]) -> Item {
    file(store.ingest(&mut &*bytes, None).unwrap(), metadata(0o644))
}

pub(crate) fn symlink(target: &str) -> Item {
    Item::Node(Node::Symlink(Symlink { metadata: metadata(0o777), target: target.as_bytes().to_vec() }))
}

/// What a worker does after a step, in small: the tree of a directory of plain files, with its bytes hashed in place.
pub(crate) fn scan(store: &Store, path: &Path) -> Tree {
    Tree { root: scan_directory(store, path) }
}

fn scan_directory(store: &Store, path: &Path) -> Directory {
    let mut entries = Entries::new();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let found = entry.metadata().unwrap();
        let node = if found.is_dir() {
            Node::Directory(scan_directory(store, &entry.path()))
        } else {
            Node::File(File {
                metadata: metadata_of(&found),
                blob: BlobDigest::of(&fs::read(entry.path()).unwrap()),
                hard_link: None,
            })
        };
        let name = entry.file_name().into_encoded_bytes();
        entries.insert(Arc::from(name), Entry::Node(node));
    }
    Directory {
        metadata: metadata_of(&fs::metadata(path).unwrap()),
        opaque: false,
        record: store.put(entries).unwrap(),
    }
}

fn metadata_of(found: &fs::Metadata) -> Metadata {
    Metadata {
        mode: u16::try_from(found.mode() & 0o7777).unwrap(),
        uid: found.uid(),
        gid: found.gid(),
        mtime: Mtime(found.mtime() * 1_000_000_000 + found.mtime_nsec()),
        ..Metadata::default()
    }
}

/// Every file of `tree`, by path.
pub(crate) fn files(store: &Store, tree: &Tree) -> Vec<(String, BlobDigest)> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), tree.root.record.digest)];
    while let Some((path, digest)) = open.pop() {
        for (name, entry) in store.entries(digest).unwrap().iter() {
            let full = format!("{path}/{}", String::from_utf8_lossy(name));
            match entry {
                Entry::Node(Node::Directory(directory)) => open.push((full, directory.record.digest)),
                Entry::Node(Node::File(file)) => found.push((full, file.blob)),
                Entry::Node(Node::Symlink(_) | Node::Device(_)) | Entry::Whiteout => {}
            }
        }
    }
    found
}

pub(crate) fn bytes_of(store: &Store, blob: &BlobDigest) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    store.open_blob(blob)?.read_to_end(&mut bytes).unwrap();
    Ok(bytes)
}

/// Flips a byte of a file without changing its size.
pub(crate) fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[0] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Every regular file below `path`.
pub(crate) fn regular_files(path: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![path.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found
}

/// Reproducible random numbers: the splitmix64 generator.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn bytes(&mut self, count: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < count {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(usize::try_from(count).unwrap());
        bytes
    }
}

/// The seed of a randomised test: `FARM_TEST_SEED`, or another one each time. Printed, so that a failure replays.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("FARM_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        u64::try_from(now.as_nanos() & u128::from(u64::MAX)).unwrap()
    });
    println!("FARM_TEST_SEED={seed}");
    seed
}
