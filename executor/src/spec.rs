//! What the container processes are told, and what they answer.
//!
//! A message is some frames of bytes and some descriptors. The first frame is JSON; it names descriptors by their place in the message. It goes over a
//! socket, as an argument list could be read by every process of the host. Reports are JSON, one a line.
//!
//! | from, to | frames | descriptors |
//! |---|---|---|
//! | caller, zygote, once | [`Settings`], the seccomp program | – |
//! | caller, zygote | [`CellSpec`] | control socket, standard output, standard error |
//! | zygote, caller | [`Forked`] | of the process |
//! | caller, init | [`Spec`], content of the secrets | the root, the network namespace if there is one, the sources of mounts |
//! | init, caller | [`Report`]s | – |

use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde::{Deserialize, Serialize};

use crate::cgroup::{Devices, View};
use crate::{Access, Blame, Error, Ulimit, User};

/// What all containers of one executor have in common.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Settings {
    /// An empty directory of the host, over which containers are put together.
    pub(crate) workbench: PathBuf,
    pub(crate) devices: Devices,
    /// Paths below `/sys` that exist and must not be seen, besides the fixed ones.
    pub(crate) masked: Vec<String>,
    /// Files to which the zygote writes `0`, so that all containers are in these groups.
    pub(crate) entrances: Vec<PathBuf>,
    pub(crate) isolation: Isolation,
}

/// Who makes the container that a command runs in.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Isolation {
    /// The init itself.
    Native,
    /// A program that knows the runtime specification of the Open Container Initiative, told by the init.
    Oci {
        /// Its path.
        runtime: PathBuf,
        /// Where the hierarchies of v1 are that it may see.
        hierarchies: Vec<PathBuf>,
    },
}

/// What is known of a container before anybody needs it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct CellSpec {
    /// Files to which the container's first process writes `0`.
    pub(crate) entrances: Vec<PathBuf>,
    pub(crate) view: View,
    /// Where its groups are in each hierarchy.
    pub(crate) groups: String,
}

/// What came of a [`CellSpec`].
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Forked {
    /// The init exists.
    Init { pid: i32 },
    /// It could not be made.
    Failed(Failure),
}

/// A place in a message's descriptors.
pub(crate) type Fd = usize;

/// A container in the terms of its init.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Spec {
    /// A detached mount.
    pub(crate) root: Fd,
    pub(crate) argv: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: String,
    pub(crate) user: User,
    pub(crate) mounts: Vec<MountSpec>,
    /// The network namespace to enter; none stands for the host's.
    pub(crate) network: Option<Fd>,
    pub(crate) hostname: String,
    pub(crate) shm_size: u64,
    pub(crate) ulimits: Vec<Ulimit>,
    /// Content of `/etc/hosts`.
    pub(crate) hosts: String,
    /// Content of `/etc/resolv.conf`.
    pub(crate) resolv_conf: String,
    /// Open files to which the container's first process writes `0`, besides those of its [`CellSpec`].
    pub(crate) entrances: Vec<Fd>,
    /// Open files, and what the init writes to each once a runtime has made the container.
    pub(crate) late: Vec<(Fd, String)>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct MountSpec {
    pub(crate) target: String,
    pub(crate) kind: MountKindSpec,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum MountKindSpec {
    /// A detached mount, as it is.
    Whole {
        mount: Fd,
    },
    /// What a detached mount shows at a path.
    Part {
        mount: Fd,
        subpath: String,
        access: Access,
    },
    Tmpfs {
        size: Option<u64>,
        mode: u32,
    },
    /// The content is frame `frame` of the message.
    SecretFile {
        frame: usize,
        mode: u32,
        uid: u32,
        gid: u32,
    },
}

/// What the container's init and its first process report.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Report {
    /// The set-up failed; nothing was started.
    SetupFailed(Failure),
    /// The runtime failed; nothing was started.
    RuntimeFailed { runtime: String, problem: String },
    /// The set-up is done; from here on the command may have had effects.
    Started,
    /// The program could not be executed.
    ExecFailed { program: String, errno: i32 },
    /// The command ended with this wait status; the last report.
    CommandEnded { status: i32 },
}

impl From<Failure> for Report {
    fn from(failure: Failure) -> Self {
        Self::SetupFailed(failure)
    }
}

/// A failed step of the set-up.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Failure {
    pub(crate) action: String,
    pub(crate) errno: i32,
    /// What the kernel said besides the number.
    pub(crate) detail: Option<String>,
    pub(crate) blame: Blame,
}

impl Failure {
    pub(crate) fn new(blame: Blame, action: impl Into<String>, error: impl Into<io::Error>) -> Self {
        let error = error.into();
        let errno = error.raw_os_error();
        let detail = errno.is_none().then(|| error.to_string());
        Self { action: action.into(), errno: errno.unwrap_or(libc::EIO), detail, blame }
    }

