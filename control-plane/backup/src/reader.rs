//! Reading a backup, record by record.

use std::io::{self, Read};

use prost::Message;
use sluice_proto::raft::{BackupEnd, BackupHeader, BackupRow, BackupRows};

use crate::{
    Damage,
    record::{FORMAT, HEAD_BYTES, Kind, MAGIC, PAYLOAD_BYTES_MAX, checksum},
};

/// What a whole backup turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Its first record.
    pub header: BackupHeader,
    /// Its last record.
    pub end: BackupEnd,
    /// Its length.
    pub bytes: u64,
}

/// A backup that is being read.
pub struct Reader<R: Read> {
    input: R,
    header: BackupHeader,
    digest: blake3::Hasher,
    /// Bytes taken, and where the record at hand begins.
    taken: u64,
    offset: u64,
    record: u64,
    last: Option<(i32, Vec<u8>)>,
    rows: u64,
    end: Option<BackupEnd>,
}

impl<R: Read> Reader<R> {
    /// Reads as far as the header.
    ///
    /// # Errors
    /// `NotABackup`, `Format`, or what is wrong with the header.
    pub fn open(input: R) -> Result<Self, Damage> {
        let mut reader = Self {
            input,
            header: BackupHeader::default(),
            digest: blake3::Hasher::new(),
            taken: 0,
            offset: 0,
            record: 0,
            last: None,
            rows: 0,
            end: None,
        };
        let mut magic = [0; MAGIC.len() + 1];
        if reader.take(&mut magic)? != magic.len() || magic[..MAGIC.len()] != MAGIC[..] {
            return Err(Damage::NotABackup);
        }
        if magic[MAGIC.len()] != FORMAT {
            return Err(Damage::Format { expected: FORMAT, found: magic[MAGIC.len()] });
        }
        let (kind, payload, _) = reader.next_record()?;
        if kind != Kind::Header {
            return Err(reader.broken("expected the header first, found another record"));
        }
        reader.header = reader.decoded(&payload)?;
        reader.record += 1;
        Ok(reader)
    }

    /// What the backup is of.
    pub fn header(&self) -> &BackupHeader {
        &self.header
    }

    /// The next rows, in the order of tables and keys; `None` after the last, when the whole file has been found to be as it
    /// was written.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn rows(&mut self) -> Result<Option<Vec<BackupRow>>, Damage> {
        if self.end.is_some() {
            return Ok(None);
        }
        let (kind, payload, before) = self.next_record()?;
        let rows = match kind {
            Kind::Header => return Err(self.broken("expected rows or the end, found another header")),
            Kind::Rows => Some(self.unpacked(&payload)?),
            Kind::End => {
                self.ended(&payload, before)?;
                None
            }
        };
        self.record += 1;
        Ok(rows)
    }

    /// Reads on to the end; returns what the backup is.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn verify(mut self) -> Result<Summary, Damage> {
        while self.rows()?.is_some() {}
        let end = self.end.expect("the rows have ended, so the end was read");
        Ok(Summary { header: self.header, end, bytes: self.taken })
    }

    /// The last record; `None` until all rows were read.
    pub fn end(&self) -> Option<&BackupEnd> {
        self.end.as_ref()
    }

    fn unpacked(&mut self, payload: &[u8]) -> Result<Vec<BackupRow>, Damage> {
        let unpacked = zstd::bulk::decompress(payload, PAYLOAD_BYTES_MAX);
        let unpacked = unpacked.map_err(|error| self.broken(&format!("expected compressed rows, found {error}")))?;
        let rows = self.decoded::<BackupRows>(&unpacked)?.rows;
        for row in &rows {
            let key = (row.table, row.key.to_vec());
            if self.last.as_ref().is_some_and(|last| *last >= key) {
                return Err(self.broken("expected rows in the order of tables and keys, found one before another"));
            }
            self.last = Some(key);
        }
        self.rows += rows.len() as u64;
        Ok(rows)
    }

    fn ended(&mut self, payload: &[u8], digest: blake3::Hash) -> Result<(), Damage> {
        let end: BackupEnd = self.decoded(payload)?;
        if end.rows != self.rows {
            return Err(self.broken(&format!("expected {} rows, found {}", end.rows, self.rows)));
        }
        if end.digest != digest.as_bytes()[..] {
            return Err(self.broken("expected the digest of what stands before the end, found another"));
        }
        if self.take(&mut [0])? != 0 {
            return Err(self.broken("expected nothing after the end, found more bytes"));
        }
        self.end = Some(end);
        Ok(())
    }

    /// The next record, and the digest of what stands before it.
    fn next_record(&mut self) -> Result<(Kind, Vec<u8>, blake3::Hash), Damage> {
        self.offset = self.taken;
        let before = self.digest.finalize();
        let mut head = [0; HEAD_BYTES];
        let found = self.take(&mut head)?;
        if found != HEAD_BYTES {
            return Err(self.broken(&format!("expected a record, found the end of the file after {found} bytes of it")));
        }
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let kind = Kind::of(head[0]).filter(|_| length <= PAYLOAD_BYTES_MAX);
        let Some(kind) = kind else {
            return Err(self.broken("expected the kind and length of a record, found other bytes"));
        };
        let mut payload = vec![0; length];
        let found = self.take(&mut payload)?;
        if found != length {
            return Err(self.broken(&format!("expected {length} bytes, found the end of the file after {found}")));
        }
        if checksum(&head[..5], &payload) != head[5..] {
            return Err(self.broken("expected bytes of its checksum, found others"));
        }
        Ok((kind, payload, before))
    }

    /// Fills `into` as far as the input goes; returns how far.
    fn take(&mut self, into: &mut [u8]) -> Result<usize, Damage> {
        let mut filled = 0;
        while filled < into.len() {
            match self.input.read(&mut into[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.digest.update(&into[..filled]);
        self.taken += filled as u64;
        Ok(filled)
    }

    fn decoded<M: Message + Default>(&self, bytes: &[u8]) -> Result<M, Damage> {
        M::decode(bytes).map_err(|error| self.broken(&format!("expected a message, found {error}")))
    }

    fn broken(&self, problem: &str) -> Damage {
        Damage::Broken { offset: self.offset, record: self.record, problem: problem.to_owned() }
    }
}
