//! What an image may weigh. An image over its budget ends the build before anything is written, pushed or named, with a table
//! of what makes it heavy.
//!
//! The size that counts is that of the merged file system, unpacked: it is known before any layer is packed, it is the same
//! whatever the compression, and it is what `farm images` shows. Compressed sizes are deliberately absent.

mod blame;

use std::sync::Arc;

use farm_model::decimal_size as size;
use farm_oci::ImageLayer;
use farm_proto::budget::{Budget, Growth};
use farm_proto::client::BuildRequest;
use farm_store::Store;
use farm_tree::Tree;

use super::{Record, describe, find, query};
use crate::Error;
use crate::build::{Farm, blocking};
use crate::image::Finished;
use crate::report::Reporter;

/// An image that is looked at before it has a name.
struct Candidate {
    layers: Vec<Layer>,
    trees: Vec<Tree>,
    merged: Tree,
}

/// A layer as the table tells of it.
struct Layer {
    digest: farm_model::LayerDigest,
    made: String,
    base: bool,
    /// What the image shows of it: later layers may have hidden a part.
    bytes: u64,
}

/// Fails when the image weighs more than it may. Says when there is nothing to compare it with.
pub(crate) async fn check(
    farm: &Arc<Farm>,
    finished: &Finished,
    asked: &BuildRequest,
    reporter: &Reporter,
) -> Result<(), Error> {
    let budget = asked.budget;
    if budget == Budget::default() {
        return Ok(());
    }
    let (store, build) = (farm.store.clone(), asked.build);
    let (image, merged) = (finished.image.clone(), finished.merged.clone());
    let names: Vec<String> = asked.names.iter().map(farm_model::Reference::familiar).collect();
    let unknown = blocking(move || {
        let bytes = merged.root.record.bytes;
        let candidate =
            || Candidate::new(&store, &image.layers, describe::instructions(&image), merged.clone());
        if let Some(limit) = budget.max_bytes.filter(|limit| bytes > *limit) {
            return Err(blame::too_large(&store, &candidate()?, limit)?);
        }
        let Some(growth) = budget.max_growth else { return Ok(Vec::new()) };
        let mut unknown = Vec::new();
        for name in names {
            match find(&store, &name)? {
                None => unknown.push(name),
                // A build that goes on after an interruption has named its image already, and kept within its budget.
                Some(before) if before.build == Some(build) => {}
                Some(before) if bytes.saturating_sub(before.bytes) > allowance(growth, before.bytes) => {
                    let allowed = Allowed { growth, bytes: allowance(growth, before.bytes) };
                    return Err(blame::grown(&store, &candidate()?, &name, &before, allowed)?);
                }
                Some(_) => {}
            }
        }
        Ok(unknown)
    })
    .await?;
    for name in unknown {
        reporter.warn(format!("`--max-growth`: there is no image `{name}` yet to compare with")).await;
    }
    Ok(())
}

/// How much an image may grow, as it was asked for and in bytes.
#[derive(Clone, Copy)]
struct Allowed {
    growth: Growth,
    bytes: u64,
}

impl std::fmt::Display for Allowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.growth {
            Growth::Bytes(bytes) => f.write_str(&size(bytes)),
            Growth::Hundredths(part) if part % 100 == 0 => write!(f, "{}%", part / 100),
            Growth::Hundredths(part) => {
                let text = format!("{}.{:02}", part / 100, part % 100);
                write!(f, "{}%", text.trim_end_matches('0'))
            }
        }
    }
}

fn allowance(growth: Growth, before: u64) -> u64 {
    match growth {
        Growth::Bytes(bytes) => bytes,
        Growth::Hundredths(part) => {
            let bytes = u128::from(before) * u128::from(part) / 10_000;
            u64::try_from(bytes).unwrap_or(u64::MAX)
        }
    }
}

impl Candidate {
    fn new(store: &Store, layers: &[ImageLayer], made: Vec<String>, merged: Tree) -> Result<Self, Error> {
        let mut trees = Vec::with_capacity(layers.len());
        for layer in layers {
            let digest = layer.layer().digest;
            trees.push(store.tree(&digest)?.ok_or_else(|| Error::LayerLost(vec![digest]))?);
        }
        // An image of which this cannot be told has layers of their own size.
        let waste = farm_tree::waste(store, &trees, 0).map(|waste| waste.layers).unwrap_or_default();
        let mut hidden = waste.iter().map(farm_tree::waste::LayerWaste::wasted);
        let layer = |((layer, made), tree): ((&ImageLayer, String), &Tree)| Layer {
            digest: layer.layer().digest,
            made,
            base: matches!(layer, ImageLayer::Base { .. }),
            bytes: tree.root.record.bytes.saturating_sub(hidden.next().unwrap_or(0)),
        };
        let layers = layers.iter().zip(made).zip(&trees).map(layer).collect();
        Ok(Self { layers, trees, merged })
    }

    fn of(store: &Store, record: &Record) -> Result<Self, Error> {
        let made = describe::instructions(&record.image);
        Self::new(store, &record.image.layers, made, query::merged(store, record)?)
    }

    fn bytes(&self) -> u64 {
        self.merged.root.record.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_an_image_is_counted_without_overflow() {
        assert_eq!(allowance(Growth::Hundredths(250), 1000), 25);
        assert_eq!(allowance(Growth::Hundredths(u32::MAX), u64::MAX), u64::MAX);
        assert_eq!(allowance(Growth::Bytes(7), 1000), 7);
        let text = |part| Allowed { growth: Growth::Hundredths(part), bytes: 0 }.to_string();
        assert_eq!([text(500), text(250), text(5)], ["5%", "2.5%", "0.05%"]);
    }
}
