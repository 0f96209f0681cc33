//! How the coordinator is.

use farm_proto::client::Status;

use crate::build::Farm;

/// What `farm daemon status` shows.
pub(super) fn status(farm: &Farm) -> Status {
    Status {
        version: farm.options.version.clone(),
        pid: std::process::id(),
        started: farm.started,
        running_builds: u32::try_from(farm.builds.count()).unwrap_or(u32::MAX),
        state: farm.store.root().display().to_string(),
        resident_bytes: resident_bytes().unwrap_or_default(),
        workers: farm.dispatch.statuses(),
    }
}

/// Memory that this process occupies.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    pages.checked_mul(u64::try_from(rustix::param::page_size()).ok()?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_process_occupies_memory() {
        assert!(super::resident_bytes().unwrap() > 1 << 20);
    }
}
