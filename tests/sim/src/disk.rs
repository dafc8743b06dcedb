//! How fast the disk of one node is.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{circumstances::Sabotage, world::World};

/// A disk's pace. Clones are that of the same disk.
#[derive(Clone)]
pub(crate) struct Pace {
    world: World,
    slow_until: Arc<Mutex<Option<Instant>>>,
}

impl Pace {
    pub(crate) fn new(world: World) -> Self {
        Self { world, slow_until: Arc::default() }
    }

    /// From now on, for so long, every sync takes a good part of a second.
    pub(crate) fn slow_for(&self, time: Duration) {
        *self.slow_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + time);
    }

    /// How long the next sync takes.
    pub(crate) fn sync(&self) -> Duration {
        let slow_until = *self.slow_until.lock().unwrap_or_else(PoisonError::into_inner);
        let dice = self.world.dice();
        if slow_until.is_some_and(|until| Instant::now() < until) {
            return dice.time(&(Duration::from_millis(200)..=Duration::from_millis(900)));
        }
        dice.time(&self.world.circumstances().sync)
    }

    pub(crate) fn sabotage(&self) -> Sabotage {
        self.world.circumstances().sabotage
    }
}
