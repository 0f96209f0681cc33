//! Sparse files: GNU's old format and the three PAX ones.

use std::io::{self, Read};

use tar::{GnuExtSparseHeader, Header};

use super::header::Number;
use super::pax::{Described, number};
use super::{BLOCK, invalid, truncated};

/// Limit on the pieces of one file; the map is kept in memory.
const MAX_PIECES: usize = 1 << 20;

/// Which parts of a file are stored; the rest is zeros.
#[derive(Debug)]
pub(super) struct SparseMap {
    /// Start and end of the stored parts, ascending and apart.
    pieces: Vec<(u64, u64)>,
    /// Size of the file, holes included.
    pub(super) size: u64,
}

/// What a position of a sparse file is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Hole {
    Zeros,
    Data,
}

impl SparseMap {
    /// Checks that pieces ascend and lie inside the file.
    fn new(numbers: impl IntoIterator<Item = (u64, u64)>, size: u64) -> Option<Self> {
        let mut pieces: Vec<(u64, u64)> = Vec::new();
        let mut last_end = 0;
        for (offset, length) in numbers {
            let end = offset.checked_add(length)?;
            if offset < last_end || end > size || pieces.len() >= MAX_PIECES {
                return None;
            }
            last_end = end;
            if length > 0 {
                pieces.push((offset, end));
            }
        }
        Some(Self { pieces, size })
    }

    /// Bytes that are stored.
    pub(super) fn stored(&self) -> u64 {
        self.pieces.iter().map(|(start, end)| end - start).sum()
    }

    /// What is at `position`, and for how many bytes; none at the end.
    pub(super) fn at(&self, position: u64) -> (Hole, u64) {
        let next = self.pieces.partition_point(|(_, end)| *end <= position);
        match self.pieces.get(next) {
            Some((start, end)) if *start <= position => (Hole::Data, end - position),
            Some((start, _)) => (Hole::Zeros, start - position),
            None => (Hole::Zeros, self.size.saturating_sub(position)),
        }
    }

    /// The map in a GNU header and the extension blocks behind it. None when it contradicts itself.
    pub(super) fn old_gnu(block: &[u8; BLOCK], inner: &mut impl Read) -> io::Result<Option<Self>> {
        let header = Header::from_byte_slice(block);
        let Some(gnu) = header.as_gnu() else {
            return Err(invalid("a sparse file has no GNU header"));
        };
        let mut numbers = Vec::new();
        let push = |offset: &[u8], length: &[u8], numbers: &mut Vec<_>| {
            if offset[0] != 0 || length[0] != 0 {
                numbers.push((Number::of(offset).unsigned(), Number::of(length).unsigned()));
            }
        };
        for piece in &gnu.sparse {
            push(&piece.offset, &piece.numbytes, &mut numbers);
        }
        let mut extended = gnu.isextended[0] == 1;
        while extended {
            let mut extension = GnuExtSparseHeader::new();
            inner.read_exact(extension.as_mut_bytes()).map_err(|_| truncated())?;
            for piece in &extension.sparse {
                push(&piece.offset, &piece.numbytes, &mut numbers);
            }
            if numbers.len() > MAX_PIECES {
                return Ok(None);
            }
            extended = extension.isextended[0] == 1;
        }
        let size = Number::of(&gnu.realsize).unsigned();
        let numbers: Option<Vec<_>> =
            numbers.into_iter().map(|(offset, length)| offset.zip(length)).collect();
        Ok(numbers.zip(size).and_then(|(numbers, size)| Self::new(numbers, size)))
    }

    /// The map of a PAX header, in format 1.0 from the start of the data, of which `remaining` bytes are left.
    pub(super) fn pax(
        described: &Described,
        inner: &mut impl Read,
        remaining: &mut u64,
    ) -> io::Result<Option<Self>> {
        let numbers = if described.map_in_data {
            match map_in_data(inner, remaining)? {
                Some(numbers) => numbers,
                None => return Ok(None),
            }
        } else {
            described.numbers.clone()
        };
        let Some(size) = described.size else {
            return Ok(None);
        };
        if numbers.len() % 2 != 0 {
            return Ok(None);
        }
        Ok(Self::new(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])), size))
    }
}

/// Decimal lines: how many pieces, then offset and length of each; padded to whole blocks.
fn map_in_data(inner: &mut impl Read, remaining: &mut u64) -> io::Result<Option<Vec<u64>>> {
    let mut lines = Lines { inner, remaining, block: [0; BLOCK], at: BLOCK };
    let Some(count) = lines.next()? else {
        return Ok(None);
    };
    let Some(count) = usize::try_from(count).ok().filter(|count| *count <= MAX_PIECES) else {
        return Ok(None);
    };
    let mut numbers = Vec::new();
    for _ in 0..count * 2 {
        match lines.next()? {
            Some(number) => numbers.push(number),
            None => return Ok(None),
        }
    }
    Ok(Some(numbers))
}

struct Lines<'a, R> {
    inner: &'a mut R,
    remaining: &'a mut u64,
    block: [u8; BLOCK],
    at: usize,
}

impl<R: Read> Lines<'_, R> {
    fn next(&mut self) -> io::Result<Option<u64>> {
        let mut digits = Vec::new();
        loop {
            if self.at == BLOCK {
                let Some(rest) = self.remaining.checked_sub(BLOCK as u64) else {
                    return Ok(None);
                };
                *self.remaining = rest;
                self.inner.read_exact(&mut self.block).map_err(|_| truncated())?;
                self.at = 0;
            }
            let byte = self.block[self.at];
            self.at += 1;
            match byte {
                b'\n' => return Ok(number(&digits)),
                _ if digits.len() < 20 => digits.push(byte),
                _ => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_data_or_zeros() {
        let map = SparseMap::new([(10, 5), (20, 0), (20, 10)], 40).unwrap();
        assert_eq!(map.at(0), (Hole::Zeros, 10));
        assert_eq!(map.at(12), (Hole::Data, 3));
        assert_eq!(map.at(15), (Hole::Zeros, 5));
        assert_eq!(map.at(30), (Hole::Zeros, 10));
        assert_eq!(map.at(40), (Hole::Zeros, 0));
        assert_eq!(map.stored(), 15);
    }

    #[test]
    fn maps_that_contradict_themselves_are_refused() {
        assert!(SparseMap::new([(10, 5), (12, 1)], 40).is_none());
        assert!(SparseMap::new([(10, 50)], 40).is_none());
        assert!(SparseMap::new([(u64::MAX, 2)], u64::MAX).is_none());
    }
}
