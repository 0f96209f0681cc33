//! How the bytes of a blob come out, and what happens to a copy that is damaged.

use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek, Write as _};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use farm_model::BlobDigest;

use crate::blobs::{Own, Place, blob_key, read_row};
use crate::database::{Table, Write};
use crate::durability::{Durability, Fresh, Kind};
use crate::error::Context;
use crate::packs::Slot;
use crate::{Error, Store, handles};

const BUFFER_BYTES: usize = 128 << 10;
/// A disk whose reads differ from time to time must not keep a reader for ever.
const READ_TRIES: usize = 4;
/// A copy that keeps moving must not keep a reader for ever.
const OPEN_TRIES: usize = 4;

/// An open blob. Its size was checked, its hash was not: see [`VerifiedBlob`].
#[derive(Debug)]
pub struct Blob {
    size: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Inline(Cursor<Vec<u8>>),
    Pack {
        file: Arc<File>,
        /// Where it starts.
        offset: u64,
        /// How much of it was read.
        position: u64,
    },
    File {
        file: File,
        path: PathBuf,
    },
}

impl Blob {
    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The file that holds exactly its bytes, when they are in one.
    pub fn file(&self) -> Option<&File> {
        match &self.content {
            Content::Inline(_) | Content::Pack { .. } => None,
            Content::File { file, .. } => Some(file),
        }
    }

    /// Where that file was when it was opened.
    pub fn path(&self) -> Option<&Path> {
        match &self.content {
            Content::Inline(_) | Content::Pack { .. } => None,
            Content::File { path, .. } => Some(path),
        }
    }

    /// Makes `to`, an empty file, hold its bytes, shared where the file system can.
    fn copy_to(&self, to: &mut File) -> io::Result<Copied> {
        let hash = match &self.content {
            Content::Inline(bytes) => {
                to.write_all(bytes.get_ref())?;
                blake3::hash(bytes.get_ref())
            }
            Content::Pack { file, offset, .. } => handles::copy_hashed(file, *offset, self.size, to)?,
            Content::File { file, .. } if handles::share_bytes(file, to) => return Ok(Copied::Shared),
            Content::File { file, .. } => handles::copy_hashed(file, 0, self.size, to)?,
        };
        Ok(Copied::Hashed(hash))
    }
}

/// How the bytes of a blob came into a file.
enum Copied {
    /// Nothing was read, so nothing is known of them.
    Shared,
    /// This is the hash of what was written.
    Hashed(blake3::Hash),
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.content {
            Content::Inline(bytes) => bytes.read(buffer),
            Content::Pack { file, offset, position } => {
                let rest = usize::try_from(self.size - *position).unwrap_or(usize::MAX);
                let wanted = buffer.len().min(rest);
                let count = file.read_at(&mut buffer[..wanted], *offset + *position)?;
                *position += count as u64;
                Ok(count)
            }
            Content::File { file, .. } => file.read(buffer),
        }
    }
}

/// A blob that is hashed while it is read. If the bytes turn out to be others, the copy is moved aside and the read
/// that would have reported the end fails with [`io::ErrorKind::InvalidData`]: use nothing before the end was seen.
pub struct VerifiedBlob {
    store: Store,
    digest: BlobDigest,
    blob: Blob,
    hasher: blake3::Hasher,
    read: u64,
}

impl VerifiedBlob {
    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.digest.size
    }
}

impl Read for VerifiedBlob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.blob.read(buffer)?;
        if count > 0 || buffer.is_empty() {
            self.hasher.update(&buffer[..count]);
            self.read += count as u64;
            return Ok(count);
        }
        if self.read == self.digest.size && *self.hasher.finalize().as_bytes() == self.digest.hash {
            return Ok(0);
        }
        self.store.quarantine(&self.digest).map_err(io::Error::other)?;
        Err(io::Error::new(io::ErrorKind::InvalidData, Error::Corrupt(self.digest)))
    }
}

impl Store {
    /// Opens a copy of `blob`; [`Error::MissingBlob`] when there is none.
    pub fn open_blob(&self, blob: &BlobDigest) -> Result<Blob, Error> {
        // A copy may move while it is looked up; it has its new place before it leaves the old one.
        for _ in 0..OPEN_TRIES {
            let places = self.places(blob)?;
            if places.is_empty() {
                break;
            }
            if let Some(opened) = self.open_one_of(blob, places)? {
                return Ok(opened);
            }
        }
        Err(Error::MissingBlob(*blob))
    }

