//! `kill -9` of the daemon at random moments of a build, again and again: nothing is lost, and nothing is left behind.
//!
//! Prints its seed; `FARM_SEED` repeats it, as far as a machine repeats itself. The daemon has a network of its own, so that
//! every interface and every firewall table in it is the daemon's.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use farm_tests::context::Context;
use farm_tests::farm::{Build, Farm, Outcome, Started, registry};
use farm_tests::topology::forward::Forwarder;
use farm_tests::topology::network::{Network, enter};
use farm_tests::topology::{Topology, leftovers};
use rustix::process::Signal;

const KILLS: u32 = 50;
/// How long anything may take that a user waits for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a build may have to be repeated; its client goes on by itself, so that once would be a surprise.
const MOST_BUILDS: usize = 3;

const DOCKERFILE: &str = "\
FROM busybox AS a
ARG N
RUN echo a-$N > /a && sleep 0.05
RUN --mount=type=cache,target=/c echo $N >> /c/all && tail -n 1 /c/all > /last && echo and-a-$N >> /a
FROM busybox AS b
ARG N
RUN --network=none head -c 3000000 /dev/urandom > /big && echo b-$N > /b
RUN --mount=type=bind,target=/context cat /context/f > /g && echo and-b-$N >> /b && sleep 0.1
FROM busybox
ARG N
COPY --from=a /a /last /
COPY --from=b /b /g /
COPY f /
RUN cat /a /b > /both-$N
RUN rm /last && mkdir -p /d/e && echo end-$N > /d/e/f
";

#[test]
fn a_daemon_that_is_killed_loses_nothing_and_leaves_nothing() {
    let seed = seed();
    let _printed = writeln!(std::io::stderr(), "seed {seed}; FARM_SEED={seed} repeats it");
    let mut random = Random(seed);
    let trial = Trial::new();
    let whole = trial.duration_of_a_build();
    let mut repeated = 0;
    for number in 1..=KILLS {
        let after = whole.mul_f64(random.fraction());
        let with_client = random.fraction() < 0.3;
        let context = format!("kill {number} after {after:?}, client too: {with_client}, seed {seed}");
        let _printed = writeln!(std::io::stderr(), "{context}");
        repeated += trial.kill_once(number, after, with_client, &context);
        trial.assert_nothing_left(&context);
    }
    let _printed = writeln!(std::io::stderr(), "{repeated} builds had to be repeated");
}

struct Trial {
    farm: Farm,
    context: Context,
    _registry: Option<Forwarder>,
    network: Network,
}

impl Trial {
    fn new() -> Self {
        let network = Network::of(1).unwrap();
        let registry = registry().map(|address| Forwarder::start(network.node(0), address).unwrap());
        let context = Context::new(DOCKERFILE).file("f", "from the context\n");
        let farm = Farm::of(Topology::Daemon).in_network(&network.node(0).path());
        Self { farm, context, _registry: registry, network }
    }

