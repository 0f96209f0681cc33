//! A name moves from image to image; what each of them weighed stays with the name.

use farm_store::Store;

use super::{Record, describe, find};
use crate::Error;
use crate::build::now;

/// So many images before the present one are remembered for each name.
const REMEMBERED: usize = 50;

/// Gives an image the name, and remembers what had it before by its size.
pub(crate) fn put(store: &Store, name: &str, mut record: Record) -> Result<(), Error> {
    record.named = now();
    record.previous = None;
    record.trend = Vec::new();
    if let Some(before) = find(store, name)? {
        succeed(&mut record, before, |before| describe::point(store, before));
    }
    Ok(store.put_image(name, &record.encode())?)
}

fn succeed(
    record: &mut Record,
    before: Record,
    point: impl FnOnce(&Record) -> farm_proto::image::TrendPoint,
) {
    let same = before.id() == record.id();
    // A build that went on after an interruption is not its own predecessor.
    let again = record.build.is_some() && before.build == record.build;
    record.previous = if again { before.previous } else { Some(before.bytes) };
    record.trend = if same || again {
        record.named = before.named;
        before.trend
    } else {
        let point = point(&before);
        let mut trend = before.trend;
        trend.push(point);
        trend.drain(..trend.len().saturating_sub(REMEMBERED));
        trend
    };
    if same {
        record.config = record.config.or(before.config);
    }
}

#[cfg(test)]
mod tests {
    use farm_model::result::LayerRef;
    use farm_model::{BuildId, ContentDigest, ImageConfig, LayerDigest, Platform};
    use farm_oci::{Image, ImageLayer};
    use farm_proto::image::TrendPoint;

    use super::*;

    fn record(bytes: u64, build: u8) -> Record {
        let byte = u8::try_from(bytes % 256).unwrap();
        let layer = LayerRef { digest: LayerDigest([byte; 32]), content: ContentDigest([byte; 32]) };
        Record {
            image: Image {
                config: ImageConfig::scratch(Platform::host()),
                history: Vec::new(),
                layers: vec![ImageLayer::Built(layer)],
            },
            merged: layer,
            bytes,
            build: Some(BuildId([build; 8])),
            stages: Vec::new(),
            discarded: 0,
            previous: None,
            config: None,
            named: i64::from(build),
            trend: Vec::new(),
        }
    }

    fn point(record: &Record) -> TrendPoint {
        TrendPoint { time: record.named, bytes: record.bytes, packed_bytes: None, build: record.build }
    }

    fn follow(before: &Record, mut record: Record) -> Record {
        succeed(&mut record, before.clone(), point);
        record
    }

    fn sizes(record: &Record) -> Vec<u64> {
        record.trend.iter().map(|point| point.bytes).collect()
    }

    #[test]
    fn each_image_of_a_name_is_remembered_once_and_the_oldest_are_forgotten() {
        let mut last = record(0, 0);
        for build in 1..=60 {
            last = follow(&last, record(u64::from(build), build));
        }
        assert_eq!(sizes(&last), (10..60).collect::<Vec<_>>());
        assert_eq!(last.previous, Some(59));
        let same = follow(&last, record(60, 61));
        assert_eq!((sizes(&same), same.previous, same.named), (sizes(&last), Some(60), last.named));
    }

    #[test]
    fn a_build_that_goes_on_is_not_its_own_predecessor() {
        let first = record(1, 1);
        let interrupted = follow(&first, record(2, 2));
        let again = follow(&interrupted, record(3, 2));
        assert_eq!((sizes(&again), again.previous), (vec![1], Some(1)));
    }
}
