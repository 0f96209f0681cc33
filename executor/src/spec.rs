//! What the helper is told, and what it answers.
//!
//! A request is one JSON frame, the seccomp program and the content of the secrets; the network namespace travels with its first byte as a
//! descriptor. It goes over a socket, as an argument list could be read by every process of the host. Answers are JSON,
//! one a line.

use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde::{Deserialize, Serialize};

use crate::cgroup::{Devices, View};
use crate::container::OverlayAccess;
use crate::{Access, Blame, Ulimit, User};

/// A container in the helper's terms.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Spec {
    pub(crate) lowers: Vec<PathBuf>,
    pub(crate) upper: PathBuf,
    pub(crate) work: PathBuf,
    pub(crate) argv: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: String,
    pub(crate) user: User,
    pub(crate) mounts: Vec<MountSpec>,
    pub(crate) network: NetworkSpec,
    pub(crate) hostname: String,
    pub(crate) shm_size: u64,
    pub(crate) ulimits: Vec<Ulimit>,
    /// Content of `/etc/hosts`.
    pub(crate) hosts: String,
    /// Content of `/etc/resolv.conf`.
    pub(crate) resolv_conf: String,
    /// An empty directory of the host, over which the container is put together.
    pub(crate) workbench: PathBuf,
    /// Files to which the container's first process writes `0`.
    pub(crate) cgroup_entrances: Vec<PathBuf>,
    pub(crate) cgroup_view: View,
    pub(crate) devices: Devices,
    /// Paths below `/sys` that exist and must not be seen, besides the fixed ones.
    pub(crate) masked: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct MountSpec {
    pub(crate) target: String,
    pub(crate) kind: MountKindSpec,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum MountKindSpec {
    Bind {
        source: PathBuf,
        access: Access,
    },
    Overlay {
        lowers: Vec<PathBuf>,
        subpath: String,
        access: OverlayAccess,
    },
    Tmpfs {
        size: Option<u64>,
        mode: u32,
    },
    /// The content is frame `frame` of the request.
    SecretFile {
        frame: usize,
        mode: u32,
        uid: u32,
        gid: u32,
    },
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum NetworkSpec {
    /// The namespace came with the request.
    Given,
    None,
    Host,
}

/// What the helper and the container's init report.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Report {
    /// The set-up failed; nothing was started.
    SetupFailed(Failure),
    /// The program could not be executed.
    ExecFailed { program: String, errno: i32 },
    /// The command ended with this wait status.
    CommandEnded { status: i32 },
    /// Every process is gone; the last report.
    ContainerEnded { status: i32, user: Duration, system: Duration, largest_process: u64 },
}

/// A failed step of the set-up.
#[derive(Debug, Deserialize, Serialize)]
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

/// The byte by which the caller asks the helper to kill the container. End of file means the same.
pub(crate) const KILL: u8 = b'K';

/// No request is larger: secrets are at most a few hundred kilobytes each.
const MAX_FRAME: usize = 64 << 20;
const MAX_FRAMES: usize = 10_000;

/// Sends the frames of a request.
pub(crate) fn send(socket: &UnixStream, frames: &[&[u8]], network: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let size = frames.iter().map(|frame| frame.len() + 4).sum::<usize>() + 4;
    let mut bytes = Vec::with_capacity(size);
    let length = |n: usize| u32::try_from(n).map(u32::to_le_bytes).map_err(|_| io::ErrorKind::InvalidInput);
    bytes.extend(length(frames.len())?);
    for frame in frames {
        bytes.extend(length(frame.len())?);
        bytes.extend(*frame);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fds = network.as_slice();
    if network.is_some() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = SendFlags::NOSIGNAL;
    let sent = rustix::net::sendmsg(socket, &[IoSlice::new(&bytes)], &mut ancillary, flags)?;
    let mut rest = &bytes[sent..];
    while !rest.is_empty() {
        let sent = rustix::io::retry_on_intr(|| rustix::net::send(socket, rest, flags))?;
        rest = &rest[sent..];
    }
    Ok(())
}

/// Receives the frames of a request.
pub(crate) fn receive(socket: &UnixStream) -> io::Result<(Vec<Vec<u8>>, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut count = [0; 4];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL;
    let received =
        rustix::net::recvmsg(socket.as_fd(), &mut [IoSliceMut::new(&mut count)], &mut ancillary, flags)?;
    if received.bytes != count.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let network = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        RecvAncillaryMessage::ScmCredentials(_) | _ => None,
    });
    let count = u32::from_le_bytes(count) as usize;
    if count > MAX_FRAMES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frames = Vec::with_capacity(count);
    for _ in 0..count {
        let mut length = [0; 4];
        (&*socket).read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_FRAME {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut frame = vec![0; length];
        (&*socket).read_exact(&mut frame)?;
        frames.push(frame);
    }
    Ok((frames, network))
}
