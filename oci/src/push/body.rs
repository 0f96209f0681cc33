//! Bodies of uploads: read as they are sent, and watched, so that a connection that takes nothing any more is given up.

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use farm_model::OciDigest;
use futures_util::stream;
use sha2::{Digest as _, Sha256};

use super::{Blob, Content, OnProgress, Progress};
use crate::Error;
use crate::error::{Fault, SILENCE};
use crate::registry::Failure;

/// Bytes that are read together.
const PIECE: u64 = 256 << 10;

/// The bytes of a blob, open.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Memory(Bytes),
    File(Arc<File>),
}

impl Source {
    /// Fails when the bytes are not here, or are not as many as they should be.
    pub(super) async fn open(blob: &Blob) -> Result<Self, Error> {
        let path = match &blob.content {
            Content::Memory(bytes) => return Ok(Self::Memory(bytes.clone())),
            Content::File(path) => path.clone(),
            Content::Missing => return Err(Error::MissingBaseBlob(blob.digest)),
        };
        let (digest, size) = (blob.digest, blob.size);
        blocking(move || {
            let failed = |source| Error::Io { action: "read", path: path.clone(), source };
            let file = File::open(&path).map_err(failed)?;
            let actual = file.metadata().map_err(failed)?.len();
            if actual != size {
                return Err(Error::SizeMismatch { what: format!("blob `{digest}`"), expected: size, actual });
            }
            Ok(Self::File(Arc::new(file)))
        })
        .await
    }

    /// The digest that the bytes really have.
    pub(super) async fn digest(&self) -> Result<OciDigest, Error> {
        let source = self.clone();
        blocking(move || {
            let mut hasher = Sha256::new();
            match source {
                Self::Memory(bytes) => hasher.update(&bytes),
                Self::File(file) => {
                    let (mut at, mut piece) = (0, vec![0; 1 << 20]);
                    loop {
                        let read = file.read_at(&mut piece, at).map_err(|source| Error::Io {
                            action: "read",
                            path: "a blob".into(),
                            source,
                        })?;
                        if read == 0 {
                            break;
                        }
                        hasher.update(&piece[..read]);
                        at += read as u64;
                    }
                }
            }
            Ok(OciDigest(hasher.finalize().into()))
        })
        .await
    }

    /// A body of `length` bytes from `offset` on.
    pub(super) fn body(&self, offset: u64, length: u64, meter: &Arc<Meter>) -> reqwest::Body {
        meter.at.store(offset, Ordering::Relaxed);
        let start = (self.clone(), Arc::clone(meter), offset, offset + length);
        reqwest::Body::wrap_stream(stream::try_unfold(start, |(source, meter, at, end)| async move {
            if at == end {
                return Ok::<_, io::Error>(None);
            }
            let piece = source.piece(at, (end - at).min(PIECE)).await?;
            let next = at + piece.len() as u64;
            // Whoever asks for the next piece has got rid of those before.
            meter.passed(at);
            Ok(Some((piece, (source, meter, next, end))))
        }))
    }

    async fn piece(&self, at: u64, length: u64) -> io::Result<Bytes> {
        let wanted = usize::try_from(length).map_err(io::Error::other)?;
        match self {
            Self::Memory(bytes) => {
                let at = usize::try_from(at).map_err(io::Error::other)?;
                Ok(bytes.slice(at..at + wanted))
            }
            Self::File(file) => {
                let file = Arc::clone(file);
                let reading = tokio::task::spawn_blocking(move || {
                    let mut piece = vec![0; wanted];
                    file.read_exact_at(&mut piece, at)?;
                    Ok(Bytes::from(piece))
                });
                reading.await.map_err(io::Error::other)?
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Cancelled)?
}

/// How far a body has been taken.
pub(super) struct Meter {
    digest: OciDigest,
    of: u64,
    at: AtomicU64,
    on_progress: OnProgress,
}

impl Meter {
    pub(super) fn new(blob: &Blob, on_progress: OnProgress) -> Arc<Self> {
        Arc::new(Self { digest: blob.digest, of: blob.size, at: AtomicU64::new(0), on_progress })
    }

    /// The registry stands here.
    pub(super) fn passed(&self, at: u64) {
        self.at.store(at, Ordering::Relaxed);
        (self.on_progress)(Progress::Sent { digest: self.digest, bytes: at, of: self.of });
    }

    /// Runs `work`, and gives it up when for as long as `idle` nothing of its body is taken and no answer comes.
    pub(super) async fn watch<T>(
        &self,
        idle: Duration,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::pin!(work);
        let mut seen = self.at.load(Ordering::Relaxed);
        loop {
            if let Ok(result) = tokio::time::timeout(idle, &mut work).await {
                return result;
            }
            let now = self.at.load(Ordering::Relaxed);
            if now == seen {
                let fault = Fault::Interrupted { received: now, reason: SILENCE.to_owned() };
                return Err((fault, None));
            }
            seen = now;
        }
    }
}
