//! Control groups: limits, accounting, and a handle on all processes of a container.
//!
//! Which controller lives in which hierarchy is found out once, in [`hierarchies`]. Cgroup v1 and the hybrid layout (v1 controllers, v2 beside
//! them) are tested; pure v2 is written to the kernel's documentation and has not been tested on a machine.
//!
//! Every executor owns one parent group `farm-<tag>` a hierarchy, with a group per container in it, so that a sweep finds
//! what a dead process left by name alone. The device allow-list of v1 is set on the parent and inherited. On v2 it would take
//! an eBPF program; there the container's mounts are `nodev` instead, see [`Devices`]. Where an OCI runtime starts the
//! containers, it brings rules of its own, and joins the groups by name: see [`Joining`].

mod hierarchies;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Blame, Error, Limits, Meter};
use hierarchies::{Controller, Hierarchies};

/// How a container is kept from the host's devices.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Devices {
    /// The device controller only lets Docker's default devices through, so device nodes can be made and used as in Docker.
    Controlled,
    /// There is no such controller: every mount is `nodev`, and `/dev` shows nodes of the host by bind mounts.
    NoDeviceMounts,
}

/// Who has the processes of a container join its groups, and limits the devices that they may open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Joining {
    /// The processes themselves, into a parent with an allow-list.
    BySelf,
    /// An OCI runtime, which is told where the groups are. It is not in them, and the limit on processes, under which it could not
    /// start one, follows later.
    ByRuntime,
}

/// Devices that a container may open, as in Docker: memory-like ones, terminals, and making nodes of any kind.
const ALLOWED_DEVICES: [&str; 11] = [
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:1 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
];

/// The parent groups of one executor. Dropping it removes them.
#[derive(Debug)]
pub(crate) struct Parent {
    hierarchies: Hierarchies,
    name: String,
    joining: Joining,
}

/// What is left to do for a container's limits.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    /// Entrances of further groups.
    pub(crate) entrances: Vec<PathBuf>,
    /// Files, and what to write to each of them once the container's first process exists.
    pub(crate) late: Vec<(PathBuf, String)>,
}

impl Parent {
    /// Removes what a dead owner of `tag` left, processes included, and makes the parent groups anew.
    pub(crate) fn create(tag: &str, joining: Joining) -> Result<Self, Error> {
        let parent = Self { hierarchies: Hierarchies::detect(), name: format!("farm-{tag}"), joining };
        parent.sweep();
        if let (Some(mount), Joining::BySelf) = (parent.hierarchies.v1(Controller::Devices), joining) {
            let group = mount.join(&parent.name);
            make(&group)?;
            write(&group.join("devices.deny"), "a")?;
            for device in ALLOWED_DEVICES {
                write(&group.join("devices.allow"), device)?;
            }
        }
        Ok(parent)
    }

    /// How containers below this parent are kept from devices.
    pub(crate) fn devices(&self) -> Devices {
        match (self.hierarchies.v1(Controller::Devices), self.joining) {
            (Some(_), _) | (None, Joining::ByRuntime) => Devices::Controlled,
            (None, Joining::BySelf) => Devices::NoDeviceMounts,
        }
    }

    /// The group of all containers, which keeps them from devices.
    pub(crate) fn shared_entrances(&self) -> Vec<PathBuf> {
        let mount = self.hierarchies.v1(Controller::Devices).filter(|_| self.joining == Joining::BySelf);
        mount.map(|mount| mount.join(&self.name).join(ENTRANCE)).into_iter().collect()
    }

    /// Makes the groups of a container that are needed in any case; `id` is unique among those of this parent.
    pub(crate) fn container(&self, id: &str) -> Result<Group, Error> {
        let path = format!("/{}/{id}", self.name);
        let mut group = Group {
            id: id.to_owned(),
            path,
            joining: self.joining,
            owned: Vec::new(),
            memory: None,
            meter: Meter::default(),
        };
        if let Some(path) = self.add(&mut group, Controller::Memory)? {
            group.memory = Some(path);
        }
        self.add(&mut group, Controller::Pids)?;
        self.add(&mut group, Controller::CpuAccount)?;
        if self.joining == Joining::ByRuntime {
            // What a runtime finds no group for it makes one for, and nobody would remove that.
            self.add(&mut group, Controller::Cpu)?;
            self.add(&mut group, Controller::Devices)?;
        }
        Ok(group)
    }

    /// Where a runtime that joins the groups by name has to see the hierarchies of v1 that they are in. One of v2 is seen as it is.
    pub(crate) fn separate_hierarchies(&self) -> Vec<PathBuf> {
        let mut mounts: Vec<_> = self.hierarchies.v1.iter().map(|(_, mount)| mount.clone()).collect();
        mounts.dedup();
        mounts
    }

