//! Scanning a local context: every file that takes part gets its digest, and the tree of them all gets one name.
//!
//! Files belong to root in the tree, as `docker build` has it. The scan reads each file; what was hashed here is hashed
//! again when its bytes are taken, so a file that changes in between is noticed and never stored under a wrong name.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use farm_dockerfile::ignore::{IgnorePatterns, Verdict};
use farm_model::BlobDigest;
use farm_tree::{Device, DeviceKind, Directory, MemoryRecords, Mtime, Node, Symlink, Tree, TreeBuilder};

use crate::Error;

const READ_BUFFER: usize = 256 << 10;

/// A local directory that a build may read.
#[derive(Clone, Debug)]
pub struct Context {
    root: PathBuf,
    ignore: IgnorePatterns,
}

/// What a scan found.
#[derive(Debug)]
pub struct Scan {
    /// The tree.
    pub tree: Tree,
    /// Its records.
    pub records: MemoryRecords,
    /// Where each content was seen.
    pub sources: BTreeMap<BlobDigest, PathBuf>,
}

impl Context {
    /// The directory `root` without what `ignore` leaves out.
    pub fn new(root: &Path, ignore: IgnorePatterns) -> Result<Self, Error> {
        let root = std::fs::canonicalize(root).map_err(Error::io("read context", root))?;
        if !root.is_dir() {
            return Err(Error::NotADirectory(root));
        }
        Ok(Self { root, ignore })
    }

    /// Scans what lies at, above or below `paths`; everything when one of them is empty.
    pub fn scan(&self, paths: &[String]) -> Result<Scan, Error> {
        let mut walk = Walk { context: self, wanted: self.wanted(paths), entries: Vec::new() };
        walk.run()?;
        let entries = walk.entries;
        let digests = self.hash(&entries)?;
        self.assemble(entries, digests)
    }

    /// A path that leads through a symbolic link makes everything wanted: the link may point anywhere in the context.
    fn wanted(&self, paths: &[String]) -> Option<Vec<PathBuf>> {
        let mut wanted = Vec::with_capacity(paths.len());
        for path in paths {
            let mut clean = PathBuf::new();
            for component in Path::new(path).components() {
                match component {
                    std::path::Component::Normal(name) => clean.push(name),
                    std::path::Component::ParentDir => {
                        clean.pop();
                    }
                    std::path::Component::RootDir
                    | std::path::Component::CurDir
                    | std::path::Component::Prefix(_) => {}
                }
                if self.root.join(&clean).is_symlink() {
                    return None;
                }
            }
            if clean.as_os_str().is_empty() {
                return None;
            }
            wanted.push(clean);
        }
        Some(wanted)
    }

    /// Digests of the regular files among `entries`, in their order; other entries have none.
    fn hash(&self, entries: &[Seen]) -> Result<Vec<Option<BlobDigest>>, Error> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(16);
        let next = AtomicUsize::new(0);
        let worker = || -> Result<Vec<(usize, BlobDigest)>, Error> {
            let mut buffer = vec![0; READ_BUFFER];
            let mut digests = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(entry) = entries.get(index) else { return Ok(digests) };
                if entry.metadata.is_file() {
                    digests.push((index, hash_file(&self.root.join(&entry.path), &mut buffer)?));
                }
            }
        };
        let mut digests = vec![None; entries.len()];
        std::thread::scope(|scope| {
            let handles: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
            for handle in handles {
                for (index, digest) in handle.join().expect("hashing does not panic")? {
                    digests[index] = Some(digest);
                }
            }
            Ok(digests)
        })
    }

    fn assemble(&self, entries: Vec<Seen>, digests: Vec<Option<BlobDigest>>) -> Result<Scan, Error> {
        let records = MemoryRecords::new();
        let root = std::fs::metadata(&self.root).map_err(Error::io("inspect", &self.root))?;
        let root = metadata_of(&self.root, &root)?;
        let mut builder = TreeBuilder::new(root.clone());
        builder.insert(b"", Node::Directory(Directory::empty(root)))?;
        let mut sources = BTreeMap::new();
        let mut links: HashMap<(u64, u64), PathBuf> = HashMap::new();
        for (entry, digest) in entries.into_iter().zip(digests) {
            let full = self.root.join(&entry.path);
            let name = entry.path.as_os_str().as_bytes();
            if let Some(blob) = digest {
                let inode = (entry.metadata.dev(), entry.metadata.ino());
                if entry.metadata.nlink() > 1 {
                    if let Some(first) = links.get(&inode) {
                        builder.hard_link(name, first.as_os_str().as_bytes())?;
                        continue;
                    }
                    links.insert(inode, entry.path.clone());
                }
                let metadata = metadata_of(&full, &entry.metadata)?;
                builder.insert(name, Node::File(farm_tree::File { metadata, blob, hard_link: None }))?;
                sources.insert(blob, full);
            } else if let Some(node) = node_of(&full, &entry.metadata)? {
                builder.insert(name, node)?;
            }
        }
        let tree = builder.finish(&records)?;
        Ok(Scan { tree, records, sources })
    }
}

