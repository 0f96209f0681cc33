//! Layer tars and archives become trees, their files blobs of the store.
//!
//! A layer's entries are resolved against the chain below, as containerd does: over a base where `/bin` is a symbolic link,
//! `bin/x` lands behind the link. An archive for `ADD` stands alone, knows no whiteouts, and may not reach outside itself.
//! Names of owners are ignored, ids count. Of extended attributes only those are taken that trees keep.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use farm_model::OciDigest;
use farm_model::result::LayerRef;
use farm_store::{Spool, Store};
use farm_tree::{Device, DeviceKind, Directory, File, Metadata, Node, Symlink, Tree};
use sha2::{Digest, Sha256};

use crate::Error;
use crate::compression::{Cancel, Decoder, Limits, Meter, Metered};
use crate::error::ArchiveFault;
use crate::tar_reader::{Entry, Kind, Stop, TarReader};

mod draft;

use draft::{Draft, Problem, Reach};

/// An archive as a tree.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unpacked {
    /// What it holds. Its files are blobs of the store.
    pub tree: Tree,
    /// Directories that had no entry of their own; the empty path is the root. Where they exist at the destination, their
    /// metadata stays.
    pub implied: BTreeSet<Vec<u8>>,
}

/// Unpacks a layer over `below`, which is merged, and commits it to the store. `what` names it in errors; the uncompressed
/// bytes must have `diff_id`.
pub fn unpack_layer(
    reader: impl Read,
    what: &str,
    diff_id: OciDigest,
    below: &Tree,
    store: &Store,
    limits: &Limits,
    cancel: Cancel,
) -> Result<(LayerRef, Tree), Error> {
    let stream = |source| stream_error(what, source);
    let decoder = Decoder::new(reader, limits, cancel).map_err(stream)?;
    let meter = decoder.meter();
    let spool = store.spool()?;
    let mut unpacker = Unpacker {
        what,
        draft: Draft::new(store, below.clone(), Reach::Chain),
        sink: Sink::Spool(&spool),
        limits,
        meter,
        entries: 0,
    };
    let mut tar = TarReader::new(Hashing { inner: decoder, hasher: Sha256::new() });
    while let Some(entry) = tar.next_entry().map_err(|stop| unpacker.stopped(stop))? {
        unpacker.add(entry, &mut tar)?;
    }
    let mut rest = tar.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(stream)?;
    let actual = OciDigest(rest.hasher.finalize().into());
    if actual != diff_id {
        return Err(Error::DigestMismatch {
            what: format!("the uncompressed bytes of {what}"),
            expected: diff_id,
            actual,
        });
    }
    let tree = unpacker.draft.finish()?.0;
    let layer = store.commit_spool(spool, &tree)?;
    Ok((layer, tree))
}

/// Unpacks an archive for `ADD`; none when the bytes are no tar, compressed or not, which then are copied as they are.
pub fn unpack_archive(
    reader: impl Read,
    what: &str,
    store: &Store,
    limits: &Limits,
    cancel: Cancel,
) -> Result<Option<Unpacked>, Error> {
    // A file that only looks compressed is a file.
    let decoder = match Decoder::new(reader, limits, cancel) {
        Ok(decoder) => decoder,
        Err(error) if is_about_content(&error) => return Ok(None),
        Err(error) => return Err(stream_error(what, error)),
    };
    let meter = decoder.meter();
    let mut tar = TarReader::new(decoder);
    let mut unpacker = Unpacker {
        what,
        draft: Draft::new(store, Tree::empty(), Reach::Itself),
        sink: Sink::Blobs(store),
        limits,
        meter,
        entries: 0,
    };
    let mut next = match tar.next_entry() {
        Ok(None) => return Ok(None),
        Err(Stop::Io(error)) if is_about_content(&error) => return Ok(None),
        other => other.map_err(|stop| unpacker.stopped(stop))?,
    };
    while let Some(entry) = next {
        unpacker.add(entry, &mut tar)?;
        next = tar.next_entry().map_err(|stop| unpacker.stopped(stop))?;
    }
    let (tree, implied) = unpacker.draft.finish()?;
    Ok(Some(Unpacked { tree, implied }))
}

/// Whether an error says something of the bytes, rather than of reading them.
fn is_about_content(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::Other
    ) && error.raw_os_error().is_none()
}

