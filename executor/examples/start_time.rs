//! How long a step of nothing takes on both executors, and beside runc alone: `cargo run --release -p farm-executor --example start_time [RUNS]`, as root.
//!
//! One step is: overlay mount, `/bin/sh -c 'echo hi > /out; id'`, everything gone again. runc gets its overlay from mount(8)'s system call, and
//! alone it is spared seccomp rules and control groups. All run in turn, so that a busy machine is equally unfair to each.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use farm_executor::{
    CancelFlag, Container, Executor, Exit, Limits, Meter, Native, Network, NetworkPool, Oci, User,
};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

const SCRIPT: &str = "echo hi > /out; id";

type Failure = Box<dyn std::error::Error>;

#[expect(clippy::print_stdout, reason = "an example's result")]
fn main() -> Result<(), Failure> {
    farm_executor::init_entry();
    let runs: usize = std::env::args().nth(1).map_or(Ok(50), |count| count.parse())?;
    let dir = tempfile::tempdir()?;
    image(&dir.path().join("image"))?;
    let native = Native::new(&dir.path().join("run"))?;
    let runc_path = Path::new("/usr/sbin/runc");
    let oci = runc_path.exists().then(|| Oci::new(&dir.path().join("run-oci"), runc_path)).transpose()?;
    let pool = NetworkPool::new(4);
    let mut times: [(&str, Vec<Duration>); 5] = [
        ("native, no network", vec![]),
        ("native, sandbox", vec![]),
        ("native, host network", vec![]),
        ("oci (runc), sandbox", vec![]),
        ("runc alone", vec![]),
    ];
    for run in 0..runs + 3 {
        // Made ahead, as for a worker between two steps.
        let sandbox = || pool.take().map(Network::Sandbox);
        let warm = run >= 3;
        let mut steps: Vec<(&dyn Executor, Network)> =
            vec![(&native, Network::None), (&native, sandbox()?), (&native, Network::Host)];
        if let Some(oci) = &oci {
            steps.push((oci, sandbox()?));
        }
        for (index, (executor, network)) in steps.into_iter().enumerate() {
            let container = container(dir.path(), &format!("n{run}-{index}"), network)?;
            let started = Instant::now();
            let outcome = executor.run(&container, &mut |_, _| {}, &CancelFlag::new()?)?;
            if warm {
                times[index].1.push(started.elapsed());
            }
            assert_eq!(outcome.exit, Exit::Code(0));
        }
        if oci.is_some() {
            let took = runc(dir.path(), run)?;
            if warm {
                times[4].1.push(took);
            }
        }
    }
    for (name, mut times) in times {
        times.sort();
        if let (Some(median), Some(least)) = (times.get(times.len() / 2), times.first()) {
            println!("{name:22} median {:6.2} ms, least {:6.2} ms", millis(*median), millis(*least));
        }
    }
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn container(base: &Path, id: &str, network: Network) -> Result<Container, Failure> {
    let (upper, work) = (base.join(format!("{id}-upper")), base.join(format!("{id}-work")));
    fs::create_dir(&upper)?;
    fs::create_dir(&work)?;
    Ok(Container {
        id: id.to_owned(),
        lowers: vec![base.join("image")],
        upper,
        work,
        argv: ["/bin/sh", "-c", SCRIPT].map(str::to_owned).to_vec(),
        env: vec![("PATH".to_owned(), "/bin".to_owned())],
        cwd: "/".to_owned(),
        user: User::default(),
        mounts: Vec::new(),
        network,
        hostname: "step".to_owned(),
        hosts: String::new(),
        resolv_conf: String::new(),
        shm_size: Container::DEFAULT_SHM_SIZE,
        ulimits: Vec::new(),
        limits: Limits::default(),
        meter: Meter::default(),
    })
}

fn image(path: &Path) -> Result<(), Failure> {
    for directory in ["bin", "dev", "etc", "proc", "sys"] {
        fs::create_dir_all(path.join(directory))?;
    }
    fs::copy("/bin/busybox", path.join("bin/busybox"))?;
    symlink("busybox", path.join("bin/sh"))?;
    symlink("busybox", path.join("bin/id"))?;
    fs::write(path.join("etc/hosts"), "")?;
    fs::write(path.join("etc/resolv.conf"), "")?;
    Ok(())
}

fn runc(base: &Path, run: usize) -> Result<Duration, Failure> {
    let bundle = base.join(format!("runc{run}"));
    for directory in ["upper", "work", "rootfs"] {
        fs::create_dir_all(bundle.join(directory))?;
    }
    let started = Instant::now();
    fs::write(bundle.join("config.json"), runc_spec().to_string())?;
    let layers = format!(
        "lowerdir={0}/image,upperdir={1}/upper,workdir={1}/work,volatile",
        base.display(),
        bundle.display()
    );
    let layers = std::ffi::CString::new(layers)?;
    mount("overlay", bundle.join("rootfs"), "overlay", MountFlags::empty(), &*layers)?;
    let mut command = Command::new("/usr/sbin/runc");
    command
        .arg("--root")
        .arg(base.join("runc-state"))
        .args(["run", "--bundle"])
        .arg(&bundle)
        .arg(format!("t{run}"));
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    unmount(bundle.join("rootfs"), UnmountFlags::empty())?;
    assert!(status?.success());
    Ok(started.elapsed())
}

fn runc_spec() -> serde_json::Value {
    let namespaces: Vec<_> =
        ["pid", "network", "ipc", "uts", "mount"].map(|kind| serde_json::json!({ "type": kind })).into();
    let mounts = serde_json::json!([
        { "destination": "/proc", "type": "proc", "source": "proc" },
        { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
        { "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
        { "destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["mode=1777", "size=65536k"] },
        { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue" },
        { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"] },
    ]);
    serde_json::json!({
        "ociVersion": "1.0.2",
        "process": { "user": { "uid": 0, "gid": 0 }, "args": ["/bin/sh", "-c", SCRIPT], "cwd": "/", "env": ["PATH=/bin"] },
        "root": { "path": "rootfs" },
        "mounts": mounts,
        "linux": {
            "namespaces": namespaces,
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}