/// An entry that takes part.
#[derive(Debug)]
struct Seen {
    path: PathBuf,
    metadata: Metadata,
}

struct Walk<'a> {
    context: &'a Context,
    /// None when everything is.
    wanted: Option<Vec<PathBuf>>,
    entries: Vec<Seen>,
}

/// A directory on the way down, and those above it that are ignored themselves and so appear only once something in
/// them does.
struct Level {
    path: PathBuf,
    verdict: Verdict,
    unseen: Vec<(PathBuf, Metadata)>,
}

impl Walk<'_> {
    fn run(&mut self) -> Result<(), Error> {
        let root = Level { path: PathBuf::new(), verdict: self.context.ignore.root(), unseen: Vec::new() };
        let mut pending = vec![root];
        let mut shown = std::collections::BTreeSet::new();
        while let Some(level) = pending.pop() {
            let full = self.context.root.join(&level.path);
            for entry in std::fs::read_dir(&full).map_err(Error::io("list", &full))? {
                let entry = entry.map_err(Error::io("list", &full))?;
                let path = level.path.join(entry.file_name());
                if !self.is_wanted(&path) {
                    continue;
                }
                let name = path.as_os_str().as_bytes();
                let verdict = self.context.ignore.below(level.verdict, name);
                let metadata = match entry.metadata() {
                    Ok(metadata) => metadata,
                    // Files come and go in a working copy; one that is gone already takes no part.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(Error::io("inspect", self.context.root.join(&path))(error)),
                };
                if verdict.is_ignored() {
                    if metadata.is_dir() && !self.context.ignore.may_skip(verdict, name) {
                        let mut unseen = level.unseen.clone();
                        unseen.push((path.clone(), metadata));
                        pending.push(Level { path, verdict, unseen });
                    }
                    continue;
                }
                for (path, metadata) in &level.unseen {
                    if shown.insert(path.clone()) {
                        self.entries.push(Seen { path: path.clone(), metadata: metadata.clone() });
                    }
                }
                if metadata.is_dir() {
                    pending.push(Level { path: path.clone(), verdict, unseen: Vec::new() });
                }
                self.entries.push(Seen { path, metadata });
            }
        }
        Ok(())
    }

    fn is_wanted(&self, path: &Path) -> bool {
        let related = |wanted: &PathBuf| path.starts_with(wanted) || wanted.starts_with(path);
        self.wanted.as_ref().is_none_or(|wanted| wanted.iter().any(related))
    }
}

