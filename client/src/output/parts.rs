//! The parts of a result, read by the thread that writes it.

use std::io::{self, Read};

use tokio::sync::mpsc;

use crate::Error;

/// A part on its way to the thread that writes.
#[derive(Debug)]
pub(super) enum Part {
    Bytes(Vec<u8>),
    Done,
}

/// What came of a result. Its end is only an end once it was said.
pub(super) struct Parts {
    coming: mpsc::Receiver<Part>,
    /// What a reader has not taken of the last part.
    rest: Vec<u8>,
    at: usize,
    taken: u64,
    done: bool,
}

impl Parts {
    pub(super) fn new(coming: mpsc::Receiver<Part>) -> Self {
        Self { coming, rest: Vec::new(), at: 0, taken: 0, done: false }
    }

    /// The next bytes; none when everything came.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        if self.done {
            return Ok(None);
        }
        match self.coming.blocking_recv() {
            Some(Part::Bytes(bytes)) => {
                self.taken += bytes.len() as u64;
                Ok(Some(bytes))
            }
            Some(Part::Done) => {
                self.done = true;
                Ok(None)
            }
            None => Err(Error::Unfinished),
        }
    }

    /// How many bytes came.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    #[cfg(test)]
    pub(super) fn of(parts: Vec<Part>) -> Self {
        let (sender, coming) = mpsc::channel(parts.len().max(1));
        for part in parts {
            sender.try_send(part).unwrap();
        }
        Self::new(coming)
    }

    /// All of `bytes`, and the word that this is all.
    #[cfg(test)]
    pub(super) fn whole(bytes: Vec<u8>) -> Self {
        Self::of(vec![Part::Bytes(bytes), Part::Done])
    }

    /// All of `bytes` without that word.
    #[cfg(test)]
    pub(super) fn cut_off(bytes: Vec<u8>) -> Self {
        Self::of(vec![Part::Bytes(bytes)])
    }
}

impl Read for Parts {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.rest.len() {
            match self.next() {
                Ok(Some(bytes)) => (self.rest, self.at) = (bytes, 0),
                Ok(None) => return Ok(0),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        let count = buffer.len().min(self.rest.len() - self.at);
        buffer[..count].copy_from_slice(&self.rest[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
