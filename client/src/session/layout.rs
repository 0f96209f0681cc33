//! Files of an OCI layout on the client.
//!
//! A name has to be one that a layout can have, and is resolved beneath the layout's own handle: neither `..` nor a
//! symbolic link leads out of it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use farm_transport::Sender;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

use crate::Error;

/// Sends the file as an item; absent when there is none.
pub(super) async fn send(layout: &Path, file: &str, mut sender: Sender) -> Result<(), Error> {
    let opened = {
        let (layout, file) = (layout.to_path_buf(), file.to_owned());
        tokio::task::spawn_blocking(move || open(&layout, &file))
            .await
            .map_err(|panic| Error::Panicked(panic.to_string()))?
    };
    match opened {
        Some((file, size)) => sender.item_of(size, &mut tokio::fs::File::from_std(file)).await?,
        None => sender.absent().await?,
    }
    Ok(sender.finish()?)
}

fn open(layout: &Path, file: &str) -> Option<(File, u64)> {
    if !is_layout_file(file) {
        return None;
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root: OwnedFd = openat(CWD, layout, flags, Mode::empty()).ok()?;
    // What is a FIFO must not be waited for.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let file = File::from(openat2(&root, file, flags, Mode::empty(), beneath).ok()?);
    let metadata = file.metadata().ok()?;
    metadata.is_file().then_some((file, metadata.len()))
}

fn is_layout_file(file: &str) -> bool {
    match file.strip_prefix("blobs/") {
        None => matches!(file, "index.json" | "oci-layout"),
        Some(blob) => blob.split_once('/').is_some_and(|(algorithm, digest)| {
            let plain =
                |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
            plain(algorithm) && plain(digest)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_layout_are_found_and_nothing_outside_of_it() {
        let root = tempfile::tempdir().unwrap();
        let layout = root.path().join("layout");
        std::fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
        std::fs::write(layout.join("index.json"), "{}").unwrap();
        std::fs::write(layout.join("blobs/sha256/aa"), "blob").unwrap();
        std::fs::write(root.path().join("secret"), "s").unwrap();
        std::os::unix::fs::symlink("../../../secret", layout.join("blobs/sha256/bb")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", layout.join("blobs/sha256/cc")).unwrap();
        std::os::unix::fs::symlink("..", layout.join("blobs/up")).unwrap();
        std::os::unix::fs::symlink("aa", layout.join("blobs/sha256/dd")).unwrap();
        let size = |file: &str| open(&layout, file).map(|(_, size)| size);
        assert_eq!(size("index.json"), Some(2));
        assert_eq!(size("blobs/sha256/aa"), Some(4));
        assert_eq!(size("blobs/sha256/dd"), Some(4), "a link within the layout is followed");
        for outside in [
            "../secret",
            "blobs/sha256/bb",
            "blobs/sha256/cc",
            "blobs/../../secret",
            "blobs/up/index.json",
            "blobs/sha256/../aa",
            "/etc/passwd",
            "blobs/sha256",
            "oci-layout",
        ] {
            assert_eq!(size(outside), None, "{outside}");
        }
    }
}
