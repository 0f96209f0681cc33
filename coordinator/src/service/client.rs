//! One request of a client, from its first message to its last reply.

use std::sync::Arc;
use std::time::Duration;

use farm_model::BuildId;
use farm_proto::client::{Interest, Reply, Request, Stop};
use farm_transport::{Connection, Role, Sender, Stream};
use tokio::time::timeout;

use crate::builds::Stopped;
use crate::service::{Service, follow, status, viewing};
use crate::{Error, actions, diagnosis, disk, duty, images, run_image, transfer};

/// Requests of one connection that may be open at once.
pub(super) const MOST_REQUESTS: usize = 256;
/// How long a stream may be open without saying what it is for.
const FIRST_WORDS: Duration = Duration::from_secs(30);
/// How long a client may take to hear that the coordinator ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Answers what comes on `stream`. A client that is gone needs no answer.
pub(super) async fn answer(service: &Arc<Service>, connection: &Connection, mut stream: Stream) {
    let request = match timeout(FIRST_WORDS, stream.receive::<Request>()).await {
        Ok(Ok(Some(request))) => request,
        Ok(Ok(None)) | Err(_) => return,
        Ok(Err(error)) => {
            tracing::info!(peer = %connection.peer(), %error, "a request is not understood");
            let refusal = Error::NotAllowed("the request is not understood".to_owned());
            let _gone = stream.send(&Reply::Refused(diagnosis::refusal(&refusal))).await;
            return;
        }
    };
    let (by, deed) = (connection.peer().name.clone(), actions::deed(&request));
    if connection.peer().role != Role::Client && !is_looking(&request) {
        let error = Error::NotAllowed("a viewer may only look".to_owned());
        if let Some(deed) = deed {
            service.farm.actions.record(&by, deed, Err(&error)).await;
        }
        let _gone = stream.send(&Reply::Refused(diagnosis::refusal(&error))).await;
        return;
    }
    service.farm.builds.touch();
    match request {
        Request::Build(request) => follow::build(service, connection, *request, stream).await,
        Request::Attach { build, from, interest } => {
            follow::attach(service, connection, build, from, interest, stream).await;
        }
        Request::Run(request) => {
            let _busy = service.farm.builds.occupy();
            let (mut sender, mut receiver) = stream.split();
            let ended = tokio::select! {
                ended = run_image::run(&service.farm, *request, &mut sender) => ended,
                // Its half of the stream ends with the client, also when nothing is written to it.
                _ = receiver.receive::<Request>() => return service.farm.builds.touch(),
            };
            if let Err(error) = ended {
                let _gone = sender.send(&Reply::Refused(diagnosis::refusal(&error))).await;
            }
        }
        Request::Watch => viewing::answer(service, connection, stream).await,
        request @ (Request::Push(_) | Request::Pull(_) | Request::Save(_) | Request::Load) => {
            let _busy = service.farm.builds.occupy();
            transfer::answer(&service.farm, request, stream).await;
        }
        Request::Stop(when) => stop(service, when, stream).await,
        request @ (Request::Cancel { .. }
        | Request::Builds { .. }
        | Request::Images
        | Request::Inspect { .. }
        | Request::Waste { .. }
        | Request::Entries(_)
        | Request::Compare { .. }
        | Request::Sharing
        | Request::Tag { .. }
        | Request::Remove { .. }
        | Request::DiskUsage
        | Request::Prune(_)
        | Request::Move { .. }
        | Request::Drain { .. }
        | Request::Pin { .. }
        | Request::Actions { .. }
        | Request::Status) => {
            let reply = reply(service, request, &by).await;
            if let Some(deed) = deed {
                let deed = actions::done(deed, &reply);
                service.farm.actions.record(&by, deed, reply.as_ref().map(|_| ())).await;
            }
            let reply = reply.unwrap_or_else(|error| Reply::Refused(diagnosis::refusal(&error)));
            let _gone = stream.send(&reply).await;
        }
    }
    service.farm.builds.touch();
}

/// Whether a request changes nothing.
fn is_looking(request: &Request) -> bool {
    match request {
        Request::Attach { interest, .. } => *interest == Interest::Watch,
        Request::Builds { .. }
        | Request::Images
        | Request::Inspect { .. }
        | Request::Waste { .. }
        | Request::Entries(_)
        | Request::Compare { .. }
        | Request::Sharing
        | Request::DiskUsage
        | Request::Status
        | Request::Actions { .. }
        | Request::Watch => true,
        Request::Build(_)
        | Request::Cancel { .. }
        | Request::Tag { .. }
        | Request::Remove { .. }
        | Request::Prune(_)
        | Request::Move { .. }
        | Request::Drain { .. }
        | Request::Pin { .. }
        | Request::Run(_)
        | Request::Push(_)
        | Request::Pull(_)
        | Request::Save(_)
        | Request::Load
        | Request::Stop(_) => false,
    }
}

/// The one reply to a request that has one.
async fn reply(service: &Service, request: Request, by: &str) -> Result<Reply, Error> {
    let farm = &service.farm;
    match request {
        Request::Cancel { build } => cancel(service, build).await,
        Request::Builds { limit } => Ok(Reply::Builds(farm.builds.list(limit).await?)),
        Request::Images => images::list(farm).await,
        Request::Inspect { image } => images::inspect(farm, &image).await,
        Request::Waste { image, worst } => images::waste(farm, image, worst).await,
        Request::Entries(request) => images::entries(farm, *request).await,
        Request::Compare { before, after, limit } => images::compare(farm, before, after, limit).await,
        Request::Sharing => images::sharing(farm).await,
        Request::Tag { image, name } => images::tag(farm, &image, &name).await,
        Request::Remove { images } => images::remove(farm, images).await,
        Request::DiskUsage => disk::usage(farm).await,
        Request::Prune(request) => {
            let _busy = farm.builds.occupy();
            disk::prune(farm, request).await
        }
        Request::Move { build, step } => duty::relocate(farm, build, step, by).await,
        Request::Drain { worker, duty } => duty::drain(farm, worker, duty).await,
        Request::Pin { image, pinning } => duty::pin(farm, image, pinning).await,
        Request::Actions { limit } => farm.actions.list(limit).await,
        Request::Status => Ok(Reply::Status(Box::new(status::status(farm)))),
        Request::Build(_)
        | Request::Attach { .. }
        | Request::Run(_)
        | Request::Push(_)
        | Request::Pull(_)
        | Request::Save(_)
        | Request::Load
        | Request::Watch
        | Request::Stop(_) => Err(Error::NotAllowed("the request has no single reply".to_owned())),
    }
}

async fn cancel(service: &Service, build: BuildId) -> Result<Reply, Error> {
    match service.farm.builds.running(build) {
        Some(running) => {
            running.wants.stop(Stopped::Cancelled);
            running.log.ended().await;
        }
        None if service.farm.builds.history().is_known(build).await? => {}
        None => return Err(Error::NoBuild(build)),
    }
    Ok(Reply::Done)
}

/// Tells the client before the end begins.
async fn stop(service: &Service, when: Stop, stream: Stream) {
    if when == Stop::WhenIdle {
        service.farm.builds.close();
        service.farm.builds.idle().await;
    }
    let (mut sender, _receiver) = stream.split();
    if sender.send(&Reply::Done).await.is_ok() {
        heard(&mut sender).await;
    }
    service.stopped.send_replace(true);
}

/// Waits a moment for the other side to have received everything.
async fn heard(sender: &mut Sender) {
    if sender.finish().is_ok() {
        let _late = timeout(LAST_WORDS, sender.stopped()).await;
    }
}
