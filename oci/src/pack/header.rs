//! Header blocks: ustar, with a PAX header in front where a field does not fit.

use std::io::{self, Write};

use farm_tree::{Device, DeviceKind, Metadata, Mtime};
use tar::{EntryType, Header};

const BLOCK: u64 = 512;
const NANOS: i64 = 1_000_000_000;
/// Largest value of a seven digit octal field.
const MAX_ID: u32 = 0o777_7777;
/// Largest value of an eleven digit octal field.
const MAX_LARGE: u64 = 0o777_7777_7777;
const NAME: usize = 100;

/// Writes headers and padding to `out`.
pub(crate) struct HeaderWriter<'a> {
    pub(crate) out: &'a mut dyn Write,
    /// Later times become this one.
    pub(crate) clamp: Option<Mtime>,
}

impl HeaderWriter<'_> {
    pub(crate) fn directory(&mut self, path: &[u8], metadata: &Metadata) -> io::Result<()> {
        self.entry(path, metadata, EntryType::Directory, 0, b"", (0, 0))
    }

    pub(crate) fn file(&mut self, path: &[u8], metadata: &Metadata, size: u64) -> io::Result<()> {
        self.entry(path, metadata, EntryType::Regular, size, b"", (0, 0))
    }

    pub(crate) fn symlink(&mut self, path: &[u8], metadata: &Metadata, target: &[u8]) -> io::Result<()> {
        self.entry(path, metadata, EntryType::Symlink, 0, target, (0, 0))
    }

    pub(crate) fn hard_link(&mut self, path: &[u8], target: &[u8], metadata: &Metadata) -> io::Result<()> {
        self.entry(path, metadata, EntryType::Link, 0, target, (0, 0))
    }

    pub(crate) fn device(&mut self, path: &[u8], device: &Device) -> io::Result<()> {
        let (kind, numbers) = match device.kind {
            DeviceKind::Character { major, minor } => (EntryType::Char, (major, minor)),
            DeviceKind::Block { major, minor } => (EntryType::Block, (major, minor)),
            DeviceKind::Fifo => (EntryType::Fifo, (0, 0)),
        };
        self.entry(path, &device.metadata, kind, 0, b"", numbers)
    }

    /// Fills the last block of `size` bytes.
    pub(crate) fn pad(&mut self, size: u64) -> io::Result<()> {
        let missing = size.next_multiple_of(BLOCK) - size;
        let zeros = [0; 512];
        self.out.write_all(&zeros[..usize::try_from(missing).unwrap_or(0)])
    }

    /// The end mark.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.out.write_all(&[0; 1024])
    }

    fn entry(
        &mut self,
        path: &[u8],
        metadata: &Metadata,
        kind: EntryType,
        size: u64,
        link: &[u8],
        device: (u32, u32),
    ) -> io::Result<()> {
        let mut header = Header::new_ustar();
        let mut pax = Pax::default();
        let mtime = self.clamp.map_or(metadata.mtime, |clamp| metadata.mtime.min(clamp)).0;
        let seconds = u64::try_from(mtime.div_euclid(NANOS)).ok().filter(|seconds| *seconds <= MAX_LARGE);
        if seconds.is_none() || mtime.rem_euclid(NANOS) != 0 {
            pax.time(mtime);
        }
        pax.text(b"path", path, &mut header.as_old_mut().name);
        pax.text(b"linkpath", link, &mut header.as_old_mut().linkname);
        header.set_mode(u32::from(metadata.mode));
        header.set_uid(pax.id(b"uid", metadata.uid));
        header.set_gid(pax.id(b"gid", metadata.gid));
        header.set_mtime(seconds.unwrap_or(0));
        header.set_entry_type(kind);
        if size > MAX_LARGE {
            pax.record(b"size", size.to_string().as_bytes());
        }
        header.set_size(if size > MAX_LARGE { 0 } else { size });
        if device.0 > MAX_ID || device.1 > MAX_ID {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a device number does not fit into a tar",
            ));
        }
        header.set_device_major(device.0)?;
        header.set_device_minor(device.1)?;
        for (name, value) in &metadata.xattrs {
            pax.record(&[b"SCHILY.xattr.", &name[..]].concat(), value);
        }
        self.extended(path, &pax)?;
        header.set_cksum();
        self.out.write_all(header.as_bytes())
    }

    fn extended(&mut self, path: &[u8], pax: &Pax) -> io::Result<()> {
        if pax.0.is_empty() {
            return Ok(());
        }
        let mut header = Header::new_ustar();
        let last = farm_tree::path::name(path.strip_suffix(b"/").unwrap_or(path));
        let name = [b"PaxHeaders/", last].concat();
        let name = &name[..name.len().min(NAME)];
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_device_major(0)?;
        header.set_device_minor(0)?;
        header.set_entry_type(EntryType::XHeader);
        header.set_size(pax.0.len() as u64);
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(&pax.0)?;
        self.pad(pax.0.len() as u64)
    }
}

/// The records of a PAX header, in the order in which they are added.
#[derive(Default)]
struct Pax(Vec<u8>);

impl Pax {
    fn record(&mut self, key: &[u8], value: &[u8]) {
        // The length counts its own digits.
        let body = key.len() + value.len() + 3;
        let mut length = body + 1;
        while body + length.to_string().len() != length {
            length = body + length.to_string().len();
        }
        self.0.extend_from_slice(length.to_string().as_bytes());
        self.0.push(b' ');
        self.0.extend_from_slice(key);
        self.0.push(b'=');
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }

    /// Puts as much of `value` into `field` as fits, and all of it into a record when that is not everything.
    fn text(&mut self, key: &[u8], value: &[u8], field: &mut [u8; NAME]) {
        let fitting = value.len().min(NAME);
        field[..fitting].copy_from_slice(&value[..fitting]);
        if fitting < value.len() {
            self.record(key, value);
        }
    }

    fn id(&mut self, key: &[u8], id: u32) -> u64 {
        if id <= MAX_ID {
            return u64::from(id);
        }
        self.record(key, id.to_string().as_bytes());
        0
    }

    fn time(&mut self, nanos: i64) {
        let (seconds, fraction) =
            (nanos.unsigned_abs() / NANOS.unsigned_abs(), nanos.unsigned_abs() % NANOS.unsigned_abs());
        let sign = if nanos < 0 { "-" } else { "" };
        let text = format!("{sign}{seconds}.{fraction:09}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        self.record(b"mtime", text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_records_length_counts_itself() {
        for size in [1, 2, 3, 88, 89, 90, 91, 92, 93, 94, 990, 991, 992, 993, 994] {
            let mut pax = Pax::default();
            pax.record(b"k", &vec![b'v'; size]);
            let text = String::from_utf8(pax.0).unwrap();
            let stated: usize = text.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(stated, text.len());
        }
    }

    #[test]
    fn times_are_written_short() {
        let written = |nanos| {
            let mut pax = Pax::default();
            pax.time(nanos);
            String::from_utf8(pax.0).unwrap()
        };
        assert_eq!(written(1_500_000_000), "13 mtime=1.5\n");
        assert_eq!(written(-NANOS), "12 mtime=-1\n");
        assert_eq!(written(10 * NANOS), "12 mtime=10\n");
    }
}
