//! Images on their way to a registry: every blob that it does not have, then the manifest.
//!
//! Follows the OCI distribution-spec, "Push". A blob is asked for first, then mounted from a repository of the same registry
//! where one is known to have it, then sent: small ones whole, large ones in pieces, from where the registry says that it
//! stands after a connection was lost. Bytes are read from the store as they are sent. The manifest comes last, so what has
//! a name in the registry is complete. Digests that the registry gives are compared with ours, never believed.
//!
//! Pushing to a mirror is deliberately absent.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farm_model::{OciDigest, Reference};
use farm_store::Store;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{RequestBuilder, Response};

use crate::Error;
use crate::error::Fault;
use crate::image::Assembled;
use crate::manifest::Descriptor;
use crate::registry::{Access, Client, Endpoint, Failure, MAX_RETRY_AFTER, body_limited};
use crate::resolved::sha256;

mod body;
mod upload;

use upload::Upload;

/// How a push is done.
#[derive(Clone, Debug)]
pub struct PushOptions {
    /// How many blobs are on their way at once.
    pub parallel: usize,
    /// Bytes of a blob that go in one request; larger blobs take several.
    pub chunk: u64,
    /// Repositories of the same registry that are known to have a blob.
    pub sources: BTreeMap<OciDigest, Vec<String>>,
}

/// What happens during a push.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// The registry has taken so many bytes of the blob; fewer than before when it forgot some.
    Sent {
        /// Which blob.
        digest: OciDigest,
        /// Bytes so far.
        bytes: u64,
        /// Bytes in all.
        of: u64,
    },
    /// The registry has the blob.
    Done {
        /// Which blob.
        digest: OciDigest,
        /// Its bytes.
        bytes: u64,
        /// How it came to have it.
        how: How,
    },
}

/// How a registry came to have a blob.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum How {
    /// It was sent.
    Uploaded,
    /// It was there.
    Present,
    /// The registry took it from another repository of its own.
    Mounted,
}

/// Is told of progress; called from several tasks.
pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

/// What a push did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Pushed {
    /// Digest of the manifest.
    pub digest: Option<OciDigest>,
    /// Blobs that were sent, and their bytes.
    pub uploaded: (usize, u64),
    /// Blobs that were there, and their bytes.
    pub present: (usize, u64),
    /// Blobs that were mounted, and their bytes.
    pub mounted: (usize, u64),
}

/// Pushes images out of a store.
#[derive(Clone, Copy)]
pub struct Pusher<'a> {
    /// How registries are reached.
    pub client: &'a Client,
    /// Where the bytes of layers are.
    pub store: &'a Store,
    /// How it is done.
    pub options: &'a PushOptions,
    /// Who is told.
    pub on_progress: &'a OnProgress,
}

const PARALLEL: usize = 4;
/// Below what proxies in front of registries commonly refuse.
const CHUNK: u64 = 64 << 20;
/// Limit on the answer to a manifest that is asked for again.
const MAX_ANSWER: u64 = crate::manifest::MAX_MANIFEST;

impl Default for PushOptions {
    fn default() -> Self {
        Self { parallel: PARALLEL, chunk: CHUNK, sources: BTreeMap::new() }
    }
}

impl Pusher<'_> {
    /// Makes `reference` name `image` in its registry. Bytes that the store does not have are needed only when the
    /// registry lacks them as well.
    pub async fn push(&self, image: &Assembled, reference: &Reference) -> Result<Pushed, Error> {
        let digest = image.descriptor.digest;
        if let Some(expected) = reference.digest.filter(|expected| *expected != digest) {
            let what = format!("the manifest to be pushed as `{}`", reference.familiar());
            return Err(Error::DigestMismatch { what, expected, actual: digest });
        }
        let place = Place::new(self.client, reference);
        let blobs = self.blobs(image)?;
        let done: Vec<(How, u64)> = stream::iter(blobs)
            .map(|blob| self.blob(&place, blob))
            .buffer_unordered(self.options.parallel.max(1))
            .try_collect()
            .await?;
        place.manifest(image).await.map_err(|fault| place.error(fault))?;
        let mut pushed = Pushed { digest: Some(digest), ..Pushed::default() };
        for (how, bytes) in done {
            let count = match how {
                How::Uploaded => &mut pushed.uploaded,
                How::Present => &mut pushed.present,
                How::Mounted => &mut pushed.mounted,
            };
            *count = (count.0 + 1, count.1 + bytes);
        }
        Ok(pushed)
    }

    /// Each blob once, the largest first: it decides when the push ends.
    fn blobs(&self, image: &Assembled) -> Result<Vec<Blob>, Error> {
        let mut blobs = BTreeMap::new();
        for layer in &image.layers {
            let Descriptor { digest, size, .. } = layer.descriptor;
            let content = match self.store.oci_blob_path(&digest)? {
                Some(path) => Content::File(path),
                None => Content::Missing,
            };
            blobs.insert(digest, Blob { digest, size, content });
        }
        let config = &image.config_descriptor;
        let content = Content::Memory(Bytes::copy_from_slice(&image.config));
        blobs.insert(config.digest, Blob { digest: config.digest, size: config.size, content });
        let mut blobs: Vec<_> = blobs.into_values().collect();
        blobs.sort_by_key(|blob| std::cmp::Reverse(blob.size));
        Ok(blobs)
    }

    async fn blob(&self, place: &Place<'_>, blob: Blob) -> Result<(How, u64), Error> {
        let (digest, bytes) = (blob.digest, blob.size);
        let how = Upload::new(self, place, blob).run().await?;
        (self.on_progress)(Progress::Done { digest, bytes, how });
        Ok((how, bytes))
    }
}

