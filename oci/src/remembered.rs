//! A resolved reference as bytes, for remembering what a tag named.

use farm_model::encoding::{Decoder, Encoder};

use crate::Error;
use crate::manifest::{Document, Manifest};
use crate::resolved::{Resolved, sha256};

impl Resolved {
    /// The reference, the manifest and the config, each with its length. Everything else follows from them.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.str(&self.reference).bytes(&self.raw_manifest).bytes(&self.raw_config);
        encoder.into_bytes()
    }

    /// Reads what [`Resolved::encode`] wrote; digests are computed anew.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let malformed = |reason: String| Error::Malformed { what: "a remembered image".to_owned(), reason };
        let mut decoder = Decoder::new(bytes);
        let mut read = || -> Result<_, farm_model::encoding::Malformed> {
            let reference = decoder.str()?.to_owned();
            let (manifest, config) = (decoder.bytes()?.to_vec(), decoder.bytes()?.to_vec());
            decoder.finish()?;
            Ok((reference, manifest, config))
        };
        let (reference, raw_manifest, raw_config) = read().map_err(|error| malformed(error.to_string()))?;
        let manifest: Manifest = match Document::parse("a remembered manifest", &raw_manifest)? {
            Document::Manifest(manifest) => manifest,
            Document::Index(_) => return Err(malformed("it is an index".to_owned())),
        };
        let digest = sha256(&raw_manifest);
        Self::assemble(reference, digest, raw_manifest, manifest, raw_config)
    }
}
