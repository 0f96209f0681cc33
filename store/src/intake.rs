//! Many blobs on their way in, small ones together: one write to a pack and one to the database for dozens of them.
//!
//! Nothing of what an [`Intake`] holds is in the store before [`Intake::finish`] or a full buffer; one that is dropped
//! without it loses what it held, and no row says otherwise.

use std::io::Read;

use farm_model::BlobDigest;

use crate::blobs::{INLINE_BYTES, blob_key, check, fill, inline_row};
use crate::database::{Batch, Table};
use crate::packs::PACKED_BYTES;
use crate::work::Thing;
use crate::{Error, Store};

/// What is written at once.
const BUFFER_BYTES: usize = 1 << 20;
/// And how many blobs at most: a prune looks for them by what was touched, not for ever.
const MOST_BLOBS: usize = 256;

/// Takes blobs whose digests are known and that were found missing.
pub struct Intake<'a> {
    store: &'a Store,
    /// Bytes of packed blobs, and room for one more.
    buffer: Vec<u8>,
    filled: usize,
    packed: Vec<BlobDigest>,
    inline: Batch<'a>,
    inlined: usize,
}

impl Store {
    /// Begins to take many blobs in.
    pub fn intake(&self) -> Intake<'_> {
        Intake {
            store: self,
            buffer: Vec::new(),
            filled: 0,
            packed: Vec::new(),
            inline: self.core.database.batch(),
            inlined: 0,
        }
    }
}

impl Intake<'_> {
    /// Takes the bytes of `reader` if they are `expected`, else nothing and [`Error::Mismatch`].
    pub fn take(&mut self, reader: &mut dyn Read, expected: &BlobDigest) -> Result<(), Error> {
        let small = usize::try_from(expected.size).ok().filter(|size| *size <= PACKED_BYTES);
        let Some(size) = small else {
            return self.store.ingest_expected(reader, expected);
        };
        if self.filled + size + 1 > BUFFER_BYTES || self.packed.len() + self.inlined >= MOST_BLOBS {
            self.write()?;
        }
        // A byte more than expected is a byte too many.
        let needed = self.filled + size + 1;
        if self.buffer.len() < needed {
            self.buffer.resize(needed, 0);
        }
        let room = &mut self.buffer[self.filled..=self.filled + size];
        let count = fill(room, reader)?;
        check(&BlobDigest::of(&room[..count]), expected.size, Some(expected))?;
        self.store.core.touched.touch(Thing::Blob, &expected.hash);
        if size == 0 {
            return Ok(());
        }
        if size <= INLINE_BYTES {
            self.inline.put(Table::Blobs, &blob_key(expected), &inline_row(&room[..count]));
            self.inlined += 1;
        } else if !self.store.core.database.has(Table::Blobs, &blob_key(expected))? {
            self.packed.push(*expected);
            self.filled += size;
        }
        Ok(())
    }

    /// Has everything that was taken in the store.
    pub fn finish(mut self) -> Result<(), Error> {
        self.write()
    }

    fn write(&mut self) -> Result<(), Error> {
        let core = &self.store.core;
        let batch = std::mem::replace(&mut self.inline, core.database.batch());
        let (filled, packed) = (std::mem::take(&mut self.filled), std::mem::take(&mut self.packed));
        self.inlined = 0;
        core.packs.keep_all(core, batch, &packed, &self.buffer[..filled])
    }
}
