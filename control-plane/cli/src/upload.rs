//! Sending a file in chunks, with a bar that shows how far it is.

use std::{io::Read as _, path::Path, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use sluice_model::limits::IMPORT_BYTES_MAX;

use crate::{failure::Failure, output::Output};

/// Bytes of one chunk; a few fill the connection's window.
const CHUNK_BYTES: usize = 256 * 1024;
/// How often the bar is drawn.
const TICK: Duration = Duration::from_millis(100);

/// The bytes of a file; `-` is stdin.
///
/// # Errors
/// When it cannot be read, or is larger than an import may be.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file of the largest size from a larger one.
    let most = u64::try_from(IMPORT_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    read.map_err(|failure| Failure::file(path, &failure))?;
    if bytes.len() > IMPORT_BYTES_MAX {
        return Err(Failure::failed(format!("{}: expected at most {IMPORT_BYTES_MAX} bytes", path.display())));
    }
    Ok(bytes)
}

/// The chunks of a file as messages of a stream, `start` first.
pub(crate) fn messages<M>(start: M, bytes: &[u8], chunk: impl Fn(Vec<u8>) -> M) -> Vec<M> {
    let chunks = bytes.chunks(CHUNK_BYTES).map(|part| chunk(part.to_vec()));
    std::iter::once(start).chain(chunks).collect()
}

/// A bar for people; invisible for scripts.
pub(crate) fn bar(output: Output) -> ProgressBar {
    if !output.shows_progress() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg:12} {wide_bar} {pos}/{len} {elapsed}");
    let bar = ProgressBar::new(0).with_style(style.expect("the template is one of ours"));
    bar.enable_steady_tick(TICK);
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_in_chunks_after_its_start() {
        let sizes = messages(0, &vec![1; CHUNK_BYTES + 1], |chunk| chunk.len());
        assert_eq!(sizes, [0, CHUNK_BYTES, 1]);
        assert_eq!(messages(0, &[], |chunk| chunk.len()), [0]);
    }

    #[test]
    fn a_missing_file_is_named() {
        let failure = read(Path::new("/nowhere/pets.yaml")).unwrap_err();
        assert!(failure.message.starts_with("/nowhere/pets.yaml: "), "{}", failure.message);
    }
}
