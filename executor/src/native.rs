//! The executor that needs no other program: it starts the helper, feeds it and watches it.
//!
//! The calling thread does all the work of [`Native::run`]: it relays output and waits. The helper dies with that
//! thread (`PR_SET_PDEATHSIG`), and the container with the helper.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cgroup::{Group, Parent};
use crate::container::MountKind;
use crate::executor::Output;
use crate::proxy::Proxy;
use crate::rundir::{ContainerDirectory, RunDirectory};
use crate::spec::{self, MountKindSpec, MountSpec, NetworkSpec, Report, Spec};
use crate::{Access, Blame, CancelFlag, Container, Error, Executor, Exit, Network, Outcome, Stream, Usage};
use crate::{helper, network, seccomp};

/// Runs containers with the kernel's own means. One per run directory.
#[derive(Debug)]
pub struct Native {
    // Dropped before the directory, whose lock protects the groups' name.
    cgroups: Parent,
    directory: RunDirectory,
    masked: Vec<String>,
}

impl Native {
    /// Takes over `run_dir`, which is made if missing and should be on a tmpfs such as `/run`, and reclaims what a dead process
    /// left there. Fails if a live process uses it.
    pub fn new(run_dir: &Path) -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::Unsupported {
                missing: "containers need root".to_owned(),
                hint: "run as root; rootless operation is not supported yet",
            });
        }
        let directory = RunDirectory::lock(run_dir)?;
        // Compiled meanwhile; the first container waits for it, or meets the error.
        let _unlikely = thread::Builder::new().name("seccomp".to_owned()).spawn(seccomp::filter);
        let cgroups = Parent::create(directory.tag())?;
        network::sweep();
        Ok(Self { cgroups, directory, masked: masked_below_sys() })
    }

    fn spec(&self, c: &Container, group: &Group, sockets: &Sockets) -> (Spec, Vec<MountFrame>) {
        let mut frames = Vec::new();
        let mounts = c.mounts.iter().enumerate().map(|(index, mount)| {
            let kind = match mount.kind.clone() {
                MountKind::Bind { source, access } => MountKindSpec::Bind { source, access },
                MountKind::Overlay { lowers, subpath, access } => MountKindSpec::Overlay { lowers, subpath, access },
                MountKind::Tmpfs { size, mode } => MountKindSpec::Tmpfs { size, mode },
                MountKind::SecretFile { mode, uid, gid, .. } => {
                    frames.push(MountFrame { mount: index });
                    MountKindSpec::SecretFile { frame: FIRST_SECRET + frames.len() - 1, mode, uid, gid }
                }
                MountKind::UnixSocket { .. } => {
                    MountKindSpec::Bind { source: sockets.path(index), access: Access::ReadWrite }
                }
            };
            MountSpec { target: mount.target.clone(), kind }
        });
        let spec = Spec {
            lowers: c.lowers.clone(),
            upper: c.upper.clone(),
            work: c.work.clone(),
            argv: c.argv.clone(),
            env: c.env.clone(),
            cwd: c.cwd.clone(),
            user: c.user.clone(),
            mounts: mounts.collect(),
            network: match &c.network {
                Network::Sandbox(_) => NetworkSpec::Given,
                Network::None => NetworkSpec::None,
                Network::Host => NetworkSpec::Host,
            },
            hostname: c.hostname.clone(),
            shm_size: c.shm_size,
            ulimits: c.ulimits.clone(),
            hosts: c.hosts.clone(),
            resolv_conf: c.resolv_conf.clone(),
            workbench: self.directory.workbench(),
            cgroup_entrances: group.entrances(),
            devices: self.cgroups.devices(),
            masked: self.masked.clone(),
        };
        (spec, frames)
    }

    fn start(&self, container: &Container, group: &Group, sockets: &Sockets) -> Result<Running, Error> {
        let (spec, secrets) = self.spec(container, group, sockets);
        let spec = serde_json::to_vec(&spec).map_err(|problem| Error::Invalid {
            id: container.id.clone(),
            problem: format!("cannot be described: {problem}"),
            blame: Blame::Environment,
        })?;
        let filter = seccomp::filter();
        let filter = filter.map_err(|e| Error::setup("compile the seccomp filter", Blame::Internal, e))?;
        let mut frames: Vec<&[u8]> = vec![&spec, filter];
        for MountFrame { mount } in secrets {
            if let MountKind::SecretFile { bytes, .. } = &container.mounts[mount].kind {
                frames.push(&bytes.0);
            }
        }
        let network = match &container.network {
            Network::Sandbox(namespace) => Some(namespace.as_fd()),
            Network::None | Network::Host => None,
        };
        let running = Running::spawn().map_err(|e| Error::environment("start the container's helper", e))?;
        // If it dies meanwhile, its wait status says more than the failed write.
        let _dead = spec::send(&running.control, &frames, network);
        Ok(running)
    }
}

