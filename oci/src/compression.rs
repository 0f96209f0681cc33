//! Compression of layers and archives: detection by content, and decoders under limits.
//!
//! Media types and file names are not believed. Decoders read several members or frames in a row, as all tools do.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// Not at all, or in no way that is known.
    Plain,
    /// RFC 1952.
    Gzip,
    /// bzip2.
    Bzip2,
    /// xz, not the older lzma.
    Xz,
    /// RFC 8878.
    Zstd,
}

/// How much an archive may hold. Whoever exceeds a limit gets an error that names it.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Uncompressed bytes of the whole archive, holes of sparse files included.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
    /// How many times larger than its compressed form an archive may be, once it is larger than [`RATIO_FROM`].
    pub ratio: u64,
}

/// Up to here no compression ratio is suspicious.
pub const RATIO_FROM: u64 = 2 << 30;
/// Memory that a decoder may take.
const DECODER_MEMORY: u64 = 256 << 20;
const BUFFER: usize = 128 << 10;

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 << 30, entries: 4_000_000, ratio: 200 }
    }
}

/// Tells a blocking reader to stop. Dropping the [`CancelGuard`] does it.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

/// Cancels when it is dropped: whoever waits for blocking work holds one.
#[derive(Debug)]
pub struct CancelGuard(Cancel);

impl Cancel {
    /// A guard for this token.
    pub fn guard(&self) -> CancelGuard {
        CancelGuard(self.clone())
    }

    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// What the first bytes of a stream say.
pub fn detect(start: &[u8]) -> Format {
    let skippable =
        start.len() >= 4 && (0x50..=0x5f).contains(&start[0]) && start[1..4] == [0x2a, 0x4d, 0x18];
    if start.starts_with(&[0x1f, 0x8b, 0x08]) {
        Format::Gzip
    } else if start.starts_with(b"BZh") {
        Format::Bzip2
    } else if start.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        Format::Xz
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) || skippable {
        Format::Zstd
    } else {
        Format::Plain
    }
}

/// Decompresses, counts and limits. Errors of kind [`io::ErrorKind::FileTooLarge`] mean that a limit was reached.
pub(crate) struct Decoder<'a> {
    inner: Box<dyn Read + 'a>,
    meter: Meter,
}

/// Holds what comes out of an archive against what went in.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    compressed: Arc<AtomicU64>,
    produced: u64,
    limits: Limits,
}

impl Meter {
    /// Counts `bytes` more. Fails with [`io::ErrorKind::FileTooLarge`] when they are more than a limit allows.
    pub(crate) fn add(&mut self, bytes: u64) -> io::Result<()> {
        self.produced = self.produced.saturating_add(bytes);
        let too_large = |text: String| Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        if self.produced > self.limits.bytes {
            return too_large(format!("it holds more than {} bytes", self.limits.bytes));
        }
        let compressed = self.compressed.load(Ordering::Relaxed).max(1);
        if self.produced > RATIO_FROM && self.produced / compressed > self.limits.ratio {
            let ratio = self.limits.ratio;
            return too_large(format!("what it holds is more than {ratio} times larger than itself"));
        }
        Ok(())
    }
}

/// Counts what is read through it.
pub(crate) struct Metered<'a, R> {
    pub(crate) inner: R,
    pub(crate) meter: &'a mut Meter,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.meter.add(count as u64)?;
        Ok(count)
    }
}

impl std::fmt::Debug for Decoder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("meter", &self.meter).finish_non_exhaustive()
    }
}

