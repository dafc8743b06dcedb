//! Restores: what is replaced, what stays, and that nothing that is staged can break the state.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use sluice_model::{Digest, limits};
use sluice_proto::raft::{
    BackupRow, DropRestore, PutNode, Restore, StageRestore, StoredRow, Table, command, rejected::Code,
};

use super::{
    cluster::*,
    invariants::{self, visible},
    properties::{log, run, without_bookkeeping},
};
use crate::{MemoryTables, OnRestore, View, on_restore, tables::Tables};

const ID: [u8; 16] = [7; 16];

/// The rows that a restore takes, as they are staged.
fn stream(rows: impl Iterator<Item = BackupRow>) -> Vec<u8> {
    let taken = rows.filter(|row| on_restore(row.table()) == OnRestore::Replaced);
    taken.flat_map(|row| row.encode_length_delimited_to_vec()).collect()
}

fn piece(chunk: u32, data: &[u8]) -> command::Kind {
    let (restore_id, data) = (Bytes::copy_from_slice(&ID), Bytes::copy_from_slice(data));
    command::Kind::StageRestore(StageRestore { stamp: None, restore_id, chunk, data })
}

/// Stages `bytes` in pieces of `size`, and returns the command that takes them.
fn staged(cluster: &mut Cluster, bytes: &[u8], size: usize) -> command::Kind {
    for (number, data) in bytes.chunks(size).enumerate() {
        done(cluster.apply(piece(u32::try_from(number).unwrap(), data)));
    }
    let staged = cluster.view().staged_restore().unwrap();
    command::Kind::Restore(Restore {
        stamp: None,
        restore_id: staged.restore_id,
        chunks: staged.chunks,
        digest: staged.digest,
        generation: "g2".to_owned(),
        level: 1,
    })
}

/// A cluster with an API, a node and a token of its own.
fn another() -> Cluster {
    let mut cluster = Cluster::founded();
    cluster.done(vec![
        put(Table::RestApi, &["b1"], b"another"),
        put(Table::Resource, &["b1", "r1"], b"/x"),
        deploy("b1", "d1", Some("prod")),
        plan("p1", &[("b1", "prod")]),
        key("k9", 9, true),
        put(Table::PlanKey, &["p1", "k9"], b"m"),
    ]);
    done(cluster.apply(command::Kind::PutNode(PutNode { stamp: None, node: Some(node("n1", "control", 1)) })));
    cluster
}

fn values(tables: &MemoryTables) -> BTreeMap<(Table, Vec<u8>), Vec<u8>> {
    visible(tables).into_iter().map(|(row, (_, value))| (row, value)).collect()
}

fn backup(tables: &MemoryTables) -> Vec<(i32, Bytes, StoredRow)> {
    let view = View(tables);
    let rows = view.backup_rows();
    rows.map(|row| {
        let stored = StoredRow::decode(row.row).unwrap();
        (row.table, row.key, StoredRow { version: 0, number: 0, ..stored })
    })
    .collect()
}

fn of_kind(rows: &[(i32, Bytes, StoredRow)], kept: OnRestore) -> Vec<&(i32, Bytes, StoredRow)> {
    rows.iter().filter(|(table, ..)| on_restore(Table::try_from(*table).unwrap()) == kept).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn a_restore_is_the_state_of_the_backup_under_a_new_generation(log in log(), size in 40..4_000_usize) {
        let (from, _, _) = run(&log);
        let mut cluster = another();
        let (number, before) = (cluster.view().number(), backup(&cluster.tables));
        let restore = staged(&mut cluster, &stream(from.view().backup_rows()), size);
        let restored = done(cluster.apply(restore));
        prop_assert_eq!(restored.number, number + 1);
        let revision = cluster.view().revision();
        prop_assert_eq!((&*revision.generation, revision.number), ("g2", number + 1));
        prop_assert_eq!(values(&cluster.tables), values(&from.tables));
        let (now, taken) = (backup(&cluster.tables), backup(&from.tables));
        for replaced in [OnRestore::Replaced, OnRestore::Derived] {
            prop_assert_eq!(of_kind(&now, replaced), of_kind(&taken, replaced));
        }
        prop_assert_eq!(of_kind(&now, OnRestore::Kept), of_kind(&before, OnRestore::Kept));
        prop_assert!(cluster.delta(number).is_none(), "nobody is led from one generation to the next by a delta");
        prop_assert!(cluster.delta(number + 1).is_some());
        prop_assert!(cluster.view().staged_restore().is_none());
        prop_assert!(cluster.view().visible_rows().all(|row| row.number == number + 1));
        // Life goes on, with every invariant.
        for command in &log[1..] {
            cluster.apply_command(command);
            invariants::check(&cluster.tables);
        }
    }

    #[test]
    fn whatever_is_staged_is_restored_whole_or_refused_without_a_trace(
        log in log(), flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 1..3),
    ) {
        let (from, _, _) = run(&log);
        let mut bytes = stream(from.view().backup_rows());
        for (place, bit) in flips {
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
        }
        let mut cluster = another();
        let restore = staged(&mut cluster, &bytes, 1_000);
        let before = cluster.tables.clone();
        let outcome = cluster.apply_command(&stamped(restore, 0, None));
        if matches!(outcome.kind, Some(sluice_proto::raft::outcome::Kind::Rejected(_))) {
            prop_assert_eq!(without_bookkeeping(&before), without_bookkeeping(&cluster.tables));
        }
        // Documents may be wrong; the state may not.
        let view = cluster.view();
        prop_assert_eq!(view.visible_rows().count(), visible(&cluster.tables).len());
        for command in &log[1..] {
            cluster.apply_command(command);
        }
    }
}

