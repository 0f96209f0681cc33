//! Trust domains.

use std::fmt;

/// A trust domain: who may read and write which cache records. It reads its ancestors and writes only itself.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[derive(rkyv::Archive, rkyv::Deserialize, rkyv::Serialize)]
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

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
