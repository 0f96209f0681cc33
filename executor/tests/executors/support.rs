//! A busybox image, a container with sensible values, and a look at what the machine holds.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use farm_executor::{
    CancelFlag, Container, Error, Executor, Exit, Limits, Meter, Native, Network, Oci, Outcome, Stream, User,
};
use tempfile::TempDir;

/// The tests are meaningless without root, so they fail rather than pass.
pub(crate) fn require_root() {
    assert!(rustix::process::geteuid().is_root(), "these tests make containers: run them as root");
    assert!(Path::new("/bin/busybox").exists(), "install the Debian package busybox-static");
    assert!(runtime().is_file(), "install the Debian package runc");
}

/// The executor that a test is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Native,
    Oci,
}

/// Tests run one after the other, so there is one answer.
static CHOSEN: Mutex<Kind> = Mutex::new(Kind::Native);

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Native, Self::Oci];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Oci => "oci",
        }
    }

    /// Has the tests that follow use it.
    pub(crate) fn choose(self) {
        *CHOSEN.lock().unwrap() = self;
    }

    pub(crate) fn chosen() -> Self {
        *CHOSEN.lock().unwrap()
    }
}

/// runc, wherever Debian has it.
pub(crate) fn runtime() -> PathBuf {
    let places = ["/usr/sbin/runc", "/usr/bin/runc"].map(PathBuf::from);
    places.iter().find(|path| path.is_file()).unwrap_or(&places[0]).clone()
}

/// The chosen executor.
pub(crate) fn executor(run_dir: &Path) -> Result<Box<dyn Executor>, Error> {
    Ok(match Kind::chosen() {
        Kind::Native => Box::new(Native::new(run_dir)?),
        Kind::Oci => Box::new(Oci::new(run_dir, &runtime())?),
    })
}

/// An executor, an image and room for upper directories.
pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) executor: Box<dyn Executor>,
    next: AtomicUsize,
}

/// What a run came to and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) outcome: Outcome,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// Where its changes are.
    pub(crate) upper: PathBuf,
}

impl Ran {
    /// Its standard output, if it succeeded.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.outcome.exit, Exit::Code(0), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stdout
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = directory();
        image(&dir.path().join("image"));
        let executor = executor(&dir.path().join("run")).unwrap();
        watch(&dir.path().join("run"));
        Self { dir, executor, next: AtomicUsize::new(0) }
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    /// An empty directory.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// A container that runs a shell script.
    pub(crate) fn shell(&self, script: &str) -> Container {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        container(self.dir.path(), &format!("c{number}"), script)
    }

    pub(crate) fn run(&self, container: &Container) -> Result<Ran, Error> {
        run(&*self.executor, container, &CancelFlag::new().unwrap())
    }

    /// The output of a script, which must succeed.
    pub(crate) fn output(&self, script: &str) -> String {
        self.run(&self.shell(script)).unwrap().ok()
    }
}

pub(crate) fn run(executor: &dyn Executor, container: &Container, cancel: &CancelFlag) -> Result<Ran, Error> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let outcome = executor.run(
        container,
        &mut |stream, bytes| match stream {
            Stream::Stdout => stdout.extend_from_slice(bytes),
            Stream::Stderr => stderr.extend_from_slice(bytes),
        },
        cancel,
    )?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Ran { outcome, stdout: text(stdout), stderr: text(stderr), upper: container.upper.clone() })
}

/// A container `id` over `base/image` that runs a shell script.
pub(crate) fn container(base: &Path, id: &str, script: &str) -> Container {
    let (upper, work) = (base.join(format!("{id}-upper")), base.join(format!("{id}-work")));
    fs::create_dir(&upper).unwrap();
    fs::create_dir(&work).unwrap();
    Container {
        id: id.to_owned(),
        lowers: vec![base.join("image")],
        upper,
        work,
        argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        env: vec![("PATH".to_owned(), "/usr/sbin:/usr/bin:/sbin:/bin".to_owned())],
        cwd: "/".to_owned(),
        user: User::default(),
        mounts: Vec::new(),
        network: Network::None,
        hostname: "step".to_owned(),
        hosts: "127.0.0.1\tlocalhost\n".to_owned(),
        resolv_conf: "nameserver 192.0.2.1\n".to_owned(),
        shm_size: Container::DEFAULT_SHM_SIZE,
        ulimits: Vec::new(),
        limits: Limits::default(),
        meter: Meter::default(),
    }
}

