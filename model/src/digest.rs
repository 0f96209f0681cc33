//! Content digests. Each is a type of its own, so that a layer can never be looked up as a blob.

use std::fmt;
use std::str::FromStr;

/// Why a text is not a digest.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is not a valid digest: expected {expected}")]
pub struct InvalidDigest {
    /// What was given.
    pub text: String,
    /// The form that was expected.
    pub expected: &'static str,
}

fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let bytes = text.as_bytes();
    if bytes.len() != 64 {
        return None;
    }
    let nibble = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut out = [0; 32];
    for (slot, pair) in out.iter_mut().zip(bytes.chunks_exact(2)) {
        *slot = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(out)
}

fn write_hex(bytes: &[u8; 32], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[derive(rkyv::Archive, rkyv::Deserialize, rkyv::Serialize)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The raw 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = InvalidDigest;

            fn from_str(text: &str) -> Result<Self, InvalidDigest> {
                parse_hex(text).map(Self).ok_or_else(|| InvalidDigest {
                    text: text.to_owned(),
                    expected: "64 lower-case hexadecimal digits",
                })
            }
        }
    };
}

digest! {
    /// One directory record with everything below it, mtimes included.
    DirectoryDigest
}
digest! {
    /// A whole tree with its mtimes: the identity of a layer.
    LayerDigest
}
digest! {
    /// A tree or a record without mtimes: what cache keys see.
    ContentDigest
}
digest! {
    /// The cache key of a step.
    StepDigest
}

/// BLAKE3 of a file's bytes, with their number: the identity of file content inside the farm.
#[derive(
    Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd, rkyv::Archive, rkyv::Deserialize, rkyv::Serialize,
)]
pub struct BlobDigest {
    /// BLAKE3 of the bytes.
    pub hash: [u8; 32],
    /// How many bytes there are.
    pub size: u64,
}

impl BlobDigest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self { hash: *blake3::hash(bytes).as_bytes(), size: bytes.len() as u64 }
    }
}

impl fmt::Display for BlobDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.hash, f)?;
        write!(f, ":{}", self.size)
    }
}

impl fmt::Debug for BlobDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobDigest({self})")
    }
}

/// The `sha256:…` digest of OCI manifests, configs, layer blobs and diff ids. It never mixes with the
/// farm's own digests.
///
/// Specification: OCI image-spec, "Descriptor", section "Digests".
#[derive(
    Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd, rkyv::Archive, rkyv::Deserialize, rkyv::Serialize,
)]
pub struct OciDigest(pub [u8; 32]);

impl fmt::Display for OciDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for OciDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OciDigest({self})")
    }
}

impl FromStr for OciDigest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        text.strip_prefix("sha256:").and_then(parse_hex).map(Self).ok_or_else(|| InvalidDigest {
            text: text.to_owned(),
            expected: "`sha256:` and 64 lower-case hexadecimal digits",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_round_trip_through_text() {
        let digest = LayerDigest([0xa5; 32]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        let oci = OciDigest([0x0f; 32]);
        assert_eq!(oci.to_string().parse(), Ok(oci));
    }

    #[test]
    fn upper_case_short_and_foreign_digests_are_refused() {
        assert!("AB".repeat(32).parse::<StepDigest>().is_err());
        assert!("ab".repeat(31).parse::<StepDigest>().is_err());
        assert!(format!("sha512:{}", "ab".repeat(32)).parse::<OciDigest>().is_err());
    }
}
