//! How long scans of a context take: `scan_time CONTEXT CACHE [ROUNDS]`. The first round reads what CACHE does not know.

use std::path::Path;
use std::time::Instant;

use farm_client::{Context, Error, dockerfile};

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, context, cache, rounds @ ..] = &arguments[..] else { return Ok(()) };
    let rounds = rounds.first().and_then(|text| text.parse().ok()).unwrap_or(5);
    let root = Path::new(context);
    let context = Context::new(root, dockerfile::ignore_patterns_of(root)?)?.remembered_in(cache.into());
    for _ in 0..rounds {
        let started = Instant::now();
        let scan = context.scan(&[String::new()])?;
        let took = started.elapsed();
        #[expect(clippy::print_stdout, reason = "it is what this program is for")]
        {
            println!("{} files, {} bytes: {took:?}", scan.files, scan.bytes);
        }
    }
    Ok(())
}
