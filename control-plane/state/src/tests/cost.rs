//! What a command costs: rows read and written, so that one change does not touch what did not change.

use std::cell::Cell;

use sluice_proto::raft::{Command, Table, row_change::Kind};

use super::cluster::*;
use crate::{
    Draft, MemoryTables, Rows, Tables,
    apply::{Bounds, apply_within},
};

/// Tables that count what is read from them.
struct Counted<'a> {
    tables: &'a MemoryTables,
    gets: Cell<usize>,
    scans: Cell<usize>,
    scanned: Cell<usize>,
}

impl Tables for Counted<'_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.gets.set(self.gets.get() + 1);
        self.tables.get(key)
    }

    fn scan<'a>(&'a self, from: &[u8], to: &[u8]) -> Rows<'a> {
        self.scans.set(self.scans.get() + 1);
        Box::new(self.tables.scan(from, to).inspect(|_| self.scanned.set(self.scanned.get() + 1)))
    }

    fn scan_back<'a>(&'a self, from: &[u8], to: &[u8]) -> Rows<'a> {
        self.scans.set(self.scans.get() + 1);
        self.tables.scan_back(from, to)
    }
}

/// Rows read one by one, scans, rows scanned, rows written.
fn cost(cluster: &Cluster, command: &Command) -> [usize; 4] {
    let tables = Counted { tables: &cluster.tables, gets: Cell::new(0), scans: Cell::new(0), scanned: Cell::new(0) };
    let mut draft = Draft::new(&tables);
    done(apply_within(Bounds::PRODUCT, &mut draft, cluster.index + 1, command).outcome);
    let written = draft.into_writes().len();
    [tables.gets.get(), tables.scans.get(), tables.scanned.get(), written]
}

#[test]
fn a_new_key_reads_and_writes_few_rows_and_scans_none() {
    let mut cluster = Cluster::founded();
    cluster.done((0..100).map(|n| key(&format!("k{n}"), n, true)).collect());
    let request = request(cluster.now_ms, 1, 1);
    let create = stamped(change(vec![key("new", 200, true)]), cluster.now_ms, Some(request));
    let [gets, scans, _, written] = cost(&cluster, &create);
    assert!(gets <= 16 && scans == 0 && written <= 9, "{gets} gets, {scans} scans, {written} writes");
}

#[test]
fn one_changed_method_among_a_thousand_touches_its_part_only() {
    let mut cluster = Cluster::founded();
    let mut rows = vec![put(Table::RestApi, &["a1"], b"api")];
    for number in 0..1_000 {
        let id = format!("r{number}");
        rows.push(put(Table::Resource, &["a1", &id], format!("resource {number}").as_bytes()));
        rows.push(put(Table::Method, &["a1", &id, "GET"], format!("method {number}").as_bytes()));
    }
    rows.push(deploy("a1", "d1", Some("prod")));
    cluster.done(rows);
    let edit = put(Table::Method, &["a1", "r500", "GET"], b"changed");
    let edit: Vec<Kind> = vec![edit, deploy("a1", "d2", Some("prod"))];
    let [gets, scans, scanned, written] = cost(&cluster, &stamped(change(edit), cluster.now_ms, None));
    // 64 parts are counted twice at most, and the thirty or so entries of one part.
    assert!(gets <= 400 && scanned <= 4 && written <= 150, "{gets} gets, {scans} scans, {written} writes");
}