/// Where the bytes of files go.
enum Sink<'a> {
    /// Into a layer that is being received.
    Spool(&'a Spool),
    /// Into the store itself.
    Blobs(&'a Store),
}

struct Unpacker<'a> {
    what: &'a str,
    draft: Draft<'a>,
    sink: Sink<'a>,
    limits: &'a Limits,
    /// Counts the bytes of files, holes included.
    meter: Meter,
    entries: u64,
}

impl Unpacker<'_> {
    fn add(&mut self, entry: Entry, data: &mut impl Read) -> Result<(), Error> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(self.too_large(self.limits.entries, "entries"));
        }
        let path = entry.path.clone();
        self.apply(entry, data).map_err(|problem| match problem {
            Problem::Fault(fault) => self.fault(&path, fault),
            Problem::Error(error) => *error,
        })
    }

    fn apply(&mut self, entry: Entry, data: &mut impl Read) -> Result<(), Problem> {
        let metadata = Metadata {
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime,
            xattrs: settable(&entry.kind, entry.xattrs)?,
        };
        let node = match entry.kind {
            Kind::Unsupported(_) => return Err(ArchiveFault::UnsupportedType.into()),
            _ if self.draft.whiteout(&entry.path, entry.mtime)? => return Ok(()),
            Kind::HardLink => return self.draft.hard_link(&entry.path, &entry.link, entry.mtime),
            // On disk this is how overlayfs marks a deletion, so it cannot be anything else in a layer.
            Kind::Device(DeviceKind::Character { major: 0, minor: 0 }) => {
                return self.draft.delete(&entry.path, entry.mtime);
            }
            Kind::Directory => Node::Directory(Directory::empty(metadata)),
            Kind::Symlink => {
                Node::Symlink(Symlink { metadata: Metadata { mode: 0o777, ..metadata }, target: entry.link })
            }
            Kind::Device(kind) => Node::Device(Device { metadata, kind }),
            Kind::File(size) => {
                let blob = self.store(size, data)?;
                Node::File(File { metadata, blob, hard_link: None })
            }
        };
        self.draft.insert(&entry.path, node)
    }

    fn store(&mut self, size: u64, data: &mut impl Read) -> Result<farm_model::BlobDigest, Problem> {
        if size > self.limits.bytes {
            return Err(self.too_large(self.limits.bytes, "bytes").into());
        }
        let mut data = Metered { inner: data.take(size), meter: &mut self.meter };
        let stored = match &self.sink {
            Sink::Spool(spool) => spool.write(&mut data, Some(size)),
            Sink::Blobs(store) => store.ingest(&mut data, Some(size)),
        };
        let blob = stored.map_err(|error| {
            if let farm_store::Error::Source(source) = error {
                stream_error(self.what, source)
            } else {
                Error::Store(error)
            }
        })?;
        if blob.size == size { Ok(blob) } else { Err(ArchiveFault::Truncated.into()) }
    }

    fn stopped(&self, stop: Stop) -> Error {
        match stop {
            Stop::Io(error) => stream_error(self.what, error),
            Stop::Fault(path, fault) => self.fault(&path, fault),
        }
    }

    fn fault(&self, path: &[u8], fault: ArchiveFault) -> Error {
        Error::Archive {
            archive: self.what.to_owned(),
            entry: farm_tree::path::text(path).chars().take(200).collect(),
            fault,
        }
    }

    fn too_large(&self, limit: u64, unit: &'static str) -> Error {
        Error::TooLarge { what: self.what.to_owned(), limit, unit }
    }
}

/// The attributes that Linux can set on an entry of this kind.
fn settable(
    kind: &Kind,
    mut xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, ArchiveFault> {
    match kind {
        Kind::File(_) => {}
        Kind::Directory => {
            xattrs.remove(CAPABILITY);
        }
        Kind::Symlink | Kind::HardLink | Kind::Device(_) | Kind::Unsupported(_) => xattrs.clear(),
    }
    match xattrs.get(CAPABILITY) {
        Some(value) if !is_capability(value) => Err(ArchiveFault::BadCapabilities),
        _ => Ok(xattrs),
    }
}

const CAPABILITY: &[u8] = b"security.capability";

/// Whether a value has the form of revision 2 or 3 of file capabilities (capabilities(7), "File capabilities").
fn is_capability(value: &[u8]) -> bool {
    matches!((value.get(3), value.len()), (Some(2), 20) | (Some(3), 24))
}

fn stream_error(what: &str, source: io::Error) -> Error {
    Error::Stream { archive: what.to_owned(), source }
}

/// Hashes what is read through it.
struct Hashing<R> {
    inner: R,
    hasher: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}
