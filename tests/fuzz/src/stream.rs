//! The config stream as a data node takes it: what is held is always one whole revision, and never an older one.
//!
//! An input is a script of messages. What must be held after each is known from a plain map beside it. A digest is right
//! or wrong as the line says: no mutation would ever find a right one. Records of the last-good files are read from the
//! same bytes.

use std::collections::BTreeMap;

use sluice_model::{Revision, RowHasher, StateDigest};
use sluice_proto::{
    raft::Table,
    sync::{Delta, Row, Tombstone},
};

use crate::{
    Target,
    holding::Holding,
    record,
    script::{lines, pair, word},
};

const CLUSTER: &str = "cluster";

/// The target.
pub const TARGET: Target = Target {
    name: "stream",
    run,
    seeds: Vec::new,
    words: &[
        "\nsnapshot g 5",
        "\nsnapshot h 1",
        "\nrow 1 a=1",
        "\nrow 3 a=2",
        "\nrow 99 a=1",
        "\ngone 1 a",
        "\nend right 1",
        "\nend wrong 1",
        "\ndelta right g 5 g 6",
        "\ndelta wrong g 5 g 6",
        "\ndelta right g 6 g 5",
        "\ndelta right g 5 h 6",
        "\ndelta short g 5 g 6",
        "\nlost",
        "18446744073709551615",
    ],
};

/// Rows by table and key.
type Rows = BTreeMap<(i32, Vec<u8>), Vec<u8>>;

/// Follows the messages of the script, and reads records from the bytes.
///
/// # Panics
/// When something else is held than the messages lead to.
pub fn run(input: &[u8]) {
    records(input);
    let mut node = Node { holding: Holding::empty(CLUSTER), rows: Rows::new(), revision: None, arriving: None };
    let (mut put, mut gone) = (Vec::new(), Vec::new());
    for (keyword, rest) in lines(input) {
        let mut rest = rest.as_str();
        match keyword.as_str() {
            "row" => put.push(row(rest)),
            "gone" => {
                let table = table(word(&mut rest));
                gone.push(Tombstone { table, key: rest.as_bytes().to_vec().into(), number: 0 });
            }
            "snapshot" => node.snapshot_start(revision(&mut rest)),
            "rows" => node.snapshot_rows(&std::mem::take(&mut put)),
            "end" => node.snapshot_end(&Digest::of(word(&mut rest)), rest.parse().unwrap_or(0)),
            "delta" => {
                let digest = Digest::of(word(&mut rest));
                let (from, to) = (revision(&mut rest), revision(&mut rest));
                node.delta(&digest, from, to, std::mem::take(&mut put), std::mem::take(&mut gone));
            }
            "lost" => {
                node.holding.forget_snapshot();
                node.arriving = None;
            }
            _ => {}
        }
        node.is_as_expected();
    }
}

fn row(text: &str) -> Row {
    let mut rest = text;
    let table = table(word(&mut rest));
    let (key, value) = pair(rest);
    Row { table, key: key.into_bytes().into(), number: 0, value: value.into_bytes().into() }
}

fn table(word: &str) -> i32 {
    word.parse().unwrap_or(Table::Plan as i32)
}

fn revision(rest: &mut &str) -> Revision {
    let generation = word(rest).to_owned();
    Revision::new(generation, word(rest).parse().unwrap_or(0))
}

/// What a message says of the rows that it leads to.
enum Digest {
    Right,
    Wrong,
    Short,
}

impl Digest {
    fn of(word: &str) -> Self {
        match word {
            "right" => Self::Right,
            "wrong" => Self::Wrong,
            _ => Self::Short,
        }
    }

    fn bytes(&self, right: StateDigest) -> Vec<u8> {
        let bytes = right.to_bytes();
        match self {
            Self::Right => bytes.to_vec(),
            Self::Wrong => bytes.map(|byte| !byte).to_vec(),
            Self::Short => bytes[..7].to_vec(),
        }
    }
}

struct Node {
    holding: Holding,
    rows: Rows,
    revision: Option<Revision>,
    arriving: Option<(Revision, Rows)>,
}

