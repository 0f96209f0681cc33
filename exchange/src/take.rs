//! The asking side of one answer: items come off a stream, and a thread that may block puts them into the store.

use std::io::{self, Read};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use farm_model::{BlobDigest, DirectoryDigest};
use farm_proto::blob::ABSENT;
use farm_store::Store;
use farm_transport::Receiver;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::error::apart;
use crate::keep::{Keep, Kept, keep_blob, keep_record};
use crate::{Error, PATIENCE, PIECE_BYTES, PIECES};

/// What an answer came to.
#[derive(Debug)]
pub(crate) struct Taken<N> {
    /// The other side does not have them.
    pub(crate) absent: Vec<N>,
    /// The other side sent something else.
    pub(crate) corrupt: Vec<N>,
    /// The answer ended before them, or in the middle of the first.
    pub(crate) unanswered: Vec<N>,
    /// Why, when it was not an ordinary end.
    pub(crate) broken: Option<Error>,
    /// Bytes of items that were kept.
    pub(crate) bytes: u64,
}

/// Keeps directory records that answer another question; returns those that are not to be had.
pub async fn take_records(
    store: &Store,
    receiver: Receiver,
    digests: &[DirectoryDigest],
) -> Result<Vec<DirectoryDigest>, Error> {
    complete(take(receiver, digests.to_vec(), keep_record(store), Patience::Endless).await?)
}

/// Keeps contents that answer another question; returns those that are not to be had, or are others by now.
pub async fn take_blobs(
    store: &Store,
    receiver: Receiver,
    blobs: &[BlobDigest],
) -> Result<Vec<BlobDigest>, Error> {
    complete(take(receiver, blobs.to_vec(), keep_blob(store), Patience::Endless).await?)
}

fn complete<N>(taken: Taken<N>) -> Result<Vec<N>, Error> {
    if !taken.unanswered.is_empty() {
        return Err(taken.broken.unwrap_or(Error::EndedEarly));
    }
    let mut missing = taken.absent;
    missing.extend(taken.corrupt);
    Ok(missing)
}

/// How long a source that is there may say nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Patience {
    /// As long as its connection lives: a client hashes a file, however large, before it sends it.
    Endless,
    /// Not long: there are other sources.
    Short,
}

/// Takes the items of `names`, in this order.
pub(crate) async fn take<N: Send + 'static>(
    receiver: Receiver,
    names: Vec<N>,
    keep: Keep<N>,
    patience: Patience,
) -> Result<Taken<N>, Error> {
    let (pieces, arriving) = mpsc::channel(PIECES);
    let reading = apart(move || read_items(Pieces::new(arriving), names, &keep));
    let (taken, ()) = tokio::join!(reading, pump(receiver, pieces, patience));
    taken
}

type Piece = Result<Bytes, Error>;

/// Carries bytes from the stream to the thread until the stream ends or the thread has enough.
async fn pump(mut receiver: Receiver, pieces: mpsc::Sender<Piece>, patience: Patience) {
    let limit = match patience {
        Patience::Endless => Duration::MAX,
        Patience::Short => PATIENCE,
    };
    loop {
        let read = tokio::select! {
            read = timeout(limit, receiver.chunk(PIECE_BYTES)) => read,
            () = pieces.closed() => return,
        };
        let piece = match read {
            Ok(Ok(Some(piece))) => Ok(piece),
            Ok(Ok(None)) => return,
            Ok(Err(error)) => Err(Error::Stream(error.into())),
            Err(_) => Err(Error::Silent(PATIENCE.as_secs())),
        };
        let last = piece.is_err();
        if pieces.send(piece).await.is_err() || last {
            return;
        }
    }
}

/// Blocks.
fn read_items<N: 'static>(mut pieces: Pieces, names: Vec<N>, keep: &Keep<N>) -> Result<Taken<N>, Error> {
    let mut taken =
        Taken { absent: Vec::new(), corrupt: Vec::new(), unanswered: Vec::new(), broken: None, bytes: 0 };
    let mut keeping = keep.begin();
    let mut names = names.into_iter();
    for name in names.by_ref() {
        let Some(size) = pieces.header() else {
            taken.unanswered.push(name);
            break;
        };
        if size == ABSENT {
            taken.absent.push(name);
            continue;
        }
        let mut item = (&mut pieces).take(size);
        let kept = keeping.keep(&name, size, &mut item)?;
        if kept == Kept::Absurd {
            taken.corrupt.push(name);
            break;
        }
        let skipped = io::copy(&mut item, &mut io::sink());
        let cut_short = skipped.is_err() || item.limit() > 0;
        if cut_short {
            taken.unanswered.push(name);
            break;
        }
        match kept {
            Kept::Good => taken.bytes += size,
            Kept::Corrupt | Kept::Absurd => taken.corrupt.push(name),
        }
    }
    keeping.finish()?;
    taken.unanswered.extend(names);
    taken.broken = pieces.broken;
    Ok(taken)
}

