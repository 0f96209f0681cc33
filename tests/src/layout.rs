//! Hand-made layers and images, so that a test can feed farm what no well-behaved tool would write.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::image::digest_of;

const BLOCK: usize = 512;

/// A layer tar, written field by field: no path is cleaned on the way.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    bytes: Vec<u8>,
}

impl Layer {
    /// An empty tar.
    pub fn new() -> Self {
        Self::default()
    }

    /// A file with mode 0644 of root.
    #[must_use]
    pub fn file(self, path: &str, text: &str) -> Self {
        self.raw(b'0', path, "", text.as_bytes(), text.len() as u64)
    }

    /// A directory with mode 0755 of root.
    #[must_use]
    pub fn directory(self, path: &str) -> Self {
        self.raw(b'5', path, "", b"", 0)
    }

    /// A symlink.
    #[must_use]
    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.raw(b'2', path, target, b"", 0)
    }

    /// A hard link to an earlier entry, or to whatever `target` says.
    #[must_use]
    pub fn hard_link(self, path: &str, target: &str) -> Self {
        self.raw(b'1', path, target, b"", 0)
    }

    /// Any entry; `size` may lie about `data`.
    #[must_use]
    pub fn raw(mut self, kind: u8, path: &str, link: &str, data: &[u8], size: u64) -> Self {
        let mut header = [0_u8; BLOCK];
        let mode: &[u8] = if kind == b'5' { b"0000755\0" } else { b"0000644\0" };
        place(&mut header, 0, path.as_bytes());
        place(&mut header, 100, mode);
        place(&mut header, 108, b"0000000\0");
        place(&mut header, 116, b"0000000\0");
        place(&mut header, 124, format!("{size:011o}\0").as_bytes());
        place(&mut header, 136, b"14000000000\0");
        header[156] = kind;
        place(&mut header, 157, link.as_bytes());
        place(&mut header, 257, b"ustar\x0000");
        place(&mut header, 148, b"        ");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        place(&mut header, 148, format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK), 0);
        self
    }

    /// The finished tar.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes.resize(bytes.len() + 2 * BLOCK, 0);
        bytes
    }
}

fn place(header: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    header[at..at + bytes.len()].copy_from_slice(bytes);
}

/// gzip of some bytes.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("writing to memory cannot fail");
    encoder.finish().expect("writing to memory cannot fail")
}

/// The blobs of one image: config, manifest and layers, each by digest.
#[derive(Clone, Debug)]
pub struct Blobs {
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// Config and layers: digest and bytes.
    pub blobs: Vec<(String, Vec<u8>)>,
}

impl Blobs {
    /// An image of these layer tars, packed as gzip. `config` is the inner `config` object.
    pub fn of(layers: &[Layer], config: &Value) -> Self {
        Self::packed(
            layers.iter().map(|layer| (digest_of(&layer.bytes()), gzip(&layer.bytes()))).collect(),
            config,
        )
    }

    /// An image of layers that are packed already: claimed diff ID and compressed bytes.
    pub fn packed(layers: Vec<(String, Vec<u8>)>, config: &Value) -> Self {
        let diff_ids: Vec<_> = layers.iter().map(|(diff_id, _)| diff_id.clone()).collect();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": config,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        })
        .to_string()
        .into_bytes();
        let descriptor = |kind: &str, bytes: &[u8]| json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest_of(bytes), "size": bytes.len() });
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("config.v1+json", &config),
            "layers": layers.iter().map(|(_, bytes)| descriptor("layer.v1.tar+gzip", bytes)).collect::<Vec<_>>(),
        });
        let mut blobs = vec![(digest_of(&config), config)];
        blobs.extend(layers.into_iter().map(|(_, bytes)| (digest_of(&bytes), bytes)));
        Self { manifest: manifest.to_string().into_bytes(), blobs }
    }

    /// Writes an OCI layout with this image under `tag`.
    pub fn write_layout(&self, directory: &Path, tag: &str) -> std::io::Result<()> {
        let blobs = directory.join("blobs/sha256");
        fs::create_dir_all(&blobs)?;
        let name = |digest: &str| blobs.join(digest.trim_start_matches("sha256:"));
        for (digest, bytes) in &self.blobs {
            fs::write(name(digest), bytes)?;
        }
        let manifest = digest_of(&self.manifest);
        fs::write(name(&manifest), &self.manifest)?;
        let index = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{
                "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest, "size": self.manifest.len(),
                "annotations": { "org.opencontainers.image.ref.name": tag },
            }],
        });
        fs::write(directory.join("index.json"), index.to_string())?;
        fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
    }
}
