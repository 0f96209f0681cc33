//! What is known of a farm and its builds, as a fold over events. Nothing here knows a terminal, a clock or a file.
//!
//! [`Build`] folds the log of one build, [`Farm`] the stream of a whole farm, [`Log`] the lines of steps. Each event costs
//! the same however much is known, apart from the end of a build, which costs as much as it has steps. What is kept is
//! bounded, whatever comes.

pub mod build;
pub mod cache;
pub mod farm;
pub mod graph;
pub mod images;
pub mod log;
pub mod series;
pub mod step;
pub mod text;
pub mod worker;

pub use build::{Build, Counts, Stage};
pub use cache::{Cache, CacheCell};
pub use farm::{Farm, Link, Totals};
pub use images::{Images, Sample, Trend};
pub use log::{Log, LogLine};
pub use series::Series;
pub use step::{Lookup, Phase, Step};
pub use worker::{Span, SpanEnd, Standing, Worker};
