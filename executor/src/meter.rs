//! How much processor time a running container has used, for whoever decides whether there is room for more.
//!
//! The reading is the kernel's own sum over a control group: exact, and one system call. Deliberately absent: rates and averages, which are the
//! reader's.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Reads the processor time of one container from any thread. Clones share one reading.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    source: Arc<Mutex<Source>>,
}

/// Where the reading comes from.
#[derive(Debug, Default)]
enum Source {
    /// The container has no control group yet, or never will.
    #[default]
    Absent,
    /// Nanoseconds alone in a file, as `cpuacct.usage` of cgroup v1 has them.
    Nanos(File),
    /// Microseconds in a line `usage_usec`, as `cpu.stat` of cgroup v2 has them.
    Stat(File),
    /// What it came to, in microseconds.
    Ended(u64),
}

impl Meter {
    /// Microseconds of processor time that all processes of the container have used so far, its set-up included; the last reading once it has
    /// ended. None before it has started, and on machines that do not tell.
    pub fn cpu_micros(&self) -> Option<u64> {
        self.source().read()
    }

    /// Reads `cpuacct.usage` of a v1 group from now on.
    pub(crate) fn connect_v1(&self, group: &Path) {
        self.connect(File::open(group.join("cpuacct.usage")).map(Source::Nanos));
    }

    /// Reads `cpu.stat` of a v2 group from now on.
    pub(crate) fn connect_v2(&self, group: &Path) {
        self.connect(File::open(group.join("cpu.stat")).map(Source::Stat));
    }

    fn connect(&self, source: io::Result<Source>) {
        // What cannot be read is not known: a step runs without it.
        *self.source() = source.unwrap_or_default();
    }

    /// Keeps the last reading; called before the group goes.
    pub(crate) fn end(&self) {
        let mut source = self.source();
        *source = source.read().map_or(Source::Absent, Source::Ended);
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    fn read(&self) -> Option<u64> {
        match self {
            Self::Absent => None,
            Self::Nanos(file) => Some(text(file, &mut [0; 64])?.trim().parse::<u64>().ok()? / 1000),
            Self::Stat(file) => usage(text(file, &mut [0; 1024])?),
            Self::Ended(micros) => Some(*micros),
        }
    }
}

fn text<'a>(file: &File, buffer: &'a mut [u8]) -> Option<&'a str> {
    let count = file.read_at(buffer, 0).ok()?;
    str::from_utf8(buffer.get(..count)?).ok()
}

fn usage(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meter_of_nothing_reads_nothing() {
        let meter = Meter::default();
        meter.end();
        assert_eq!(meter.cpu_micros(), None);
    }

    #[test]
    fn both_kinds_of_group_are_read_in_microseconds_and_the_last_reading_stays() {
        let group = tempfile::tempdir().unwrap();
        std::fs::write(group.path().join("cpuacct.usage"), "1234567\n").unwrap();
        std::fs::write(group.path().join("cpu.stat"), "usage_usec 77\nuser_usec 70\nsystem_usec 7\n")
            .unwrap();
        let meter = Meter::default();
        let reader = meter.clone();
        meter.connect_v1(group.path());
        assert_eq!(reader.cpu_micros(), Some(1234));
        meter.connect_v2(group.path());
        assert_eq!(reader.cpu_micros(), Some(77));
        meter.end();
        std::fs::remove_file(group.path().join("cpu.stat")).unwrap();
        assert_eq!(reader.cpu_micros(), Some(77));
    }
}
