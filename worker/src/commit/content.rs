//! What is inside files: digests, attributes, and whether a secret is in them. Many files are read by several threads.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

use farm_model::BlobDigest;
use farm_tree::Metadata;
use memchr::memmem::Finder;
use rustix::fd::AsFd;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::path::Arg;

use super::Place;
use crate::error::Error;
use crate::mask;

const READ_BUFFER: usize = 256 << 10;
/// Bytes and files that a thread gets at once. Fewer are read sooner than a thread is started.
const CHUNK: (u64, usize) = (4 << 20, 64);
const MOST_THREADS: usize = 16;
/// The longest list of attribute names and the longest value that Linux gives out.
const MOST_ATTRIBUTES: usize = 64 << 10;
const FEW_ATTRIBUTES: usize = 1024;

type Attributes = BTreeMap<Vec<u8>, Vec<u8>>;

/// A regular file that waits to be read.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) path: Vec<u8>,
    /// Without attributes.
    pub(super) metadata: Metadata,
    pub(super) size: u64,
}

/// What was read of one.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) blob: BlobDigest,
    pub(super) xattrs: Attributes,
    /// Whether a secret value is in it.
    pub(super) exposes: bool,
}

type Done = Result<Vec<(Pending, Content)>, Error>;

/// Threads that read files while others are still being found. None is started for a few files.
pub(super) struct Readers<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    reader: &'env Reader<'env>,
    place: &'env Place<'env>,
    chunk: Vec<Pending>,
    bytes: u64,
    threads: Option<Threads>,
}

struct Threads {
    work: SyncSender<Vec<Pending>>,
    done: Receiver<Done>,
}

impl<'scope, 'env> Readers<'scope, 'env> {
    pub(super) fn new(
        scope: &'scope Scope<'scope, 'env>,
        reader: &'env Reader<'env>,
        place: &'env Place<'env>,
    ) -> Self {
        Self { scope, reader, place, chunk: Vec::new(), bytes: 0, threads: None }
    }

    /// Takes a file to be read; gives some that were.
    pub(super) fn push(&mut self, file: Pending) -> Done {
        self.bytes = self.bytes.saturating_add(file.size);
        self.chunk.push(file);
        if self.chunk.len() < CHUNK.1 && self.bytes < CHUNK.0 {
            return Ok(Vec::new());
        }
        self.bytes = 0;
        let chunk = std::mem::take(&mut self.chunk);
        let (scope, reader, place) = (self.scope, self.reader, self.place);
        let threads = self.threads.get_or_insert_with(|| start(scope, reader, place));
        // The threads end early only after an error, which is among what is done.
        let _ended = threads.work.send(chunk);
        let done: Vec<_> = threads.done.try_iter().collect::<Result<_, _>>()?;
        Ok(done.into_iter().flatten().collect())
    }

    /// Reads what is left.
    pub(super) fn finish(self) -> Done {
        let Self { reader, place, chunk, threads, .. } = self;
        let mut read = reader.read_some(place, chunk, &mut reader.buffer())?;
        if let Some(Threads { work, done }) = threads {
            drop(work);
            for part in done {
                read.extend(part?);
            }
        }
        Ok(read)
    }
}

fn start<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    reader: &'env Reader<'env>,
    place: &'env Place<'env>,
) -> Threads {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let (work, waiting) = sync_channel::<Vec<Pending>>(threads * 4);
    let (report, done) = channel();
    let waiting = Arc::new(Mutex::new(waiting));
    for _ in 0..threads {
        let (waiting, report) = (Arc::clone(&waiting), report.clone());
        scope.spawn(move || {
            let mut buffer = reader.buffer();
            loop {
                let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(chunk) = next else { return };
                let read = reader.read_some(place, chunk, &mut buffer);
                let ends = read.is_err();
                if report.send(read).is_err() || ends {
                    return;
                }
            }
        });
    }
    Threads { work, done }
}

/// Reads files and looks for secrets in them.
pub(super) struct Reader<'a> {
    secrets: Vec<Finder<'a>>,
    /// Bytes of the longest secret.
    longest: usize,
}

