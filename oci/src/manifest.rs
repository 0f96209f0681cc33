//! Manifests and indexes, OCI and Docker schema 2.
//!
//! The types are our own rather than `oci-spec`'s because that crate keeps annotations in hash maps, and a manifest is
//! hashed: its bytes must not depend on an iteration order.

use std::collections::BTreeMap;

use farm_model::{OciDigest, Platform};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::config::normalised;

/// Limit on manifests and indexes, as registries have it.
pub const MAX_MANIFEST: u64 = 4 << 20;
/// Limit on config documents.
pub const MAX_CONFIG: u64 = 8 << 20;
/// Limit on the number of layers of an image; the kernel's overlay stops at 500.
pub const MAX_LAYERS: usize = 1000;

/// Media types that are read or written.
pub mod media {
    /// OCI image manifest.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image index.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// OCI image configuration.
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// OCI layer, uncompressed.
    pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// OCI layer, gzip.
    pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// OCI layer, zstd.
    pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// Docker schema 2 manifest.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker layer, gzip.
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    /// Docker layer, uncompressed.
    pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
}

/// A reference to content by digest. OCI image-spec, "Content Descriptors".
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What kind of content.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    #[serde(with = "digest_text")]
    pub digest: OciDigest,
    /// Its size in bytes.
    pub size: u64,
    /// Where else it can be had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Free text by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What it runs on; in indexes only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<PlatformJson>,
}

impl Descriptor {
    /// A descriptor that says what it has to, and no more.
    pub(crate) fn new(media_type: &str, digest: OciDigest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            platform: None,
        }
    }
}

/// The `platform` of a descriptor.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PlatformJson {
    /// Architecture.
    #[serde(default)]
    pub architecture: String,
    /// Operating system.
    #[serde(default)]
    pub os: String,
    /// Variant of the architecture.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

/// An image manifest.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// Its own media type.
    #[serde(default)]
    pub media_type: String,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// Free text by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An image index or manifest list.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// Its own media type.
    #[serde(default)]
    pub media_type: String,
    /// What it lists.
    pub manifests: Vec<Descriptor>,
    /// Free text by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What a registry or layout has under a reference.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Document {
    /// An image for one platform.
    Manifest(Manifest),
    /// A choice of images.
    Index(Index),
}

impl Document {
    /// Reads a manifest or index. What it is follows from its members, because a `Content-Type` may lie and a media
    /// type may be missing.
    pub fn parse(what: &str, json: &[u8]) -> Result<Self, Error> {
        let malformed = |reason: String| Error::Malformed { what: what.to_owned(), reason };
        if json.len() as u64 > MAX_MANIFEST {
            return Err(Error::TooLarge { what: what.to_owned(), limit: MAX_MANIFEST, unit: "bytes" });
        }
        let value: serde_json::Value =
            serde_json::from_slice(json).map_err(|error| malformed(error.to_string()))?;
        let version = value.get("schemaVersion").and_then(serde_json::Value::as_u64);
        if version == Some(1) || value.get("fsLayers").is_some() {
            return Err(malformed(
                "Docker manifests of schema 1 are not supported; push the image again with a current tool"
                    .into(),
            ));
        }
        if version != Some(2) {
            return Err(malformed("it has no `schemaVersion` 2".into()));
        }
        match (value.get("manifests").is_some(), value.get("config").is_some()) {
            // A document that is both could be one image to us and another to the next tool.
            (true, true) => Err(malformed("it is a manifest and an index at once".into())),
            (true, false) => {
                serde_json::from_value(value).map(Self::Index).map_err(|error| malformed(error.to_string()))
            }
            (false, true) => {
                let manifest: Manifest =
                    serde_json::from_value(value).map_err(|error| malformed(error.to_string()))?;
                if manifest.layers.len() > MAX_LAYERS {
                    return Err(malformed(format!("it has {} layers", manifest.layers.len())));
                }
                Ok(Self::Manifest(manifest))
            }
            (false, false) => Err(malformed("it is neither a manifest nor an index".into())),
        }
    }
}

