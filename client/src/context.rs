//! Scanning a local context: every file that takes part gets its digest, and the tree of them all gets one name.
//!
//! Files belong to root in the tree, as `docker build` has it. The scan reads each file; what was hashed here is hashed
//! again when its bytes are taken, so a file that changes in between is noticed and never stored under a wrong name.

mod read;
mod walk;

use std::collections::{BTreeMap, HashMap};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use farm_dockerfile::ignore::IgnorePatterns;
use farm_model::BlobDigest;
use farm_tree::{Directory, MemoryRecords, Node, Tree, TreeBuilder};

use crate::Error;
use crate::context::read::{hash_file, metadata_of, node_of, unless_gone};
use crate::context::walk::{Seen, Walk};

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
        let entries = self.walk(self.wanted(paths))?;
        let digests = self.hash(&entries)?;
        self.assemble(entries, digests)
    }

    /// Everything that takes part. What is wanted may hold symbolic links to what is not, and a `COPY` with a wildcard
    /// follows them: then all of it is walked.
    fn walk(&self, wanted: Option<Vec<PathBuf>>) -> Result<Vec<Seen>, Error> {
        let mut walk = Walk { context: self, wanted, entries: Vec::new() };
        walk.run()?;
        let leads_out = |entry: &Seen| entry.metadata.is_symlink() && !walk.stays_within(&entry.path);
        if !walk.entries.iter().any(leads_out) {
            return Ok(walk.entries);
        }
        let mut all = Walk { context: self, wanted: None, entries: Vec::new() };
        all.run()?;
        Ok(all.entries)
    }

    /// A path that leads through a symbolic link makes everything wanted: the link may point anywhere in the context.
    fn wanted(&self, paths: &[String]) -> Option<Vec<PathBuf>> {
        let mut wanted = Vec::with_capacity(paths.len());
        for path in paths {
            let mut clean = PathBuf::new();
            for component in Path::new(path).components() {
                match component {
                    Component::Normal(name) => clean.push(name),
                    Component::ParentDir => {
                        clean.pop();
                    }
                    Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
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
                if entry.metadata.is_file()
                    && let Some(digest) = hash_file(&self.root.join(&entry.path), &mut buffer)?
                {
                    digests.push((index, digest));
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
            if entry.metadata.is_file() && digest.is_none() {
                continue;
            }
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
            } else if let Some(node) = unless_gone(node_of(&full, &entry.metadata))?.flatten() {
                builder.insert(name, node)?;
            }
        }
        let tree = builder.finish(&records)?;
        Ok(Scan { tree, records, sources })
    }
}

#[cfg(test)]
mod tests {
    use farm_tree::Records as _;

    use super::*;

    fn paths(scan: &Scan) -> Vec<String> {
        let mut found = Vec::new();
        let mut pending = vec![(String::new(), scan.tree.root.clone())];
        while let Some((prefix, directory)) = pending.pop() {
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
    fn a_link_on_or_in_a_wanted_path_leads_to_what_is_read() {
        let (root, context) = context("");
        std::os::unix::fs::symlink("a/b", root.path().join("link")).unwrap();
        let all = ["a", "a/b", "a/b/keep", "a/drop", "link", "top"];
        assert_eq!(paths(&context.scan(&["link/keep".to_owned()]).unwrap()), all);
        std::fs::remove_file(root.path().join("link")).unwrap();
        std::os::unix::fs::symlink("../../top", root.path().join("a/b/out")).unwrap();
        assert!(paths(&context.scan(&["a/b".to_owned()]).unwrap()).contains(&"top".to_owned()));
        std::fs::remove_file(root.path().join("a/b/out")).unwrap();
        std::os::unix::fs::symlink("keep", root.path().join("a/b/in")).unwrap();
        std::os::unix::fs::symlink("/nowhere", root.path().join("a/b/dangling")).unwrap();
        let found = paths(&context.scan(&["a/b".to_owned()]).unwrap());
        assert_eq!(found, ["a", "a/b", "a/b/dangling", "a/b/in", "a/b/keep"]);
    }

    #[test]
    fn what_vanishes_or_turns_into_something_else_takes_no_part() {
        let (root, context) = context("");
        let entries = context.walk(None).unwrap();
        std::fs::remove_dir_all(root.path().join("a")).unwrap();
        std::fs::remove_file(root.path().join("top")).unwrap();
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, root.path().join("top"), kind, rustix::fs::Mode::RWXU, 0)
            .unwrap();
        let digests = context.hash(&entries).unwrap();
        assert!(digests.iter().all(Option::is_none));
        let scan = context.assemble(entries, digests).unwrap();
        assert!(scan.sources.is_empty());
    }

    #[test]
    fn files_of_a_context_belong_to_root() {
        let (root, context) = context("");
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(root.path().join("top"), Some(7), Some(7)).unwrap();
        }
        let scan = context.scan(&["top".to_owned()]).unwrap();
        let entries = scan.records.entries(scan.tree.root.record.digest).unwrap();
        let farm_tree::Entry::Node(node) = &entries[b"top".as_slice()] else { panic!("it is a file") };
        assert_eq!((node.metadata().uid, node.metadata().gid), (0, 0));
    }
}