    fn open_one_of(&self, blob: &BlobDigest, places: Vec<Place>) -> Result<Option<Blob>, Error> {
        for place in places {
            let opened = match place {
                Place::Inline(bytes) => {
                    Some(Blob { size: blob.size, content: Content::Inline(Cursor::new(bytes)) })
                }
                Place::Pack(slot) => self.open_packed(blob, slot)?,
                Place::File(path) => self.open_blob_file(blob, path)?,
                Place::Layer { layer, path } => match self.layer_directory(&layer)? {
                    Some(root) => open_in_layer(blob, &root, &path)?,
                    None => None,
                },
            };
            if opened.is_some() {
                return Ok(opened);
            }
        }
        Ok(None)
    }

    /// Makes `to`, an empty file at `path`, hold the bytes of `blob`. What is copied is hashed on the way: a damaged copy is
    /// moved aside and the next one taken. Bytes that the file system shares are not read, and so not verified.
    pub(crate) fn copy_blob(&self, blob: &BlobDigest, to: &mut File, path: &Path) -> Result<(), Error> {
        for _ in 0..READ_TRIES {
            match self.open_blob(blob)?.copy_to(to).while_doing("copy to", path)? {
                Copied::Hashed(hash) if *hash.as_bytes() != blob.hash => {}
                Copied::Hashed(_) | Copied::Shared => return Ok(()),
            }
            to.set_len(0).and_then(|()| to.rewind()).while_doing("copy to", path)?;
            if !self.quarantine(blob)? {
                break;
            }
        }
        Err(Error::Corrupt(*blob))
    }

    /// Opens a copy of `blob` that checks itself while it is read: for bytes that leave the machine.
    pub fn open_verified(&self, blob: &BlobDigest) -> Result<VerifiedBlob, Error> {
        Ok(VerifiedBlob {
            store: self.clone(),
            digest: *blob,
            blob: self.open_blob(blob)?,
            hasher: blake3::Hasher::new(),
            read: 0,
        })
    }

    /// All bytes of `blob`, verified: for small files such as `/etc/passwd`.
    pub fn read_blob(&self, blob: &BlobDigest, limit: u64) -> Result<Vec<u8>, Error> {
        if blob.size > limit {
            return Err(Error::TooLarge { limit });
        }
        let mut bytes = Vec::new();
        // A damaged copy was moved aside by the first try; another one may be good.
        for _ in 0..READ_TRIES {
            bytes.clear();
            match self.open_verified(blob)?.read_to_end(&mut bytes) {
                Ok(_) => return Ok(bytes),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                Err(error) => return Err(error).while_doing("read a blob of", self.root()),
            }
        }
        Err(Error::Corrupt(*blob))
    }

    /// Hashes every copy of `blob` and moves aside those that are damaged; says whether a good one is left.
    pub fn quarantine(&self, blob: &BlobDigest) -> Result<bool, Error> {
        let mut good = false;
        for place in self.places(blob)? {
            match place {
                Place::Inline(bytes) if BlobDigest::of(&bytes) == *blob => good = true,
                Place::Inline(bytes) => self.forget_blob(blob, &Own::Inline(bytes))?,
                Place::Pack(slot) => {
                    if self.is_intact_in_pack(blob, slot)? {
                        good = true;
                    } else {
                        tracing::warn!(%blob, "a damaged blob in a pack is given up");
                        self.forget_blob(blob, &Own::Pack(slot))?;
                    }
                }
                Place::File(path) => {
                    if is_intact(&path, blob) {
                        good = true;
                    } else {
                        tracing::warn!(%blob, "a damaged blob was moved aside");
                        self.core.layout.set_aside(&path, "blob")?;
                        self.forget_blob(blob, &Own::File)?;
                    }
                }
                Place::Layer { layer, path } => {
                    if is_intact(&self.path_in_layer(&layer, &path), blob) {
                        good = true;
                    } else {
                        self.quarantine_layer(&layer)?;
                    }
                }
            }
        }
        Ok(good)
    }

