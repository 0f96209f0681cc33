//! Names of builds, workers and leases.

use std::fmt;
use std::str::FromStr;

/// One build. The client draws it at random, so that a build can be named before anybody has answered, and asked for
/// again after a connection or a coordinator was lost. Printed as 16 hexadecimal digits; any unique prefix names it to
/// a person.
#[derive(
    Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd, rkyv::Archive, rkyv::Deserialize, rkyv::Serialize,
)]
pub struct BuildId(pub [u8; 8]);

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BuildId({self})")
    }
}

/// A text that is no build's id.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is not a build id: expected 16 hexadecimal digits")]
pub struct InvalidBuildId(pub String);

impl FromStr for BuildId {
    type Err = InvalidBuildId;

    fn from_str(text: &str) -> Result<Self, InvalidBuildId> {
        let invalid = || InvalidBuildId(text.to_owned());
        if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(invalid());
        }
        let number = u64::from_str_radix(text, 16).map_err(|_| invalid())?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// A worker, by the name in its certificate.
#[derive(
    Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, rkyv::Archive, rkyv::Deserialize, rkyv::Serialize,
)]
pub struct WorkerId(pub String);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names one grant of one step to one worker. Never used twice, so it fences late reports.
#[derive(
    Clone,
    Copy,
    Debug,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd,
    rkyv::Archive,
    rkyv::Deserialize,
    rkyv::Serialize,
)]
pub struct LeaseId {
    /// Number of the coordinator's life, raised durably at each start before its first grant.
    pub epoch: u64,
    /// Number within the epoch.
    pub counter: u64,
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_id_round_trips_through_text() {
        let id = BuildId([0, 1, 2, 3, 0xfc, 0xfd, 0xfe, 0xff]);
        assert_eq!(id.to_string(), "00010203fcfdfeff");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn signs_and_short_texts_are_no_build_ids() {
        assert!("+0010203fcfdfeff".parse::<BuildId>().is_err());
        assert!("0001".parse::<BuildId>().is_err());
    }
}
