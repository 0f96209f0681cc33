//! Writes data at the speed of memory, for steps whose cost should be farm's and not the generator's.
//!
//! `farm-datagen one PATH BYTES` writes one file, `farm-datagen many DIRECTORY FILES BYTES` writes many of that size.
//! Half of every block is noise, half repeats a line; no two files are equal, and two runs write the same. It uses
//! nothing but the standard library, because `farm-workload` also compiles it by itself, statically, into a context.

use std::env;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::process::ExitCode;

/// Largest piece that is written at once.
const BLOCK: usize = 1 << 20;
/// Directories that many files are spread over.
const SPREAD: u64 = 250;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["one", path, bytes] => number(bytes).and_then(|bytes| one(path, bytes)),
        ["many", directory, files, bytes] => {
            number(files).and_then(|files| many(directory, files, number(bytes)?))
        }
        _ => Err(io::Error::other("expected `one PATH BYTES` or `many DIRECTORY FILES BYTES`")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _closed = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn number(text: &str) -> io::Result<u64> {
    text.parse().map_err(|_| io::Error::other(format!("`{text}` is not a number")))
}

fn one(path: &str, bytes: u64) -> io::Result<()> {
    let mut source = Source::default();
    let mut block = vec![0; BLOCK];
    let mut file = File::create(path)?;
    let mut left = bytes;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
        source.fill(&mut block[..length]);
        file.write_all(&block[..length])?;
        left -= length as u64;
    }
    Ok(())
}

fn many(directory: &str, files: u64, bytes: u64) -> io::Result<()> {
    let length = usize::try_from(bytes).ok().filter(|length| *length <= BLOCK);
    let length = length.ok_or_else(|| io::Error::other("files of more than 1 MiB: use `one`"))?;
    let mut source = Source::default();
    let mut block = vec![0; length];
    for index in 0..SPREAD.min(files) {
        fs::create_dir_all(format!("{directory}/d{index:03}"))?;
    }
    for index in 0..files {
        source.fill(&mut block);
        fs::write(format!("{directory}/d{:03}/f{index:06}", index % SPREAD), &block)?;
    }
    Ok(())
}

/// Where the bytes come from.
struct Source {
    state: u64,
    blocks: u64,
}

impl Default for Source {
    fn default() -> Self {
        Self { state: 0x2545_f491_4f6c_dd1d, blocks: 0 }
    }
}

impl Source {
    fn fill(&mut self, block: &mut [u8]) {
        let (noise, text) = block.split_at_mut(block.len() / 2);
        for piece in noise.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            piece.copy_from_slice(&bytes[..piece.len()]);
        }
        let line = format!("block {} of a field that was sown and not yet reaped\n", self.blocks);
        self.blocks += 1;
        for piece in text.chunks_mut(line.len()) {
            piece.copy_from_slice(&line.as_bytes()[..piece.len()]);
        }
    }

    /// Marsaglia's xorshift64: fast, and noise to any compressor.
    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}