/// Reclaims what a dead owner of `run_dir` left: control groups, processes, directories, and bridges. [`Native::new`] does so too; this is
/// for when no container is to be run. Fails if the owner lives.
pub fn sweep(run_dir: &Path) -> Result<(), Error> {
    let directory = RunDirectory::lock(run_dir)?;
    drop(Parent::create(directory.tag())?);
    network::sweep();
    Ok(())
}

/// Frames 0 and 1 are the spec and the filter.
const FIRST_SECRET: usize = 2;

struct MountFrame {
    mount: usize,
}

impl Executor for Native {
    fn run(&self, container: &Container, output: &mut Output<'_>, cancel: &CancelFlag) -> Result<Outcome, Error> {
        let started = Instant::now();
        container.validate()?;
        if cancel.is_cancelled() {
            return Ok(Outcome { exit: Exit::Cancelled, usage: Usage::default() });
        }
        let sockets = Sockets::start(container, &self.directory)?;
        let group = self.cgroups.container(&container.id, &container.limits)?;
        let running = self.start(container, &group, &sockets)?;
        let deadline = container.limits.timeout.map(|timeout| started + timeout);
        let ended = running.watch(output, cancel, deadline)?;
        ended.outcome(&group, started, output)
    }
}

/// The sockets that are forwarded into a container, and the directory where they listen: most containers need neither.
struct Sockets {
    // Stopped before their directory goes.
    proxies: Vec<Proxy>,
    directory: Option<ContainerDirectory>,
}

impl Sockets {
    fn start(container: &Container, run: &RunDirectory) -> Result<Self, Error> {
        let mut sockets = Self { proxies: Vec::new(), directory: None };
        for (index, mount) in container.mounts.iter().enumerate() {
            if let MountKind::UnixSocket { source, mode, uid, gid } = &mount.kind {
                let directory = match sockets.directory.take() {
                    Some(directory) => directory,
                    None => run.container(&container.id)?,
                };
                sockets.proxies.push(Proxy::start(&directory.socket(index), source, *mode, *uid, *gid)?);
                sockets.directory = Some(directory);
            }
        }
        Ok(sockets)
    }

    fn path(&self, mount: usize) -> PathBuf {
        self.directory.as_ref().map(|directory| directory.socket(mount)).unwrap_or_default()
    }
}

/// Paths that exist on this machine and that Docker hides, besides those that exist everywhere.
fn masked_below_sys() -> Vec<String> {
    let mut masked = Vec::new();
    let processors = std::fs::read_dir("/sys/devices/system/cpu").into_iter().flatten().flatten();
    for processor in processors {
        let throttle = processor.path().join("thermal_throttle");
        if let (true, Some(path)) = (throttle.is_dir(), throttle.to_str()) {
            masked.push(path.to_owned());
        }
    }
    masked.sort();
    masked
}

/// A helper at work.
struct Running {
    child: std::process::Child,
    control: UnixStream,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

/// Why a container is being killed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Killed {
    Cancelled,
    TimedOut,
}

/// How long the helper may take to end after it was asked to kill the container.
const GRACE: Duration = Duration::from_secs(5);

