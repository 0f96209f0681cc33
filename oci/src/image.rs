//! Images on their way out: layers are packed, config and manifest follow from them.
//!
//! A base layer is never packed again: its descriptor and bytes stay what the registry gave. A layer of the farm's own is
//! packed once for each combination of compression and timestamps; the store remembers the result.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use farm_model::result::LayerRef;
use farm_model::{History, ImageConfig, OciDigest};
use farm_store::{Packed, Store};
use farm_tree::Mtime;

use crate::Error;
use crate::config::write_config;
use crate::manifest::{Descriptor, Manifest, PlatformJson, media};
use crate::resolved::{LayerDescriptor, sha256};

mod chunks;
mod packed;

use chunks::Pool;
pub use packed::pack_layer;
use packed::{diff_id, known_diff_id};

/// What a build made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Image {
    /// How to run it.
    pub config: ImageConfig,
    /// Its history, the base's included, oldest first.
    pub history: Vec<History>,
    /// Its layers, lowest first.
    pub layers: Vec<ImageLayer>,
}

/// A layer of an image.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "an image has tens of layers, and most are of the base")]
pub enum ImageLayer {
    /// Of the base: exported as it came.
    Base {
        /// Its compressed bytes.
        descriptor: LayerDescriptor,
        /// Its tree.
        layer: LayerRef,
    },
    /// Made by the farm.
    Built(LayerRef),
}

impl ImageLayer {
    /// The layer's tree.
    pub fn layer(&self) -> LayerRef {
        match self {
            Self::Base { layer, .. } | Self::Built(layer) => *layer,
        }
    }
}

/// How new layers are compressed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Compression {
    /// RFC 1952, which everything reads.
    #[default]
    Gzip,
    /// RFC 8878.
    Zstd,
    /// Not at all.
    None,
}

/// What `SOURCE_DATE_EPOCH` (seconds since the Unix epoch) does.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Timestamps {
    /// Times stay as they are.
    #[default]
    Keep,
    /// The image's creation time is this one, and nothing in its history is later.
    Created(i64),
    /// Also no file of a new layer is later.
    Rewrite(i64),
}

/// How an image is put together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AssembleOptions {
    /// Compression of new layers.
    pub compression: Compression,
    /// How hard it tries; none means the usual. What is above the highest level is taken for that.
    pub level: Option<u8>,
    /// Times of config and new layers.
    pub timestamps: Timestamps,
}

/// An image whose every blob is known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Assembled {
    /// The config's JSON; its digest is the image id.
    pub config: Vec<u8>,
    /// The manifest's JSON.
    pub manifest: Vec<u8>,
    /// What an index says of the manifest.
    pub descriptor: Descriptor,
    /// What the manifest says of the config.
    pub config_descriptor: Descriptor,
    /// The layers, lowest first; those of the farm's own are OCI blobs of the store, those of a base while they are kept.
    pub layers: Vec<LayerDescriptor>,
    /// When it was created, in nanoseconds since the epoch.
    pub created: Option<i64>,
}

impl Compression {
    fn media_type(self) -> &'static str {
        match self {
            Self::Gzip => media::OCI_LAYER_GZIP,
            Self::Zstd => media::OCI_LAYER_ZSTD,
            Self::None => media::OCI_LAYER,
        }
    }

    /// The highest level that makes sense; the lowest is 0.
    pub fn highest_level(self) -> u8 {
        match self {
            Self::Gzip => 9,
            Self::Zstd => 22,
            Self::None => 0,
        }
    }
}

const NANOS: i64 = 1_000_000_000;

impl Timestamps {
    fn clamp(self) -> Option<Mtime> {
        match self {
            Self::Keep | Self::Created(_) => None,
            Self::Rewrite(epoch) => Some(Mtime(epoch.saturating_mul(NANOS))),
        }
    }

    fn epoch(self) -> Option<i64> {
        match self {
            Self::Keep => None,
            Self::Created(epoch) | Self::Rewrite(epoch) => Some(epoch.saturating_mul(NANOS)),
        }
    }
}

impl Assembled {
    /// The descriptor of the manifest as JSON, as it stands in an index.
    pub fn descriptor_json(&self) -> Vec<u8> {
        serde_json::to_vec(&self.descriptor).expect("a descriptor is strings, numbers and maps of strings")
    }
}

