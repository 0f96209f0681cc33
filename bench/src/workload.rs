//! The workloads: a folder each, with a Dockerfile and its context.
//!
//! Everything about a folder follows from a [`Scale`]: two runs with the same one write the same bytes, modes and times.

pub mod datagen;
pub mod dockerfiles;
pub mod files;
pub mod go;

use std::fmt::Write as _;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use crate::Error;
use crate::folder::Folder;
use crate::random::Random;

/// Links of the chain of small steps.
pub const CHAIN: usize = 50;
/// Stages of the fan.
pub const FAN: usize = 32;
/// Steps of the build that is killed.
pub const INTERRUPTED: usize = 16;
/// Small text files of the three-stage build.
const ASSETS: usize = 12;
/// Lines of a fleet's lock file.
const PACKAGES: usize = 300;

/// What the shapes are derived from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Scale {
    /// Of every pseudo-random choice.
    pub seed: u64,
    /// Dockerfiles of the fleet.
    pub images: usize,
    /// Large numbers of files and bytes are divided by this, for a machine with less time. At least 1.
    pub divisor: u64,
}

impl Default for Scale {
    fn default() -> Self {
        Self { seed: 20_260_101, images: 200, divisor: 1 }
    }
}

impl Scale {
    /// Files of the wide tree.
    pub fn wide_files(&self) -> u64 {
        (files::FILES / self.divisor.max(1)).max(1)
    }

    /// Bytes of the one large file.
    pub fn large_bytes(&self) -> u64 {
        ((1 << 30) / self.divisor.max(1)).max(1)
    }

    /// Number of the many small files.
    pub fn small_files(&self) -> u64 {
        (50_000 / self.divisor.max(1)).max(1)
    }
}

/// Bytes of each of the many small files.
pub const SMALL_BYTES: u64 = 20 << 10;

/// A shape of build.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Workload {
    /// Three stages, twelve steps.
    M1Small,
    /// The same with the wide tree in its context.
    M1Big,
    /// A chain of small RUN steps.
    M2,
    /// Independent stages and one that copies from all.
    M3,
    /// A fleet of Dockerfiles that share a stage.
    M4,
    /// A RUN that writes one large file.
    M5a,
    /// A RUN that writes many small files.
    M5b,
    /// A Go program for a second machine with an empty store.
    M6,
    /// A COPY of the wide tree.
    M7,
    /// Slow steps, to be killed in the middle.
    M9,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::M1Small,
        Self::M1Big,
        Self::M2,
        Self::M3,
        Self::M4,
        Self::M5a,
        Self::M5b,
        Self::M6,
        Self::M7,
        Self::M9,
    ];

    /// Its folder's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::M1Small => "m1small",
            Self::M1Big => "m1big",
            Self::M2 => "m2",
            Self::M3 => "m3",
            Self::M4 => "m4",
            Self::M5a => "m5a",
            Self::M5b => "m5b",
            Self::M6 => "m6",
            Self::M7 => "m7",
            Self::M9 => "m9",
        }
    }

    /// What it is, in a line.
    pub fn shape(self) -> &'static str {
        match self {
            Self::M1Small => "three stages and twelve steps: a Go build, packed assets, an image from both",
            Self::M1Big => "the same with 20,000 files, 210 MB, in the context and in the image",
            Self::M2 => "a chain of 50 RUN steps with a small file each",
            Self::M3 => "32 stages that wait 0.2 s, and one that copies from all of them",
            Self::M4 => "200 Dockerfiles that share their base and a stage",
            Self::M5a => "a RUN that writes 1 GiB in one file",
            Self::M5b => "a RUN that writes 50,000 files of 20 KiB",
            Self::M6 => "a Go program, for a second machine whose store is empty",
            Self::M7 => "a COPY of 20,000 files, 210 MB",
            Self::M9 => "16 steps of 0.2 s, for a kill in the middle",
        }
    }

    /// The images that its stages start from.
    pub fn bases(self) -> &'static [&'static str] {
        use dockerfiles::{BUSYBOX, DEBIAN, GOLANG};
        match self {
            Self::M1Small | Self::M1Big => &[GOLANG, BUSYBOX, DEBIAN],
            Self::M2 | Self::M3 | Self::M5a | Self::M5b | Self::M7 | Self::M9 => &[BUSYBOX],
            Self::M4 => &[DEBIAN],
            Self::M6 => &[GOLANG],
        }
    }

    /// Writes it as `path`, where nothing may be yet.
    pub fn generate(self, path: &Path, scale: &Scale) -> Result<(), Error> {
        let mut folder = Folder::create(path)?;
        match self {
            Self::M4 => fleet(&mut folder, scale)?,
            Self::M1Small => three_stages(&mut folder, scale, false)?,
            Self::M1Big => {
                three_stages(&mut folder, scale, true)?;
                files::write(&mut folder, "data", scale.seed, scale.wide_files())?;
            }
            Self::M2 => folder.file("Dockerfile", dockerfiles::chain(CHAIN))?,
            Self::M3 => folder.file("Dockerfile", dockerfiles::fan(FAN))?,
            Self::M5a => generated(&mut folder, &format!("one /data/large {}", scale.large_bytes()))?,
            Self::M5b => {
                generated(&mut folder, &format!("many /data/small {} {SMALL_BYTES}", scale.small_files()))?;
            }
            Self::M6 => {
                go::write(&mut folder, scale.seed)?;
                with_dockerfile(&mut folder, &dockerfiles::two_machines())?;
            }
            Self::M7 => {
                files::write(&mut folder, "data", scale.seed, scale.wide_files())?;
                with_dockerfile(&mut folder, &dockerfiles::wide_copy())?;
            }
            Self::M9 => folder.file("Dockerfile", dockerfiles::interrupted(INTERRUPTED))?,
        }
        folder.finish()
    }
}