fn hash_file(path: &Path, buffer: &mut [u8]) -> Result<BlobDigest, Error> {
    let mut file = File::open(path).map_err(Error::io("read", path))?;
    let (mut hasher, mut size) = (blake3::Hasher::new(), 0);
    loop {
        let count = file.read(buffer).map_err(Error::io("read", path))?;
        if count == 0 {
            return Ok(BlobDigest { hash: *hasher.finalize().as_bytes(), size });
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
    }
}

/// Everything but regular files. Sockets take no part: nothing can hold one.
fn node_of(path: &Path, metadata: &Metadata) -> Result<Option<Node>, Error> {
    let kind = metadata.file_type();
    let (major, minor) = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
    let device = |kind| metadata_of(path, metadata).map(|metadata| Node::Device(Device { metadata, kind }));
    let node = if kind.is_dir() {
        Node::Directory(Directory::empty(metadata_of(path, metadata)?))
    } else if kind.is_symlink() {
        let target = std::fs::read_link(path).map_err(Error::io("read link", path))?;
        Node::Symlink(Symlink {
            metadata: metadata_of(path, metadata)?,
            target: target.into_os_string().into_vec(),
        })
    } else if kind.is_char_device() {
        device(DeviceKind::Character { major, minor })?
    } else if kind.is_block_device() {
        device(DeviceKind::Block { major, minor })?
    } else if kind.is_fifo() {
        device(DeviceKind::Fifo)?
    } else {
        return Ok(None);
    };
    Ok(Some(node))
}

fn metadata_of(path: &Path, metadata: &Metadata) -> Result<farm_tree::Metadata, Error> {
    let mode = if metadata.is_symlink() { 0o777 } else { metadata.mode() & 0o7777 };
    let nanos = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
    Ok(farm_tree::Metadata {
        mode: u16::try_from(mode).expect("twelve bits fit"),
        uid: 0,
        gid: 0,
        mtime: Mtime(nanos),
        xattrs: kept_xattrs(path)?,
    })
}

fn kept_xattrs(path: &Path) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Error> {
    let failed = |error: rustix::io::Errno| Error::io("read attributes of", path)(error.into());
    let mut names = [0_u8; 4096];
    let length = match rustix::fs::llistxattr(path, &mut names) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        Err(error) => return Err(failed(error)),
    };
    let mut kept = BTreeMap::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| farm_tree::record::xattr_is_kept(name))
    {
        let mut value = vec![0; 64 << 10];
        let length = rustix::fs::lgetxattr(path, name, &mut value).map_err(failed)?;
        value.truncate(length);
        kept.insert(name.to_vec(), value);
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(scan: &Scan) -> Vec<String> {
        let mut found = Vec::new();
        let mut pending = vec![(String::new(), scan.tree.root.clone())];
        while let Some((prefix, directory)) = pending.pop() {
            use farm_tree::Records as _;
            for (name, entry) in scan.records.entries(directory.record.digest).unwrap().iter() {
                let path = format!("{prefix}{}", String::from_utf8_lossy(name));
                if let farm_tree::Entry::Node(Node::Directory(directory)) = entry {
                    pending.push((format!("{path}/"), directory.clone()));
                }
                found.push(path);
            }
        }
        found.sort();
        found
    }

    fn context(ignore: &str) -> (tempfile::TempDir, Context) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("a/b")).unwrap();
        std::fs::write(root.path().join("a/b/keep"), "k").unwrap();
        std::fs::write(root.path().join("a/drop"), "d").unwrap();
        std::fs::write(root.path().join("top"), "t").unwrap();
        let context = Context::new(root.path(), IgnorePatterns::parse(ignore.as_bytes()).unwrap()).unwrap();
        (root, context)
    }

    #[test]
    fn a_directory_that_is_ignored_appears_with_what_is_taken_back_in_it() {
        let (_root, context) = context("a\n!a/b/keep\n");
        assert_eq!(paths(&context.scan(&[String::new()]).unwrap()), ["a", "a/b", "a/b/keep", "top"]);
    }

    #[test]
    fn only_what_is_wanted_is_read() {
        let (_root, context) = context("");
        assert_eq!(paths(&context.scan(&["a/b".to_owned()]).unwrap()), ["a", "a/b", "a/b/keep"]);
    }

    #[test]
    fn files_of_a_context_belong_to_root() {
        let (root, context) = context("");
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(root.path().join("top"), Some(7), Some(7)).unwrap();
        }
        let scan = context.scan(&["top".to_owned()]).unwrap();
        use farm_tree::Records as _;
        let entries = scan.records.entries(scan.tree.root.record.digest).unwrap();
        let farm_tree::Entry::Node(node) = &entries[b"top".as_slice()] else { panic!("it is a file") };
        assert_eq!((node.metadata().uid, node.metadata().gid), (0, 0));
    }
}
