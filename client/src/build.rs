//! Following a build to its end, over as many connections as that takes.
//!
//! A build goes on when its connection is lost: the same request with the same id takes it up again, and the log starts
//! over from its first event. What was shown already is skipped here, so that nobody above sees the seam.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use farm_model::event::{self, Ending};
use farm_model::{BuildEvent, BuildId, Recorded};
use farm_proto::client::{BuildRequest, Interest, Reply, Request};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::Error;
use crate::connection::Client;
use crate::session::{Answers, Session};

/// How long a lost coordinator is looked for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often.
const RETRY: Duration = Duration::from_millis(200);
/// How long a build that was left may take to say how it ended.
const PARTING: Duration = Duration::from_secs(10);

/// Builds, and answers what the build asks meanwhile.
///
/// `connect` is used again when the connection is lost. Once `leave` is done the build is told that nobody waits for it,
/// and how it ended is still waited for a while. `on_event` hears each event once, in order.
pub async fn build<E: From<Error>>(
    connect: impl AsyncFn() -> Result<Client, E>,
    request: BuildRequest,
    answers: Answers,
    leave: impl Future<Output = ()>,
    on_event: impl FnMut(u64, Recorded),
) -> Result<Ending, E> {
    let session = Session::new(&request, answers);
    let wish = Wish::Build { request: Box::new(request), session: Arc::new(session) };
    Follower { wish, next: 0, on_event, parting: None }.follow(connect, leave).await
}

/// Follows a build of somebody, from the event `from` on.
pub async fn attach<E: From<Error>>(
    connect: impl AsyncFn() -> Result<Client, E>,
    build: BuildId,
    from: u64,
    interest: Interest,
    leave: impl Future<Output = ()>,
    on_event: impl FnMut(u64, Recorded),
) -> Result<Ending, E> {
    let wish = Wish::Attach { build, interest };
    Follower { wish, next: from, on_event, parting: None }.follow(connect, leave).await
}

/// What a coordinator is asked for on each connection.
enum Wish {
    Build { request: Box<BuildRequest>, session: Arc<Session> },
    Attach { build: BuildId, interest: Interest },
}

struct Follower<F> {
    wish: Wish,
    /// The first event that was not shown yet.
    next: u64,
    on_event: F,
    /// Until when an end is waited for, once the build was left.
    parting: Option<Instant>,
}

impl<F: FnMut(u64, Recorded)> Follower<F> {
    async fn follow<E: From<Error>>(
        mut self,
        connect: impl AsyncFn() -> Result<Client, E>,
        leave: impl Future<Output = ()>,
    ) -> Result<Ending, E> {
        tokio::pin!(leave);
        let mut client = connect().await?;
        let mut lost: Option<(Instant, u64)> = None;
        loop {
            let error = match self.converse(&client, leave.as_mut()).await {
                Ok(ending) => {
                    client.close().await;
                    return Ok(ending);
                }
                Err(error) => error,
            };
            if self.parting.is_some() {
                return Err(Error::Left.into());
            }
            // Whatever came since the last loss starts the patience anew.
            let since = match lost {
                Some((since, next)) if next == self.next => since,
                Some(_) | None => Instant::now(),
            };
            lost = Some((since, self.next));
            if !error.is_connection_lost() || since.elapsed() > PATIENCE {
                return Err(error.into());
            }
            client = tokio::select! {
                found = reconnect(&connect, since) => found?,
                () = &mut leave => return Err(Error::Left.into()),
            };
        }
    }

    /// Asks over one connection, and goes on until the build or the connection ends.
    async fn converse(
        &mut self,
        client: &Client,
        mut leave: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Ending, Error> {
        let mut replies = client.stream(self.request()).await?;
        let mut answering = JoinSet::new();
        loop {
            let parting = self.parting;
            tokio::select! {
                reply = replies.next() => match reply? {
                    Some(reply) => if let Some(ending) = self.hear(reply)? { return Ok(ending) },
                    None => return self.silence(),
                },
                question = client.question(), if self.may_be_asked() => {
                    let stream = question?.ok_or(Error::NoReply)?;
                    if let Wish::Build { session, .. } = &self.wish {
                        answering.spawn(Arc::clone(session).answer(stream));
                    }
                }
                Some(answered) = answering.join_next() => note(answered),
                () = &mut leave, if parting.is_none() => {
                    replies.leave();
                    self.parting = Some(Instant::now() + PARTING);
                }
                () = sleep_until(parting.unwrap_or_else(Instant::now)), if parting.is_some() => {
                    return Err(Error::Left);
                }
            }
        }
    }

    fn request(&self) -> Request {
        match &self.wish {
            Wish::Build { request, .. } => Request::Build(request.clone()),
            Wish::Attach { build, interest } => {
                Request::Attach { build: *build, from: self.next, interest: *interest }
            }
        }
    }

    fn may_be_asked(&self) -> bool {
        matches!(self.wish, Wish::Build { .. }) && self.parting.is_none()
    }

    /// Shows an event that is new; gives the build's end.
    fn hear(&mut self, reply: Reply) -> Result<Option<Ending>, Error> {
        match reply {
            Reply::Event { sequence, recorded } => {
                let recorded = event::encoding::decode(&recorded)?;
                let ending =
                    if let BuildEvent::Ended(ending) = &recorded.event { Some(ending.clone()) } else { None };
                if sequence >= self.next {
                    self.next = sequence + 1;
                    (self.on_event)(sequence, recorded);
                }
                Ok(ending)
            }
            Reply::Refused(refusal) => Err(Error::Refused(refusal)),
            Reply::Builds(_)
            | Reply::Images(_)
            | Reply::Image(_)
            | Reply::Waste(_)
            | Reply::Entries(_)
            | Reply::Compared(_)
            | Reply::Sharing(_)
            | Reply::Removed(_)
            | Reply::Usage(_)
            | Reply::Output { .. }
            | Reply::Exited(_)
            | Reply::Status(_)
            | Reply::Moved(_)
            | Reply::Pushed(_)
            | Reply::Loaded(_)
            | Reply::Farm(_)
            | Reply::Actions(_)
            | Reply::Done => Err(Error::WrongReply),
        }
    }

    /// The replies ended before the build did. A log without an end is that of a build which was interrupted; one's own
    /// build is taken up again.
    fn silence(&self) -> Result<Ending, Error> {
        match self.wish {
            Wish::Build { .. } => Err(Error::NoReply),
            Wish::Attach { .. } => Ok(Ending::Interrupted),
        }
    }
}

async fn reconnect<E: From<Error>>(
    connect: &impl AsyncFn() -> Result<Client, E>,
    since: Instant,
) -> Result<Client, E> {
    loop {
        sleep(RETRY).await;
        match connect().await {
            Ok(client) => return Ok(client),
            Err(error) if since.elapsed() > PATIENCE => return Err(error),
            Err(_) => {}
        }
    }
}

/// An answer that could not be sent: whoever asked knows, and asks again or fails.
fn note(answered: Result<Result<(), Error>, tokio::task::JoinError>) {
    match answered {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an answer was not sent"),
        Err(error) => tracing::error!(%error, "an answer panicked"),
    }
}
