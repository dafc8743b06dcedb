//! What the admin services ask of the fleet: the seam between `sluice-admin` and `sluice-sync`, which do not know each
//! other.

use std::time::Duration;

use sluice_admin::{Sessions, Wanted};
use sluice_proto::{
    admin::{NodeLine, WaitReply},
    model::Revision,
    raft::{SessionReport, SessionReportReply},
};
use sluice_sync::{Fleet, Order};

/// The fleet as the admin services see it.
pub(crate) struct FleetSessions(pub(crate) Fleet);

#[tonic::async_trait]
impl Sessions for FleetSessions {
    fn take_report(&self, report: SessionReport) -> SessionReportReply {
        self.0.take_report(report)
    }

    async fn wait(&self, revision: Revision, api_ids: Vec<String>, timeout: Duration) -> WaitReply {
        self.0.wait(revision, api_ids, timeout).await
    }

    fn nodes(&self) -> Vec<NodeLine> {
        self.0.nodes()
    }

    fn order(&self, node_id: &str, wanted: Wanted) -> bool {
        self.0.order(node_id, order_of(wanted))
    }

    fn order_this(&self, wanted: Wanted) {
        self.0.order_this(order_of(wanted));
    }

    fn place_of(&self, node_id: &str) -> Option<u64> {
        self.0.place_of(node_id)
    }

    fn draining(&self) -> Vec<(u64, usize)> {
        self.0.draining()
    }
}

fn order_of(wanted: Wanted) -> Order {
    match wanted {
        Wanted::Serving => Order::Serve,
        Wanted::Draining => Order::Drain,
    }
}
