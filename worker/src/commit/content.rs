//! What is inside files: digests, attributes, and whether a secret is in them. Many files are read by several threads.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};

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
/// Fewer bytes and files than these are read sooner than a thread is started.
const WORTH_THREADS: (u64, usize) = (4 << 20, 64);
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

    /// Reads `files`; the answers are in their order.
    pub(super) fn read_all(&self, place: &Place<'_>, files: &[Pending]) -> Result<Vec<Content>, Error> {
        let bytes: u64 = files.iter().map(|file| file.size).fold(0, u64::saturating_add);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if bytes < WORTH_THREADS.0 && files.len() < WORTH_THREADS.1 { 1 } else { processors };
        let threads = threads.min(files.len()).min(MOST_THREADS);
        let next = AtomicUsize::new(0);
        if threads <= 1 {
            return Ok(self
                .read_some(place, files, &next)?
                .into_iter()
                .map(|(_, content)| content)
                .collect());
        }
        let mut contents = std::thread::scope(|scope| {
            let handles: Vec<_> =
                (0..threads).map(|_| scope.spawn(|| self.read_some(place, files, &next))).collect();
            let results = handles.into_iter().map(|handle| handle.join().expect("reading does not panic"));
            results.collect::<Result<Vec<_>, Error>>().map(|parts| parts.concat())
        })?;
        contents.sort_by_key(|(index, _)| *index);
        Ok(contents.into_iter().map(|(_, content)| content).collect())
    }

    /// Reads files until none is left.
    fn read_some(
        &self,
        place: &Place<'_>,
        files: &[Pending],
        next: &AtomicUsize,
    ) -> Result<Vec<(usize, Content)>, Error> {
        let mut buffer = vec![0; READ_BUFFER.max(self.longest.saturating_mul(2))];
        let mut contents = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(file) = files.get(index) else { return Ok(contents) };
            contents.push((index, self.read(place, file, &mut buffer)?));
        }
    }

    fn read(&self, place: &Place<'_>, pending: &Pending, buffer: &mut [u8]) -> Result<Content, Error> {
        let path = pending.path.as_slice();
        let mut file = File::from(place.open(path, OFlags::RDONLY | OFlags::NONBLOCK)?);
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