    /// Applies limits to the groups of a container whose command has not started yet, and has `meter` read its processor time. Returns
    /// what is left to do.
    pub(crate) fn limit(&self, group: &mut Group, limits: &Limits, meter: &Meter) -> Result<Rest, Error> {
        let known = group.owned.len();
        let mut rest = Rest::default();
        match (limits.memory, &group.memory) {
            (None, _) => {}
            (Some(_), None) => return Err(missing(Controller::Memory)),
            (Some(bytes), Some(Place::V1(path))) => {
                write(&path.join("memory.limit_in_bytes"), &bytes.to_string())?;
                // Swap accounting is a boot option; without it, there is nothing to set.
                let _no_swap_accounting =
                    write(&path.join("memory.memsw.limit_in_bytes"), &bytes.to_string());
            }
            (Some(bytes), Some(Place::V2(path))) => {
                write(&path.join("memory.max"), &bytes.to_string())?;
                let _no_swap = write(&path.join("memory.swap.max"), "0");
            }
        }
        let pids = limits.pids.unwrap_or(Limits::DEFAULT_PIDS);
        let file = self.add(group, Controller::Pids)?.map(|place| place.path().join("pids.max"));
        match (file, self.joining) {
            // The container's init is one of them.
            (Some(file), Joining::BySelf) => write(&file, &pids.saturating_add(1).to_string())?,
            (Some(file), Joining::ByRuntime) => rest.late.push((file, pids.to_string())),
            (None, _) if limits.pids.is_some() => return Err(missing(Controller::Pids)),
            (None, _) => {}
        }
        if let Some(cpus) = limits.cpus {
            let quota = quota(cpus);
            match self.add(group, Controller::Cpu)? {
                Some(Place::V1(path)) => {
                    write(&path.join("cpu.cfs_period_us"), &PERIOD_MICROS.to_string())?;
                    write(&path.join("cpu.cfs_quota_us"), &quota.to_string())?;
                }
                Some(Place::V2(path)) => write(&path.join("cpu.max"), &format!("{quota} {PERIOD_MICROS}"))?,
                None => return Err(missing(Controller::Cpu)),
            }
        }
        group.meter = meter.clone();
        match self.add(group, Controller::CpuAccount)? {
            Some(Place::V1(path)) => meter.connect_v1(&path),
            Some(Place::V2(path)) => meter.connect_v2(&path),
            None => {}
        }
        rest.entrances = group.owned[known..].iter().map(|path| path.join(ENTRANCE)).collect();
        Ok(rest)
    }

    /// The group of a container for one controller, which is made if it does not exist; none when this machine lacks the controller.
    fn add(&self, group: &mut Group, controller: Controller) -> Result<Option<Place>, Error> {
        if let Some(mount) = self.hierarchies.v1(controller) {
            let path = group.make(mount.join(&self.name).join(&group.id))?;
            return Ok(Some(Place::V1(path)));
        }
        let accounts = controller == Controller::CpuAccount;
        let mount = match &self.hierarchies.v2 {
            // Every group of v2 accounts for processor time.
            Some((mount, _)) if accounts => Some(mount.as_path()),
            _ => self.hierarchies.v2(controller),
        };
        mount.map(|mount| Ok(Place::V2(self.make_v2(group, mount)?))).transpose()
    }

    /// The container's group in the v2 hierarchy, with all controllers that it offers.
    fn make_v2(&self, group: &mut Group, mount: &Path) -> Result<PathBuf, Error> {
        let parent = mount.join(&self.name);
        let path = parent.join(&group.id);
        if group.owned.contains(&path) {
            return Ok(path);
        }
        make(&parent)?;
        for controller in Controller::ALL {
            if self.hierarchies.v2(controller).is_some() {
                let enable = format!("+{}", controller.name());
                write(&mount.join("cgroup.subtree_control"), &enable)?;
                write(&parent.join("cgroup.subtree_control"), &enable)?;
            }
        }
        group.make(path)
    }

    fn roots(&self) -> impl Iterator<Item = PathBuf> {
        let v1 = self.hierarchies.v1.iter().map(|(_, mount)| mount);
        let v2 = self.hierarchies.v2.iter().map(|(mount, _)| mount);
        v1.chain(v2).map(|mount| mount.join(&self.name))
    }

    fn sweep(&self) {
        for root in self.roots() {
            let Ok(entries) = fs::read_dir(&root) else { continue };
            for entry in entries.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    kill_all(&entry.path());
                    remove(&entry.path());
                }
            }
            kill_all(&root);
            remove(&root);
        }
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        self.sweep();
    }
}

/// What a container sees of its own limits.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum View {
    /// Nothing: v1 would take a mount for each controller.
    None,
    /// Its group, read-only at `/sys/fs/cgroup`, where runtimes such as Java's look for the memory that they may use.
    Unified,
}

/// A group, and whose rules it follows.
#[derive(Clone, Debug)]
enum Place {
    V1(PathBuf),
    V2(PathBuf),
}

