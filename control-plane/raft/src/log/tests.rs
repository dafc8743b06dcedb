use openraft::{
    EntryPayload, RaftLogReader,
    impls::leader_id_adv::LeaderId,
    storage::{IOFlushed, RaftLogStorage, RaftLogStorageExt},
};
use sluice_telemetry::Metrics;
use tempfile::TempDir;

use super::*;
use crate::types::EncodedCommand;

fn id(term: u64, index: u64) -> LogId {
    LogId::new(LeaderId { term, node_id: 1 }, index)
}

fn entry(term: u64, index: u64, bytes: usize) -> Entry {
    Entry { log_id: id(term, index), payload: EntryPayload::Normal(EncodedCommand(vec![7; bytes].into())) }
}

fn open(home: &TempDir) -> (LogStore, FlushThread) {
    open_with(home, &Metrics::new())
}

fn open_with(home: &TempDir, metrics: &Metrics) -> (LogStore, FlushThread) {
    try_open(home, metrics).unwrap()
}

fn try_open(home: &TempDir, metrics: &Metrics) -> Result<(LogStore, FlushThread), RaftFailure> {
    let mark = Mark::new(home.path(), 1, "cluster");
    LogStore::open(&home.path().join("log"), mark, 1_000, LogMeters::register(metrics), FailPoints::default())
}

async fn indexes(log: &LogStore) -> Vec<u64> {
    let entries = log.reader().try_get_log_entries(0..1_000).await.unwrap();
    entries.iter().map(|entry| entry.log_id.index).collect()
}

#[tokio::test]
async fn what_reaches_the_disk_is_counted_with_its_syncs() {
    let home = tempfile::tempdir().unwrap();
    let metrics = Metrics::new();
    let (mut log, flush) = open_with(&home, &metrics);
    log.blocking_append((1..=9).map(|index| entry(1, index, 1_000))).await.unwrap();
    log.purge(id(1, 2)).await.unwrap();
    flush.stop().await;
    let text = metrics.render();
    let value = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name} in {text}"));
        line.trim().parse().unwrap()
    };
    assert_eq!(value("sluice_raft_synced_writes_total "), 2, "nine entries are one write");
    assert_eq!(value("sluice_raft_sync_seconds_count "), 2, "each was waited for");
    assert!(value("sluice_raft_synced_bytes_total ") > 9_000);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_reopening() {
    let home = tempfile::tempdir().unwrap();
    let vote = Vote { leader_id: LeaderId { term: 3, node_id: 2 }, committed: false };
    {
        let (mut log, flush) = open(&home);
        assert!(log.is_pristine());
        log.blocking_append((1..=9).map(|index| entry(1, index, 10))).await.unwrap();
        log.save_vote(&vote).await.unwrap();
        log.truncate_after(Some(id(1, 7))).await.unwrap();
        log.blocking_append([entry(3, 8, 10)]).await.unwrap();
        log.purge(id(1, 2)).await.unwrap();
        flush.stop().await;
    }
    let (mut log, _flush) = open(&home);
    assert!(!log.is_pristine());
    assert_eq!(indexes(&log).await, [3, 4, 5, 6, 7, 8]);
    assert_eq!(log.reader().read_vote().await.unwrap(), Some(vote));
    let state = log.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(id(1, 2)), Some(id(3, 8))));
}

#[tokio::test]
async fn a_purge_leaves_the_next_entry_though_it_ends_a_file() {
    let home = tempfile::tempdir().unwrap();
    {
        let (mut log, flush) = open(&home);
        // Files of their own for what is not an entry and for the entries, below the first level.
        log.shared.db.flush().unwrap();
        log.shared.db.compact_range(None::<&[u8]>, None::<&[u8]>);
        log.blocking_append((1..=9).map(|index| entry(1, index, 10))).await.unwrap();
        log.shared.db.flush().unwrap();
        log.shared.db.compact_range(Some(keys::entry(0)), Some(keys::entry(10)));
        log.purge(id(1, 8)).await.unwrap();
        flush.stop().await;
    }
    let (log, _flush) = open(&home);
    assert_eq!(indexes(&log).await, [9]);
}

