//! PAX records: `length key=value`, where a value may hold any byte, line ends too.

use std::collections::BTreeMap;

use farm_tree::record::xattr_is_kept;

use crate::Error;

const XATTR: &[u8] = b"SCHILY.xattr.";
const NANOS: i64 = 1_000_000_000;
/// Digits of a nanosecond.
const FRACTION: usize = 9;

/// What an extended header says of the entry behind it.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    /// Nanoseconds since the Unix epoch.
    pub(super) mtime: Option<i64>,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Pax {
    /// Reads the records of an extended header. Those that mean nothing here are passed over.
    pub(super) fn parse(mut records: &[u8]) -> Result<Self, Error> {
        let mut pax = Self::default();
        while !records.is_empty() {
            let (record, rest) = split(records).ok_or_else(damaged)?;
            records = rest;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(damaged)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => pax.path = Some(value.to_vec()),
                b"linkpath" => pax.link = Some(value.to_vec()),
                b"size" => pax.size = Some(number(value)?),
                b"uid" => pax.uid = Some(number(value)?),
                b"gid" => pax.gid = Some(number(value)?),
                b"mtime" => pax.mtime = Some(time(value).ok_or_else(damaged)?),
                _ => {
                    if let Some(name) = key.strip_prefix(XATTR).filter(|name| xattr_is_kept(name)) {
                        pax.xattrs.insert(name.to_vec(), value.to_vec());
                    }
                }
            }
        }
        Ok(pax)
    }
}

/// The first record without its length and its line end, and what follows.
fn split(records: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = records.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
    let (record, rest) = records.split_at_checked(length)?;
    Some((record.get(space + 1..)?.strip_suffix(b"\n")?, rest))
}

fn number<T: std::str::FromStr>(value: &[u8]) -> Result<T, Error> {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or_else(damaged)
}

/// Seconds with a fraction.
fn time(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |text| (-1, text));
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = &fraction[..fraction.len().min(FRACTION)];
    let nanos: i64 = format!("{digits:0<FRACTION$}").parse().ok()?;
    let seconds: u64 = seconds.parse().ok()?;
    i64::try_from(seconds).ok()?.checked_mul(NANOS)?.checked_add(nanos)?.checked_mul(sign)
}

fn damaged() -> Error {
    Error::Archive("an extended header is damaged".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_fractions_and_signs() {
        assert_eq!(time(b"1.5"), Some(1_500_000_000));
        assert_eq!(time(b"-1.5"), Some(-1_500_000_000));
        assert_eq!(time(b"10"), Some(10 * NANOS));
        assert_eq!(time(b"9000000000.000000001"), Some(9_000_000_000_000_000_001));
        assert_eq!(time(b"1.x"), None);
        assert_eq!(time(b"99999999999999999999"), None);
    }

    #[test]
    fn damaged_records_are_refused() {
        for records in [&b"x"[..], b"99 a=b\n", b"6 a=bc", b"5 abc", b"4 ab\n", b"9 uid=-1\n", b"0 "] {
            assert!(Pax::parse(records).is_err(), "{records:?}");
        }
    }
}
