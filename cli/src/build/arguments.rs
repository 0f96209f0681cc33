//! The command line of `farm build`: what `docker build` users already type.

use std::path::PathBuf;

const NOTES: &str = "\
Examples:
  farm build -t shop:1 -o type=oci,dest=shop.tar .     an image as an OCI archive
  farm build -t registry.example/shop:1 --push .       an image in a registry
  farm build -t shop:1 --load .                        an image for `docker run`
  farm build --target test .                           run one stage and what it needs
  farm build -o out .                                  the files of the last stage
  farm build --build-arg V=2 --secret id=npm,src=npmrc .
  git archive HEAD | farm build -q -                   a context from standard input
  farm build --plan .                                  what would run, and why
  farm build -t shop:1 --max-size 200MB --max-growth 5% --push .

Ctrl-C leaves the build, which ends unless somebody else waits for it.

Exit codes:
  0 built; 1 the build failed; 2 wrong usage or Dockerfile; 3 registry, disk, permission or
  network; 70 a bug of farm; 130 interrupted

Files:
  /etc/farm/farm.toml, ~/.config/farm/farm.toml        registries, mirrors, limits (FARM_CONFIG)
  /var/lib/farm                                        results of all builds (FARM_STATE_DIR)
  /run/farm                                            what runs right now (FARM_RUNTIME_DIR)";

/// Arguments of `farm build`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = NOTES)]
#[expect(clippy::struct_excessive_bools, reason = "a command line's switches are independent of each other")]
pub(crate) struct Arguments {
    /// Name of the image, `name[:tag]`; may be given several times
    #[arg(short, long = "tag", value_name = "NAME")]
    pub(crate) tags: Vec<String>,

    /// Path of the Dockerfile, `-` for standard input [default: CONTEXT/Dockerfile]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// Stage to build [default: the last]
    #[arg(long, value_name = "STAGE")]
    pub(crate) target: Option<String>,

    /// Value of an ARG; without `=` it is taken from the environment
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    pub(crate) build_args: Vec<String>,

    /// Another source of files or images: a directory, `oci-layout://PATH[:TAG]` or `docker-image://NAME`
    #[arg(long = "build-context", value_name = "NAME=SOURCE")]
    pub(crate) build_contexts: Vec<String>,

    /// Label of the image
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub(crate) labels: Vec<String>,

    /// Use no cached result, and start with empty cache mounts
    #[arg(long)]
    pub(crate) no_cache: bool,

    /// Use no cached result of these stages
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    pub(crate) no_cache_filter: Vec<String>,

    /// A secret for `RUN --mount=type=secret`: `id=ID[,src=FILE|,env=NAME]`
    #[arg(long = "secret", value_name = "SPEC")]
    pub(crate) secrets: Vec<String>,

    /// An SSH agent for `RUN --mount=type=ssh`: `default` or `ID=SOCKET`
    #[arg(long = "ssh", value_name = "SPEC", num_args = 0..=1, default_missing_value = "default")]
    pub(crate) ssh: Vec<String>,

    /// A line for /etc/hosts of every RUN
    #[arg(long = "add-host", value_name = "NAME:ADDRESS")]
    pub(crate) add_hosts: Vec<String>,

    /// Network of every RUN that does not choose its own
    #[arg(long, value_name = "default|none|host", default_value = "default")]
    pub(crate) network: String,

    /// Size of /dev/shm, such as 64m
    #[arg(long, value_name = "SIZE")]
    pub(crate) shm_size: Option<String>,

    /// Resource limit of every RUN
    #[arg(long = "ulimit", value_name = "NAME=SOFT[:HARD]")]
    pub(crate) ulimits: Vec<String>,

    /// Platform of the image
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<String>,

    /// Ask the registry for every tag again
    #[arg(long)]
    pub(crate) pull: bool,

    /// How progress is shown
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub(crate) progress: crate::progress::Mode,

    /// Print nothing but the image's id
    #[arg(short, long, conflicts_with = "progress")]
    pub(crate) quiet: bool,

    /// Where the result goes: `type=registry|image|docker|oci|local|tar`, with `dest=PATH`, `name=NAME`,
    /// `compression=gzip|zstd|uncompressed` and others; may be given several times. A directory alone is `type=local`,
    /// `-` is a tar on standard output; without any, the result stays in the farm
    #[arg(short, long = "output", value_name = "SPEC")]
    pub(crate) outputs: Vec<String>,

    /// Push the image under its names; the same as `--output type=registry`
    #[arg(long)]
    pub(crate) push: bool,

    /// Load the image into the container engine at `DOCKER_HOST` or /var/run/docker.sock; the same as `--output type=docker`
    #[arg(long)]
    pub(crate) load: bool,

    /// File that receives digests and names of the image, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) metadata_file: Option<PathBuf>,

    /// File that receives the image's id, the digest of its configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) iidfile: Option<PathBuf>,

    /// Fail when the image weighs more than this, such as 200MB: its files unpacked, base included, as `farm images`
    /// shows it. Nothing is written, pushed or named then, and a table says what makes it heavy
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_size: Option<String>,

    /// Fail when the image weighs so much more than the one that has its name now: a size, or a part of it such as 5%
    #[arg(long, value_name = "SIZE|PERCENT%")]
    pub(crate) max_growth: Option<String>,

    /// Run nothing; show what would run, and why
    #[arg(long, conflicts_with_all = ["outputs", "push", "load", "iidfile", "metadata_file", "detach", "max_size", "max_growth"])]
    pub(crate) plan: bool,

    /// Build in the background; print the build's id and return
    #[arg(short, long, conflicts_with_all = ["quiet", "progress"])]
    pub(crate) detach: bool,

    #[command(flatten)]
    pub(crate) connection: crate::connection::Options,

    /// Directory whose files COPY and ADD read; `-` for a tar or a Dockerfile on standard input
    #[arg(value_name = "CONTEXT")]
    pub(crate) context: PathBuf,
}
