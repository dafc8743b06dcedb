//! One record of a backup: its kind, length, checksum and bytes.

use sluice_model::limits;

/// First bytes of every backup.
pub(crate) const MAGIC: &[u8; 7] = b"SLUICEB";
/// The format that this release writes and reads.
pub(crate) const FORMAT: u8 = 1;
/// Kind 1, length 4, checksum 16.
pub(crate) const HEAD_BYTES: usize = 21;
/// Bytes of rows in one record before they are compressed, about.
pub(crate) const ROWS_BYTES: usize = 256 * 1024;
/// Bytes of the payload of one record, most: rows about to fill one, and one row more; not much less when they do not
/// compress at all.
pub(crate) const PAYLOAD_BYTES_MAX: usize = ROWS_BYTES + limits::BACKUP_ROW_BYTES_MAX + 64 * 1024;

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Header = b'H' as isize,
    Rows = b'R' as isize,
    End = b'E' as isize,
}

impl Kind {
    pub(crate) fn of(byte: u8) -> Option<Self> {
        [Self::Header, Self::Rows, Self::End].into_iter().find(|kind| kind.byte() == byte)
    }

    pub(crate) fn byte(self) -> u8 {
        self as u8
    }
}

/// The first bytes of a record.
pub(crate) fn head(kind: Kind, payload: &[u8]) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[0] = kind.byte();
    let length = u32::try_from(payload.len()).expect("payloads are bounded far below 4 GiB");
    head[1..5].copy_from_slice(&length.to_le_bytes());
    let checksum = checksum(&head[..5], payload);
    head[5..].copy_from_slice(&checksum);
    head
}

/// Over kind, length and payload.
pub(crate) fn checksum(kind_and_length: &[u8], payload: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(kind_and_length).update(payload);
    let mut checksum = [0; 16];
    hasher.finalize_xof().fill(&mut checksum);
    checksum
}
