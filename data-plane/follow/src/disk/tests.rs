//! The disk as its thread keeps it.

use sluice_model::{Revision, RowHasher};
use sluice_proto::{raft::Table, sync::Row};
use sluice_telemetry::{Metrics, bound, metric};

use super::*;
use crate::{
    last_good::Facts,
    row_store::{RowStore, StoredRow},
};

/// A node's rows, and how they reach the disk.
struct Node {
    rows: RowStore,
    number: u64,
}

impl Node {
    fn base(&self) -> BaseCopy {
        let facts = Facts { cluster_id: "cluster".into(), lookup_key: [1; 32], control_addresses: vec![] };
        BaseCopy::of(facts, Revision::new("g", self.number), &self.rows)
    }

    /// Changes one row and hands the change to the disk; says whether the whole copy was asked for.
    fn change(&mut self, disk: &Disk, value_bytes: usize) -> bool {
        let (from, to) = (self.number, self.number + 1);
        let value = vec![u8::try_from(to % 251).unwrap(); value_bytes];
        self.rows.put(Table::Plan, StoredRow::new(b"row", &value).unwrap());
        self.number = to;
        let revision = |number| Some(Revision::new("g", number).into());
        let delta = Delta {
            from: revision(from),
            to: revision(to),
            rows: vec![Row { table: Table::Plan as i32, key: "row".into(), number: to, value: value.into() }],
            tombstones: vec![],
            digest: self.rows.digest().to_bytes().to_vec().into(),
            last: true,
        };
        let mut whole = false;
        disk.keep(Some(Arc::new(delta)), || {
            whole = true;
            self.base()
        });
        whole
    }
}

fn node() -> Node {
    Node { rows: RowStore::new(RowHasher::new("cluster", "g")), number: 1 }
}

#[test]
fn what_was_handed_over_is_read_after_a_stop_and_goes_on_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = node();
    let disk =
        Disk::start(LastGood::open(folder.path()).unwrap(), Start::Nothing, Counter::noop(), Threads::Own).unwrap();
    assert!(node.change(&disk, 10), "a first copy is whole");
    assert!(!node.change(&disk, 10));
    disk.stop();
    let loaded = LastGood::open(folder.path()).unwrap().load("cluster").unwrap();
    assert_eq!(loaded.holding.digest(), node.rows.digest());
    let disk = Disk::start(
        LastGood::open(folder.path()).unwrap(),
        Start::Base(loaded.base_bytes),
        Counter::noop(),
        Threads::Own,
    )
    .unwrap();
    assert!(!node.change(&disk, 10), "later changes are appended");
    disk.stop();
    let loaded = LastGood::open(folder.path()).unwrap().load("cluster").unwrap();
    assert_eq!(loaded.holding.revision().unwrap().number, 4);
}

#[test]
fn deltas_that_outgrow_the_base_are_folded_into_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = node();
    let disk =
        Disk::start(LastGood::open(folder.path()).unwrap(), Start::Nothing, Counter::noop(), Threads::Own).unwrap();
    node.change(&disk, 10);
    let value_bytes = 8 * 1024;
    let folded = (0..200).filter(|_| {
        while disk.waiting.load(Ordering::Acquire) > 0 {
            std::thread::yield_now();
        }
        node.change(&disk, value_bytes)
    });
    let folded = folded.count() as u64;
    disk.stop();
    // A base is written anew when deltas of 256 KiB and a bit, 33 of them, have been appended.
    assert_eq!(folded, 200 / (FOLD_BYTES_MIN / value_bytes as u64 + 1));
    let deltas = std::fs::metadata(folder.path().join("last-good.delta")).unwrap().len();
    assert!(deltas <= FOLD_BYTES_MIN + 9 * 1024, "{deltas}");
    let loaded = LastGood::open(folder.path()).unwrap().load("cluster").unwrap();
    assert_eq!(loaded.holding.digest(), node.rows.digest());
}

#[test]
fn a_disk_that_does_not_keep_up_is_given_the_whole_when_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = node();
    let metrics = Metrics::new();
    let full = metrics.counter(&metric::BOUNDS_HIT, &[bound::DISK_QUEUE]);
    let disk = Disk::start(LastGood::open(folder.path()).unwrap(), Start::Nothing, full, Threads::Own).unwrap();
    node.change(&disk, 10);
    disk.waiting.fetch_add(QUEUE_MAX, Ordering::AcqRel);
    assert!(!node.change(&disk, 10), "nothing is handed to a disk that is busy");
    assert!(metrics.render().contains("sluice_bounds_hit_total{kind=\"disk_queue\"} 1"), "{}", metrics.render());
    disk.waiting.fetch_sub(QUEUE_MAX, Ordering::AcqRel);
    assert!(node.change(&disk, 10));
    assert!(!node.change(&disk, 10));
    disk.stop();
    let loaded = LastGood::open(folder.path()).unwrap().load("cluster").unwrap();
    assert_eq!(loaded.holding.digest(), node.rows.digest());
}

#[test]
fn a_copy_that_cannot_be_written_is_written_whole_when_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let copy = LastGood::open(folder.path()).unwrap();
    std::fs::create_dir(folder.path().join("last-good.base.new")).unwrap();
    let mut node = node();
    let disk = Disk::start(copy, Start::Nothing, Counter::noop(), Threads::Own).unwrap();
    node.change(&disk, 10);
    while !disk.wants_base.load(Ordering::Acquire) {
        std::thread::yield_now();
    }
    assert!(node.change(&disk, 10), "nothing is appended to what is not there");
    disk.stop();
    assert!(LastGood::open(folder.path()).unwrap().load("cluster").is_none());
}