impl<'a> Decoder<'a> {
    /// A decoder for whatever `reader` holds.
    pub(crate) fn new(reader: impl Read + 'a, limits: &Limits, cancel: Cancel) -> io::Result<Self> {
        let compressed = Arc::new(AtomicU64::new(0));
        let counted = Counted { inner: reader, count: Arc::clone(&compressed), cancel };
        let mut buffered = BufReader::with_capacity(BUFFER, counted);
        let start = fill(&mut buffered)?;
        let inner: Box<dyn Read + 'a> = match detect(&start) {
            Format::Plain => Box::new(io::Cursor::new(start).chain(buffered)),
            Format::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(rejoin(start, buffered))),
            Format::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(rejoin(start, buffered))),
            Format::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(
                    DECODER_MEMORY,
                    liblzma::stream::CONCATENATED,
                )?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(rejoin(start, buffered), stream))
            }
            Format::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(rejoin(start, buffered))?),
        };
        Ok(Self { inner, meter: Meter { compressed, produced: 0, limits: limits.clone() } })
    }

    /// A meter of its own for what is made of the decoder's bytes: the holes of sparse files take none of them.
    pub(crate) fn meter(&self) -> Meter {
        Meter { produced: 0, ..self.meter.clone() }
    }
}

impl Read for Decoder<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.meter.add(count as u64)?;
        Ok(count)
    }
}

/// Enough of the start to tell formats apart; a pipe may deliver a byte at a time.
fn fill(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut start = Vec::with_capacity(8);
    reader.take(8).read_to_end(&mut start)?;
    Ok(start)
}

fn rejoin<R: BufRead>(start: Vec<u8>, rest: R) -> io::Chain<io::Cursor<Vec<u8>>, R> {
    io::Cursor::new(start).chain(rest)
}

struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
    cancel: Cancel,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the work was cancelled"));
        }
        let count = self.inner.read(buffer)?;
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn decode(bytes: &[u8], limits: &Limits) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Decoder::new(bytes, limits, Cancel::default())?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn what_takes_no_bytes_of_an_archive_counts_against_it_too() {
        let mut meter = Decoder::new(&b"tiny"[..], &Limits::default(), Cancel::default()).unwrap().meter();
        meter.add(RATIO_FROM).unwrap();
        assert_eq!(meter.add(1).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    fn compressed(format: Format, text: &[u8]) -> Vec<u8> {
        match format {
            Format::Plain => text.to_vec(),
            Format::Gzip => {
                let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                writer.write_all(text).unwrap();
                writer.finish().unwrap()
            }
            Format::Bzip2 => {
                let mut writer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                writer.write_all(text).unwrap();
                writer.finish().unwrap()
            }
            Format::Xz => {
                let mut writer = liblzma::write::XzEncoder::new(Vec::new(), 1);
                writer.write_all(text).unwrap();
                writer.finish().unwrap()
            }
            Format::Zstd => zstd::encode_all(text, 1).unwrap(),
        }
    }

    #[test]
    fn every_format_is_detected_and_read_also_in_several_members() {
        for format in [Format::Plain, Format::Gzip, Format::Bzip2, Format::Xz, Format::Zstd] {
            let mut bytes = compressed(format, b"hello ");
            assert_eq!(detect(&bytes), format);
            bytes.extend(compressed(format, b"world"));
            assert_eq!(decode(&bytes, &Limits::default()).unwrap(), b"hello world", "{format:?}");
        }
    }

    #[test]
    fn truncated_streams_fail() {
        for format in [Format::Gzip, Format::Bzip2, Format::Xz, Format::Zstd] {
            let bytes = compressed(format, &[b'x'; 1000]);
            assert!(decode(&bytes[..bytes.len() - 3], &Limits::default()).is_err(), "{format:?}");
        }
    }

    #[test]
    fn short_and_empty_streams_are_plain() {
        for text in [&b""[..], b"a", b"BZ"] {
            assert_eq!(decode(text, &Limits::default()).unwrap(), text);
        }
    }

    #[test]
    fn a_limit_stops_the_decoder() {
        let bytes = compressed(Format::Gzip, &vec![0; 1 << 20]);
        let limits = Limits { bytes: 1000, ..Limits::default() };
        assert_eq!(decode(&bytes, &limits).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_dropped_guard_stops_the_reader() {
        let cancel = Cancel::default();
        drop(cancel.guard());
        assert!(Decoder::new(&b"x"[..], &Limits::default(), cancel).is_err());
    }
}
