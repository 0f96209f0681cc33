//! The written encoding of everything that is hashed.
//!
//! Integers are little-endian and fixed in width, byte strings and lists carry their length first, an
//! option is a presence byte and then its value. Each kind of record has a context string of its own for
//! `blake3::derive_key`, which ends in a version: two kinds never share a digest, and a change of layout
//! is a change of context. Golden tests beside each use pin the results.

/// Builds the byte string that a digest is taken from.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    /// An empty encoding.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one byte, usually the tag of an enum.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes.push(value);
        self
    }

    /// Appends a 32-bit number.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Appends a 64-bit number.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Appends a signed 64-bit number.
    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Appends `value` as it stands: only for fields of a fixed width, such as digests.
    pub fn raw(&mut self, value: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(value);
        self
    }

    /// Appends the length of `value`, then `value`.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.u64(value.len() as u64).raw(value)
    }

    /// Appends a text as its UTF-8 bytes.
    pub fn str(&mut self, value: &str) -> &mut Self {
        self.bytes(value.as_bytes())
    }

    /// Appends a presence byte and, when there is one, the value through `encode`.
    pub fn option<T>(&mut self, value: Option<T>, encode: impl FnOnce(&mut Self, T)) -> &mut Self {
        match value {
            None => self.u8(0),
            Some(value) => {
                self.u8(1);
                encode(self, value);
                self
            }
        }
    }

    /// Appends the number of items, then each through `encode`.
    pub fn list<I>(&mut self, items: I, mut encode: impl FnMut(&mut Self, I::Item)) -> &mut Self
    where
        I: IntoIterator<IntoIter: ExactSizeIterator>,
    {
        let items = items.into_iter();
        self.u64(items.len() as u64);
        for item in items {
            encode(self, item);
        }
        self
    }

    /// The encoding so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The encoding itself, for records that are stored as what they are hashed from.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The digest of the encoding under `context`.
    pub fn digest(&self, context: &str) -> [u8; 32] {
        digest(context, &self.bytes)
    }
}

/// BLAKE3 of `bytes` in the domain `context`.
pub fn digest(context: &str, bytes: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(bytes);
    *hasher.finalize().as_bytes()
}

/// An encoding that ends early, or holds what its reader does not know.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("malformed record at byte {offset}: {reason}")]
pub struct Malformed {
    /// Where reading stopped.
    pub offset: usize,
    /// What was wrong there.
    pub reason: &'static str,
}

/// Reads what [`Encoder`] wrote. Every length is checked against what is left, so hostile bytes cannot
/// make it allocate more than they are long.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Decoder<'a> {
    /// Starts at the first of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// An error at the present position.
    pub fn malformed(&self, reason: &'static str) -> Malformed {
        Malformed { offset: self.offset, reason }
    }

    /// The next `count` bytes.
    pub fn raw(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let rest = &self.bytes[self.offset..];
        if count > rest.len() {
            return Err(self.malformed("it ends too early"));
        }
        self.offset += count;
        Ok(&rest[..count])
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let bytes = self.raw(N)?;
        Ok(bytes.try_into().expect("raw returns as many as asked"))
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A 32-bit number.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    /// A 64-bit number.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// A signed 64-bit number.
    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_le_bytes)
    }

    /// A length and as many bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let count = self.count()?;
        self.raw(count)
    }

    /// A text.
    pub fn str(&mut self) -> Result<&'a str, Malformed> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed("a text is not UTF-8"))
    }

    /// The length of a list or byte string; no larger than what is left, since an item takes a byte or more.
    pub fn count(&mut self) -> Result<usize, Malformed> {
        let count = self.u64()?;
        let left = self.bytes.len() - self.offset;
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= left)
            .ok_or_else(|| self.malformed("a length exceeds what is left"))
    }

    /// A list of items, each read by `decode`.
    pub fn list<T>(
        &mut self,
        mut decode: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.count()?;
        (0..count).map(|_| decode(self)).collect()
    }

    /// A presence byte and, when it is set, a value.
    pub fn option<T>(
        &mut self,
        decode: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        match self.u8()? {
            0 => Ok(None),
            1 => decode(self).map(Some),
            _ => Err(self.malformed("a presence byte is neither 0 nor 1")),
        }
    }

    /// Fails unless every byte was read.
    pub fn finish(&self) -> Result<(), Malformed> {
        if self.offset == self.bytes.len() { Ok(()) } else { Err(self.malformed("bytes follow its end")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut encoder = Encoder::new();
        encoder.u8(7).u32(8).u64(9).i64(-1).str("ab");
        encoder.option(Some(3), |e, v| {
            e.u64(v);
        });
        encoder.list(["x", "yz"], |e, v| {
            e.str(v);
        });
        let mut decoder = Decoder::new(encoder.as_bytes());
        assert_eq!(decoder.u8(), Ok(7));
        assert_eq!(decoder.u32(), Ok(8));
        assert_eq!(decoder.u64(), Ok(9));
        assert_eq!(decoder.i64(), Ok(-1));
        assert_eq!(decoder.str(), Ok("ab"));
        assert_eq!(decoder.option(Decoder::u64), Ok(Some(3)));
        assert_eq!(decoder.list(|d| d.str().map(str::len)), Ok(vec![1, 2]));
        assert_eq!(decoder.finish(), Ok(()));
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        let mut encoder = Encoder::new();
        encoder.u64(u64::MAX);
        assert!(Decoder::new(encoder.as_bytes()).bytes().is_err());
    }

    #[test]
    fn the_encoding_is_pinned() {
        let mut encoder = Encoder::new();
        encoder.str("farm").u32(1);
        assert_eq!(
            encoder.as_bytes(),
            b"\x04\0\0\0\0\0\0\0farm\x01\0\0\0",
            "a change of layout needs a new context string"
        );
    }

    #[test]
    fn contexts_separate_domains() {
        assert_ne!(digest("farm a v1", b"x"), digest("farm b v1", b"x"));
    }
}
