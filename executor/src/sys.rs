//! The system calls that rustix does not offer in a safe form, behind safe functions.
//!
//! All of the workspace's `unsafe` is here and in [`seccomp`]. What makes most of it sound is that the container helper has one thread:
//! a fork of it may go on running ordinary code.
#![expect(unsafe_code, reason = "system calls without a safe wrapper; each block says what it relies on")]

pub(crate) mod seccomp;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

/// Gives memory that was freed back to the system, which the allocator does by itself only at the end of each of its
/// heaps. Takes a moment: meant for a process that has nothing to do.
pub fn release_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointer, and may be called at any time by any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// A process made by [`fork_with`].
pub(crate) struct Child {
    /// Its id as this process sees it.
    pub(crate) pid: i32,
    /// A descriptor that becomes readable when it ends.
    pub(crate) pidfd: OwnedFd,
}

/// Whose child a process is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Parent {
    /// That of the process that makes it.
    This,
    /// That of this process's own parent, who alone can wait for it.
    OfThis,
}

/// `clone3(2)` without shared memory, in new namespaces given by `CLONE_NEW*` flags; `None` is returned in the child.
///
/// Must only be called while the process has one thread.
pub(crate) fn fork_with(namespaces: u64, parent: Parent) -> io::Result<Option<Child>> {
    let mut pidfd: libc::c_int = -1;
    let flag = |flag: i32| u64::try_from(flag).expect("a flag is not negative");
    // With CLONE_PARENT, the signal at the child's end is the one of this process's own end.
    let (parent, exit_signal) = match parent {
        Parent::This => (0, flag(libc::SIGCHLD)),
        Parent::OfThis => (flag(libc::CLONE_PARENT), 0),
    };
    let arguments = libc::clone_args {
        flags: namespaces | parent | flag(libc::CLONE_PIDFD),
        pidfd: ptr::from_mut(&mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    // SAFETY: the arguments are a valid structure of the size given, and outlive the call. Without CLONE_VM the child has its own copy of the
    // memory, as after fork; there is no other thread that could hold a lock.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => {
            // SAFETY: the kernel has just stored a new descriptor there that nothing else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            let pid = i32::try_from(pid).expect("process ids fit into 32 bits");
            Ok(Some(Child { pid, pidfd }))
        }
    }
}

/// How a child ended and what it and its waited-for descendants used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waited {
    pub(crate) pid: i32,
    /// A wait status as of `wait(2)`.
    pub(crate) status: i32,
    pub(crate) user: Duration,
    pub(crate) system: Duration,
    /// In bytes, of the largest process.
    pub(crate) largest_process: u64,
}

/// Waits until child `pid`, or any child for -1, has ended.
pub(crate) fn wait(pid: i32) -> io::Result<Waited> {
    // SAFETY: all-zero is a valid `rusage`.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let mut status = 0;
    loop {
        // SAFETY: both pointers are valid for writes for the time of the call.
        let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        if waited > 0 {
            return Ok(Waited {
                pid: waited,
                status,
                user: duration(usage.ru_utime),
                system: duration(usage.ru_stime),
                largest_process: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
            });
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn duration(time: libc::timeval) -> Duration {
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0)) + Duration::from_micros(micros)
}

/// Ends this process at once, without destructors or flushing, which belong to the process it was forked from.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Replaces the program; returns only if that failed.
pub(crate) fn execve(program: &CString, argv: &[CString], env: &[CString]) -> io::Error {
    let pointers =
        |strings: &[CString]| strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect::<Vec<_>>();
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: both arrays end in a null pointer and hold pointers to strings that outlive the call.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Gives every signal its default action and unblocks all of them.
pub(crate) fn reset_signals() {
    // Longer than any architecture's; all zero means SIG_DFL, no flags and an empty mask.
    let default = [0_u64; 8];
    let bytes_in_mask = 8;
    for signal in 1..=64 {
        // SAFETY: the structure is large enough to be read, and no old action is asked for. The C library's own wrapper would refuse its two
        // internal signals, which whoever started us may have had ignored.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                &raw const default,
                ptr::null_mut::<u8>(),
                bytes_in_mask,
            )
        };
    }
    change_signal_mask(libc::SIG_SETMASK, false);
}

/// Blocks every signal that can be blocked.
pub(crate) fn block_signals() {
    change_signal_mask(libc::SIG_SETMASK, true);
}

/// Has the kernel reap all children of this process, now and later.
pub(crate) fn forget_children() {
    // SAFETY: no handler is installed, and no old one asked for.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
}

fn change_signal_mask(how: i32, all: bool) {
    // SAFETY: the set is initialised by sigfillset or sigemptyset before it is used, and no old set is asked for.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        if all {
            libc::sigfillset(&raw mut set)
        } else {
            libc::sigemptyset(&raw mut set)
        };
        libc::sigprocmask(how, &raw const set, ptr::null_mut());
    }
}

/// Marks all descriptors from 3 on to be closed by the next exec, whoever opened them.
pub fn close_others_on_exec() -> io::Result<()> {
    // SAFETY: no pointers are passed.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Closes a descriptor in a child of a fork, whose owner is the parent's copy of a value.
///
/// Must only be called in a process that never uses or drops the value.
pub(crate) fn close(fd: impl AsFd) {
    // SAFETY: no pointers are passed; that nothing uses the descriptor afterwards is what the caller sees to.
    unsafe { libc::close(fd.as_fd().as_raw_fd()) };
}

/// Takes over a descriptor that this process was started with.
pub(crate) fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC passes no pointers; the result is a fresh descriptor.
    let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Changes attributes of a mount given by descriptor, and of all mounts below it.
pub(crate) fn set_mount_attributes(mount: impl AsFd, set: u64) -> io::Result<()> {
    let attributes = libc::mount_attr { attr_set: set, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: the path is a valid string, the structure is valid and has the size given.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives the calling thread new namespaces; the caller makes sure that no other code relies on the thread's old ones.
pub(crate) fn unshare(namespaces: i32) -> io::Result<()> {
    // SAFETY: no memory is involved: CLONE_FILES and the like are not namespaces and are not passed.
    let done = unsafe { libc::unshare(namespaces) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets a limit of this process; `resource` is a `RLIMIT_*` constant.
pub(crate) fn set_limit(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the structure is valid for the time of the call.
    let done = unsafe { libc::setrlimit(resource, &raw const limit) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The soft and hard limit of this process; `resource` is a `RLIMIT_*` constant.
pub(crate) fn limit(resource: u32) -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is valid for writes for the time of the call.
    let done = unsafe { libc::getrlimit(resource, &raw mut limit) };
    if done == 0 { Ok((limit.rlim_cur, limit.rlim_max)) } else { Err(io::Error::last_os_error()) }
}