    /// Blames whoever runs the machine.
    pub(crate) fn environment(action: impl Into<String>, error: impl Into<io::Error>) -> Self {
        Self::new(Blame::Environment, action, error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let source = match failure.detail {
            Some(detail) => io::Error::other(detail),
            None => io::Error::from_raw_os_error(failure.errno),
        };
        Self::setup(failure.action, failure.blame, source)
    }
}

/// What arrived in one piece.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) frames: Vec<Vec<u8>>,
    pub(crate) fds: Vec<OwnedFd>,
}

/// No message is larger: secrets are at most a few hundred kilobytes each.
const MAX_BODY: usize = 256 << 20;
const MAX_FDS: usize = 4096;
/// The kernel takes 253 descriptors at once.
const FDS_AT_ONCE: usize = 128;

/// Sends a message: the lengths of what follows, as many single bytes as it takes to carry the descriptors, and the frames.
pub(crate) fn send(socket: &UnixStream, frames: &[&[u8]], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let size = frames.iter().map(|frame| frame.len() + 4).sum::<usize>();
    let length = |n: usize| u32::try_from(n).map(u32::to_le_bytes).map_err(|_| io::ErrorKind::InvalidInput);
    let head = [length(size)?, length(fds.len())?].concat();
    let mut body = Vec::with_capacity(size);
    for frame in frames {
        body.extend(length(frame.len())?);
        body.extend(*frame);
    }
    let mut chunks = fds.chunks(FDS_AT_ONCE);
    send_with(socket, &head, chunks.next().unwrap_or_default())?;
    for chunk in chunks {
        send_with(socket, &[0], chunk)?;
    }
    send_all(socket, &body)
}

fn send_with(socket: &UnixStream, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_AT_ONCE))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let slices = [IoSlice::new(bytes)];
    let sent = rustix::io::retry_on_intr(|| {
        rustix::net::sendmsg(socket, &slices, &mut ancillary, SendFlags::NOSIGNAL)
    })?;
    send_all(socket, &bytes[sent..])
}

fn send_all(socket: &UnixStream, mut rest: &[u8]) -> io::Result<()> {
    while !rest.is_empty() {
        let sent = rustix::io::retry_on_intr(|| rustix::net::send(socket, rest, SendFlags::NOSIGNAL))?;
        rest = &rest[sent..];
    }
    Ok(())
}

/// Receives a message; an end of file is an error.
pub(crate) fn receive(socket: &UnixStream) -> io::Result<Message> {
    let mut fds = Vec::new();
    let mut head = [0; 8];
    receive_with(socket, &mut head, &mut fds)?;
    let [body, count] = [0, 4].map(|at| {
        let length = head[at..].first_chunk().expect("the head holds two lengths");
        u32::from_le_bytes(*length) as usize
    });
    if body > MAX_BODY || count > MAX_FDS {
        return Err(io::ErrorKind::InvalidData.into());
    }
    while fds.len() < count {
        receive_with(socket, &mut [0], &mut fds)?;
    }
    let mut bytes = vec![0; body];
    (&*socket).read_exact(&mut bytes)?;
    let (mut rest, mut frames) = (bytes.as_slice(), Vec::new());
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = u32::from_le_bytes(*length) as usize;
        let (frame, after) = after.split_at_checked(length).ok_or(io::ErrorKind::InvalidData)?;
        frames.push(frame.to_vec());
        rest = after;
    }
    Ok(Message { frames, fds })
}

/// Fills `bytes`, and appends the descriptors that come with them.
fn receive_with(socket: &UnixStream, bytes: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_AT_ONCE))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL;
    let expected = bytes.len();
    let mut slices = [IoSliceMut::new(bytes)];
    let received = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(socket.as_fd(), &mut slices, &mut ancillary, flags)
    })?;
    if received.bytes != expected {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_many_descriptors_arrive_as_they_were_sent() {
        let (one, other) = UnixStream::pair().unwrap();
        let fds = vec![one.as_fd(); 2 * FDS_AT_ONCE + 1];
        let large = vec![7; 1000];
        send(&one, &[b"first", b"", &large], &fds).unwrap();
        send(&one, &[], &[]).unwrap();
        let message = receive(&other).unwrap();
        assert_eq!(message.frames, [b"first".to_vec(), Vec::new(), large]);
        assert_eq!(message.fds.len(), 2 * FDS_AT_ONCE + 1);
        assert!(receive(&other).unwrap().frames.is_empty());
        drop((message, one));
        assert!(receive(&other).is_err());
    }

    #[test]
    fn a_frame_that_is_longer_than_its_message_is_refused() {
        let (one, other) = UnixStream::pair().unwrap();
        send_all(&one, &[5, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 9]).unwrap();
        assert_eq!(receive(&other).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
