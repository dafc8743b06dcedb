//! Whole snapshots: all visible rows of one view, in chunks.

use prost::Message;
use sluice_model::{Revision, limits};
use sluice_proto::sync::{FromControl, Row, SnapshotEnd, SnapshotRows, SnapshotStart, from_control::Kind};
use tokio::sync::{mpsc, oneshot};

use super::{
    deltas::wire_row,
    differing::{HeldTables, differing},
};
use crate::source::{Blocking, Source};

/// Chunks that were read and wait to be sent.
const READ_AHEAD: usize = 1;

/// A snapshot that is being read.
pub(super) struct Reading {
    pub(super) revision: Revision,
    /// Its messages, from start to end.
    pub(super) messages: mpsc::Receiver<FromControl>,
}

/// Begins to read a snapshot: on a blocking thread, which ends when the receiver is dropped, or here to its end. Of a data
/// node that has said what it holds, only the tables that differ are read.
pub(super) async fn read<S: Source>(source: &S, copy: Option<HeldTables>) -> Reading {
    let (told, revision) = oneshot::channel();
    let messages = match source.blocking() {
        Blocking::Aside => {
            let (sender, messages) = mpsc::channel(READ_AHEAD);
            let source = source.clone();
            tokio::task::spawn_blocking(move || {
                read_all(&source, copy, told, |kind| sender.blocking_send(FromControl { kind: Some(kind) }).is_ok());
            });
            messages
        }
        Blocking::Here => {
            let mut all = Vec::new();
            read_all(source, copy, told, |kind| {
                all.push(FromControl { kind: Some(kind) });
                true
            });
            let (sender, messages) = mpsc::channel(all.len().max(1));
            // As many fit as there are.
            all.into_iter().for_each(|message| drop(sender.try_send(message)));
            messages
        }
    };
    // A thread that panicked told nothing: then there is no snapshot, and no message of one.
    let revision = revision.await.unwrap_or_else(|_| Revision::new("", 0));
    Reading { revision, messages }
}

/// Tells the revision of a view, then hands its rows to `send`, from start to end, until that says false.
fn read_all<S: Source>(
    source: &S,
    copy: Option<HeldTables>,
    told: oneshot::Sender<Revision>,
    mut send: impl FnMut(Kind) -> bool,
) {
    let view = source.view();
    let revision = view.revision();
    if told.send(revision.clone()).is_err() {
        return;
    }
    let only = copy.and_then(|copy| differing(&view, &copy)).unwrap_or_default();
    let tables = only.iter().map(|table| *table as i32).collect();
    if !send(Kind::SnapshotStart(SnapshotStart { revision: Some((&revision).into()), tables })) {
        return;
    }
    let (mut rows, mut bytes, mut count): (Vec<Row>, usize, u64) = (Vec::new(), 0, 0);
    for row in view.visible_rows().filter(|row| only.is_empty() || only.contains(&row.table)) {
        let row = wire_row(row);
        let row_bytes = row.encoded_len();
        if bytes + row_bytes > limits::STREAM_CHUNK_BYTES_MAX && !rows.is_empty() {
            bytes = 0;
            if !send(Kind::SnapshotRows(SnapshotRows { rows: std::mem::take(&mut rows) })) {
                return;
            }
        }
        bytes += row_bytes;
        count += 1;
        rows.push(row);
    }
    if !rows.is_empty() && !send(Kind::SnapshotRows(SnapshotRows { rows })) {
        return;
    }
    let digest = view.digest().to_bytes().to_vec().into();
    send(Kind::SnapshotEnd(SnapshotEnd { revision: Some((&revision).into()), digest, rows: count }));
}
