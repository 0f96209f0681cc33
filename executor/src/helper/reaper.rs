//! Pid 1 of the command's pid namespace where an OCI runtime is used. The runtime works in the namespace around it, so that the command does not see it,
//! and cannot kill it; and as under [`Native`](crate::Native) the command is not pid 1, which could not kill itself and would have to reap.

use rustix::event::poll;

use crate::spec::Failure;
use crate::sys::{self, Parent};

/// Starts it; returns its process id. It dies with this process, and all of its namespace with it.
pub(super) fn start() -> Result<i32, Failure> {
    let namespace = u64::try_from(libc::CLONE_NEWPID).expect("flags are not negative");
    match sys::fork_with(namespace, Parent::This) {
        Ok(Some(child)) => Ok(child.pid),
        Ok(None) => {
            super::init::give_up_capabilities();
            sys::forget_children();
            loop {
                // All signals are blocked, so nothing wakes it.
                let _never = poll(&mut [], None);
            }
        }
        Err(error) => Err(Failure::environment("make a pid namespace", error)),
    }
}
