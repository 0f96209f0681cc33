//! One blob: asked for, mounted or sent, from where the registry stands after a connection was lost.

use std::sync::Arc;

use farm_model::OciDigest;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use reqwest::{Response, StatusCode, Url};

use super::body::{Meter, Source};
use super::{Blob, How, Place, Pusher, check};
use crate::Error;
use crate::error::Fault;
use crate::registry::{Access, Failure};

const OCTETS: &str = "application/octet-stream";

/// One blob on its way to a repository.
pub(super) struct Upload<'a> {
    pusher: &'a Pusher<'a>,
    place: &'a Place<'a>,
    blob: Blob,
}

/// An upload that a registry has begun.
struct Session {
    location: Url,
    /// Bytes that it has.
    offset: u64,
}

/// How the attempt to use one session ended.
enum Ended {
    /// The registry has the blob.
    Committed,
    /// The registry knows nothing of the session any more; another one may do better.
    Lost(Fault),
}

/// What a registry answers to the wish to upload.
enum Opened {
    Mounted,
    Session(Session),
}

impl<'a> Upload<'a> {
    pub(super) fn new(pusher: &'a Pusher<'a>, place: &'a Place<'a>, blob: Blob) -> Self {
        Self { pusher, place, blob }
    }

    /// Sees to it that the registry has the blob.
    pub(super) async fn run(&self) -> Result<How, Error> {
        let failed = |fault| self.place.error(fault);
        let retries = self.place.client.timeouts().retries;
        let mut sessions = 0;
        loop {
            // What a lost session was about may have arrived all the same.
            if self.present().await.map_err(failed)? {
                return Ok(if sessions == 0 { How::Present } else { How::Uploaded });
            }
            let mut session = match self.open().await.map_err(failed)? {
                Opened::Mounted => return Ok(How::Mounted),
                Opened::Session(session) => session,
            };
            let source = Source::open(&self.blob).await?;
            let fault = match self.transfer(&mut session, &source).await.map_err(failed)? {
                Ended::Committed => return Ok(How::Uploaded),
                Ended::Lost(fault) => fault,
            };
            self.check_source(&source, &fault).await?;
            sessions += 1;
            if sessions > retries {
                return Err(failed(fault));
            }
            tracing::debug!(digest = %self.blob.digest, %fault, "the upload begins anew");
            tokio::time::sleep(self.place.client.backoff(sessions - 1)).await;
        }
    }

    async fn present(&self) -> Result<bool, Fault> {
        let path = format!("blobs/{}", self.blob.digest);
        let http = self.place.client.http(&self.place.endpoint);
        let head = |base: &str| http.head(self.place.url(base, &path));
        let response = match self.place.send(&Access::Push, &head).await {
            Ok(response) => response,
            Err(Fault::NotFound(_)) => return Ok(false),
            Err(fault) => return Err(fault),
        };
        check(&response, "a blob", self.blob.digest)?;
        let length =
            response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        // Some answer without saying how much there is.
        match length.filter(|length: &u64| *length != 0) {
            Some(length) if length != self.blob.size => Err(Fault::Content(format!(
                "blob `{}` has {} bytes, but the registry says that it has {length}",
                self.blob.digest, self.blob.size
            ))),
            Some(_) | None => Ok(true),
        }
    }

    /// Mounts the blob where another repository has it, or begins an upload.
    async fn open(&self) -> Result<Opened, Fault> {
        let known = self.pusher.options.sources.get(&self.blob.digest);
        let others = known.into_iter().flatten().filter(|from| **from != self.place.repository);
        for from in others {
            let encoded = utf8_percent_encode(from, NON_ALPHANUMERIC);
            let path = format!("blobs/uploads/?mount={}&from={encoded}", self.blob.digest);
            match self.post(&path, &Access::Mount { from: from.clone() }).await {
                Ok(opened) => return Ok(opened),
                // Whoever may not read the other repository sends the bytes.
                Err(fault) if !fault.is_transient() => {
                    tracing::debug!(digest = %self.blob.digest, from, %fault, "the blob cannot be mounted");
                }
                Err(fault) => return Err(fault),
            }
        }
        self.post("blobs/uploads/", &Access::Push).await
    }

