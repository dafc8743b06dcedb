//! Copies that were written, cut, flipped and left over.

use sluice_compile::Rows;
use sluice_model::RowHasher;
use sluice_proto::raft::Table;

use super::*;
use crate::record;

const CLUSTER: &str = "cluster";

fn facts() -> Facts {
    Facts { cluster_id: CLUSTER.into(), lookup_key: [9; 32], control_addresses: vec!["127.0.0.1:7100".into()] }
}

/// A configuration whose rows say which revision they are of.
fn base(number: u64, rows: usize) -> BaseCopy {
    let mut store = RowStore::new(RowHasher::new(CLUSTER, "g"));
    for row in 0..rows {
        store.put(Table::Plan, StoredRow::new(format!("row{row}").as_bytes(), b"base").unwrap());
    }
    store.put(Table::Plan, StoredRow::new(b"number", number.to_string().as_bytes()).unwrap());
    BaseCopy::of(facts(), Revision::new("g", number), &store)
}

/// The delta that puts `number`; `rows` are what stands beside it.
fn delta(from: u64, to: u64, rows: usize) -> Delta {
    let digest = base(to, rows).digest;
    let revision = |number| Some(Revision::new("g", number).into());
    let row =
        Row { table: Table::Plan as i32, key: "number".into(), number: to, value: to.to_string().into_bytes().into() };
    Delta {
        from: revision(from),
        to: revision(to),
        rows: vec![row],
        tombstones: vec![],
        digest: digest.to_bytes().to_vec().into(),
        last: true,
    }
}

fn append(copy: &LastGood, delta: &Delta) {
    record::write(&mut copy.deltas().unwrap(), delta.to.as_ref().unwrap().number, &delta.encode_to_vec()).unwrap();
}

/// The number that a loaded copy is at, by its revision and by its rows.
fn number(loaded: Option<Loaded>) -> Option<u64> {
    let loaded = loaded?;
    let by_revision = loaded.holding.revision().unwrap().number;
    assert_eq!(loaded.holding.rows().get(Table::Plan, b"number").unwrap(), by_revision.to_string().as_bytes());
    Some(by_revision)
}

fn opened() -> (tempfile::TempDir, LastGood) {
    let folder = tempfile::tempdir().unwrap();
    let copy = LastGood::open(folder.path()).unwrap();
    (folder, copy)
}

#[test]
fn a_copy_is_read_back_with_its_deltas_and_facts() {
    let (folder, copy) = opened();
    assert!(copy.load(CLUSTER).is_none());
    let bytes = copy.write_base(&base(5, 10_000)).unwrap();
    append(&copy, &delta(5, 6, 10_000));
    append(&copy, &delta(6, 9, 10_000));
    let loaded = LastGood::open(folder.path()).unwrap().load(CLUSTER).unwrap();
    assert_eq!((loaded.base_bytes, &loaded.facts, loaded.holding.rows().len()), (bytes, &facts(), 10_001));
    assert_eq!(number(Some(loaded)), Some(9));
    assert!(copy.load("another").is_none(), "a copy of another cluster is not served");
}

#[test]
fn deltas_cut_at_any_byte_leave_a_whole_revision_that_can_be_appended_to() {
    let (folder, copy) = opened();
    copy.write_base(&base(5, 1)).unwrap();
    append(&copy, &delta(5, 6, 1));
    append(&copy, &delta(6, 7, 1));
    let path = folder.path().join(DELTA_FILE);
    let whole = fs::read(&path).unwrap();
    let first = whole.len() - (20 + delta(6, 7, 1).encoded_len());
    for len in 0..=whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let expect = if len < first {
            5
        } else if len < whole.len() {
            6
        } else {
            7
        };
        assert_eq!(number(copy.load(CLUSTER)), Some(expect), "{len}");
        append(&copy, &delta(expect, 8, 1));
        assert_eq!(number(copy.load(CLUSTER)), Some(8), "{len}");
    }
}

#[test]
fn deltas_with_any_bit_flipped_leave_a_revision_that_was_served() {
    let (folder, copy) = opened();
    copy.write_base(&base(5, 1)).unwrap();
    append(&copy, &delta(5, 6, 1));
    append(&copy, &delta(6, 7, 1));
    let path = folder.path().join(DELTA_FILE);
    let whole = fs::read(&path).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &flipped).unwrap();
        assert!(matches!(number(copy.load(CLUSTER)), Some(5 | 6)), "{bit}");
    }
}

#[test]
fn a_base_that_is_cut_or_changed_anywhere_is_not_served() {
    let (folder, copy) = opened();
    copy.write_base(&base(5, 3)).unwrap();
    let path = folder.path().join(BASE_FILE);
    let whole = fs::read(&path).unwrap();
    for len in 0..whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        assert!(copy.load(CLUSTER).is_none(), "{len}");
    }
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &flipped).unwrap();
        assert!(copy.load(CLUSTER).is_none(), "{bit}");
    }
}

#[test]
fn deltas_left_over_from_before_the_base_are_skipped() {
    let (folder, copy) = opened();
    copy.write_base(&base(5, 1)).unwrap();
    append(&copy, &delta(5, 6, 1));
    append(&copy, &delta(6, 7, 1));
    let left_over = fs::read(folder.path().join(DELTA_FILE)).unwrap();
    copy.write_base(&base(7, 1)).unwrap();
    fs::write(folder.path().join(DELTA_FILE), left_over).unwrap();
    append(&copy, &delta(7, 9, 1));
    assert_eq!(number(copy.load(CLUSTER)), Some(9));
}

#[test]
fn a_base_that_was_not_renamed_is_not_looked_at() {
    let (folder, copy) = opened();
    copy.write_base(&base(5, 1)).unwrap();
    fs::write(folder.path().join(NEW_BASE_FILE), b"half of something").unwrap();
    assert_eq!(number(copy.load(CLUSTER)), Some(5));
    copy.write_base(&base(6, 1)).unwrap();
    assert_eq!(number(copy.load(CLUSTER)), Some(6));
}

#[test]
fn the_lookup_key_is_sealed_and_the_files_are_their_owners_only() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, copy) = opened();
    copy.write_base(&base(5, 1)).unwrap();
    copy.deltas().unwrap();
    let bytes = fs::read(folder.path().join(BASE_FILE)).unwrap();
    assert!(!bytes.windows(32).any(|window| window == facts().lookup_key));
    for name in [BASE_FILE, DELTA_FILE, KEY_FILE] {
        let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    fs::remove_file(folder.path().join(KEY_FILE)).unwrap();
    assert!(LastGood::open(folder.path()).unwrap().load(CLUSTER).is_none(), "without its key the copy is not served");
}

#[test]
fn a_damaged_key_costs_the_copy_and_nothing_else() {
    for damaged in [&b""[..], b"1", b"1:AAAA", b"\xff\xfe\0", b"\0\0\0\0"] {
        let (folder, copy) = opened();
        copy.write_base(&base(5, 1)).unwrap();
        append(&copy, &delta(5, 6, 1));
        fs::write(folder.path().join(KEY_FILE), damaged).unwrap();
        let copy = LastGood::open(folder.path()).unwrap();
        assert!(copy.load(CLUSTER).is_none(), "{damaged:?}: nothing opens what the lost key sealed");
        copy.write_base(&base(7, 1)).unwrap();
        let again = LastGood::open(folder.path()).unwrap();
        assert_eq!(number(again.load(CLUSTER)), Some(7), "{damaged:?}: the new key is kept");
    }
}
