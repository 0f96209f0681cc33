//! What belongs to the border: OCI blobs by sha256, base layers by chain id, packed forms, images and tags.
//!
//! The store does not look into any of it.

mod verified;

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::PathBuf;
use std::sync::PoisonError;

use farm_model::encoding::{Decoder, Encoder};
use farm_model::result::LayerRef;
use farm_model::{LayerDigest, OciDigest};
use sha2::{Digest, Sha256};

use crate::database::{Table, Write, read_value, value};
use crate::durability::{Durability, Fresh, Kind};
use crate::error::Context;
use crate::layout::Draft;
use crate::steps::{decode_layer, encode_layer};
use crate::work::Thing;
use crate::{Error, Store};

pub use verified::VerifiedOciBlob;

const BUFFER_BYTES: usize = 128 << 10;

/// A layer as a registry holds it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packed {
    /// Digest of the compressed bytes.
    pub digest: OciDigest,
    /// How many of them there are.
    pub size: u64,
    /// Digest of the tar inside.
    pub diff_id: OciDigest,
}

/// What a registry answered for a tag.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tag {
    /// The answer, in the caller's encoding.
    pub bytes: Vec<u8>,
    /// When, in nanoseconds since the Unix epoch.
    pub time: i64,
}

/// Hashes what is written to it; nothing is stored before [`OciWriter::finish`].
pub struct OciWriter {
    store: Store,
    draft: Draft,
    hasher: Sha256,
    size: u64,
}

