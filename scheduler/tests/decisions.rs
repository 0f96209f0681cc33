//! What the scheduler decides, one behaviour a test, through its public door only.
#![expect(clippy::unwrap_used, reason = "a test")]

#[path = "decisions/farm.rs"]
mod farm;
#[path = "decisions/flights.rs"]
mod flights;
#[path = "decisions/leases.rs"]
mod leases;
#[path = "decisions/order.rs"]
mod order;
#[path = "decisions/patience.rs"]
mod patience;
#[path = "decisions/placement.rs"]
mod placement;
#[path = "decisions/recovery.rs"]
mod recovery;
#[path = "decisions/retries.rs"]
mod retries;
#[path = "decisions/scale.rs"]
mod scale;
#[path = "decisions/segments.rs"]
mod segments;
#[path = "decisions/slots.rs"]
mod slots;
