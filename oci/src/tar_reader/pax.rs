//! PAX extended headers (POSIX.1-2001, "pax Extended Header") with GNU's sparse records and Schily's attributes.

use std::collections::BTreeMap;
use std::io;

use farm_tree::Mtime;
use farm_tree::record::xattr_is_kept;

use super::invalid;

/// What a PAX header says of the entry that follows it. An empty value takes back what the header block says.
#[derive(Clone, Debug, Default)]
pub(super) struct Extensions {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<Mtime>,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) sparse: Option<Described>,
}

/// A sparse file as GNU tar's PAX formats 0.0, 0.1 and 1.0 describe it.
#[derive(Clone, Debug, Default)]
pub(super) struct Described {
    /// Format 1.0: the map stands at the start of the data.
    pub(super) map_in_data: bool,
    /// The real name.
    pub(super) name: Option<Vec<u8>>,
    /// The size with holes.
    pub(super) size: Option<u64>,
    /// Offsets and lengths in turn, in formats 0.x.
    pub(super) numbers: Vec<u64>,
}

impl Extensions {
    pub(super) fn parse(bytes: &[u8]) -> io::Result<Self> {
        let mut extensions = Self::default();
        let mut rest = bytes;
        // Padding after the records is none of the format, but is written.
        while !rest.is_empty() && rest[0] != 0 {
            let (key, value, after) =
                record(rest).ok_or_else(|| invalid("a PAX header has a malformed record"))?;
            extensions.apply(key, value).ok_or_else(|| invalid("a PAX header has a value out of range"))?;
            rest = after;
        }
        Ok(extensions)
    }

    fn apply(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let text = (!value.is_empty()).then(|| value.to_vec());
        match key {
            b"path" => self.path = text,
            b"linkpath" => self.link = text,
            b"size" => self.size = optional_number(value)?,
            b"uid" => self.uid = optional_number(value)?,
            b"gid" => self.gid = optional_number(value)?,
            b"mtime" => self.mtime = if value.is_empty() { None } else { Some(time(value)?) },
            b"GNU.sparse.major" => self.sparse().map_in_data = value == b"1",
            b"GNU.sparse.name" => self.sparse().name = text,
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse().size = optional_number(value)?,
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                let number = number(value)?;
                self.sparse().numbers.push(number);
            }
            b"GNU.sparse.map" => {
                let numbers = value.split(|byte| *byte == b',').map(number).collect::<Option<_>>()?;
                self.sparse().numbers = numbers;
            }
            key => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.")
                    && xattr_is_kept(name)
                {
                    self.xattrs.insert(name.to_vec(), value.to_vec());
                }
            }
        }
        Some(())
    }

    fn sparse(&mut self) -> &mut Described {
        self.sparse.get_or_insert_default()
    }
}

/// Splits `<length> <key>=<value>\n` off. A value may hold any byte, newlines too.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(number(&bytes[..space])?).ok()?;
    if length > bytes.len() || length < space + 3 {
        return None;
    }
    let (record, rest) = bytes.split_at(length);
    let body = record[space + 1..].strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&body[..equals], &body[equals + 1..]);
    (!key.is_empty()).then_some((key, value, rest))
}

pub(super) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The outer option is validity.
#[expect(clippy::option_option, reason = "an empty value is valid and takes back the field")]
fn optional_number(text: &[u8]) -> Option<Option<u64>> {
    if text.is_empty() { Some(None) } else { Some(Some(number(text)?)) }
}

/// Seconds with a fraction; before the epoch or beyond what fits it is the epoch.
fn time(text: &[u8]) -> Option<Mtime> {
    let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let seconds = number(parts.next()?)?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut nanos: u64 = 0;
    for place in 0..9 {
        nanos = nanos * 10 + fraction.get(place).map_or(0, |digit| u64::from(digit - b'0'));
    }
    let total = seconds.checked_mul(1_000_000_000).and_then(|total| total.checked_add(nanos));
    let total = total.and_then(|total| i64::try_from(total).ok()).filter(|_| !negative);
    Some(Mtime(total.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_are_read_with_newlines_in_values() {
        let bytes = b"12 path=abc\n28 SCHILY.xattr.user.a=1\n2=\n23 mtime=12.5000000019\n30 SCHILY.xattr.security.ima=\n";
        let extensions = Extensions::parse(bytes);
        let extensions = extensions.unwrap();
        assert_eq!(extensions.path.as_deref(), Some(&b"abc"[..]));
        assert_eq!(extensions.xattrs.len(), 1);
        assert_eq!(extensions.xattrs[&b"user.a"[..]], b"1\n2=");
        assert_eq!(extensions.mtime, Some(Mtime(12_500_000_001)));
    }

    #[test]
    fn malformed_records_are_refused() {
        for bytes in
            [&b"5 a=b"[..], b"99 a=b\n", b"x a=b\n", b"4 a\n", b"13 size=-123\n", b"18 mtime=1.-5\n   "]
        {
            assert!(Extensions::parse(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Extensions::parse(&bytes);
        }
    }
}
