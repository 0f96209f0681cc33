//! The fixed fields of a header block.

use std::io;

use farm_tree::Mtime;
use tar::Header;

use super::{BLOCK, invalid};

/// A numeric field: octal text, or GNU's base 256; none when it is neither or does not fit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Number(Option<i64>);

impl Number {
    pub(super) fn of(field: &[u8]) -> Self {
        match field.first() {
            None => Self(Some(0)),
            Some(first) if first & 0x80 != 0 => Self(base_256(field)),
            Some(_) => Self(octal(field)),
        }
    }

    pub(super) fn unsigned(self) -> Option<u64> {
        u64::try_from(self.0?).ok()
    }

    pub(super) fn signed(self) -> Option<i64> {
        self.0
    }
}

fn base_256(field: &[u8]) -> Option<i64> {
    // Bit 6 of the first byte is the sign, two's complement.
    let negative = field[0] & 0x40 != 0;
    let first = if negative { field[0] } else { field[0] & 0x7f };
    let mut value: i128 = if negative { -1 } else { 0 };
    for byte in std::iter::once(first).chain(field[1..].iter().copied()) {
        value = value.checked_mul(256)? | i128::from(byte);
    }
    i64::try_from(value).ok()
}

fn octal(field: &[u8]) -> Option<i64> {
    let padding = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().position(|byte| !padding(byte)).unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(padding).unwrap_or(digits.len());
    digits[..end].iter().try_fold(0_i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

/// What a block is, before its fields are looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum RawKind {
    LongName,
    LongLink,
    Pax,
    PaxGlobal,
    Entry(u8),
}

/// A checked block.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) kind: RawKind,
    pub(super) size: Number,
}

/// Checks the sum of a header block.
pub(super) fn parse(block: &[u8; BLOCK]) -> io::Result<Raw> {
    let header = Header::from_byte_slice(block);
    let old = header.as_old();
    let stated = Number::of(&old.cksum).signed();
    let sum = |byte: &dyn Fn(u8) -> i64| -> i64 {
        block
            .iter()
            .enumerate()
            .map(|(at, value)| if (148..156).contains(&at) { 32 } else { byte(*value) })
            .sum()
    };
    // Old tars summed signed bytes.
    let signed = |value: u8| i64::from(value.cast_signed());
    if stated != Some(sum(&|value| i64::from(value))) && stated != Some(sum(&signed)) {
        return Err(invalid("a header has a wrong check sum: this is no tar, or a damaged one"));
    }
    let type_flag = old.linkflag[0];
    let kind = match type_flag {
        b'L' => RawKind::LongName,
        b'K' => RawKind::LongLink,
        b'x' => RawKind::Pax,
        b'g' => RawKind::PaxGlobal,
        other => RawKind::Entry(other),
    };
    Ok(Raw { kind, size: Number::of(&old.size) })
}

/// The fields that an entry is made of.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) path: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) mode: Number,
    pub(super) uid: Number,
    pub(super) gid: Number,
    pub(super) mtime: Number,
    pub(super) device: (Number, Number),
}

impl Fields {
    pub(super) fn of(block: &[u8; BLOCK]) -> Self {
        let header = Header::from_byte_slice(block);
        let old = header.as_old();
        let device = match (header.as_ustar(), header.as_gnu()) {
            (Some(ustar), _) => (Number::of(&ustar.dev_major), Number::of(&ustar.dev_minor)),
            (None, Some(gnu)) => (Number::of(&gnu.dev_major), Number::of(&gnu.dev_minor)),
            (None, None) => (Number(Some(0)), Number(Some(0))),
        };
        Self {
            path: header.path_bytes().into_owned(),
            link: header.link_name_bytes().unwrap_or_default().into_owned(),
            mode: Number::of(&old.mode),
            uid: Number::of(&old.uid),
            gid: Number::of(&old.gid),
            mtime: Number::of(&old.mtime),
            device,
        }
    }
}

/// A time that no file system holds, or none at all, is the epoch, as Docker has it.
pub(super) fn mtime_of_seconds(seconds: Option<i64>) -> Mtime {
    let nanos =
        seconds.filter(|seconds| *seconds >= 0).and_then(|seconds| seconds.checked_mul(1_000_000_000));
    Mtime(nanos.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        assert_eq!(Number::of(b"0000644\0").unsigned(), Some(0o644));
        assert_eq!(Number::of(b"   644 \0").unsigned(), Some(0o644));
        assert_eq!(Number::of(b"\0\0\0").unsigned(), Some(0));
        assert_eq!(Number::of(b"89").unsigned(), None);
        let mut large = [0; 12];
        large[0] = 0x80;
        large[7] = 1;
        assert_eq!(Number::of(&large).unsigned(), Some(1 << 32));
        assert_eq!(Number::of(&[0xff; 12]).signed(), Some(-1));
        let mut huge = [0xff; 12];
        huge[0] = 0x80;
        assert_eq!(Number::of(&huge).unsigned(), None);
    }

    #[test]
    fn times_out_of_range_are_the_epoch() {
        assert_eq!(mtime_of_seconds(Some(-5)), Mtime(0));
        assert_eq!(mtime_of_seconds(Some(i64::MAX)), Mtime(0));
        assert_eq!(mtime_of_seconds(Some(2)), Mtime(2_000_000_000));
    }
}
