//! What only a daemon has, and what needs no farm at all. These tests do not depend on `FARM_TOPOLOGY`.

#![expect(clippy::unwrap_used, reason = "a test")]

mod configuration;
mod disk;
mod executors;
mod lifecycle;
mod manual;
mod privileges;
