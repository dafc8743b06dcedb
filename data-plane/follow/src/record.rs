//! Records of the last-good files: length, revision number, checksum, bytes.
//!
//! Promise: a record that was cut or changed anywhere is not read. Absent: what the bytes mean.

use std::io::{self, Read, Write};

/// Length 4, number 8, checksum 8.
const HEADER: usize = 20;

/// Bytes of one record, at most: a longer delta is kept as a new base instead.
pub(crate) const RECORD_BYTES_MAX: usize = 32 * 1024 * 1024;

/// One record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The revision that it leads to, or belongs to.
    pub(crate) number: u64,
    pub(crate) payload: Vec<u8>,
    /// Its length with its header.
    pub(crate) stored_bytes: u64,
}

/// Writes a record; returns its length with its header.
pub(crate) fn write(out: &mut impl Write, number: u64, payload: &[u8]) -> io::Result<u64> {
    let too_long = || io::Error::other("a record is longer than the files allow");
    let len = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= RECORD_BYTES_MAX).ok_or_else(too_long)?;
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&len.to_le_bytes());
    header[4..12].copy_from_slice(&number.to_le_bytes());
    let checksum = checksum(&header[..12], payload);
    header[12..].copy_from_slice(&checksum);
    out.write_all(&header)?;
    out.write_all(payload)?;
    Ok((HEADER + payload.len()) as u64)
}

/// Reads a record; `None` at the end, and at anything that is not a whole record.
///
/// # Errors
/// Those of reading, but for an early end.
pub(crate) fn read(input: &mut impl Read) -> io::Result<Option<Record>> {
    let mut header = [0; HEADER];
    if !fill(input, &mut header)? {
        return Ok(None);
    }
    let part = |from: usize| <[u8; 8]>::try_from(&header[from..from + 8]).expect("eight bytes");
    let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    if len > RECORD_BYTES_MAX {
        return Ok(None);
    }
    let mut payload = vec![0; len];
    if !fill(input, &mut payload)? || part(12) != checksum(&header[..12], &payload) {
        return Ok(None);
    }
    Ok(Some(Record { number: u64::from_le_bytes(part(4)), payload, stored_bytes: (HEADER + len) as u64 }))
}

fn checksum(header: &[u8], payload: &[u8]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(header).update(payload);
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    first
}

/// Fills `buffer`; false when the input ends first.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match input.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, 7, b"payload").unwrap();
        bytes
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let bytes = written();
        let record = read(&mut &bytes[..]).unwrap().unwrap();
        assert_eq!((record.number, &*record.payload, record.stored_bytes), (7, &b"payload"[..], bytes.len() as u64));
    }

    #[test]
    fn a_record_cut_at_any_byte_is_not_read() {
        let bytes = written();
        for len in 0..bytes.len() {
            assert_eq!(read(&mut &bytes[..len]).unwrap(), None, "{len}");
        }
    }

    #[test]
    fn a_record_with_any_bit_flipped_is_not_read() {
        let bytes = written();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&mut &flipped[..]).unwrap(), None, "{bit}");
        }
    }
}
