//! Contents of context files as items.
//!
//! A file may have changed since it was scanned. Its bytes are hashed again before they are promised, and a changed file
//! is absent; whoever asked checks the digest once more.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::sync::Arc;

use farm_model::BlobDigest;
use farm_transport::Sender;
use tokio::sync::mpsc;

use crate::{Error, Scan};

/// Larger contents are not held in memory.
const MOST_IN_MEMORY: u64 = 1 << 20;
/// Items that are read ahead of the connection.
const AHEAD: usize = 8;
const BUFFER: usize = 256 << 10;

/// A content that is ready to be sent.
enum Ready {
    Absent,
    Bytes(Vec<u8>),
    File(File, u64),
}

/// Sends the contents `blobs`, in their order.
pub(super) async fn blobs(
    scan: Option<Arc<Scan>>,
    blobs: Vec<BlobDigest>,
    mut sender: Sender,
) -> Result<(), Error> {
    let (ready, mut coming) = mpsc::channel(AHEAD);
    let reading = tokio::task::spawn_blocking(move || {
        let mut buffer = vec![0; BUFFER];
        for blob in &blobs {
            let item = scan.as_ref().and_then(|scan| prepare(scan, blob, &mut buffer).ok().flatten());
            if ready.blocking_send(item.unwrap_or(Ready::Absent)).is_err() {
                return;
            }
        }
    });
    while let Some(item) = coming.recv().await {
        match item {
            Ready::Absent => sender.absent().await?,
            Ready::Bytes(bytes) => sender.item(&bytes).await?,
            Ready::File(file, size) => {
                sender.item_of(size, &mut tokio::fs::File::from_std(file)).await?;
            }
        }
    }
    reading.await.map_err(|panic| Error::Panicked(panic.to_string()))?;
    Ok(sender.finish()?)
}

/// Opens the file of a content and hashes it; none when it is not what it was.
fn prepare(scan: &Scan, blob: &BlobDigest, buffer: &mut [u8]) -> io::Result<Option<Ready>> {
    let Some(mut file) = scan.open(blob)? else { return Ok(None) };
    if blob.size <= MOST_IN_MEMORY {
        let mut bytes = Vec::with_capacity(usize::try_from(blob.size).unwrap_or_default() + 1);
        file.take(blob.size + 1).read_to_end(&mut bytes)?;
        let same = bytes.len() as u64 == blob.size && *blake3::hash(&bytes).as_bytes() == blob.hash;
        return Ok(same.then_some(Ready::Bytes(bytes)));
    }
    let found = crate::context::hash(&mut file, buffer)?;
    file.rewind()?;
    Ok((found == *blob).then_some(Ready::File(file, blob.size)))
}