/// Makes a busybox image.
pub(crate) fn image(path: &Path) {
    for directory in
        ["bin", "dev", "etc", "proc", "sys", "root", "tmp", "usr/bin", "usr/sbin", "sbin", "mnt", "var"]
    {
        fs::create_dir_all(path.join(directory)).unwrap();
    }
    fs::set_permissions(path.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::set_permissions(path.join("root"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::copy("/bin/busybox", path.join("bin/busybox")).unwrap();
    let applets = std::process::Command::new("/bin/busybox").arg("--list").output().unwrap();
    for applet in String::from_utf8(applets.stdout).unwrap().lines().filter(|name| *name != "busybox") {
        symlink("busybox", path.join("bin").join(applet)).unwrap();
    }
    fs::write(path.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
        .unwrap();
    fs::write(path.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n").unwrap();
    fs::write(path.join("etc/hosts"), "").unwrap();
    fs::write(path.join("etc/resolv.conf"), "").unwrap();
}

/// What the containers of these tests could leak, and nothing of other programs that run meanwhile: mounts, control groups, and processes in them.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Holdings {
    mounts: BTreeSet<String>,
    groups: BTreeSet<PathBuf>,
    processes: BTreeSet<String>,
}

impl Holdings {
    pub(crate) fn of_these_tests() -> Self {
        let tags = TAGS.lock().unwrap().clone();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let groups = fs::read_dir("/sys/fs/cgroup")
            .unwrap()
            .flatten()
            .chain(fs::read_dir("/sys/fs").unwrap().flatten());
        let groups = groups
            .flat_map(|hierarchy| tags.iter().map(move |tag| hierarchy.path().join(format!("farm-{tag}"))));
        let pids = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path().join("cgroup"));
        let member = |path: &PathBuf| {
            let text = fs::read_to_string(path).unwrap_or_default();
            tags.iter().any(|tag| text.contains(tag)).then_some(text)
        };
        Self {
            mounts: mounts.lines().filter(|line| line.contains(PREFIX)).map(str::to_owned).collect(),
            groups: groups.filter(|path| path.exists()).collect(),
            processes: pids.filter_map(|path| member(&path)).collect(),
        }
    }
}

/// Marks the directories of these tests.
const PREFIX: &str = "farm-executor-test-";

/// Tags of all run directories of these tests.
static TAGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

pub(crate) fn directory() -> TempDir {
    tempfile::Builder::new().prefix(PREFIX).tempdir().unwrap()
}

/// Makes [`Holdings`] look for what belongs to a run directory.
pub(crate) fn watch(run_dir: &Path) {
    TAGS.lock().unwrap().push(fs::read_to_string(run_dir.join("tag")).unwrap());
}

/// Processes with this command line, its words separated by blanks.
pub(crate) fn processes_running(command: &str) -> Vec<u32> {
    let expected = format!("{}\0", command.replace(' ', "\0"));
    let is_named =
        |pid: &u32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default() == expected.as_bytes();
    let pids =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(is_named).collect()
}

/// Asks again and again until the answer is yes; a test that waits for ever says what for.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !is_so() {
        assert!(std::time::Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// The output of a script under runc, with the capabilities and namespaces of Docker's spec but without its seccomp rules.
pub(crate) fn runc(image: &Path, uid: u32, script: &str) -> String {
    let bundle = tempfile::tempdir().unwrap();
    fs::write(bundle.path().join("config.json"), runc_spec(image, uid, script).to_string()).unwrap();
    let id = format!("farm-test-{}", std::process::id());
    let root = bundle.path().join("state");
    let mut command = std::process::Command::new(runtime());
    command.arg("--root").arg(&root).args(["run", "--bundle"]).arg(bundle.path()).arg(id);
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn runc_spec(image: &Path, uid: u32, script: &str) -> serde_json::Value {
    let capabilities: Vec<String> = [
        "CHOWN",
        "DAC_OVERRIDE",
        "FSETID",
        "FOWNER",
        "MKNOD",
        "NET_RAW",
        "SETGID",
        "SETUID",
        "SETFCAP",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "SYS_CHROOT",
        "KILL",
        "AUDIT_WRITE",
    ]
    .iter()
    .map(|name| format!("CAP_{name}"))
    .collect();
    let held = if uid == 0 { capabilities.clone() } else { Vec::new() };
    let namespaces: Vec<_> = ["pid", "network", "ipc", "uts", "mount", "cgroup"]
        .map(|kind| serde_json::json!({ "type": kind }))
        .into();
    serde_json::json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": uid, "gid": uid }, "args": ["/bin/sh", "-c", script], "cwd": "/",
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
            "capabilities": { "bounding": capabilities, "effective": held, "permitted": held },
        },
        "root": { "path": image },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755"] },
        ],
        "linux": { "namespaces": namespaces },
    })
}

/// The bridge whose gateway serves `address`.
pub(crate) fn bridge_of(address: Ipv4Addr) -> Option<String> {
    let [a, b, ..] = address.octets();
    let output = std::process::Command::new("ip").args(["-o", "-4", "addr", "show"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.contains(&format!(" {a}.{b}.0.1/16 ")))?;
    line.split_whitespace().nth(1).map(str::to_owned)
}

/// Whether a bridge, its ports or its firewall table exist.
pub(crate) fn exists(bridge: &str) -> bool {
    let ports = bridge.replace("farm", "fv") + "-";
    let interfaces = fs::read_dir("/sys/class/net")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let tables = std::process::Command::new("nft").args(["list", "tables"]).output().unwrap();
    let tables = String::from_utf8(tables.stdout).unwrap();
    interfaces.into_iter().any(|name| name == bridge || name.starts_with(&ports))
        || tables.lines().any(|line| line.ends_with(&format!(" {bridge}")))
}
