//! The algebra against the real thing: layers against overlayfs, `COPY` against directories on disk.
//!
//! Mounting, owners and device nodes need root. Without it these tests fail rather than pass by doing nothing.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod copy;
mod disk;
mod overlay;
mod trees;

/// Fails unless the process is root.
fn require_root() {
    assert!(rustix::process::getuid().is_root(), "these tests mount and change owners: run them as root");
}
