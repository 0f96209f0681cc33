//! One scenario a workload: which runs are measured, and what their times are compared with.
//!
//! Bases are pulled and unpacked before anything is timed. A cold run misses the cache by `ARG SALT`, or starts with an
//! empty store where a COPY is what is measured. Baselines are taken right beside the runs they belong to.

mod chains;
mod copies;
mod outputs;
mod rebuilds;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Error;
use crate::farm::{Binary, Farm, Run};
use crate::report::{Quantity, Row};
use crate::samples::{Samples, ratio};
use crate::workload::{Scale, Workload};

/// The scenarios that run when none is named: all that one machine can show.
pub const DEFAULT: [Workload; 9] = [
    Workload::M1Small,
    Workload::M1Big,
    Workload::M2,
    Workload::M3,
    Workload::M4,
    Workload::M5a,
    Workload::M5b,
    Workload::M7,
    Workload::M9,
];

/// How long a daemon has nothing to do before it counts as idle.
const IDLE: Duration = Duration::from_secs(25);

/// How to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The farm under measurement.
    pub binary: Binary,
    /// Where contexts are written, and found again by the next run.
    pub workloads: PathBuf,
    /// Their shape.
    pub scale: Scale,
    /// How often each kind of run is repeated; at least 1.
    pub repetitions: usize,
}

/// Receives each row as soon as it is measured.
pub type Sink<'a> = &'a mut dyn FnMut(Row);

/// Measures one workload.
pub fn measure(workload: Workload, plan: &Plan, sink: Sink<'_>) -> Result<(), Error> {
    match workload {
        Workload::M1Small | Workload::M1Big => rebuilds::three_stages(workload, plan, sink),
        Workload::M2 => chains::chain(plan, sink),
        Workload::M3 => chains::fan(plan, sink),
        Workload::M4 => rebuilds::fleet(plan, sink),
        Workload::M5a | Workload::M5b => outputs::large(workload, plan, sink),
        Workload::M6 => Err(Error::Unmeasurable { scenario: "m6", reason: "it needs a second machine" }),
        Workload::M7 => copies::wide(plan, sink),
        Workload::M9 => chains::interrupted(plan, sink),
    }
}

impl Plan {
    /// The workload's folder, written if it is not there yet.
    fn context(&self, workload: Workload) -> Result<PathBuf, Error> {
        let Scale { seed, images, divisor } = self.scale;
        // Another scale is another folder, so that a folder found is the folder wanted.
        let path = self.workloads.join(format!("{seed}-{images}-{divisor}")).join(workload.name());
        if !path.exists() {
            workload.generate(&path, &self.scale)?;
        }
        Ok(path)
    }

    /// A farm with an empty store but for the workload's bases.
    fn farm(&self, workload: Workload) -> Result<Farm, Error> {
        let farm = self.binary.start()?;
        for base in workload.bases() {
            farm.prime(base)?;
        }
        Ok(farm)
    }

    /// Fewer repetitions of what takes long.
    fn few(&self) -> usize {
        self.repetitions.clamp(1, 3)
    }

    fn many(&self) -> usize {
        self.repetitions.max(1)
    }
}

/// Repeated builds whose RUN steps all miss the cache.
fn cold(farm: &Farm, context: &Path, times: usize) -> Result<Vec<Run>, Error> {
    let build = |index| farm.build(context, &["--build-arg", &format!("SALT=cold-{index}")]);
    (0..times).map(build).collect()
}

/// Repeated builds that should find everything done; the first of all builds must have used this salt.
fn unchanged(farm: &Farm, context: &Path, salt: &str, times: usize) -> Result<Vec<Run>, Error> {
    let build = |_| farm.build(context, &["--build-arg", &format!("SALT={salt}")]);
    (0..times).map(build).collect()
}

/// Repeated builds with another content of one file each; the file is put back.
fn changed(
    farm: &Farm,
    file: &Path,
    times: usize,
    build: impl Fn(&Farm) -> Result<Run, Error>,
    change: impl Fn(&[u8], usize) -> Vec<u8>,
) -> Result<Vec<Run>, Error> {
    let original = Original::keep(file)?;
    let mut runs = Vec::with_capacity(times);
    for index in 0..times {
        fs::write(file, change(&original.bytes, index)).map_err(Error::file("write", file))?;
        runs.push(build(farm)?);
    }
    Ok(runs)
}

/// Puts a file's bytes and time back when a measurement is over, however it ends.
struct Original<'a> {
    path: &'a Path,
    bytes: Vec<u8>,
}

impl<'a> Original<'a> {
    fn keep(path: &'a Path) -> Result<Self, Error> {
        Ok(Self { path, bytes: fs::read(path).map_err(Error::file("read", path))? })
    }

    fn put_back(&self) -> Result<(), Error> {
        fs::write(self.path, &self.bytes).map_err(Error::file("write", self.path))?;
        let file = fs::File::options().write(true).open(self.path).map_err(Error::file("open", self.path))?;
        crate::folder::set_modified(&file, self.path, crate::folder::MODIFIED)
    }
}

impl Drop for Original<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.put_back() {
            crate::report::complain(&error);
        }
    }
}

/// The row's median wall time as a multiple of something.
fn times(row: &Row, baseline: Option<Duration>) -> Option<Quantity> {
    ratio(row.wall.median()?, baseline?).map(Quantity::Ratio)
}

/// The median of repeated baselines.
fn median_of(
    count: usize,
    mut measure: impl FnMut() -> Result<Duration, Error>,
) -> Result<Option<Duration>, Error> {
    let samples = (0..count).map(|_| measure()).collect::<Result<Samples, _>>()?;
    Ok(samples.median())
}

/// What the daemon occupies when it has had nothing to do for a while.
fn idle(farm: &Farm) -> Option<Quantity> {
    std::thread::sleep(IDLE);
    farm.memory().map(Quantity::Bytes)
}

/// How many steps of the last run were answered from the cache.
fn cached(runs: &[Run]) -> Option<Quantity> {
    runs.last().map(|run| Quantity::Count(run.cached()))
}