/// What came off the stream, as one run of bytes.
struct Pieces {
    arriving: mpsc::Receiver<Piece>,
    current: Bytes,
    broken: Option<Error>,
}

impl Pieces {
    fn new(arriving: mpsc::Receiver<Piece>) -> Self {
        Self { arriving, current: Bytes::new(), broken: None }
    }

    /// The length of the next item; none when the answer ended.
    fn header(&mut self) -> Option<u64> {
        let mut length = [0; 8];
        self.read_exact(&mut length).ok()?;
        Some(u64::from_le_bytes(length))
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.arriving.blocking_recv() {
                Some(Ok(piece)) => self.current = piece,
                // Everybody who reads takes a broken stream for an ended one; the reason is kept.
                Some(Err(error)) => self.broken = Some(error),
                None => return Ok(0),
            }
        }
        let count = self.current.len().min(buffer.len());
        self.current.split_to(count).copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::keep::whole;

    fn read(bytes: &[u8], names: &[&'static str], keep: &Keep<&'static str>) -> Taken<&'static str> {
        let (pieces, arriving) = mpsc::channel(bytes.len().max(1));
        for piece in bytes.chunks(3) {
            pieces.try_send(Ok(Bytes::copy_from_slice(piece))).unwrap();
        }
        drop(pieces);
        read_items(Pieces::new(arriving), names.to_vec(), keep).unwrap()
    }

    fn item(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u64).to_le_bytes(), bytes].concat()
    }

    /// Keeps an item whose bytes are its name; one that starts with another byte is not even read.
    fn by_name() -> Keep<&'static str> {
        Arc::new(|name: &&'static str, size: u64, item: &mut dyn Read| {
            if size > 100 {
                return Ok(Kept::Absurd);
            }
            let good = whole(item).is_some_and(|bytes| bytes == name.as_bytes());
            Ok(if good { Kept::Good } else { Kept::Corrupt })
        })
    }

    #[test]
    fn what_is_absent_or_something_else_is_told_apart_and_the_rest_is_kept() {
        let answer = [item(b"a"), ABSENT.to_le_bytes().to_vec(), item(b"x"), item(b"d")].concat();
        let taken = read(&answer, &["a", "b", "c", "d"], &by_name());
        assert_eq!((taken.absent, taken.corrupt), (vec!["b"], vec!["c"]));
        assert_eq!((taken.unanswered, taken.bytes), (vec![], 2));
    }

    #[test]
    fn an_answer_that_ends_inside_an_item_leaves_it_unanswered_not_corrupt() {
        let answer = [item(b"a"), item(b"bbbb")].concat();
        let taken = read(&answer[..answer.len() - 2], &["a", "bbbb", "c"], &by_name());
        assert_eq!(taken.unanswered, ["bbbb", "c"]);
        assert!(taken.corrupt.is_empty());
        let taken = read(&answer[..answer.len() - 8], &["a", "bbbb", "c"], &by_name());
        assert_eq!(taken.unanswered, ["bbbb", "c"]);
    }

    #[test]
    fn an_item_of_an_absurd_size_ends_the_reading() {
        let answer = [item(b"a"), (u64::MAX - 1).to_le_bytes().to_vec(), vec![0; 50]].concat();
        let taken = read(&answer, &["a", "b", "c"], &by_name());
        assert_eq!((taken.corrupt, taken.unanswered), (vec!["b"], vec!["c"]));
    }

    #[test]
    fn bytes_that_keep_does_not_read_are_skipped() {
        let keep: Keep<&'static str> =
            Arc::new(|_: &&'static str, _: u64, _: &mut dyn Read| Ok(Kept::Corrupt));
        let taken = read(&[item(b"aaaa"), item(b"b")].concat(), &["a", "b"], &keep);
        assert_eq!(taken.corrupt, ["a", "b"]);
    }
}
