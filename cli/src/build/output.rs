//! `--output`: where the result goes.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use farm_client::Destination;
use farm_model::Reference;
use farm_proto::client::{self, Compression, Form};

use crate::build::Arguments;
use crate::failure::Failure;
use crate::paths;

/// One destination.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Output {
    pub(super) destination: Destination,
    /// What the coordinator is asked for.
    pub(super) wanted: client::Output,
}

/// What is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// An OCI layout, as a tar or with `tar=false` as a directory.
    Oci,
    /// The file system into a directory.
    Local,
    /// The file system as a tar.
    Tar,
    /// A tar that `docker load` reads; without a destination a container engine takes it at once.
    Docker,
    /// A name in a registry.
    Registry,
    /// Nothing leaves the farm.
    Image,
}

/// Reads `type=…,dest=…`, `-` or a directory's path.
pub(super) fn parse(text: &str) -> Result<Output, Failure> {
    let invalid = |reason: String| Failure::usage(format!("`--output {text}`: {reason}"));
    if text == "-" {
        return Ok(Output::new(text, Kind::Tar, Destination::Stdout));
    }
    if text.is_empty() {
        return Err(invalid("expected `type=…,dest=…`, a directory or `-`".into()));
    }
    if !text.contains('=') {
        return Ok(Output::new(text, Kind::Local, Destination::Directory(PathBuf::from(text))));
    }
    let (mut kind, mut dest, mut tar) = (None, None, true);
    let (mut compression, mut rewrite_timestamp, mut epoch) = (Compression::Gzip, false, None);
    let (mut level, mut names, mut push) = (None, Vec::new(), false);
    for field in text.split(',') {
        let (name, value) =
            field.split_once('=').ok_or_else(|| invalid("expected NAME=VALUE fields".into()))?;
        let truth = || boolean(value).ok_or_else(|| invalid(format!("`{field}`: expected true or false")));
        match name {
            "type" => kind = Some(kind_of(value).map_err(invalid)?),
            "dest" | "destination" => dest = Some(value),
            "tar" => tar = truth()?,
            "rewrite-timestamp" => rewrite_timestamp = truth()?,
            "compression" => compression = compression_of(value).map_err(invalid)?,
            "compression-level" => {
                let number = value.parse().map_err(|_| invalid(format!("`{field}`: expected a number")))?;
                level = Some(number);
            }
            "name" => names.push(reference(value).map_err(invalid)?),
            "push" => push = truth()?,
            // What is the case anyway may be said.
            "oci-mediatypes" if truth()? => {}
            "force-compression" if !truth()? => {}
            "oci-mediatypes" => return Err(invalid("farm writes OCI media types only".into())),
            "force-compression" => return Err(invalid("layers of a base keep their bytes".into())),
            "source-date-epoch" => {
                let seconds = Some(value).filter(|value| !value.is_empty()).map(str::parse).transpose();
                epoch = seconds.map_err(|_| invalid(format!("`{field}`: expected seconds")))?;
            }
            other => return Err(invalid(format!("unknown field `{other}`; there are {FIELDS}"))),
        }
    }
    let kind = kind.ok_or_else(|| invalid("`type` is missing".into()))?;
    let kind = if push && kind == Kind::Image { Kind::Registry } else { kind };
    if push && kind != Kind::Registry {
        return Err(invalid("`push` goes with `type=image`".into()));
    }
    check_level(compression, level).map_err(invalid)?;
    let directory = kind == Kind::Local || (kind == Kind::Oci && !tar);
    let destination = match dest {
        Some(_) if kind.stays_remote() => return Err(invalid("`dest` does not go with this type".into())),
        None if kind.stays_remote() => Destination::Remote,
        None if kind == Kind::Docker => Destination::Engine(paths::engine_socket()?),
        _ if kind == Kind::Docker && !tar => {
            return Err(invalid("a docker archive is a tar; `type=oci` can be a directory".into()));
        }
        Some("") => return Err(invalid("`dest` is empty".into())),
        Some("-") if directory => return Err(invalid("a directory cannot go to standard output".into())),
        Some("-") if !directory => Destination::Stdout,
        Some(path) if directory => Destination::Directory(PathBuf::from(path)),
        Some(path) => Destination::File(PathBuf::from(path)),
        None => return Err(invalid("`dest` is missing".into())),
    };
    let Output { destination, wanted } = Output::new(text, kind, destination);
    let wanted = client::Output { compression, level, names, rewrite_timestamp, epoch, ..wanted };
    Ok(Output { destination, wanted })
}

