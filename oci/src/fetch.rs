//! Downloads for `ADD https://…`: into the store, under limits, with a checksum where one is given.

use std::time::Duration;

use farm_model::{BlobDigest, OciDigest};
use farm_store::Store;
use percent_encoding::percent_decode_str;
use reqwest::header::{CONTENT_DISPOSITION, ETAG, HeaderMap, LAST_MODIFIED, USER_AGENT};
use reqwest::{Response, Url};
use sha2::{Digest, Sha256};

use crate::Error;
use crate::error::Fault;
use crate::pipe::{finish, pipe};
use crate::registry::{
    Proxies, Timeouts, Trust, agent, build_client, fault_of, fault_of_status, interrupted,
};

/// How files are downloaded.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// Proxies for HTTP and HTTPS.
    pub proxies: Proxies,
    /// Deadlines and retries.
    pub timeouts: Timeouts,
    /// Largest file that is accepted.
    pub limit: u64,
    /// How long the whole download may take.
    pub deadline: Duration,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            proxies: Proxies::default(),
            timeouts: Timeouts::default(),
            limit: 16 << 30,
            deadline: farm_model::op::URL_DEADLINE,
        }
    }
}

/// A downloaded file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fetched {
    /// Its bytes, a blob of the store.
    pub blob: BlobDigest,
    /// Their sha256.
    pub sha256: OciDigest,
    /// The name to use in a directory, when address or server give one.
    pub filename: Option<String>,
    /// `Last-Modified` in nanoseconds since the epoch.
    pub modified: Option<i64>,
    /// `ETag`, as sent.
    pub etag: Option<String>,
}

/// The mode of a downloaded file.
pub const FETCHED_MODE: u16 = 0o600;

/// The name that the path of `url` gives a file; none when it ends in a slash.
pub fn filename_of(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let last = url.path().rsplit('/').next()?;
    let name = percent_decode_str(last).decode_utf8().ok()?;
    valid_name(&name)
}

/// Downloads `url` into the store. `checksum` is what `--checksum` demands.
pub async fn fetch_url(
    url: &str,
    checksum: Option<OciDigest>,
    store: &Store,
    options: &FetchOptions,
) -> Result<Fetched, Error> {
    let shown = without_credentials(url);
    let failed = |fault| Error::Download { url: shown.clone(), fault };
    let work = download_with_retries(url, &shown, store, options);
    let fetched = tokio::time::timeout(options.deadline, work).await.map_err(|_| {
        failed(Fault::Interrupted {
            received: 0,
            reason: format!("it took longer than {} s", options.deadline.as_secs()),
        })
    })??;
    match checksum {
        Some(expected) if expected != fetched.sha256 => Err(Error::DigestMismatch {
            what: format!("`{shown}` against --checksum"),
            expected,
            actual: fetched.sha256,
        }),
        _ => Ok(fetched),
    }
}

async fn download_with_retries(
    url: &str,
    shown: &str,
    store: &Store,
    options: &FetchOptions,
) -> Result<Fetched, Error> {
    let failed = |fault| Error::Download { url: shown.to_owned(), fault };
    let client = build_client(&options.proxies, &options.timeouts, Trust::Verified)?;
    let url = Url::parse(url).map_err(|error| failed(Fault::Protocol(error.to_string())))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(failed(Fault::Protocol(format!("`{}` is not http or https", url.scheme()))));
    }
    let mut attempt = 0;
    loop {
        let fault = match client.get(url.clone()).header(USER_AGENT, agent()).send().await {
            Err(error) => fault_of(&error),
            Ok(response) if response.status().is_success() => {
                match download(response, &url, shown, store, options.limit).await? {
                    Ok(fetched) => return Ok(fetched),
                    Err(fault) => fault,
                }
            }
            Ok(response) => fault_of_status(response).await.0,
        };
        if !fault.is_transient() || attempt >= options.timeouts.retries {
            return Err(failed(fault));
        }
        tokio::time::sleep(options.timeouts.backoff.saturating_mul(1 << attempt.min(6))).await;
        attempt += 1;
    }
}

