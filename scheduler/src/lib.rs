//! Decides which worker does which step when. A pure state machine: it reads no clock, draws no random numbers, opens
//! nothing and iterates over no hash map; what it decides follows from the events it was handed, in their order.
//!
//! ```text
//! handle(now, Event) ──▶ poll_command() ──▶ Command, until there is none
//!                        poll_timeout() ──▶ when to call handle(now, Event::Tick) at the latest
//! ```
#![warn(missing_docs)]

pub mod command;
pub mod event;
mod scheduler;
pub mod time;

pub use command::Command;
pub use event::{Capacity, Event, Input, RunningLease, StepShape, Verdict, Work};
pub use scheduler::{Config, Scheduler};
pub use time::Millis;
