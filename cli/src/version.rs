//! Which build of `farm` this is. A daemon that was started by another one is replaced.

use std::os::unix::fs::MetadataExt as _;

/// The version, and what tells two binaries of the same version apart.
pub(crate) fn of_this_binary() -> String {
    let number = env!("CARGO_PKG_VERSION");
    // Of the file that runs, also when another one lies in its place by now.
    std::fs::metadata("/proc/self/exe").map_or_else(
        |_| number.to_owned(),
        |file| {
            format!(
                "{number}+{:x}.{:x}",
                file.size(),
                file.mtime().wrapping_mul(1_000_000_000) + file.mtime_nsec()
            )
        },
    )
}
