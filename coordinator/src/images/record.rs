//! What is kept of an image under each of its names.

use farm_model::encoding::{self, Decoder, Encoder, Malformed};
use farm_model::event::StageSize;
use farm_model::result::LayerRef;
use farm_model::{BuildId, ContentDigest, LayerDigest, OciDigest};
use farm_oci::config::{parse_config, write_config};
use farm_oci::{Image, ImageLayer, LayerDescriptor};
use farm_proto::image::TrendPoint;

/// Version of the written form.
const VERSION: u8 = 2;
/// The version before images remembered those that had their name.
const WITHOUT_TREND: u8 = 1;
/// Domain of image ids.
const DOMAIN: &str = "farm 2026-11 image id v1";

/// An image with a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Record {
    pub(crate) image: Image,
    /// Its merged file system.
    pub(crate) merged: LayerRef,
    /// Unpacked bytes of the same.
    pub(crate) bytes: u64,
    /// The build that made it.
    pub(crate) build: Option<BuildId>,
    /// What the stages of that build weighed.
    pub(crate) stages: Vec<StageSize>,
    /// Bytes of the layers that the image does not have.
    pub(crate) discarded: u64,
    /// What the image weighed that had this name before.
    pub(crate) previous: Option<u64>,
    /// The digest of its configuration, once it was put together.
    pub(crate) config: Option<OciDigest>,
    /// Nanoseconds since the Unix epoch at which it got the name.
    pub(crate) named: i64,
    /// The images that had the name before, the oldest first.
    pub(crate) trend: Vec<TrendPoint>,
}

impl Record {
    /// The farm's own id: the same configuration on the same layers is the same image.
    pub(crate) fn id(&self) -> String {
        let mut encoder = Encoder::new();
        encoder.bytes(&write_config(&self.image.config, &self.image.history, &[]));
        encoder.list(&self.image.layers, |encoder, layer| {
            encoder.raw(layer.layer().digest.as_bytes());
        });
        LayerDigest(encoding::digest(DOMAIN, encoder.as_bytes())).to_string()
    }

    /// Nanoseconds since the Unix epoch at which its newest layer was made.
    pub(crate) fn created(&self) -> i64 {
        self.image.config.created.unwrap_or(0)
    }

    /// Every layer that has to be kept while the image has a name.
    pub(crate) fn layers(&self) -> impl Iterator<Item = LayerDigest> {
        self.image.layers.iter().map(|layer| layer.layer().digest)
    }

    /// The written form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.u8(VERSION);
        encoder.bytes(&write_config(&self.image.config, &self.image.history, &[]));
        encoder.list(&self.image.layers, |encoder, layer| {
            put_layer(encoder, &layer.layer());
            let base = match layer {
                ImageLayer::Base { descriptor, .. } => Some(descriptor),
                ImageLayer::Built(_) => None,
            };
            encoder.option(base, |encoder, base| {
                // A descriptor is strings and numbers; its JSON is the form in which manifests have it.
                encoder.bytes(&serde_json::to_vec(&base.descriptor).unwrap_or_default()).raw(&base.diff_id.0);
            });
        });
        put_layer(&mut encoder, &self.merged);
        encoder.u64(self.bytes);
        encoder.option(self.build, |encoder, build| {
            encoder.raw(&build.0);
        });
        encoder.list(&self.stages, |encoder, stage| {
            encoder.str(&stage.stage).u64(stage.bytes).u64(stage.entries).u8(stage.kept.into());
        });
        encoder.u64(self.discarded);
        encoder.option(self.previous, |encoder, bytes| {
            encoder.u64(bytes);
        });
        encoder.option(self.config, |encoder, digest| {
            encoder.raw(&digest.0);
        });
        encoder.i64(self.named);
        encoder.list(&self.trend, put_point);
        encoder.into_bytes()
    }

    /// Reads the written form.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes);
        let version = decoder.u8()?;
        if !matches!(version, VERSION | WITHOUT_TREND) {
            return Err(decoder.malformed("an image record of another version"));
        }
        let json = decoder.bytes()?;
        let parsed =
            parse_config("an image record", json).map_err(|_| decoder.malformed("a configuration"))?;
        let layers = decoder.list(|decoder| {
            let layer = take_layer(decoder)?;
            let base = decoder.option(|decoder| {
                let json = decoder.bytes()?;
                let descriptor =
                    serde_json::from_slice(json).map_err(|_| decoder.malformed("a descriptor"))?;
                Ok(LayerDescriptor { descriptor, diff_id: OciDigest(decoder.array()?) })
            })?;
            Ok(match base {
                Some(descriptor) => ImageLayer::Base { descriptor, layer },
                None => ImageLayer::Built(layer),
            })
        })?;
        let mut record = Self {
            image: Image { config: parsed.config, history: parsed.history, layers },
            merged: take_layer(&mut decoder)?,
            bytes: decoder.u64()?,
            build: decoder.option(|decoder| decoder.array().map(BuildId))?,
            stages: decoder.list(|decoder| {
                Ok(StageSize {
                    stage: decoder.str()?.to_owned(),
                    bytes: decoder.u64()?,
                    entries: decoder.u64()?,
                    kept: decoder.u8()? != 0,
                })
            })?,
            discarded: decoder.u64()?,
            previous: decoder.option(Decoder::u64)?,
            config: decoder.option(|decoder| decoder.array().map(OciDigest))?,
            named: 0,
            trend: Vec::new(),
        };
        if version == WITHOUT_TREND {
            record.named = record.created();
        } else {
            record.named = decoder.i64()?;
            record.trend = decoder.list(take_point)?;
        }
        decoder.finish()?;
        Ok(record)
    }
}

