//! The audit trail: who did what.
//!
//! Promise: a call that was carried out leaves its entry in the very command that it caused, so that there is no change
//! without one and no entry without the change. Calls that were refused have a table and a bound of their own: they push
//! out nothing but each other. Data nodes see none of it, and the number does not move. Absent: who is audited; a command
//! without a call leaves no entry.

use prost::Message;
use sluice_model::limits;
use sluice_proto::raft::{AuditEntry, RecordCalls, Stamp, StoredRow, Table};

use super::{
    refusal::{Flow, invalid},
    run::Run,
};
use crate::{
    keys::{self, RowId},
    rows,
    tables::Tables,
};

/// What an entry says of a call that was carried out.
pub(crate) const DONE: &str = "done";

/// The key of the `nth` entry that the command at `log_index` made.
pub(crate) fn key(log_index: u64, nth: usize) -> String {
    format!("{log_index:016x}.{nth:02x}")
}

/// The log index of the command that made the entry under `key`.
fn log_index_of(key: &[u8]) -> u64 {
    let digits = key.get(..16).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

impl<T: Tables> Run<'_, '_, T> {
    /// Makes an entry of the call that caused this command, which is done; none where it names no call.
    pub(super) fn audit(&mut self, stamp: &Stamp) {
        let Some(call) = &stamp.audit else { return };
        let entry = AuditEntry {
            actor: stamp.actor.clone(),
            call: Some(call.clone()),
            request_id: stamp.request.as_ref().map(|request| request.id.clone()).unwrap_or_default(),
            number: self.progress.number,
            outcome: DONE.to_owned(),
            time_ms: self.stamp_ms,
            ..AuditEntry::default()
        };
        // The entries that a command records have the numbers before.
        self.keep_entry(limits::RECORDED_CALLS_MAX, &entry);
    }

    /// Keeps entries of calls that caused no command.
    pub(super) fn record_calls(&mut self, record: &RecordCalls) -> Flow {
        let most = limits::RECORDED_CALLS_MAX;
        if record.entries.len() > most {
            return invalid(format!("expected at most {most} calls, found {}", record.entries.len()));
        }
        // What an entry says beside the call is an actor and a few numbers.
        let bytes_max = limits::AUDIT_CALL_BYTES_MAX + 2 * limits::ACTOR_BYTES_MAX;
        if record.entries.iter().any(|entry| entry.encoded_len() > bytes_max) {
            return invalid(format!("expected entries of at most {bytes_max} bytes"));
        }
        for (nth, entry) in record.entries.iter().enumerate() {
            self.keep_entry(nth, entry);
        }
        Ok(())
    }

    fn keep_entry(&mut self, nth: usize, entry: &AuditEntry) {
        let table = if entry.outcome == DONE { Table::Audit } else { Table::RefusedCall };
        let id = RowId::of_parts(table, &[key(self.version, nth)]);
        let document = entry.encode_to_vec().into();
        let row = StoredRow { version: self.version, document, ..StoredRow::default() };
        self.draft.put(keys::row(&id), row.encode_to_vec());
        *self.entries(table) += 1;
        let most = if table == Table::Audit { self.bounds.audit_rows_max } else { self.bounds.refused_rows_max };
        let excess = self.entries(table).saturating_sub(most);
        self.drop_entries(table, usize::try_from(excess).unwrap_or(usize::MAX), |_| true);
    }

    /// Removes entries that have aged, of each table the oldest first and at most `most`.
    pub(super) fn trim_audit(&mut self, most: usize) {
        let stamp_ms = self.stamp_ms;
        for table in [Table::Audit, Table::RefusedCall] {
            self.drop_entries(table, most, |entry| has_aged(entry, stamp_ms));
        }
    }

    /// Removes the oldest entries of a table while `goes` says so, at most `most`.
    fn drop_entries(&mut self, table: Table, most: usize, goes: impl Fn(&AuditEntry) -> bool) {
        if most == 0 {
            return;
        }
        let (from, to) = span(table, &self.progress);
        let oldest = self.draft.scan(&from, &to).take(most);
        let gone: Vec<Vec<u8>> = oldest.take_while(|(_, row)| goes(&entry_of(row))).map(|(key, _)| key).collect();
        let Some(last) = gone.last().and_then(|key| keys::row_of(key)) else { return };
        *self.entries(table) -= gone.len() as u64;
        let from = log_index_of(&last.key);
        if table == Table::Audit {
            self.progress.audit_from = from;
        } else {
            self.progress.refused_from = from;
        }
        for key in gone {
            self.draft.delete(key);
        }
    }

    fn entries(&mut self, table: Table) -> &mut u64 {
        if table == Table::Audit { &mut self.progress.audit_rows } else { &mut self.progress.refused_rows }
    }
}

/// Where the entries of a table stand: from the oldest on, so that a scan does not pass over those that have gone.
pub(crate) fn span(table: Table, progress: &sluice_proto::raft::Progress) -> (Vec<u8>, Vec<u8>) {
    let from = if table == Table::Audit { progress.audit_from } else { progress.refused_from };
    let (start, end) = keys::rows_below(table, &[]);
    if from == 0 { (start, end) } else { (keys::row(&RowId::new(table, format!("{from:016x}"))), end) }
}

/// The entry of a stored row.
pub(crate) fn entry_of(row: &[u8]) -> AuditEntry {
    let row: StoredRow = rows::decode(row.to_vec().into());
    rows::decode(row.document)
}

/// Whether an entry is kept no longer at `now_ms`.
pub(crate) fn has_aged(entry: &AuditEntry, now_ms: u64) -> bool {
    entry.time_ms.saturating_add(limits::AUDIT_MS_MAX) <= now_ms
}
