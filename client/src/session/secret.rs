//! Values of secrets. They are read when a step needs them, and kept nowhere.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use farm_proto::Secret;

use crate::Error;

/// Larger secrets are refused, as `docker build` does.
const LARGEST: u64 = 500 << 10;

/// Where the value of a secret is found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SecretSource {
    /// A file.
    File(PathBuf),
    /// A variable of the environment, with its value where it has one.
    Variable {
        /// Its name.
        name: String,
        /// Its value.
        value: Option<Secret>,
    },
}

impl SecretSource {
    /// The value.
    pub(super) fn read(&self) -> Result<Secret, Error> {
        match self {
            Self::Variable { name, value } => value
                .clone()
                .ok_or_else(|| Error::NotGiven { what: "environment variable", name: name.clone() }),
            Self::File(path) => {
                let file = File::open(path).map_err(Error::io("read secret", path))?;
                let mut value = Vec::new();
                file.take(LARGEST + 1).read_to_end(&mut value).map_err(Error::io("read secret", path))?;
                if value.len() as u64 > LARGEST {
                    return Err(Error::TooLarge { path: path.clone(), limit: LARGEST });
                }
                Ok(Secret::new(value))
            }
        }
    }
}
