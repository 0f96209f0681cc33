//! Items: a length and as many raw bytes, or word that the thing is not there.
//!
//! Items give way to the messages of other streams of the connection, so that logs and heartbeats never wait behind them.

use bytes::{BufMut, Bytes, BytesMut};
use farm_proto::blob::ABSENT;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{Error, Receiver, Result, Sender};

/// How much of an item is read before it is handed to the connection.
const PIECE: usize = 256 << 10;
/// Items up to this size are copied behind their length.
const SMALL: usize = 16 << 10;

impl Sender {
    /// Sends an item.
    pub async fn item(&mut self, bytes: &[u8]) -> Result<()> {
        let size = bytes.len() as u64;
        if bytes.len() > SMALL {
            let mut bytes = bytes;
            return self.item_of(size, &mut bytes).await;
        }
        self.yield_to_messages();
        let mut item = BytesMut::with_capacity(size_of::<u64>() + bytes.len());
        item.put_u64_le(size);
        item.put_slice(bytes);
        self.whole(&mut [item.freeze()]).await
    }

    /// Sends an item of `size` bytes of `reader`, which is read no further. When it has fewer or fails, the stream is reset:
    /// an announced item cannot be taken back in another way.
    pub async fn item_of(&mut self, size: u64, reader: &mut (dyn AsyncRead + Send + Unpin)) -> Result<()> {
        if size == ABSENT {
            return Err(Error::Source(std::io::ErrorKind::FileTooLarge.into()));
        }
        self.yield_to_messages();
        self.begin()?;
        self.part(&mut [Bytes::copy_from_slice(&size.to_le_bytes())]).await?;
        let mut left = size;
        while left > 0 {
            match piece(left, reader).await {
                Ok(piece) => {
                    left -= piece.len() as u64;
                    self.part(&mut [piece]).await?;
                }
                Err(error) => {
                    self.reset();
                    return Err(Error::Source(error));
                }
            }
        }
        self.complete();
        Ok(())
    }

    /// Sends word that the thing that was asked for is not there.
    pub async fn absent(&mut self) -> Result<()> {
        self.whole(&mut [Bytes::copy_from_slice(&ABSENT.to_le_bytes())]).await
    }
}

/// The next bytes of `reader`, at most `left`; never none.
async fn piece(left: u64, reader: &mut (dyn AsyncRead + Send + Unpin)) -> std::io::Result<Bytes> {
    let size = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
    let mut piece = BytesMut::with_capacity(size);
    let mut limited = reader.take(size as u64);
    while piece.len() < size {
        if limited.read_buf(&mut piece).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(piece.freeze())
}

impl Receiver {
    /// The size of the next item; none when the thing that was asked for is not there. The caller then reads exactly as
    /// many bytes, through [`AsyncRead`] or [`Receiver::chunk`]. An end of the stream is an error: whoever calls this is owed
    /// an item. May be given up and asked again.
    pub async fn next_item(&mut self) -> Result<Option<u64>> {
        let Some(size) = self.length::<8>().await? else {
            return Err(self.truncated());
        };
        let size = u64::from_le_bytes(size);
        Ok((size != ABSENT).then_some(size))
    }

    /// The whole next item, refused when it is longer than `limit`; none when it is not there. Giving up half way loses it.
    pub async fn item(&mut self, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(size) = self.next_item().await? else {
            return Ok(None);
        };
        if size > limit {
            return Err(Error::LongItem { peer: self.peer().to_string(), size, limit });
        }
        let mut bytes = Vec::new();
        let mut left = usize::try_from(size).unwrap_or(usize::MAX);
        while left > 0 {
            let Some(chunk) = self.chunk(left).await? else {
                return Err(self.truncated());
            };
            left -= chunk.len();
            bytes.extend_from_slice(&chunk);
        }
        Ok(Some(bytes))
    }
}
