//! Whether a file has rested for so long that its next change is sure to change its times.
//!
//! File systems take times from a clock that ticks. A file that changes twice within a tick has the same times after both,
//! so what is read between the two must not be trusted later.

use std::os::fd::BorrowedFd;

use rustix::fs::fstatfs;
use rustix::time::{ClockId, clock_gettime};

use crate::context::listing::Stamp;

const NANOS: i64 = 1_000_000_000;
/// Twice the longest tick of a Linux kernel.
const TICK: i64 = 20_000_000;
/// File systems that keep whole seconds show it by times without a fraction.
const COARSE_TICK: i64 = 2 * NANOS;

/// File systems whose times come from this machine's own clock and whose change times can be trusted. Those of others are
/// read each time: tmpfs, for one, notes no writes through a shared mapping. The others note the first such write since the
/// page was last written back, so a file that is being written through a mapping while it is scanned can go unnoticed.
const LOCAL: [u64; 7] = [
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x9123_683e, // btrfs
    0x794c_7630, // overlayfs
    0xf2f5_2010, // f2fs
    0x2fc1_2fc1, // zfs
    0xca45_1a4e, // bcachefs
];

/// The moment at which a scan began, and where.
#[derive(Clone, Copy, Debug)]
pub(in crate::context) struct Settling {
    /// Nanoseconds since the Unix epoch.
    pub(super) started: i64,
    /// The device of the context, when its times can be trusted.
    pub(super) device: Option<u64>,
}

impl Settling {
    /// A scan that begins now.
    pub(in crate::context) fn now(root: BorrowedFd<'_>, device: u64) -> Self {
        let now = clock_gettime(ClockId::Realtime);
        let started = now.tv_sec.saturating_mul(NANOS).saturating_add(now.tv_nsec);
        let local = fstatfs(root).is_ok_and(|found| {
            u64::try_from(found.f_type).is_ok_and(|kind| LOCAL.contains(&(kind & 0xffff_ffff)))
        });
        Self { started, device: local.then_some(device) }
    }

    /// Whether any change from now on shows.
    pub(in crate::context) fn is_settled(&self, stamp: &Stamp) -> bool {
        let whole_seconds = stamp.mtime % NANOS == 0 && stamp.ctime % NANOS == 0;
        let tick = if whole_seconds { COARSE_TICK } else { TICK };
        let newest = stamp.mtime.max(stamp.ctime);
        self.device == Some(stamp.device) && newest.saturating_add(tick) <= self.started
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_has_rested_for_a_tick_is_settled() {
        let scan = Settling { started: 100 * NANOS, device: Some(1) };
        let stamp = |mtime, ctime| Stamp { size: 1, mtime, ctime, inode: 1, device: 1 };
        assert!(scan.is_settled(&stamp(5, 99 * NANOS + 1)));
        assert!(!scan.is_settled(&stamp(5, scan.started - TICK + 1)), "it changed within the tick");
        assert!(!scan.is_settled(&stamp(scan.started + 1, 5)), "its time lies in the future");
        assert!(!scan.is_settled(&stamp(99 * NANOS, 99 * NANOS)), "the clock may tick in seconds");
        assert!(scan.is_settled(&stamp(98 * NANOS, 98 * NANOS)));
        assert!(
            !scan.is_settled(&Stamp { device: 2, ..stamp(5, 5) }),
            "another file system is mounted there"
        );
        assert!(!Settling { device: None, ..scan }.is_settled(&stamp(5, 6)), "it is not local");
    }
}
