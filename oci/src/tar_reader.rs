//! Reads tars entry by entry: ustar, PAX, GNU and old V7, with sparse files in all their notations.
//!
//! Only the layout of headers comes from the `tar` crate: its reader keeps extended headers of any size in memory, which
//! a hostile archive would use. What Go's reader (and so Docker) tolerates is tolerated: missing trailers, global PAX
//! headers, sizes on entries that have no data.

use std::collections::BTreeMap;
use std::io::{self, Read};

use farm_tree::{DeviceKind, Mtime};

mod header;
mod pax;
mod sparse;

use header::{Number, RawKind};
use pax::Extensions;
use sparse::{Hole, SparseMap};

/// Size of a tar block.
pub(crate) const BLOCK: usize = 512;
/// Limit on one extended header: long names, or PAX records with their extended attributes.
const MAX_EXTENDED: u64 = 4 << 20;

/// What an entry is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Directory,
    /// With this many bytes, holes included.
    File(u64),
    Symlink,
    HardLink,
    Device(DeviceKind),
    /// By its type byte.
    Unsupported(u8),
}

/// The header of an entry, extensions applied.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// As written.
    pub(crate) path: Vec<u8>,
    /// Target of a link, as written.
    pub(crate) link: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Mtime,
    /// Only those that trees keep.
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Why reading stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The stream failed, or is no tar.
    Io(io::Error),
    /// The entry of this path has something wrong.
    Fault(Vec<u8>, crate::error::ArchiveFault),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A tar that is being read.
#[derive(Debug)]
pub(crate) struct TarReader<R> {
    inner: R,
    /// Bytes of the current entry that are still in the stream.
    remaining: u64,
    /// Zeros that fill the last block of the current entry.
    padding: u64,
    sparse: Option<SparseMap>,
    /// How far the current sparse file has been read.
    position: u64,
}

