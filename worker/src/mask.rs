//! Takes secret values out of a log while it streams by.
//!
//! A value may be cut in two by the pieces in which a log is read, so the end of a piece is held back for as long as it
//! could be the beginning of a secret. Only exact values are found: what a command encodes or splits by itself passes.

use memchr::memmem::Finder;

/// What stands in the log in place of a secret.
const MASK: &[u8] = b"*****";

/// Shorter values occur by chance everywhere; masking them would make a log unreadable and hide nothing.
const SHORTEST: usize = 4;

/// What of a secret is looked for: programs drop the line break at its end. None when it is too short to tell anything.
pub(crate) fn telling(secret: &[u8]) -> Option<&[u8]> {
    Some(secret.trim_ascii_end()).filter(|secret| secret.len() >= SHORTEST)
}

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
            .flat_map(|secret| std::iter::once(secret).chain(secret.split(|byte| *byte == b'\n')))
            .filter_map(telling)
            .map(<[u8]>::to_vec)
            .collect();
        needles.sort();
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
        let secrets = self.found();
        let keep = self.secrets.iter().map(|secret| overlap(&self.held, secret.needle())).max().unwrap_or(0);
        let mut safe = self.held.len() - keep;
        // A secret that a longer one may go on from is not let go before that is known.
        if let Some((start, _)) = secrets.iter().find(|(start, end)| (*start..*end).contains(&safe)) {
            safe = *start;
        }
        let out = self.masked(&secrets, safe);
        self.held.drain(..safe);
        out
    }

    /// What is still held when the stream ends.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let out = self.masked(&self.found(), self.held.len());
        self.held.clear();
        out
    }

    /// Where secrets lie in what is held, as ranges in order; those that overlap are one.
    fn found(&self) -> Vec<(usize, usize)> {
        let of = |secret: &Finder<'static>| {
            let length = secret.needle().len();
            secret.find_iter(&self.held).map(|at| (at, at + length)).collect::<Vec<_>>()
        };
        let mut all: Vec<(usize, usize)> = self.secrets.iter().flat_map(of).collect();
        all.sort_unstable();
        let mut merged: Vec<(usize, usize)> = Vec::with_capacity(all.len());
        for (start, end) in all {
            match merged.last_mut() {
                Some(last) if start < last.1 => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        merged
    }

    /// What is held up to `end`, with those of `secrets` masked that end there.
    fn masked(&self, secrets: &[(usize, usize)], end: usize) -> Vec<u8> {
        let (mut out, mut shown) = (Vec::new(), 0);
        for (start, after) in secrets.iter().filter(|(_, after)| *after <= end) {
            out.extend_from_slice(&self.held[shown..*start]);
            out.extend_from_slice(MASK);
            shown = *after;
        }
        out.extend_from_slice(&self.held[shown..end]);
        out
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
    fn a_secret_that_begins_with_another_is_masked_whole() {
        let secrets = [b"pass".as_slice(), b"password1", b"word1234"];
        let mut masker = Masker::new(secrets);
        assert_eq!(all(&mut masker, &[b"a pass", b"word", b"1 b pass c"]), "a ***** b ***** c");
        assert_eq!(all(&mut masker, &[b"password1234."]), "*****.");
        assert_eq!(all(&mut masker, &[b"pass"]), "*****");
    }

    #[test]
    fn what_is_masked_does_not_depend_on_the_pieces() {
        let text = b"pass passw password password1 word1234 password1234 pas";
        let secrets = [b"pass".as_slice(), b"password1", b"word1234"];
        let whole = all(&mut Masker::new(secrets), &[text]);
        for cut in 0..text.len() {
            let (first, second) = text.split_at(cut);
            assert_eq!(all(&mut Masker::new(secrets), &[first, second]), whole, "cut at {cut}");
        }
    }

    #[test]
    fn short_values_are_left_alone() {
        let mut masker = Masker::new([b"a".as_slice(), b""]);
        assert_eq!(all(&mut masker, &[b"banana"]), "banana");
    }
}