    async fn post(&self, path: &str, access: &Access) -> Result<Opened, Fault> {
        let http = self.place.client.http(&self.place.endpoint);
        let post = |base: &str| http.post(self.place.url(base, path)).header(CONTENT_LENGTH, 0);
        let response = self.place.send(access, &post).await?;
        if response.status() == StatusCode::CREATED {
            check(&response, "a blob", self.blob.digest)?;
            return Ok(Opened::Mounted);
        }
        let location = location(&response, response.url())?
            .ok_or_else(|| Fault::Protocol("it begins an upload and does not say where".to_owned()))?;
        Ok(Opened::Session(Session { location, offset: 0 }))
    }

    /// Sends what is missing and has it filed.
    async fn transfer(&self, session: &mut Session, source: &Source) -> Result<Ended, Fault> {
        let meter = Meter::new(&self.blob, Arc::clone(self.pusher.on_progress));
        let mut fruitless = 0;
        loop {
            let before = session.offset;
            let (fault, pause) = match self.step(session, source, &meter).await {
                Ok(Step::Committed) => return Ok(Ended::Committed),
                Ok(Step::Advanced) => {
                    fruitless = 0;
                    continue;
                }
                Err(failure) => failure,
            };
            if is_lost(&fault) {
                return Ok(Ended::Lost(fault));
            }
            let out_of_step = matches!(fault, Fault::Status { status: 416, .. });
            if !out_of_step {
                self.place.pause(fruitless, (fault.clone(), pause)).await?;
            }
            match self.standing(session).await {
                Ok(()) if out_of_step && session.offset == before => return Ok(Ended::Lost(fault)),
                Ok(()) => meter.passed(session.offset),
                Err(fault) if fault.is_transient() => return Err(fault),
                Err(Fault::Unauthorized(detail)) => return Err(Fault::Unauthorized(detail)),
                // It cannot say where it stands, so it does not stand anywhere.
                Err(_) => return Ok(Ended::Lost(fault)),
            }
            fruitless = if session.offset > before { 0 } else { fruitless + 1 };
        }
    }

    /// The next request of an upload.
    async fn step(
        &self,
        session: &mut Session,
        source: &Source,
        meter: &Arc<Meter>,
    ) -> Result<Step, Failure> {
        let left = self.blob.size - session.offset;
        let length = left.min(self.pusher.options.chunk.max(1));
        if length == left && (session.offset == 0 || left == 0) {
            return self.commit(session, source, meter).await;
        }
        let (offset, end) = (session.offset, session.offset + length);
        let place = self.place;
        let http = place.client.uploader(&place.endpoint).map_err(|error| as_fault(&error))?;
        let url = session.location.clone();
        let patch = |_: &str| {
            http.patch(url.clone())
                .header(CONTENT_TYPE, OCTETS)
                .header(CONTENT_LENGTH, length)
                .header(CONTENT_RANGE, format!("{offset}-{}", end - 1))
                .body(source.body(offset, length, meter))
        };
        let response = meter.watch(place.client.timeouts().idle, place.once(&Access::Push, &patch)).await?;
        session.follow(&response).map_err(|fault| (fault, None))?;
        session.offset = match taken(&response) {
            // A registry may take less than it was sent, and says so.
            Some(taken) if taken > offset && taken <= end => taken,
            Some(taken) => return Err((misplaced(taken, offset, end), None)),
            None => end,
        };
        meter.passed(session.offset);
        Ok(Step::Advanced)
    }

    /// The last request: everything that is left, and the digest.
    async fn commit(&self, session: &Session, source: &Source, meter: &Arc<Meter>) -> Result<Step, Failure> {
        let (offset, left) = (session.offset, self.blob.size - session.offset);
        let place = self.place;
        let http = place.client.uploader(&place.endpoint).map_err(|error| as_fault(&error))?;
        let url = with_digest(&session.location, self.blob.digest);
        let put = |_: &str| {
            let put = http.put(url.clone()).header(CONTENT_TYPE, OCTETS).header(CONTENT_LENGTH, left);
            if left == 0 { put } else { put.body(source.body(offset, left, meter)) }
        };
        let response = meter.watch(place.commit_deadline(), place.once(&Access::Push, &put)).await?;
        check(&response, "a blob", self.blob.digest).map_err(|fault| (fault, None))?;
        Ok(Step::Committed)
    }

