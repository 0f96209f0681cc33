//! Blobs: streamed into the store, resumed where the connection broke, verified on the way.

use farm_model::Reference;
use farm_store::Store;
use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode};
use sha2::{Digest, Sha256};

use super::{Client, Endpoint, interrupted};
use crate::Error;
use crate::error::Fault;
use crate::manifest::Descriptor;
use crate::pipe::{PipeWriter, finish, pipe};

/// How often a transfer may be resumed in all; resuming that brings nothing is bounded by the retries.
const MAX_RESUMES: u32 = 32;

/// How a transfer ended that did not fail by the network.
enum Sent {
    /// Every byte went into the pipe.
    All,
    /// The store stopped reading; its own error says why.
    ReaderGone,
}

impl Client {
    pub(super) async fn fetch_blob_at(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        descriptor: &Descriptor,
        store: &Store,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), Error> {
        let (sender, mut reader) = pipe();
        let (digest, size) = (descriptor.digest, descriptor.size);
        let store = store.clone();
        let ingest = tokio::task::spawn_blocking(move || store.ingest_oci_blob(&mut reader, &digest, size));
        let sent = self.send_blob(endpoint, reference, descriptor, &sender, progress).await;
        // A sender that is dropped without this makes the store refuse what came.
        if sent.is_ok() {
            finish(sender).await;
        } else {
            drop(sender);
        }
        let stored = ingest.await.map_err(|_| Error::Cancelled)?;
        match sent {
            Err(fault) => Err(endpoint.error(reference, fault)),
            Ok(Sent::All | Sent::ReaderGone) => {
                stored?;
                Ok(())
            }
        }
    }

    async fn send_blob(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        descriptor: &Descriptor,
        sender: &PipeWriter,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Sent, Fault> {
        let path = format!("blobs/{}", descriptor.digest);
        let mut transfer = Transfer { hasher: Sha256::new(), received: 0, size: descriptor.size };
        let mut fruitless = 0;
        for _ in 0..MAX_RESUMES {
            let before = transfer.received;
            let response = self.get(endpoint, reference, &path, "*/*", before).await?;
            let fault = match transfer.receive(response, sender, progress).await {
                Ok(Sent::ReaderGone) => return Ok(Sent::ReaderGone),
                Ok(Sent::All) => return transfer.finish(descriptor),
                Err(fault) => fault,
            };
            fruitless = if transfer.received > before { 0 } else { fruitless + 1 };
            if !fault.is_transient() || fruitless > self.config.timeouts.retries {
                return Err(fault);
            }
            tracing::debug!(registry = endpoint.name, %fault, received = transfer.received, "transfer is resumed");
            tokio::time::sleep(self.backoff(fruitless)).await;
        }
        Err(Fault::Interrupted { received: transfer.received, reason: "it was resumed too often".to_owned() })
    }
}

/// What has arrived of a blob, over one connection or several.
struct Transfer {
    hasher: Sha256,
    received: u64,
    size: u64,
}

impl Transfer {
    /// Passes on what `response` brings; it either begins where the last one broke off, or at the start.
    async fn receive(
        &mut self,
        mut response: Response,
        sender: &PipeWriter,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Sent, Fault> {
        let mut skip = if response.status() == StatusCode::PARTIAL_CONTENT {
            self.check_range(&response)?;
            0
        } else {
            self.received
        };
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) if self.received < self.size => {
                    let reason = format!("it should have {} bytes", self.size);
                    return Err(Fault::Interrupted { received: self.received, reason });
                }
                Ok(None) => return Ok(Sent::All),
                Err(error) => return Err(interrupted(&error, self.received)),
            };
            let known = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            skip -= known as u64;
            let chunk = chunk.slice(known..);
            if chunk.is_empty() {
                continue;
            }
            if self.received + chunk.len() as u64 > self.size {
                return Err(Fault::Content(format!(
                    "the blob is larger than the {} bytes that its manifest states",
                    self.size
                )));
            }
            self.received += chunk.len() as u64;
            self.hasher.update(&chunk);
            if sender.send(chunk).await.is_err() {
                return Ok(Sent::ReaderGone);
            }
            progress(self.received);
        }
    }

    fn check_range(&self, response: &Response) -> Result<(), Fault> {
        let header =
            response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let start =
            header.strip_prefix("bytes ").and_then(|range| range.split('-').next()?.parse::<u64>().ok());
        if start == Some(self.received) {
            return Ok(());
        }
        Err(Fault::Protocol(format!(
            "it was asked for bytes from {} on and sent the range `{header}`",
            self.received
        )))
    }

    fn finish(self, descriptor: &Descriptor) -> Result<Sent, Fault> {
        let actual = farm_model::OciDigest(self.hasher.finalize().into());
        if actual == descriptor.digest {
            return Ok(Sent::All);
        }
        Err(Fault::Content(format!("blob `{}` arrived with the digest `{actual}`", descriptor.digest)))
    }
}
