//! A farm that is watched while it lives: its stream, the logs that are looked at, questions and orders.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use farm_client::{Client, Heard};
use farm_model::BuildId;
use farm_model::event::encoding::decode;
use farm_proto::client::{Interest, Reply, Request};
use farm_tui::app::{Answer, Effect};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use super::answers;
use crate::connection::{self, Options};
use crate::failure::Failure;

/// Batches of events that may wait to be looked at; a console that falls behind reads slower, which holds nobody up.
const BATCHES: usize = 64;
/// Answers that may wait.
const ANSWERS: usize = 1024;
/// How long until a log that broke off is asked for again.
const PAUSE: Duration = Duration::from_millis(300);

/// What a farm tells.
pub(super) struct Told {
    pub(super) events: mpsc::Receiver<Heard>,
    pub(super) answers: mpsc::Receiver<Answer>,
}

/// The connection that stands at the moment, if one does.
type Link = watch::Receiver<Option<Client>>;

/// The tasks that speak with a coordinator. They end with it.
pub(super) struct Live {
    link: Link,
    answers: mpsc::Sender<Answer>,
    tasks: JoinSet<()>,
    followed: BTreeMap<BuildId, AbortHandle>,
}

impl Live {
    /// Begins to watch over a connection that stands. Has to be called within a [`tokio::task::LocalSet`].
    pub(super) fn watch(options: Options, client: Client) -> (Self, Told) {
        let (heard, events) = mpsc::channel(BATCHES);
        let (answers, answered) = mpsc::channel(ANSWERS);
        let (links, link) = watch::channel(Some(client.clone()));
        let mut tasks = JoinSet::new();
        // On this thread: what it connects with borrows from it.
        tasks.spawn_local(keep_watching(options, client, links, heard));
        let live = Self { link, answers, tasks, followed: BTreeMap::new() };
        (live, Told { events, answers: answered })
    }

    /// Does what a console wants of a farm; what it wants of its terminal is not known here.
    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Follow(build) => self.follow(build),
            Effect::Unfollow(build) => self.unfollow(build),
            Effect::Ask(query) => {
                let what = answers::question(&query);
                self.answer(what, move |client| async move { answers::ask(&client, query).await });
            }
            Effect::Act(order) => {
                let what = answers::order(&order);
                self.answer(what, move |client| async move { answers::act(&client, order).await });
            }
            Effect::Quit
            | Effect::Stream { .. }
            | Effect::Copy(_)
            | Effect::Play(_)
            | Effect::Picture
            | Effect::Remember(_) => {}
        }
    }

    /// Reads the log of a build, once.
    fn follow(&mut self, build: BuildId) {
        if !self.followed.contains_key(&build) {
            let reading = follow(self.link.clone(), build, self.answers.clone());
            self.followed.insert(build, self.tasks.spawn(reading));
        }
    }

    /// The log of a build from its first event on; it ends with the guard or with the build.
    pub(super) fn log(&self, build: BuildId) -> (mpsc::Receiver<Answer>, JoinSet<()>) {
        let (answers, log) = mpsc::channel(ANSWERS);
        let mut reading = JoinSet::new();
        reading.spawn(follow(self.link.clone(), build, answers));
        (log, reading)
    }

    /// Reads it no longer.
    fn unfollow(&mut self, build: BuildId) {
        if let Some(task) = self.followed.remove(&build) {
            task.abort();
        }
    }

    fn answer<F>(&mut self, what: String, work: impl FnOnce(Client) -> F + Send + 'static)
    where
        F: Future<Output = Result<Answer, Failure>> + Send,
    {
        let (link, answers) = (self.link.clone(), self.answers.clone());
        // Those that ended are forgotten, so that the set does not grow.
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(async move {
            let client = link.borrow().clone();
            let answered = match client {
                Some(client) => work(client).await,
                None => Err(Failure::environment("the coordinator cannot be reached at the moment")),
            };
            let answer = answered.unwrap_or_else(|failure| {
                let (message, hint) = failure.into_words();
                Answer::Refused { what, message, hint }
            });
            let _gone = answers.send(answer).await;
        });
    }
}

/// Tells what happens, over as many connections as that takes.
async fn keep_watching(
    options: Options,
    client: Client,
    links: watch::Sender<Option<Client>>,
    heard: mpsc::Sender<Heard>,
) {
    let first = Mutex::new(Some(client));
    let connect = async || {
        let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
        links.send_replace(None);
        let client = match first {
            Some(client) => client,
            None => connection::watch_again(&options).await?,
        };
        links.send_replace(Some(client.clone()));
        Ok(client)
    };
    let told = heard.clone();
    let ended: Result<(), Failure> =
        farm_client::watch(connect, |failure: &Failure| failure.message().to_owned(), heard).await;
    if let Err(failure) = ended {
        let _gone = told.send(Heard::Lost { error: failure.message().to_owned() }).await;
    }
}

/// Tells the log of a build from its first event to its last.
async fn follow(mut link: Link, build: BuildId, answers: mpsc::Sender<Answer>) {
    let mut from = 0;
    loop {
        let client = match link.wait_for(Option::is_some).await {
            Ok(client) => client.clone(),
            Err(_) => return,
        };
        let Some(client) = client else { continue };
        let attach = Request::Attach { build, from, interest: Interest::Watch };
        if let Ok(mut replies) = client.stream(attach).await {
            loop {
                match replies.next().await {
                    Ok(Some(Reply::Event { sequence, recorded })) => {
                        from = sequence.saturating_add(1);
                        let Ok(recorded) = decode(&recorded) else { continue };
                        if answers.send(Answer::Log { build, recorded }).await.is_err() {
                            return;
                        }
                    }
                    // The last was said, or it is refused for good.
                    Ok(_) => return,
                    Err(_) => break,
                }
            }
        }
        sleep(PAUSE).await;
    }
}
