//! What survives a killed process, a power cut, a reboot and a full disk.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use farm_model::BlobDigest;
use farm_store::{Error, Store};
use farm_tree::Tree;

use crate::support::{Dir, Random, bytes_of, new_store, open_in_boot, scan, seed, text};
use crate::workload::{command, judge};

const KILLS: u64 = 24;
const POWER_CUTS: u64 = 6;

/// What a working process said.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    /// Steps that it had recorded when it ended.
    done: u64,
    /// Steps that a sync covers which had finished before the end began.
    synced: u64,
}

/// Runs a working process and ends the run through `end` after `time`; returns what it said.
fn run(root: &Path, seed: u64, boot: &str, time: Duration, end: impl FnOnce()) -> Said {
    let mut child = command(root, seed, boot).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.any(|line| line.unwrap() == "ready");
    assert!(ready, "the working process could not open the store");
    let said = Mutex::new(Said::default());
    thread::scope(|scope| {
        let reader = scope.spawn(|| listen(lines, &said));
        thread::sleep(time);
        // A sync that is under way while the file system stops may be told that it succeeded; a process whose machine
        // loses power is told nothing any more.
        let synced = said.lock().unwrap().synced;
        end();
        child.kill().unwrap();
        child.wait().unwrap();
        reader.join().unwrap();
        Said { synced, ..*said.lock().unwrap() }
    })
}

