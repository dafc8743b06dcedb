//! openraft's own tests of a store, over this one.

use std::{sync::Arc, time::Duration};

use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};
use sluice_identity::{FoundingRequest, found};

use super::{
    log::{LogDisk, LogStore},
    machine::{Machine, StateDisk, States},
    types::TypeConfig,
};
use crate::{circumstances::Circumstances, dice::Dice, disk::Pace, life::Life, witness::Witness, world::World};

struct InMemory;

impl StoreBuilder<TypeConfig, LogStore, Machine> for InMemory {
    async fn build(&self) -> Result<((), LogStore, Machine), StorageError<TypeConfig>> {
        let founding = found(FoundingRequest::Plaintext { now_ms: 1 }).unwrap();
        let dice = Dice::new(1);
        let mut circumstances = Circumstances::draw(&dice);
        circumstances.sync = Duration::from_micros(1)..=Duration::from_micros(2);
        let world = World::new(circumstances, dice, Witness::new(false), &founding);
        let (life, pace) = (Life::new(1), Pace::new(world.clone()));
        let log = Arc::new(LogDisk::default()).open(&life, pace.clone());
        let states = States::open(Arc::new(StateDisk::default()), &life);
        Ok(((), log, Machine::new(world, 1, life, pace, states)))
    }
}

#[tokio::test]
async fn log_and_state_pass_the_suite_of_openraft() {
    Suite::test_all(InMemory).await.unwrap();
}