/// The outer result is the store's, the inner one the network's.
async fn download(
    mut response: Response,
    url: &Url,
    shown: &str,
    store: &Store,
    limit: u64,
) -> Result<Result<Fetched, Fault>, Error> {
    let too_large = || Error::TooLarge { what: format!("`{shown}`"), limit, unit: "bytes" };
    if response.content_length().is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let headers = response.headers().clone();
    let (sender, mut reader) = pipe();
    let sink = store.clone();
    let ingest = tokio::task::spawn_blocking(move || sink.ingest(&mut reader, Some(limit)));
    let mut hasher = Sha256::new();
    let mut received = 0;
    let ended = loop {
        match response.chunk().await {
            Ok(None) => break Ok(()),
            Ok(Some(chunk)) if chunk.is_empty() => {}
            Ok(Some(chunk)) => {
                received += chunk.len() as u64;
                hasher.update(&chunk);
                if sender.send(chunk).await.is_err() {
                    break Ok(());
                }
            }
            Err(error) => break Err(interrupted(&error, received)),
        }
    };
    if ended.is_ok() {
        finish(sender).await;
    } else {
        drop(sender);
    }
    let stored = ingest.await.map_err(|_| Error::Cancelled)?;
    if let Err(fault) = ended {
        return Ok(Err(fault));
    }
    let blob = match stored {
        Err(farm_store::Error::TooLarge { .. }) => return Err(too_large()),
        stored => stored?,
    };
    let text = |name| headers.get(name).and_then(|value: &reqwest::header::HeaderValue| value.to_str().ok());
    Ok(Ok(Fetched {
        blob,
        sha256: OciDigest(hasher.finalize().into()),
        filename: filename_of(url.as_str()).or_else(|| disposition(&headers)),
        modified: text(LAST_MODIFIED).and_then(http_date),
        etag: text(ETAG).map(str::to_owned),
    }))
}

fn without_credentials(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else {
        return url.to_owned();
    };
    // Both fail only for addresses that cannot have credentials.
    let _ = parsed.set_username("");
    let _ = parsed.set_password(None);
    parsed.to_string()
}

/// The `filename` of a `Content-Disposition` (RFC 6266), without any directory.
fn disposition(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_DISPOSITION)?.to_str().ok()?;
    let (_, rest) = value.split_once("filename=")?;
    let name = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => rest.split(';').next()?.trim(),
    };
    valid_name(name.rsplit(['/', '\\']).next()?)
}

fn valid_name(name: &str) -> Option<String> {
    farm_tree::path::is_name(name.as_bytes()).then(|| name.to_owned())
}

/// An HTTP date (RFC 9110, section 5.6.7), in the one form that is sent today.
fn http_date(text: &str) -> Option<i64> {
    let time = jiff::fmt::rfc2822::parse(text).ok()?;
    i64::try_from(time.timestamp().as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_path() {
        assert_eq!(filename_of("http://x/a/b%20c.txt?q=1"), Some("b c.txt".into()));
        assert_eq!(filename_of("http://x/a/"), None);
        assert_eq!(filename_of("http://x/%2e%2e"), None);
        assert_eq!(filename_of("http://x/a%2fb"), None);
    }

    #[test]
    fn dispositions_cannot_name_directories() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_DISPOSITION, value.parse().unwrap());
            disposition(&headers)
        };
        assert_eq!(of("attachment; filename=\"../../a.tgz\""), Some("a.tgz".into()));
        assert_eq!(of("attachment; filename=b.tgz; size=1"), Some("b.tgz".into()));
        assert_eq!(of("inline"), None);
    }

    #[test]
    fn dates_are_read() {
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:02 GMT"), Some(2_000_000_000));
        assert_eq!(http_date("yesterday"), None);
    }

    #[test]
    fn credentials_are_not_shown() {
        assert_eq!(without_credentials("http://me:secret@x/a"), "http://x/a");
    }
}
