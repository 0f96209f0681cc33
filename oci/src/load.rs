//! Archives of images, as `docker save` and this crate write them: their blobs go into the store as they come.
//!
//! Read in one pass, since an archive may come over a pipe. Old archives name layers as they like, so every file that is no
//! document counts as a blob, and its digest is computed. Where an archive is both a docker archive and an OCI layout, the
//! docker manifest says what is in it and what it is called.

use std::collections::BTreeMap;
use std::io::{self, Read, Write as _};

use farm_model::{OciDigest, Platform, Reference};
use farm_store::Store;
use farm_tree::path::clean;
use serde::Deserialize;

use crate::compression::{Cancel, Decoder, Format, Limits, detect};
use crate::config::parse_config;
use crate::manifest::{Descriptor, Document, Index, MAX_CONFIG, MAX_LAYERS, MAX_MANIFEST, Manifest, media};
use crate::resolved::{Resolved, sha256};
use crate::tar_reader::{Kind, Stop, TarReader};
use crate::{Error, MAX_MANIFEST_DEPTH};

/// An image of an archive; its blobs are in the store.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Loaded {
    /// What it is called there.
    pub names: Vec<Reference>,
    /// The image.
    pub resolved: Resolved,
}

/// Limit on the files of an archive; an image has hundreds.
const MAX_FILES: usize = 100_000;
/// Limit on the images of an archive.
const MAX_IMAGES: usize = 1024;
/// Limit on the bytes of their manifests and configurations, which are held until all are found; an image has some kilobytes.
const MAX_DOCUMENTS: u64 = 256 << 20;
const WHAT: &str = "the archive";
const IMAGE_NAME: &str = "io.containerd.image.name";
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Takes the images of an archive into the store. It may be compressed.
pub fn load_archive(reader: impl Read, store: &Store) -> Result<Vec<Loaded>, Error> {
    let archive = Archive::read(reader, store)?;
    if let Some(manifest) = &archive.docker {
        return archive.docker_images(manifest);
    }
    match &archive.index {
        Some(index) => archive.layout_images(index),
        None => Err(malformed("it has neither a `manifest.json` nor an `index.json`".to_owned())),
    }
}

/// What an archive holds.
struct Archive<'a> {
    store: &'a Store,
    /// Blobs by their path.
    blobs: BTreeMap<Vec<u8>, (OciDigest, u64)>,
    /// Old archives say by links that two images have the same layer.
    links: BTreeMap<Vec<u8>, Vec<u8>>,
    docker: Option<Vec<u8>>,
    index: Option<Vec<u8>>,
}

