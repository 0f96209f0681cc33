//! Standard output, which cannot be taken back when a connection is lost in the middle of a result.
//!
//! A build that is taken up again sends its result anew. Results are the same bytes each time unless a step ran again
//! with another outcome; so what was written already is skipped, after it was compared.

use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::Error;
use crate::output::parts::Parts;

/// What was written so far.
#[derive(Debug, Default)]
pub(crate) struct Torn(Mutex<Written>);

#[derive(Debug, Default)]
struct Written {
    bytes: u64,
    hasher: blake3::Hasher,
}

impl Torn {
    /// Writes what is missing of a result.
    pub(super) fn write(&self, parts: &mut Parts, out: &mut impl Write) -> Result<(), Error> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut again, mut skipped) = (blake3::Hasher::new(), 0);
        let failed = || Error::io("write", Path::new("standard output"));
        while let Some(bytes) = parts.next()? {
            let before = usize::try_from(written.bytes - skipped).unwrap_or(usize::MAX).min(bytes.len());
            let (known, new) = bytes.split_at(before);
            if !known.is_empty() {
                again.update(known);
                skipped += known.len() as u64;
                if skipped == written.bytes && again.finalize() != written.hasher.finalize() {
                    return Err(Error::OutputTorn);
                }
            }
            if !new.is_empty() {
                out.write_all(new).map_err(failed())?;
                written.hasher.update(new);
                written.bytes += new.len() as u64;
                skipped = written.bytes;
            }
        }
        if skipped != written.bytes {
            return Err(Error::OutputTorn);
        }
        out.flush().map_err(failed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::parts::Part;

    fn bytes(texts: &[&str]) -> Vec<Part> {
        texts.iter().map(|text| Part::Bytes(text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn a_result_that_was_cut_off_is_continued_where_it_stopped() {
        let (torn, mut out) = (Torn::default(), Vec::new());
        assert!(torn.write(&mut Parts::of(bytes(&["abc", "de"])), &mut out).is_err());
        let mut parts = bytes(&["ab", "cdef", "g"]);
        parts.push(Part::Done);
        torn.write(&mut Parts::of(parts), &mut out).unwrap();
        assert_eq!(out, b"abcdefg");
    }

    #[test]
    fn another_result_is_not_appended_to_the_start_of_the_first() {
        let (torn, mut out) = (Torn::default(), Vec::new());
        assert!(torn.write(&mut Parts::of(bytes(&["abc"])), &mut out).is_err());
        for other in [&["abX", "d"][..], &["ab"][..]] {
            let mut parts = bytes(other);
            parts.push(Part::Done);
            assert!(matches!(torn.write(&mut Parts::of(parts), &mut out), Err(Error::OutputTorn)));
        }
        assert_eq!(out, b"abc");
    }
}
