//! SSH agents of clients: a socket on this machine whose connections lead through the coordinator to the client's agent.

use std::os::fd::AsRawFd as _;

use farm_model::LeaseId;
use farm_proto::worker::Opening;
use farm_proto::{Agent, RunTask, TaskMountKind};
use farm_store::{Scratch, Store};
use farm_transport::Connection;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::error::Error;
use crate::provide::Coordinator;

/// Connections of one step to one agent that are open at once; others wait.
const MOST_CONNECTIONS: usize = 32;
/// The first bytes of a connection that are read before the client is bothered.
const FIRST_BYTES: usize = 4096;

/// The sockets of one step; dropping it ends their connections and removes them.
#[derive(Default)]
pub(crate) struct AgentSockets {
    listeners: JoinSet<()>,
    /// Kept open: the sockets are named through it.
    directory: Option<OwnedFd>,
    scratch: Option<Scratch>,
}

impl AgentSockets {
    /// Opens a socket for each agent of the client in `task` and names it there in the agent's place.
    pub(crate) fn open(
        store: &Store,
        task: &mut RunTask,
        lease: LeaseId,
        coordinator: &Coordinator,
    ) -> Result<Self, Error> {
        let agents = task.mounts.iter_mut().filter_map(|mount| match &mut mount.kind {
            TaskMountKind::Ssh { agent, .. } => Some(agent),
            TaskMountKind::Bind { .. }
            | TaskMountKind::Cache(_)
            | TaskMountKind::Tmpfs { .. }
            | TaskMountKind::Secret { .. }
            | TaskMountKind::SecretEnv { .. } => None,
        });
        let mut sockets = Self::default();
        for (number, agent) in agents.enumerate() {
            if let Agent::Client { id } = &*agent {
                let path = sockets.path(store, number)?;
                let listener = UnixListener::bind(&path).map_err(Error::io("listen at", &path))?;
                sockets.listeners.spawn(serve(listener, lease, id.clone(), coordinator.clone()));
                *agent = Agent::Path(path);
            }
        }
        Ok(sockets)
    }

    /// The name of a socket. A socket's path has to be short, and the store's may not be: it goes through a descriptor.
    fn path(&mut self, store: &Store, number: usize) -> Result<String, Error> {
        if self.scratch.is_none() {
            self.scratch = Some(store.scratch()?);
        }
        let scratch = self.scratch.as_ref().expect("it was just made").directory();
        if self.directory.is_none() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let opened = rustix::fs::openat(CWD, scratch, flags, Mode::empty());
            self.directory = Some(opened.map_err(|error| Error::io("open", scratch)(error.into()))?);
        }
        let directory = self.directory.as_ref().expect("it was just opened").as_raw_fd();
        Ok(format!("/proc/self/fd/{directory}/agent-{number}"))
    }
}

async fn serve(listener: UnixListener, lease: LeaseId, id: String, coordinator: Coordinator) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                Ok((socket, _)) => {
                    let way = coordinator.borrow().clone();
                    connections.spawn(forward(socket, lease, id.clone(), way));
                }
                Err(error) => return tracing::warn!(%error, "an agent's socket takes no more connections"),
            },
        }
    }
}

/// Carries bytes both ways. One that says nothing, as whoever only tries the door, bothers nobody.
async fn forward(mut socket: UnixStream, lease: LeaseId, id: String, coordinator: Option<Connection>) {
    let mut first = [0; FIRST_BYTES];
    let count = match socket.read(&mut first).await {
        Ok(0) | Err(_) => return,
        Ok(count) => count,
    };
    // Without a coordinator the command sees a connection that ends, as when an agent dies.
    let Some(coordinator) = coordinator else { return };
    let carried = async {
        let mut stream = coordinator.open().await?;
        stream.send(&Opening::Agent { lease, id }).await?;
        let (mut sender, receiver) = stream.split();
        sender.write_all(&first[..count]).await.map_err(farm_transport::Error::from_io)?;
        let mut agent = tokio::io::join(receiver, sender);
        tokio::io::copy_bidirectional(&mut socket, &mut agent).await.map_err(farm_transport::Error::from_io)
    };
    if let Err(error) = carried.await {
        let reason = farm_model::causes(&error);
        tracing::debug!(%lease, reason, "a connection to an agent ended");
    }
}