/// Something to be sent.
#[derive(Clone, Debug)]
struct Blob {
    digest: OciDigest,
    size: u64,
    content: Content,
}

/// Where the bytes of a blob are.
#[derive(Clone, Debug)]
enum Content {
    Memory(Bytes),
    File(PathBuf),
    /// Not here; the registry may have it.
    Missing,
}

/// A repository that is written to.
struct Place<'a> {
    client: &'a Client,
    reference: &'a Reference,
    endpoint: Endpoint,
    repository: String,
}

impl<'a> Place<'a> {
    fn new(client: &'a Client, reference: &'a Reference) -> Self {
        let endpoint = client.origin(&reference.registry);
        let repository = endpoint.repository(reference);
        Self { client, reference, endpoint, repository }
    }

    fn error(&self, fault: Fault) -> Error {
        Error::Push { registry: self.endpoint.name.clone(), reference: self.reference.familiar(), fault }
    }

    fn url(&self, base: &str, path: &str) -> String {
        format!("{base}/v2/{}/{path}", self.repository)
    }

    /// One request, and another one when the registry asks who we are.
    async fn once(
        &self,
        access: &Access,
        request: &(dyn Fn(&str) -> RequestBuilder + Sync),
    ) -> Result<Response, Failure> {
        self.client.exchange(&self.endpoint, &self.repository, access, request).await
    }

    /// A short request, repeated after transient failures.
    async fn send(
        &self,
        access: &Access,
        request: &(dyn Fn(&str) -> RequestBuilder + Sync),
    ) -> Result<Response, Fault> {
        let mut attempt = 0;
        loop {
            let failure = match self.once(access, request).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            self.pause(attempt, failure).await?;
            attempt += 1;
        }
    }

    /// Waits before another attempt; gives the fault back when none makes sense.
    async fn pause(&self, attempt: u32, (fault, pause): Failure) -> Result<(), Fault> {
        if !fault.is_transient() || attempt >= self.client.timeouts().retries {
            return Err(fault);
        }
        let pause = pause.unwrap_or_else(|| self.client.backoff(attempt)).min(MAX_RETRY_AFTER);
        tracing::debug!(registry = self.endpoint.name, %fault, ?pause, "request is repeated");
        tokio::time::sleep(pause).await;
        Ok(())
    }

    async fn manifest(&self, image: &Assembled) -> Result<(), Fault> {
        let body = Bytes::copy_from_slice(&image.manifest);
        let path = format!("manifests/{}", self.reference.identifier());
        let http = self.client.http(&self.endpoint);
        let put = |base: &str| {
            http.put(self.url(base, &path))
                .header(CONTENT_TYPE, &image.descriptor.media_type)
                .header(CONTENT_LENGTH, body.len())
                .body(body.clone())
        };
        let response = self.send(&Access::Push, &put).await?;
        if announced(&response).is_some() {
            return check(&response, "the manifest", image.descriptor.digest);
        }
        // A registry that does not say what it stored is asked for it.
        let get = |base: &str| {
            http.get(self.url(base, &path)).header(reqwest::header::ACCEPT, &image.descriptor.media_type)
        };
        let response = self.send(&Access::Push, &get).await?;
        let actual = sha256(&body_limited(response, MAX_ANSWER).await?);
        if actual == image.descriptor.digest {
            Ok(())
        } else {
            Err(lie("the manifest", image.descriptor.digest, actual))
        }
    }
}

/// The digest in an answer's header.
fn announced(response: &Response) -> Option<OciDigest> {
    response.headers().get("docker-content-digest")?.to_str().ok()?.parse().ok()
}

/// Fails when the registry says that it has something else than it was sent.
fn check(response: &Response, what: &str, expected: OciDigest) -> Result<(), Fault> {
    match announced(response) {
        Some(actual) if actual != expected => Err(lie(what, expected, actual)),
        Some(_) | None => Ok(()),
    }
}

fn lie(what: &str, expected: OciDigest, actual: OciDigest) -> Fault {
    Fault::Content(format!("{what} is `{expected}`, but the registry says that it has `{actual}`"))
}

/// How long a registry may take to check and file what it was sent, as a multiple of the deadline for an answer.
const COMMIT_PATIENCE: u32 = 4;

impl Place<'_> {
    /// The deadline for the answer to the last request of an upload.
    fn commit_deadline(&self) -> Duration {
        self.client.timeouts().idle.saturating_mul(COMMIT_PATIENCE)
    }
}
