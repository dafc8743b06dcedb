//! The service `Fleet`: which node serves which revision.

mod drain;

use std::time::{Duration, Instant};

use sluice_proto::{
    admin::{DrainReply, DrainRequest, ListNodesReply, ListNodesRequest, NodeLine, WaitReply, WaitRequest},
    model::Revision,
    raft::{SessionReport, SessionReportReply},
};
use sluice_rpc::admin::fleet_server;
use tonic::{Request, Response, Status};

use crate::{
    admin::Admin,
    call::{Call, leave_by},
    config::{PageToken, fresh_view},
    read,
    refused::Refused,
    replica::Replica,
};

/// What an operator wants of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// That it serves.
    Serving,
    /// That its clients go elsewhere.
    Draining,
}

/// The sessions of data nodes, as this node and, on the leader, all nodes know them.
#[tonic::async_trait]
pub trait Sessions: Send + Sync + 'static {
    /// Takes what another control node knows.
    fn take_report(&self, report: SessionReport) -> SessionReportReply;

    /// Waits until every session that is live now serves `revision`, has ended, or the timeout is over. Of broken APIs only
    /// those of `api_ids` matter; when it is empty, all.
    async fn wait(&self, revision: Revision, api_ids: Vec<String>, timeout: Duration) -> WaitReply;

    /// A line for every data node that is or was lately connected.
    fn nodes(&self) -> Vec<NodeLine>;

    /// Tells a data node that streams from this node what is wanted of it; false when it does not.
    fn order(&self, node_id: &str, wanted: Wanted) -> bool;

    /// The same for this node.
    fn order_this(&self, wanted: Wanted);

    /// Raft's number of the control node from which a data node streams, as the leader knows it.
    fn place_of(&self, node_id: &str) -> Option<u64>;

    /// Control nodes that drain, by Raft's number, with how many data nodes they still have; as the leader knows it.
    fn draining(&self) -> Vec<(u64, usize)>;
}

#[tonic::async_trait]
impl<R: Replica> fleet_server::Fleet for Admin<R> {
    async fn wait(&self, request: Request<WaitRequest>) -> Result<Response<WaitReply>, Status> {
        let call = Call::of(&request);
        let WaitRequest { revision, timeout_ms, api_ids } = request.into_inner();
        let revision =
            revision.ok_or_else(|| Refused::invalid("revision", "expected a revision to wait for, found none", ""))?;
        let left = leave_by(call.deadline).saturating_duration_since(Instant::now());
        let timeout = Duration::from_millis(timeout_ms).min(left);
        Ok(Response::new(self.sessions.wait(revision, api_ids, timeout).await))
    }

    async fn drain(&self, request: Request<DrainRequest>) -> Result<Response<DrainReply>, Status> {
        let call = Call::of(&request);
        Ok(Response::new(drain::drain(self, &call, request.into_inner()).await?))
    }

    async fn list_nodes(&self, request: Request<ListNodesRequest>) -> Result<Response<ListNodesReply>, Status> {
        let call = Call::of(&request);
        let message = request.into_inner();
        let size = read::page_size(message.page_size)?;
        let after = PageToken::parse(message.page_token.as_deref())?.and_then(|token| token.0.into_iter().next());
        let view = fresh_view(&self.replica, &call, message.stale).await?;
        let revision = view.revision();
        let mut lines = self.control_lines(&view);
        drop(view);
        lines.extend(self.sessions.nodes());
        lines.retain(|line| message.role.as_ref().is_none_or(|role| *role == line.role));
        // A node that is broken as a whole may serve an older form of any API.
        let is_broken = |line: &NodeLine, api_id| line.broken_apis.contains(api_id) || !line.not_compiled.is_empty();
        lines.retain(|line| message.broken_api.as_ref().is_none_or(|api_id| is_broken(line, api_id)));
        lines.sort_by(|left, right| left.id.cmp(&right.id));
        lines.retain(|line| after.as_ref().is_none_or(|after| line.id > *after));
        let more = lines.len() > size;
        lines.truncate(size);
        let last = lines.last().filter(|_| more);
        let next_page_token = last.map(|line| PageToken(vec![line.id.clone()]).to_text()).unwrap_or_default();
        let number = revision.number;
        let reply = ListNodesReply { items: lines, next_page_token, revision: Some(revision.into()) };
        Ok(self.answer(message.stale, number, reply))
    }
}
