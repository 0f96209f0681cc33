//! The last steps before the command: give up what a build step must not have, and execute.
//!
//! The order matters: the filter is loaded while `CAP_SYS_ADMIN` is still there (`no_new_privs` stays off, as setuid programs must work),
//! the working directory is entered before the user changes, as in runc, and the ids change before the capabilities are cut.

use std::ffi::CString;
use std::os::unix::net::UnixStream;

use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::{Request, internal, report};
use crate::spec::{Failure, Report, Spec};
use crate::{Blame, Resource, Ulimit, User, sys};

/// Becomes the command.
pub(super) fn run(request: &Request, filter: &[u8], control: &UnixStream) -> ! {
    let spec = &request.spec;
    let result = prepare(spec, filter).map(|(argv, env)| execute(spec, &argv, &env));
    let last = match result {
        Ok(errno) => Report::ExecFailed { program: spec.argv[0].clone(), errno },
        Err(failure) => Report::SetupFailed(failure),
    };
    report(control, &last);
    sys::exit_now(127);
}

type Strings = Vec<CString>;

fn prepare(spec: &Spec, filter: &[u8]) -> Result<(Strings, Strings), Failure> {
    let strings = |texts: Vec<String>| {
        let converted: Result<Strings, _> = texts.into_iter().map(CString::new).collect();
        converted.map_err(|e| internal("pass the command on", e))
    };
    let argv = strings(spec.argv.clone())?;
    let env = strings(spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect())?;
    rustix::process::setsid().map_err(|e| internal("start a session", e))?;
    sys::reset_signals();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    sys::close_others_on_exec().map_err(|e| internal("close descriptors", e))?;
    limit(&spec.ulimits)?;
    // `/dev/stdout` is opened anew through `/proc`, which asks who owns the pipe.
    for stream in [rustix::stdio::stdout(), rustix::stdio::stderr()] {
        rustix::fs::fchown(stream, Some(Uid::from_raw(spec.user.uid)), None)
            .map_err(|e| internal("hand over the output streams", e))?;
    }
    enter_working_directory(&spec.cwd)?;
    sys::seccomp::load(filter).map_err(|e| Failure::environment("load the seccomp filter", e))?;
    become_user(&spec.user)?;
    Ok((argv, env))
}

pub(super) fn enter_working_directory(path: &str) -> Result<(), Failure> {
    rustix::process::chdir(path)
        .map_err(|e| Failure::new(Blame::User, format!("enter working directory `{path}`"), e))
}

/// Docker's default capabilities.
const CAPABILITIES: [CapabilitySet; 14] = [
    CapabilitySet::CHOWN,
    CapabilitySet::DAC_OVERRIDE,
    CapabilitySet::FSETID,
    CapabilitySet::FOWNER,
    CapabilitySet::MKNOD,
    CapabilitySet::NET_RAW,
    CapabilitySet::SETGID,
    CapabilitySet::SETUID,
    CapabilitySet::SETFCAP,
    CapabilitySet::SETPCAP,
    CapabilitySet::NET_BIND_SERVICE,
    CapabilitySet::SYS_CHROOT,
    CapabilitySet::KILL,
    CapabilitySet::AUDIT_WRITE,
];

/// What bounds every process of a container.
pub(super) fn capabilities() -> CapabilitySet {
    CAPABILITIES.into_iter().collect()
}

/// Takes the user's identity. Root keeps the default capabilities, another user none; for both they bound what a setuid program can get.
pub(super) fn become_user(user: &User) -> Result<(), Failure> {
    let failed = |action: &'static str| move |e: rustix::io::Errno| Failure::environment(action, e);
    let kept = capabilities();
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if kept.contains(capability) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // This kernel has no further capabilities.
            Err(rustix::io::Errno::INVAL) => break,
            other => other.map_err(failed("limit capabilities"))?,
        }
    }
    let groups: Vec<Gid> = user.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    rustix::thread::set_thread_groups(&groups).map_err(failed("set supplementary groups"))?;
    let gid = Gid::from_raw(user.gid);
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(failed("set the group"))?;
    let uid = Uid::from_raw(user.uid);
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(failed("set the user"))?;
    let own = rustix::thread::capabilities(None).map_err(failed("read capabilities"))?;
    let permitted = own.permitted & if uid.is_root() { kept } else { CapabilitySet::empty() };
    let sets = CapabilitySets { effective: permitted, permitted, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).map_err(failed("drop capabilities"))
}

