//! Decides which worker does which step when. A pure state machine: it reads no clock, draws no random numbers, opens
//! nothing and iterates over no hash map; what it decides follows from the events it was handed, in their order.
//!
//! ```text
//! handle(now, Event) ──▶ poll_command() ──▶ Command, until there is none
//!                        poll_timeout() ──▶ when to call handle(now, Event::Tick) at the latest
//! ```
#![warn(missing_docs)]

pub mod command;
mod config;
pub mod event;
mod families;
mod flight;
mod graph;
mod lease;
mod queue;
mod scheduler;
mod share;
pub mod time;
mod timers;
mod workers;

pub use command::Command;
pub use config::Config;
pub use event::{Capacity, Event, Input, RunningLease, StepShape, Verdict, Work};
pub use scheduler::{RunningView, Scheduler, WaitingView, WorkerView};
pub use time::Millis;
pub use workers::Standing;
