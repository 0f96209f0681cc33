//! Takes secret values out of a log while it streams by.
//!
//! A value may be cut in two by the pieces in which a log is read, so the end of a piece is held back for as long as it
//! could be the beginning of a secret. Only exact values are found: what a command encodes or splits by itself passes.

use memchr::memmem::Finder;

/// What stands in the log in place of a secret.
const MASK: &[u8] = b"*****";

/// Shorter values occur by chance everywhere; masking them would make a log unreadable and hide nothing.
const SHORTEST: usize = 4;

/// Masks one stream.
#[derive(Debug)]
pub(crate) struct Masker {
    secrets: Vec<Finder<'static>>,
    held: Vec<u8>,
}

impl Masker {
    /// Masks `secrets`, and each of their lines that is long enough.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut needles: Vec<Vec<u8>> = secrets
            .into_iter()
            .flat_map(|secret| {
                std::iter::once(secret.trim_ascii_end()).chain(secret.split(|byte| *byte == b'\n'))
            })
            .filter(|needle| needle.len() >= SHORTEST)
            .map(<[u8]>::to_vec)
            .collect();
        // The longest first, so that a secret that contains another is masked whole.
        needles.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        needles.dedup();
        let secrets = needles.iter().map(|needle| Finder::new(needle).into_owned()).collect();
        Self { secrets, held: Vec::new() }
    }

    /// The part of the stream that is safe to show once `bytes` have come.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.secrets.is_empty() {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        let (mut out, rest) = self.masked();
        let keep =
            self.secrets.iter().map(|secret| overlap(&self.held[rest..], secret.needle())).max().unwrap_or(0);
        let safe = self.held.len() - keep;
        out.extend_from_slice(&self.held[rest..safe]);
        self.held.drain(..safe);
        out
    }

    /// What is still held when the stream ends.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let (mut out, rest) = self.masked();
        out.extend_from_slice(&self.held[rest..]);
        self.held.clear();
        out
    }

    /// Everything up to the end of the last whole secret, masked, and where that end is.
    fn masked(&self) -> (Vec<u8>, usize) {
        let (mut out, mut start) = (Vec::new(), 0);
        while let Some((at, length)) = self.next_secret(start) {
            out.extend_from_slice(&self.held[start..at]);
            out.extend_from_slice(MASK);
            start = at + length;
        }
        (out, start)
    }

    fn next_secret(&self, start: usize) -> Option<(usize, usize)> {
        let found = self.secrets.iter().filter_map(|secret| {
            let at = secret.find(&self.held[start..])?;
            Some((start + at, secret.needle().len()))
        });
        found.min_by_key(|(at, length)| (*at, usize::MAX - length))
    }
}

/// The longest end of `text` that `needle` begins with, the whole needle excluded.
fn overlap(text: &[u8], needle: &[u8]) -> usize {
    let longest = text.len().min(needle.len() - 1);
    (1..=longest).rev().find(|length| text.ends_with(&needle[..*length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(masker: &mut Masker, pieces: &[&[u8]]) -> String {
        let mut out = Vec::new();
        for piece in pieces {
            out.extend(masker.push(piece));
        }
        out.extend(masker.finish());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_secret_is_masked_also_across_pieces() {
        let mut masker = Masker::new([b"hunter2".as_slice()]);
        assert_eq!(all(&mut masker, &[b"a hun", b"ter2 b hunter2"]), "a ***** b *****");
    }

    #[test]
    fn what_only_begins_like_a_secret_comes_out_at_the_end() {
        let mut masker = Masker::new([b"hunter2".as_slice()]);
        assert_eq!(masker.push(b"hunt"), b"");
        assert_eq!(masker.push(b"ing"), b"hunting");
    }

    #[test]
    fn each_line_of_a_secret_is_one() {
        let mut masker = Masker::new([b"first-line\nsecond-line\n".as_slice()]);
        assert_eq!(all(&mut masker, &[b"x second-line y\nfirst-line"]), "x ***** y\n*****");
    }

    #[test]
    fn short_values_are_left_alone() {
        let mut masker = Masker::new([b"a".as_slice(), b""]);
        assert_eq!(all(&mut masker, &[b"banana"]), "banana");
    }
}