/// What systemd gives to services, Docker's daemon among them; a loop over all possible descriptors stays short.
const SOFT_FILES: u64 = 1024;
const HARD_FILES: u64 = 524_288;

/// The limit on open files that a process has unless asked otherwise.
pub(super) fn open_files() -> Result<Ulimit, Failure> {
    let (_, most) = sys::limit(libc::RLIMIT_NOFILE).map_err(|e| internal("read a limit", e))?;
    let hard = most.min(HARD_FILES);
    Ok(Ulimit { resource: Resource::Nofile, soft: hard.min(SOFT_FILES), hard })
}

pub(super) fn limit(ulimits: &[Ulimit]) -> Result<(), Failure> {
    let files = open_files()?;
    sys::set_limit(libc::RLIMIT_NOFILE, files.soft, files.hard)
        .map_err(|e| internal("limit open files", e))?;
    for ulimit in ulimits {
        let action = || format!("limit {:?} to {}:{}", ulimit.resource, ulimit.soft, ulimit.hard);
        sys::set_limit(number(ulimit.resource), ulimit.soft, ulimit.hard)
            .map_err(|e| Failure::new(Blame::User, action().to_lowercase(), e))?;
    }
    Ok(())
}

fn number(resource: Resource) -> u32 {
    match resource {
        Resource::Core => libc::RLIMIT_CORE,
        Resource::Cpu => libc::RLIMIT_CPU,
        Resource::Data => libc::RLIMIT_DATA,
        Resource::Fsize => libc::RLIMIT_FSIZE,
        Resource::Locks => libc::RLIMIT_LOCKS,
        Resource::Memlock => libc::RLIMIT_MEMLOCK,
        Resource::Msgqueue => libc::RLIMIT_MSGQUEUE,
        Resource::Nice => libc::RLIMIT_NICE,
        Resource::Nofile => libc::RLIMIT_NOFILE,
        Resource::Nproc => libc::RLIMIT_NPROC,
        Resource::Rss => libc::RLIMIT_RSS,
        Resource::Rtprio => libc::RLIMIT_RTPRIO,
        Resource::Rttime => libc::RLIMIT_RTTIME,
        Resource::Sigpending => libc::RLIMIT_SIGPENDING,
        Resource::Stack => libc::RLIMIT_STACK,
    }
}

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where programs are looked for.
pub(super) fn search_path(env: &[(String, String)]) -> &str {
    env.iter().rev().find(|(name, _)| name == "PATH").map_or(DEFAULT_PATH, |(_, path)| path)
}

/// The directories of `path`, and what a program would be called in each.
pub(super) fn candidates<'a>(path: &'a str, program: &'a str) -> impl Iterator<Item = (&'a str, String)> {
    path.split(':').map(move |directory| {
        let directory = if directory.is_empty() { "." } else { directory };
        (directory, format!("{directory}/{program}"))
    })
}

/// Executes the command; returns the reason why that failed.
fn execute(spec: &Spec, argv: &[CString], env: &[CString]) -> i32 {
    let program = &spec.argv[0];
    let errno = |error: std::io::Error| error.raw_os_error().unwrap_or(libc::EIO);
    if program.contains('/') {
        return errno(sys::execve(&argv[0], argv, env));
    }
    let mut reason = libc::ENOENT;
    for (_, candidate) in candidates(search_path(&spec.env), program) {
        let Ok(candidate) = CString::new(candidate) else { continue };
        match errno(sys::execve(&candidate, argv, env)) {
            libc::ENOENT | libc::ENOTDIR => {}
            // As a shell does: there may be a better one further on.
            libc::EACCES => reason = libc::EACCES,
            other => return other,
        }
    }
    reason
}
