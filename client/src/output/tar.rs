//! Reading the tars that a coordinator sends: ustar, with PAX headers where a field does not fit.
//!
//! Anything else is refused. Paths come out as tree paths, so that none of them can lead outside of where it is unpacked.

mod pax;

use std::io::{self, Read};

use farm_tree::{DeviceKind, Metadata, Mtime, path};
use tar::{EntryType, Header};

use crate::Error;
use crate::output::tar::pax::Pax;

const BLOCK: usize = 512;
/// Where the sum of a header stands in it.
const SUM: std::ops::Range<usize> = 148..156;
/// Attributes of a file may be many, and none is larger than Linux allows.
const MOST_PAX: u64 = 16 << 20;
const NANOS: i64 = 1_000_000_000;

/// An entry of an archive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Member {
    /// Tree path; that of the root is empty.
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) metadata: Metadata,
    /// Bytes of its content.
    pub(super) size: u64,
}

/// What an entry is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Directory,
    File,
    Symlink(Vec<u8>),
    /// Another name of the file at this tree path, which came before.
    HardLink(Vec<u8>),
    Device(DeviceKind),
}

/// Reads entries one after the other.
pub(super) struct TarReader<R> {
    input: R,
    /// Bytes of the last entry's content that were not read, and what fills its last block.
    left: u64,
    padding: u64,
}

