//! A recording of a farm: a header, then a length and the written form of each event, one after the other.
//!
//! A recording may be cut anywhere, since whoever wrote it may have been killed: what is whole is read, and a cut is
//! told of.

use super::FarmRecorded;
use super::encoding::{decode_farm, encode_farm};
use crate::encoding::Malformed;

/// The first bytes of every recording; the last of them is its version.
pub const HEADER: &[u8] = b"farm recording\n\x01";
/// The longest event that is read.
pub const LONGEST: usize = 64 << 20;

/// An event as it stands in a recording.
pub fn frame(event: &FarmRecorded) -> Vec<u8> {
    let bytes = encode_farm(event);
    // No event comes near the limit of four gigabytes.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(&bytes);
    frame
}

/// What comes next in a recording.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// An event, and what follows it starts so many bytes later.
    Event(Box<FarmRecorded>, usize),
    /// The recording goes on, but not in these bytes.
    Incomplete,
}

/// Reads the event at the start of `bytes`, which lie behind the [`HEADER`].
pub fn next(bytes: &[u8]) -> Result<Next, Malformed> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Ok(Next::Incomplete) };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if length > LONGEST {
        return Err(Malformed { offset: 0, reason: "an event is longer than any can be" });
    }
    match rest.get(..length) {
        Some(event) => Ok(Next::Event(Box::new(decode_farm(event)?), 4 + length)),
        None => Ok(Next::Incomplete),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::FarmEvent;

    #[test]
    fn a_recording_is_read_up_to_where_it_was_cut() {
        let event = |time| FarmRecorded { time, event: FarmEvent::CaughtUp };
        let bytes = [frame(&event(1)), frame(&event(2))].concat();
        let Next::Event(first, read) = next(&bytes).unwrap() else { panic!("it is there") };
        assert_eq!(*first, event(1));
        for cut in 0..bytes.len() - read {
            assert_eq!(next(&bytes[read..read + cut]).unwrap(), Next::Incomplete, "{cut}");
        }
        assert!(matches!(next(&bytes[read..]), Ok(Next::Event(second, _)) if *second == event(2)));
    }

    #[test]
    fn a_length_that_cannot_be_is_refused() {
        assert!(next(&[0xff; 12]).is_err());
    }
}
