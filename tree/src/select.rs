//! What a `COPY` or `ADD` takes, as values: the input of its step key and of [`crate::copy`].
//!
//! Sources are looked up in a merged tree. Wildcards follow Go's `filepath.Match`, one component at a time, and never
//! go through symbolic links; the parents of a source and the source itself do, inside the root. `--parents` keeps the
//! directories below the pivot `/./`; its pattern may hold `**`. Ownership and mode changes are applied here, so that the
//! digest of a selection covers exactly what will be in the layer, apart from mtimes.
//!
//! As with `docker build`: of a source directory its contents are taken and not itself, `--exclude` is relative to each
//! source directory and does not apply to a source that is a file, and a wildcard that matches nothing is no error.

mod extract;

use std::collections::{BTreeMap, BTreeSet};

use farm_model::ContentDigest;
use farm_model::encoding::Encoder;

use crate::build::TreeBuilder;
use crate::error::Error;
use crate::glob::{Glob, Patterns, has_wildcard, unescape};
use crate::mode::ModeChange;
use crate::passwd::Owner;
use crate::path;
use crate::record::{Directory, DirectoryRef, Entry, File, Metadata, Mtime, Node, Tree};
use crate::records::{Records, load};
use crate::resolve::{Resolved, lookup, resolve};

const CONTEXT: &str = "farm tree selection v1";

/// `--chown` and `--chmod`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Adjustment {
    /// The new owner of everything.
    pub owner: Option<Owner>,
    /// The new mode of everything but symbolic links.
    pub mode: Option<ModeChange>,
}

/// What to take of a source.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--exclude`.
    pub exclude: Patterns,
    /// `--parents`.
    pub parents: bool,
}

/// What an instruction takes, in order.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    items: Vec<Item>,
    adjustment: Adjustment,
}

/// One thing that is copied.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Item {
    /// The name it gets in a destination that is a directory.
    pub name: Vec<u8>,
    /// Where it was found: a tree path without symbolic links; empty for what comes from elsewhere.
    pub path: Vec<u8>,
    /// What it is.
    pub what: What,
}

/// What is copied.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum What {
    /// Anything but a directory.
    Leaf(Node),
    /// The contents of a directory; hard links are relative to it.
    Contents {
        /// Its selected entries.
        record: DirectoryRef,
        /// Directories that are only there because of something in them, with the mode of their source: where they
        /// exist already, they keep everything but the mode.
        partial: BTreeMap<Vec<u8>, u16>,
    },
    /// An archive, to be unpacked into the destination.
    Archive {
        /// What is in it.
        tree: Tree,
        /// Directories that it does not list itself: they go through symbolic links.
        implied: BTreeSet<Vec<u8>>,
    },
}

impl Adjustment {
    /// Changes nothing.
    pub fn is_none(&self) -> bool {
        self.owner.is_none() && self.mode.is_none()
    }

    /// `node` with the new owner and mode.
    pub fn apply(&self, mut node: Node) -> Node {
        let (is_directory, is_symlink) =
            (matches!(node, Node::Directory(_)), matches!(node, Node::Symlink(_)));
        let metadata = node.metadata_mut();
        if let Some(owner) = self.owner {
            (metadata.uid, metadata.gid) = (owner.uid, owner.gid);
        }
        if let Some(mode) = self.mode.as_ref().filter(|_| !is_symlink) {
            metadata.mode = mode.apply(metadata.mode, is_directory);
        }
        node
    }
}

impl Selection {
    /// Takes nothing yet; everything will be changed by `adjustment`.
    pub fn new(adjustment: Adjustment) -> Self {
        Self { items: Vec::new(), adjustment }
    }

