//! The file of a stat cache: a version, the number of entries, a block a directory, and a checksum over all of it.
//!
//! Numbers are little-endian. A block is the directory's path and its entries, each behind a `u32` length, directories and
//! entries sorted by name. An entry is its name behind a `u8`, size, modification time, change time, inode and device as
//! eight bytes each, the hash, and its extended attributes behind a `u32` length.

use std::collections::BTreeMap;
use std::ops::Range;

use farm_model::BlobDigest;

use crate::context::listing::{Child, Contents, Kind, Origin, Stamp, Xattrs};

const VERSION: u8 = 1;
const HASH: usize = 32;

/// A directory: where its path and its entries lie in the file.
pub(super) struct Block {
    pub(super) path: Range<usize>,
    pub(super) entries: Range<usize>,
}

/// A file that is remembered.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    pub(super) stamp: Stamp,
    hash: &'a [u8; HASH],
    xattrs: Attributes<'a>,
}

#[derive(Clone, Copy)]
enum Attributes<'a> {
    Written(&'a [u8]),
    Known(&'a Xattrs),
}

impl<'a> Entry<'a> {
    /// What is to be remembered of a file whose contents are known.
    pub(super) fn of(child: &'a Child) -> Option<Self> {
        let Kind::File(Some(contents)) = &child.kind else { return None };
        Some(Self {
            name: &child.name,
            stamp: child.stat.stamp,
            hash: &contents.blob.hash,
            xattrs: Attributes::Known(&contents.xattrs),
        })
    }

    /// The contents; none when the attributes are damaged.
    pub(super) fn contents(&self) -> Option<Contents> {
        let xattrs = match self.xattrs {
            Attributes::Known(known) => known.clone(),
            Attributes::Written(bytes) => {
                let (mut reader, mut xattrs) = (Reader { bytes, at: 0 }, Xattrs::new());
                while !reader.is_empty() {
                    xattrs.insert(reader.sized()?.to_vec(), reader.sized()?.to_vec());
                }
                xattrs
            }
        };
        let blob = BlobDigest { hash: *self.hash, size: self.stamp.size };
        Some(Contents { blob, xattrs, origin: Origin::Remembered })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let Stamp { size, mtime, ctime, inode, device } = self.stamp;
        // Names of files have at most 255 bytes.
        out.push(u8::try_from(self.name.len()).unwrap_or_default());
        out.extend(self.name);
        for number in [size, mtime.cast_unsigned(), ctime.cast_unsigned(), inode, device] {
            out.extend(number.to_le_bytes());
        }
        out.extend(self.hash);
        sized(out, |out| match self.xattrs {
            Attributes::Written(bytes) => out.extend(bytes),
            Attributes::Known(known) => {
                for (name, value) in known {
                    sized(out, |out| out.extend(name));
                    sized(out, |out| out.extend(value));
                }
            }
        });
    }
}

/// Writes the directories and their files.
pub(super) fn write(directories: &BTreeMap<&[u8], BTreeMap<&[u8], Entry<'_>>>) -> Vec<u8> {
    let count: u64 = directories.values().map(|entries| entries.len() as u64).sum();
    let mut out = vec![VERSION];
    out.extend(count.to_le_bytes());
    for (directory, entries) in directories {
        sized(&mut out, |out| out.extend(*directory));
        sized(&mut out, |out| entries.values().for_each(|entry| entry.write(out)));
    }
    let hash = blake3::hash(&out);
    out.extend(hash.as_bytes());
    out
}

/// Writes a length in front of what `write` writes.
fn sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend([0; 4]);
    write(out);
    // A cache of more than 4 GiB in one directory reads as damaged.
    let length = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
    out[at..at + 4].copy_from_slice(&length.to_le_bytes());
}

/// Reads from the start; none where something is damaged.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Checks a file; gives the number of its entries, and a reader of its blocks.
    pub(super) fn open(file: &'a [u8]) -> Option<(u64, Self)> {
        let (body, hash) = file.split_at_checked(file.len().checked_sub(HASH)?)?;
        if *body.first()? != VERSION || blake3::hash(body).as_bytes() != hash {
            return None;
        }
        let mut reader = Self { bytes: body, at: 1 };
        Some((reader.number()?, reader))
    }

    /// The entries of a block, up to one that is damaged.
    pub(super) fn entries(bytes: &'a [u8]) -> impl Iterator<Item = Entry<'a>> {
        let mut reader = Self { bytes, at: 0 };
        std::iter::from_fn(move || reader.entry())
    }

    /// The next block.
    pub(super) fn block(&mut self) -> Option<Block> {
        Some(Block { path: self.range()?, entries: self.range()? })
    }

    fn entry(&mut self) -> Option<Entry<'a>> {
        let length = usize::from(*self.take(1)?.first()?);
        let name = self.take(length)?;
        let stamp = Stamp {
            size: self.number()?,
            mtime: self.number()?.cast_signed(),
            ctime: self.number()?.cast_signed(),
            inode: self.number()?,
            device: self.number()?,
        };
        let hash = self.take(HASH)?.first_chunk()?;
        Some(Entry { name, stamp, hash, xattrs: Attributes::Written(self.sized()?) })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.take(8)?.first_chunk()?))
    }

    fn range(&mut self) -> Option<Range<usize>> {
        let length = u32::from_le_bytes(*self.take(4)?.first_chunk()?);
        let start = self.at;
        self.take(usize::try_from(length).ok()?)?;
        Some(start..self.at)
    }

    fn sized(&mut self) -> Option<&'a [u8]> {
        let range = self.range()?;
        self.bytes.get(range)
    }
}