impl Running {
    fn spawn() -> io::Result<Self> {
        let (control, theirs) = UnixStream::pair()?;
        let mut child = Command::new("/proc/self/exe")
            .arg0(helper::NAME)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let taken = "the stream was asked to be a pipe";
        let stdout = OwnedFd::from(child.stdout.take().expect(taken));
        let stderr = OwnedFd::from(child.stderr.take().expect(taken));
        for pipe in [&stdout, &stderr] {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        control.set_nonblocking(true)?;
        Ok(Self { child, control, stdout, stderr })
    }

    /// Relays output until the helper has ended.
    fn watch(mut self, output: &mut Output<'_>, cancel: &CancelFlag, deadline: Option<Instant>) -> Result<Ended, Error> {
        let mut reports = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        let mut killed = None;
        let mut deadline = deadline;
        let mut open = [true, true];
        loop {
            let woken = self.wait(open, killed.is_none().then_some(cancel), deadline)
                .map_err(|e| Error::setup("wait for the container", Blame::Internal, e))?;
            if killed.is_none() && (woken.cancelled || woken.late) {
                killed = Some(if woken.cancelled { Killed::Cancelled } else { Killed::TimedOut });
                self.ask_to_kill();
                deadline = Some(Instant::now() + GRACE);
            } else if woken.late {
                // The helper hangs; its container dies with it.
                let _gone = self.child.kill();
                deadline = None;
            }
            for (index, stream) in [Stream::Stdout, Stream::Stderr].into_iter().enumerate() {
                if woken.output[index] {
                    open[index] = relay(self.pipe(stream), stream, &mut buffer, output);
                }
            }
            if woken.reports && !receive_reports(&mut self.control, &mut buffer, &mut reports) {
                break;
            }
        }
        let status = self.child.wait().map_err(|e| Error::setup("wait for the helper", Blame::Internal, e))?;
        // All writers are gone, or have passed the pipe on to somebody outside, for whom nobody waits.
        for stream in [Stream::Stdout, Stream::Stderr] {
            while relay(self.pipe(stream), stream, &mut buffer, output) && has_input(self.pipe(stream)) {}
        }
        Ok(Ended { reports: parse_reports(&reports), killed, status })
    }

    fn pipe(&self, stream: Stream) -> BorrowedFd<'_> {
        match stream {
            Stream::Stdout => self.stdout.as_fd(),
            Stream::Stderr => self.stderr.as_fd(),
        }
    }

    fn ask_to_kill(&self) {
        // If the helper is gone, so is the container.
        let _gone = rustix::net::send(&self.control, &[spec::KILL], rustix::net::SendFlags::NOSIGNAL);
    }