fn listen(lines: impl Iterator<Item = io::Result<String>>, said: &Mutex<Said>) {
    for line in lines {
        let line = line.unwrap();
        let mut said = said.lock().unwrap();
        match line.split_once(' ') {
            Some(("done", number)) => said.done = number.parse::<u64>().unwrap() + 1,
            Some(("synced", number)) => said.synced = number.parse::<u64>().unwrap() + 1,
            _ => {}
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = Random(seed());
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for _ in 0..KILLS {
        let run_seed = random.next();
        let time = Duration::from_millis(random.below(250));
        let said = run(directory.path(), run_seed, "same boot", time, || {});
        runs.push((run_seed, said.done));
        let store = open_in_boot(directory.path(), "same boot").unwrap();
        let (run_seed, done) = runs[runs.len() - 1];
        let found = judge(&store, run_seed, done + 1);
        assert!(found.len() as u64 >= done, "of {done} recorded steps {} are left", found.len());
        assert_eq!(fs::read_dir(directory.path().join("tmp")).unwrap().count(), 0);
    }
    let store = open_in_boot(directory.path(), "same boot").unwrap();
    for (run_seed, done) in &runs {
        assert!(judge(&store, *run_seed, *done).len() as u64 == *done);
    }
    println!("{} steps in {KILLS} runs", runs.iter().map(|(_, done)| done).sum::<u64>());
}

/// A file system in a file, mounted through a loop device.
struct Disk {
    image: PathBuf,
    mount: PathBuf,
}

impl Disk {
    fn create(directory: &Path, megabytes: u64) -> Self {
        let image = directory.join("disk.img");
        let mount = directory.join("mnt");
        fs::create_dir(&mount).unwrap();
        fs::File::create(&image).unwrap().set_len(megabytes << 20).unwrap();
        tool("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]);
        let disk = Self { image, mount };
        disk.mount();
        disk
    }

    fn mount(&self) {
        // A short commit interval would hide what is not synced; a long one leaves metadata in the journal's future.
        let (image, mount) = (self.image.to_str().unwrap(), self.mount.to_str().unwrap());
        tool("mount", &["-o", "loop", image, mount]);
    }

    /// Stops the file system dead: nothing that is not on the device by now ever gets there, the journal included.
    fn cut_power(&self) {
        let script =
            "open(F,'<',$ARGV[0]) or die $!; my $how=pack('L',2); ioctl(F,0x8004587d,$how) or die $!";
        tool("perl", &["-e", script, self.mount.to_str().unwrap()]);
    }

    fn unmount(&self) {
        tool("umount", &[self.mount.to_str().unwrap()]);
        // A process that just made a mount namespace of its own may hold a copy of the mount for a moment.
        let deadline = Instant::now() + Duration::from_secs(60);
        while !tool("losetup", &["-j", self.image.to_str().unwrap()]).is_empty() {
            assert!(Instant::now() < deadline, "the disk is still mounted in another mount namespace");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ended = Command::new("umount").arg(&self.mount).stderr(Stdio::null()).status();
    }
}

/// Runs a program and returns what it says.
fn tool(name: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(name).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("this test needs `{name}`: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "this test needs root: {name} {arguments:?}: {errors}");
    output.stdout
}

#[test]
fn after_a_power_cut_what_was_synced_is_there_and_what_is_returned_is_whole() {
    let mut random = Random(seed());
    let (mut done, mut synced, mut found) = (0, 0, 0);
    for round in 0..POWER_CUTS {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::create(directory.path(), 2000);
        let root = disk.mount.join("state");
        let mut runs = Vec::new();
        // Several machines' lives on one disk: what survived a cut has to survive the next.
        for life in 0..3 {
            let run_seed = random.next();
            let time = Duration::from_millis(100 + random.below(900));
            let said = run(&root, run_seed, &format!("boot {round} {life}"), time, || disk.cut_power());
            disk.unmount();
            disk.mount();
            let store = open_in_boot(&root, &format!("boot {round} {life} after")).unwrap();
            runs.push((run_seed, said));
            for (run_seed, said) in &runs {
                let left = judge(&store, *run_seed, said.done + 1);
                let lost: Vec<u64> = (0..said.synced).filter(|number| !left.contains(number)).collect();
                assert!(lost.is_empty(), "{lost:?} of {} synced steps, in life {life}", said.synced);
                found += left.len();
            }
            drop(store);
        }
        done += runs.iter().map(|(_, said)| said.done).sum::<u64>();
        synced += runs.iter().map(|(_, said)| said.synced).sum::<u64>();
    }
    println!("{done} steps recorded, {synced} synced; {found} found over all checks");
    assert!(synced > 0 && done > synced, "the test has to see both kinds");
}

fn layer(store: &Store, byte: u8) -> Tree {
    let scratch = store.scratch().unwrap();
    fs::write(scratch.upper().join("f"), [byte; 20_000]).unwrap();
    let tree = scan(store, &scratch.upper());
    store.adopt(&scratch.upper(), &tree).unwrap();
    tree
}

#[test]
fn fresh_files_are_discarded_after_a_reboot_and_durable_ones_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("state");
    let store = open_in_boot(&root, "one").unwrap();
    let durable = layer(&store, 1);
    let blob = store.ingest(&mut vec![2; 20_000].as_slice(), None).unwrap();
    store.sync().unwrap();
    let fresh = layer(&store, 3);
    let fresh_blob = store.ingest(&mut vec![4; 20_000].as_slice(), None).unwrap();
    let copy = directory.path().join("copy");
    tool("cp", &["-a", root.to_str().unwrap(), copy.to_str().unwrap()]);

    let after = open_in_boot(&copy, "two").unwrap();
    assert!(after.is_complete(&durable.layer_digest()).unwrap());
    assert_eq!(bytes_of(&after, &blob).unwrap(), vec![2; 20_000]);
    assert!(!after.is_complete(&fresh.layer_digest()).unwrap());
    assert!(!after.contains(&fresh_blob).unwrap());
    assert!(after.layer_directory(&fresh.layer_digest()).unwrap().is_none());
    assert!(after.tree(&fresh.layer_digest()).unwrap().is_some());
    drop(after);

    // A second start in the new boot finds the same.
    let after = open_in_boot(&copy, "two").unwrap();
    assert!(after.is_complete(&durable.layer_digest()).unwrap());
    assert!(!after.contains(&fresh_blob).unwrap());
}

#[test]
fn closing_a_store_makes_everything_durable() {
    let test = new_store();
    let tree = layer(&test.store, 1);
    let test = test.reboot("another boot");
    assert!(test.store.is_complete(&tree.layer_digest()).unwrap());
    assert!(test.store.layer_directory(&tree.layer_digest()).unwrap().is_some());
}

#[test]
fn what_was_renamed_but_not_recorded_is_swept() {
    let test = new_store();
    let root = test.store.root().to_owned();
    let blob = test.store.ingest(&mut vec![1; 9000].as_slice(), None).unwrap();
    let stray = BlobDigest::of(b"stray").to_string();
    let copy = test.directory.path().join("copy");
    tool("cp", &["-a", root.to_str().unwrap(), copy.to_str().unwrap()]);
    let strays = [
        copy.join("blobs").join(&stray[..2]).join(&stray[2..64]),
        copy.join("oci").join(&stray[..64]),
        copy.join("layers").join(&stray[..64]).join("f"),
        copy.join("tmp/scratch-9/upper/f"),
    ];
    for path in &strays {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"stray").unwrap();
    }
    let store = Store::open(&copy).unwrap();
    for path in &strays {
        assert!(!path.exists(), "{}", path.display());
    }
    assert_eq!(bytes_of(&store, &blob).unwrap(), [1; 9000]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while fs::read_dir(copy.join("trash")).unwrap().next().is_some() {
        assert!(Instant::now() < deadline, "the trash is not emptied");
        thread::yield_now();
    }
}

/// Takes all the space that is left.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    let mut free = 0;
    for piece in [1 << 20, 4 << 10] {
        while file.write_all(&vec![0; piece]).and_then(|()| file.sync_data()).is_ok() {
            free += piece;
        }
    }
    println!("{free} bytes were free");
}

#[test]
fn a_full_disk_is_a_clear_error_and_never_half_a_blob() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::create(directory.path(), 128);
    let root = disk.mount.join("state");
    let store = Store::open(&root).unwrap();
    let mut random = Random(5);
    let kept = store.ingest(&mut random.bytes(200_000).as_slice(), None).unwrap();
    let mut stored = Vec::new();
    let error = loop {
        match store.ingest(&mut random.bytes(1_000_000).as_slice(), None) {
            Ok(blob) => stored.push(blob),
            Err(error) => break error,
        }
        assert!(stored.len() < 200, "the disk never gets full");
    };
    assert!(matches!(error, Error::NoSpace { .. }), "{error}");
    assert!(error.is_environment() && error.hint().is_some());

    let tree = Dir::default()
        .with("f", text(&store, b"small"))
        .with("g", crate::support::file(kept, crate::support::metadata(0o644)));
    let tree = tree.tree(&store);
    fill(&disk.mount.join("filler"));
    let result = store.materialise(&tree);
    assert!(matches!(result, Err(Error::NoSpace { .. })), "{result:?}");
    assert!(fs::read_dir(root.join("layers")).unwrap().next().is_none());

    fs::remove_file(disk.mount.join("filler")).unwrap();
    for blob in &stored {
        assert_eq!(BlobDigest::of(&bytes_of(&store, blob).unwrap()), *blob);
    }
    drop(store);
    let store = Store::open(&root).unwrap();
    assert_eq!(BlobDigest::of(&bytes_of(&store, &kept).unwrap()), kept);
    drop(store);
    disk.unmount();
}

#[test]
fn a_blob_survives_a_power_cut_right_after_its_layer_directory_was_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("state");
    let store = open_in_boot(&root, "one").unwrap();
    let tree = layer(&store, 1);
    store.sync().unwrap();
    store.drop_layer_directory(&tree.layer_digest()).unwrap();
    let copy = directory.path().join("copy");
    tool("cp", &["-a", root.to_str().unwrap(), copy.to_str().unwrap()]);
    let after = open_in_boot(&copy, "two").unwrap();
    assert!(after.is_complete(&tree.layer_digest()).unwrap());
    assert_eq!(bytes_of(&after, &BlobDigest::of(&[1; 20_000])).unwrap(), [1; 20_000]);
}
