//! Compression on every core: a stream is cut into chunks, each is compressed by itself, and they are written in order.
//!
//! For gzip a chunk becomes a member (RFC 1952, section 2.2: a file is a series of members), for zstd a frame (RFC 8878,
//! section 3.1). Every decoder of layers reads such series: indexed formats such as eStargz consist of them. Where chunks end depends on the
//! bytes alone, so the result is the same on any number of cores. What it costs is the history at the start of each chunk,
//! about a hundredth of the size.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use libdeflater::{CompressionLvl, Compressor};

/// Bytes of a chunk for gzip, whose history is 32 KiB.
const GZIP_CHUNK: usize = 1 << 20;
/// Bytes of a chunk for zstd, whose history is as long as a chunk.
const ZSTD_CHUNK: usize = 4 << 20;

/// How chunks are compressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Codec {
    /// RFC 1952.
    Gzip {
        /// 0 to 9.
        level: u8,
    },
    /// RFC 8878.
    Zstd {
        /// 0 to 22; 0 is the usual one.
        level: u8,
    },
}

/// Threads that compress; they end with the value.
pub(super) struct Pool {
    jobs: Option<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

struct Job {
    codec: Codec,
    chunk: Vec<u8>,
    done: SyncSender<io::Result<Vec<u8>>>,
}

impl Pool {
    /// One thread a core.
    pub(super) fn new() -> Self {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let (jobs, waiting) = sync_channel::<Job>(count);
        let waiting = Arc::new(Mutex::new(waiting));
        let work = || {
            let waiting = Arc::clone(&waiting);
            std::thread::spawn(move || {
                let mut worker = Worker::default();
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(Job { codec, chunk, done }) = next else { return };
                    // Whoever gave the job up has gone; the next one counts.
                    let _ = done.send(worker.compress(codec, &chunk));
                }
            })
        };
        let threads = (0..count).map(|_| work()).collect();
        Self { jobs: Some(jobs), threads }
    }

    fn compress(&self, codec: Codec, chunk: Vec<u8>) -> io::Result<Receiver<io::Result<Vec<u8>>>> {
        let (done, result) = sync_channel(1);
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(Job { codec, chunk, done }).map_err(|_| gone())?;
        Ok(result)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // One that panicked has left its chunk without an answer, which somebody was told.
            let _ = thread.join();
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("a compressing thread has ended")
}

/// The tables of a thread, kept from chunk to chunk.
#[derive(Default)]
struct Worker {
    gzip: Option<(u8, Compressor)>,
    zstd: Option<(u8, zstd::bulk::Compressor<'static>)>,
}

impl Worker {
    fn compress(&mut self, codec: Codec, chunk: &[u8]) -> io::Result<Vec<u8>> {
        match codec {
            Codec::Gzip { level } => self.gzip(level, chunk),
            Codec::Zstd { level } => self.zstd(level, chunk),
        }
    }

    fn gzip(&mut self, level: u8, chunk: &[u8]) -> io::Result<Vec<u8>> {
        let known = self.gzip.take().filter(|(known, _)| *known == level);
        let (_, compressor) = if let Some(known) = known {
            self.gzip.insert(known)
        } else {
            let checked = CompressionLvl::new(i32::from(level))
                .map_err(|_| io::Error::other(format!("gzip has no level {level}")))?;
            self.gzip.insert((level, Compressor::new(checked)))
        };
        let mut member = vec![0; compressor.gzip_compress_bound(chunk.len())];
        let length = compressor.gzip_compress(chunk, &mut member).map_err(io::Error::other)?;
        member.truncate(length);
        Ok(member)
    }

    fn zstd(&mut self, level: u8, chunk: &[u8]) -> io::Result<Vec<u8>> {
        let known = self.zstd.take().filter(|(known, _)| *known == level);
        let (_, compressor) = match known {
            Some(known) => self.zstd.insert(known),
            None => self.zstd.insert((level, zstd::bulk::Compressor::new(i32::from(level))?)),
        };
        compressor.compress(chunk)
    }
}

/// A writer that compresses what it is given.
pub(super) struct Chunked<'a, W> {
    out: W,
    codec: Codec,
    pool: &'a Pool,
    filling: Vec<u8>,
    /// Chunks that are being compressed, in order.
    waiting: VecDeque<Receiver<io::Result<Vec<u8>>>>,
    begun: bool,
}

impl<'a, W: Write> Chunked<'a, W> {
    pub(super) fn new(out: W, codec: Codec, pool: &'a Pool) -> Self {
        Self { out, codec, pool, filling: Vec::new(), waiting: VecDeque::new(), begun: false }
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> io::Result<W> {
        // Nothing at all is a member as well.
        if !self.filling.is_empty() || !self.begun {
            self.hand_over()?;
        }
        while self.write_next()? {}
        Ok(self.out)
    }

    fn hand_over(&mut self) -> io::Result<()> {
        self.begun = true;
        let chunk = std::mem::take(&mut self.filling);
        self.waiting.push_back(self.pool.compress(self.codec, chunk)?);
        // As many as keep every thread busy while the oldest is written.
        while self.waiting.len() > 2 * self.pool.threads.len() {
            self.write_next()?;
        }
        Ok(())
    }

    fn write_next(&mut self) -> io::Result<bool> {
        let Some(result) = self.waiting.pop_front() else {
            return Ok(false);
        };
        let bytes = result.recv().map_err(|_| gone())??;
        self.out.write_all(&bytes)?;
        Ok(true)
    }
}

impl<W: Write> Write for Chunked<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = match self.codec {
            Codec::Gzip { .. } => GZIP_CHUNK,
            Codec::Zstd { .. } => ZSTD_CHUNK,
        };
        let taken = bytes.len().min(chunk - self.filling.len());
        self.filling.extend_from_slice(&bytes[..taken]);
        if self.filling.len() == chunk {
            self.hand_over()?;
        }
        Ok(taken)
    }

    /// Chunks are not cut short: what is whole is written when it is compressed.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn packed(codec: Codec, bytes: &[u8], step: usize) -> Vec<u8> {
        let pool = Pool::new();
        let mut writer = Chunked::new(Vec::new(), codec, &pool);
        for piece in bytes.chunks(step) {
            writer.write_all(piece).unwrap();
        }
        writer.finish().unwrap()
    }

    fn noise() -> Vec<u8> {
        (0..2_500_000_u32)
            .flat_map(|number| (number.wrapping_mul(2_654_435_761) >> 7).to_le_bytes())
            .collect()
    }

    #[test]
    fn chunks_are_one_stream_whatever_the_writes_were() {
        for (level, bytes) in [(1, noise()), (6, Vec::new()), (9, b"small".to_vec())] {
            let member = packed(Codec::Gzip { level }, &bytes, 100_000);
            assert_eq!(member, packed(Codec::Gzip { level }, &bytes, 4_000_000));
            let mut back = Vec::new();
            flate2::read::MultiGzDecoder::new(&member[..]).read_to_end(&mut back).unwrap();
            assert!(back == bytes);
            let frames = packed(Codec::Zstd { level }, &bytes, 65_536);
            assert!(zstd::decode_all(&frames[..]).unwrap() == bytes);
        }
    }
}