    /// Takes the path or wildcard `written` of the merged tree `source`.
    pub fn add_path(
        &mut self,
        records: &dyn Records,
        source: &Tree,
        written: &str,
        options: &Options,
    ) -> Result<(), Error> {
        let (prefix, pattern) = if options.parents {
            let (prefix, pattern) = written.split_once("/./").unwrap_or(("/", written));
            let pattern = path::clean(pattern.as_bytes());
            if pattern.is_empty() {
                return Err(Error::EmptySource(written.to_owned()));
            }
            (prefix, Some(pattern))
        } else {
            (written, None)
        };
        let include = pattern.as_ref().map(|pattern| Patterns::new([pattern])).transpose()?;
        let found = expand(records, source, written, &path::clean(prefix.as_bytes()))?;
        if let Some(pattern) = pattern.filter(|pattern| !has_wildcard(pattern)) {
            require(records, source, written, &found, &unescape(&pattern))?;
        }
        for name in found {
            let at = find(records, source, written, &name)?;
            let what = match at.node {
                Some(Node::Directory(directory)) => extract::contents(
                    records,
                    directory.record,
                    include.as_ref(),
                    &options.exclude,
                    &self.adjustment,
                )?,
                Some(node) => What::Leaf(self.adjustment.apply(single(node))),
                None => return Err(missing(written, &name)),
            };
            self.items.push(Item { name: path::name(&name).to_vec(), path: at.path, what });
        }
        Ok(())
    }

    /// Takes a file that comes from elsewhere: a heredoc or what was fetched.
    pub fn add_file(&mut self, name: &str, file: File) -> Result<(), Error> {
        if !path::is_name(name.as_bytes()) {
            return Err(Error::InvalidPath(path::text(name.as_bytes())));
        }
        self.items.push(Item {
            name: name.as_bytes().to_vec(),
            path: Vec::new(),
            what: What::Leaf(self.adjustment.apply(single(Node::File(file)))),
        });
        Ok(())
    }

    /// Says that item `index` is an archive and will be unpacked. `--chmod` does not apply to what is in it.
    pub fn unpack(&mut self, index: usize, tree: Tree, implied: BTreeSet<Vec<u8>>) {
        if let Some(item) = self.items.get_mut(index) {
            item.what = What::Archive { tree, implied };
        }
    }

    /// What is taken, in order.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Whether nothing is taken.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// What everything was changed by.
    pub fn adjustment(&self) -> &Adjustment {
        &self.adjustment
    }

    /// The newest mtime of what is taken; the epoch when nothing is.
    pub fn newest(&self) -> Mtime {
        let newest = self.items.iter().map(|item| match &item.what {
            What::Leaf(node) => node.metadata().mtime,
            What::Contents { record, .. } => record.newest,
            What::Archive { tree, .. } => tree.root.record.newest,
        });
        newest.max().filter(|newest| *newest != Mtime::OLDEST).unwrap_or_default()
    }

    /// The metadata of directories that have to be made on the way to the destination.
    pub fn made_directories(&self) -> Metadata {
        let owner = self.adjustment.owner.unwrap_or_default();
        Metadata {
            uid: owner.uid,
            gid: owner.gid,
            ..Metadata::plain(ModeChange::for_made_directories(self.adjustment.mode.as_ref()), self.newest())
        }
    }

    /// Regular files and bytes that are taken, for messages.
    pub fn bytes(&self) -> u64 {
        let bytes = self.items.iter().map(|item| match &item.what {
            What::Leaf(node) => node.as_file().map_or(0, |file| file.blob.size),
            What::Contents { record, .. } => record.bytes,
            What::Archive { tree, .. } => tree.root.record.bytes,
        });
        bytes.fold(0, u64::saturating_add)
    }

    /// Digest of all that decides the layer but the destination: names, metadata after `--chown` and `--chmod`, contents
    /// and link targets. Not in it: mtimes, where things were found, what was not selected, and of a source directory its
    /// own name and metadata.
    pub fn content_digest(&self) -> ContentDigest {
        let mut encoder = Encoder::new();
        let made = self.made_directories();
        encoder.u32(made.uid).u32(made.gid).u32(made.mode.into());
        encoder.list(&self.items, |encoder, item| match &item.what {
            What::Leaf(node) => {
                encoder.u8(0).bytes(&item.name);
                node.encode_content(encoder);
            }
            What::Contents { record, partial } => {
                encoder.u8(1).raw(record.content.as_bytes());
                encoder.list(partial, |encoder, (path, mode)| {
                    encoder.bytes(path).u32((*mode).into());
                });
            }
            What::Archive { tree, implied } => {
                encoder.u8(2).raw(tree.root.record.content.as_bytes());
                encoder.list(implied, |encoder, path| {
                    encoder.bytes(path);
                });
            }
        });
        ContentDigest(encoder.digest(CONTEXT))
    }
}

