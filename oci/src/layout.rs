//! OCI image layouts on disk (image-spec, "Image Layout"), read in place.
//!
//! Blobs are opened without following symbolic links out of the layout: a layout is a stranger's directory.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use farm_model::{OciDigest, Platform};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

use crate::manifest::{Descriptor, Document, Index, MAX_CONFIG, MAX_MANIFEST};
use crate::resolved::{Resolved, verify};
use crate::{Error, MAX_MANIFEST_DEPTH};

const REF_NAME: &str = "org.opencontainers.image.ref.name";
const IMAGE_NAME: &str = "io.containerd.image.name";

/// A directory that is an OCI layout.
#[derive(Clone, Debug)]
pub struct Layout {
    path: PathBuf,
}

/// Which image of a layout.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Selector {
    /// The only one, or the one with the tag `latest`.
    Default,
    /// The one with this tag or full name.
    Tag(String),
    /// The manifest or index with this digest.
    Digest(OciDigest),
}

impl Layout {
    /// Opens the layout at `path`.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let layout = Self { path: path.to_owned() };
        let what = format!("`{}`", path.join("oci-layout").display());
        let marker = layout.read("oci-layout", &what, MAX_CONFIG)?;
        let marker: serde_json::Value = serde_json::from_slice(&marker)
            .map_err(|error| Error::Malformed { what: what.clone(), reason: error.to_string() })?;
        match marker.get("imageLayoutVersion").and_then(serde_json::Value::as_str) {
            Some(version) if version.starts_with("1.") => Ok(layout),
            Some(version) => Err(Error::Malformed {
                what,
                reason: format!("version `{version}` of the layout is not known"),
            }),
            None => Err(Error::Malformed { what, reason: "it has no `imageLayoutVersion`".to_owned() }),
        }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Follows `selector` to the image for `platform`.
    pub fn resolve(&self, selector: &Selector, platform: &Platform) -> Result<Resolved, Error> {
        let name = match selector {
            Selector::Default => self.path.display().to_string(),
            Selector::Tag(tag) => format!("{}:{tag}", self.path.display()),
            Selector::Digest(digest) => format!("{}@{digest}", self.path.display()),
        };
        let mut chosen = self.select(selector, platform, &name)?;
        for _ in 0..MAX_MANIFEST_DEPTH {
            let what = format!("the manifest `{}` of `{name}`", chosen.digest);
            let json = self.read_blob(&chosen.digest, &what, MAX_MANIFEST)?;
            match Document::parse(&what, &json)? {
                Document::Index(index) => chosen = index.choose(&name, platform)?.clone(),
                Document::Manifest(manifest) => {
                    let what = format!("the config of `{name}`");
                    let config = self.read_blob(&manifest.config.digest, &what, MAX_CONFIG)?;
                    return Resolved::assemble(name, chosen.digest, json, manifest, config);
                }
            }
        }
        Err(Error::Malformed {
            what: format!("`{name}`"),
            reason: "its indexes are nested too deeply".to_owned(),
        })
    }

    /// Opens a blob; its bytes are not verified.
    pub fn open_blob(&self, digest: &OciDigest) -> Result<File, Error> {
        let text = digest.to_string();
        let hex = text.trim_start_matches("sha256:");
        self.open_file(&format!("blobs/sha256/{hex}"))
    }

    fn select(&self, selector: &Selector, platform: &Platform, name: &str) -> Result<Descriptor, Error> {
        let what = format!("`{}`", self.path.join("index.json").display());
        let json = self.read("index.json", &what, MAX_MANIFEST)?;
        let Document::Index(index) = Document::parse(&what, &json)? else {
            return Err(Error::Malformed { what, reason: "it is no index".to_owned() });
        };
        let missing = |name: &str| Error::NotInLayout { name: name.to_owned(), path: self.path.clone() };
        match selector {
            Selector::Tag(tag) => tagged(&index, tag).ok_or_else(|| missing(tag)),
            Selector::Digest(digest) => {
                let listed = index.manifests.iter().find(|descriptor| descriptor.digest == *digest);
                // An index may lie below another; the blob itself is what counts.
                Ok(listed.cloned().unwrap_or_else(|| bare(*digest)))
            }
            Selector::Default => match &index.manifests[..] {
                [] => Err(missing("an image")),
                [only] => Ok(only.clone()),
                _ => tagged(&index, "latest").map_or_else(|| index.choose(name, platform).cloned(), Ok),
            },
        }
    }

    fn read_blob(&self, digest: &OciDigest, what: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let text = digest.to_string();
        let hex = text.trim_start_matches("sha256:");
        let bytes = self.read(&format!("blobs/sha256/{hex}"), what, limit)?;
        verify(what, &bytes, *digest)?;
        Ok(bytes)
    }

    fn read(&self, name: &str, what: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let file = self.open_file(name)?;
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).map_err(Error::io("read", &self.path.join(name)))?;
        if bytes.len() as u64 > limit {
            return Err(Error::TooLarge { what: what.to_owned(), limit, unit: "bytes" });
        }
        Ok(bytes)
    }

    fn open_file(&self, name: &str) -> Result<File, Error> {
        let path = self.path.join(name);
        let failed = |source: rustix::io::Errno| Error::io("read", &path)(source.into());
        let directory = rustix::fs::openat(
            CWD,
            &self.path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let file =
            openat2(directory.map_err(failed)?, name, flags, Mode::empty(), beneath).map_err(failed)?;
        let file = File::from(file);
        let is_file = file.metadata().map_err(Error::io("read", &path))?.is_file();
        if !is_file {
            return Err(Error::Malformed {
                what: format!("`{}`", path.display()),
                reason: "it is not a regular file".to_owned(),
            });
        }
        Ok(file)
    }
}

fn tagged(index: &Index, tag: &str) -> Option<Descriptor> {
    let named = |descriptor: &&Descriptor| {
        let annotation = |key| descriptor.annotations.get(key).map(String::as_str);
        let image = annotation(IMAGE_NAME).unwrap_or_default();
        annotation(REF_NAME) == Some(tag)
            || image == tag
            || image.rsplit_once(':').is_some_and(|(_, name)| name == tag)
    };
    index.manifests.iter().find(named).cloned()
}

fn bare(digest: OciDigest) -> Descriptor {
    Descriptor {
        media_type: String::new(),
        digest,
        size: 0,
        urls: Vec::new(),
        annotations: std::collections::BTreeMap::new(),
        platform: None,
    }
}
