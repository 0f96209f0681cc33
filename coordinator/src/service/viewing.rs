//! A viewer of the whole farm: what is true of it, and then what happens in it.
//!
//! A viewer pulls. It is told which builds have grown, reads those at its own pace, and sends no faster than its connection
//! takes; nobody waits for it, and what it has not read yet lies in logs that are kept anyway. One that falls so far behind
//! that it can no longer be told what has grown begins anew. Workers are looked at once a second, the store when its one
//! sampler has looked at it.
//!
//! Invariants: the events of a build come in order, from its first one on, without output of steps; a build that was begun
//! is followed until its end was sent.

mod outgoing;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use farm_model::event::{Ending, FarmEvent, PastBuild, PastOutcome, StoreLoad, encoding};
use farm_model::{BuildEvent, BuildId, Recorded};
use farm_proto::client::{BuildState, BuildSummary, Reply};
use farm_transport::{Connection, Sender, Stream};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

use self::outgoing::Outgoing;
use crate::build::Farm;
use crate::builds::{Grown, Running, Seat};
use crate::service::Service;
use crate::workers::Look;
use crate::{Error, diagnosis};

/// How long what happens is gathered before the next is sent.
const PACE: Duration = Duration::from_millis(30);
/// How often the workers are looked at.
const WORKERS: Duration = Duration::from_secs(1);
/// How many builds that have ended are told of at the beginning.
const PAST: usize = 200;
/// How many actions are told of at the beginning.
const ACTIONS: u64 = 100;
/// Of how many builds that ended meanwhile it is remembered that they did.
const REMEMBERED: usize = 1024;

/// Lets the other side watch until it is gone.
pub(super) async fn answer(service: &Service, connection: &Connection, stream: Stream) {
    let (mut sender, _receiver) = stream.split();
    let farm = &service.farm;
    let Some(seat) = farm.builds.audience().sit() else {
        let error = Error::NotAllowed("too many watch already".to_owned());
        let _gone = sender.send(&Reply::Refused(diagnosis::refusal(&error))).await;
        return;
    };
    let gone = sender.stopped();
    let ended = tokio::select! {
        ended = Viewing::new(farm, seat, &mut sender).run() => ended,
        _gone = gone => return,
        _lost = connection.closed() => return,
    };
    if let Err(error) = ended
        && !error.is_connection_lost()
    {
        tracing::warn!(peer = %connection.peer(), %error, "a viewer cannot be served");
        let _gone = sender.send(&Reply::Refused(diagnosis::refusal(&error))).await;
    }
}

struct Viewing<'a> {
    farm: &'a Arc<Farm>,
    seat: Seat,
    out: Outgoing<'a>,
    followed: BTreeMap<BuildId, Followed>,
    ended: Ended,
    look: Look,
    store: watch::Receiver<Option<Arc<StoreLoad>>>,
    actions: watch::Receiver<u64>,
    /// The action to go on from.
    next_action: u64,
}

/// A build that has begun and not ended.
#[derive(Clone, Default)]
struct Followed {
    /// The position to go on from.
    next: u64,
    /// The event that was sent last.
    last: Option<Arc<[u8]>>,
}

/// Builds that ended lately, with the lengths of their logs then.
#[derive(Default)]
struct Ended {
    lengths: BTreeMap<BuildId, u64>,
    order: VecDeque<BuildId>,
}

impl Ended {
    fn insert(&mut self, build: BuildId, length: u64) {
        if self.lengths.insert(build, length).is_none() {
            self.order.push_back(build);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.lengths.remove(&oldest);
        }
    }
}

impl<'a> Viewing<'a> {
    fn new(farm: &'a Arc<Farm>, seat: Seat, sender: &'a mut Sender) -> Self {
        Self {
            farm,
            seat,
            out: Outgoing::new(sender),
            followed: BTreeMap::new(),
            ended: Ended::default(),
            look: Look::default(),
            store: farm.samples.subscribe(),
            actions: farm.actions.counts(),
            next_action: 0,
        }
    }

    /// Ends only when something cannot be read or sent.
    async fn run(mut self) -> Result<(), Error> {
        loop {
            self.begin().await?;
            self.follow().await?;
        }
    }

    /// Says everything that is true.
    async fn begin(&mut self) -> Result<(), Error> {
        // What grows from here on is told of again.
        let _told = self.seat.look();
        self.followed.clear();
        self.ended = Ended::default();
        self.look = Look::default();
        self.out
            .say(FarmEvent::Began { farm: hostname(), version: self.farm.options.version.clone() })
            .await?;
        // Looked at before the history and after: a build may end or begin in between.
        let mut running = self.running();
        let past = self.farm.builds.history().list().await?;
        running.extend(self.running());
        for build in newest(past, &running) {
            self.out.say(FarmEvent::Past(build)).await?;
        }
        // Before the builds whose steps they run.
        self.see_workers().await?;
        for build in running {
            self.read(build).await?;
        }
        self.see_store().await?;
        self.next_action = self.actions.borrow().saturating_sub(ACTIONS);
        self.see_actions().await?;
        self.out.say(FarmEvent::CaughtUp).await?;
        self.out.flush().await
    }