/// Reads every `--output`, and `--push` and `--load`, which are some.
pub(super) fn all(arguments: &Arguments) -> Result<Vec<Output>, Failure> {
    let push = arguments.push.then_some("type=registry");
    let load = arguments.load.then_some("type=docker");
    let outputs = arguments.outputs.iter().map(String::as_str).chain(push).chain(load).map(parse);
    let outputs = outputs.collect::<Result<Vec<_>, _>>()?;
    let nameless = |output: &&Output| output.wanted.form == Form::Registry && output.wanted.names.is_empty();
    if let Some(output) = outputs.iter().find(nameless).filter(|_| arguments.tags.is_empty()) {
        let label = &output.wanted.label;
        return Err(Failure::usage(format!("`{label}`: the image has no name to be pushed under"))
            .with_hint(Some("give it one with `--tag registry.example/team/app:1`")));
    }
    Ok(outputs)
}

/// Names that outputs give to the image, which it gets in the farm as well.
pub(super) fn names(outputs: &[Output]) -> impl Iterator<Item = Reference> {
    let kept = outputs.iter().filter(|output| matches!(output.wanted.form, Form::Image | Form::Registry));
    kept.flat_map(|output| output.wanted.names.clone())
}

/// Finds out before the build what would keep its results from being written after it.
pub(super) fn check(arguments: &Arguments) -> Result<(), Failure> {
    let outputs = all(arguments)?;
    if arguments.detach && outputs.iter().any(|output| output.destination == Destination::Stdout) {
        return Err(Failure::usage("`--detach` does not go with standard output")
            .with_hint(Some("name a file with `dest=`")));
    }
    if let Some(path) = &arguments.metadata_file {
        check_file("metadata file", path)?;
    }
    check_destinations(&outputs, arguments.iidfile.as_deref())
}

fn check_destinations(outputs: &[Output], iidfile: Option<&Path>) -> Result<(), Failure> {
    for (index, output) in outputs.iter().enumerate() {
        let same = |other: &Output| other.destination == output.destination;
        if output.destination != Destination::Remote && outputs.iter().take(index).any(same) {
            return Err(Failure::usage("two outputs have the same destination"));
        }
        match &output.destination {
            Destination::File(path) => check_file("output", path)?,
            Destination::Directory(path) if path.exists() && !path.is_dir() => {
                return Err(Failure::environment(format!("output `{}` is not a directory", path.display())));
            }
            Destination::Stdout if std::io::stdout().is_terminal() => {
                return Err(Failure::usage("a tar is not written to a terminal")
                    .with_hint(Some("redirect standard output, or name a file with `dest=`")));
            }
            Destination::Engine(socket) => farm_client::output::engine::check(socket)?,
            Destination::Directory(_) | Destination::Stdout | Destination::Remote => {}
        }
    }
    iidfile.map_or(Ok(()), |path| check_file("iidfile", path))
}