    fn build(&self, number: u32) -> Build<'_> {
        self.farm.build(self.context.path()).option("--build-arg", format!("N={number}"))
    }

    /// From its start to its end, with the start of the daemon; what was pulled stays.
    fn duration_of_a_build(&self) -> Duration {
        check(&self.build(0).run().expect(0), 0, "before any kill");
        self.farm.stop();
        let started = Instant::now();
        check(&self.build(u32::MAX).run().expect(0), u32::MAX, "before any kill");
        self.farm.stop();
        started.elapsed()
    }

    /// Builds, kills in the middle, and goes on until it is built; says how often it had to be started again.
    fn kill_once(&self, number: u32, after: Duration, with_client: bool, context: &str) -> usize {
        let build = self.build(number).start();
        thread::sleep(after);
        let killed = self.kill_the_daemon(&build);
        if with_client {
            build.signal(Signal::KILL);
        }
        let mut logs = vec![self.finished(build, context)];
        if with_client && killed {
            self.assert_interrupted_build_is_known(context);
        }
        while logs.last().unwrap().status != Some(0) {
            assert!(logs.len() <= MOST_BUILDS, "{context}: it does not end:\n{}", all(&logs));
            let last = logs.last().unwrap();
            assert!(
                last.status == Some(3) || (with_client && last.status.is_none()),
                "{context}: status {:?}\n{}",
                last.status,
                all(&logs)
            );
            if !with_client {
                let _printed = writeln!(std::io::stderr(), "the client gave up:\n{}", last.log);
            }
            logs.push(self.finished(self.build(number).start(), context));
        }
        check(logs.last().unwrap(), number, context);
        assert_no_step_ran_again(&logs, context);
        self.assert_no_build_runs(context);
        logs.len() - 1
    }

    /// Kills whatever process is the daemon at this moment, started or just about to; false when there is none any more.
    fn kill_the_daemon(&self, build: &Started) -> bool {
        let daemon = || {
            let all = leftovers::processes(self.farm.root());
            let found = all.into_iter().find(|pid| leftovers::description(*pid).contains(" daemon serve"));
            found.map(Some).or_else(|| build.is_finished().then_some(None))
        };
        let daemon = leftovers::wait_for(PATIENCE, daemon).expect("the build starts a daemon");
        if let Some(pid) = daemon {
            leftovers::send(pid, Signal::KILL);
        }
        daemon.is_some()
    }

    fn finished(&self, started: Started, context: &str) -> Outcome {
        started
            .finish_within(PATIENCE)
            .unwrap_or_else(|| panic!("{context}: not ended after {PATIENCE:?}\n{}", self.farm.logs()))
    }

    /// A build whose client died with the daemon counts as interrupted, and can be attached to at once.
    fn assert_interrupted_build_is_known(&self, context: &str) {
        let builds = self.farm.command(&["builds", "list", "--json"]).run().expect(0).json_lines();
        let Some(interrupted) = builds.iter().find(|build| build["state"] == "interrupted") else { return };
        let id = interrupted["build"].as_str().unwrap();
        let attached = self.farm.command(&["builds", "attach", id]).start();
        let attached = self.finished(attached, context);
        assert_eq!(attached.status, Some(3), "{context}: {}", attached.log);
    }

    fn assert_no_build_runs(&self, context: &str) {
        let list = || {
            let builds = self.farm.command(&["builds", "list", "--json"]).run().expect(0).json_lines();
            builds.iter().all(|build| build["state"] != "running").then_some(())
        };
        assert!(leftovers::wait_for(PATIENCE, list).is_some(), "{context}: a build is said to run for ever");
    }

    /// After an orderly end there is no trace but the store.
    fn assert_nothing_left(&self, context: &str) {
        self.farm.stop();
        let root = self.farm.root();
        let quiet = || leftovers::processes(root).is_empty().then_some(());
        let processes =
            || leftovers::processes(root).into_iter().map(leftovers::description).collect::<Vec<_>>();
        assert!(leftovers::wait_for(PATIENCE, quiet).is_some(), "{context}: processes: {:?}", processes());
        assert_eq!(leftovers::mounts(root), [""; 0], "{context}: mounts");
        assert_eq!(self.cgroups(), [""; 0], "{context}: control groups");
        let own =
            || (self.interfaces() == BTreeSet::from(["eth0".to_owned(), "lo".to_owned()])).then_some(());
        assert!(
            leftovers::wait_for(PATIENCE, own).is_some(),
            "{context}: interfaces: {:?}",
            self.interfaces()
        );
        assert_eq!(self.inside(&["nft", "list", "tables"]), "", "{context}: firewall tables");
        let own = &self.farm.directories()[0];
        for place in ["tmp", "trash", "quarantine"].map(|name| own.state().join(name)) {
            assert_eq!(entries(&place), [""; 0], "{context}: {}", place.display());
        }
        for place in ["containers", "workbench"].map(|name| own.runtime().join(name)) {
            assert_eq!(entries(&place), [""; 0], "{context}: {}", place.display());
        }
    }

    /// What is there of the groups that this daemon makes.
    fn cgroups(&self) -> Vec<String> {
        let tag = fs::read_to_string(self.farm.directories()[0].runtime().join("tag")).unwrap();
        let name = format!("farm-{}", tag.trim());
        let hierarchies =
            fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
        let places = hierarchies.chain(["/sys/fs/cgroup".into()]).map(|hierarchy| hierarchy.join(&name));
        places.filter(|place| place.exists()).map(|place| place.display().to_string()).collect()
    }

    fn interfaces(&self) -> BTreeSet<String> {
        let name = |line: &str| Some(line.split(": ").nth(1)?.split('@').next()?.to_owned());
        self.inside(&["ip", "-o", "link"]).lines().filter_map(name).collect()
    }

    fn inside(&self, words: &[&str]) -> String {
        let output = enter(&self.network.node(0).path()).args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

/// The image is the one that was asked for.
fn check(outcome: &Outcome, number: u32, context: &str) {
    assert_eq!(outcome.status, Some(0), "{context}: {}", outcome.log);
    let files = outcome.files();
    assert_eq!(
        files.text(&format!("both-{number}")),
        format!("a-{number}\nand-a-{number}\nb-{number}\nand-b-{number}\n"),
        "{context}"
    );
    assert_eq!(
        (files.text("g").as_str(), files.text("f").as_str()),
        ("from the context\n", "from the context\n"),
        "{context}"
    );
    assert_eq!(files.text("d/e/f"), format!("end-{number}\n"), "{context}");
    assert!(files.inode("last").is_none(), "{context}: a file that was removed is there");
}

/// A step that was reported as done is found in the cache from then on, in whatever build.
fn assert_no_step_ran_again(logs: &[Outcome], context: &str) {
    let mut done: BTreeMap<String, usize> = BTreeMap::new();
    for log in logs {
        for step in done_steps(&log.log) {
            *done.entry(step).or_default() += 1;
        }
    }
    assert!(done.values().all(|count| *count == 1), "{context}: {done:?}\n{}", all(logs));
}

/// The instructions of plain progress that did their work, as often as they did it.
fn done_steps(log: &str) -> Vec<String> {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    let mut done = Vec::new();
    for line in log.lines() {
        let Some((number, rest)) = line.split_once(' ').filter(|(number, _)| number.starts_with('#')) else {
            continue;
        };
        if let Some((_, instruction)) = rest.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
            names.insert(number, instruction);
        } else if rest.starts_with("DONE ") {
            done.extend(names.get(number).map(|name| (*name).to_owned()));
        }
    }
    // Copies take no time and are no steps that anybody would wait for a second time.
    done.retain(|name| name.starts_with("RUN"));
    done
}

fn all(logs: &[Outcome]) -> String {
    logs.iter().map(|log| format!("--- {:?}\n{}", log.status, log.log)).collect::<Vec<_>>().join("\n")
}

fn entries(place: &Path) -> Vec<String> {
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn seed() -> u64 {
    let given = std::env::var("FARM_SEED").ok().filter(|text| !text.is_empty());
    given.map_or_else(
        || u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos()),
        |text| text.parse().expect("FARM_SEED is a number"),
    )
}

/// `SplitMix64`: good enough to choose moments.
struct Random(u64);

impl Random {
    /// At least 0 and less than 1.
    fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bits = u32::try_from((z ^ (z >> 31)) >> 32).unwrap();
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }
}
