//! Two endpoints on loopback: what each side of a connection sees of the other's doings and misdoings.

#![expect(clippy::unwrap_used, reason = "a test")]

mod hostile;
mod items;
mod loss;
mod messages;
mod pair;
mod trust;
