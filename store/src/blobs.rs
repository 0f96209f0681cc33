//! Blobs: where their bytes are, and how they come in.
//!
//! A blob has at most one copy of its own: inline in the database when it is tiny, in a pack when it is small, else a
//! file. Further copies lie inside layer directories. A location row counts only while its layer's directory does, so nothing has to be cleaned up when
//! a directory goes. Bytes are hashed while they are written; nothing is stored under a digest that it does not have.

use std::cell::Cell;
use std::fs;
use std::io::{self, Read, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use farm_model::encoding::Malformed;
use farm_model::{BlobDigest, LayerDigest};

use crate::database::{Table, read_value, value};
use crate::durability::{Fresh, Kind};
use crate::error::Context;
use crate::layout::Draft;
use crate::packs::{PACKED_BYTES, Slot};
use crate::work::Thing;
use crate::{Error, Store};

/// The largest blob that is kept in the database itself.
pub(crate) const INLINE_BYTES: usize = 512;
const BUFFER_BYTES: usize = 128 << 10;

const INLINE: u8 = 0;
const FILE: u8 = 1;
const PACK: u8 = 2;

thread_local! {
    /// Where a blob that may be small is read to; kept, since fresh memory costs more than the read.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// How the store holds a copy of its own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Own {
    Inline(Vec<u8>),
    Pack(Slot),
    File,
}

/// Where a copy of a blob lies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    Inline(Vec<u8>),
    Pack(Slot),
    File(PathBuf),
    Layer { layer: LayerDigest, path: Vec<u8> },
}

impl Store {
    /// Whether some copy of `blob` is here. The empty blob always is.
    pub fn contains(&self, blob: &BlobDigest) -> Result<bool, Error> {
        let key = blob_key(blob);
        self.core.touched.touch(Thing::Blob, &blob.hash);
        Ok(blob.size == 0
            || self.core.database.has(Table::Blobs, &key)?
            || !self.layer_places(&key)?.is_empty())
    }

    /// Stores the bytes of `reader` and names them. With a `limit`, more bytes than that are refused.
    pub fn ingest(&self, reader: &mut dyn Read, limit: Option<u64>) -> Result<BlobDigest, Error> {
        self.take_in(reader, limit.unwrap_or(u64::MAX), None)
    }

    /// Stores the bytes of `reader` if they are `expected`, else nothing and [`Error::Mismatch`].
    pub fn ingest_expected(&self, reader: &mut dyn Read, expected: &BlobDigest) -> Result<(), Error> {
        self.take_in(reader, expected.size, Some(expected)).map(drop)
    }

    fn take_in(
        &self,
        reader: &mut dyn Read,
        limit: u64,
        expected: Option<&BlobDigest>,
    ) -> Result<BlobDigest, Error> {
        let mut buffer = BUFFER.take();
        buffer.resize(PACKED_BYTES + 1, 0);
        let taken = self.take_in_through(&mut buffer, reader, limit, expected);
        BUFFER.set(buffer);
        taken
    }

    fn take_in_through(
        &self,
        buffer: &mut [u8],
        reader: &mut dyn Read,
        limit: u64,
        expected: Option<&BlobDigest>,
    ) -> Result<BlobDigest, Error> {
        let count = fill(buffer, reader)?;
        let start = &buffer[..count];
        if count < buffer.len() {
            let blob = BlobDigest::of(start);
            check(&blob, limit, expected)?;
            if !self.has_already(&blob, expected)? {
                self.keep_small(&blob, start)?;
            }
            return Ok(blob);
        }
        let mut draft = Draft::create(self.core.layout.temporary("blob"))?;
        let blob = write_hashed(&mut start.chain(reader), &mut draft, limit, expected)?;
        check(&blob, limit, expected)?;
        if !self.has_already(&blob, expected)? {
            self.keep_file(&blob, draft)?;
        }
        Ok(blob)
    }

    /// Whether a blob that came needs no keeping. Whoever expected it has found it missing before, so that only another
    /// who brought it meanwhile counts.
    fn has_already(&self, blob: &BlobDigest, expected: Option<&BlobDigest>) -> Result<bool, Error> {
        match expected {
            Some(_) => Ok(blob.size == 0 || self.core.database.has(Table::Blobs, &blob_key(blob))?),
            None => self.contains(blob),
        }
    }

    /// Keeps the bytes of a blob that needs no file of its own.
    pub(crate) fn keep_small(&self, blob: &BlobDigest, bytes: &[u8]) -> Result<(), Error> {
        if bytes.len() > INLINE_BYTES {
            return self.core.packs.keep(&self.core, blob, bytes);
        }
        self.core.database.put(Table::Blobs, &blob_key(blob), &inline_row(bytes))
    }

    /// Gives a complete file its place among the blob files and records it.
    pub(crate) fn keep_file(&self, blob: &BlobDigest, draft: Draft) -> Result<(), Error> {
        draft.keep_as(&self.core.layout.blob(blob))?;
        let key = blob_key(blob);
        let mut batch = self.core.database.batch();
        batch.put(Table::Blobs, &key, &file_row());
        self.core.durability.record(batch, vec![Fresh::new(Kind::Blob, &key)], blob.size)
    }

