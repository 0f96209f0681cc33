//! Without root there is one clear sentence.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use farm_tests::context::Context;
use farm_tests::farm::{Farm, binary};
use farm_tests::topology::Topology;

#[test]
fn another_user_than_root_is_told_so() {
    let farm = Farm::of(Topology::Daemon);
    // The binary may lie in a directory that only root can enter.
    let place = tempfile::Builder::new()
        .prefix("farm-anyone-")
        .permissions(std::fs::Permissions::from_mode(0o755))
        .tempdir()
        .unwrap();
    let copy = place.path().join("farm");
    std::fs::copy(binary(), &copy).unwrap();
    let context = Context::new("FROM scratch\n");
    std::fs::set_permissions(context.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&copy)
        .args(["build", "--output", "type=oci,dest=/dev/null"])
        .arg(context.path())
        .envs(farm.directories()[0].variables())
        .env_remove("FARM_COORDINATOR")
        .env_remove("FARM_CONFIG")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).to_lowercase();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("root"), "{text}");
}
