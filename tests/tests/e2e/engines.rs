//! `--load`: the image arrives in a container engine, here Debian's podman, which speaks docker's protocol on a socket.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use farm_tests::context::Context;
use farm_tests::farm::Farm;

/// How long an engine may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// An engine with storage of its own; ends with its value.
struct Engine {
    service: Child,
    root: tempfile::TempDir,
}

impl Engine {
    fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        let socket = root.path().join("engine.sock");
        let service = podman(&root)
            .args(["system", "service", "--time", "0"])
            .arg(format!("unix://{}", socket.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("`podman` is installed");
        let engine = Self { service, root };
        let start = Instant::now();
        while std::os::unix::net::UnixStream::connect(engine.socket()).is_err() {
            assert!(start.elapsed() < PATIENCE, "podman does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        engine
    }

    fn socket(&self) -> PathBuf {
        self.root.path().join("engine.sock")
    }

    fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// What a podman command of the same storage prints.
    fn prints(&self, arguments: &[&str]) -> String {
        let output = podman(&self.root).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ended = self.service.kill();
        let _gone = self.service.wait();
    }
}

fn podman(root: &tempfile::TempDir) -> Command {
    let mut podman = Command::new("podman");
    podman.arg("--root").arg(root.path().join("storage")).arg("--runroot").arg(root.path().join("run"));
    podman.args(["--storage-driver", "vfs", "--runtime", "runc", "--cgroup-manager", "cgroupfs"]);
    podman
}

fn context() -> Context {
    Context::new("FROM busybox\nRUN echo made > /made\nCOPY f /\nCMD [\"/bin/cat\", \"/made\", \"/f\"]\n")
        .file("f", "from the context\n")
}

#[test]
fn a_build_is_loaded_into_an_engine_and_runs_there() {
    let (farm, engine) = (Farm::new(), Engine::start());
    let context = context();
    let path = context.path().to_str().unwrap();
    let words = ["build", "-q", "-t", "shop:1", "-t", "shop:latest", "--load", path];
    let id = farm.command(&words).env("DOCKER_HOST", engine.host()).run().expect(0).stdout;
    let digits = id.trim().trim_start_matches("sha256:");
    for name in ["shop:1", "shop:latest"] {
        assert_eq!(engine.prints(&["image", "inspect", "--format", "{{.Id}}", name]), digits);
    }
    let history = engine.prints(&["history", "--no-trunc", "--format", "{{.CreatedBy}}", "shop:1"]);
    assert!(history.starts_with("CMD [\"/bin/cat\" \"/made\" \"/f\"]\nCOPY f /"), "{history}");
    let ran = engine.prints(&[
        "run",
        "--rm",
        "--network",
        "none",
        "--ulimit",
        "nofile=64:64",
        "--ulimit",
        "nproc=64:64",
        "shop:1",
    ]);
    assert_eq!(ran, "made\nfrom the context");
    // Again, uncompressed and as the output that it is: the image is the same.
    let words = ["build", "-q", "-o", "type=docker,name=other:2,compression=uncompressed", path];
    let again = farm.command(&words).env("DOCKER_HOST", engine.host()).run().expect(0).stdout;
    assert_eq!(again, id);
    assert_eq!(engine.prints(&["image", "inspect", "--format", "{{.Id}}", "other:2"]), digits);
}

#[test]
fn an_engine_reads_an_archive_of_ours_and_we_one_of_its() {
    let (farm, engine, context) = (Farm::new(), Engine::start(), context());
    let (ours, its) = (farm.scratch("ours.tar"), farm.scratch("its.tar"));
    let (ours, its) = (ours.to_str().unwrap(), its.to_str().unwrap());
    let _built = farm.command(&["build", "-t", "shop:1", context.path().to_str().unwrap()]).run().expect(0);
    let _saved = farm.command(&["save", "shop:1", "-o", ours]).run().expect(0);
    let loaded = engine.prints(&["load", "-q", "-i", ours]);
    assert!(loaded.contains("shop:1"), "{loaded}");
    let _named = engine.prints(&["tag", "shop:1", "example.com/back:2"]);
    let _saved = engine.prints(&["save", "-q", "-o", its, "example.com/back:2"]);
    let loaded = farm.command(&["load", "-i", its]).run().expect(0);
    assert!(loaded.stdout.contains("example.com/back:2"), "{}", loaded.log);
    let ran = farm.command(&["run", "example.com/back:2"]).run().expect(0);
    assert_eq!(ran.stdout, "made\nfrom the context\n");
}

#[test]
fn an_engine_that_is_not_there_is_known_before_the_build() {
    let (farm, context) = (Farm::new(), context());
    let path = context.path().to_str().unwrap();
    let missing = format!("unix://{}", farm.scratch("none.sock").display());
    let build = |host: &str| farm.command(&["build", "--load", path]).env("DOCKER_HOST", host).run();
    let nobody = build(&missing).expect(3).says(&["none.sock", "hint:", "DOCKER_HOST"]);
    assert!(!nobody.log.contains("RUN"), "{}", nobody.log);
    let _elsewhere = build("tcp://127.0.0.1:2375").expect(2).says(&["DOCKER_HOST", "docker load"]);
}
