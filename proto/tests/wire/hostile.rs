use std::fmt::Debug;

use farm_proto::WorkerMessage;
use farm_proto::client::{Reply, Request};
use farm_proto::frame::{ALIGNMENT, Error, LIMIT, Message};
use farm_proto::session::{Answer, OutputPart, Question};
use farm_proto::worker::{Accounts, Errand, Opening};
use farm_proto::{CoordinatorMessage, Outcome};
use rkyv::util::AlignedVec;

use crate::samples;

fn aligned(bytes: &[u8]) -> AlignedVec<ALIGNMENT> {
    let mut aligned = AlignedVec::with_capacity(bytes.len());
    aligned.extend_from_slice(bytes);
    aligned
}

/// Bytes without a pattern that are the same in every run.
fn noise(seed: u64) -> impl Iterator<Item = u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
}

fn decode_as_everything(bytes: &[u8]) {
    let bytes = aligned(bytes);
    let _ = Request::decode(&bytes);
    let _ = Reply::decode(&bytes);
    let _ = Question::decode(&bytes);
    let _ = Answer::decode(&bytes);
    let _ = OutputPart::decode(&bytes);
    let _ = Opening::decode(&bytes);
    let _ = Errand::decode(&bytes);
    let _ = Accounts::decode(&bytes);
    let _ = CoordinatorMessage::decode(&bytes);
    let _ = WorkerMessage::decode(&bytes);
}

#[test]
fn arbitrary_bytes_never_panic() {
    for length in 0..300 {
        for seed in 0..20 {
            let bytes: Vec<u8> = noise(seed * 1000 + length).take(usize::try_from(length).unwrap()).collect();
            decode_as_everything(&bytes);
        }
    }
    for byte in [0, 1, 0x7f, 0x80, 0xff] {
        for length in 0..600 {
            decode_as_everything(&vec![byte; length]);
        }
    }
}

/// What a decoded message takes, about: what it prints is longer than what it occupies.
fn bounded<M: Message + Debug>(bytes: &AlignedVec<ALIGNMENT>) {
    if let Ok(message) = M::decode(bytes) {
        let printed = format!("{message:?}").len();
        // Each byte prints as at most five characters, and every part of a message has a name.
        assert!(printed < 4096 + 100 * bytes.len(), "{printed} of {}", bytes.len());
    }
}

/// Every 32-bit word is replaced by lengths and offsets that mean harm: beyond the end, huge, or pointing where another
/// part of the message lies already.
fn twist<M: Message + Debug>(messages: Vec<M>) {
    let words = [0, 1, 2, 0xff, 0x7fff_ffff, 0x8000_0000, u32::MAX, u32::MAX - 7, u32::MAX - 63];
    for message in messages {
        let original = message.encode().unwrap();
        for position in (0..original.len().saturating_sub(3)).step_by(4) {
            for word in words {
                let mut twisted = aligned(&original);
                twisted[position..position + 4].copy_from_slice(&u32::to_le_bytes(word));
                bounded::<M>(&twisted);
            }
        }
        for position in 0..original.len() {
            bounded::<M>(&aligned(&original[..position]));
            let mut flipped = aligned(&original);
            flipped[position] ^= 0x41;
            bounded::<M>(&flipped);
        }
    }
}

#[test]
fn twisted_messages_neither_panic_nor_grow() {
    twist(samples::requests());
    twist(samples::replies());
    twist(samples::questions());
    twist(samples::answers());
    twist(samples::parts());
    twist(samples::openings());
    twist(samples::errands());
    twist(samples::accounts());
    twist(samples::orders());
    twist(samples::reports());
}

/// Many lists that all point at the same bytes would take memory without end.
#[test]
fn lists_that_share_their_bytes_are_refused() {
    let (count, size) = (64, 4096);
    let records = vec![vec![7; size]; count];
    let honest = WorkerMessage::Records { lease: samples::LEASE, records }.encode().unwrap();
    // The lists' heads lie behind the bytes: a relative pointer and a length each.
    let head = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let first = (0..honest.len() - 8)
        .step_by(4)
        .find(|at| head(&honest, at + 4) as usize == size && head(&honest, *at) > u32::MAX / 2)
        .unwrap();
    let target = i64::try_from(first).unwrap() + i64::from(head(&honest, first).cast_signed());
    let mut shared = aligned(&honest);
    for index in 1..count {
        let at = first + index * 8;
        assert_eq!(head(&shared, at + 4) as usize, size);
        let offset = i32::try_from(target - i64::try_from(at).unwrap()).unwrap();
        shared[at..at + 4].copy_from_slice(&offset.to_le_bytes());
    }
    assert_eq!(WorkerMessage::decode(&shared).unwrap_err(), Error::Invalid);
}

#[test]
fn a_message_beyond_the_limit_is_not_sent() {
    let message = OutputPart::Bytes(vec![0; LIMIT]);
    assert!(matches!(message.encode(), Err(Error::TooLong(length)) if length > LIMIT));
}

#[test]
fn a_message_of_another_kind_is_not_believed_blindly() {
    let outcome = Outcome::Cancelled;
    let message = WorkerMessage::Finished { lease: samples::LEASE, outcome }.encode().unwrap();
    decode_as_everything(&message);
}