impl Store {
    /// The size of an OCI blob, when it is here.
    pub fn has_oci_blob(&self, digest: &OciDigest) -> Result<Option<u64>, Error> {
        self.core.touched.touch(Thing::Oci, &digest.0);
        let Some(row) = self.core.database.get(Table::OciBlobs, &digest.0)? else {
            return Ok(None);
        };
        let size = read_value(Table::OciBlobs, &row, Decoder::u64)?;
        self.oci_used(digest)?;
        let path = self.core.layout.oci(digest);
        if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.len() == size) {
            return Ok(Some(size));
        }
        tracing::warn!(%digest, "an OCI blob is missing or has another size");
        self.forget_oci_blob(digest)?;
        Ok(None)
    }

    /// Where the bytes of an OCI blob are, when they are here.
    pub fn oci_blob_path(&self, digest: &OciDigest) -> Result<Option<PathBuf>, Error> {
        let present = self.has_oci_blob(digest)?;
        Ok(present.map(|_| self.core.layout.oci(digest)))
    }

    /// All bytes of an OCI blob, verified; one that is damaged is moved aside and counts as absent.
    pub fn read_oci_blob(&self, digest: &OciDigest, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(size) = self.has_oci_blob(digest)? else {
            return Ok(None);
        };
        if size > limit {
            return Err(Error::TooLarge { limit });
        }
        let path = self.core.layout.oci(digest);
        let bytes = fs::read(&path).while_doing("read", &path)?;
        if <[u8; 32]>::from(Sha256::digest(&bytes)) == digest.0 {
            return Ok(Some(bytes));
        }
        self.quarantine_oci_blob(digest)?;
        Ok(None)
    }

    /// Moves a damaged OCI blob aside.
    pub fn quarantine_oci_blob(&self, digest: &OciDigest) -> Result<(), Error> {
        tracing::warn!(%digest, "a damaged OCI blob is moved aside");
        let path = self.core.layout.oci(digest);
        if fs::symlink_metadata(&path).is_ok() {
            self.core.layout.set_aside(&path, "oci")?;
        }
        self.forget_oci_blob(digest)
    }

    /// Stores the bytes of `reader` if their sha256 is `expected` and they are no more than `limit`; returns their
    /// number.
    pub fn ingest_oci_blob(
        &self,
        reader: &mut dyn Read,
        expected: &OciDigest,
        limit: u64,
    ) -> Result<u64, Error> {
        let mut writer = self.oci_writer()?;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::Source(error)),
            };
            if writer.size + count as u64 > limit {
                return Err(Error::TooLarge { limit });
            }
            writer.append(&buffer[..count])?;
        }
        writer.finish_as(Some(expected)).map(|(_, size)| size)
    }

    /// Stores an OCI blob whose digest is not known before it is written.
    pub fn oci_writer(&self) -> Result<OciWriter, Error> {
        Ok(OciWriter {
            store: self.clone(),
            draft: Draft::create(self.core.layout.temporary("oci"))?,
            hasher: Sha256::new(),
            size: 0,
        })
    }

    /// The layer of the base image whose chain id is `chain_id`, while it is complete.
    pub fn base_layer(&self, chain_id: &OciDigest) -> Result<Option<LayerRef>, Error> {
        let Some(row) = self.core.database.get(Table::BaseLayers, &chain_id.0)? else {
            return Ok(None);
        };
        let layer = read_value(Table::BaseLayers, &row, decode_layer)?;
        self.layer_used(&layer.digest)?;
        Ok(self.is_complete(&layer.digest)?.then_some(layer))
    }

    /// Records what a base layer was unpacked to. The layer must be complete.
    pub fn put_base_layer(&self, chain_id: &OciDigest, layer: &LayerRef) -> Result<(), Error> {
        if !self.is_complete(&layer.digest)? {
            return Err(Error::IncompleteLayer(layer.digest));
        }
        let mut row = value();
        encode_layer(&mut row, layer);
        let _turn = self.core.steps.lock().unwrap_or_else(PoisonError::into_inner);
        self.core.database.put(Table::BaseLayers, &chain_id.0, row.as_bytes())
    }

    /// The form of `layer` under the caller's `codec` key. Whether its bytes are here is another question: those of a
    /// base layer may be at its registry only.
    pub fn packed(&self, layer: &LayerDigest, codec: &str) -> Result<Option<Packed>, Error> {
        let row = self.core.database.get(Table::Packed, &packed_key(layer, codec))?;
        row.map(|row| decode_packed(&row).map(|(_, packed)| packed)).transpose()
    }

    /// Every known form of `layer`, with its codec key.
    pub fn packed_forms(&self, layer: &LayerDigest) -> Result<Vec<(String, Packed)>, Error> {
        let rows = self.core.database.rows(Table::Packed, layer.as_bytes())?;
        rows.iter().map(|(_, row)| decode_packed(row)).collect()
    }

    /// Records a packed form.
    pub fn put_packed(&self, layer: &LayerDigest, codec: &str, packed: &Packed) -> Result<(), Error> {
        let mut row = value();
        row.str(codec).raw(&packed.digest.0).u64(packed.size).raw(&packed.diff_id.0);
        self.core.database.put(Table::Packed, &packed_key(layer, codec), row.as_bytes())
    }

    /// Records an image under its name, in the caller's encoding.
    pub fn put_image(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.core.database.put(Table::Images, name.as_bytes(), bytes)
    }

    /// What was recorded for an image.
    pub fn image(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.core.database.get(Table::Images, name.as_bytes())
    }

    /// Every image, by name.
    pub fn images(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let rows = self.core.database.rows(Table::Images, &[])?;
        let named = rows.into_iter().filter_map(|(name, bytes)| {
            let name = String::from_utf8(name.into_vec()).ok()?;
            Some((name, bytes.into_vec()))
        });
        Ok(named.collect())
    }

    /// Forgets an image's name; its layers stay.
    pub fn remove_image(&self, name: &str) -> Result<(), Error> {
        let mut batch = self.core.database.batch();
        batch.delete(Table::Images, name.as_bytes());
        batch.write(Write::Lazy)
    }

    /// Records what a registry answered for a reference.
    pub fn put_tag(&self, reference: &str, tag: &Tag) -> Result<(), Error> {
        let mut row = value();
        row.i64(tag.time).bytes(&tag.bytes);
        self.core.database.put(Table::Tags, reference.as_bytes(), row.as_bytes())
    }

    /// The last answer for a reference.
    pub fn tag(&self, reference: &str) -> Result<Option<Tag>, Error> {
        let Some(row) = self.core.database.get(Table::Tags, reference.as_bytes())? else {
            return Ok(None);
        };
        decode_tag(&row).map(Some)
    }

    /// What is remembered under names that begin like this.
    pub fn tags(&self, beginning: &str) -> Result<Vec<(String, Tag)>, Error> {
        let rows = self.core.database.rows(Table::Tags, beginning.as_bytes())?;
        let named =
            rows.into_iter().filter_map(|(name, row)| Some((String::from_utf8(name.into_vec()).ok()?, row)));
        named.map(|(name, row)| Ok((name, decode_tag(&row)?))).collect()
    }

    /// Forgets the answers for references that begin like this and of which `is_old`, given the reference and the time, says so.
    pub fn forget_tags(&self, beginning: &str, is_old: &dyn Fn(&str, i64) -> bool) -> Result<(), Error> {
        let mut batch = self.core.database.batch();
        for (key, row) in self.core.database.rows(Table::Tags, beginning.as_bytes())? {
            let time = decode_tag(&row)?.time;
            if std::str::from_utf8(&key).is_ok_and(|reference| is_old(reference, time)) {
                batch.delete(Table::Tags, &key);
            }
        }
        batch.write(Write::Lazy)
    }

    fn forget_oci_blob(&self, digest: &OciDigest) -> Result<(), Error> {
        let mut batch = self.core.database.batch();
        batch.delete(Table::OciBlobs, &digest.0);
        Durability::forget(&mut batch, &[Fresh::new(Kind::Oci, &digest.0)]);
        batch.write(Write::Lazy)
    }
}

