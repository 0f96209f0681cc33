//! Recordings: written while a farm is watched, read to play it again.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Cursor, Read, Seek, SeekFrom, Write as _};
use std::path::Path;

use farm_model::event::recording::{self, HEADER, LONGEST};
use farm_model::event::{FarmEvent, FarmRecorded};
use farm_model::{BuildEvent, BuildId, Recorded};

use crate::failure::Failure;

/// Bytes of an event's record that hold its version and its time.
const HEAD: usize = 1 + 8;

/// A recording that grows.
#[derive(Debug)]
pub(super) struct Recorder {
    file: BufWriter<File>,
}

impl Recorder {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(HEADER)?;
        Ok(Self { file })
    }

    pub(super) fn write(&mut self, event: &FarmRecorded) -> io::Result<()> {
        self.file.write_all(&recording::frame(event))
    }

    /// Has what was written reach the file.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

trait Source: Read + Seek + Send {}
impl<T: Read + Seek + Send> Source for T {}

/// A recording that is read from its start, again and again.
pub(super) struct Tape {
    source: Box<dyn Source>,
    /// The times of the first and the last event.
    first: i64,
    last: i64,
    /// Where the next event begins.
    position: u64,
    /// Behind the last whole event.
    end: u64,
    /// Whether the recording ends within an event.
    pub(super) is_cut: bool,
}

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tape").field("first", &self.first).field("last", &self.last).finish_non_exhaustive()
    }
}

