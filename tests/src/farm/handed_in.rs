//! What the environment hands to the tests: the binary, the base images and the registry.

use std::env;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::filesystem::Filesystem;
use crate::image::Image;

/// The binary under test.
pub fn binary() -> PathBuf {
    if let Some(path) = env::var_os("FARM_BIN") {
        return path.into();
    }
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| OsString::from("target"));
    Path::new(&target).join("release/farm")
}

/// The OCI layout of a base image by its name, as `bases/make` makes it.
pub fn base_layout(name: &str) -> PathBuf {
    let bases = env::var_os("FARM_BASES").unwrap_or_else(|| {
        panic!("FARM_BASES is not set: the end-to-end tests need the base images and the registry that `scripts/test` prepares")
    });
    Path::new(&bases).join(name)
}

/// Where the registry of the base images listens.
pub fn registry() -> Option<SocketAddr> {
    let address = env::var("FARM_REGISTRY").ok()?;
    Some(address.trim().parse().expect("FARM_REGISTRY is an address with a port"))
}

/// The root file system of a base image; none is the empty one.
pub fn base_files(name: Option<&str>) -> Result<Filesystem, String> {
    name.map_or_else(|| Ok(Filesystem::default()), |name| Image::open(&base_layout(name))?.flatten())
}
