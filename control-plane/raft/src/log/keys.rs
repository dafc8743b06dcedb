//! Keys of the log store. Durable: changed only with the format number.

pub(super) const IDENTITY: &[u8] = b"m/identity";
pub(super) const VOTE: &[u8] = b"m/vote";
pub(super) const PURGED: &[u8] = b"m/purged";
const ENTRY: u8 = b'e';

/// The key of the entry at `index`; keys sort as indexes do.
pub(super) fn entry(index: u64) -> [u8; 9] {
    let mut key = [ENTRY; 9];
    key[1..].copy_from_slice(&index.to_be_bytes());
    key
}

/// Past the last possible entry.
pub(super) fn after_entries() -> [u8; 1] {
    [ENTRY + 1]
}

/// The index of the entry under `key`.
pub(super) fn index_of(key: &[u8]) -> Option<u64> {
    let index = key.strip_prefix(&[ENTRY])?.try_into().ok()?;
    Some(u64::from_be_bytes(index))
}
