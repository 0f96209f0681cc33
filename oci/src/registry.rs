//! Registry client: resolves references and streams blobs into the store.
//!
//! Follows the OCI distribution-spec and Docker's token protocol. Mirrors are asked in order, then the registry itself.
//! Everything that waits has a deadline, retries are bounded, and every byte is checked against its digest. What goes the
//! other way is in [`crate::push`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use farm_model::{OciDigest, Platform, Reference};
use farm_store::Store;
use tokio::sync::Mutex;

use crate::error::{Attempt, Fault};
use crate::manifest::{Descriptor, Document, MAX_CONFIG, MAX_MANIFEST, Manifest, media};
use crate::resolved::{Resolved, sha256};
use crate::{Error, MAX_MANIFEST_DEPTH};

mod auth;
mod blob;
mod credentials;
mod endpoint;
mod http;
pub mod login;

pub(crate) use auth::Access;
use auth::Tokens;
use credentials::Credentials;
pub(crate) use endpoint::Endpoint;
pub(crate) use http::{
    Failure, MAX_RETRY_AFTER, Trust, agent, body_limited, build_client, fault_of, fault_of_status,
    interrupted,
};
pub use http::{Proxies, Timeouts};

/// How registries are reached.
#[derive(Clone, Debug, Default)]
pub struct RegistryConfig {
    /// Settings by host (and port), as in `farm.toml`.
    pub registries: BTreeMap<String, Registry>,
    /// Docker's `config.json`, for credentials.
    pub docker_config: Option<PathBuf>,
    /// Proxies for HTTP and HTTPS.
    pub proxies: Proxies,
    /// Deadlines and retries.
    pub timeouts: Timeouts,
}

/// Settings of one registry.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Registry {
    /// Asked first, in order: `host[:port][/prefix]`, with an optional scheme.
    pub mirrors: Vec<String>,
    /// Plain HTTP, or TLS with a certificate that nobody vouches for. Loopback addresses are always so.
    pub insecure: bool,
}

/// A client that many tasks may share.
#[derive(Debug)]
pub struct Client {
    config: RegistryConfig,
    secure: reqwest::Client,
    insecure: reqwest::Client,
    credentials: Credentials,
    tokens: Mutex<Tokens>,
    uploading: http::Uploading,
    /// Base addresses of insecure endpoints, once it is known whether they speak TLS.
    bases: Mutex<BTreeMap<String, String>>,
}

/// Limit on the downloads that run at the same time for one image.
pub const PARALLEL_DOWNLOADS: usize = 4;

impl Client {
    /// A client with the given settings. Reads Docker's configuration when credentials are first needed.
    pub fn new(config: RegistryConfig) -> Result<Self, Error> {
        let secure = build_client(&config.proxies, &config.timeouts, http::Trust::Verified)?;
        let insecure = build_client(&config.proxies, &config.timeouts, http::Trust::Anybody)?;
        let credentials = Credentials::new(config.docker_config.clone());
        Ok(Self {
            config,
            secure,
            insecure,
            credentials,
            tokens: Mutex::new(Tokens::default()),
            uploading: http::Uploading::default(),
            bases: Mutex::new(BTreeMap::new()),
        })
    }

    /// Follows `reference` to the image for `platform`.
    pub async fn resolve(&self, reference: &Reference, platform: &Platform) -> Result<Resolved, Error> {
        let mut attempts = Vec::new();
        for endpoint in self.endpoints(reference) {
            match self.resolve_at(&endpoint, reference, platform).await {
                Ok(resolved) => return Ok(resolved),
                Err(Error::Registry { registry, fault, .. }) => attempts.push(Attempt { registry, fault }),
                Err(Error::DigestMismatch { what, expected, actual }) => {
                    let text = format!("{what} should have `{expected}`, but the bytes have `{actual}`");
                    attempts.push(Attempt { registry: endpoint.name.clone(), fault: Fault::Content(text) });
                }
                Err(error) => return Err(error),
            }
        }
        Err(all_failed(reference, attempts))
    }

    /// The digest that `reference` names now, be it of an index or of a manifest. For asking whether a tag moved.
    pub async fn head(&self, reference: &Reference) -> Result<OciDigest, Error> {
        if let Some(digest) = reference.digest {
            return Ok(digest);
        }
        let mut attempts = Vec::new();
        for endpoint in self.endpoints(reference) {
            match self.document(&endpoint, reference, &reference.identifier(), None).await {
                Ok((digest, _)) => return Ok(digest),
                Err(fault) => attempts.push(Attempt { registry: endpoint.name.clone(), fault }),
            }
        }
        Err(all_failed(reference, attempts))
    }

