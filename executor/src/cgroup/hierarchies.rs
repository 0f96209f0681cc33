//! Where the controllers of this machine are: the one place that knows v1, hybrid and v2 apart.

use std::fs;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Controller {
    Memory,
    Cpu,
    /// Of v1 only; every v2 group accounts by itself.
    CpuAccount,
    Pids,
    Devices,
}

impl Controller {
    pub(super) const ALL: [Self; 5] = [Self::Memory, Self::Cpu, Self::CpuAccount, Self::Pids, Self::Devices];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::CpuAccount => "cpuacct",
            Self::Pids => "pids",
            Self::Devices => "devices",
        }
    }
}

/// Where the controllers of this machine are.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Hierarchies {
    pub(super) v1: Vec<(Controller, PathBuf)>,
    pub(super) v2: Option<(PathBuf, Vec<Controller>)>,
}

impl Hierarchies {
    /// Reads the mount table; a controller that is in use by v1 is not offered by v2.
    pub(super) fn detect() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mut found = Self::parse(&mounts);
        if let Some((mount, controllers)) = &mut found.v2 {
            let offered = fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
            controllers.extend(
                Controller::ALL
                    .into_iter()
                    .filter(|c| offered.split_whitespace().any(|name| name == c.name())),
            );
        }
        found
    }

    fn parse(mountinfo: &str) -> Self {
        let mut found = Self::default();
        for line in mountinfo.lines() {
            let Some((before, after)) = line.split_once(" - ") else { continue };
            let mut fields = before.split(' ').skip(3);
            let (Some("/"), Some(mount)) = (fields.next(), fields.next()) else { continue };
            let mut after = after.split(' ');
            let kind = after.next();
            let options = after.nth(1).unwrap_or_default();
            if kind == Some("cgroup2") && found.v2.is_none() {
                found.v2 = Some((PathBuf::from(mount), Vec::new()));
            } else if kind == Some("cgroup") {
                for controller in Controller::ALL {
                    let is_new = found.v1.iter().all(|(known, _)| *known != controller);
                    if is_new && options.split(',').any(|option| option == controller.name()) {
                        found.v1.push((controller, PathBuf::from(mount)));
                    }
                }
            }
        }
        found
    }

    pub(super) fn v1(&self, controller: Controller) -> Option<&Path> {
        self.v1.iter().find(|(known, _)| *known == controller).map(|(_, mount)| mount.as_path())
    }

    pub(super) fn v2(&self, controller: Controller) -> Option<&Path> {
        let (mount, controllers) = self.v2.as_ref()?;
        controllers.contains(&controller).then_some(mount.as_path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_layout_is_recognised() {
        let found = Hierarchies::parse(
            "30 20 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
             31 20 0:27 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
             32 20 0:28 /docker/x /elsewhere rw - cgroup cgroup rw,pids\n\
             33 20 0:29 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
        );
        assert_eq!(found.v1(Controller::Cpu), Some(Path::new("/sys/fs/cgroup/cpu")));
        assert_eq!(found.v1(Controller::Memory), Some(Path::new("/sys/fs/cgroup/memory")));
        assert_eq!(found.v1(Controller::Pids), None, "a part of a hierarchy is not the hierarchy");
        assert_eq!(found.v2, Some((PathBuf::from("/sys/fs/cgroup/unified"), Vec::new())));
    }
}
