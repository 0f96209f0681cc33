//! QUIC endpoints, identities and typed streams. The only crate that knows quinn.
