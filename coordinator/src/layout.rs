//! OCI layouts of a client: read in place where its paths are honoured, else brought here, and of them only what is needed.
//!
//! Index, manifests and configurations come into a temporary layout that lives as long as the build; layers go straight into
//! the store. A document that does not have the digest under which it was asked for is refused.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::Arc;

use farm_model::OciDigest;
use farm_oci::manifest::{Document, MAX_CONFIG, MAX_MANIFEST};
use farm_oci::{Descriptor, Layout, Resolved, resolved};
use farm_proto::session::Ask;
use farm_store::{Scratch, Store};
use farm_transport::blocking::BlockingReceiver;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use crate::build::{Paths, blocking};
use crate::{Error, Session};

/// More manifests than any layout that is used as a base has.
const MOST_DOCUMENTS: usize = 1024;

/// The layouts that one build names.
pub(crate) struct Layouts {
    session: Session,
    /// By the path on the client.
    brought: Mutex<BTreeMap<String, Arc<Scratch>>>,
}

impl std::fmt::Debug for Layouts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layouts").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Layouts {
    pub(crate) fn new(session: Session) -> Self {
        Self { session, brought: Mutex::default() }
    }

    /// The layout that the client has at `path`, of which `reference` is wanted. Its layers may be missing.
    pub(crate) async fn open(
        &self,
        store: &Store,
        path: &str,
        reference: Option<&str>,
    ) -> Result<Layout, Error> {
        if self.session.paths() == Paths::Honoured {
            let path = path.to_owned();
            return blocking(move || Ok(Layout::open(path.as_ref())?)).await;
        }
        let mut brought = self.brought.lock().await;
        let known = brought.get(path).cloned();
        let scratch = if let Some(scratch) = known {
            scratch
        } else {
            let store = store.clone();
            Arc::new(blocking(move || Ok(store.scratch()?)).await?)
        };
        let documents = Documents { session: &self.session, layout: path, target: scratch.directory() };
        documents.bring(reference).await?;
        brought.insert(path.to_owned(), Arc::clone(&scratch));
        let directory = scratch.directory().to_owned();
        blocking(move || Ok(Layout::open(&directory)?)).await
    }

    /// Has the layers of an image of the layout at `path` in the store, or where they are read in place.
    pub(crate) async fn bring_layers(
        &self,
        store: &Store,
        path: &str,
        image: &Resolved,
    ) -> Result<(), Error> {
        if self.session.paths() == Paths::Honoured {
            return Ok(());
        }
        for (layer, chain_id) in image.layers.iter().zip(image.chain_ids()) {
            let (own, digest) = (store.clone(), layer.descriptor.digest);
            let here = blocking(move || {
                let unpacked = own.base_layer(&chain_id)?;
                let unpacked = unpacked.map(|layer| own.is_complete(&layer.digest)).transpose()?;
                Ok(unpacked == Some(true) || own.has_oci_blob(&digest)?.is_some())
            });
            if !here.await? {
                self.bring_layer(store, path, &layer.descriptor).await?;
            }
        }
        Ok(())
    }

    async fn bring_layer(&self, store: &Store, path: &str, layer: &Descriptor) -> Result<(), Error> {
        let file = blob(&layer.digest);
        let ask = Ask::LayoutFile { layout: path.to_owned(), file: file.clone() };
        loop {
            let (_asked, receiver) = self.session.open(&ask).await?;
            let (store, digest, size) = (store.clone(), layer.digest, layer.size);
            let (handle, missing) = (Handle::current(), missing(path, &file));
            let brought = blocking(move || {
                let mut receiver = Heard { receiver: receiver.into_blocking(handle), lost: None };
                let Some(_) = receiver.receiver.next_item()? else { return Err(missing) };
                // It reads no further than the size, and refuses what has another one or another digest.
                let ingested = store.ingest_oci_blob(&mut receiver, &digest, size);
                if let Some(lost) = receiver.lost {
                    return Err(lost.into());
                }
                ingested?;
                Ok(())
            });
            match brought.await {
                Ok(()) => return Ok(()),
                Err(error) => self.session.again(error).await?,
            }
        }
    }
}

/// The documents of one layout on their way.
struct Documents<'a> {
    session: &'a Session,
    layout: &'a str,
    target: &'a Path,
}

