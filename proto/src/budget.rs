//! What an image may weigh.

use rkyv::{Archive, Deserialize, Serialize};

/// What an image may weigh: its merged file system, unpacked, as `farm images` shows it.
#[derive(Archive, Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Budget {
    /// At most so many bytes.
    pub max_bytes: Option<u64>,
    /// At most so much more than the image that has each of its names now.
    pub max_growth: Option<Growth>,
}

/// How much an image may grow.
#[derive(Archive, Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Growth {
    /// By so many bytes.
    Bytes(u64),
    /// By so many hundredths of a percent of what the previous image weighs.
    Hundredths(u32),
}
