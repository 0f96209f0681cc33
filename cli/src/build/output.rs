//! `--output`: where the result goes.

use std::path::PathBuf;

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
    if !text.contains('=') {
        return Ok(Output::new(Kind::Local, Destination::Directory(PathBuf::from(text))));
    }
    let (mut kind, mut dest, mut tar) = (None, None, true);
    let (mut compression, mut rewrite_timestamp, mut epoch) = (Compression::Gzip, false, None);
    for field in text.split(',') {
        let (name, value) =
            field.split_once('=').ok_or_else(|| invalid("expected NAME=VALUE fields".into()))?;
        match name {
            "type" => {
                kind = Some(kind_of(value).ok_or_else(|| {
                    invalid(format!("type `{value}` is not supported; there are oci, local and tar"))
                })?)
            }
            "dest" | "destination" => dest = Some(value),
            "tar" => {
                tar = boolean(value).ok_or_else(|| invalid(format!("`{field}`: expected true or false")))?
            }
            "rewrite-timestamp" => {
                rewrite_timestamp =
                    boolean(value).ok_or_else(|| invalid(format!("`{field}`: expected true or false")))?;
            }
            "source-date-epoch" => {
                let seconds = Some(value).filter(|value| !value.is_empty()).map(str::parse).transpose();
                epoch = seconds.map_err(|_| invalid(format!("`{field}`: expected seconds")))?;
            }
            "compression" => {
                compression = match value {
                    "gzip" => Compression::Gzip,
                    "uncompressed" => Compression::Uncompressed,
                    other => {
                        return Err(invalid(format!(
                            "compression `{other}` is not supported; there are gzip and uncompressed"
                        )));
                    }
                }
            }
            other => {
                return Err(invalid(format!(
                    "unknown field `{other}`; there are type, dest, tar, compression, rewrite-timestamp and source-date-epoch"
                )));
            }
        }
    }
    let kind = kind.ok_or_else(|| invalid("`type` is missing".into()))?;
    let directory = kind == Kind::Local || (kind == Kind::Oci && !tar);
    let destination = match dest {
        Some("-") if !directory => Destination::Stdout,
        Some(path) if directory => Destination::Directory(PathBuf::from(path)),
        Some(path) => Destination::File(PathBuf::from(path)),
        None => return Err(invalid("`dest` is missing".into())),
    };
    Ok(Output { compression, rewrite_timestamp, epoch, ..Output::new(kind, destination) })
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

fn kind_of(text: &str) -> Option<Kind> {
    match text {
        "oci" => Some(Kind::Oci),
        "local" => Some(Kind::Local),
        "tar" => Some(Kind::Tar),
        _ => None,
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
    fn unknown_types_and_fields_are_refused() {
        for text in ["type=oci", "type=zip,dest=a", "type=oci,dest=a,x=1", "type=tar,tar"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