fn check_file(what: &str, path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    if path.is_dir() {
        return Err(Failure::environment(format!("{what} `{shown}` is a directory")));
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if parent.is_dir() {
        return Ok(());
    }
    Err(Failure::environment(format!("{what} `{shown}`: there is no directory `{}`", parent.display()))
        .with_hint(Some("make the directory first")))
}

impl Output {
    fn new(text: &str, kind: Kind, destination: Destination) -> Self {
        let form = match kind {
            Kind::Oci => Form::OciArchive,
            Kind::Local | Kind::Tar => Form::FilesystemTar,
            Kind::Docker => Form::DockerArchive,
            Kind::Registry => Form::Registry,
            Kind::Image => Form::Image,
        };
        let wanted = client::Output {
            form,
            compression: Compression::Gzip,
            level: None,
            names: Vec::new(),
            rewrite_timestamp: false,
            epoch: None,
            label: text.to_owned(),
        };
        Self { destination, wanted }
    }
}

impl Kind {
    fn stays_remote(self) -> bool {
        matches!(self, Self::Registry | Self::Image)
    }
}

const FIELDS: &str =
    "type, dest, name, push, tar, compression, compression-level, rewrite-timestamp and source-date-epoch";

fn kind_of(text: &str) -> Result<Kind, String> {
    match text {
        "oci" => Ok(Kind::Oci),
        "local" => Ok(Kind::Local),
        "tar" => Ok(Kind::Tar),
        "docker" => Ok(Kind::Docker),
        "registry" => Ok(Kind::Registry),
        "image" => Ok(Kind::Image),
        other => Err(format!(
            "type `{other}` is not supported; there are image, registry, docker, oci, local and tar"
        )),
    }
}

fn reference(text: &str) -> Result<Reference, String> {
    let name: Reference = text.parse().map_err(|error| format!("`name={text}`: {error}"))?;
    if name.digest.is_some() { Err(format!("`name={text}`: a name cannot carry a digest")) } else { Ok(name) }
}

/// Refuses a level that the compressor does not have.
pub(crate) fn check_level(compression: Compression, level: Option<u8>) -> Result<(), String> {
    let (name, known) = match compression {
        Compression::Uncompressed if level.is_some() => {
            return Err("what is not compressed has no `compression-level`".to_owned());
        }
        Compression::Uncompressed => return Ok(()),
        Compression::Gzip => ("gzip", farm_oci::image::Compression::Gzip),
        Compression::Zstd => ("zstd", farm_oci::image::Compression::Zstd),
    };
    let highest = known.highest_level();
    match level {
        Some(level) if level > highest => {
            Err(format!("`compression-level={level}`: {name} has levels from 0 to {highest}"))
        }
        Some(_) | None => Ok(()),
    }
}

pub(crate) fn compression_of(text: &str) -> Result<Compression, String> {
    match text {
        "gzip" => Ok(Compression::Gzip),
        "zstd" => Ok(Compression::Zstd),
        "uncompressed" => Ok(Compression::Uncompressed),
        other => {
            Err(format!("compression `{other}` is not supported; there are gzip, zstd and uncompressed"))
        }
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_forms_are_those_of_docker() {
        assert_eq!(parse("-").unwrap().destination, Destination::Stdout);
        assert_eq!(parse("out").unwrap().destination, Destination::Directory("out".into()));
    }

    #[test]
    fn a_layout_is_a_tar_unless_told_otherwise() {
        assert_eq!(parse("type=oci,dest=a").unwrap().destination, Destination::File("a".into()));
        assert_eq!(
            parse("type=oci,dest=a,tar=false").unwrap().destination,
            Destination::Directory("a".into())
        );
    }

    #[test]
    fn an_image_that_is_pushed_goes_to_a_registry() {
        let form = |text| parse(text).unwrap().wanted.form;
        assert_eq!(form("type=image,name=a,push=true"), Form::Registry);
        assert_eq!(form("type=image"), Form::Image);
        assert_eq!(form("type=registry,name=r.example/a:1"), Form::Registry);
        let output = parse("type=docker,dest=a,name=b:1,compression=zstd,compression-level=19").unwrap();
        assert_eq!((output.wanted.form, output.wanted.level), (Form::DockerArchive, Some(19)));
        assert_eq!(output.wanted.names[0].familiar(), "b:1");
    }

    #[test]
    fn what_cannot_be_written_is_known_before_the_build() {
        let check = |texts: &[&str]| {
            check_destinations(&texts.iter().map(|text| parse(text).unwrap()).collect::<Vec<_>>(), None)
                .is_ok()
        };
        assert!(!check(&["type=oci,dest=/proc/no/a.tar"]));
        assert!(!check(&["type=tar,dest=/proc"]));
        assert!(!check(&["type=local,dest=/proc/self/status"]));
        assert!(!check(&["type=tar,dest=a", "type=oci,dest=a"]));
        assert!(check(&["type=tar,dest=a", "type=oci,dest=b", "c/d"]));
        assert!(check(&["type=image", "type=registry,name=a"]));
    }

    #[test]
    fn a_docker_archive_without_a_file_goes_to_the_engine() {
        let engine = |text| matches!(parse(text).unwrap().destination, Destination::Engine(_));
        assert!(engine("type=docker"));
        assert!(engine("type=docker,name=a:1,compression=uncompressed"));
        assert!(!engine("type=docker,dest=-"));
    }

    #[test]
    fn unknown_types_and_fields_are_refused() {
        for text in [
            "",
            "type=oci,dest=",
            "type=local,dest=-",
            "type=oci",
            "type=zip,dest=a",
            "type=oci,dest=a,x=1",
            "type=tar,tar",
            "type=registry,dest=a",
            "type=docker,dest=a,tar=false",
            "type=oci,dest=a,push=true",
            "type=oci,dest=a,compression=gzip,compression-level=10",
            "type=oci,dest=a,compression=uncompressed,compression-level=1",
            "type=image,name=UPPER",
            "type=image,oci-mediatypes=false",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