    /// Brings the blob into the store, unless it is there. `progress` is told how many bytes have arrived.
    pub async fn fetch_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        store: &Store,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), Error> {
        if store.has_oci_blob(&descriptor.digest)?.is_some() {
            return Ok(());
        }
        let mut attempts = Vec::new();
        for endpoint in self.endpoints(reference) {
            match self.fetch_blob_at(&endpoint, reference, descriptor, store, progress).await {
                Ok(()) => return Ok(()),
                Err(Error::Registry { registry, fault, .. }) => attempts.push(Attempt { registry, fault }),
                Err(error) => return Err(error),
            }
        }
        Err(all_failed(reference, attempts))
    }

    async fn resolve_at(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Resolved, Error> {
        let failed = |fault| endpoint.error(reference, fault);
        let mut identifier = reference.identifier();
        let mut expected = reference.digest;
        for _ in 0..MAX_MANIFEST_DEPTH {
            let (digest, json) =
                self.document(endpoint, reference, &identifier, expected).await.map_err(failed)?;
            let what = format!("the manifest `{digest}` of `{}`", reference.familiar());
            match Document::parse(&what, &json)? {
                Document::Index(index) => {
                    let chosen = index.choose(&reference.familiar(), platform)?.digest;
                    identifier = chosen.to_string();
                    expected = Some(chosen);
                }
                Document::Manifest(manifest) => {
                    let raw_config = self.config_blob(endpoint, reference, &manifest).await?;
                    return Resolved::assemble(reference.familiar(), digest, json, manifest, raw_config);
                }
            }
        }
        Err(Error::Malformed {
            what: format!("`{}`", reference.familiar()),
            reason: "its indexes are nested too deeply".to_owned(),
        })
    }

    /// A manifest or index with its digest, which is computed and never believed.
    async fn document(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        identifier: &str,
        expected: Option<OciDigest>,
    ) -> Result<(OciDigest, Vec<u8>), Fault> {
        let accept =
            [media::OCI_INDEX, media::OCI_MANIFEST, media::DOCKER_LIST, media::DOCKER_MANIFEST].join(", ");
        let path = format!("manifests/{identifier}");
        let (announced, json) = self.small(endpoint, reference, &path, &accept, MAX_MANIFEST).await?;
        let digest = sha256(&json);
        for expected in expected.into_iter().chain(announced) {
            if digest != expected {
                return Err(Fault::Content(format!(
                    "the manifest should have `{expected}`, but its bytes have `{digest}`"
                )));
            }
        }
        Ok((digest, json))
    }

    async fn config_blob(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        manifest: &Manifest,
    ) -> Result<Vec<u8>, Error> {
        let failed = |fault| endpoint.error(reference, fault);
        let digest = manifest.config.digest;
        let path = format!("blobs/{digest}");
        let (_, json) = self.small(endpoint, reference, &path, "*/*", MAX_CONFIG).await.map_err(failed)?;
        let what = format!("the config of `{}`", reference.familiar());
        crate::resolved::verify(&what, &json, digest)?;
        Ok(json)
    }

    /// A small document as a whole, tried again when the connection breaks; and the digest in its header.
    async fn small(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        path: &str,
        accept: &str,
        limit: u64,
    ) -> Result<(Option<OciDigest>, Vec<u8>), Fault> {
        let mut attempt = 0;
        loop {
            let response = self.get(endpoint, reference, path, accept, 0).await?;
            let announced = response.headers().get("docker-content-digest");
            let announced = announced.and_then(|value| value.to_str().ok()?.parse().ok());
            match body_limited(response, limit).await {
                Ok(bytes) => return Ok((announced, bytes)),
                Err(fault) if fault.is_transient() && attempt < self.config.timeouts.retries => {
                    tokio::time::sleep(self.backoff(attempt)).await;
                    attempt += 1;
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Deadlines and retries.
    pub(crate) fn timeouts(&self) -> &Timeouts {
        &self.config.timeouts
    }

    pub(crate) fn backoff(&self, attempt: u32) -> Duration {
        self.config.timeouts.backoff.saturating_mul(1 << attempt.min(6))
    }
}

fn all_failed(reference: &Reference, mut attempts: Vec<Attempt>) -> Error {
    if attempts.len() == 1
        && let Some(Attempt { registry, fault }) = attempts.pop()
    {
        return Error::Registry { registry, reference: reference.familiar(), fault };
    }
    Error::AllFailed { reference: reference.familiar(), attempts }
}
