//! Trust domains.

use std::fmt;
use std::str::FromStr;

/// A trust domain: who may read and write which cache records. It reads its ancestors and writes only itself.
#[derive(
    Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, rkyv::Archive, rkyv::Deserialize, rkyv::Serialize,
)]
pub struct Scope(String);

impl Scope {
    /// The scope of a farm that has only one.
    pub fn main() -> Self {
        Self("main".to_owned())
    }

    /// The scope's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that names no scope.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is not a scope: expected 1 to 64 letters, digits, `.`, `_` or `-`")]
pub struct InvalidScope(pub String);

/// The longest name of a scope.
const MAX_SCOPE: usize = 64;

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > MAX_SCOPE || !text.bytes().all(allowed) {
            return Err(InvalidScope(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_separators_of_other_notations_are_refused() {
        assert_eq!("pr-123".parse::<Scope>().unwrap().as_str(), "pr-123");
        for text in ["", "a/b", "a b", "a?b", "ä", &"a".repeat(65)] {
            assert!(text.parse::<Scope>().is_err(), "{text}");
        }
    }
}
