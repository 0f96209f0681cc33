//! The `config.json` of a bundle: what [`Native`](crate::Native) does by itself, in the words of the runtime specification.

use serde_json::{Value, json};

use super::Inside;
use crate::Ulimit;
use crate::cgroup::View;
use crate::helper::filesystem::hidden;
use crate::helper::process;
use crate::seccomp::{self, Rule};
use crate::spec::{CellSpec, Failure, Settings, Spec};
use crate::sys::seccomp::{Action, Condition};

/// The version of the specification that this follows.
const VERSION: &str = "1.0.2";

/// Describes a container for `spec` around what was made for it.
pub(super) fn of(
    settings: &Settings,
    cell: &CellSpec,
    spec: &Spec,
    inside: &Inside<'_>,
) -> Result<Value, Failure> {
    let mut mounts = fixed_mounts(spec, cell.view);
    mounts.extend(inside.binds.iter().map(|bind| {
        json!({ "destination": bind.target, "type": "bind", "source": bind.source, "options": ["rbind", "rprivate"] })
    }));
    Ok(json!({
        "ociVersion": VERSION,
        "process": process(spec, inside.program)?,
        "root": { "path": inside.root },
        "hostname": spec.hostname,
        "mounts": mounts,
        "linux": {
            "cgroupsPath": cell.groups,
            "namespaces": namespaces(spec, inside.reaper),
            // What every container may use is added by the runtime.
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "maskedPaths": hidden::masked(&settings.masked).collect::<Vec<_>>(),
            "readonlyPaths": hidden::READ_ONLY,
            "seccomp": filter(),
        },
    }))
}

fn process(spec: &Spec, program: &str) -> Result<Value, Failure> {
    let arguments: Vec<&str> =
        std::iter::once(program).chain(spec.argv.iter().skip(1).map(String::as_str)).collect();
    let env: Vec<String> = spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let user = &spec.user;
    let bounding: Vec<String> =
        process::capabilities().iter_names().map(|(name, _)| format!("CAP_{name}")).collect();
    let held = if user.uid == 0 { bounding.clone() } else { Vec::new() };
    Ok(json!({
        "args": arguments,
        "env": env,
        "cwd": spec.cwd,
        "user": { "uid": user.uid, "gid": user.gid, "additionalGids": user.groups },
        "capabilities": { "bounding": bounding, "effective": held, "permitted": held, "inheritable": [], "ambient": [] },
        "rlimits": limits(spec)?,
        // Setuid programs must work.
        "noNewPrivileges": false,
    }))
}

/// No two of one resource, as the specification asks: the last one counts.
fn limits(spec: &Spec) -> Result<Vec<Value>, Failure> {
    let mut limits: Vec<Ulimit> = Vec::new();
    for limit in std::iter::once(process::open_files()?).chain(spec.ulimits.iter().copied()) {
        limits.retain(|known| known.resource != limit.resource);
        limits.push(limit);
    }
    let describe = |limit: &Ulimit| {
        let name = format!("RLIMIT_{:?}", limit.resource).to_uppercase();
        json!({ "type": name, "soft": limit.soft, "hard": limit.hard })
    };
    Ok(limits.iter().map(describe).collect())
}

fn fixed_mounts(spec: &Spec, view: View) -> Vec<Value> {
    let mount = |kind: &str, target: &str, options: &[&str]| json!({ "destination": target, "type": kind, "source": kind, "options": options });
    let shm = format!("size={}", spec.shm_size);
    let mut mounts = vec![
        mount("proc", "/proc", &["nosuid", "noexec", "nodev"]),
        mount("tmpfs", "/dev", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "devpts",
            "/dev/pts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("tmpfs", "/dev/shm", &["nosuid", "noexec", "nodev", "mode=1777", &shm]),
        mount("mqueue", "/dev/mqueue", &["nosuid", "noexec", "nodev"]),
        mount("sysfs", "/sys", &["nosuid", "noexec", "nodev", "ro"]),
    ];
    if view == View::Unified {
        mounts.push(mount("cgroup", "/sys/fs/cgroup", &["nosuid", "noexec", "nodev", "ro"]));
    }
    mounts
}

/// The init is in the network of the step already, if that has its own; this is for runtimes that look into it from outside.
fn namespaces(spec: &Spec, reaper: i32) -> Vec<Value> {
    let mut namespaces: Vec<Value> =
        ["mount", "uts", "ipc", "cgroup"].iter().map(|kind| json!({ "type": kind })).collect();
    namespaces.push(json!({ "type": "pid", "path": format!("/proc/{reaper}/ns/pid") }));
    if spec.network.is_some() {
        namespaces.push(json!({ "type": "network", "path": "/proc/1/ns/net" }));
    }
    namespaces
}

#[cfg(target_arch = "x86_64")]
const ARCHITECTURES: &[&str] = &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
#[cfg(target_arch = "aarch64")]
const ARCHITECTURES: &[&str] = &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"];
#[cfg(target_arch = "riscv64")]
const ARCHITECTURES: &[&str] = &["SCMP_ARCH_RISCV64"];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
const ARCHITECTURES: &[&str] = &[];

fn filter() -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": libc::EPERM,
        "architectures": ARCHITECTURES,
        "syscalls": seccomp::rules().iter().map(rule).collect::<Vec<_>>(),
    })
}

fn rule(rule: &Rule) -> Value {
    let arguments: Vec<Value> = rule.condition.iter().copied().map(argument).collect();
    match rule.action {
        Action::Allow => json!({ "names": rule.names, "action": "SCMP_ACT_ALLOW", "args": arguments }),
        Action::Fail(errno) => {
            json!({ "names": rule.names, "action": "SCMP_ACT_ERRNO", "errnoRet": errno, "args": arguments })
        }
    }
}

/// A condition on argument 0.
fn argument(condition: Condition) -> Value {
    let (op, value, other) = match condition {
        Condition::LessThan(value) => ("SCMP_CMP_LT", value, 0),
        Condition::Equal(value) => ("SCMP_CMP_EQ", value, 0),
        Condition::Clear(mask) => ("SCMP_CMP_MASKED_EQ", mask, 0),
    };
    json!({ "index": 0, "op": op, "value": value, "valueTwo": other })
}