/// An entry of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl<'a> Archive<'a> {
    fn read(reader: impl Read, store: &'a Store) -> Result<Self, Error> {
        let stream = |source| Error::Stream { archive: WHAT.to_owned(), source };
        let decoder = Decoder::new(reader, &Limits::default(), Cancel::default()).map_err(stream)?;
        let mut tar = TarReader::new(decoder);
        let (blobs, links) = (BTreeMap::new(), BTreeMap::new());
        let mut archive = Self { store, blobs, links, docker: None, index: None };
        while let Some(entry) = tar.next_entry().map_err(stopped)? {
            let path = clean(&entry.path);
            if archive.blobs.len() + archive.links.len() > MAX_FILES {
                return Err(Error::TooLarge {
                    what: WHAT.to_owned(),
                    limit: MAX_FILES as u64,
                    unit: "files",
                });
            }
            match (entry.kind, &path[..]) {
                (Kind::File(size), b"manifest.json") => archive.docker = Some(document(&mut tar, size)?),
                (Kind::File(size), b"index.json") => archive.index = Some(document(&mut tar, size)?),
                (Kind::File(_), b"oci-layout" | b"repositories")
                | (Kind::Directory | Kind::Device(_) | Kind::Unsupported(_), _) => {}
                (Kind::File(size), _) => {
                    let blob = archive.blob(&path, size, &mut tar)?;
                    archive.blobs.insert(path, blob);
                }
                (Kind::Symlink, _) => {
                    archive.links.insert(path.clone(), beside(&path, &entry.link));
                }
                // The target of a hard link is a path in the archive, wherever the link is.
                (Kind::HardLink, _) => {
                    archive.links.insert(path, clean(&entry.link));
                }
            }
        }
        let mut rest = tar.into_inner();
        io::copy(&mut rest, &mut io::sink()).map_err(stream)?;
        Ok(archive)
    }

    fn blob(&self, path: &[u8], size: u64, reader: &mut impl Read) -> Result<(OciDigest, u64), Error> {
        let named = path.strip_prefix(b"blobs/sha256/").and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(digest) = named.and_then(|digits| format!("sha256:{digits}").parse::<OciDigest>().ok()) {
            if self.store.has_oci_blob(&digest)? == Some(size) {
                // What the archive holds of it is passed over.
                return Ok((digest, size));
            }
            self.store.ingest_oci_blob(reader, &digest, size)?;
            return Ok((digest, size));
        }
        let mut writer = self.store.oci_writer()?;
        let copied = io::copy(reader, &mut writer);
        let copied = copied.map_err(|source| Error::Stream { archive: WHAT.to_owned(), source })?;
        writer.flush().map_err(|source| Error::Stream { archive: WHAT.to_owned(), source })?;
        let (digest, _) = writer.finish()?;
        Ok((digest, copied))
    }

    /// The blob at a path, behind links.
    fn at(&self, path: &str) -> Result<(OciDigest, u64), Error> {
        let mut path = clean(path.as_bytes());
        for _ in 0..=MAX_LAYERS {
            if let Some(found) = self.blobs.get(&path) {
                return Ok(*found);
            }
            let Some(next) = self.links.get(&path) else { break };
            path.clone_from(next);
        }
        let path = farm_tree::path::text(&path);
        Err(malformed(format!("it has no `{path}`, which its manifest names")))
    }

    fn json(&self, digest: &OciDigest, limit: u64) -> Result<Vec<u8>, Error> {
        let found = self.store.read_oci_blob(digest, limit)?;
        found.ok_or_else(|| malformed(format!("it does not hold `{digest}`")))
    }

    fn docker_images(&self, json: &[u8]) -> Result<Vec<Loaded>, Error> {
        let images: Vec<DockerImage> = serde_json::from_slice(json)
            .map_err(|error| malformed(format!("its `manifest.json` is not valid: {error}")))?;
        let mut found = Found::default();
        for image in &images {
            found.add(self.docker_image(image)?)?;
        }
        Ok(found.images)
    }

    fn docker_image(&self, image: &DockerImage) -> Result<Loaded, Error> {
        let (config, size) = self.at(&image.config)?;
        let raw_config = self.json(&config, MAX_CONFIG)?;
        parse_config("the archive's configuration", &raw_config)?;
        let layers = image.layers.iter().map(|path| self.layer(path)).collect::<Result<Vec<_>, _>>()?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: media::OCI_MANIFEST.to_owned(),
            config: Descriptor::new(media::OCI_CONFIG, config, size),
            layers,
            annotations: BTreeMap::new(),
        };
        let raw_manifest =
            serde_json::to_vec(&manifest).expect("a manifest is strings, numbers and maps of strings");
        let names: Vec<Reference> = parsed(image.repo_tags.iter().flatten().map(String::as_str))?;
        let what = names.first().map_or_else(|| WHAT.to_owned(), Reference::familiar);
        let digest = sha256(&raw_manifest);
        let resolved = Resolved::assemble(what, digest, raw_manifest, manifest, raw_config)?;
        Ok(Loaded { names, resolved })
    }

    /// The descriptor of a layer, with a media type that fits what it begins with.
    fn layer(&self, path: &str) -> Result<Descriptor, Error> {
        let (digest, size) = self.at(path)?;
        let path = self.store.oci_blob_path(&digest)?.ok_or(Error::MissingBaseBlob(digest))?;
        let file = std::fs::File::open(&path).map_err(Error::io("read", &path))?;
        let mut start = Vec::new();
        file.take(16).read_to_end(&mut start).map_err(Error::io("read", &path))?;
        let media_type = match detect(&start) {
            Format::Gzip => media::OCI_LAYER_GZIP,
            Format::Zstd => media::OCI_LAYER_ZSTD,
            Format::Plain | Format::Bzip2 | Format::Xz => media::OCI_LAYER,
        };
        Ok(Descriptor::new(media_type, digest, size))
    }

    fn layout_images(&self, json: &[u8]) -> Result<Vec<Loaded>, Error> {
        let Document::Index(index) = Document::parse("the archive's `index.json`", json)? else {
            return Err(malformed("its `index.json` is no index".to_owned()));
        };
        // An image has an entry for each of its names.
        let mut found = Found::default();
        let mut places: BTreeMap<OciDigest, usize> = BTreeMap::new();
        for entry in &index.manifests {
            let names = parsed(name_of(entry))?;
            if let Some(place) = places.get(&entry.digest) {
                found.images[*place].names.extend(names);
                continue;
            }
            let resolved = self.follow(entry.digest)?;
            // The entry may be an index, and the manifest have an entry of its own.
            let (digest, next) = (resolved.digest, found.images.len());
            let place = *places.entry(digest).or_insert(next);
            places.insert(entry.digest, place);
            if place == next {
                found.add(Loaded { names, resolved })?;
            } else {
                found.images[place].names.extend(names);
            }
        }
        Ok(found.images)
    }

    fn follow(&self, mut digest: OciDigest) -> Result<Resolved, Error> {
        for _ in 0..MAX_MANIFEST_DEPTH {
            let json = self.json(&digest, MAX_MANIFEST)?;
            match Document::parse("a manifest of the archive", &json)? {
                Document::Index(index) => digest = choose(&index)?,
                Document::Manifest(manifest) => {
                    let config = self.json(&manifest.config.digest, MAX_CONFIG)?;
                    return Resolved::assemble(WHAT.to_owned(), digest, json, manifest, config);
                }
            }
        }
        Err(malformed("its indexes are nested too deeply".to_owned()))
    }
}