impl<R: Read> TarReader<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, remaining: 0, padding: 0, sparse: None, position: 0 }
    }

    /// The next entry. What was not read of the last one is skipped.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, Stop> {
        let mut extensions = Extensions::default();
        let (mut long_path, mut long_link) = (None, None);
        loop {
            self.skip_rest()?;
            let Some(block) = self.header_block()? else {
                return Ok(None);
            };
            let raw = header::parse(&block)?;
            match raw.kind {
                RawKind::LongName => long_path = Some(self.name(raw.size)?),
                RawKind::LongLink => long_link = Some(self.name(raw.size)?),
                RawKind::Pax => extensions = Extensions::parse(&self.extended(raw.size)?)?,
                // Defaults for all later entries, which nobody but `git archive` writes, and that for a comment.
                RawKind::PaxGlobal => {
                    self.extended(raw.size)?;
                }
                RawKind::Entry(type_flag) => {
                    return self
                        .entry(&block, raw.size, type_flag, &extensions, long_path, long_link)
                        .map(Some);
                }
            }
        }
    }

    /// The rest of the stream, so that a digest over it covers what follows the end mark.
    pub(crate) fn into_inner(self) -> R {
        self.inner
    }

    fn entry(
        &mut self,
        block: &[u8; BLOCK],
        size: Number,
        type_flag: u8,
        extensions: &Extensions,
        long_path: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Entry, Stop> {
        let fields = header::Fields::of(block);
        let path = extensions.path.clone().or(long_path).unwrap_or(fields.path);
        let link = extensions.link.clone().or(long_link).unwrap_or(fields.link);
        let out_of_range = || Stop::Fault(path.clone(), crate::error::ArchiveFault::NumberOutOfRange);
        let stored = extensions.size.or_else(|| size.unsigned()).ok_or_else(out_of_range)?;
        let id = |extended: Option<u64>, plain: Number| {
            extended
                .or_else(|| plain.unsigned())
                .and_then(|id| u32::try_from(id).ok())
                .ok_or_else(out_of_range)
        };
        let uid = id(extensions.uid, fields.uid)?;
        let gid = id(extensions.gid, fields.gid)?;
        let mode = fields.mode.unsigned().ok_or_else(out_of_range)?;
        let kind = match type_flag {
            b'0' | 0 if path.ends_with(b"/") => Kind::Directory,
            b'0' | 0 | b'7' | b'S' => Kind::File(stored),
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' | b'4' => device(type_flag, fields.device).ok_or_else(out_of_range)?,
            b'5' => Kind::Directory,
            b'6' => Kind::Device(DeviceKind::Fifo),
            other => Kind::Unsupported(other),
        };
        // Some writers state a size for links and directories; no data follows.
        let has_data = matches!(kind, Kind::File(_) | Kind::Unsupported(_)) || matches!(type_flag, 0 | b'0');
        self.begin(if has_data { stored } else { 0 }).ok_or_else(out_of_range)?;
        let mut entry = Entry {
            path,
            link,
            kind,
            mode: u16::try_from(mode & 0o7777).unwrap_or_default(),
            uid,
            gid,
            mtime: extensions.mtime.unwrap_or_else(|| header::mtime_of_seconds(fields.mtime.signed())),
            xattrs: extensions.xattrs.clone(),
        };
        if matches!(entry.kind, Kind::File(_)) {
            self.begin_sparse(block, type_flag, extensions, &mut entry)?;
        }
        Ok(entry)
    }

    fn begin(&mut self, size: u64) -> Option<()> {
        self.remaining = size;
        self.padding = size.checked_next_multiple_of(BLOCK as u64)? - size;
        self.sparse = None;
        self.position = 0;
        Some(())
    }

    fn begin_sparse(
        &mut self,
        block: &[u8; BLOCK],
        type_flag: u8,
        extensions: &Extensions,
        entry: &mut Entry,
    ) -> Result<(), Stop> {
        let mut path = entry.path.clone();
        let map = if type_flag == b'S' {
            SparseMap::old_gnu(block, &mut self.inner)
        } else if let Some(described) = &extensions.sparse {
            if let Some(name) = &described.name {
                path.clone_from(name);
            }
            SparseMap::pax(described, &mut self.inner, &mut self.remaining)
        } else {
            return Ok(());
        };
        let fault = |fault| Stop::Fault(path.clone(), fault);
        let map = map?.ok_or_else(|| fault(crate::error::ArchiveFault::BadSparseMap))?;
        if map.stored() != self.remaining {
            return Err(fault(crate::error::ArchiveFault::BadSparseMap));
        }
        entry.kind = Kind::File(map.size);
        entry.path = path;
        self.sparse = Some(map);
        Ok(())
    }

    fn skip_rest(&mut self) -> Result<(), Stop> {
        let rest = self.remaining + self.padding;
        let skipped = io::copy(&mut (&mut self.inner).take(rest), &mut io::sink())?;
        // A last entry whose padding is missing is whole.
        if skipped < self.remaining {
            return Err(truncated().into());
        }
        self.remaining = 0;
        self.padding = 0;
        Ok(())
    }

    /// The next header; none at the end mark or at the end of the stream.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK]>, Stop> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.inner.read(&mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(truncated().into()),
                count => filled += count,
            }
        }
        Ok((block != [0; BLOCK]).then_some(block))
    }

    fn extended(&mut self, size: Number) -> Result<Vec<u8>, Stop> {
        let size = size.unsigned().filter(|size| *size <= MAX_EXTENDED);
        let size = size.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("an extended header exceeds {MAX_EXTENDED} bytes"),
            )
        })?;
        let mut bytes = Vec::new();
        (&mut self.inner).take(size).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != size {
            return Err(truncated().into());
        }
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        Ok(bytes)
    }

    fn name(&mut self, size: Number) -> Result<Vec<u8>, Stop> {
        let mut name = self.extended(size)?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        name.truncate(end);
        Ok(name)
    }

    fn read_stored(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(buffer.len());
        if limit == 0 {
            return Ok(0);
        }
        let count = self.inner.read(&mut buffer[..limit])?;
        if count == 0 {
            return Err(truncated());
        }
        self.remaining -= count as u64;
        Ok(count)
    }
}

/// The data of the current entry, holes filled with zeros.
impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(map) = &self.sparse else {
            return self.read_stored(buffer);
        };
        let (hole, length) = map.at(self.position);
        let limit = usize::try_from(length).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = &mut buffer[..limit];
        let count = match hole {
            Hole::Zeros => {
                buffer.fill(0);
                limit
            }
            Hole::Data => self.read_stored(buffer)?,
        };
        self.position += count as u64;
        Ok(count)
    }
}

fn device(type_flag: u8, (major, minor): (Number, Number)) -> Option<Kind> {
    let number = |number: Number| u32::try_from(number.unsigned()?).ok();
    let (major, minor) = (number(major)?, number(minor)?);
    Some(Kind::Device(if type_flag == b'3' {
        DeviceKind::Character { major, minor }
    } else {
        DeviceKind::Block { major, minor }
    }))
}

fn truncated() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends too early")
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
