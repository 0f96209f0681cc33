//! `--output`: where the result goes.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// One destination.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Output {
    pub(super) kind: Kind,
    pub(super) destination: Destination,
    /// `compression=uncompressed|gzip`; gzip when absent.
    pub(super) compression: Compression,
    /// Whether file times are clamped to `SOURCE_DATE_EPOCH`.
    pub(super) rewrite_timestamp: bool,
    /// `source-date-epoch=`: seconds since the Unix epoch in place of the build's own.
    pub(super) epoch: Option<i64>,
}

/// What is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// An OCI layout, as a tar or with `tar=false` as a directory.
    Oci,
    /// The file system into a directory.
    Local,
    /// The file system as a tar.
    Tar,
}

/// How layers are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Compression {
    Uncompressed,
    Gzip,
}

/// Where it is written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Destination {
    File(PathBuf),
    Directory(PathBuf),
    Stdout,
}

/// Reads `type=…,dest=…`, `-` or a directory's path.
pub(super) fn parse(text: &str) -> Result<Output, Failure> {
    let invalid = |reason: String| Failure::usage(format!("`--output {text}`: {reason}"));
    if text == "-" {
        return Ok(Output::new(Kind::Tar, Destination::Stdout));
    }
    if text.is_empty() {
        return Err(invalid("expected `type=…,dest=…`, a directory or `-`".into()));
    }
    if !text.contains('=') {
        return Ok(Output::new(Kind::Local, Destination::Directory(PathBuf::from(text))));
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
    Ok(Output { compression, rewrite_timestamp, epoch, ..Output::new(kind, destination) })
}

/// Finds out before the build what would keep its results from being written after it.
pub(super) fn check(outputs: &[Output], iidfile: Option<&Path>) -> Result<(), Failure> {
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
    /// What an image is put together for when only its id is wanted.
    pub(super) fn stdout() -> Self {
        Self::new(Kind::Oci, Destination::Stdout)
    }

    fn new(kind: Kind, destination: Destination) -> Self {
        Self { kind, destination, compression: Compression::Gzip, rewrite_timestamp: false, epoch: None }
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
        assert_eq!(parse("out").unwrap().kind, Kind::Local);
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
            check(&texts.iter().map(|text| parse(text).unwrap()).collect::<Vec<_>>(), None).is_ok()
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
