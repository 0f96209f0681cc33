//! The border seen from outside: hostile and ordinary tars, registries that misbehave, and what other tools make of our
//! images.
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod fake;
mod hostile;
mod images;
mod packing;
mod pulling;
mod pushing;
mod registries;
mod server;
mod support;
mod unpacking;
