//! What was asked of a leader that leads no more.
//!
//! Promise: no caller waits out the silence of a leader that hangs, or was cut off, once another leads. Asking that one
//! the same again is safe: what changes something carries a request id. Absent: how the next leader is asked.

use std::time::Duration;

use tonic::Status;

use crate::replica::{Leader, Replica};

/// How often a call under way looks who leads: often beside an election, seldom beside what a look costs.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Returns the answer of `leader`, or `Unavailable` as soon as this node knows of another leader.
///
/// A node that knows of none waits on: the answer may still come.
pub(crate) async fn unless_replaced<R: Replica, T>(
    replica: &R,
    leader: u64,
    answer: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    tokio::select! {
        // An answer that is there counts, whoever leads by now.
        biased;
        answer = answer => answer,
        // Dropping the call is right: whether it was carried out is what asking again with its request id tells.
        () = replaced(replica, leader) => Err(Status::unavailable(format!("node {leader} leads no more"))),
    }
}

async fn replaced<R: Replica>(replica: &R, leader: u64) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match replica.leader() {
            Leader::Other(now) if now == leader => {}
            Leader::Unknown => {}
            Leader::Other(_) | Leader::This => return,
        }
    }
}
