//! Forwards connections from a socket made for one container to a socket of the host.
//!
//! So the container's user can be given access to an agent without a change to the agent's own socket. Connections end when
//! either side closes; the container's side closes at the latest when its processes die.

use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use crate::Error;

/// How many connections a container may hold at once; further ones wait for an answer that does not come and are closed.
const MAX_CONNECTIONS: usize = 64;
/// How long to wait after a connection could not be taken.
const PAUSE: Duration = Duration::from_millis(100);

/// A listening socket and the thread that serves it; dropping it stops accepting.
#[derive(Debug)]
pub(crate) struct Proxy {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens at `path` with these permissions and forwards to `source`.
    pub(crate) fn start(path: &Path, source: &Path, mode: u32, uid: u32, gid: u32) -> Result<Self, Error> {
        let failed = |e: io::Error| Error::environment(format!("forward socket `{}`", source.display()), e);
        // Found out now, for a clear error, and again for each connection.
        UnixStream::connect(source).map_err(failed)?;
        let listener = UnixListener::bind(path).map_err(failed)?;
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).map_err(failed)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode & 0o777)).map_err(failed)?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
        let stop = Arc::new(stop);
        let (stopped, source) = (Arc::clone(&stop), source.to_owned());
        let serve = move || serve(&listener, &stopped, &source);
        let thread = thread::Builder::new().name("socket-proxy".to_owned()).spawn(serve).map_err(failed)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _full = rustix::io::write(&*self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

fn serve(listener: &UnixListener, stop: &OwnedFd, source: &PathBuf) {
    let connections = Arc::new(AtomicUsize::new(0));
    loop {
        let mut fds = [PollFd::new(listener, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
        if rustix::io::retry_on_intr(|| poll(&mut fds, None)).is_err() || !fds[1].revents().is_empty() {
            return;
        }
        let Ok((inside, _)) = listener.accept() else {
            // Out of descriptors, say: the one that waits is still there.
            thread::sleep(PAUSE);
            continue;
        };
        if connections.load(Ordering::Relaxed) >= MAX_CONNECTIONS {
            continue;
        }
        let Ok(outside) = UnixStream::connect(source) else { continue };
        connections.fetch_add(1, Ordering::Relaxed);
        let held = Arc::clone(&connections);
        let forwarding = thread::Builder::new().spawn(move || {
            forward(&inside, &outside);
            held.fetch_sub(1, Ordering::Relaxed);
        });
        if forwarding.is_err() {
            // Both ends are closed with the closure: that client is refused, later ones are not.
            connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Copies both ways until both directions have ended.
fn forward(inside: &UnixStream, outside: &UnixStream) {
    thread::scope(|scope| {
        if thread::Builder::new().spawn_scoped(scope, || copy(outside, inside)).is_ok() {
            copy(inside, outside);
        }
    });
}

fn copy(mut from: &UnixStream, mut to: &UnixStream) {
    // An end of file is passed on; any error ends both directions, as nothing sensible can follow.
    let how = if io::copy(&mut from, &mut to).is_ok() { Shutdown::Write } else { Shutdown::Both };
    let _closed = to.shutdown(how);
    if how == Shutdown::Both {
        let _closed = from.shutdown(how);
    }
}