impl Selection {
    /// What is selected as one tree, at the paths where it was found, for telling in which files two selections differ.
    /// The first of two things at one path is in it.
    pub fn tree(&self, records: &dyn Records) -> Result<Tree, Error> {
        let mut builder = TreeBuilder::default();
        let mut seen = BTreeSet::new();
        for item in &self.items {
            let path = if item.path.is_empty() { &item.name } else { &item.path };
            let record = match &item.what {
                What::Leaf(node) => {
                    if !path.is_empty() && seen.insert(path.clone()) {
                        builder.insert(path, single(node.clone()))?;
                    }
                    continue;
                }
                What::Contents { record, .. } => *record,
                What::Archive { tree, .. } => tree.root.record,
            };
            if item.path.is_empty() && self.items.len() == 1 {
                let root = Directory { record, ..Directory::empty(Metadata::default()) };
                return Ok(Tree { root });
            }
            if !item.path.is_empty() && seen.insert(item.path.clone()) {
                builder.graft(&item.path, Directory { record, ..Directory::empty(Metadata::default()) })?;
            }
        }
        builder.finish(records)
    }
}

/// A file on its own has one name.
fn single(mut node: Node) -> Node {
    if let Node::File(file) = &mut node {
        file.hard_link = None;
    }
    node
}

fn missing(written: &str, path: &[u8]) -> Error {
    Error::SourceNotFound { written: written.to_owned(), path: path::text(path) }
}

/// Where the source `path` leads.
fn find(records: &dyn Records, source: &Tree, written: &str, path: &[u8]) -> Result<Resolved, Error> {
    match resolve(records, source, path) {
        Err(Error::NotADirectory(_)) => Err(missing(written, path)),
        found => found,
    }
}

/// Fails unless `pattern`, which has no wildcard, is there below one of `found`.
fn require(
    records: &dyn Records,
    source: &Tree,
    written: &str,
    found: &[Vec<u8>],
    pattern: &[u8],
) -> Result<(), Error> {
    for prefix in found {
        match lookup(records, source, &path::join(prefix, pattern)) {
            Ok(Resolved { node: None, .. }) | Err(Error::NotADirectory(_)) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    let at = found.first().map_or_else(Vec::new, Clone::clone);
    Err(missing(written, &path::join(&at, pattern)))
}

/// The tree paths that `path` matches, in the order of a walk; a path without wildcards matches itself, be it there or not.
fn expand(records: &dyn Records, source: &Tree, written: &str, path: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let parts: Vec<&[u8]> = path::written(path).collect();
    let fixed = parts.iter().take_while(|part| !has_wildcard(part)).count();
    let (head, tail) = parts.split_at(fixed);
    let head: Vec<Vec<u8>> = head.iter().map(|part| unescape(part)).collect();
    let head = head.join(&b'/');
    if tail.is_empty() {
        return Ok(vec![head]);
    }
    if tail.len() > path::MAX_DEPTH {
        return Err(Error::InvalidPath(written.to_owned()));
    }
    let globs = tail.iter().map(|part| Glob::new(part)).collect::<Result<Vec<_>, _>>()?;
    let base = find(records, source, written, &head)?;
    let mut level = match base.node {
        Some(Node::Directory(directory)) => vec![(base.path, directory.record)],
        Some(_) => Vec::new(),
        None => return Err(missing(written, &head)),
    };
    let mut found = Vec::new();
    for (index, glob) in globs.iter().enumerate() {
        let mut next = Vec::new();
        for (at, record) in level {
            for (name, entry) in load(records, &record)?.iter() {
                let Entry::Node(node) = entry else { continue };
                if !glob.matches(name) {
                    continue;
                }
                let at = path::join(&at, name);
                if index + 1 == globs.len() {
                    found.push(at);
                } else if let Some(directory) = node.as_directory() {
                    next.push((at, directory.record));
                }
            }
        }
        level = next;
    }
    Ok(found)
}
