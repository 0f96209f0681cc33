//! The wide tree: many files of uneven size in a shallow tree, as a project with its dependencies has.

use crate::Error;
use crate::folder::Folder;
use crate::random::Random;

/// Files of the tree at full scale.
pub const FILES: u64 = 20_000;
/// Bytes of an average file; sizes lie between a quarter and seven quarters of it.
const AVERAGE: u64 = (200 << 20) / FILES;
/// Directories at the top of the tree.
const TOP: u64 = 40;
/// Directories in each of those.
const BELOW: u64 = 25;
/// Different contents that files are cut from; a whole one each would take long to make and show nothing more.
const POOL: usize = 64;
/// Length of such a content; longer than any file.
const POOL_LENGTH: usize = 32 << 10;

/// Path and size of every file.
pub fn plan(seed: u64, files: u64) -> impl Iterator<Item = (String, u64)> {
    let mut random = Random::new(seed, "sizes of the wide tree");
    (0..files).map(move |index| (path(index), random.between(AVERAGE / 4, AVERAGE * 7 / 4)))
}

/// The first file of the tree, which is the one that scenarios change.
pub fn first() -> String {
    path(0)
}

/// Writes the tree below `root`.
pub fn write(folder: &mut Folder, root: &str, seed: u64, files: u64) -> Result<(), Error> {
    let pool: Vec<_> =
        (0..POOL).map(|index| Random::new(seed, &format!("pool {index}")).mixed(POOL_LENGTH)).collect();
    let mut random = Random::new(seed, "cuts of the wide tree");
    for (index, (path, size)) in plan(seed, files).enumerate() {
        let size = usize::try_from(size).unwrap_or(POOL_LENGTH).min(POOL_LENGTH);
        // The number in front makes each file's content its own, so that none is stored twice.
        let mut bytes = format!("{index}\n").into_bytes();
        let rest = size.saturating_sub(bytes.len());
        let slack = u64::try_from(POOL_LENGTH - rest).unwrap_or(0);
        let start = usize::try_from(random.between(0, slack)).unwrap_or(0);
        bytes.extend_from_slice(&pool[index % POOL][start..start + rest]);
        folder.file(&format!("{root}/{path}"), bytes)?;
    }
    Ok(())
}

fn path(index: u64) -> String {
    format!("top{:02}/below{:02}/file{index:05}.bin", index % TOP, index / TOP % BELOW)
}
