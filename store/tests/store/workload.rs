//! A process that does everything that a store is for, until it is killed; and the judge of what it left.

use std::fs;
use std::io::Write;
use std::path::Path;

use farm_model::{BlobDigest, OciDigest, Scope, StepDigest, StepResult, Usage};
use farm_store::Store;
use farm_tree::Tree;

use crate::support::{Dir, Item, Random, bytes_of, file, files, metadata, open_in_boot, scan};

const ROOT: &str = "FARM_STORE_TEST_WORK";
const SEED: &str = "FARM_STORE_TEST_WORK_SEED";
const BOOT: &str = "FARM_STORE_TEST_WORK_BOOT";

/// Not a test of its own: the process of the durability tests, when it is started with the variables.
#[test]
fn working_process() {
    let Some(root) = std::env::var_os(ROOT) else {
        return;
    };
    let variable = |name| std::env::var(name).unwrap();
    let store = open_in_boot(Path::new(&root), &variable(BOOT)).unwrap();
    println!("\nready");
    work(&store, variable(SEED).parse().unwrap());
}

/// The command that starts it.
pub(crate) fn command(root: &Path, seed: u64, boot: &str) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "workload::working_process", "--nocapture"])
        .env(ROOT, root)
        .env(SEED, seed.to_string())
        .env(BOOT, boot);
    command
}

/// The key of the step that `work` records as its `number`th with `seed`.
pub(crate) fn step_digest(seed: u64, number: u64) -> StepDigest {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    StepDigest(bytes)
}

/// Records steps for ever and says on standard output which are `done` and up to which everything is `synced`.
fn work(store: &Store, seed: u64) {
    let mut random = Random(seed);
    for number in 0.. {
        let layer = match random.below(4) {
            0 => adopt(store, &mut random),
            1 => spool(store, &mut random),
            2 => blobs(store, &mut random),
            _ => {
                let layer = blobs(store, &mut random);
                store.materialise(&store.tree(&layer.digest).unwrap().unwrap()).unwrap();
                if random.below(8) == 0 {
                    store.drop_layer_directory(&layer.digest).unwrap();
                }
                layer
            }
        };
        let result = StepResult { layer: Some(layer), created: 0, usage: Usage::default() };
        store.put_step(&Scope::main(), &step_digest(seed, number), &result, b"why").unwrap();
        say(&format!("done {number}"));
        if random.below(12) == 0 {
            store.sync().unwrap();
            say(&format!("synced {number}"));
        }
    }
}

fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}").unwrap();
    output.flush().unwrap();
}

fn contents(random: &mut Random) -> Vec<Vec<u8>> {
    let count = 1 + random.below(6);
    let size = |random: &mut Random| match random.below(3) {
        0 => random.below(100),
        1 => random.below(10_000),
        _ => random.below(150_000),
    };
    (0..count)
        .map(|_| {
            let size = size(random);
            random.bytes(size)
        })
        .collect()
}

fn adopt(store: &Store, random: &mut Random) -> farm_model::result::LayerRef {
    let scratch = store.scratch().unwrap();
    let upper = scratch.upper();
    fs::create_dir(upper.join("d")).unwrap();
    for (number, bytes) in contents(random).into_iter().enumerate() {
        fs::write(upper.join(format!("d/{number}")), bytes).unwrap();
    }
    let tree = scan(store, &upper);
    store.adopt(&upper, &tree).unwrap()
}

fn spool(store: &Store, random: &mut Random) -> farm_model::result::LayerRef {
    let spool = store.spool().unwrap();
    let mut dir = Dir::default();
    for (number, bytes) in contents(random).into_iter().enumerate() {
        let blob = spool.write(&mut bytes.as_slice(), None).unwrap();
        dir = dir.with(&number.to_string(), file(blob, metadata(0o644)));
    }
    store.commit_spool(spool, &dir.tree(store)).unwrap()
}

fn blobs(store: &Store, random: &mut Random) -> farm_model::result::LayerRef {
    let mut dir = Dir::default();
    let mut intake = store.intake();
    for (number, bytes) in contents(random).into_iter().enumerate() {
        let blob = if number % 2 == 0 {
            store.ingest(&mut bytes.as_slice(), None).unwrap()
        } else {
            let blob = BlobDigest::of(&bytes);
            intake.take(&mut bytes.as_slice(), &blob).unwrap();
            blob
        };
        dir = dir.with(&number.to_string(), file(blob, metadata(0o644)));
    }
    intake.finish().unwrap();
    let mut writer = store.oci_writer().unwrap();
    writer.write_all(&random.bytes(5000)).unwrap();
    let (digest, _) = writer.finish().unwrap();
    store.put_image(&digest.to_string(), b"").unwrap();
    store.put_tree(&Dir::default().with("d", Item::Dir(dir)).tree(store)).unwrap()
}

/// How many of the first `limit` steps are found. Each that is has every byte it should, wherever the bytes are.
pub(crate) fn judge(store: &Store, seed: u64, limit: u64) -> Vec<u64> {
    let mut found = Vec::new();
    for number in 0..limit {
        let Some(result) = store.step(&Scope::main(), &step_digest(seed, number)).unwrap() else {
            continue;
        };
        let layer = result.layer.unwrap().digest;
        let tree = store.tree(&layer).unwrap().unwrap();
        assert_eq!(tree.layer_digest(), layer);
        let directory = store.layer_directory(&layer).unwrap();
        judge_tree(store, &tree, directory.as_deref());
        found.push(number);
    }
    for (name, _) in store.images().unwrap() {
        let digest: OciDigest = name.parse().unwrap();
        if let Some(path) = store.oci_blob_path(&digest).unwrap() {
            let bytes = fs::read(&path).unwrap();
            let zeros = bytes.split(|byte| *byte != 0).map(<[u8]>::len).sum::<usize>();
            let whole = store.read_oci_blob(&digest, 10_000).unwrap();
            assert!(whole.is_some(), "{digest}: {} bytes, {zeros} of them zero", bytes.len());
        }
    }
    found
}

fn judge_tree(store: &Store, tree: &Tree, directory: Option<&Path>) {
    for (path, blob) in files(store, tree) {
        let bytes = bytes_of(store, &blob).unwrap();
        assert_eq!(BlobDigest::of(&bytes), blob, "{path}");
        if let Some(directory) = directory {
            let bytes = fs::read(directory.join(path.trim_start_matches('/'))).unwrap();
            assert_eq!(BlobDigest::of(&bytes), blob, "{path} in its layer directory");
        }
    }
}