    /// Opens a blob in a pack; none when the pack is gone or too short, and then it is forgotten.
    fn open_packed(&self, blob: &BlobDigest, slot: Slot) -> Result<Option<Blob>, Error> {
        let file = self.core.packs.file(slot.pack)?;
        let end = slot.offset.checked_add(blob.size);
        if let Some(file) = file
            && let Some(end) = end
            && file.metadata().while_doing("read", self.core.packs.path(slot.pack))?.len() >= end
        {
            let content = Content::Pack { file, offset: slot.offset, position: 0 };
            return Ok(Some(Blob { size: blob.size, content }));
        }
        self.forget_blob(blob, &Own::Pack(slot))?;
        Ok(None)
    }

    fn is_intact_in_pack(&self, blob: &BlobDigest, slot: Slot) -> Result<bool, Error> {
        let Some(mut opened) = self.open_packed(blob, slot)? else {
            return Ok(false);
        };
        let mut hasher = blake3::Hasher::new();
        let size = io::copy(&mut opened, &mut hasher).while_doing("read", self.core.packs.path(slot.pack))?;
        Ok(size == blob.size && *hasher.finalize().as_bytes() == blob.hash)
    }

    /// Opens a blob file; one that is gone or has another size is forgotten.
    fn open_blob_file(&self, blob: &BlobDigest, path: PathBuf) -> Result<Option<Blob>, Error> {
        let size = match File::open(&path) {
            Ok(file) => {
                let size = file.metadata().while_doing("read", &path)?.len();
                if size == blob.size {
                    let content = Content::File { file, path };
                    return Ok(Some(Blob { size, content }));
                }
                Some(size)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).while_doing("open", &path),
        };
        tracing::warn!(%blob, ?size, "a blob file is missing or has another size");
        if size.is_some() {
            self.core.layout.set_aside(&path, "blob")?;
        }
        self.forget_blob(blob, &Own::File)?;
        Ok(None)
    }

    /// Removes the row of a blob whose own copy, which was `seen`, is damaged or gone. A copy that somebody has brought since
    /// then stays.
    fn forget_blob(&self, blob: &BlobDigest, seen: &Own) -> Result<(), Error> {
        let key = blob_key(blob);
        let row = self.core.database.get(Table::Blobs, &key)?;
        let is_new_file = *seen == Own::File && self.core.layout.blob(blob).symlink_metadata().is_ok();
        if is_new_file || row.map(|row| read_row(&row)).transpose()?.as_ref() != Some(seen) {
            return Ok(());
        }
        tracing::warn!(%blob, "a copy of a blob is lost");
        let mut batch = self.core.database.batch();
        batch.delete(Table::Blobs, &key);
        Durability::forget(&mut batch, &[Fresh::new(Kind::Blob, &key)]);
        self.core.lose(batch, Write::Lazy)
    }
}

/// Opens a file inside a layer directory that can be trusted.
fn open_in_layer(blob: &BlobDigest, root: &Path, path: &[u8]) -> Result<Option<Blob>, Error> {
    let opened = handles::open_root(root).and_then(|root| handles::open_file(root, path));
    let file = match opened {
        Ok(file) => file,
        // The layer went away since it was looked up.
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error).while_doing("open a file of layer", root),
    };
    let size = file.metadata().while_doing("read a file of layer", root)?.len();
    if size != blob.size {
        return Ok(None);
    }
    let path = root.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path));
    let content = Content::File { file, path };
    Ok(Some(Blob { size, content }))
}

/// Whether the regular file at `path` has the bytes of `blob`.
pub(crate) fn is_intact(path: &Path, blob: &BlobDigest) -> bool {
    let is_file =
        fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == blob.size);
    is_file && File::open(path).is_ok_and(|mut file| has_bytes(&mut file, blob).unwrap_or(false))
}

/// Whether `file`, from its start, has the bytes of `blob`.
pub(crate) fn has_bytes(file: &mut File, blob: &BlobDigest) -> io::Result<bool> {
    file.rewind()?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut size = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                hasher.update(&buffer[..count]);
                size += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(size == blob.size && *hasher.finalize().as_bytes() == blob.hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_came_since_the_damaged_one_was_seen_is_not_forgotten() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        for size in [100, 5_000, 500_000] {
            let blob = store.ingest(&mut vec![1; size].as_slice(), None).unwrap();
            let others = [Own::Inline(vec![2]), Own::Pack(Slot { pack: 9, offset: 9 }), Own::File];
            for seen in others {
                store.forget_blob(&blob, &seen).unwrap();
                assert!(store.contains(&blob).unwrap(), "{size} bytes, {seen:?} was seen");
            }
        }
    }
}
