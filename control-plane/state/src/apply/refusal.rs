//! Refusals: lost preconditions, which are normal and replicated.

use sluice_proto::raft::{Rejected, rejected::Code};

use crate::keys::RowId;

/// The way of a command: on, or to a refusal.
pub(super) type Flow<T = ()> = Result<T, Box<Rejected>>;

/// A refusal without a row.
pub(super) fn refuse<T>(code: Code, message: impl Into<String>) -> Flow<T> {
    Err(Box::new(Rejected { code: code as i32, message: message.into(), ..Rejected::default() }))
}

/// A refusal because of `row`.
pub(super) fn refuse_row<T>(code: Code, row: &RowId, message: impl Into<String>) -> Flow<T> {
    let rejected =
        Rejected { code: code as i32, message: message.into(), row: Some(row.to_ref()), ..Rejected::default() };
    Err(Box::new(rejected))
}

/// A refusal of `row` because of `other`.
pub(super) fn refuse_for<T>(code: Code, row: &RowId, other: &RowId, message: impl Into<String>) -> Flow<T> {
    let mut refusal = refuse_row::<T>(code, row, message);
    if let Err(rejected) = &mut refusal {
        rejected.other = Some(other.to_ref());
    }
    refusal
}

pub(super) fn invalid<T>(message: impl Into<String>) -> Flow<T> {
    refuse(Code::Invalid, message)
}

pub(super) fn not_found<T>(row: &RowId) -> Flow<T> {
    refuse_row(Code::NotFound, row, format!("expected {} to exist, found nothing", describe(row)))
}

/// A row in words, for messages.
pub(super) fn describe(row: &RowId) -> String {
    format!("{} {}", row.table.as_str_name().trim_start_matches("TABLE_").to_lowercase(), row.parts().join("/"))
}
