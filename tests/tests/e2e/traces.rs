//! What a running step occupies on the machine, remembered so that a test can ask whether all of it is gone.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use farm_tests::farm::Farm;

const DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// The cgroups, network namespace and interface of one process inside a step.
#[derive(Debug)]
pub(crate) struct Traces {
    mark: String,
    cgroups: Vec<PathBuf>,
    network_namespace: String,
    interfaces: BTreeSet<String>,
}

impl Traces {
    /// Waits until a process runs inside a container whose command line contains `mark`, and looks at it.
    pub(crate) fn of(mark: &str) -> Self {
        let pid = wait_for(|| processes(mark).into_iter().next(), "the step's process");
        let process = PathBuf::from(format!("/proc/{pid}"));
        let listing = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let foreign = listing.lines().filter(|line| !own.contains(*line));
        let groups =
            foreign.filter_map(|line| line.rsplit_once(':').map(|(_, group)| group.trim_start_matches('/')));
        let mut cgroups = Vec::new();
        for group in groups {
            // Whatever the hierarchies are called here, the group's own path is below one of them.
            let roots =
                fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|root| root.path());
            let places = roots.chain([PathBuf::from("/sys/fs/cgroup")]).map(|root| root.join(group));
            cgroups.extend(places.filter(|place| place.is_dir() && !group.is_empty()));
        }
        Self {
            mark: mark.to_owned(),
            cgroups,
            network_namespace: link(&process.join("ns/net")),
            interfaces: peers(pid),
        }
    }

    /// The process that was looked at is in namespaces and cgroups that are not ours.
    pub(crate) fn assert_contained(&self) {
        assert_ne!(
            self.network_namespace,
            link(Path::new("/proc/self/ns/net")),
            "the step shares our network"
        );
        assert!(!self.cgroups.is_empty(), "the step is in no cgroup of its own");
    }

    /// Nothing of it is left, and nothing is mounted below the farm's directories.
    pub(crate) fn assert_gone(&self, farm: &Farm) {
        assert_eq!(processes(&self.mark), Vec::<u32>::new(), "processes of the step are alive");
        let cgroups: Vec<_> = self.cgroups.iter().filter(|group| group.exists()).collect();
        assert!(cgroups.is_empty(), "cgroups of the step are left: {cgroups:?}");
        // The kernel takes a namespace's interfaces down in the background, once nothing holds the namespace.
        let gone = || interfaces().is_disjoint(&self.interfaces).then_some(());
        wait_for(gone, "the step's interfaces to go");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        assert!(!mounts.contains(&self.network_namespace), "the step's network namespace is still mounted");
        assert_no_mounts(farm);
    }
}

/// Nothing is mounted below the farm's own directories.
pub(crate) fn assert_no_mounts(farm: &Farm) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let root = farm.state().parent().map(Path::to_owned).unwrap_or_default().display().to_string();
    let left: Vec<_> = mounts.lines().filter(|line| line.contains(&root)).collect();
    assert!(left.is_empty(), "mounts are left:\n{}", left.join("\n"));
}

/// Calls `probe` until it gives something.
pub(crate) fn wait_for<T>(mut probe: impl FnMut() -> Option<T>, what: &str) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "waited in vain for {what}");
        thread::sleep(POLL);
    }
}

/// Processes whose program is `sleep` with this mark as its argument; not the shells that name it too.
fn processes(mark: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let runs = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        words.next().is_some_and(|program| program.ends_with(b"sleep"))
            && words.next() == Some(mark.as_bytes())
    };
    numbers.filter(runs).collect()
}

/// Indexes of our interfaces that are the other end of one of the process's interfaces.
fn peers(pid: u32) -> BTreeSet<String> {
    let output = Command::new("nsenter").args(["-t", &pid.to_string(), "-n", "ip", "-o", "link"]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let ends = text.lines().filter_map(|line| line.split_once("@if")?.1.split(':').next().map(str::to_owned));
    ends.collect()
}

fn interfaces() -> BTreeSet<String> {
    let entries = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| fs::read_to_string(entry.path().join("ifindex")).ok())
        .map(|text| text.trim().to_owned())
        .collect()
}

fn link(path: &Path) -> String {
    fs::read_link(path).map(|target| target.display().to_string()).unwrap_or_default()
}