impl<'a> Reader<'a> {
    /// Looks for those of `secrets` that are long enough to tell something.
    pub(super) fn new(secrets: &[&'a [u8]]) -> Self {
        let secrets: Vec<_> =
            secrets.iter().filter_map(|secret| mask::telling(secret)).map(Finder::new).collect();
        let longest = secrets.iter().map(|secret| secret.needle().len()).max().unwrap_or(1);
        Self { secrets, longest }
    }

    fn buffer(&self) -> Vec<u8> {
        vec![0; READ_BUFFER.max(self.longest.saturating_mul(2))]
    }

    /// Reads some files, one after the other.
    fn read_some(
        &self,
        place: &Place<'_>,
        files: Vec<Pending>,
        buffer: &mut [u8],
    ) -> Result<Vec<(Pending, Content)>, Error> {
        let read = |file: Pending| Ok((self.read(place, &file, buffer)?, file));
        files.into_iter().map(read).map(|read| read.map(|(content, file)| (file, content))).collect()
    }

    fn read(&self, place: &Place<'_>, pending: &Pending, buffer: &mut [u8]) -> Result<Content, Error> {
        let path = pending.path.as_slice();
        let mut file = open_quietly(place, path)?;
        let xattrs =
            kept_attributes(&file).map_err(|error| place.failed("read attributes of", path, error))?;
        let failed = |error: std::io::Error| {
            place.failed("read", path, Errno::from_io_error(&error).unwrap_or(Errno::IO))
        };
        let (mut hasher, mut size, mut held) = (blake3::Hasher::new(), 0, 0);
        let mut exposes = false;
        // Nobody writes any more, so that the end needs no reading of its own.
        while size < pending.size {
            let count = match file.read(&mut buffer[held..]) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            };
            hasher.update(&buffer[held..held + count]);
            size += count as u64;
            if self.secrets.is_empty() {
                continue;
            }
            let filled = held + count;
            exposes = exposes || self.secrets.iter().any(|secret| secret.find(&buffer[..filled]).is_some());
            // A secret may lie across two reads: its beginning is looked at again.
            held = filled.min(self.longest - 1);
            buffer.copy_within(filled - held..filled, 0);
        }
        Ok(Content { blob: BlobDigest { hash: *hasher.finalize().as_bytes(), size }, xattrs, exposes })
    }
}

/// Opens a file without leaving a trace: a new access time for each of thousands of files would be written to the file
/// system's journal, and waited for there.
fn open_quietly(place: &Place<'_>, path: &[u8]) -> Result<File, Error> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    match place.try_open(path, flags | OFlags::NOATIME) {
        // Only the owner may ask for it.
        Err(Errno::PERM) => place.open(path, flags).map(File::from),
        opened => opened.map(File::from).map_err(|error| place.failed("open", path, error)),
    }
}

/// Those attributes of an open file or directory that a tree keeps.
pub(super) fn kept_attributes(file: impl AsFd) -> Result<Attributes, Errno> {
    let mut few = [0_u8; FEW_ATTRIBUTES];
    let names = match rustix::fs::flistxattr(&file, &mut few) {
        Ok(length) => few[..length].to_vec(),
        Err(Errno::OPNOTSUPP) => Vec::new(),
        Err(Errno::RANGE) => {
            let mut many = vec![0; MOST_ATTRIBUTES];
            let length = rustix::fs::flistxattr(&file, &mut many)?;
            many.truncate(length);
            many
        }
        Err(error) => return Err(error),
    };
    let mut kept = Attributes::new();
    for name in names.split(|byte| *byte == 0).filter(|name| farm_tree::record::xattr_is_kept(name)) {
        if let Some(value) = attribute(&file, name)? {
            kept.insert(name.to_vec(), value);
        }
    }
    Ok(kept)
}

/// The value of one attribute, when there is one.
pub(super) fn attribute(file: impl AsFd, name: impl Arg + Copy) -> Result<Option<Vec<u8>>, Errno> {
    let mut short = [0_u8; FEW_ATTRIBUTES];
    match rustix::fs::fgetxattr(&file, name, &mut short) {
        Ok(length) => Ok(Some(short[..length].to_vec())),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(Errno::RANGE) => {
            let mut long = vec![0; MOST_ATTRIBUTES];
            let length = rustix::fs::fgetxattr(&file, name, &mut long)?;
            long.truncate(length);
            Ok(Some(long))
        }
        Err(error) => Err(error),
    }
}
