//! `--output`: where the result goes.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use farm_client::Destination;
use farm_proto::client::{self, Compression, Form};

use crate::build::Arguments;
use crate::failure::Failure;

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
            "source-date-epoch" => {
                let seconds = Some(value).filter(|value| !value.is_empty()).map(str::parse).transpose();
                epoch = seconds.map_err(|_| invalid(format!("`{field}`: expected seconds")))?;
            }
            other => return Err(invalid(format!("unknown field `{other}`; there are {FIELDS}"))),
        }
    }
    let kind = kind.ok_or_else(|| invalid("`type` is missing".into()))?;
    let directory = kind == Kind::Local || (kind == Kind::Oci && !tar);
    let destination = match dest {
        Some("") => return Err(invalid("`dest` is empty".into())),
        Some("-") if directory => return Err(invalid("a directory cannot go to standard output".into())),
        Some("-") if !directory => Destination::Stdout,
        Some(path) if directory => Destination::Directory(PathBuf::from(path)),
        Some(path) => Destination::File(PathBuf::from(path)),
        None => return Err(invalid("`dest` is missing".into())),
    };
    let Output { destination, wanted } = Output::new(text, kind, destination);
    Ok(Output { destination, wanted: client::Output { compression, rewrite_timestamp, epoch, ..wanted } })
}

/// Reads every `--output`.
pub(super) fn all(arguments: &Arguments) -> Result<Vec<Output>, Failure> {
    arguments.outputs.iter().map(|text| parse(text)).collect()
}

/// Finds out before the build what would keep its results from being written after it.
pub(super) fn check(arguments: &Arguments) -> Result<(), Failure> {
    let outputs = all(arguments)?;
    if arguments.detach && outputs.iter().any(|output| output.destination == Destination::Stdout) {
        return Err(Failure::usage("`--detach` does not go with standard output")
            .with_hint(Some("name a file with `dest=`")));
    }
    check_destinations(&outputs, arguments.iidfile.as_deref())
}

fn check_destinations(outputs: &[Output], iidfile: Option<&Path>) -> Result<(), Failure> {
    for (index, output) in outputs.iter().enumerate() {
        if outputs.iter().take(index).any(|other| other.destination == output.destination) {
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
            Destination::Directory(_) | Destination::Stdout => {}
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
        };
        let wanted = client::Output {
            form,
            compression: Compression::Gzip,
            rewrite_timestamp: false,
            epoch: None,
            label: text.to_owned(),
        };
        Self { destination, wanted }
    }
}

const FIELDS: &str = "type, dest, tar, compression, rewrite-timestamp and source-date-epoch";

fn kind_of(text: &str) -> Result<Kind, String> {
    match text {
        "oci" => Ok(Kind::Oci),
        "local" => Ok(Kind::Local),
        "tar" => Ok(Kind::Tar),
        other => Err(format!("type `{other}` is not supported; there are oci, local and tar")),
    }
}

fn compression_of(text: &str) -> Result<Compression, String> {
    match text {
        "gzip" => Ok(Compression::Gzip),
        "uncompressed" => Ok(Compression::Uncompressed),
        other => Err(format!("compression `{other}` is not supported; there are gzip and uncompressed")),
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
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
