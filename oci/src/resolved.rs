//! A reference that was followed down to one image: its manifest, config and layers, with nothing downloaded but JSON.

use farm_model::{History, ImageConfig, OciDigest};
use sha2::{Digest, Sha256};

use crate::Error;
use crate::config::parse_config;
use crate::manifest::{Descriptor, Manifest};

/// One image of one platform.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resolved {
    /// What was asked for, for messages.
    pub reference: String,
    /// Digest of the manifest.
    pub digest: OciDigest,
    /// The manifest.
    pub manifest: Manifest,
    /// The manifest's bytes as they came.
    pub raw_manifest: Vec<u8>,
    /// The configuration.
    pub config: ImageConfig,
    /// The history, oldest first.
    pub history: Vec<History>,
    /// The config's bytes as they came; their digest is the image id.
    pub raw_config: Vec<u8>,
    /// The layers, lowest first.
    pub layers: Vec<LayerDescriptor>,
}

/// A layer as a registry has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LayerDescriptor {
    /// The compressed bytes.
    pub descriptor: Descriptor,
    /// Digest of the uncompressed tar.
    pub diff_id: OciDigest,
}

impl Resolved {
    /// Puts verified documents together. Config and manifest must agree on the number of layers.
    pub(crate) fn assemble(
        reference: String,
        digest: OciDigest,
        raw_manifest: Vec<u8>,
        manifest: Manifest,
        raw_config: Vec<u8>,
    ) -> Result<Self, Error> {
        let what = format!("the config of `{reference}`");
        let parsed = parse_config(&what, &raw_config)?;
        if parsed.diff_ids.len() != manifest.layers.len() {
            let reason =
                format!("it lists {} layers, the manifest {}", parsed.diff_ids.len(), manifest.layers.len());
            return Err(Error::Malformed { what, reason });
        }
        let layers = manifest
            .layers
            .iter()
            .zip(parsed.diff_ids)
            .map(|(descriptor, diff_id)| LayerDescriptor { descriptor: descriptor.clone(), diff_id })
            .collect();
        Ok(Self {
            reference,
            digest,
            manifest,
            raw_manifest,
            config: parsed.config,
            history: parsed.history,
            raw_config,
            layers,
        })
    }

    /// Chain ids of the layers, lowest first.
    pub fn chain_ids(&self) -> Vec<OciDigest> {
        chain_ids(self.layers.iter().map(|layer| layer.diff_id))
    }
}

/// Chain ids of layers, lowest first. OCI image-spec, "Layer `ChainID`".
pub fn chain_ids(diff_ids: impl IntoIterator<Item = OciDigest>) -> Vec<OciDigest> {
    let mut chain: Vec<OciDigest> = Vec::new();
    for diff_id in diff_ids {
        let next = match chain.last() {
            None => diff_id,
            Some(below) => sha256(format!("{below} {diff_id}").as_bytes()),
        };
        chain.push(next);
    }
    chain
}

/// The digest of `bytes` as registries name them.
pub fn sha256(bytes: &[u8]) -> OciDigest {
    OciDigest(Sha256::digest(bytes).into())
}

/// Fails unless `bytes` have `expected`.
pub(crate) fn verify(what: &str, bytes: &[u8], expected: OciDigest) -> Result<(), Error> {
    let actual = sha256(bytes);
    if actual == expected {
        return Ok(());
    }
    Err(Error::DigestMismatch { what: what.to_owned(), expected, actual })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_id_hashes_the_chain_below_and_the_diff_id() {
        let (a, b) = (OciDigest([1; 32]), OciDigest([2; 32]));
        let chain = chain_ids([a, b]);
        assert_eq!(chain[0], a);
        assert_eq!(
            chain[1],
            sha256(format!("sha256:{} sha256:{}", "01".repeat(32), "02".repeat(32)).as_bytes())
        );
    }
}
