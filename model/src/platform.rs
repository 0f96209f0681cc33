//! Target platforms.

use std::fmt;
use std::str::FromStr;

/// An operating system and an architecture, as in `linux/arm64` or `linux/arm/v7`.
///
/// Specification: OCI image-spec, "Image Index", the `platform` property.
#[derive(
    Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, rkyv::Archive, rkyv::Deserialize, rkyv::Serialize,
)]
pub struct Platform {
    /// `GOOS` of the platform.
    pub os: String,
    /// `GOARCH` of the platform.
    pub architecture: String,
    /// Variant of the architecture, such as `v7`; empty when it has none.
    pub variant: String,
}

/// A text that names no platform.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is not a platform: expected os/architecture or os/architecture/variant")]
pub struct InvalidPlatform(pub String);

impl Platform {
    /// The platform that this binary runs on.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self {
            os: std::env::consts::OS.to_owned(),
            architecture: architecture.to_owned(),
            variant: String::new(),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

impl FromStr for Platform {
    type Err = InvalidPlatform;

    fn from_str(text: &str) -> Result<Self, InvalidPlatform> {
        let lower = text.to_ascii_lowercase();
        let mut parts = lower.split('/');
        let invalid = || InvalidPlatform(text.to_owned());
        let os = parts.next().filter(|part| !part.is_empty()).ok_or_else(invalid)?;
        let architecture = parts.next().filter(|part| !part.is_empty()).ok_or_else(invalid)?;
        let variant = parts.next().unwrap_or_default();
        if parts.next().is_some() {
            return Err(invalid());
        }
        let (architecture, variant) = match (architecture, variant) {
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("aarch64", variant) => ("arm64", variant),
            ("arm64", "v8") => ("arm64", ""),
            ("arm", "") => ("arm", "v7"),
            other => other,
        };
        Ok(Self { os: os.to_owned(), architecture: architecture.to_owned(), variant: variant.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_normalised() {
        let parse = |text: &str| text.parse::<Platform>().unwrap().to_string();
        assert_eq!(parse("linux/x86_64"), "linux/amd64");
        assert_eq!(parse("Linux/ARM64/v8"), "linux/arm64");
        assert_eq!(parse("linux/arm"), "linux/arm/v7");
        assert!("linux".parse::<Platform>().is_err());
        assert!("a/b/c/d".parse::<Platform>().is_err());
    }
}