    /// Gives a file inside a layer a second name among the blob files: for a layer directory that is about to go.
    pub(crate) fn rescue_file(&self, blob: &BlobDigest, path: &Path) -> Result<(), Error> {
        let to = self.core.layout.blob(blob);
        // Whatever lies there is in no record, or the caller would not have to save this one.
        if to.symlink_metadata().is_ok() {
            self.throw_away(&to)?;
        }
        fs::hard_link(path, &to).while_doing("link", &to)?;
        let key = blob_key(blob);
        let mut batch = self.core.database.batch();
        batch.put(Table::Blobs, &key, &file_row());
        self.core.durability.record(batch, vec![Fresh::new(Kind::Blob, &key)], blob.size)
    }

    /// Every place of `blob`, the cheapest to read first.
    pub(crate) fn places(&self, blob: &BlobDigest) -> Result<Vec<Place>, Error> {
        let key = blob_key(blob);
        let mut places = Vec::new();
        if blob.size == 0 {
            places.push(Place::Inline(Vec::new()));
        }
        if let Some(row) = self.core.database.get(Table::Blobs, &key)? {
            places.push(match read_row(&row)? {
                Own::Inline(bytes) => Place::Inline(bytes),
                Own::Pack(slot) => Place::Pack(slot),
                Own::File => Place::File(self.core.layout.blob(blob)),
            });
        }
        places.extend(self.layer_places(&key)?);
        Ok(places)
    }

    fn layer_places(&self, key: &[u8]) -> Result<Vec<Place>, Error> {
        let mut places = Vec::new();
        for (row, path) in self.core.database.rows(Table::Locations, key)? {
            let Ok(layer) = <[u8; 32]>::try_from(&row[key.len()..]) else {
                continue;
            };
            let layer = LayerDigest(layer);
            if self.core.directories.has(&layer) {
                let path = read_value(Table::Locations, &path, |d| d.bytes().map(<[u8]>::to_vec))?;
                places.push(Place::Layer { layer, path });
            }
        }
        Ok(places)
    }

    /// The path of a file inside a layer directory.
    pub(crate) fn path_in_layer(&self, layer: &LayerDigest, path: &[u8]) -> PathBuf {
        self.core.layout.layer(layer).join(std::ffi::OsStr::from_bytes(path))
    }
}

/// The key of a blob: its hash, then its size.
pub(crate) fn blob_key(blob: &BlobDigest) -> [u8; 40] {
    let mut key = [0; 40];
    key[..32].copy_from_slice(&blob.hash);
    key[32..].copy_from_slice(&blob.size.to_le_bytes());
    key
}

/// The blob of a key.
pub(crate) fn blob_of_key(key: &[u8]) -> Option<BlobDigest> {
    let (hash, size) = key.split_first_chunk::<32>()?;
    Some(BlobDigest { hash: *hash, size: u64::from_le_bytes(size.try_into().ok()?) })
}

/// The row that says where a layer holds a blob.
pub(crate) fn location_row(blob: &BlobDigest, layer: &LayerDigest, path: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut row = value();
    row.bytes(path);
    ([blob_key(blob).as_slice(), layer.as_bytes()].concat(), row.into_bytes())
}

pub(crate) fn inline_row(bytes: &[u8]) -> Vec<u8> {
    let mut row = value();
    row.u8(INLINE).bytes(bytes);
    row.into_bytes()
}

fn file_row() -> Vec<u8> {
    let mut row = value();
    row.u8(FILE);
    row.into_bytes()
}

/// The row of a blob in a pack.
pub(crate) fn pack_row(slot: Slot) -> Vec<u8> {
    let mut row = value();
    row.u8(PACK).u64(slot.pack).u64(slot.offset);
    row.into_bytes()
}

pub(crate) fn read_row(row: &[u8]) -> Result<Own, Error> {
    read_value(Table::Blobs, row, |decoder| match decoder.u8()? {
        INLINE => decoder.bytes().map(|bytes| Own::Inline(bytes.to_vec())),
        FILE => Ok(Own::File),
        PACK => Ok(Own::Pack(Slot { pack: decoder.u64()?, offset: decoder.u64()? })),
        _ => Err::<_, Malformed>(decoder.malformed("a blob is neither inline nor in a pack nor a file")),
    })
}

/// Reads until `buffer` is full or nothing more comes; says how much came.
pub(crate) fn fill(buffer: &mut [u8], reader: &mut dyn Read) -> Result<usize, Error> {
    let mut count = 0;
    while count < buffer.len() {
        match reader.read(&mut buffer[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Source(error)),
        }
    }
    Ok(count)
}

/// Copies `reader` to `draft`; stops as soon as there are more than `limit` bytes.
pub(crate) fn write_hashed(
    reader: &mut dyn Read,
    draft: &mut Draft,
    limit: u64,
    expected: Option<&BlobDigest>,
) -> Result<BlobDigest, Error> {
    let mut hasher = blake3::Hasher::new();
    let mut size = 0u64;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::Source(error)),
        };
        size += count as u64;
        if size > limit {
            return Err(too_many(limit, expected));
        }
        hasher.update(&buffer[..count]);
        let written = draft.file().write_all(&buffer[..count]);
        written.while_doing("write", draft.path())?;
    }
    Ok(BlobDigest { hash: *hasher.finalize().as_bytes(), size })
}

pub(crate) fn check(blob: &BlobDigest, limit: u64, expected: Option<&BlobDigest>) -> Result<(), Error> {
    match expected {
        Some(expected) if expected != blob => Err(Error::Mismatch { expected: *expected }),
        None if blob.size > limit => Err(Error::TooLarge { limit }),
        _ => Ok(()),
    }
}

fn too_many(limit: u64, expected: Option<&BlobDigest>) -> Error {
    match expected {
        Some(expected) => Error::Mismatch { expected: *expected },
        None => Error::TooLarge { limit },
    }
}
