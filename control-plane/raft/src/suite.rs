//! openraft's own tests of a store, over ours.

use std::sync::Arc;

use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};
use sluice_telemetry::Metrics;

use crate::{
    FailPoints,
    log::{FlushThread, LogStore},
    machine::Machine,
    mark::Mark,
    meters::LogMeters,
    states::States,
    store::folders::Folders,
    types::TypeConfig,
};

struct OnDisk;

/// The folder, and the thread that writes.
type Guard = (FlushThread, tempfile::TempDir);

impl StoreBuilder<TypeConfig, LogStore, Machine, Guard> for OnDisk {
    async fn build(&self) -> Result<(Guard, LogStore, Machine), StorageError<TypeConfig>> {
        let home = tempfile::tempdir().unwrap();
        let folders = Folders::open(home.path(), FailPoints::default()).unwrap();
        let meters = LogMeters::register(&Metrics::new());
        let mark = Mark::new(home.path(), 1, "cluster");
        let (log, flush) = LogStore::open(&folders.log(), mark, u64::MAX, meters, FailPoints::default()).unwrap();
        let states = Arc::new(States::open(folders, log.growth(), log.kept(), 64 << 20).unwrap());
        let machine = Machine::new(states).unwrap();
        Ok(((flush, home), log, machine))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn log_and_state_pass_the_suite_of_openraft() {
    Suite::test_all(OnDisk).await.unwrap();
}
