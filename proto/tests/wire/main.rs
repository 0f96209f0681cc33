//! Messages as bytes: each is read back as it was, its layout is pinned, and no bytes whatever do harm.

#![expect(clippy::unwrap_used, reason = "a test")]

mod hexdump;
mod hostile;
mod round_trip;
mod samples;
