//! Whether there is room on the disk.

use crate::error::Context;
use crate::{Error, Store};

/// What the store itself needs to end what it has begun: its log, its tables, a batch of records.
const RESERVE_BYTES: u64 = 64 << 20;

/// Room on the store's file system, in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Space {
    /// What may still be written.
    pub free: u64,
    /// How large the file system is.
    pub total: u64,
}

impl Store {
    /// How much room there is.
    pub fn space(&self) -> Result<Space, Error> {
        let stat = rustix::fs::statvfs(self.root()).while_doing("ask for the free space of", self.root())?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Space { free: bytes(stat.f_bavail), total: bytes(stat.f_blocks) })
    }

    /// Fails with [`Error::LowSpace`] unless `needed` bytes can be stored: to be asked before work begins, so that a full
    /// disk is one clear error.
    pub fn check_space(&self, needed: u64) -> Result<(), Error> {
        let free = self.space()?.free;
        if free < needed.saturating_add(RESERVE_BYTES) {
            return Err(Error::LowSpace { root: self.root().to_owned(), free, needed });
        }
        Ok(())
    }
}
