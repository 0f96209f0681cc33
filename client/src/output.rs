//! Writing results where the command line says.
//!
//! What comes is a tar, in parts. Nothing stands under its final name before the last part said that it is whole; what is
//! unfinished vanishes, whatever the reason.

mod directory;
pub mod engine;
mod file;
mod layout;
mod parts;
mod tar;
mod torn;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use farm_proto::client::Form;
use farm_proto::session::{Answer, OutputPart};
use farm_transport::{Receiver, Sender};
use tokio::sync::mpsc;

pub(crate) use torn::Torn;

use crate::Error;
use crate::output::file::AtomicFile;
use crate::output::parts::{Part, Parts};
use crate::session::{failed, say};

/// Parts that may wait to be written.
const PARTS: usize = 8;

/// Where a result goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Destination {
    /// Into a file, as it comes.
    File(PathBuf),
    /// Into a directory, unpacked.
    Directory(PathBuf),
    /// Into the container engine that listens at this socket.
    Engine(PathBuf),
    /// To standard output, as it comes.
    Stdout,
    /// Nowhere here: the coordinator sees to it.
    Remote,
}

/// Writes what `receiver` brings, and says how that went.
pub(crate) async fn receive(
    form: Form,
    destination: &Destination,
    torn: &Arc<Torn>,
    sender: Sender,
    mut receiver: Receiver,
) -> Result<(), Error> {
    let (parts, coming) = mpsc::channel(PARTS);
    let writing = async {
        if let Destination::Engine(socket) = destination {
            return engine::load(socket.clone(), coming).await;
        }
        let (destination, torn) = (destination.clone(), Arc::clone(torn));
        let writing =
            tokio::task::spawn_blocking(move || write(form, &destination, &torn, Parts::new(coming)));
        writing.await.map_err(|panic| Error::Panicked(panic.to_string()))?
    };
    let feeding = async {
        let fed = feed(&mut receiver, &parts).await;
        drop(parts);
        fed
    };
    let (written, fed) = tokio::join!(writing, feeding);
    let answer = match written {
        Ok(bytes) => Answer::Written { bytes },
        Err(error) => failed(&error),
    };
    say(sender, answer).await?;
    if fed == Fed::InVain {
        // Whoever sends is not held up by what nobody writes any more, and then finds the answer.
        while let Some(OutputPart::Bytes(_)) = receiver.receive().await? {}
    }
    Ok(())
}

/// How far the parts of a result got.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fed {
    ToTheEnd,
    /// The writer stopped before.
    InVain,
}

async fn feed(receiver: &mut Receiver, parts: &mpsc::Sender<Part>) -> Fed {
    loop {
        let part = match receiver.receive::<OutputPart>().await {
            Ok(Some(OutputPart::Bytes(bytes))) => Part::Bytes(bytes),
            Ok(Some(OutputPart::Done)) => Part::Done,
            // The writer learns it by the end of its channel.
            Ok(Some(OutputPart::Failed) | None) | Err(_) => return Fed::ToTheEnd,
        };
        let last = matches!(part, Part::Done);
        if parts.send(part).await.is_err() {
            return if last { Fed::ToTheEnd } else { Fed::InVain };
        }
        if last {
            return Fed::ToTheEnd;
        }
    }
}

/// Writes a result to its end; gives how many bytes came.
fn write(form: Form, destination: &Destination, torn: &Torn, mut parts: Parts) -> Result<u64, Error> {
    match (form, destination) {
        (_, Destination::File(path)) => to_file(path, &mut parts)?,
        (_, Destination::Stdout) => torn.write(&mut parts, &mut std::io::stdout().lock())?,
        (Form::OciArchive, Destination::Directory(path)) => layout::unpack(path, &mut parts)?,
        (Form::DockerArchive | Form::Registry | Form::Image, Destination::Directory(_))
        | (_, Destination::Remote | Destination::Engine(_)) => {
            return Err(Error::NotGiven { what: "directory for an output", name: format!("{form:?}") });
        }
        (Form::FilesystemTar, Destination::Directory(path)) => directory::unpack(path, &mut parts)?,
    }
    Ok(parts.taken())
}

fn to_file(path: &Path, parts: &mut Parts) -> Result<(), Error> {
    let mut file = AtomicFile::create(path)?;
    while let Some(bytes) = parts.next()? {
        file.write_all(&bytes).map_err(Error::io("write", path))?;
    }
    file.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(parts: Vec<Part>, path: &Path) -> Result<u64, Error> {
        let destination = Destination::File(path.to_owned());
        write(Form::FilesystemTar, &destination, &Torn::default(), Parts::of(parts))
    }

    #[test]
    fn a_file_appears_when_all_of_it_came_and_not_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.tar");
        let half = vec![Part::Bytes(b"half".to_vec())];
        assert!(matches!(written(half, &path), Err(Error::Unfinished)));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        let whole = vec![Part::Bytes(b"ha".to_vec()), Part::Bytes(b"lf".to_vec()), Part::Done];
        assert_eq!(written(whole, &path).unwrap(), 4);
        assert_eq!(std::fs::read(&path).unwrap(), b"half");
    }

    #[test]
    fn a_full_disk_is_an_error_that_names_the_file_and_says_what_to_do() {
        let whole = vec![Part::Bytes(b"half".to_vec()), Part::Done];
        let error = written(whole, Path::new("/dev/full")).unwrap_err();
        assert!(error.to_string().contains("`/dev/full`"), "{error}");
        assert!(error.hint().unwrap().contains("space"));
    }
}
