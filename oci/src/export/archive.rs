//! The outer tar of layouts and docker archives: plain files, no times, no owners.

use std::io::{self, BufWriter, Read, Write};

use farm_tree::{Metadata, Mtime};

use crate::Error;
use crate::pack::HeaderWriter;

const BUFFER: usize = 1 << 20;

/// Writes entries in the order in which they are given.
pub(super) struct ArchiveWriter<'a> {
    out: BufWriter<&'a mut dyn Write>,
}

impl<'a> ArchiveWriter<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        Self { out: BufWriter::with_capacity(BUFFER, out) }
    }

    pub(super) fn directory(&mut self, name: &str) -> Result<(), Error> {
        self.headers().directory(name.as_bytes(), &Metadata::plain(0o755, Mtime(0))).map_err(failed)
    }

    pub(super) fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.stream(name, bytes.len() as u64, &mut &bytes[..])
    }

    pub(super) fn stream(&mut self, name: &str, size: u64, reader: &mut dyn Read) -> Result<(), Error> {
        let mut headers = self.headers();
        headers.file(name.as_bytes(), &Metadata::plain(0o644, Mtime(0)), size).map_err(failed)?;
        let copied = io::copy(&mut (&mut *reader).take(size), &mut headers.out).map_err(failed)?;
        // A blob says at its end whether it was intact.
        let more = reader.read(&mut [0]).map_err(failed)? as u64;
        if copied + more != size {
            return Err(Error::SizeMismatch {
                what: format!("`{name}`"),
                expected: size,
                actual: copied + more,
            });
        }
        headers.pad(size).map_err(failed)
    }

    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.headers().finish().map_err(failed)?;
        self.out.flush().map_err(failed)
    }

    fn headers(&mut self) -> HeaderWriter<'_> {
        HeaderWriter { out: &mut self.out, clamp: None }
    }
}

fn failed(source: io::Error) -> Error {
    Error::copying("write", "the archive")(source)
}
