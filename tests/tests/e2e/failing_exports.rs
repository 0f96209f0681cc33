//! Images on their way out that do not arrive: an error that says why, nothing half-written, and the next try goes on.

use std::path::Path;
use std::process::Command;

use farm_tests::context::Context;
use farm_tests::farm::Farm;
use farm_tests::registry::{Answer, FakeRegistry, Line, Registry, status};

/// `me` with the password `right`, as htpasswd writes it.
const HTPASSWD: &str = "me:$2b$04$H3CifWsNgn6SW.Ysaazqa.O6eIp50/Ve/0cDp/TZYOi7nzOErINla\n";

/// Bytes that nothing makes smaller.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).flatten().take(bytes).collect()
}

/// An image of so many bytes.
fn noisy(bytes: usize) -> Context {
    Context::new("FROM scratch\nCOPY noise /\n").file("noise", noise(1, bytes))
}

fn build(farm: &Farm, context: &Context, name: &str) {
    let path = context.path().to_str().unwrap();
    let _built = farm.command(&["build", "-q", "-t", name, path]).run().expect(0);
}

fn login(farm: &Farm, registry: &str, password: &str) -> farm_tests::farm::Outcome {
    let directory = farm.scratch("docker");
    let words = ["login", "-u", "me", "--password-stdin", registry];
    farm.command(&words).env("DOCKER_CONFIG", directory).stdin(password.as_bytes().to_vec()).run()
}

#[test]
fn a_wrong_password_is_refused_in_so_many_words() {
    let farm = Farm::new();
    let registry = Registry::with_password(&farm, HTPASSWD);
    let _refused = login(&farm, registry.address(), "wrong").expect(3).says(&["401", "password"]);
    let name = registry.name("team/app:1");
    build(&farm, &noisy(1000), &name);
    let _unknown =
        farm.command(&["push", &name]).run().expect(3).says(&["401", "farm login", registry.address()]);
    let _taken = login(&farm, registry.address(), "right").expect(0);
}

#[test]
fn a_push_whose_line_breaks_goes_on_where_the_registry_stands() {
    let farm = Farm::new();
    let registry = Registry::for_farm(&farm);
    // The first layer arrives, in the middle of the second the line breaks for good.
    let line = Line::to(registry.address(), 5 << 20);
    farm.reach(line.address());
    let name = format!("{}/team/app:1", line.address());
    let context = Context::new("FROM scratch\nCOPY a /\nCOPY b /\n")
        .file("a", noise(2, 3 << 20))
        .file("b", noise(3, 4 << 20));
    build(&farm, &context, &name);
    let failed = farm.command(&["push", &name]).run().expect(3);
    let _said = failed.says(&[&name, "push again later", "not sent again"]);
    line.mend();
    let pushed = farm.command(&["push", &name]).run().expect(0);
    assert!(
        pushed.log.contains("1 there before") || line.sent() < (7 << 20),
        "{}: {}",
        line.sent(),
        pushed.log
    );
    let copy = format!("oci:{}:x", farm.scratch("copy").display());
    let done = Command::new("skopeo")
        .args(["copy", "-q", "--src-tls-verify=false", "--preserve-digests"])
        .arg(format!("docker://{}", registry.name("team/app:1")))
        .arg(copy)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_line_that_breaks_once_is_no_failure() {
    let farm = Farm::new();
    let registry = Registry::for_farm(&farm);
    let line = Line::to(registry.address(), 2 << 20);
    farm.reach(line.address());
    let name = format!("{}/team/app:1", line.address());
    build(&farm, &noisy(6 << 20), &name);
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| farm.command(&["push", &name]).run());
        // As soon as it broke somebody mends it.
        while line.sent() < (2 << 20) - (32 << 10) && !pushing.is_finished() {
            std::thread::yield_now();
        }
        line.mend();
        let _pushed = pushing.join().unwrap().expect(0);
    });
}

#[test]
fn a_registry_that_wants_to_be_left_alone_is_left_alone() {
    let registry = FakeRegistry::start(|path| match status(429) {
        Answer::Whole(code, _, body) if path.contains("/blobs/") || path.contains("/manifests/") => {
            Answer::Whole(code, vec![("Retry-After".to_owned(), "1".to_owned())], body)
        }
        Answer::Whole(..) | Answer::CutAfter(..) => Answer::Whole(200, Vec::new(), b"{}".to_vec()),
    });
    let farm = Farm::configured(&registry.configuration());
    farm.reach(registry.address());
    let name = format!("{}/team/app:1", registry.address());
    build(&farm, &noisy(1000), &name);
    let start = std::time::Instant::now();
    let _said = farm.command(&["push", &name]).run().expect(3).says(&["429", "limits its rate"]);
    assert!(start.elapsed().as_secs() >= 2, "it was asked again at once");
}

#[test]
fn a_registry_that_claims_to_have_other_bytes_is_not_believed() {
    let registry = FakeRegistry::start(|_| {
        let lie = ("Docker-Content-Digest".to_owned(), format!("sha256:{}", "0".repeat(64)));
        Answer::Whole(200, vec![lie], Vec::new())
    });
    let farm = Farm::configured(&registry.configuration());
    farm.reach(registry.address());
    let name = format!("{}/team/app:1", registry.address());
    build(&farm, &noisy(1000), &name);
    let _said = farm.command(&["push", &name]).run().expect(3).says(&["says that it has", "do not trust it"]);
}

/// A small disk; unmounted with its value.
struct Disk(std::path::PathBuf);

impl Disk {
    fn at(path: &Path) -> Self {
        std::fs::create_dir_all(path).unwrap();
        let done =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "farm-test"]).arg(path).status();
        assert!(done.unwrap().success());
        Self(path.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _done = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_disk_that_fills_up_in_the_middle_of_an_export_keeps_nothing_of_it() {
    let farm = Farm::new();
    let disk = Disk::at(&farm.scratch("disk"));
    let context = noisy(4 << 20);
    let path = context.path().to_str().unwrap();
    let place = disk.0.display();
    for output in [
        format!("type=oci,dest={place}/a.tar"),
        format!("type=docker,dest={place}/b.tar"),
        format!("type=oci,tar=false,dest={place}/layout"),
        format!("type=local,dest={place}/files"),
        format!("type=tar,dest={place}/c.tar"),
    ] {
        let failed = farm.command(&["build", "-o", &output, path]).run().expect(3);
        let _said = failed.says(&["no space left", "hint:", &disk.0.display().to_string()]);
        let left: Vec<_> = std::fs::read_dir(&disk.0).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{output} left {left:?}");
    }
    build(&farm, &context, "noise:1");
    let file = disk.0.join("saved.tar");
    let failed = farm.command(&["save", "noise:1", "-o", file.to_str().unwrap()]).run().expect(3);
    let _said = failed.says(&["no space left"]);
    assert_eq!(std::fs::read_dir(&disk.0).unwrap().count(), 0);
}

#[test]
fn a_target_that_cannot_be_written_is_named() {
    let farm = Farm::new();
    let context = noisy(1000);
    let path = context.path().to_str().unwrap();
    for place in ["/proc/farm.tar", "/sys/farm.tar"] {
        let output = format!("type=oci,dest={place}");
        let _said = farm.command(&["build", "-o", &output, path]).run().expect(3).says(&[place]);
    }
    build(&farm, &context, "noise:1");
    let _said =
        farm.command(&["save", "noise:1", "-o", "/proc/farm.tar"]).run().expect(3).says(&["/proc/farm.tar"]);
}
