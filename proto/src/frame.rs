//! Frames: a length and as many bytes of rkyv.

use rkyv::util::AlignedVec;

/// The longest frame. A longer one is refused before it is read.
pub const LIMIT: usize = 64 << 20;
/// Alignment that archived values need.
pub const ALIGNMENT: usize = 16;

/// A message that can travel in a frame.
pub trait Message: Sized {
    /// The bytes of the frame, without the length.
    fn encode(&self) -> Result<AlignedVec<ALIGNMENT>, Error>;

    /// Reads what came; validated, never panics.
    fn decode(bytes: &AlignedVec<ALIGNMENT>) -> Result<Self, Error>;
}

/// Why a frame cannot be made or read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// It would be longer than [`LIMIT`].
    #[error("a message of {0} bytes is longer than the limit of {LIMIT}")]
    TooLong(usize),
    /// What came is no such message.
    #[error("the bytes are no valid message")]
    Invalid,
    /// The message cannot be encoded.
    #[error("the message cannot be encoded")]
    Unencodable,
}

macro_rules! message {
    ($($name:ty),+ $(,)?) => {
        $(impl Message for $name {
            fn encode(&self) -> Result<AlignedVec<ALIGNMENT>, Error> {
                let bytes = rkyv::to_bytes::<rkyv::rancor::Failure>(self).map_err(|_| Error::Unencodable)?;
                if bytes.len() > LIMIT { Err(Error::TooLong(bytes.len())) } else { Ok(bytes) }
            }

            fn decode(bytes: &AlignedVec<ALIGNMENT>) -> Result<Self, Error> {
                rkyv::from_bytes::<Self, rkyv::rancor::Failure>(bytes).map_err(|_| Error::Invalid)
            }
        })+
    };
}

message!(
    crate::client::Request,
    crate::client::Reply,
    crate::session::Question,
    crate::session::Answer,
    crate::session::OutputPart,
    crate::worker::Opening,
    crate::worker::Errand,
    crate::worker::Accounts,
    crate::WorkerMessage,
    crate::CoordinatorMessage,
);