#[test]
fn pieces_come_in_order_and_only_what_is_whole_is_taken() {
    let mut cluster = another();
    let rows = stream(Cluster::founded().with_served_api().view().backup_rows());
    assert_eq!(code(cluster.apply(piece(1, &rows))), Code::NotFound, "a restore begins with its first piece");
    done(cluster.apply(piece(0, &rows[..100])));
    assert_eq!(code(cluster.apply(piece(0, &rows[..100]))), Code::Invalid);
    assert_eq!(code(cluster.apply(piece(2, &rows[100..]))), Code::Invalid);
    let too_large = vec![1; limits::RESTORE_CHUNK_BYTES_MAX + 1];
    assert_eq!(code(cluster.apply(piece(1, &too_large))), Code::Capacity);
    let take = |chunks, digest: &[u8]| {
        let digest = Bytes::copy_from_slice(digest);
        let restore_id = Bytes::copy_from_slice(&ID);
        let generation = "g2".to_owned();
        command::Kind::Restore(Restore { stamp: None, restore_id, chunks, digest, generation, level: 1 })
    };
    let staged = cluster.view().staged_restore().unwrap();
    assert_eq!(code(cluster.apply(take(2, &staged.digest))), Code::NotFound);
    assert_eq!(code(cluster.apply(take(1, Digest::of(b"other").as_bytes()))), Code::NotFound);
    assert_eq!(code(cluster.apply(take(1, &staged.digest))), Code::Invalid, "half a row at the end");
    assert!(cluster.view().get(Table::ApiKey, &["k9"]).is_some());
}

#[test]
fn a_level_above_the_clusters_and_its_own_generation_are_refused() {
    let mut cluster = another();
    let rows = stream(Cluster::founded().with_served_api().view().backup_rows());
    let command::Kind::Restore(restore) = staged(&mut cluster, &rows, 10_000) else { panic!("a restore") };
    let newer = Restore { level: 2, ..restore.clone() };
    assert_eq!(code(cluster.apply(command::Kind::Restore(newer))), Code::Level);
    let same = Restore { generation: "g1".to_owned(), ..restore.clone() };
    assert_eq!(code(cluster.apply(command::Kind::Restore(same))), Code::Invalid);
    done(cluster.apply(command::Kind::Restore(restore.clone())));
    assert_eq!(code(cluster.apply(command::Kind::Restore(restore))), Code::NotFound, "it is taken once");
}

#[test]
fn what_is_staged_and_given_up_is_dropped_displaced_or_trimmed() {
    let mut cluster = another();
    let staged_rows = |cluster: &Cluster| cluster.tables.scan(&[12], &[13]).count();
    done(cluster.apply(piece(0, b"some")));
    done(cluster.apply(piece(1, b"more")));
    assert_eq!(staged_rows(&cluster), 3);
    let other = StageRestore {
        restore_id: Bytes::from(vec![8; 16]),
        data: Bytes::from_static(b"x"),
        ..StageRestore::default()
    };
    done(cluster.apply(command::Kind::StageRestore(other)));
    assert_eq!(staged_rows(&cluster), 2);
    assert_eq!(code(cluster.apply(piece(2, b"rest"))), Code::NotFound, "it was displaced");
    let drop_it = |id: u8| command::Kind::DropRestore(DropRestore { stamp: None, restore_id: vec![id; 16].into() });
    done(cluster.apply(drop_it(7)));
    assert_eq!(staged_rows(&cluster), 2, "another restore's rows stay");
    done(cluster.apply(drop_it(8)));
    assert_eq!(staged_rows(&cluster), 0);
    done(cluster.apply(piece(0, b"some")));
    assert!(!cluster.view().trim_is_due(cluster.now_ms + limits::UNREFERENCED_MS_MAX));
    cluster.now_ms += limits::UNREFERENCED_MS_MAX + 1;
    assert!(cluster.view().trim_is_due(cluster.now_ms));
    done(cluster.apply(trim()));
    assert_eq!(staged_rows(&cluster), 0);
}
