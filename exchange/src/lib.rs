//! Moves trees and bytes between two stores, and from a client into one.
//!
//! | function | does |
//! |---|---|
//! | [`serve`] | answers a [`Fetch`](farm_proto::blob::Fetch) from a store |
//! | [`bring`], [`layers`] | has layers complete in a store: trees, then the records and blobs that are missing |
//! | [`trees`], [`blobs`] | one half of that |
//! | [`take_records`], [`take_blobs`] | takes the answer to another question in, a client's for instance |
//! | [`accounts`] | says what a store holds, and prunes it, in the words of the protocol |
//!
//! Invariants:
//! - What arrives is checked against its digest while it streams in; nothing is stored that is not what was asked for,
//!   and a tree only once all its records are here and bear out what it says.
//! - A source that lacks, damages or loses something is passed over for that; the next one is asked.
//! - No file's content is held whole, and what is here already is not asked for.
//! - Whatever waits for another machine has a deadline.
//!
//! Deliberately absent: who holds what. Sources come from whoever asks, the best first.
#![warn(missing_docs)]

pub mod accounts;
mod ask;
mod bring;
mod error;
mod keep;
mod serve;
mod source;
mod take;

pub use bring::{Brought, blobs, bring, layers, trees};
pub use error::Error;
pub use serve::serve;
pub use source::Source;
pub use take::{take_blobs, take_records};

use std::time::Duration;

/// How long the other side may be silent in the middle of an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes that travel together between a stream and a thread that works on the store.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that may wait between the two.
const PIECES: usize = 16;
/// The longest record or tree that is accepted.
const MOST_RECORD_BYTES: u64 = 256 << 20;