impl Place {
    fn path(&self) -> &Path {
        match self {
            Self::V1(path) | Self::V2(path) => path,
        }
    }
}

/// The groups of one container. Dropping it kills what is in them and removes them.
#[derive(Debug)]
pub(crate) struct Group {
    id: String,
    path: String,
    joining: Joining,
    owned: Vec<PathBuf>,
    memory: Option<Place>,
    meter: Meter,
}

/// The file to which a process writes `0` to join a group.
const ENTRANCE: &str = "cgroup.procs";

impl Group {
    fn make(&mut self, path: PathBuf) -> Result<PathBuf, Error> {
        if self.owned.contains(&path) {
            return Ok(path);
        }
        let action = || format!("make control group `{}`", path.display());
        let mut made = fs::create_dir(&path);
        if let (Err(error), Some(parent)) = (&made, path.parent())
            && error.kind() == io::ErrorKind::NotFound
        {
            make(parent)?;
            made = fs::create_dir(&path);
        }
        // A group that exists belongs to another container.
        made.map_err(|source| Error::setup(action(), Blame::Internal, source))?;
        self.owned.push(path.clone());
        Ok(path)
    }

    /// The files to which the container's init writes `0` to join the container.
    pub(crate) fn entrances(&self) -> Vec<PathBuf> {
        match self.joining {
            Joining::BySelf => self.owned.iter().map(|path| path.join(ENTRANCE)).collect(),
            Joining::ByRuntime => Vec::new(),
        }
    }

    /// Where the groups are in each hierarchy.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Keeps the last reading of the meter; called when all processes are gone.
    pub(crate) fn end_meter(&mut self) {
        // Let go of, as another attempt of the same container may use it by now.
        std::mem::take(&mut self.meter).end();
    }

    /// What the container is to see of this.
    pub(crate) fn view(&self) -> View {
        match &self.memory {
            Some(Place::V2(_)) => View::Unified,
            Some(Place::V1(_)) | None => View::None,
        }
    }

    /// Most memory in use at once, where that is known.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        let file = match self.memory.as_ref()? {
            Place::V1(path) => path.join("memory.max_usage_in_bytes"),
            Place::V2(path) => path.join("memory.peak"),
        };
        fs::read_to_string(file).ok()?.trim().parse().ok()
    }

    /// Whether the kernel killed a process of the container for lack of memory.
    pub(crate) fn was_out_of_memory(&self) -> bool {
        let file = match &self.memory {
            None => return false,
            Some(Place::V1(path)) => path.join("memory.oom_control"),
            Some(Place::V2(path)) => path.join("memory.events"),
        };
        let events = fs::read_to_string(file).unwrap_or_default();
        let kills = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.is_some_and(|count| count.trim() != "0")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end_meter();
        for path in &self.owned {
            if fs::remove_dir(path).is_err() {
                kill_all(path);
                remove(path);
            }
        }
    }
}

const PERIOD_MICROS: u32 = 100_000;

fn quota(cpus: f64) -> u64 {
    // The kernel refuses less than a millisecond a period.
    let micros = (cpus * f64::from(PERIOD_MICROS)).clamp(1_000.0, 1e12);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to a small positive range"
    )]
    let whole = micros as u64;
    whole
}

fn missing(controller: Controller) -> Error {
    Error::Unsupported {
        missing: format!(
            "the `{}` cgroup controller is not available, so the limit cannot be enforced",
            controller.name()
        ),
        hint: "mount the controller, or run without this limit",
    }
}

fn make(path: &Path) -> Result<(), Error> {
    match fs::create_dir_all(path) {
        Ok(()) => Ok(()),
        Err(source) => Err(Error::environment(format!("make control group `{}`", path.display()), source)),
    }
}

fn write(path: &Path, value: &str) -> Result<(), Error> {
    let attempt = || format!("write `{value}` to `{}`", path.display());
    fs::write(path, value).map_err(|source| Error::environment(attempt(), source))
}

/// Kills every process in a group, again and again until none is left or a second has passed.
fn kill_all(group: &Path) {
    if fs::write(group.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    for _ in 0..100 {
        let processes = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        let pids =
            processes.lines().filter_map(|line| line.parse().ok().and_then(rustix::process::Pid::from_raw));
        let mut found = false;
        for pid in pids {
            found = true;
            // It may be gone already.
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        if !found {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Removes a group; a process that was just killed may keep it busy for a moment.
fn remove(path: &Path) {
    for _ in 0..100 {
        match fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "cannot remove a control group");
                return;
            }
            Ok(()) | Err(_) => return,
        }
    }
    tracing::warn!(path = %path.display(), "a control group stays busy");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_stay_within_what_the_kernel_takes() {
        assert_eq!(quota(1.5), 150_000);
        assert_eq!(quota(0.0), 1_000);
        assert_eq!(quota(f64::INFINITY), 1_000_000_000_000);
    }
}
