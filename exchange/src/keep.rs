//! What happens to the items of an answer: each goes into the store if it is what its name says.

use std::io::Read;
use std::sync::Arc;

use farm_model::{BlobDigest, DirectoryDigest};
use farm_store::{Intake, Store};

use crate::{Error, MOST_RECORD_BYTES};

/// What became of an item.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kept {
    /// It is in the store, or will be when its answer is finished.
    Good,
    /// It is not what was asked for.
    Corrupt,
    /// It cannot be what was asked for, by its size; it is not worth reading.
    Absurd,
}

/// Keeps the items of answers, however many come at the same time.
pub(crate) type Keep<N> = Arc<dyn Keeper<N>>;

/// Keeps the items of answers. A function that does so for each item by itself is one.
pub(crate) trait Keeper<N>: Send + Sync + 'static {
    /// Begins with an answer.
    fn begin(&self) -> Box<dyn Keeping<N> + '_>;
}

/// Keeps the items of one answer.
pub(crate) trait Keeping<N> {
    /// Takes an item of that many bytes if it is what its name says.
    fn keep(&mut self, name: &N, size: u64, item: &mut dyn Read) -> Result<Kept, Error>;

    /// Has all good items in the store.
    fn finish(self: Box<Self>) -> Result<(), Error>;
}

impl<N: 'static, F> Keeper<N> for F
where
    F: Fn(&N, u64, &mut dyn Read) -> Result<Kept, Error> + Send + Sync + 'static,
{
    fn begin(&self) -> Box<dyn Keeping<N> + '_> {
        Box::new(Each(self))
    }
}

/// Items that are kept one by one.
struct Each<'a, F>(&'a F);

impl<N, F: Fn(&N, u64, &mut dyn Read) -> Result<Kept, Error>> Keeping<N> for Each<'_, F> {
    fn keep(&mut self, name: &N, size: u64, item: &mut dyn Read) -> Result<Kept, Error> {
        self.0(name, size, item)
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}

/// Keeps directory records.
pub(crate) fn keep_record(store: &Store) -> Keep<DirectoryDigest> {
    let store = store.clone();
    Arc::new(move |digest: &DirectoryDigest, size: u64, item: &mut dyn Read| {
        if size > MOST_RECORD_BYTES {
            return Ok(Kept::Absurd);
        }
        let Some(bytes) = whole(item) else { return Ok(Kept::Corrupt) };
        let good = store.put_record_bytes(digest, &bytes)?;
        Ok(if good { Kept::Good } else { Kept::Corrupt })
    })
}

/// Keeps contents; small ones are written together.
pub(crate) fn keep_blob(store: &Store) -> Keep<BlobDigest> {
    Arc::new(Blobs(store.clone()))
}

struct Blobs(Store);

impl Keeper<BlobDigest> for Blobs {
    fn begin(&self) -> Box<dyn Keeping<BlobDigest> + '_> {
        Box::new(Arriving(self.0.intake()))
    }
}

struct Arriving<'a>(Intake<'a>);

impl Keeping<BlobDigest> for Arriving<'_> {
    fn keep(&mut self, blob: &BlobDigest, size: u64, item: &mut dyn Read) -> Result<Kept, Error> {
        if size != blob.size {
            return Ok(Kept::Absurd);
        }
        match self.0.take(item, blob) {
            Ok(()) => Ok(Kept::Good),
            // The stream's own failure shows when the next item is read.
            Err(farm_store::Error::Mismatch { .. } | farm_store::Error::Source(_)) => Ok(Kept::Corrupt),
            Err(error) => Err(error.into()),
        }
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        Ok(self.0.finish()?)
    }
}

/// All bytes of an item, which come as they come: its announced size reserves nothing.
pub(crate) fn whole(item: &mut dyn Read) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    item.read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_contents_of_an_answer_are_written_together_and_without_those_that_are_others() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let keep = keep_blob(&store);
        let mut keeping = keep.begin();
        let contents: Vec<Vec<u8>> = (1..=20u8).map(|byte| vec![byte; 40 * usize::from(byte)]).collect();
        for bytes in &contents {
            let blob = BlobDigest::of(bytes);
            assert_eq!(
                keeping.keep(&blob, blob.size, &mut &vec![0; bytes.len()][..]).unwrap(),
                Kept::Corrupt
            );
            assert_eq!(keeping.keep(&blob, blob.size, &mut &bytes[..]).unwrap(), Kept::Good);
            assert!(!store.contains(&blob).unwrap(), "it waits for others");
        }
        keeping.finish().unwrap();
        for bytes in &contents {
            assert_eq!(store.read_blob(&BlobDigest::of(bytes), u64::MAX).unwrap(), *bytes);
        }
    }
}
