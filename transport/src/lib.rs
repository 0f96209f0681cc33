//! QUIC endpoints, identities and typed streams. The only crate that knows quinn.
//!
//! Both ends of every connection show a certificate of the farm's own authority, which says what they are
//! ([`Identity`]); there is no anonymous peer, no other authority and no name that DNS decides. Whoever dials says whom
//! it expects ([`Expected`]); whoever listens learns the peer's identity and decides what it may do.
//!
//! A connection carries streams of both directions. What travels on one is frames ([`farm_proto::frame::Message`]), items
//! (a length and raw bytes) or raw bytes, as `farm_proto` says for each. A stream is noticed by the other side when its
//! opener sends something.
//!
//! Invariants:
//!
//! - Nothing that a peer sends makes this crate panic or reserve more memory than has come.
//! - Receiving may be given up between two polls (in `select!`) and taken up again; sending may not, and a message or item
//!   that was left half sent resets its stream rather than look complete.
//! - A clean end, a reset and a lost connection are three different things for a reader.
//!
//! Deliberately absent: 0-RTT and session resumption (nothing may be replayed, and each connection is checked anew), a
//! process-wide crypto provider, and any policy about who may do what.

mod authority;
mod connection;
mod credentials;
mod endpoint;
mod error;
mod files;
mod identity;
mod ids;
mod items;
mod peer;
mod probe;
mod receiver;
mod sender;
mod setup;
mod socket;
mod stream;
mod verify;

pub mod blocking;

pub use authority::Authority;
pub use connection::Connection;
pub use credentials::Credentials;
pub use endpoint::{Endpoint, Incoming};
pub use error::Error;
pub use identity::{Expected, Identity, InvalidIdentity, Role};
pub use receiver::Receiver;
pub use sender::{Delivery, Sender};
pub use stream::Stream;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
