//! Hashes a stream on a thread of its own: whoever makes the bytes reads and verifies blobs meanwhile.

use std::io::{self, Write};
use std::mem;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use farm_model::OciDigest;
use sha2::{Digest, Sha256};

/// Bytes that go to the thread at once.
const BLOCK: usize = 256 << 10;
/// How many blocks may wait.
const DEPTH: usize = 4;

/// Takes bytes and gives their digest.
pub(crate) struct Hashing {
    block: Vec<u8>,
    blocks: SyncSender<Vec<u8>>,
    /// Blocks that were hashed, to be filled again.
    used: Receiver<Vec<u8>>,
    size: u64,
    thread: JoinHandle<OciDigest>,
}

impl Hashing {
    pub(crate) fn start() -> Self {
        let (blocks, filled) = sync_channel::<Vec<u8>>(DEPTH);
        let (give_back, used) = sync_channel(DEPTH + 2);
        let thread = std::thread::spawn(move || {
            let mut hasher = Sha256::new();
            for mut block in filled {
                hasher.update(&block);
                block.clear();
                // Nobody takes blocks back once everything was sent.
                let _done = give_back.try_send(block);
            }
            OciDigest(hasher.finalize().into())
        });
        Self { block: Vec::with_capacity(BLOCK), blocks, used, size: 0, thread }
    }

    /// The digest, and how many bytes it is of.
    pub(crate) fn finish(mut self) -> io::Result<(OciDigest, u64)> {
        self.hand_over()?;
        drop(self.blocks);
        let digest = self.thread.join().map_err(|_| io::Error::other("the hashing thread panicked"))?;
        Ok((digest, self.size))
    }

    fn hand_over(&mut self) -> io::Result<()> {
        let next = self.used.try_recv().unwrap_or_else(|_| Vec::with_capacity(BLOCK));
        let block = mem::replace(&mut self.block, next);
        self.blocks.send(block).map_err(|_| io::Error::other("the hashing thread panicked"))
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.block.len() == BLOCK {
            self.hand_over()?;
        }
        let count = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_all_bytes_however_they_come() {
        let bytes: Vec<u8> = (0..3 * BLOCK + 17).map(|at| at.to_le_bytes()[at % 3]).collect();
        for pieces in [1, 1000, BLOCK, BLOCK + 1, bytes.len()] {
            let mut hashing = Hashing::start();
            for piece in bytes.chunks(pieces.max(100)) {
                hashing.write_all(piece).unwrap();
            }
            let (digest, size) = hashing.finish().unwrap();
            assert_eq!((digest.0, size), (Sha256::digest(&bytes).into(), bytes.len() as u64));
        }
        assert_eq!(Hashing::start().finish().unwrap().1, 0);
    }
}