fn put_layer(encoder: &mut Encoder, layer: &LayerRef) {
    encoder.raw(layer.digest.as_bytes()).raw(layer.content.as_bytes());
}

fn take_layer(decoder: &mut Decoder<'_>) -> Result<LayerRef, Malformed> {
    Ok(LayerRef { digest: LayerDigest(decoder.array()?), content: ContentDigest(decoder.array()?) })
}

fn put_point(encoder: &mut Encoder, point: &TrendPoint) {
    encoder.i64(point.time).u64(point.bytes);
    encoder.option(point.packed_bytes, |encoder, bytes| {
        encoder.u64(bytes);
    });
    encoder.option(point.build, |encoder, build| {
        encoder.raw(&build.0);
    });
}

fn take_point(decoder: &mut Decoder<'_>) -> Result<TrendPoint, Malformed> {
    Ok(TrendPoint {
        time: decoder.i64()?,
        bytes: decoder.u64()?,
        packed_bytes: decoder.option(Decoder::u64)?,
        build: decoder.option(|decoder| decoder.array().map(BuildId))?,
    })
}

#[cfg(test)]
mod tests {
    use farm_model::{History, ImageConfig, Platform};

    use super::*;

    fn record() -> Record {
        let layer = |byte| LayerRef { digest: LayerDigest([byte; 32]), content: ContentDigest([byte; 32]) };
        let mut config = ImageConfig::scratch(Platform::host());
        config.cmd = Some(vec!["/app".into()]);
        let history = vec![History {
            created: Some(1_700_000_000_123_456_789),
            created_by: "COPY a b".into(),
            comment: "farm".into(),
            author: None,
            empty_layer: false,
        }];
        Record {
            image: Image { config, history, layers: vec![ImageLayer::Built(layer(1))] },
            merged: layer(2),
            bytes: 3,
            build: Some(BuildId([4; 8])),
            stages: vec![StageSize { stage: "build".into(), bytes: 5, entries: 6, kept: true }],
            discarded: 7,
            previous: Some(8),
            config: None,
            named: 9,
            trend: vec![TrendPoint {
                time: -1,
                bytes: 2,
                packed_bytes: Some(3),
                build: Some(BuildId([5; 8])),
            }],
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let record = record();
        assert_eq!(Record::decode(&record.encode()).unwrap(), record);
        assert!(Record::decode(&record.encode()[1..]).is_err());
        assert_eq!(record.id().len(), 64);
    }

    #[test]
    fn a_record_of_the_version_before_is_still_read() {
        let record = Record { trend: Vec::new(), ..record() };
        let mut bytes = record.encode();
        // The time of its name and an empty list.
        bytes.truncate(bytes.len() - 8 - 8);
        bytes[0] = WITHOUT_TREND;
        assert_eq!(Record::decode(&bytes).unwrap(), Record { named: record.created(), ..record });
    }
}