impl FromStr for Workload {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|workload| workload.name() == text);
        found.ok_or_else(|| Error::UnknownWorkload(text.to_owned()))
    }
}

/// The folder's name of a fleet's member.
pub fn member(index: usize) -> String {
    format!("image{index:03}")
}

/// A Dockerfile that is no part of the context it builds.
fn with_dockerfile(folder: &mut Folder, text: &str) -> Result<(), Error> {
    folder.file(".dockerignore", "Dockerfile\n")?;
    folder.file("Dockerfile", text)
}

fn three_stages(folder: &mut Folder, scale: &Scale, data: bool) -> Result<(), Error> {
    go::write(folder, scale.seed)?;
    for index in 0..ASSETS {
        let bytes = Random::new(scale.seed, &format!("asset {index}")).mixed(4096);
        folder.file(&format!("static/asset{index:02}.txt"), bytes)?;
    }
    with_dockerfile(folder, &dockerfiles::three_stages(data))
}

fn fleet(folder: &mut Folder, scale: &Scale) -> Result<(), Error> {
    let mut random = Random::new(scale.seed, "lock file");
    let mut lock = String::new();
    for index in 0..PACKAGES {
        let (major, minor) = (random.between(1, 9), random.between(0, 30));
        let _infallible = writeln!(lock, "package{index:03} {major}.{minor}");
    }
    for index in 0..scale.images {
        let name = member(index);
        let own = Random::new(scale.seed, &name).mixed(8192 + index);
        // Times differ as they do between repositories, so that nothing can lean on them being equal.
        let by = Duration::from_secs(u64::try_from(index).unwrap_or(0));
        folder.younger_file(&format!("{name}/Dockerfile"), dockerfiles::member(index), by)?;
        folder.younger_file(&format!("{name}/own.txt"), own, by)?;
        folder.file(&format!("{name}/packages.lock"), &lock)?;
    }
    Ok(())
}

fn generated(folder: &mut Folder, words: &str) -> Result<(), Error> {
    folder.program("datagen", datagen::compile()?)?;
    with_dockerfile(folder, &dockerfiles::generated(words))
}

#[cfg(test)]
mod tests;
