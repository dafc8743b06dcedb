//! Writing a backup, row by row.

use std::io::Write;

use prost::Message;
use sluice_proto::raft::{BackupEnd, BackupHeader, BackupRow, BackupRows};

use crate::{
    Damage,
    record::{FORMAT, Kind, MAGIC, PAYLOAD_BYTES_MAX, ROWS_BYTES, head},
};

/// zstd's default: rows are small documents of much the same shape.
const COMPRESSION: i32 = 3;

/// A backup that is being written.
pub struct Writer<W: Write> {
    out: W,
    digest: blake3::Hasher,
    waiting: BackupRows,
    waiting_bytes: usize,
    rows: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a backup of what `header` says.
    ///
    /// # Errors
    /// Those of writing.
    pub fn begin(out: W, header: &BackupHeader) -> Result<Self, Damage> {
        let mut writer =
            Self { out, digest: blake3::Hasher::new(), waiting: BackupRows::default(), waiting_bytes: 0, rows: 0 };
        writer.put(MAGIC)?;
        writer.put(&[FORMAT])?;
        writer.record(Kind::Header, &header.encode_to_vec())?;
        Ok(writer)
    }

    /// Adds the next row: rows come in the order of tables and keys.
    ///
    /// # Errors
    /// Those of writing.
    pub fn row(&mut self, row: BackupRow) -> Result<(), Damage> {
        self.waiting_bytes += row.key.len() + row.row.len();
        self.waiting.rows.push(row);
        self.rows += 1;
        if self.waiting_bytes >= ROWS_BYTES { self.flush() } else { Ok(()) }
    }

    /// Ends the backup; returns how many rows it has, and the digest that stands at its end.
    ///
    /// # Errors
    /// Those of writing.
    pub fn finish(mut self) -> Result<(W, BackupEnd), Damage> {
        self.flush()?;
        let digest = self.digest.finalize().as_bytes().to_vec().into();
        let end = BackupEnd { rows: self.rows, digest };
        self.record(Kind::End, &end.encode_to_vec())?;
        self.out.flush()?;
        Ok((self.out, end))
    }

    fn flush(&mut self) -> Result<(), Damage> {
        if self.waiting.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.waiting).encode_to_vec();
        self.waiting_bytes = 0;
        let payload = zstd::bulk::compress(&rows, COMPRESSION)?;
        self.record(Kind::Rows, &payload)
    }

    fn record(&mut self, kind: Kind, payload: &[u8]) -> Result<(), Damage> {
        assert!(payload.len() <= PAYLOAD_BYTES_MAX, "rows of the state are within its bounds");
        self.put(&head(kind, payload))?;
        self.put(payload)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Damage> {
        self.digest.update(bytes);
        Ok(self.out.write_all(bytes)?)
    }
}