impl Node {
    fn snapshot_start(&mut self, revision: Revision) {
        let older =
            self.revision.as_ref().is_some_and(|held| held.same_generation(&revision) && revision.number < held.number);
        assert_eq!(self.holding.snapshot_start(revision.clone(), &[]).is_err(), older, "{revision:?}");
        self.arriving = (!older).then(|| (revision, Rows::new()));
    }

    fn snapshot_rows(&mut self, rows: &[Row]) {
        let taken = self.holding.snapshot_rows(rows);
        let Some((_, arriving)) = &mut self.arriving else { return assert!(taken.is_err(), "rows without a start") };
        // Those before the first that is unknown are in, and cost nothing: a digest decides in the end.
        for row in rows.iter().take_while(|row| Table::try_from(row.table).is_ok()) {
            arriving.insert((row.table, row.key.to_vec()), row.value.to_vec());
        }
    }

    fn snapshot_end(&mut self, digest: &Digest, count: u64) {
        let Some((revision, rows)) = self.arriving.take() else {
            return assert!(self.holding.snapshot_end(&[0; 16], count).is_err(), "an end without a start");
        };
        let bytes = digest.bytes(digest_of(&rows, &revision));
        let right = matches!(digest, Digest::Right) && count == rows.len() as u64;
        assert_eq!(self.holding.snapshot_end(&bytes, count).is_ok(), right);
        if right {
            (self.rows, self.revision) = (rows, Some(revision));
        }
    }

    fn delta(&mut self, digest: &Digest, from: Revision, to: Revision, rows: Vec<Row>, tombstones: Vec<Tombstone>) {
        let known = |table: i32| Table::try_from(table).is_ok();
        let decodes = rows.iter().all(|row| known(row.table)) && tombstones.iter().all(|gone| known(gone.table));
        let follows = self.revision.as_ref() == Some(&from) && to.same_generation(&from) && to.number >= from.number;
        let mut next = self.rows.clone();
        for row in &rows {
            next.insert((row.table, row.key.to_vec()), row.value.to_vec());
        }
        for gone in &tombstones {
            next.remove(&(gone.table, gone.key.to_vec()));
        }
        let bytes = digest.bytes(digest_of(&next, &to));
        let (from, to_message) = (Some((&from).into()), Some((&to).into()));
        let message = Delta { from, to: to_message, rows, tombstones, digest: bytes.into(), last: true };
        let right = matches!(digest, Digest::Right) && follows && decodes;
        let taken = self.holding.delta(&message);
        assert_eq!(taken.is_ok(), right, "{taken:?} of {message:?}");
        if right {
            (self.rows, self.revision) = (next, Some(to));
        }
    }

    fn is_as_expected(&self) {
        assert_eq!(self.holding.revision(), self.revision.as_ref());
        assert_eq!(self.holding.rows().len(), self.rows.len());
        if let Some(revision) = &self.revision {
            assert_eq!(self.holding.digest(), digest_of(&self.rows, revision));
        }
        let mut held = Rows::new();
        for (table, row) in self.holding.rows().share() {
            held.insert((table as i32, row.key().to_vec()), row.value().to_vec());
        }
        assert_eq!(held, self.rows);
    }
}

fn digest_of(rows: &Rows, revision: &Revision) -> StateDigest {
    let (hasher, mut digest) = (RowHasher::new(CLUSTER, &revision.generation), StateDigest::default());
    for ((table, key), value) in rows {
        if let Ok(table) = Table::try_from(*table) {
            digest.add(hasher.row(table, key, value));
        }
    }
    digest
}

/// What is read is what was written, and nothing else: whole records, then an end.
fn records(input: &[u8]) {
    let mut written = Vec::new();
    let payloads: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    for (number, payload) in payloads.iter().enumerate() {
        record::write(&mut written, number as u64, payload).expect("a payload of a fuzzer is short");
    }
    let torn = written.len() - usize::from(input.first().copied().unwrap_or(0)).min(written.len());
    let mut reader = &written[..torn];
    let mut read = 0;
    while let Some(record) = record::read(&mut reader).expect("memory is read without an error") {
        assert_eq!((record.number, record.payload.as_slice()), (read as u64, payloads[read]));
        read += 1;
    }
    assert!(torn < written.len() || read == payloads.len(), "whole records are read");
    let mut wild = input;
    while let Ok(Some(_)) = record::read(&mut wild) {}
}