    /// Says what happens, until it is too much at once.
    async fn follow(&mut self) -> Result<(), Error> {
        let mut second = interval(WORKERS);
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.seat.called() => {}
                _ = second.tick() => {
                    self.see_workers().await?;
                    self.see_the_lost().await?;
                }
                Ok(()) = self.store.changed() => self.see_store().await?,
                Ok(()) = self.actions.changed() => self.see_actions().await?,
            }
            match self.seat.look() {
                Grown::Builds(builds) => {
                    for build in builds {
                        self.read(build).await?;
                    }
                }
                Grown::TooMuch => return Ok(()),
            }
            self.out.flush().await?;
            sleep(PACE).await;
        }
    }

    fn running(&self) -> BTreeSet<BuildId> {
        self.farm.builds.all_running().iter().map(|running| running.build).collect()
    }

    /// Sends what a build has new.
    async fn read(&mut self, build: BuildId) -> Result<(), Error> {
        let running = self.farm.builds.running(build);
        let followed = match (self.followed.remove(&build), self.ended.lengths.get(&build)) {
            (Some(followed), _) => followed,
            // It is told once more that it has ended; only one that was taken up again has begun anew.
            (None, Some(length)) if running.as_ref().is_none_or(|it| it.log.events() <= *length) => {
                return Ok(());
            }
            (None, _) => Followed::default(),
        };
        let (followed, over) = self.send(build, running.as_deref(), followed).await?;
        match (over, running) {
            (true, _) => self.ended.insert(build, followed.next),
            (false, Some(_)) => {
                self.followed.insert(build, followed);
            }
            (false, None) => self.interrupted(build, &followed).await?,
        }
        Ok(())
    }

    /// Sends events; says where they end, and whether the build does.
    async fn send(
        &mut self,
        build: BuildId,
        running: Option<&Running>,
        mut followed: Followed,
    ) -> Result<(Followed, bool), Error> {
        let history = self.farm.builds.history();
        // An end before this position was none: the build was taken up again.
        let resumed = match running {
            Some(running) => running.log.resumed_at(),
            None => history.count(build).await?.saturating_sub(1),
        };
        let mut over = false;
        loop {
            let (facts, next) = match running {
                Some(running) => running.log.facts(followed.next).await?,
                None => history.facts(build, followed.next).await?,
            };
            for (sequence, record) in facts {
                let ends = encoding::is_ended(&record);
                if ends && sequence < resumed {
                    continue;
                }
                over |= ends;
                self.out.pass(build, sequence, &record).await?;
                followed.last = Some(record);
            }
            if next == followed.next {
                return Ok((followed, over));
            }
            followed.next = next;
        }
    }

    /// Looks after builds that went without a word, as they do when the store fails.
    async fn see_the_lost(&mut self) -> Result<(), Error> {
        let builds = &self.farm.builds;
        let gone = |build: &&BuildId| builds.running(**build).is_none();
        let gone: Vec<BuildId> = self.followed.keys().filter(gone).copied().collect();
        for build in gone {
            self.read(build).await?;
        }
        Ok(())
    }

    /// A build is gone whose end could not be kept.
    async fn interrupted(&mut self, build: BuildId, followed: &Followed) -> Result<(), Error> {
        let Some(last) = &followed.last else { return Ok(()) };
        let at = encoding::decode(last).map_or(0, |recorded| recorded.at);
        let recorded = Recorded { at, event: BuildEvent::Ended(Ending::Interrupted) };
        self.ended.insert(build, followed.next);
        self.out.say(FarmEvent::Build { build, sequence: followed.next, recorded }).await
    }

    async fn see_workers(&mut self) -> Result<(), Error> {
        let seen = self.farm.dispatch.workers().look(&mut self.look);
        for worker in seen.gone {
            self.out.say(FarmEvent::WorkerLost { worker }).await?;
        }
        for facts in seen.changed {
            self.out.say(FarmEvent::Worker(facts)).await?;
        }
        for (worker, load) in seen.loads {
            self.out.say(FarmEvent::Load { worker, load }).await?;
        }
        Ok(())
    }

    async fn see_actions(&mut self) -> Result<(), Error> {
        self.actions.mark_unchanged();
        loop {
            let actions = self.farm.actions.read(self.next_action).await?;
            let Some((last, _)) = actions.last() else { return Ok(()) };
            self.next_action = last.saturating_add(1);
            for (_, action) in actions {
                // What a later version kept is not for this one to tell.
                if let Ok(recorded) = encoding::decode_farm(&action) {
                    self.out.say(recorded.event).await?;
                }
            }
        }
    }

    async fn see_store(&mut self) -> Result<(), Error> {
        let load = self.store.borrow_and_update().clone();
        match load {
            Some(load) => self.out.say(FarmEvent::Store((*load).clone())).await,
            None => Ok(()),
        }
    }
}

/// The newest of the builds that have ended, the oldest of them first.
fn newest(mut past: Vec<BuildSummary>, running: &BTreeSet<BuildId>) -> impl Iterator<Item = PastBuild> {
    past.retain(|summary| !running.contains(&summary.build));
    past.sort_by_key(|summary| (summary.started, summary.build));
    let skip = past.len().saturating_sub(PAST);
    past.into_iter().skip(skip).map(brief)
}

fn brief(summary: BuildSummary) -> PastBuild {
    let outcome = match summary.state {
        BuildState::Succeeded => PastOutcome::Succeeded,
        BuildState::Failed => PastOutcome::Failed,
        BuildState::Cancelled => PastOutcome::Cancelled,
        BuildState::Running | BuildState::Interrupted => PastOutcome::Interrupted,
    };
    PastBuild {
        build: summary.build,
        started: summary.started,
        micros: summary.micros,
        outcome,
        dockerfile: summary.dockerfile,
        context: summary.context,
        target: summary.target,
        names: summary.names,
        client: summary.client,
        steps: summary.steps,
        cached: summary.cached,
        done: summary.done,
        image_bytes: summary.image_bytes,
    }
}

/// What the machine of the coordinator is called.
fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