impl Documents<'_> {
    /// Brings what leads to any image of the layout. What is there already is not asked for again.
    async fn bring(&self, reference: Option<&str>) -> Result<(), Error> {
        self.fetch("oci-layout", None, MAX_CONFIG).await?;
        let index = self.fetch("index.json", None, MAX_MANIFEST).await?;
        let mut open = VecDeque::new();
        self.follow("index.json", &index, &mut open)?;
        // An index may lie below another that is not listed.
        open.extend(reference.and_then(|text| text.parse::<OciDigest>().ok()).map(Wanted::Manifest));
        let mut count = 0;
        while let Some(wanted) = open.pop_front() {
            count += 1;
            if count > MOST_DOCUMENTS {
                let limit = MOST_DOCUMENTS as u64;
                let what = format!("the OCI layout `{}`", self.layout);
                return Err(farm_oci::Error::TooLarge { what, limit, unit: "manifests" }.into());
            }
            match wanted {
                Wanted::Config(digest) => {
                    self.fetch(&blob(&digest), Some(digest), MAX_CONFIG).await?;
                }
                Wanted::Manifest(digest) => {
                    let file = blob(&digest);
                    let json = self.fetch(&file, Some(digest), MAX_MANIFEST).await?;
                    self.follow(&file, &json, &mut open)?;
                }
            }
        }
        Ok(())
    }

    /// What a document leads to. A layout may lack the images of other platforms, which are found missing when wanted.
    fn follow(&self, file: &str, json: &[u8], open: &mut VecDeque<Wanted>) -> Result<(), Error> {
        if json.is_empty() {
            return Ok(());
        }
        match Document::parse(&format!("`{file}` of the OCI layout `{}`", self.layout), json)? {
            Document::Index(index) => {
                open.extend(index.manifests.iter().map(|entry| Wanted::Manifest(entry.digest)));
            }
            Document::Manifest(manifest) => open.push_back(Wanted::Config(manifest.config.digest)),
        }
        Ok(())
    }

    /// Brings one file, and gives its bytes; none of them when a blob is not there.
    async fn fetch(&self, file: &str, digest: Option<OciDigest>, limit: u64) -> Result<Vec<u8>, Error> {
        let target = self.target.join(file);
        let known = target.clone();
        if let Some(bytes) = blocking(move || Ok(std::fs::read(known).ok())).await? {
            return Ok(bytes);
        }
        let ask = Ask::LayoutFile { layout: self.layout.to_owned(), file: file.to_owned() };
        let item = loop {
            let (_asked, mut receiver) = self.session.open(&ask).await?;
            match receiver.item(limit).await {
                Ok(item) => break item,
                Err(error) => self.session.again(error).await?,
            }
        };
        let bytes = match (item, digest) {
            (Some(bytes), _) => bytes,
            (None, Some(_)) => return Ok(Vec::new()),
            (None, None) => return Err(missing(self.layout, file)),
        };
        if let Some(expected) = digest {
            let actual = resolved::sha256(&bytes);
            if actual != expected {
                let what = format!("`{file}` of the OCI layout `{}`", self.layout);
                return Err(farm_oci::Error::DigestMismatch { what, expected, actual }.into());
            }
        }
        blocking(move || {
            let failed = |source| Error::State { path: target.clone(), source: Arc::new(source) };
            if let Some(parent) = target.parent() {
                std::fs::create_dir_all(parent).map_err(failed)?;
            }
            std::fs::write(&target, &bytes).map_err(failed)?;
            Ok(bytes)
        })
        .await
    }
}

enum Wanted {
    Manifest(OciDigest),
    Config(OciDigest),
}

fn blob(digest: &OciDigest) -> String {
    format!("blobs/sha256/{}", digest.to_string().trim_start_matches("sha256:"))
}

fn missing(layout: &str, file: &str) -> Error {
    farm_oci::Error::NotInLayout { name: file.to_owned(), path: layout.into() }.into()
}

/// Bytes of a client, with the reason why they ended early: whoever reads them only passes on that they did.
struct Heard {
    receiver: BlockingReceiver,
    lost: Option<farm_transport::Error>,
}

impl io::Read for Heard {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receiver.read(buffer).map_err(|error| {
            let lost = self.lost.insert(farm_transport::Error::from_io(error));
            io::Error::other(lost.to_string())
        })
    }
}