impl Tape {
    /// Opens the recording in a file.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::usage(format!("cannot read `{}`: {error}", path.display()));
        let file = File::open(path).map_err(failed)?;
        Self::read(Box::new(BufReader::with_capacity(1 << 16, file))).map_err(failed)?.ok_or_else(|| {
            Failure::usage(format!("`{}` is no recording of `farm top`", path.display()))
                .with_hint(Some("`farm top --record FILE` makes one"))
        })
    }

    /// The log of a build as if a farm with nothing else had been watched.
    pub(super) fn of_build(build: BuildId, events: &[Recorded], version: &str) -> Result<Self, Failure> {
        let requested = events.iter().find_map(|recorded| {
            if let BuildEvent::Requested(requested) = &recorded.event { Some(requested.time) } else { None }
        });
        let started = requested.unwrap_or_default();
        let mut bytes = HEADER.to_vec();
        let mut add = |time, event| bytes.extend_from_slice(&recording::frame(&FarmRecorded { time, event }));
        add(started, FarmEvent::Began { farm: format!("build {build}"), version: version.to_owned() });
        add(started, FarmEvent::CaughtUp);
        for (sequence, recorded) in (0..).zip(events) {
            let at = i64::try_from(recorded.at).unwrap_or(i64::MAX).saturating_mul(1000);
            let recorded = recorded.clone();
            add(started.saturating_add(at), FarmEvent::Build { build, sequence, recorded });
        }
        match Self::read(Box::new(Cursor::new(bytes))) {
            Ok(Some(tape)) => Ok(tape),
            Ok(None) | Err(_) => Err(Failure::unexpected()),
        }
    }

    fn read(mut source: Box<dyn Source>) -> io::Result<Option<Self>> {
        let mut header = vec![0; HEADER.len()];
        match source.read_exact(&mut header) {
            Ok(()) if header == HEADER => {}
            Ok(()) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let mut tape = Self {
            source,
            first: 0,
            last: 0,
            position: length(HEADER.len()),
            end: length(HEADER.len()),
            is_cut: false,
        };
        tape.scan()?;
        tape.rewind()?;
        Ok(Some(tape))
    }

    /// Finds out where and when it ends, by the heads of its events.
    fn scan(&mut self) -> io::Result<()> {
        let whole = self.source.seek(SeekFrom::End(0))?;
        self.source.seek(SeekFrom::Start(self.end))?;
        let mut first = None;
        while let Some((time, size)) = self.head()? {
            let next = self.end.saturating_add(size);
            if next > whole {
                break;
            }
            self.first = *first.get_or_insert(time);
            (self.end, self.last) = (next, self.last.max(time));
        }
        self.is_cut = self.end < whole;
        Ok(())
    }

    /// Time and size of the next event, which is passed by; none at the end or at a cut.
    fn head(&mut self) -> io::Result<Option<(i64, u64)>> {
        let mut head = [0; 4 + HEAD];
        match self.source.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let (size, time) = (u32::from_be_bytes([head[0], head[1], head[2], head[3]]), &head[5..]);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if !(HEAD..=LONGEST).contains(&size) {
            return Ok(None);
        }
        let Ok(time) = <[u8; 8]>::try_from(time) else { return Ok(None) };
        self.source.seek_relative(i64::try_from(size - HEAD).unwrap_or(i64::MAX))?;
        Ok(Some((i64::from_le_bytes(time), 4 + length(size))))
    }

    /// The times of its first and its last event.
    pub(super) fn span(&self) -> (i64, i64) {
        (self.first, self.last)
    }

    /// Goes to its start; the events from there on are what leads to any later point.
    pub(super) fn rewind(&mut self) -> io::Result<()> {
        self.position = length(HEADER.len());
        self.source.seek(SeekFrom::Start(self.position)).map(|_| ())
    }

    /// The next event, if it happened no later than `until`.
    pub(super) fn next(&mut self, until: i64) -> io::Result<Option<FarmRecorded>> {
        if self.position >= self.end {
            return Ok(None);
        }
        let mut size = [0; 4];
        self.source.read_exact(&mut size)?;
        let mut bytes = size.to_vec();
        let size = u32::from_be_bytes(size);
        self.source.by_ref().take(u64::from(size)).read_to_end(&mut bytes)?;
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "an event of it cannot be read");
        match recording::next(&bytes) {
            Ok(recording::Next::Event(event, read)) if event.time <= until => {
                self.position += length(read);
                Ok(Some(*event))
            }
            Ok(recording::Next::Event(_, read)) => {
                self.source.seek_relative(-i64::try_from(read).unwrap_or(i64::MAX))?;
                Ok(None)
            }
            Ok(recording::Next::Incomplete) | Err(_) => Err(malformed()),
        }
    }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(time: i64) -> FarmRecorded {
        FarmRecorded { time, event: FarmEvent::CaughtUp }
    }

    fn recording(count: i64) -> Vec<u8> {
        (0..count).fold(HEADER.to_vec(), |mut bytes, time| {
            bytes.extend_from_slice(&recording::frame(&event(time)));
            bytes
        })
    }

    fn tape(bytes: Vec<u8>) -> Option<Tape> {
        Tape::read(Box::new(Cursor::new(bytes))).unwrap()
    }

    fn rest(tape: &mut Tape, until: i64) -> Vec<i64> {
        std::iter::from_fn(|| tape.next(until).unwrap().map(|event| event.time)).collect()
    }

    #[test]
    fn a_tape_gives_events_up_to_a_time_and_begins_anew() {
        let mut tape = tape(recording(10_000)).unwrap();
        assert_eq!(tape.span(), (0, 9_999));
        assert_eq!(rest(&mut tape, 4_999).len(), 5_000);
        assert_eq!(rest(&mut tape, 5_001), [5_000, 5_001]);
        tape.rewind().unwrap();
        assert_eq!(rest(&mut tape, i64::MAX).len(), 10_000);
        assert!(!tape.is_cut);
    }

    #[test]
    fn a_tape_that_was_cut_is_played_up_to_the_cut() {
        let whole = recording(3);
        for cut in 1..10 {
            let mut tape = tape(whole[..whole.len() - cut].to_vec()).unwrap();
            assert_eq!(rest(&mut tape, i64::MAX), [0, 1], "{cut}");
            assert!(tape.is_cut);
        }
        assert!(tape(b"something else".to_vec()).is_none());
        assert!(tape(Vec::new()).is_none());
    }
}