#[tokio::test]
async fn an_entry_is_readable_before_it_is_on_disk() {
    let home = tempfile::tempdir().unwrap();
    let (mut log, _flush) = open(&home);
    for index in 1..=50 {
        log.append([entry(1, index, 100)], IOFlushed::noop()).await.unwrap();
        assert_eq!(indexes(&log).await.last(), Some(&index));
    }
}

#[tokio::test]
async fn reads_for_replication_are_bounded_on_disk_and_in_memory() {
    let home = tempfile::tempdir().unwrap();
    {
        let (mut log, flush) = open(&home);
        log.blocking_append((1..=6).map(|index| entry(1, index, 1 << 20))).await.unwrap();
        assert_eq!(log.reader().limited_get_log_entries(2, 7).await.unwrap().len(), 1);
        flush.stop().await;
    }
    let (mut log, _flush) = open(&home);
    assert_eq!(log.reader().limited_get_log_entries(2, 7).await.unwrap().len(), 1);
    log.blocking_append([entry(1, 7, 10), entry(1, 8, 10)]).await.unwrap();
    assert_eq!(indexes(&log).await, [1, 2, 3, 4, 5, 6, 7, 8]);
    let across = log.reader().limited_get_log_entries(6, 9).await.unwrap();
    assert_eq!(across.iter().map(|entry| entry.log_id.index).collect::<Vec<_>>(), [6, 7, 8]);
}

#[tokio::test]
async fn growth_is_told_once_past_the_limit() {
    let home = tempfile::tempdir().unwrap();
    let (mut log, _flush) = open(&home);
    let growth = log.growth();
    log.blocking_append([entry(1, 1, 900)]).await.unwrap();
    assert!(!growth.is_exceeded());
    log.blocking_append([entry(1, 2, 900)]).await.unwrap();
    growth.exceeded().await;
    assert!(growth.is_exceeded());
    growth.reset();
    assert!(!growth.is_exceeded());
}

#[tokio::test]
async fn a_log_that_is_gone_is_refused_once_something_was_acknowledged() {
    let home = tempfile::tempdir().unwrap();
    let (mark, folder) = (home.path().join("member"), home.path().join("log"));
    {
        let (log, flush) = open(&home);
        assert!(log.is_pristine() && !mark.exists(), "nothing is promised yet");
        flush.stop().await;
    }
    std::fs::remove_dir_all(&folder).unwrap();
    {
        let (mut log, flush) = open(&home);
        log.save_vote(&Vote { leader_id: LeaderId { term: 1, node_id: 1 }, committed: false }).await.unwrap();
        assert!(mark.exists(), "made before the vote is acknowledged");
        flush.stop().await;
    }
    std::fs::remove_file(&mark).unwrap();
    {
        let (_log, flush) = open(&home);
        assert!(mark.exists(), "made for a log that has none");
        flush.stop().await;
    }
    std::fs::remove_dir_all(&folder).unwrap();
    for _ in 0..2 {
        let refused = try_open(&home, &Metrics::new()).err().unwrap();
        assert!(matches!(refused, RaftFailure::LostLog { raft_id: 1, .. }), "{refused}");
    }
    std::fs::write(&mark, "raft node 2 of cluster cluster\n").unwrap();
    let refused = try_open(&home, &Metrics::new()).err().unwrap();
    assert!(matches!(refused, RaftFailure::OtherMember { .. }), "{refused}");
}

#[tokio::test]
async fn what_cannot_be_marked_is_not_acknowledged() {
    let home = tempfile::tempdir().unwrap();
    let (mut log, _flush) = open(&home);
    std::fs::create_dir_all(home.path().join("member/in-the-way")).unwrap();
    let failed = log.blocking_append([entry(1, 1, 10)]).await;
    assert!(failed.is_err(), "{failed:?}");
    let vote = Vote { leader_id: LeaderId { term: 1, node_id: 1 }, committed: false };
    assert!(log.save_vote(&vote).await.is_err(), "and nothing is after it");
}
