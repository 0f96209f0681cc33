//! What a running step occupies on the machine, remembered so that a test can ask whether all of it is gone.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use farm_tests::farm::Farm;
use farm_tests::topology::leftovers;
use farm_tests::topology::network::enter;

const DEADLINE: Duration = Duration::from_secs(60);

/// The cgroups, network namespace and interfaces of one process inside a step.
#[derive(Debug)]
pub(crate) struct Traces {
    mark: String,
    cgroups: Vec<PathBuf>,
    network_namespace: String,
    /// The network of the process that runs the step, and the interfaces in it that lead to the step.
    outside: File,
    interfaces: BTreeSet<String>,
}

impl Traces {
    /// Waits until a process runs inside a container whose command line contains `mark`, and looks at it.
    pub(crate) fn of(farm: &Farm, mark: &str) -> Self {
        let pid = wait_for(|| processes(mark).into_iter().next(), "the step's process");
        let process = PathBuf::from(format!("/proc/{pid}"));
        let runner = runner(farm, pid);
        let outside =
            File::open(format!("/proc/{runner}/ns/net")).expect("the network of a process that runs");
        let inside = File::open(process.join("ns/net")).expect("the network of a step that runs");
        let leads_there =
            interfaces(&inside).into_iter().filter_map(|(_, _, peer)| peer).collect::<BTreeSet<_>>();
        let leads_there =
            interfaces(&outside).into_iter().filter(|(index, _, _)| leads_there.contains(index));
        Self {
            mark: mark.to_owned(),
            cgroups: cgroups(&process, runner),
            network_namespace: link(&process.join("ns/net")),
            interfaces: leads_there.map(|(_, name, _)| name).collect(),
            outside,
        }
    }

    /// The process that was looked at is in namespaces and cgroups that are not ours.
    pub(crate) fn assert_contained(&self) {
        for (what, other) in
            [("our", Path::new("/proc/self/ns/net").to_owned()), ("its worker's", descriptor(&self.outside))]
        {
            assert_ne!(self.network_namespace, link(&other), "the step shares {what} network");
        }
        assert!(!self.cgroups.is_empty(), "the step is in no cgroup of its own");
    }

    fn assert_processes_gone(&self) {
        let ended = || processes(&self.mark).is_empty().then_some(());
        wait_for(ended, "the processes of the step to end");
    }

    /// Nothing of the step is left, while the farm goes on.
    pub(crate) fn assert_step_gone(&self) {
        self.assert_processes_gone();
        let own: Vec<_> = self.cgroups.iter().filter(|group| self.is_of_the_step(group)).collect();
        assert!(!own.is_empty(), "the step had no cgroup that is not the farm's: {:?}", self.cgroups);
        let removed = || own.iter().all(|group| !group.exists()).then_some(());
        wait_for(removed, &format!("the cgroups of the step to go: {own:?}"));
    }

    /// Whether a cgroup goes with the step. One that contains those of others, in whichever hierarchy, goes with the farm.
    fn is_of_the_step(&self, group: &Path) -> bool {
        group.file_name().is_some_and(|name| {
            self.cgroups.iter().all(|other| other.parent().and_then(Path::file_name) != Some(name))
        })
    }

    /// Nothing of the step is left, and once the farm has ended, nothing of that either.
    pub(crate) fn assert_gone(&self, farm: &Farm) {
        self.assert_processes_gone();
        // As long as there can be a next step, it may have a cgroup of the same name, and a network from which nothing was sent.
        farm.stop();
        let still = || {
            let names: BTreeSet<_> = interfaces(&self.outside).into_iter().map(|(_, name, _)| name).collect();
            names.is_disjoint(&self.interfaces).then_some(())
        };
        // The kernel takes a namespace's interfaces down in the background, once nothing holds the namespace.
        wait_for(still, "the step's interfaces to go");
        let left: Vec<_> = self.cgroups.iter().filter(|group| group.exists()).collect();
        assert!(left.is_empty(), "cgroups of the farm are left: {left:?}");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        assert!(!mounts.contains(&self.network_namespace), "the step's network namespace is still mounted");
        assert_no_mounts(farm);
    }
}

/// Nothing is mounted below the farm's own directories.
pub(crate) fn assert_no_mounts(farm: &Farm) {
    let left = leftovers::mounts(farm.root());
    assert!(left.is_empty(), "mounts are left:\n{}", left.join("\n"));
}

/// Calls `probe` until it gives something.
pub(crate) fn wait_for<T>(probe: impl FnMut() -> Option<T>, what: &str) -> T {
    leftovers::wait_for(DEADLINE, probe).unwrap_or_else(|| panic!("waited in vain for {what}"))
}

/// The process of the farm from which a step's process descends.
fn runner(farm: &Farm, step: u32) -> u32 {
    let (runners, mut pid) = (farm.pids(), step);
    while !runners.contains(&pid) {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        pid = parent.and_then(|number| number.trim().parse().ok()).unwrap_or_default();
        assert!(pid != 0, "process {step} of a step descends from none of {runners:?}");
    }
    pid
}

/// The cgroups of a process that are not also its runner's.
fn cgroups(process: &Path, runner: u32) -> Vec<PathBuf> {
    let listing = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
    let own = fs::read_to_string(format!("/proc/{runner}/cgroup")).unwrap_or_default();
    let foreign = listing.lines().filter(|line| !own.lines().any(|other| other == *line));
    let groups =
        foreign.filter_map(|line| line.rsplit_once(':').map(|(_, group)| group.trim_start_matches('/')));
    let mut cgroups = Vec::new();
    for group in groups {
        // Whatever the hierarchies are called here, the group's own path is below one of them.
        let roots = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|root| root.path());
        let places = roots.chain([PathBuf::from("/sys/fs/cgroup")]).map(|root| root.join(group));
        cgroups.extend(places.filter(|place| place.is_dir() && !group.is_empty()));
    }
    cgroups
}

/// Processes whose program is `sleep` with this mark as its argument; not the shells that name it too.
pub(crate) fn processes(mark: &str) -> Vec<u32> {
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

/// Waits until a step sleeps for this many seconds, which nothing else does.
pub(crate) fn wait_for_step(mark: &str) {
    wait_for(|| (!processes(mark).is_empty()).then_some(()), &format!("a step that runs `sleep {mark}`"));
}

/// Ends the sleep, so that what follows it in its step comes next.
pub(crate) fn release(mark: &str) {
    for pid in processes(mark) {
        leftovers::send(pid, rustix::process::Signal::TERM);
    }
}

/// Number, name and the other end's number of the interfaces of a namespace.
fn interfaces(namespace: &File) -> Vec<(u32, String, Option<u32>)> {
    let output = enter(&descriptor(namespace)).args(["ip", "-o", "link"]).output();
    let output = output.expect("`ip` can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let interface = |line: &str| {
        let mut fields = line.splitn(3, ": ");
        let (index, name) = (fields.next()?.parse().ok()?, fields.next()?);
        let (name, peer) = name.split_once('@').unwrap_or((name, ""));
        Some((index, name.to_owned(), peer.strip_prefix("if").and_then(|number| number.parse().ok())))
    };
    String::from_utf8_lossy(&output.stdout).lines().filter_map(interface).collect()
}

/// How another process opens what we have open.
fn descriptor(file: &File) -> PathBuf {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into()
}

fn link(path: &Path) -> String {
    fs::read_link(path).map(|target| target.display().to_string()).unwrap_or_default()
}
