//! How rows are keyed in the ordered store.
//!
//! Every key begins with a byte that names its space, 1 to 12; the store may use the others for itself. Keys of tables
//! hold their table in one byte, numbers and times are big-endian, and what is followed by something else carries its
//! length, so that a scan of a prefix finds one thing only.

use sluice_model::part::join_key;
use sluice_proto::raft::{RowRef, Table};

/// How far the state machine has come.
pub(crate) const PROGRESS: &[u8] = &[1, 0];
/// What was decided when the cluster was founded.
pub(crate) const CLUSTER: &[u8] = &[1, 1];

const ROW: u8 = 2;
const CHANGE: u8 = 3;
const TOMBSTONE: u8 = 4;
const NAME: u8 = 5;
const UNIQUE: u8 = 6;
const REFERRER: u8 = 7;
const REF_COUNT: u8 = 8;
const UNREFERENCED: u8 = 9;
const REQUEST: u8 = 10;
const REQUEST_TIME: u8 = 11;
const STAGED: u8 = 12;

/// How far a restore is staged.
pub(crate) const STAGED_RESTORE: &[u8] = &[STAGED, 0];
/// Behind every row of the state.
pub(crate) const AFTER_ROWS: &[u8] = &[STAGED + 1];

/// Names one row of any table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowId {
    pub(crate) table: Table,
    /// The encoded key: parts joined by `/`, or a digest.
    pub(crate) key: Vec<u8>,
}

impl RowId {
    pub(crate) fn new(table: Table, key: impl Into<Vec<u8>>) -> Self {
        Self { table, key: key.into() }
    }

    pub(crate) fn of_parts<S: AsRef<str>>(table: Table, parts: &[S]) -> Self {
        Self { table, key: join_key(parts) }
    }

    /// The parts of the key; digests have none.
    pub(crate) fn parts(&self) -> Vec<String> {
        if matches!(self.table, Table::Part | Table::Content) {
            return Vec::new();
        }
        String::from_utf8_lossy(&self.key).split('/').map(str::to_owned).collect()
    }

    pub(crate) fn to_ref(&self) -> RowRef {
        RowRef { table: self.table as i32, key: self.parts() }
    }
}

fn in_table(space: u8, id: &RowId) -> Vec<u8> {
    let mut key = Vec::with_capacity(2 + id.key.len());
    key.extend_from_slice(&[space, id.table as u8]);
    key.extend_from_slice(&id.key);
    key
}

/// A row of a table.
pub(crate) fn row(id: &RowId) -> Vec<u8> {
    in_table(ROW, id)
}

/// The row that is stored under `key`; `None` for a key of another space.
pub(crate) fn row_of(key: &[u8]) -> Option<RowId> {
    match key {
        [ROW | TOMBSTONE | REF_COUNT, table, rest @ ..] => {
            Some(RowId::new(Table::try_from(i32::from(*table)).ok()?, rest))
        }
        _ => None,
    }
}

/// The number at which a row that data nodes saw went.
pub(crate) fn tombstone(id: &RowId) -> Vec<u8> {
    in_table(TOMBSTONE, id)
}

/// How often a row is referred to.
pub(crate) fn ref_count(id: &RowId) -> Vec<u8> {
    in_table(REF_COUNT, id)
}

/// An entry of the index of changes: the row that changed at `number`.
pub(crate) fn change(number: u64, id: &RowId) -> Vec<u8> {
    let mut key = Vec::with_capacity(10 + id.key.len());
    key.push(CHANGE);
    key.extend_from_slice(&number.to_be_bytes());
    key.push(id.table as u8);
    key.extend_from_slice(&id.key);
    key
}