impl<R: Read> TarReader<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, left: 0, padding: 0 }
    }

    /// The next entry; none after the last. What was not read of the one before is skipped.
    pub(super) fn next(&mut self) -> Result<Option<Member>, Error> {
        let mut pax = Pax::default();
        loop {
            self.skip()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let stated = header.size().map_err(bad)?;
            if header.entry_type() != EntryType::XHeader {
                let size = pax.size.unwrap_or(stated);
                self.expect(size);
                return member(&header, pax, size).map(Some);
            }
            if stated > MOST_PAX {
                return Err(Error::Archive(format!("an extended header has {stated} bytes")));
            }
            self.expect(stated);
            let mut records = Vec::new();
            self.copy(|content| content.read_to_end(&mut records), bad)?;
            pax = Pax::parse(&records)?;
        }
    }

    /// Hands the content of the last entry to `take`, which has to read all of it. What it fails with is what it writes
    /// to; an archive that breaks off is told apart.
    pub(super) fn copy<T>(
        &mut self,
        take: impl FnOnce(&mut dyn Read) -> io::Result<T>,
        failed: impl FnOnce(io::Error) -> Error,
    ) -> Result<T, Error> {
        let mut content = (&mut self.input).take(self.left);
        let taken = take(&mut content).map_err(|error| unwrapped(error, failed));
        self.left = content.limit();
        let taken = taken?;
        if self.left > 0 {
            return Err(Error::Archive("it ends in the middle of a file".to_owned()));
        }
        Ok(taken)
    }

    /// Reads to the end of the input.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        io::copy(&mut self.input, &mut io::sink()).map_err(|error| unwrapped(error, bad))?;
        Ok(())
    }

    fn expect(&mut self, size: u64) {
        self.left = size;
        let block = BLOCK as u64;
        self.padding = (block - size % block) % block;
    }

    fn skip(&mut self) -> Result<(), Error> {
        let count = self.left.saturating_add(self.padding);
        let skipped = io::copy(&mut (&mut self.input).take(count), &mut io::sink());
        if skipped.map_err(|error| unwrapped(error, bad))? < count {
            return Err(Error::Archive("it ends in the middle of a file".to_owned()));
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// The next header; none at the mark of the end.
    fn header(&mut self) -> Result<Option<Header>, Error> {
        let mut header = Header::new_old();
        self.input.read_exact(header.as_mut_bytes()).map_err(|error| unwrapped(error, bad))?;
        let bytes = header.as_bytes();
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let outside = bytes[..SUM.start].iter().chain(&bytes[SUM.end..]);
        let sum: u32 = outside.map(|byte| u32::from(*byte)).sum::<u32>() + 8 * u32::from(b' ');
        if header.cksum().map_err(bad)? != sum || header.as_ustar().is_none() {
            return Err(Error::Archive("a header is damaged".to_owned()));
        }
        Ok(Some(header))
    }
}

/// The failure of the input, where that is what it was.
fn unwrapped(error: io::Error, otherwise: impl FnOnce(io::Error) -> Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => otherwise(error),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it takes what `map_err` gives")]
fn bad(error: io::Error) -> Error {
    Error::Archive(error.to_string())
}

fn member(header: &Header, pax: Pax, size: u64) -> Result<Member, Error> {
    let old = header.as_old();
    let link = || pax.link.clone().unwrap_or_else(|| text_of(&old.linkname));
    let raw = pax.path.clone().unwrap_or_else(|| text_of(&old.name));
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of types is not ours and not closed")]
    let kind = match header.entry_type() {
        EntryType::Regular => Kind::File,
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symlink(link()),
        EntryType::Link => Kind::HardLink(tree_path(&link())?),
        EntryType::Fifo => Kind::Device(DeviceKind::Fifo),
        EntryType::Char => {
            let (major, minor) = numbers(header)?;
            Kind::Device(DeviceKind::Character { major, minor })
        }
        EntryType::Block => {
            let (major, minor) = numbers(header)?;
            Kind::Device(DeviceKind::Block { major, minor })
        }
        other => {
            return Err(Error::Archive(format!("an entry is of type {}", other.as_byte().escape_ascii())));
        }
    };
    if size > 0 && kind != Kind::File {
        return Err(Error::Archive(format!("`{}` has bytes and is no file", path::text(&raw))));
    }
    let id = |given: Option<u32>, stated: io::Result<u64>| match given {
        Some(id) => Ok(id),
        None => stated
            .map_err(bad)?
            .try_into()
            .map_err(|_| Error::Archive(format!("the owner of `{}` has no valid number", path::text(&raw)))),
    };
    let seconds = i64::try_from(header.mtime().map_err(bad)?).unwrap_or(i64::MAX);
    let mode = header.mode().map_err(bad)? & 0o7777;
    let metadata = Metadata {
        mode: u16::try_from(mode).expect("twelve bits fit"),
        uid: id(pax.uid, header.uid())?,
        gid: id(pax.gid, header.gid())?,
        mtime: Mtime(pax.mtime.unwrap_or(seconds.saturating_mul(NANOS))),
        xattrs: pax.xattrs,
    };
    Ok(Member { path: tree_path(&raw)?, kind, metadata, size })
}

/// Major and minor number of a device.
fn numbers(header: &Header) -> Result<(u32, u32), Error> {
    let number = |number: io::Result<Option<u32>>| number.map(Option::unwrap_or_default).map_err(bad);
    Ok((number(header.device_major())?, number(header.device_minor())?))
}

fn text_of(field: &[u8]) -> Vec<u8> {
    field.iter().copied().take_while(|byte| *byte != 0).collect()
}

fn tree_path(raw: &[u8]) -> Result<Vec<u8>, Error> {
    let names = path::names(raw).map_err(|error| Error::Archive(error.to_string()))?;
    Ok(names.join(&b'/'))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A member of a test's archive, with the path as it is to be written.
    pub(in crate::output) fn member(path: &str, kind: Kind, content: &str) -> (Member, String) {
        let metadata = Metadata { mode: 0o644, ..Metadata::default() };
        (Member { path: path.into(), kind, metadata, size: content.len() as u64 }, content.to_owned())
    }

    /// An archive that holds `members`.
    pub(in crate::output) fn archive(members: &[(Member, String)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (member, content) in members {
            let mut pax = Vec::new();
            for (name, value) in &member.metadata.xattrs {
                let body = [b" SCHILY.xattr.", &name[..], b"=", value, b"\n"].concat();
                let length = body.len() + 2;
                pax.extend(length.to_string().as_bytes());
                pax.extend(body);
                assert!((10..100).contains(&length));
            }
            if !pax.is_empty() {
                put(&mut out, b"pax", EntryType::XHeader, &Metadata::default(), b"", &pax);
            }
            let (kind, link) = match &member.kind {
                Kind::Directory => (EntryType::Directory, &b""[..]),
                Kind::File => (EntryType::Regular, &b""[..]),
                Kind::Symlink(target) => (EntryType::Symlink, &target[..]),
                Kind::HardLink(target) => (EntryType::Link, &target[..]),
                Kind::Device(_) => (EntryType::Fifo, &b""[..]),
            };
            put(&mut out, &member.path, kind, &member.metadata, link, content.as_bytes());
        }
        out.extend([0; 2 * BLOCK]);
        out
    }

    fn put(
        out: &mut Vec<u8>,
        name: &[u8],
        kind: EntryType,
        metadata: &Metadata,
        link: &[u8],
        content: &[u8],
    ) {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        header.set_entry_type(kind);
        header.set_mode(u32::from(metadata.mode));
        header.set_uid(u64::from(metadata.uid));
        header.set_gid(u64::from(metadata.gid));
        header.set_mtime(u64::try_from(metadata.mtime.0 / NANOS).unwrap());
        header.set_size(content.len() as u64);
        header.set_cksum();
        out.extend(header.as_bytes());
        out.extend(content);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }

    #[test]
    fn entries_come_out_as_they_went_in() {
        let mut file = member("a/b", Kind::File, "hello");
        file.0.metadata.xattrs.insert(b"user.x".to_vec(), b"two\nlines\0".to_vec());
        let members =
            [member("a", Kind::Directory, ""), file, member("c", Kind::HardLink(b"a/b".to_vec()), "")];
        let bytes = archive(&members);
        let mut reader = TarReader::new(&bytes[..]);
        let mut found = Vec::new();
        while let Some(member) = reader.next().unwrap() {
            found.push(member);
        }
        assert_eq!(found, members.map(|(member, _)| member));
    }

    #[test]
    fn what_would_lead_outside_or_is_damaged_is_refused() {
        for path in ["../x", "a/../../x", "/../x"] {
            let bytes = archive(&[member(path, Kind::File, "x")]);
            assert!(TarReader::new(&bytes[..]).next().is_err(), "{path}");
        }
        let mut bytes = archive(&[member("a", Kind::File, "x")]);
        assert!(TarReader::new(&bytes[..100]).next().is_err());
        bytes[0] = b'b';
        assert!(TarReader::new(&bytes[..]).next().is_err());
    }
}
