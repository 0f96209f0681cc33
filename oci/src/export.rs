//! Images and file systems as files: OCI layouts (tar and directory), docker archives, flattened tars and directories.
//!
//! All archives are deterministic. A target appears under its name only when it is complete. Every byte of a layer is
//! hashed on its way out; one that is damaged is moved aside, and the export fails with [`Error::is_loss`].

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use farm_model::{OciDigest, Reference};
use farm_store::{Store, VerifiedOciBlob};
use farm_tree::{Mtime, Tree};

use crate::Error;
use crate::image::Assembled;
use crate::manifest::{Descriptor, Index, media};
use crate::pack::write_tar;

mod archive;
mod directory;
mod target;

use archive::ArchiveWriter;
pub use directory::write_directory;
pub use target::AtomicFile;

const REF_NAME: &str = "org.opencontainers.image.ref.name";
const IMAGE_NAME: &str = "io.containerd.image.name";
const CREATED: &str = "org.opencontainers.image.created";
const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// An image, and what it is called where it goes.
pub type Named<'a> = (&'a Assembled, &'a [Reference]);

/// Writes an OCI layout of one or several images as a tar.
pub fn oci_archive(images: &[Named<'_>], store: &Store, out: &mut dyn Write) -> Result<(), Error> {
    let mut archive = ArchiveWriter::new(out);
    blobs(images, store, &mut archive)?;
    archive.file("index.json", &index(images))?;
    archive.file("oci-layout", LAYOUT)?;
    archive.finish()
}

/// Writes a tar of one or several images that `docker load` reads; it is an OCI layout besides.
pub fn docker_archive(images: &[Named<'_>], store: &Store, out: &mut dyn Write) -> Result<(), Error> {
    let mut archive = ArchiveWriter::new(out);
    blobs(images, store, &mut archive)?;
    archive.file("index.json", &index(images))?;
    archive.file("manifest.json", &docker_manifest(images))?;
    archive.file("oci-layout", LAYOUT)?;
    if let Some(repositories) = docker_repositories(images) {
        archive.file("repositories", &repositories)?;
    }
    archive.finish()
}

/// Writes an OCI layout into the directory `path`, which is made; other images in it stay.
pub fn oci_directory(
    image: &Assembled,
    store: &Store,
    names: &[Reference],
    path: &Path,
) -> Result<(), Error> {
    let folder = path.join("blobs/sha256");
    std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    let put = |path: PathBuf, reader: &mut dyn Read, what: &str| {
        let mut file = AtomicFile::create(&path)?;
        io::copy(reader, &mut file).map_err(Error::copying("write", &path))?;
        tracing::trace!(what, "blob is written");
        file.commit()
    };
    for descriptor in image.layers.iter().map(|layer| &layer.descriptor) {
        let target = folder.join(hex(&descriptor.digest));
        if target.metadata().is_ok_and(|known| known.len() == descriptor.size) {
            continue;
        }
        put(target, &mut open_oci_blob(store, &descriptor.digest)?, "layer")?;
    }
    put(folder.join(hex(&image.config_descriptor.digest)), &mut &image.config[..], "config")?;
    put(folder.join(hex(&image.descriptor.digest)), &mut &image.manifest[..], "manifest")?;
    put(path.join("oci-layout"), &mut &LAYOUT[..], "oci-layout")?;
    // The index comes last: what it names is there.
    put(path.join("index.json"), &mut &index(&[(image, names)])[..], "index")
}

/// Writes the file system `tree` as a tar.
pub fn rootfs_tar(
    tree: &Tree,
    store: &Store,
    clamp: Option<Mtime>,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let mut buffered = BufWriter::with_capacity(1 << 20, out);
    write_tar(tree, store, &mut buffered, clamp)?;
    buffered.flush().map_err(Error::io("write", Path::new("the tar")))
}

fn blobs(images: &[Named<'_>], store: &Store, archive: &mut ArchiveWriter<'_>) -> Result<(), Error> {
    archive.directory("blobs/")?;
    archive.directory("blobs/sha256/")?;
    // Sorted and each once: images share layers, and one may hold the same layer twice.
    let mut documents = BTreeMap::new();
    for (image, _) in images {
        let config = (&image.config_descriptor, Some(&image.config));
        documents.insert(hex(&image.config_descriptor.digest), config);
        documents.insert(hex(&image.descriptor.digest), (&image.descriptor, Some(&image.manifest)));
        for layer in &image.layers {
            documents.insert(hex(&layer.descriptor.digest), (&layer.descriptor, None));
        }
    }
    for (name, (descriptor, bytes)) in documents {
        let name = format!("blobs/sha256/{name}");
        match bytes {
            Some(bytes) => archive.file(&name, bytes)?,
            None => archive.stream(&name, descriptor.size, &mut open_oci_blob(store, &descriptor.digest)?)?,
        }
    }
    Ok(())
}

fn open_oci_blob(store: &Store, digest: &OciDigest) -> Result<VerifiedOciBlob, Error> {
    store.open_oci_verified(digest)?.ok_or(Error::MissingBaseBlob(*digest))
}

fn hex(digest: &OciDigest) -> String {
    let text = digest.to_string();
    text.trim_start_matches("sha256:").to_owned()
}

/// One entry a name, as containerd and skopeo expect it.
fn index(images: &[Named<'_>]) -> Vec<u8> {
    let manifests = images.iter().flat_map(|(image, names)| entries(image, names)).collect();
    json(&Index {
        schema_version: 2,
        media_type: media::OCI_INDEX.to_owned(),
        manifests,
        annotations: BTreeMap::new(),
    })
}

fn entries(image: &Assembled, names: &[Reference]) -> Vec<Descriptor> {
    let mut descriptor = image.descriptor.clone();
    if let Some(created) =
        image.created.and_then(|nanos| jiff::Timestamp::from_nanosecond(i128::from(nanos)).ok())
    {
        // Annotations hold whole seconds, as RFC 3339 is read by all.
        let seconds = jiff::Timestamp::from_second(created.as_second()).unwrap_or(created);
        descriptor.annotations.insert(CREATED.to_owned(), seconds.to_string());
    }
    let entry = |name: &Reference| {
        let mut descriptor = descriptor.clone();
        descriptor.annotations.insert(IMAGE_NAME.to_owned(), name.to_string());
        let tag = name.tag.clone().unwrap_or_else(|| "latest".to_owned());
        descriptor.annotations.insert(REF_NAME.to_owned(), tag);
        descriptor
    };
    if names.is_empty() { vec![descriptor.clone()] } else { names.iter().map(entry).collect() }
}

#[derive(serde::Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerManifest {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

fn docker_manifest(images: &[Named<'_>]) -> Vec<u8> {
    let blob = |digest: &OciDigest| format!("blobs/sha256/{}", hex(digest));
    let entry = |(image, names): &Named<'_>| {
        let tags: Vec<_> = names.iter().map(Reference::familiar).collect();
        DockerManifest {
            config: blob(&image.config_descriptor.digest),
            repo_tags: (!tags.is_empty()).then_some(tags),
            layers: image.layers.iter().map(|layer| blob(&layer.descriptor.digest)).collect(),
        }
    };
    json(&images.iter().map(entry).collect::<Vec<_>>())
}

/// What tools of before 2015 read: tags by repository, pointing at the top layer.
fn docker_repositories(images: &[Named<'_>]) -> Option<Vec<u8>> {
    let mut repositories: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (image, names) in images {
        let Some(top) = image.layers.last().map(|layer| hex(&layer.descriptor.digest)) else { continue };
        for name in *names {
            let familiar = name.familiar();
            if let Some((repository, tag)) =
                familiar.rsplit_once(':').filter(|_| name.tag.is_some() && name.digest.is_none())
            {
                repositories.entry(repository.to_owned()).or_default().insert(tag.to_owned(), top.clone());
            }
        }
    }
    (!repositories.is_empty()).then(|| json(&repositories))
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings, numbers and maps with string keys are always JSON")
}