impl Image {
    /// Packs what is not packed yet, and writes config and manifest.
    pub fn assemble(&self, store: &Store, options: AssembleOptions) -> Result<Assembled, Error> {
        let packed = self.pack_layers(store, options)?;
        let layers: Vec<_> = self
            .layers
            .iter()
            .zip(packed)
            .map(|(layer, packed)| describe(layer, packed, options.compression))
            .collect();
        let (config, history) = self.dated(options.timestamps);
        let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id).collect();
        let config_json = write_config(&config, &history, &diff_ids);
        let config_descriptor =
            Descriptor::new(media::OCI_CONFIG, sha256(&config_json), config_json.len() as u64);
        let manifest = Manifest {
            schema_version: 2,
            media_type: media::OCI_MANIFEST.to_owned(),
            config: config_descriptor.clone(),
            layers: layers.iter().map(|layer| layer.descriptor.clone()).collect(),
            annotations: BTreeMap::new(),
        };
        let manifest =
            serde_json::to_vec(&manifest).expect("a manifest is strings, numbers and maps of strings");
        let mut of_manifest = Descriptor::new(media::OCI_MANIFEST, sha256(&manifest), manifest.len() as u64);
        of_manifest.platform = Some(PlatformJson {
            architecture: config.platform.architecture.clone(),
            os: config.platform.os.clone(),
            variant: config.platform.variant.clone(),
        });
        Ok(Assembled {
            config: config_json,
            manifest,
            descriptor: of_manifest,
            config_descriptor,
            layers,
            created: config.created,
        })
    }

    fn dated(&self, timestamps: Timestamps) -> (ImageConfig, Vec<History>) {
        let (mut config, mut history) = (self.config.clone(), self.history.clone());
        if let Some(epoch) = timestamps.epoch() {
            config.created = Some(epoch);
            for entry in &mut history {
                entry.created = Some(entry.created.map_or(epoch, |created| created.min(epoch)));
            }
        }
        (config, history)
    }

    /// The image's id, the digest of its config, without compressing or keeping anything: it follows from the tars alone.
    pub fn id(&self, store: &Store, timestamps: Timestamps) -> Result<OciDigest, Error> {
        let diff_ids = self.side_by_side(&|layer| diff_id(layer, store, timestamps))?;
        Ok(self.id_with(timestamps, &diff_ids))
    }

    /// The image's id when it takes no layer's bytes to tell: each one's tar was hashed before.
    pub fn known_id(&self, store: &Store, timestamps: Timestamps) -> Result<Option<OciDigest>, Error> {
        let mut diff_ids = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            match known_diff_id(layer, store, timestamps)? {
                Some(diff_id) => diff_ids.push(diff_id),
                None => return Ok(None),
            }
        }
        Ok(Some(self.id_with(timestamps, &diff_ids)))
    }

    fn id_with(&self, timestamps: Timestamps, diff_ids: &[OciDigest]) -> OciDigest {
        let (config, history) = self.dated(timestamps);
        sha256(&write_config(&config, &history, diff_ids))
    }

    /// Packed forms of the layers, in order.
    fn pack_layers(&self, store: &Store, options: AssembleOptions) -> Result<Vec<Packed>, Error> {
        let pool = OnceLock::new();
        self.side_by_side(&|layer| packed_form(layer, store, options, &pool))
    }

    /// What `make` makes of each layer, in order; of several layers at a time, and of an equal one once.
    fn side_by_side<T: Copy + Send>(
        &self,
        make: &(dyn Fn(&ImageLayer) -> Result<T, Error> + Sync),
    ) -> Result<Vec<T>, Error> {
        let next = AtomicUsize::new(0);
        let done = Mutex::new(BTreeMap::new());
        let work = || {
            while let Some(layer) = self.layers.get(next.fetch_add(1, Ordering::Relaxed)) {
                let made = make(layer);
                done.lock().unwrap_or_else(PoisonError::into_inner).insert(layer.layer().digest, made);
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(self.layers.len());
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut results: BTreeMap<_, T> = BTreeMap::new();
        let mut all = Vec::new();
        for layer in &self.layers {
            let key = layer.layer().digest;
            if let Some(result) = done.remove(&key) {
                results.insert(key, result?);
            }
            all.push(*results.get(&key).ok_or(Error::MissingLayer(key))?);
        }
        Ok(all)
    }
}

fn describe(layer: &ImageLayer, packed: Packed, compression: Compression) -> LayerDescriptor {
    match layer {
        ImageLayer::Base { descriptor, .. } => {
            let mut base = descriptor.clone();
            // One manifest holds one family of media types; digest and size stay.
            base.descriptor.media_type = match base.descriptor.media_type.as_str() {
                media::DOCKER_LAYER_GZIP => media::OCI_LAYER_GZIP.to_owned(),
                media::DOCKER_LAYER => media::OCI_LAYER.to_owned(),
                other => other.to_owned(),
            };
            base
        }
        ImageLayer::Built(_) => LayerDescriptor {
            descriptor: Descriptor::new(compression.media_type(), packed.digest, packed.size),
            diff_id: packed.diff_id,
        },
    }
}

fn packed_form(
    layer: &ImageLayer,
    store: &Store,
    options: AssembleOptions,
    pool: &OnceLock<Pool>,
) -> Result<Packed, Error> {
    match layer {
        ImageLayer::Base { descriptor, .. } => {
            // Whether its bytes are here matters to whoever wants them.
            let Descriptor { digest, size, .. } = descriptor.descriptor;
            Ok(Packed { digest, size, diff_id: descriptor.diff_id })
        }
        ImageLayer::Built(layer) => packed::pack(layer, store, options, pool),
    }
}