/// Images that were found, within limits.
#[derive(Default)]
struct Found {
    images: Vec<Loaded>,
    /// Of their documents.
    bytes: u64,
}

impl Found {
    fn add(&mut self, image: Loaded) -> Result<(), Error> {
        let too_large = |limit, unit| Err(Error::TooLarge { what: WHAT.to_owned(), limit, unit });
        if self.images.len() == MAX_IMAGES {
            return too_large(MAX_IMAGES as u64, "images");
        }
        self.bytes += (image.resolved.raw_manifest.len() + image.resolved.raw_config.len()) as u64;
        if self.bytes > MAX_DOCUMENTS {
            return too_large(MAX_DOCUMENTS, "bytes of manifests and configurations");
        }
        self.images.push(image);
        Ok(())
    }
}

fn choose(index: &Index) -> Result<OciDigest, Error> {
    Ok(index.choose(WHAT, &Platform::host())?.digest)
}

/// The full name of an entry. A tag alone, as layouts have it, names no image.
fn name_of(entry: &Descriptor) -> Option<&str> {
    let full = |text: &&String| text.contains([':', '/']);
    let name = entry.annotations.get(IMAGE_NAME).or_else(|| entry.annotations.get(REF_NAME).filter(full));
    name.map(String::as_str)
}

fn parsed<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Vec<Reference>, Error> {
    let parse = |text: &str| text.parse().map_err(|error| malformed(format!("its name `{text}`: {error}")));
    names.into_iter().map(parse).collect()
}

fn document(reader: &mut impl Read, size: u64) -> Result<Vec<u8>, Error> {
    if size > MAX_MANIFEST {
        return Err(Error::TooLarge { what: "a manifest".to_owned(), limit: MAX_MANIFEST, unit: "bytes" });
    }
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(|source| Error::Stream { archive: WHAT.to_owned(), source })?;
    Ok(bytes)
}

/// Where a symbolic link at `path` leads.
fn beside(path: &[u8], target: &[u8]) -> Vec<u8> {
    let directory = path.rsplitn(2, |byte| *byte == b'/').nth(1).unwrap_or_default();
    clean(&[directory, b"/", target].concat())
}

fn malformed(reason: String) -> Error {
    Error::Malformed { what: WHAT.to_owned(), reason }
}

fn stopped(stop: Stop) -> Error {
    match stop {
        Stop::Io(source) => Error::Stream { archive: WHAT.to_owned(), source },
        Stop::Fault(path, fault) => {
            Error::Archive { archive: WHAT.to_owned(), entry: farm_tree::path::text(&path), fault }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_by_name_and_lead_nowhere_else() {
        assert_eq!(clean(b"./a//b/../c"), b"a/c");
        assert_eq!(clean(b"../../etc/passwd"), b"etc/passwd");
        assert_eq!(beside(b"one/layer.tar", b"../two/layer.tar"), b"two/layer.tar");
        assert_eq!(beside(b"layer.tar", b"/x"), b"x");
    }
}