impl OciWriter {
    /// Stores what was written and names it.
    pub fn finish(self) -> Result<(OciDigest, u64), Error> {
        self.finish_as(None)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        let written = self.draft.file().write_all(bytes);
        written.while_doing("write", self.draft.path())
    }

    fn finish_as(self, expected: Option<&OciDigest>) -> Result<(OciDigest, u64), Error> {
        let Self { store, draft, hasher, size } = self;
        let digest = OciDigest(hasher.finalize().into());
        if let Some(expected) = expected.filter(|expected| **expected != digest) {
            return Err(Error::OciMismatch { expected: *expected });
        }
        if store.has_oci_blob(&digest)?.is_some() {
            return Ok((digest, size));
        }
        draft.keep_as(&store.core.layout.oci(&digest))?;
        let mut row = value();
        row.u64(size);
        let mut batch = store.core.database.batch();
        batch.put(Table::OciBlobs, &digest.0, row.as_bytes());
        store.core.durability.record(batch, vec![Fresh::new(Kind::Oci, &digest.0)], size)?;
        Ok((digest, size))
    }
}

impl io::Write for OciWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let file: &mut File = self.draft.file();
        let count = file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.draft.file().flush()
    }
}

fn decode_tag(row: &[u8]) -> Result<Tag, Error> {
    read_value(Table::Tags, row, |decoder| {
        let time = decoder.i64()?;
        let bytes = decoder.bytes()?.to_vec();
        Ok(Tag { bytes, time })
    })
}

fn packed_key(layer: &LayerDigest, codec: &str) -> Vec<u8> {
    let mut key = Encoder::new();
    key.raw(layer.as_bytes()).str(codec);
    key.into_bytes()
}

pub(crate) fn decode_packed(row: &[u8]) -> Result<(String, Packed), Error> {
    read_value(Table::Packed, row, |decoder| {
        let codec = decoder.str()?.to_owned();
        let packed = Packed {
            digest: OciDigest(decoder.array()?),
            size: decoder.u64()?,
            diff_id: OciDigest(decoder.array()?),
        };
        Ok((codec, packed))
    })
}
