//! The one door through which a worker runs a step, whatever provides the isolation.

use crate::{CancelFlag, Container, Error, Outcome, Stream};

/// Receives what the command writes, in the order it was read, in pieces of bounded size.
pub type Output<'a> = dyn FnMut(Stream, &[u8]) + 'a;

/// Something that can run a container.
pub trait Executor: Send + Sync {
    /// Runs `container` to its end and blocks the calling thread until every process of it is gone.
    ///
    /// Both overlay directories belong to the caller again when this returns, on success and on error. A command that fails is
    /// an [`Outcome`]; an [`Error`] means that it could not be run or not be observed.
    fn run(
        &self,
        container: &Container,
        output: &mut Output<'_>,
        cancel: &CancelFlag,
    ) -> Result<Outcome, Error>;
}