    /// Asks the registry how much it has.
    async fn standing(&self, session: &mut Session) -> Result<(), Fault> {
        let http = self.place.client.http(&self.place.endpoint);
        let url = session.location.clone();
        let response = self.place.send(&Access::Push, &|_| http.get(url.clone())).await?;
        session.follow(&response)?;
        let standing = taken(&response)
            .ok_or_else(|| Fault::Protocol("it does not say how much of an upload it has".to_owned()))?;
        if standing > self.blob.size {
            return Err(misplaced(standing, 0, self.blob.size));
        }
        session.offset = standing;
        Ok(())
    }

    /// When a registry refuses what it was sent, it may be right.
    async fn check_source(&self, source: &Source, fault: &Fault) -> Result<(), Error> {
        if !matches!(fault, Fault::Status { status: 400, .. }) {
            return Ok(());
        }
        let actual = source.digest().await?;
        if actual == self.blob.digest {
            return Ok(());
        }
        self.pusher.store.quarantine_oci_blob(&self.blob.digest)?;
        Err(farm_store::Error::OciCorrupt(self.blob.digest).into())
    }
}

/// What a request of an upload did.
enum Step {
    Advanced,
    Committed,
}

impl Session {
    /// Registries put their state into the address, so each answer may name another.
    fn follow(&mut self, response: &Response) -> Result<(), Fault> {
        if let Some(next) = location(response, &self.location)? {
            self.location = next;
        }
        Ok(())
    }
}

/// Whether a fault says that there is no such upload. A bad request may be about its state or about its bytes.
fn is_lost(fault: &Fault) -> bool {
    matches!(fault, Fault::NotFound(_) | Fault::Status { status: 400 | 409 | 410, .. })
}

/// The `Location` of an answer, which may be relative to the address that was asked.
fn location(response: &Response, asked: &Url) -> Result<Option<Url>, Fault> {
    let Some(value) = response.headers().get(LOCATION) else {
        return Ok(None);
    };
    let invalid = || Fault::Protocol("it names a place for an upload that is no address".to_owned());
    let mut url = asked.join(value.to_str().map_err(|_| invalid())?).map_err(|_| invalid())?;
    // A registry behind a proxy that ends TLS does not know how it is reached.
    if asked.scheme() == "https" && url.scheme() == "http" && asked.host_str() == url.host_str() {
        url.set_scheme("https").map_err(|()| invalid())?;
        url.set_port(asked.port()).map_err(|()| invalid())?;
    }
    if matches!(url.scheme(), "http" | "https") { Ok(Some(url)) } else { Err(invalid()) }
}

/// Bytes that a registry has, of the `Range` in its answer: `0-N`, where N counts. Nothing and one byte look alike; nothing
/// is what it means.
fn taken(response: &Response) -> Option<u64> {
    let header = response.headers().get(RANGE)?.to_str().ok()?;
    let range = header.strip_prefix("bytes=").unwrap_or(header);
    let (start, last) = range.split_once('-')?;
    let last: u64 = last.trim().parse().ok()?;
    (start.trim() == "0").then(|| if last == 0 { 0 } else { last.saturating_add(1) })
}

fn misplaced(taken: u64, offset: u64, end: u64) -> Fault {
    Fault::Protocol(format!("it was sent the bytes from {offset} to {end} and says that it has {taken}"))
}

/// The address with the digest in its query, whatever else is there.
fn with_digest(location: &Url, digest: OciDigest) -> Url {
    let mut url = location.clone();
    url.query_pairs_mut().append_pair("digest", &digest.to_string());
    url
}

fn as_fault(error: &Error) -> Failure {
    (Fault::Protocol(error.to_string()), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_joins_the_state_that_the_registry_keeps_in_the_address() {
        let url: Url = "http://r.example/v2/a/blobs/uploads/1?_state=x%3D".parse().unwrap();
        let digest = OciDigest([1; 32]);
        let expected = format!("{url}&digest=sha256%3A{}", "01".repeat(32));
        assert_eq!(with_digest(&url, digest).as_str(), expected);
    }
}
