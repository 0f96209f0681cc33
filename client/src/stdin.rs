//! A context or Dockerfile that comes over standard input: `farm build -`.

use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::Error;

/// A tar header, and so what has to be seen to know one.
const TAR_HEADER: usize = 512;
const TAR_MAGIC: std::ops::Range<usize> = 257..262;

/// Larger Dockerfiles are refused before they are read whole.
const LARGEST_DOCKERFILE: u64 = 16 << 20;

/// What standard input held.
#[derive(Debug)]
pub enum Input {
    /// A tar, unpacked into this directory, which lives as long as the value.
    Context(tempfile::TempDir),
    /// Anything else: the text of a Dockerfile, which then has an empty context.
    Dockerfile(Vec<u8>),
}

/// Reads `input` to its end; a tar may be compressed with gzip, bzip2, xz or zstd.
pub fn read(input: impl Read) -> Result<Input, Error> {
    let mut input = BufReader::new(input);
    let start = peek(&mut input, TAR_HEADER).map_err(Error::Stdin)?;
    let whole = io::Cursor::new(start.clone()).chain(input);
    let reader: Box<dyn Read> = match start.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(whole)),
        [b'B', b'Z', b'h', ..] => Box::new(bzip2::read::MultiBzDecoder::new(whole)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Box::new(liblzma::read::XzDecoder::new_multi_decoder(whole)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::new(whole).map_err(Error::Stdin)?),
        plain if plain.get(TAR_MAGIC).is_some_and(|magic| magic == b"ustar") => Box::new(whole),
        _ => {
            let mut text = Vec::new();
            whole.take(LARGEST_DOCKERFILE + 1).read_to_end(&mut text).map_err(Error::Stdin)?;
            if text.len() as u64 > LARGEST_DOCKERFILE {
                return Err(Error::TooLarge { path: "-".into(), limit: LARGEST_DOCKERFILE });
            }
            return Ok(Input::Dockerfile(text));
        }
    };
    let directory = tempfile::Builder::new().prefix("farm-context-").tempdir().map_err(Error::Stdin)?;
    unpack(reader, directory.path()).map_err(Error::Stdin)?;
    Ok(Input::Context(directory))
}

fn unpack(reader: impl Read, directory: &Path) -> io::Result<()> {
    let mut archive = tar::Archive::new(reader);
    archive.set_preserve_permissions(true);
    archive.set_preserve_mtime(true);
    archive.unpack(directory)
}

fn peek(input: &mut impl Read, count: usize) -> io::Result<Vec<u8>> {
    let mut start = Vec::with_capacity(count);
    input.take(count as u64).read_to_end(&mut start)?;
    Ok(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_a_dockerfile() {
        assert!(
            matches!(read(b"FROM scratch".as_slice()).unwrap(), Input::Dockerfile(text) if text == b"FROM scratch")
        );
    }

    #[test]
    fn a_tar_is_a_context() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(2);
        header.set_mode(0o600);
        header.set_cksum();
        builder.append_data(&mut header, "a/b", b"hi".as_slice()).unwrap();
        let tar = builder.into_inner().unwrap();
        let Input::Context(directory) = read(tar.as_slice()).unwrap() else { panic!("it is a tar") };
        assert_eq!(std::fs::read(directory.path().join("a/b")).unwrap(), b"hi");
    }
}
