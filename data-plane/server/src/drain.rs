//! Sending clients elsewhere: because an operator wants it, or because the node stops.
//!
//! Promise: readiness fails first; connections are accepted and requests served all the while, and those that are idle are
//! only told to go when the announced time is over. An order can be taken back. A node that has drained does not wait once
//! more when it stops. Absent: closing (`traffic`).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sluice_follow::{Order, Standing};
use sluice_pipeline::tally::CoreTally;
use tokio::{sync::watch, time::sleep};
use tracing::info;

use crate::traffic::Lifecycle;

/// How often it is looked whether all have gone.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The drain of one node.
pub(crate) struct Drain {
    lifecycle: watch::Sender<Lifecycle>,
    /// How long balancers are given to see that the node is not ready.
    delay: Duration,
    since: Mutex<Option<Instant>>,
    cores: Vec<Arc<CoreTally>>,
}

impl std::fmt::Debug for Drain {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Drain").field("lifecycle", &*self.lifecycle.borrow()).finish_non_exhaustive()
    }
}

impl Drain {
    pub(crate) fn new(lifecycle: watch::Sender<Lifecycle>, delay: Duration, cores: Vec<Arc<CoreTally>>) -> Self {
        Self { lifecycle, delay, since: Mutex::default(), cores }
    }

    /// Does what the cluster orders, and says where the node stands, until it is dropped, which it may be at any time.
    pub(crate) async fn obey(&self, mut orders: watch::Receiver<Order>, standing: watch::Sender<Standing>) {
        loop {
            // One that is to leave drains too, and then stops.
            let drains = *orders.borrow_and_update() != Order::Serve;
            let doing = async {
                if drains {
                    self.begin();
                    standing.send_replace(Standing::Draining);
                    self.until_empty().await;
                    standing.send_replace(Standing::Drained);
                    info!("data node is drained");
                } else {
                    self.undo();
                    standing.send_replace(Standing::Serving);
                }
                std::future::pending::<()>().await;
            };
            // Dropping what is being done is right: the next order is done from where it stands.
            tokio::select! {
                () = doing => {}
                changed = orders.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Drains, unless that is done, and then closes.
    pub(crate) async fn close(&self) {
        self.begin();
        sleep(self.left()).await;
        self.lifecycle.send_replace(Lifecycle::Closing);
    }

    fn begin(&self) {
        let begun = self.lifecycle.send_if_modified(|now| {
            let begins = *now == Lifecycle::Serving;
            *now = (*now).max(Lifecycle::Draining);
            begins
        });
        if begun {
            *self.since() = Some(Instant::now());
            info!(delay_s = self.delay.as_secs(), "data node drains");
        }
    }

    fn undo(&self) {
        let undone = self.lifecycle.send_if_modified(|now| {
            let can = matches!(now, Lifecycle::Draining | Lifecycle::Emptying);
            if can {
                *now = Lifecycle::Serving;
            }
            can
        });
        if undone {
            *self.since() = None;
            info!("data node serves again");
        }
    }

    /// Waits for the announced time, then until no client is connected.
    async fn until_empty(&self) {
        sleep(self.left()).await;
        self.lifecycle.send_if_modified(|now| {
            let empties = *now == Lifecycle::Draining;
            *now = (*now).max(Lifecycle::Emptying);
            empties
        });
        while self.connected() > 0 {
            sleep(LOOK_EVERY).await;
        }
    }

    /// How much of the announced time is left.
    fn left(&self) -> Duration {
        let since = self.since().unwrap_or_else(Instant::now);
        self.delay.saturating_sub(since.elapsed())
    }

    fn connected(&self) -> u64 {
        // What has closed first: a connection that comes between is counted.
        self.cores
            .iter()
            .map(|core| {
                let closed = core.closed.get();
                core.accepted.get().saturating_sub(closed)
            })
            .sum()
    }

    fn since(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(delay: Duration) -> (Arc<Drain>, watch::Receiver<Lifecycle>, Arc<CoreTally>) {
        let (lifecycle, watched) = watch::channel(Lifecycle::Serving);
        let core = Arc::new(CoreTally::default());
        (Arc::new(Drain::new(lifecycle, delay, vec![core.clone()])), watched, core)
    }

    async fn stands(standing: &mut watch::Receiver<Standing>, wanted: Standing) {
        let reached = tokio::time::timeout(Duration::from_secs(10), standing.wait_for(|now| *now == wanted));
        reached.await.expect("it stands so in time").unwrap();
    }

    #[tokio::test]
    async fn a_node_is_drained_when_its_clients_have_gone_and_serves_again_when_told() {
        let (drain, lifecycle, core) = drain(Duration::from_millis(20));
        let (order, orders) = watch::channel(Order::Serve);
        let (standing, mut stood) = watch::channel(Standing::Serving);
        let obeying = drain.clone();
        let obeying = tokio::spawn(async move { obeying.obey(orders, standing).await });
        core.accepted.add(1);
        order.send_replace(Order::Drain);
        stands(&mut stood, Standing::Draining).await;
        let mut watched = lifecycle.clone();
        watched.wait_for(|now| *now == Lifecycle::Emptying).await.unwrap();
        assert_eq!(*stood.borrow(), Standing::Draining, "a client is there still");
        core.closed.add(1);
        stands(&mut stood, Standing::Drained).await;
        order.send_replace(Order::Serve);
        stands(&mut stood, Standing::Serving).await;
        assert_eq!(*lifecycle.borrow(), Lifecycle::Serving);
        obeying.abort();
    }

    #[tokio::test]
    async fn what_has_drained_stops_without_waiting_once_more() {
        let (drain, lifecycle, _) = drain(Duration::from_secs(3_600));
        drain.begin();
        *drain.since() = Instant::now().checked_sub(Duration::from_secs(3_600));
        tokio::time::timeout(Duration::from_secs(10), drain.close()).await.expect("its time is over");
        assert_eq!(*lifecycle.borrow(), Lifecycle::Closing);
        drain.undo();
        assert_eq!(*lifecycle.borrow(), Lifecycle::Closing, "what closes does not serve again");
    }
}
