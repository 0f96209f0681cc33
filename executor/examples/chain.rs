//! What a step costs in a chain of steps: `cargo run --release -p farm-executor --example chain [STEPS] [ROUNDS]`, as root.
//!
//! Each step of a chain writes a small file and becomes the topmost layer of the next one, as in a build with the store left out; each has
//! a network from a pool, so what the pool does counts as well. Then as many containers as steps are started at once. Processor time is
//! the whole machine's, as the kernel does much of the work in threads of its own.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use farm_executor::{
    CancelFlag, Container, Executor, Exit, Limits, Meter, Native, Network, NetworkPool, User, hosts_file,
};

type Failure = Box<dyn std::error::Error>;

#[expect(clippy::print_stdout, reason = "an example's result")]
fn main() -> Result<(), Failure> {
    farm_executor::init_entry();
    let mut arguments = std::env::args().skip(1);
    let steps: usize = arguments.next().map_or(Ok(50), |count| count.parse())?;
    let rounds: usize = arguments.next().map_or(Ok(5), |count| count.parse())?;
    let dir = tempfile::tempdir()?;
    image(&dir.path().join("image"))?;
    let executor = Native::new(&dir.path().join("run"))?;
    let pool = NetworkPool::new(2);
    let (mut chained, mut at_once) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let base = dir.path().join(format!("round{round}"));
        fs::create_dir(&base)?;
        let took = measure(|| chain(&executor, &pool, dir.path(), &base, steps))?;
        chained.push(took);
        at_once.push(measure(|| together(&executor, &pool, dir.path(), &base, 32))?);
    }
    for (name, mut took, count) in [("chain", chained, steps), ("at once", at_once, 32)] {
        // The first round warms up.
        took.remove(0);
        took.sort();
        let (wall, cpu) = took[took.len() / 2];
        let each = |time: Duration| time.as_secs_f64() * 1e3 / f64::from(u32::try_from(count).unwrap_or(1));
        let all = wall.as_secs_f64() * 1e3;
        println!(
            "{name:8} {count:3} steps {all:7.1} ms, {:6.2} ms each, {:6.2} ms cpu each",
            each(wall),
            each(cpu)
        );
    }
    Ok(())
}

fn measure(action: impl FnOnce() -> Result<(), Failure>) -> Result<(Duration, Duration), Failure> {
    let (before, started) = (busy()?, Instant::now());
    action()?;
    let wall = started.elapsed();
    Ok((wall, busy()?.saturating_sub(before)))
}

/// Processor time of the machine so far, in the kernel's ticks of 10 ms.
fn busy() -> Result<Duration, Failure> {
    let stat = fs::read_to_string("/proc/stat")?;
    let all = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let counts: Vec<u64> = all.filter_map(|count| count.parse().ok()).collect();
    // User, nice and system time, and both kinds of interrupts.
    Ok(Duration::from_millis(10 * [0, 1, 2, 5, 6].iter().filter_map(|index| counts.get(*index)).sum::<u64>()))
}

fn chain(
    executor: &Native,
    pool: &NetworkPool,
    root: &Path,
    base: &Path,
    steps: usize,
) -> Result<(), Failure> {
    let mut lowers = vec![root.join("image")];
    for step in 0..steps {
        let upper = run(executor, pool, base, &lowers, step)?;
        lowers.insert(0, upper);
    }
    Ok(())
}

fn together(
    executor: &Native,
    pool: &NetworkPool,
    root: &Path,
    base: &Path,
    count: usize,
) -> Result<(), Failure> {
    let lowers = vec![root.join("image")];
    std::thread::scope(|scope| {
        let start = |number: usize| {
            let lowers = &lowers;
            scope.spawn(move || {
                run(executor, pool, base, lowers, 1000 + number).map(drop).map_err(|e| e.to_string())
            })
        };
        let threads: Vec<_> = (0..count).map(start).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or(Err("a panic".to_owned())))
    })?;
    Ok(())
}

fn run(
    executor: &Native,
    pool: &NetworkPool,
    base: &Path,
    lowers: &[PathBuf],
    number: usize,
) -> Result<PathBuf, Failure> {
    let (upper, work) = (base.join(format!("{number}-upper")), base.join(format!("{number}-work")));
    fs::create_dir(&upper)?;
    fs::create_dir(&work)?;
    let network = pool.take()?;
    let container = Container {
        id: format!("step-{number}"),
        lowers: lowers.to_vec(),
        upper: upper.clone(),
        work,
        argv: vec!["/bin/sh".to_owned(), "-c".to_owned(), format!("echo {number} > /link{number}")],
        env: vec![("PATH".to_owned(), "/bin".to_owned())],
        cwd: "/".to_owned(),
        user: User::default(),
        mounts: Vec::new(),
        hosts: hosts_file("step", Some(network.address().into()), &[]),
        network: Network::Sandbox(network),
        hostname: "step".to_owned(),
        resolv_conf: String::new(),
        shm_size: Container::DEFAULT_SHM_SIZE,
        ulimits: Vec::new(),
        limits: Limits::default(),
        meter: Meter::default(),
    };
    let outcome = executor.run(&container, &mut |_, _| {}, &CancelFlag::new()?)?;
    assert_eq!(outcome.exit, Exit::Code(0));
    Ok(upper)
}

fn image(path: &Path) -> Result<(), Failure> {
    for directory in ["bin", "dev", "etc", "proc", "sys"] {
        fs::create_dir_all(path.join(directory))?;
    }
    fs::copy("/bin/busybox", path.join("bin/busybox"))?;
    symlink("busybox", path.join("bin/sh"))?;
    fs::write(path.join("etc/hosts"), "")?;
    fs::write(path.join("etc/resolv.conf"), "")?;
    Ok(())
}
