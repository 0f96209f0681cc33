//! What the machine of a worker uses: processors, memory, network, and the disk of the store, read from the kernel.
//!
//! Rates are over the time since the reading before. What the kernel does not tell counts as nothing: a farm is watched
//! with this and does not depend on it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use farm_model::event::MachineLoad;

/// Reads one machine, time after time.
#[derive(Debug)]
pub(crate) struct Machine {
    /// On the disk of which the store is.
    root: PathBuf,
    before: Reading,
}

/// Sums since the machine was started.
#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Instant,
    ticks: Ticks,
    traffic: Traffic,
}

/// What all processors did, in units of the kernel's.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Ticks {
    busy: u64,
    all: u64,
    processors: u32,
}

/// Bytes over all interfaces but loopback.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Traffic {
    received: u64,
    sent: u64,
}

impl Machine {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, before: Reading::take() }
    }

    /// What it used since it was asked last.
    pub(crate) fn load(&mut self) -> MachineLoad {
        let (now, before) = (Reading::take(), self.before);
        self.before = now;
        let span = now.at.duration_since(before.at);
        let memory = memory(&read("/proc/meminfo"));
        let (disk, disk_total) = disk(&self.root);
        MachineLoad {
            cpu: cpu(before.ticks, now.ticks),
            processors: now.ticks.processors,
            memory: memory.0,
            memory_total: memory.1,
            received: rate(before.traffic.received, now.traffic.received, span),
            sent: rate(before.traffic.sent, now.traffic.sent, span),
            disk,
            disk_total,
        }
    }
}

impl Reading {
    fn take() -> Self {
        let (ticks, traffic) = (ticks(&read("/proc/stat")), traffic(&read("/proc/net/dev")));
        Self { at: Instant::now(), ticks, traffic }
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The first line of `/proc/stat` and the number of those that follow, one a processor.
fn ticks(stat: &str) -> Ticks {
    let mut lines = stat.lines().take_while(|line| line.starts_with("cpu"));
    let sums: Vec<u64> = numbers(lines.next().unwrap_or_default()).collect();
    // User, nice, system, idle, waiting for a disk, interrupts of both kinds, stolen; what follows is part of the first.
    let all = sums.iter().take(8).fold(0_u64, |all, ticks| all.saturating_add(*ticks));
    let idle = sums.iter().skip(3).take(2).fold(0_u64, |idle, ticks| idle.saturating_add(*ticks));
    let processors = u32::try_from(lines.count()).unwrap_or(u32::MAX);
    Ticks { busy: all.saturating_sub(idle), all, processors }
}

/// Thousandths of one processor.
fn cpu(before: Ticks, now: Ticks) -> u64 {
    let (busy, all) = (now.busy.saturating_sub(before.busy), now.all.saturating_sub(before.all));
    let thousandths = u128::from(busy) * 1000 * u128::from(now.processors);
    let load = thousandths.checked_div(u128::from(all)).unwrap_or(0);
    u64::try_from(load).unwrap_or(u64::MAX)
}

/// Bytes that are in use and cannot simply be dropped, and bytes that there are.
fn memory(meminfo: &str) -> (u64, u64) {
    let field = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| numbers(line).next()).unwrap_or(0).saturating_mul(1024)
    };
    let total = field("MemTotal:");
    (total.saturating_sub(field("MemAvailable:")), total)
}

/// The interfaces of `/proc/net/dev`: behind the name, received bytes come first and sent ones ninth.
fn traffic(dev: &str) -> Traffic {
    let mut sum = Traffic::default();
    for (name, counts) in dev.lines().filter_map(|line| line.split_once(':')) {
        if name.trim() != "lo" {
            let counts: Vec<u64> = numbers(counts).collect();
            let count = |place: usize| counts.get(place).copied().unwrap_or(0);
            sum.received = sum.received.saturating_add(count(0));
            sum.sent = sum.sent.saturating_add(count(8));
        }
    }
    sum
}

fn numbers(line: &str) -> impl Iterator<Item = u64> {
    line.split_ascii_whitespace().filter_map(|word| word.parse().ok())
}

/// Units a second. A sum that went down began anew: an interface went away.
fn rate(before: u64, now: u64, span: Duration) -> u64 {
    let rate = u128::from(now.saturating_sub(before)) * 1000;
    u64::try_from(rate / span.as_millis().max(1)).unwrap_or(u64::MAX)
}

/// Bytes that are in use on a disk, and bytes that it has.
fn disk(root: &std::path::Path) -> (u64, u64) {
    let Ok(stat) = rustix::fs::statvfs(root) else { return (0, 0) };
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    (bytes(stat.f_blocks.saturating_sub(stat.f_bfree)), bytes(stat.f_blocks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_count_without_idling_and_waiting() {
        let before = ticks("cpu  10 0 10 100 20 0 0 0 5 0\ncpu0 1 2\ncpu1 1 2\nintr 1\n");
        assert_eq!(before, Ticks { busy: 20, all: 140, processors: 2 });
        let now = ticks("cpu  60 0 10 140 30 0 0 0 5 0\ncpu0 1 2\ncpu1 1 2\nintr 1\n");
        assert_eq!(cpu(before, now), 1000, "half of two");
        assert_eq!((cpu(now, now), cpu(now, before)), (0, 0));
    }

    #[test]
    fn memory_that_can_be_dropped_is_not_in_use() {
        let meminfo = "MemTotal:  100 kB\nMemFree:  1 kB\nMemAvailable:  30 kB\n";
        assert_eq!(memory(meminfo), (70 << 10, 100 << 10));
        assert_eq!(memory("MemTotal: much"), (0, 0));
    }

    #[test]
    fn traffic_is_that_of_all_interfaces_but_loopback() {
        let dev = "Inter-|   Receive  |  Transmit\n face |bytes packets\n    \
                   lo: 7 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n  eth0: 100 1 0 0 0 0 0 0 30 1 0 0 0 0 0 0\n \
                   eth1:5 1 0 0 0 0 0 0 6 1 0 0 0 0 0 0\n";
        assert_eq!(traffic(dev), Traffic { received: 105, sent: 36 });
        assert_eq!(traffic("eth0: 1"), Traffic { received: 1, sent: 0 });
        assert_eq!(rate(100, 300, Duration::from_millis(500)), 400);
        assert_eq!(rate(300, 100, Duration::from_millis(500)), 0);
    }

    #[test]
    fn this_machine_has_processors_memory_and_a_disk() {
        let load = Machine::new(std::env::temp_dir()).load();
        assert!(load.processors > 0 && load.memory > 0 && load.memory < load.memory_total);
        assert!(load.disk > 0 && load.disk <= load.disk_total, "{load:?}");
    }
}
