//! The packed form of a layer of the farm's own: made once, then remembered.

use std::io::{self, Write};
use std::sync::OnceLock;

use farm_model::OciDigest;
use farm_model::result::LayerRef;
use farm_store::{OciWriter, Packed, Store};

use super::chunks::{Chunked, Codec, Pool};
use super::{AssembleOptions, Compression, ImageLayer, Timestamps};
use crate::Error;
use crate::hashing::Hashing;
use crate::pack::{PACKER_VERSION, write_tar};

const GZIP_LEVEL: u8 = 6;
const ZSTD_LEVEL: u8 = 3;

impl AssembleOptions {
    fn codec(self) -> Option<Codec> {
        let level = |usual| self.level.unwrap_or(usual).min(self.compression.highest_level());
        match self.compression {
            Compression::Gzip => Some(Codec::Gzip { level: level(GZIP_LEVEL) }),
            Compression::Zstd => Some(Codec::Zstd { level: level(ZSTD_LEVEL) }),
            Compression::None => None,
        }
    }

    /// The name under which the store remembers the packed form.
    fn name(self) -> String {
        let name = match self.codec() {
            Some(Codec::Gzip { level }) => format!("gzip-{level}"),
            Some(Codec::Zstd { level }) => format!("zstd-{level}"),
            None => "plain".to_owned(),
        };
        format!("{name}{}", suffix(self.timestamps))
    }
}

/// The end of the name of every packed form that holds the same tar.
fn suffix(timestamps: Timestamps) -> String {
    match timestamps {
        Timestamps::Keep | Timestamps::Created(_) => format!("/{PACKER_VERSION}"),
        Timestamps::Rewrite(epoch) => format!("/{PACKER_VERSION}@{epoch}"),
    }
}

/// The packed form of a layer: remembered, or made now.
pub fn pack_layer(layer: &LayerRef, store: &Store, options: AssembleOptions) -> Result<Packed, Error> {
    pack(layer, store, options, &OnceLock::new())
}

/// As [`pack_layer`]. The threads of `pool` are made when there is something to pack.
pub(super) fn pack(
    layer: &LayerRef,
    store: &Store,
    options: AssembleOptions,
    pool: &OnceLock<Pool>,
) -> Result<Packed, Error> {
    let name = options.name();
    if let Some(known) = store.packed(&layer.digest, &name)?
        && store.has_oci_blob(&known.digest)?.is_some()
    {
        return Ok(known);
    }
    let tree = store.tree(&layer.digest)?.ok_or(Error::MissingLayer(layer.digest))?;
    let encoder = match options.codec() {
        Some(codec) => {
            Encoder::Chunked(Chunked::new(store.oci_writer()?, codec, pool.get_or_init(Pool::new)))
        }
        None => Encoder::None(store.oci_writer()?),
    };
    let mut out = Packer { hashing: Hashing::start(), encoder };
    write_tar(&tree, store, &mut out, options.timestamps.clamp())?;
    let (writer, diff_id) = out.finish().map_err(writing)?;
    let (digest, size) = writer.finish()?;
    let packed = Packed { digest, size, diff_id };
    store.put_packed(&layer.digest, &name, &packed)?;
    Ok(packed)
}

/// The digest of a layer's tar, when it was made before in whatever form.
pub(super) fn known_diff_id(
    layer: &ImageLayer,
    store: &Store,
    timestamps: Timestamps,
) -> Result<Option<OciDigest>, Error> {
    let layer = match layer {
        ImageLayer::Base { descriptor, .. } => return Ok(Some(descriptor.diff_id)),
        ImageLayer::Built(layer) => layer,
    };
    let suffix = suffix(timestamps);
    let forms = store.packed_forms(&layer.digest)?;
    Ok(forms.into_iter().find(|(name, _)| name.ends_with(&suffix)).map(|(_, packed)| packed.diff_id))
}

/// The digest of a layer's tar, which is made for it when it is not known.
pub(super) fn diff_id(layer: &ImageLayer, store: &Store, timestamps: Timestamps) -> Result<OciDigest, Error> {
    if let Some(known) = known_diff_id(layer, store, timestamps)? {
        return Ok(known);
    }
    let layer = layer.layer();
    let tree = store.tree(&layer.digest)?.ok_or(Error::MissingLayer(layer.digest))?;
    let mut out = Hashing::start();
    write_tar(&tree, store, &mut out, timestamps.clamp())?;
    let (digest, size) = out.finish().map_err(writing)?;
    // The uncompressed form is remembered without its bytes: whoever wants those makes them.
    let plain = AssembleOptions { compression: Compression::None, level: None, timestamps };
    store.put_packed(&layer.digest, &plain.name(), &Packed { digest, size, diff_id: digest })?;
    Ok(digest)
}

fn writing(source: io::Error) -> Error {
    Error::Io { action: "write", path: "the packed layer".into(), source }
}

/// Hashes the tar, compresses it and hands it on.
struct Packer<'a> {
    hashing: Hashing,
    encoder: Encoder<'a>,
}

enum Encoder<'a> {
    Chunked(Chunked<'a, OciWriter>),
    None(OciWriter),
}

impl Packer<'_> {
    fn finish(self) -> io::Result<(OciWriter, OciDigest)> {
        let writer = match self.encoder {
            Encoder::Chunked(encoder) => encoder.finish()?,
            Encoder::None(writer) => writer,
        };
        Ok((writer, self.hashing.finish()?.0))
    }
}

impl Write for Packer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = match &mut self.encoder {
            Encoder::Chunked(encoder) => encoder.write(bytes)?,
            Encoder::None(writer) => writer.write(bytes)?,
        };
        self.hashing.write_all(&bytes[..count])?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.encoder {
            Encoder::Chunked(encoder) => encoder.flush(),
            Encoder::None(writer) => writer.flush(),
        }
    }
}
