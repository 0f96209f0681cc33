//! The written encoding of events: what logs in stores, recordings and the wire hold.
//!
//! A record is a version byte, the time, the event's number and its fields, in the notation of
//! [`crate::encoding`]. A record that ends early, goes on after its end or has a number that is not known here is an
//! error and never a guess.
//!
//! # What may change
//!
//! Recordings outlive the program that wrote them, so everything below only grows:
//!
//! - A new kind of event, reason or ending gets the next free number. Numbers are never used twice, not even those of
//!   kinds that are not written any more; those stay readable.
//! - The fields of a number never change. A kind that needs another field gets a new number, and its old number is
//!   read into the new shape with the field's neutral value.
//! - [`VERSION`] is raised only when the frame itself (version, time, number) changes; readers then know both.
//!
//! Deliberately absent: compression and checksums, which are the business of whoever keeps the bytes.

mod parts;
#[cfg(test)]
mod tests;

use super::{BuildEvent, Ending, Failure, PlannedStep, Recorded, Requested, StageSize};
use crate::encoding::{Decoder, Encoder, Malformed};
use parts::{Written, fields, tagged};

/// The first byte of every record.
pub const VERSION: u8 = 1;

/// The record of `recorded`.
pub fn encode(recorded: &Recorded) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.u8(VERSION).u64(recorded.at);
    recorded.event.write(&mut encoder);
    encoder.into_bytes()
}

/// Reads what [`encode`] of this or an earlier version of the program wrote.
pub fn decode(bytes: &[u8]) -> Result<Recorded, Malformed> {
    let mut decoder = Decoder::new(bytes);
    if decoder.u8()? != VERSION {
        return Err(Malformed { offset: 0, reason: "the version of the record is not known here" });
    }
    let at = decoder.u64()?;
    let event = BuildEvent::read(&mut decoder)?;
    decoder.finish()?;
    Ok(Recorded { at, event })
}

tagged! {
    BuildEvent, "the kind of event is not known here";
    0 => Requested(requested),
    1 => Resumed { time },
    2 => Planned { steps },
    3 => ContextScanned { context, files, bytes, micros },
    4 => ContextTaken { context, bytes, micros },
    5 => ImageResolved { name, digest, micros },
    6 => LayerPulled { image, bytes, micros },
    7 => Missed { step, key, reasons },
    8 => Queued { step },
    9 => Shared { step, build },
    10 => Started { step, worker },
    11 => Retried { step, reason },
    12 => Cached { step, key, saved_micros },
    13 => Logged { step, stream, bytes },
    14 => Finished { step, micros, usage, bytes },
    15 => Failed { step, exit },
    16 => Warned { message },
    17 => Completed { stages, image_bytes, discarded_bytes },
    18 => Exported { output, image, bytes, micros },
    19 => Ended(ending),
}

tagged! {
    Ending, "the kind of ending is not known here";
    0 => Succeeded { image },
    1 => Failed(failure),
    2 => Cancelled,
    3 => Interrupted,
}

fields! { Requested { build, time, dockerfile, context, target, names, client } }
fields! { PlannedStep { id, stage, name, lines, needs } }
fields! { StageSize { stage, bytes, entries, kept } }
fields! { Failure { blame, message, hint } }