/// Where the changes from `number` on begin.
pub(crate) fn changes_from(number: u64) -> Vec<u8> {
    let mut key = vec![CHANGE];
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// Where the index of changes ends.
pub(crate) fn changes_end() -> Vec<u8> {
    vec![CHANGE + 1]
}

/// The number and row of an entry of the index of changes.
pub(crate) fn change_of(key: &[u8]) -> Option<(u64, RowId)> {
    let rest = key.strip_prefix(&[CHANGE])?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let (table, key) = rest.split_first()?;
    Some((u64::from_be_bytes(*number), RowId::new(Table::try_from(i32::from(*table)).ok()?, key)))
}

/// The prefix of the rows of `table` that are called `name`; their keys follow.
pub(crate) fn names(table: Table, name: &str) -> Vec<u8> {
    let mut key = vec![NAME, table as u8];
    key.extend_from_slice(&(name.len() as u32).to_be_bytes());
    key.extend_from_slice(name.as_bytes());
    key
}

pub(crate) fn name(id: &RowId, name: &str) -> Vec<u8> {
    let mut key = names(id.table, name);
    key.extend_from_slice(&id.key);
    key
}

/// The row of `table` that holds `value`.
pub(crate) fn unique(table: Table, value: &[u8]) -> Vec<u8> {
    let mut key = vec![UNIQUE, table as u8];
    key.extend_from_slice(value);
    key
}

/// The prefix of the rows that refer to `to`; their table and key follow.
pub(crate) fn referrers(to: &RowId) -> Vec<u8> {
    let mut key = vec![REFERRER, to.table as u8];
    key.extend_from_slice(&(to.key.len() as u16).to_be_bytes());
    key.extend_from_slice(&to.key);
    key
}

pub(crate) fn referrer(to: &RowId, from: &RowId) -> Vec<u8> {
    let mut key = referrers(to);
    key.push(from.table as u8);
    key.extend_from_slice(&from.key);
    key
}

/// The referring row of an entry below `prefix`, as `referrers` made it.
pub(crate) fn referrer_of(prefix: &[u8], key: &[u8]) -> Option<RowId> {
    let (table, key) = key.strip_prefix(prefix)?.split_first()?;
    Some(RowId::new(Table::try_from(i32::from(*table)).ok()?, key))
}

/// A row of content or a part to which nothing has referred since `since_ms`.
pub(crate) fn unreferenced(since_ms: u64, id: &RowId) -> Vec<u8> {
    let mut key = unreferenced_from(since_ms);
    key.push(id.table as u8);
    key.extend_from_slice(&id.key);
    key
}

pub(crate) fn unreferenced_from(since_ms: u64) -> Vec<u8> {
    let mut key = vec![UNREFERENCED];
    key.extend_from_slice(&since_ms.to_be_bytes());
    key
}

pub(crate) fn unreferenced_of(key: &[u8]) -> Option<(u64, RowId)> {
    let rest = key.strip_prefix(&[UNREFERENCED])?;
    let (since, rest) = rest.split_first_chunk::<8>()?;
    let (table, key) = rest.split_first()?;
    Some((u64::from_be_bytes(*since), RowId::new(Table::try_from(i32::from(*table)).ok()?, key)))
}

/// An answered request.
pub(crate) fn request(actor: &str, id: &[u8; 16]) -> Vec<u8> {
    let mut key = vec![REQUEST];
    key.extend_from_slice(&(actor.len() as u16).to_be_bytes());
    key.extend_from_slice(actor.as_bytes());
    key.extend_from_slice(id);
    key
}

/// An answered request by its time; what follows the time is its key without the space.
pub(crate) fn request_time(time_ms: u64, request: &[u8]) -> Vec<u8> {
    let mut key = request_times_from(time_ms);
    key.extend_from_slice(&request[1..]);
    key
}

pub(crate) fn request_times_from(time_ms: u64) -> Vec<u8> {
    let mut key = vec![REQUEST_TIME];
    key.extend_from_slice(&time_ms.to_be_bytes());
    key
}

pub(crate) fn request_times_end() -> Vec<u8> {
    vec![REQUEST_TIME + 1]
}

/// The time and the key of the request of an entry of `request_time`.
pub(crate) fn request_time_of(key: &[u8]) -> Option<(u64, Vec<u8>)> {
    let (time, rest) = key.strip_prefix(&[REQUEST_TIME])?.split_first_chunk::<8>()?;
    let mut request = vec![REQUEST];
    request.extend_from_slice(rest);
    Some((u64::from_be_bytes(*time), request))
}

/// A piece of the rows of the staged restore.
pub(crate) fn staged_chunk(number: u32) -> Vec<u8> {
    let mut key = vec![STAGED, 1];
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// Where all that is staged begins and ends.
pub(crate) fn staged() -> (Vec<u8>, Vec<u8>) {
    (vec![STAGED], vec![STAGED + 1])
}

/// Where rows of tables begin and end.
pub(crate) fn all_rows() -> (Vec<u8>, Vec<u8>) {
    (vec![ROW], vec![ROW + 1])
}

/// What there is of `table` in each space that is ordered by tables: first and last-plus-one keys.
pub(crate) fn spaces_of(table: Table) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    [ROW, TOMBSTONE, NAME, UNIQUE, REF_COUNT].into_iter().map(move |space| {
        let from = vec![space, table as u8];
        let to = crate::tables::prefix_end(&from);
        (from, to)
    })
}

/// What is ordered by number or time, and is only of tables that data nodes see.
pub(crate) fn spaces_of_visible() -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    [CHANGE, UNREFERENCED].into_iter().map(|space| (vec![space], vec![space + 1]))
}

/// Where the index of referrers begins and ends.
pub(crate) fn all_referrers() -> (Vec<u8>, Vec<u8>) {
    (vec![REFERRER], vec![REFERRER + 1])
}

/// The table of the row that refers, of any entry of the index of referrers.
pub(crate) fn referring_table(key: &[u8]) -> Option<Table> {
    let rest = key.strip_prefix(&[REFERRER])?.get(1..)?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let table = rest.get(usize::from(u16::from_be_bytes(*length)))?;
    Table::try_from(i32::from(*table)).ok()
}

/// The first and the last-plus-one key of all rows of `table` whose key begins with `prefix`.
pub(crate) fn rows_below(table: Table, prefix: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let from = row(&RowId::new(table, prefix));
    let to = crate::tables::prefix_end(&from);
    (from, to)
}

/// The same for their reference counts.
pub(crate) fn ref_counts(table: Table) -> (Vec<u8>, Vec<u8>) {
    let from = ref_count(&RowId::new(table, []));
    let to = crate::tables::prefix_end(&from);
    (from, to)
}
