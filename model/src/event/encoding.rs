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

use super::{
    Action, BuildEvent, Deed, Ending, Failure, FarmEvent, FarmRecorded, MachineLoad, PastBuild, PastOutcome,
    PlannedStep, Recorded, Requested, StageSize, StoreLoad, StoreRow, WorkerFacts,
};
use crate::BuildId;
use crate::encoding::{Decoder, Encoder, Malformed};
use parts::{Written, fields, tagged};

/// The first byte of every record.
pub const VERSION: u8 = 1;

/// The record of `recorded`.
pub fn encode(recorded: &Recorded) -> Vec<u8> {
    let mut encoder = Encoder::new();
    recorded.write(encoder.u8(VERSION));
    encoder.into_bytes()
}

/// Reads what [`encode`] of this or an earlier version of the program wrote.
pub fn decode(bytes: &[u8]) -> Result<Recorded, Malformed> {
    read_record(bytes)
}

/// As [`encode`], of an event of a whole farm.
pub fn encode_farm(recorded: &FarmRecorded) -> Vec<u8> {
    let mut encoder = Encoder::new();
    recorded.write(encoder.u8(VERSION));
    encoder.into_bytes()
}

/// As [`decode`], of an event of a whole farm.
pub fn decode_farm(bytes: &[u8]) -> Result<FarmRecorded, Malformed> {
    read_record(bytes)
}

/// Whether these bytes are the record of a line of a step's log, told without reading them whole.
pub fn is_logged(bytes: &[u8]) -> bool {
    bytes.first() == Some(&VERSION) && bytes.get(KIND) == Some(&LOGGED)
}

/// As [`is_logged`], of the end of a build.
pub fn is_ended(bytes: &[u8]) -> bool {
    bytes.first() == Some(&VERSION) && bytes.get(KIND) == Some(&ENDED)
}

/// The record of a [`FarmEvent::Build`] around the record of its event, which is not read for that: whoever passes many
/// on need not understand them. None for what is no record of this version.
pub fn encode_build(time: i64, build: BuildId, sequence: u64, record: &[u8]) -> Option<Vec<u8>> {
    let (&VERSION, event) = record.split_first()? else { return None };
    let mut encoder = Encoder::new();
    encoder.u8(VERSION).i64(time).u8(BUILD);
    build.write(&mut encoder);
    sequence.write(&mut encoder);
    encoder.raw(event);
    Some(encoder.into_bytes())
}

fn read_record<T: Written>(bytes: &[u8]) -> Result<T, Malformed> {
    let mut decoder = Decoder::new(bytes);
    if decoder.u8()? != VERSION {
        return Err(Malformed { offset: 0, reason: "the version of the record is not known here" });
    }
    let record = T::read(&mut decoder)?;
    decoder.finish()?;
    Ok(record)
}

/// Where the kind of an event stands in its record: behind a version byte and the time.
const KIND: usize = 1 + 8;
/// The number of [`BuildEvent::Logged`].
const LOGGED: u8 = 13;
/// The number of [`BuildEvent::Ended`].
const ENDED: u8 = 19;
/// The number of [`FarmEvent::Build`].
const BUILD: u8 = 3;

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
    13 => Logged { step, stream, bytes },
    14 => Finished { step, micros, usage, bytes },
    15 => Failed { step, exit },
    16 => Warned { message },
    17 => Completed { stages, image_bytes, discarded_bytes },
    18 => Exported { output, image, bytes, micros },
    19 => Ended(ending),
    20 => Cached { step, key, saved_micros, saved_bytes },
    21 => Expected { step, micros },
    22 => Fetched { step, bytes, micros },
    old:
    12 => cached_of_unknown_size,
}

/// [`BuildEvent::Cached`] as it was before it told of bytes.
fn cached_of_unknown_size(decoder: &mut Decoder<'_>) -> Result<BuildEvent, Malformed> {
    let (step, key, saved_micros) =
        (Written::read(decoder)?, Written::read(decoder)?, Written::read(decoder)?);
    Ok(BuildEvent::Cached { step, key, saved_micros, saved_bytes: 0 })
}

tagged! {
    Ending, "the kind of ending is not known here";
    0 => Succeeded { image },
    1 => Failed(failure),
    2 => Cancelled,
    3 => Interrupted,
}

fields! { Recorded { at, event } }
fields! { Requested { build, time, dockerfile, context, target, names, client } }
fields! { PlannedStep { id, stage, name, lines, needs } }
fields! { StageSize { stage, bytes, entries, kept } }
fields! { Failure { blame, message, hint } }

fields! { FarmRecorded { time, event } }

tagged! {
    FarmEvent, "the kind of farm event is not known here";
    0 => Began { farm, version },
    1 => CaughtUp,
    2 => Past(past),
    3 => Build { build, sequence, recorded },
    4 => Worker(facts),
    5 => WorkerLost { worker },
    6 => Load { worker, load },
    7 => Store(store),
    8 => Acted(action),
}

tagged! {
    PastOutcome, "how a build ended is not known here";
    0 => Succeeded,
    1 => Failed,
    2 => Cancelled,
    3 => Interrupted,
}

tagged! {
    Deed, "the kind of deed is not known here";
    0 => Cancelled { build },
    1 => Moved { build, step },
    2 => Drained { worker },
    3 => Restored { worker },
    4 => Pinned { image },
    5 => Unpinned { image },
    6 => Pruned { bytes },
}

fields! { PastBuild { build, started, micros, outcome, dockerfile, context, target, names, client, steps, cached, done, image_bytes } }
fields! { WorkerFacts { worker, platform, slots, most, labels, draining } }
fields! { MachineLoad { cpu, processors, memory, memory_total, received, sent, disk, disk_total } }
fields! { StoreLoad { rows, hot, cold, free, limit } }
fields! { StoreRow { kind, count, bytes, reclaimable } }
fields! { Action { time, by, deed, refused } }