impl Index {
    /// The descriptor for `wanted`: the same operating system and architecture, and the best variant.
    pub fn choose(&self, reference: &str, wanted: &Platform) -> Result<&Descriptor, Error> {
        let ranked = self.manifests.iter().enumerate().filter_map(|(index, descriptor)| {
            let platform = descriptor.platform.as_ref()?;
            let offered = normalised(&platform.os, &platform.architecture, &platform.variant);
            Some((rank(wanted, &offered)?, index, descriptor))
        });
        if let Some((_, _, descriptor)) = ranked.min_by_key(|(rank, index, _)| (*rank, *index)) {
            return Ok(descriptor);
        }
        // An index of one manifest without a platform, as tools write that know no other.
        if let [only] = &self.manifests[..]
            && only.platform.is_none()
        {
            return Ok(only);
        }
        Err(Error::NoPlatform {
            reference: reference.to_owned(),
            wanted: wanted.clone(),
            available: self.offered(),
        })
    }

    fn offered(&self) -> String {
        let mut offered: Vec<_> = self
            .manifests
            .iter()
            .filter_map(|descriptor| descriptor.platform.as_ref())
            .filter(|platform| platform.os != "unknown")
            .map(|platform| {
                format!("`{}`", normalised(&platform.os, &platform.architecture, &platform.variant))
            })
            .collect();
        offered.sort();
        offered.dedup();
        if offered.is_empty() {
            return "no platform".to_owned();
        }
        offered.join(", ")
    }
}

/// How well `offered` serves `wanted`; smaller is better, none is not at all.
fn rank(wanted: &Platform, offered: &Platform) -> Option<u8> {
    if wanted.os != offered.os || wanted.architecture != offered.architecture {
        return None;
    }
    let version = |variant: &str| variant.strip_prefix('v')?.parse::<u8>().ok();
    match (version(&wanted.variant), version(&offered.variant)) {
        _ if wanted.variant == offered.variant => Some(0),
        // An ARM processor runs what was made for its predecessors.
        (Some(wanted), Some(offered)) => wanted.checked_sub(offered),
        (Some(_), None) if offered.variant.is_empty() => Some(u8::MAX - 1),
        (None, _) if wanted.variant.is_empty() => Some(u8::MAX),
        _ => None,
    }
}

fn null_is_empty<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

mod digest_text {
    use farm_model::OciDigest;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(digest: &OciDigest, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(digest)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OciDigest, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(platforms: &[(&str, &str, &str)]) -> Index {
        let manifests =
            platforms.iter().enumerate().map(|(number, (os, architecture, variant))| Descriptor {
                media_type: media::OCI_MANIFEST.into(),
                digest: OciDigest([u8::try_from(number).unwrap(); 32]),
                size: 1,
                urls: vec![],
                annotations: BTreeMap::new(),
                platform: Some(PlatformJson {
                    os: (*os).into(),
                    architecture: (*architecture).into(),
                    variant: (*variant).into(),
                }),
            });
        Index {
            schema_version: 2,
            media_type: media::OCI_INDEX.into(),
            manifests: manifests.collect(),
            annotations: BTreeMap::new(),
        }
    }

    fn chosen(index: &Index, platform: &str) -> Option<u8> {
        index.choose("x", &platform.parse().unwrap()).ok().map(|found| found.digest.0[0])
    }

    #[test]
    fn the_exact_platform_wins_and_older_arm_variants_do() {
        let index = index(&[
            ("unknown", "unknown", ""),
            ("linux", "arm", "v5"),
            ("linux", "arm", "v6"),
            ("linux", "arm64", "v8"),
            ("linux", "amd64", ""),
        ]);
        assert_eq!(chosen(&index, "linux/amd64"), Some(4));
        assert_eq!(chosen(&index, "linux/arm64"), Some(3));
        assert_eq!(chosen(&index, "linux/arm/v7"), Some(2));
        assert_eq!(chosen(&index, "linux/arm/v5"), Some(1));
        assert_eq!(chosen(&index, "linux/s390x"), None);
        let error = index.choose("x", &"linux/s390x".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("`linux/amd64`, `linux/arm/v5`"), "{error}");
    }

    #[test]
    fn documents_are_told_apart_by_their_members() {
        let digest = OciDigest([1; 32]);
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"a","digest":"{digest}","size":1}},"layers":[]}}"#
        );
        assert!(matches!(Document::parse("x", manifest.as_bytes()), Ok(Document::Manifest(_))));
        assert!(matches!(
            Document::parse("x", br#"{"schemaVersion":2,"manifests":[]}"#),
            Ok(Document::Index(_))
        ));
        for bad in [
            "{",
            "[]",
            "{}",
            r#"{"schemaVersion":1}"#,
            r#"{"schemaVersion":2}"#,
            r#"{"schemaVersion":2,"config":1,"manifests":2}"#,
        ] {
            assert!(Document::parse("x", bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Document::parse("x", manifest.replace("sha256", "md5").as_bytes()).is_err());
    }
}