    fn wait(&self, open: [bool; 2], cancel: Option<&CancelFlag>, deadline: Option<Instant>) -> io::Result<Woken> {
        let interest = |wanted| if wanted { PollFlags::IN } else { PollFlags::empty() };
        // Descriptors that are closed at the other end always wake, so they are left out by watching the control socket twice.
        let source = |index: usize, stream| if open[index] { self.pipe(stream) } else { self.control.as_fd() };
        let cancel_fd = cancel.map_or(self.control.as_fd(), AsFd::as_fd);
        let mut fds = [
            PollFd::from_borrowed_fd(self.control.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(source(0, Stream::Stdout), interest(open[0])),
            PollFd::from_borrowed_fd(source(1, Stream::Stderr), interest(open[1])),
            PollFd::from_borrowed_fd(cancel_fd, interest(cancel.is_some())),
        ];
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        rustix::io::retry_on_intr(|| poll(&mut fds, timeout.as_ref()))?;
        let ready = |index: usize| !fds[index].revents().is_empty();
        Ok(Woken {
            reports: ready(0),
            output: [open[0] && ready(1), open[1] && ready(2)],
            cancelled: cancel.is_some() && ready(3),
            late: left.is_some() && deadline.is_some_and(|deadline| Instant::now() >= deadline),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Reached with a live child only when watching failed.
        if let Ok(None) = self.child.try_wait() {
            let _gone = self.child.kill();
            let _gone = self.child.wait();
        }
    }
}

struct Woken {
    reports: bool,
    output: [bool; 2],
    cancelled: bool,
    late: bool,
}

/// Passes on one piece; false at the end of file.
fn relay(pipe: BorrowedFd<'_>, stream: Stream, buffer: &mut [u8], output: &mut Output<'_>) -> bool {
    match rustix::io::retry_on_intr(|| rustix::io::read(pipe, &mut *buffer)) {
        Ok(0) => false,
        Ok(count) => {
            output(stream, &buffer[..count]);
            true
        }
        Err(error) => error == rustix::io::Errno::AGAIN,
    }
}

fn has_input(pipe: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(pipe, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(rustix::io::retry_on_intr(|| poll(&mut fds, Some(&now))), Ok(1..))
}

/// The helper's reports are few and short; whatever goes on beyond this is not one.
const MAX_REPORTS: usize = 1 << 20;

/// Appends what has arrived; false at the end of file.
fn receive_reports(control: &mut UnixStream, buffer: &mut [u8], reports: &mut Vec<u8>) -> bool {
    loop {
        match control.read(buffer) {
            Ok(0) => return false,
            Ok(count) if reports.len() + count <= MAX_REPORTS => reports.extend(&buffer[..count]),
            Ok(_) => return false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

fn parse_reports(bytes: &[u8]) -> Vec<Report> {
    bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// What is known when the helper has ended.
struct Ended {
    reports: Vec<Report>,
    killed: Option<Killed>,
    status: std::process::ExitStatus,
}

impl Ended {
    fn outcome(self, group: &Group, started: Instant, output: &mut Output<'_>) -> Result<Outcome, Error> {
        let mut usage = Usage::default();
        let mut exit = None;
        for report in self.reports {
            match report {
                Report::SetupFailed(failure) if self.killed.is_none() => {
                    let source = match failure.detail {
                        Some(detail) => io::Error::other(detail),
                        None => io::Error::from_raw_os_error(failure.errno),
                    };
                    return Err(Error::setup(failure.action, failure.blame, source));
                }
                Report::SetupFailed(_) => {}
                Report::ExecFailed { program, errno } => exit = Some(explain(&program, errno, output)),
                Report::CommandEnded { status } => {
                    exit.get_or_insert_with(|| exit_of(status));
                }
                Report::ContainerEnded { status, user, system, largest_process } => {
                    usage = Usage { user, system, peak_memory: largest_process, wall: Duration::ZERO };
                    // The init reports before it ends, unless somebody killed it.
                    exit = exit.or(Some(exit_of(status)));
                }
            }
        }
        usage.peak_memory = group.peak_memory().unwrap_or(usage.peak_memory);
        usage.wall = started.elapsed();
        let exit = match (self.killed, exit) {
            (Some(Killed::Cancelled), _) => Exit::Cancelled,
            (Some(Killed::TimedOut), _) => Exit::TimedOut,
            (None, Some(exit)) if !exit.is_success() && group.was_out_of_memory() => Exit::OutOfMemory,
            (None, Some(exit)) => exit,
            (None, None) if group.was_out_of_memory() => Exit::OutOfMemory,
            (None, None) => {
                let signal = self.status.signal().map(|signal| format!("signal {signal}"));
                let how = signal.unwrap_or_else(|| self.status.to_string());
                return Err(Error::HelperDied { how });
            }
        };
        Ok(Outcome { exit, usage })
    }
}

fn exit_of(status: i32) -> Exit {
    let status = std::process::ExitStatus::from_raw(status);
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or(libc::SIGKILL)),
    }
}

/// Says why a program was not executed, in a shell's words and with a shell's exit code.
fn explain(program: &str, errno: i32, output: &mut Output<'_>) -> Exit {
    let (code, why) = match errno {
        libc::ENOENT if program.contains('/') => (127, "no such file or directory, or its interpreter is missing".to_owned()),
        libc::ENOENT => (127, "command not found".to_owned()),
        libc::EACCES => (126, "permission denied".to_owned()),
        libc::ENOEXEC => (126, "exec format error: not a program for this machine".to_owned()),
        errno => (126, io::Error::from_raw_os_error(errno).to_string()),
    };
    output(Stream::Stderr, format!("{program}: {why}\n").as_bytes());
    Exit::Code(code)
}
