//! Trees become tars: the same tree gives the same bytes, on any machine and at any time.
//!
//! - Order: depth first; in each directory the opaque mark, then whiteouts, then entries, each by name as bytes.
//! - The root has an entry, so that its mode, owner and time survive.
//! - Headers are ustar. A PAX header goes before an entry only for what does not fit: long names, large numbers, fractions
//!   of a second, extended attributes. Fractions are kept because trees keep them: what is pulled again is the same tree.
//! - Of a hard-linked file the name that comes first in the tar carries the bytes.
//!
//! No byte comes from a clock, a locale or a hash map. Blobs are streamed and verified while they are read.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use farm_store::Store;
use farm_tree::{Directory, Entries, Entry, File, Metadata, Mtime, Node, Records, Tree, path};

use crate::Error;

mod header;

pub(crate) use header::HeaderWriter;

/// Goes into the name of every remembered packed form; a change of bytes needs another, be it of the tar or of a compressor.
pub const PACKER_VERSION: &str = "2";

/// Writes `tree`, a layer or a merged tree, as a tar. Times after `clamp` become `clamp`.
pub fn write_tar(tree: &Tree, store: &Store, out: &mut dyn Write, clamp: Option<Mtime>) -> Result<(), Error> {
    let mut packer = Packer { store, headers: HeaderWriter { out, clamp }, written: HashMap::new() };
    packer.tree(tree)?;
    packer.headers.finish().map_err(output)
}

/// A directory that is being written.
struct Level {
    /// Path with a trailing slash; empty for the root.
    prefix: Vec<u8>,
    entries: Arc<Entries>,
    /// Name after which to go on.
    after: Option<Arc<[u8]>>,
}

/// A file of a hard-link group, and the path at which its bytes were written.
type Written = (File, Vec<u8>);

struct Packer<'a> {
    store: &'a Store,
    headers: HeaderWriter<'a>,
    /// By the path that names a hard-link group: the file, and the name that carries its bytes. A group is told apart by
    /// everything in it, because in a merged tree two groups may go by one path.
    written: HashMap<Arc<[u8]>, Vec<Written>>,
}

impl Packer<'_> {
    fn tree(&mut self, tree: &Tree) -> Result<(), Error> {
        self.headers.directory(b"./", &tree.root.metadata).map_err(output)?;
        let mut levels = vec![self.open(Vec::new(), &tree.root)?];
        while let Some(level) = levels.last_mut() {
            let next = match &level.after {
                None => level.entries.iter().next(),
                Some(after) => level
                    .entries
                    .range::<Arc<[u8]>, _>((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded))
                    .next(),
            };
            let Some((name, entry)) = next else {
                levels.pop();
                continue;
            };
            let (name, entry) = (Arc::clone(name), entry.clone());
            level.after = Some(Arc::clone(&name));
            let mut full = level.prefix.clone();
            full.extend_from_slice(&name);
            if let Entry::Node(node) = entry
                && let Some(deeper) = self.node(full, &node)?
            {
                levels.push(deeper);
            }
        }
        Ok(())
    }

    /// Writes the marks of a directory and prepares its entries.
    fn open(&mut self, prefix: Vec<u8>, directory: &Directory) -> Result<Level, Error> {
        let entries = self.store.entries(directory.record.digest)?;
        if directory.opaque {
            self.mark(&prefix, b".wh..opq")?;
        }
        for (name, entry) in entries.iter() {
            if matches!(entry, Entry::Whiteout) {
                self.mark(&prefix, name)?;
            }
        }
        Ok(Level { prefix, entries, after: None })
    }

    fn mark(&mut self, prefix: &[u8], name: &[u8]) -> Result<(), Error> {
        let full = [prefix, b".wh.", name].concat();
        self.headers.file(&full, &Metadata::default(), 0).map_err(output)
    }

    fn node(&mut self, full: Vec<u8>, node: &Node) -> Result<Option<Level>, Error> {
        match node {
            Node::Directory(directory) => {
                let mut prefix = full;
                prefix.push(b'/');
                self.headers.directory(&prefix, &directory.metadata).map_err(output)?;
                return self.open(prefix, directory).map(Some);
            }
            Node::Symlink(symlink) => {
                self.headers.symlink(&full, &symlink.metadata, &symlink.target).map_err(output)?;
            }
            Node::Device(device) => self.headers.device(&full, device).map_err(output)?,
            Node::File(file) => self.file(&full, file)?,
        }
        Ok(None)
    }

    fn file(&mut self, full: &[u8], file: &File) -> Result<(), Error> {
        if let Some(group) = &file.hard_link {
            let known = self.written.entry(Arc::clone(group)).or_default();
            if let Some((_, first)) = known.iter().find(|(other, _)| other == file) {
                return self.headers.hard_link(full, first, &file.metadata).map_err(output);
            }
            known.push((file.clone(), full.to_vec()));
        }
        self.headers.file(full, &file.metadata, file.blob.size).map_err(output)?;
        let mut blob = self.store.open_verified(&file.blob)?;
        let copied = io::copy(&mut blob, &mut self.headers.out)
            .map_err(Error::copying("copy to the tar", path::absolute(full)))?;
        if copied != file.blob.size {
            return Err(Error::SizeMismatch {
                what: format!("blob `{}`", file.blob),
                expected: file.blob.size,
                actual: copied,
            });
        }
        self.headers.pad(copied).map_err(output)
    }
}

fn output(source: io::Error) -> Error {
    Error::Io { action: "write", path: PathBuf::from("the tar"), source }
}
