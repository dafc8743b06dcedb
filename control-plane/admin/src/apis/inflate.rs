//! Compressed imports, inflated within a bound.

use std::io::Read;

use crate::refused::Refused;

/// Inflates by the ending of the file's name: `.gz`, `.zst`, or as it is. Returns the name without the ending, too.
///
/// # Errors
/// `Invalid` when the bytes are not what the ending says, or more than `bytes_max` come out.
pub(super) fn inflated(bytes: Vec<u8>, file_name: &str, bytes_max: usize) -> Result<(Vec<u8>, String), Refused> {
    if let Some(name) = file_name.strip_suffix(".gz") {
        return Ok((bounded(flate2::read::MultiGzDecoder::new(&bytes[..]), bytes_max, "gzip")?, name.to_owned()));
    }
    if let Some(name) = file_name.strip_suffix(".zst") {
        let decoder = zstd::stream::read::Decoder::with_buffer(&bytes[..]).map_err(|error| broken("zstd", &error))?;
        return Ok((bounded(decoder, bytes_max, "zstd")?, name.to_owned()));
    }
    Ok((bytes, file_name.to_owned()))
}

fn bounded(decoder: impl Read, bytes_max: usize, form: &str) -> Result<Vec<u8>, Refused> {
    let mut out = Vec::new();
    // One byte more than fits tells a full file from one that goes on.
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(limit).read_to_end(&mut out).map_err(|error| broken(form, &error))?;
    if out.len() > bytes_max {
        return Err(too_large(bytes_max));
    }
    Ok(out)
}

/// The refusal of a file that is too large.
pub(super) fn too_large(bytes_max: usize) -> Refused {
    Refused::invalid("file", format!("expected at most {bytes_max} bytes of text, found more"), "split the api")
}

fn broken(form: &str, error: &std::io::Error) -> Refused {
    Refused::invalid(
        "file",
        format!("expected {form} as the file's name says: {error}"),
        "rename it, or compress it again",
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn files_are_inflated_by_their_ending_and_bounded() {
        let text = vec![b'a'; 10_000];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let gzip = gzip.finish().unwrap();
        let zst = zstd::stream::encode_all(&text[..], 1).unwrap();
        for (bytes, name) in [(gzip, "a.json.gz"), (zst, "a.json.zst"), (text.clone(), "a.json")] {
            assert_eq!(inflated(bytes.clone(), name, 10_000).unwrap(), (text.clone(), "a.json".to_owned()), "{name}");
            if name != "a.json" {
                assert!(inflated(bytes, name, 9_999).unwrap_err().message.contains("at most 9999"), "{name}");
            }
        }
        assert!(inflated(b"no".to_vec(), "a.gz", 10).is_err());
        assert!(inflated(b"no".to_vec(), "a.zst", 10).is_err());
    }
}
