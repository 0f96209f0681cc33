//! An OCI image read from a layout directory or a tar of one, with every digest checked.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::filesystem::Filesystem;

const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";

/// One image with its layers unpacked from compression.
#[derive(Debug)]
pub struct Image {
    /// The manifest's JSON.
    pub manifest: Value,
    /// The image config's JSON: the whole document, not its inner `config`.
    pub config: Value,
    /// The layers' tars, lowest first.
    pub layers: Vec<Vec<u8>>,
    /// The name in the index's annotation, if it has one.
    pub name: Option<String>,
    problems: Vec<String>,
}

impl Image {
    /// Reads the first image of the layout, or of the tar of a layout, at `path`.
    pub fn open(path: &Path) -> Result<Self, String> {
        let source = Source::open(path)?;
        let index = json(&source.read("index.json")?)?;
        let (descriptor, manifest) = first_manifest(&source, &index)?;
        let mut problems = Vec::new();
        let config = json(&source.blob(&manifest["config"], &mut problems)?)?;
        let mut layers = Vec::new();
        for layer in manifest["layers"].as_array().into_iter().flatten() {
            layers.push(decompressed(source.blob(layer, &mut problems)?)?);
        }
        check_diff_ids(&config, &layers, &mut problems);
        let name = descriptor["annotations"]["org.opencontainers.image.ref.name"].as_str();
        Ok(Self { name: name.map(str::to_owned), manifest, config, layers, problems })
    }

    /// What contradicts itself: digests, sizes, diff IDs.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// The root file system that the layers add up to.
    pub fn flatten(&self) -> Result<Filesystem, String> {
        let mut filesystem = Filesystem::default();
        for layer in &self.layers {
            filesystem.apply(layer)?;
        }
        Ok(filesystem)
    }

    /// The diff IDs, lowest first.
    pub fn diff_ids(&self) -> Vec<String> {
        let ids = self.config["rootfs"]["diff_ids"].as_array();
        ids.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }
}

/// `sha256:…` of some bytes.
pub fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

enum Source {
    Directory(PathBuf),
    Tar(BTreeMap<String, Vec<u8>>),
}

impl Source {
    fn open(path: &Path) -> Result<Self, String> {
        if path.is_dir() {
            return Ok(Self::Directory(path.to_owned()));
        }
        let file =
            fs::File::open(path).map_err(|error| format!("cannot open {}: {error}", path.display()))?;
        let mut members = BTreeMap::new();
        for entry in tar::Archive::new(file).entries().map_err(text)? {
            let mut entry = entry.map_err(text)?;
            let name = entry.path().map_err(text)?.to_string_lossy().trim_start_matches("./").to_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(text)?;
            members.insert(name, bytes);
        }
        Ok(Self::Tar(members))
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        match self {
            Self::Directory(root) => {
                fs::read(root.join(name)).map_err(|error| format!("no `{name}`: {error}"))
            }
            Self::Tar(members) => members.get(name).cloned().ok_or_else(|| format!("no `{name}` in the tar")),
        }
    }

    fn blob(&self, descriptor: &Value, problems: &mut Vec<String>) -> Result<Vec<u8>, String> {
        let digest = descriptor["digest"].as_str().ok_or("a descriptor without a digest")?;
        let bytes = self.read(&format!("blobs/{}", digest.replacen(':', "/", 1)))?;
        if digest_of(&bytes) != digest {
            problems.push(format!("blob {digest} has other bytes"));
        }
        if descriptor["size"].as_u64() != Some(bytes.len() as u64) {
            problems.push(format!(
                "blob {digest} has {} bytes, its descriptor says {}",
                bytes.len(),
                descriptor["size"]
            ));
        }
        Ok(bytes)
    }
}

fn first_manifest(source: &Source, index: &Value) -> Result<(Value, Value), String> {
    for descriptor in index["manifests"].as_array().into_iter().flatten() {
        let document = json(&source.blob(descriptor, &mut Vec::new())?)?;
        if document["manifests"].is_array() {
            if let Ok(found) = first_manifest(source, &document) {
                return Ok(found);
            }
        } else {
            return Ok((descriptor.clone(), document));
        }
    }
    Err("the index names no image".to_owned())
}

fn check_diff_ids(config: &Value, layers: &[Vec<u8>], problems: &mut Vec<String>) {
    let ids: Vec<_> =
        config["rootfs"]["diff_ids"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let actual: Vec<_> = layers.iter().map(|layer| digest_of(layer)).collect();
    if ids != actual {
        problems.push(format!("diff IDs are {ids:?}, the layers' are {actual:?}"));
    }
}

fn decompressed(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    if bytes.starts_with(GZIP) {
        let mut out = Vec::new();
        flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut out).map_err(text)?;
        return Ok(out);
    }
    if bytes.starts_with(ZSTD) {
        return zstd::decode_all(bytes.as_slice()).map_err(text);
    }
    Ok(bytes)
}

fn json(bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(text)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
