//! Logs of builds on their way to those who want or watch them.

use std::sync::Arc;

use farm_model::event::encoding;
use farm_model::{BuildEvent, BuildId};
use farm_proto::client::{BuildRequest, Interest, Reply, Request};
use farm_transport::{Connection, Receiver, Sender, Stream};

use crate::builds::{self, Admission, GRACE, Log, Numbered, Running};
use crate::service::Service;
use crate::{Error, diagnosis};

/// A build is asked for: it begins, goes on, or its log is all there is.
pub(super) async fn build(
    service: &Arc<Service>,
    connection: &Connection,
    request: BuildRequest,
    stream: Stream,
) {
    let (mut sender, receiver) = stream.split();
    let (farm, build) = (&service.farm, request.build);
    let running = match farm.builds.admit(&request, connection, farm.options.paths).await {
        Ok(Admission::New(running)) => {
            service.tasks.spawn(builds::drive(Arc::clone(farm), Arc::clone(&running), request));
            running
        }
        Ok(Admission::Running(running)) => running,
        Ok(Admission::Over) => return replay(service, build, 0, &mut sender).await,
        Err(error) => return refuse(&error, &mut sender).await,
    };
    let mut client = running.client();
    let replaced = async move {
        if client.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    want(&running, 0, sender, receiver, replaced).await;
}

/// A log is asked for.
pub(super) async fn attach(
    service: &Service,
    connection: &Connection,
    build: BuildId,
    from: u64,
    interest: Interest,
    stream: Stream,
) {
    let (mut sender, receiver) = stream.split();
    match (service.farm.builds.running(build), interest) {
        (Some(running), Interest::Want) => {
            running.wants.join();
            want(&running, from, sender, receiver, std::future::pending()).await;
        }
        (Some(running), Interest::Watch) => {
            let gone = sender.stopped();
            tokio::select! {
                _ended = send_log(&running.log, from, &mut sender) => {}
                _gone = gone => {}
                _lost = connection.closed() => {}
            }
        }
        (None, _) => replay(service, build, from, &mut sender).await,
    }
}

/// Sends the log to somebody for whom the build goes on, until another connection stands for them.
async fn want(
    running: &Running,
    from: u64,
    mut sender: Sender,
    mut receiver: Receiver,
    replaced: impl Future<Output = ()>,
) {
    let sending = send_log(&running.log, from, &mut sender);
    tokio::pin!(sending);
    let departure = tokio::select! {
        sent = &mut sending => Departure::of(&sent),
        departure = departure(&mut receiver) => departure,
        () = replaced => Departure::Over,
    };
    match departure {
        Departure::Left => {
            running.wants.leave();
            // Who leaves may still want to see how it ends.
            let _gone = sending.await;
        }
        Departure::Lost => running.wants.lose(GRACE).await,
        Departure::Over => running.wants.leave(),
    }
}

/// How somebody ceases to want a build.
enum Departure {
    /// They said so.
    Left,
    /// Their connection was lost.
    Lost,
    /// It has ended.
    Over,
}

impl Departure {
    fn of(sent: &Result<(), Error>) -> Self {
        match sent {
            Ok(()) => Self::Over,
            Err(error) if error.is_connection_lost() => Self::Lost,
            Err(_) => Self::Left,
        }
    }
}

/// Waits until the client ends its half, or loses its connection. It has nothing more to say.
async fn departure(receiver: &mut Receiver) -> Departure {
    match receiver.receive::<Request>().await {
        Err(error) if error.is_connection_lost() => Departure::Lost,
        Ok(_) | Err(_) => Departure::Left,
    }
}

/// Sends a log from a position on until the build has ended.
async fn send_log(log: &Log, from: u64, sender: &mut Sender) -> Result<(), Error> {
    let mut from = from;
    loop {
        let events = log.read(from).await?;
        if events.is_empty() && log.longer_than(from).await.is_over_at(from) {
            sender.finish()?;
            return Ok(());
        }
        from = send_events(events, from, log.resumed_at(), sender).await?;
    }
}

/// Sends the log of a build that does not run.
async fn replay(service: &Service, build: BuildId, from: u64, sender: &mut Sender) {
    let history = service.farm.builds.history();
    let result = async {
        if !history.is_known(build).await? {
            return Err(Error::NoBuild(build));
        }
        let (mut from, last) = (from, history.count(build).await?.saturating_sub(1));
        loop {
            let events = history.read(build, from).await?;
            if events.is_empty() {
                return Ok(());
            }
            from = send_events(events, from, last, sender).await?;
        }
    };
    if let Err(error) = result.await {
        refuse(&error, sender).await;
    }
}

/// Sends events, and gives the position after the last. An end before the position `resumed` was none.
async fn send_events(
    events: Vec<Numbered>,
    from: u64,
    resumed: u64,
    sender: &mut Sender,
) -> Result<u64, Error> {
    let mut next = from;
    for (sequence, recorded) in events {
        next = sequence.saturating_add(1);
        if sequence < resumed && is_end(&recorded) {
            continue;
        }
        sender.send(&Reply::Event { sequence, recorded: recorded.to_vec() }).await?;
    }
    Ok(next)
}

/// Whether an event says that the build has ended.
fn is_end(recorded: &[u8]) -> bool {
    encoding::decode(recorded).is_ok_and(|recorded| matches!(recorded.event, BuildEvent::Ended(_)))
}

async fn refuse(error: &Error, sender: &mut Sender) {
    // A client that is gone needs no answer.
    let _gone = sender.send(&Reply::Refused(diagnosis::refusal(error))).await;
}
