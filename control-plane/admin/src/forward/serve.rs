//! The leader's end: a carried call runs on the same services as one that came directly, and for whom this node lets.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderValue, Request, header::CONTENT_TYPE};
use http_body_util::BodyExt as _;
use sluice_identity::{
    Keyring,
    roles::{self, Runs},
};
use sluice_proto::raft::{
    DrainReply, DrainRequest, ForwardReply, ForwardRequest, GetKeysReply, GetKeysRequest, KeepKeyReply, KeepKeyRequest,
    ProposeReply, ProposeRequest, SessionReport, SessionReportReply,
};
use sluice_raft::ProposeFailure;
use sluice_rpc::raft::peer_server::{self, PeerServer};
use sluice_state::{Tables, View};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Response, Status, service::Routes};
use tower::ServiceExt as _;

use crate::{
    admin::Admin,
    audit::Origin,
    call::{CarriedRequestId, leave_by},
    fleet::{Sessions, Wanted},
    forward::frame,
    operators,
    propose::{refusal, stamped},
    refused::NOT_LEADER,
    replica::{Leader, PEER_MESSAGE_BYTES_MAX, Replica},
    rotation,
};

/// The peer service: carried calls, carried commands, and reports of sessions.
pub struct PeerCalls<R = sluice_raft::Raft> {
    routes: Routes,
    replica: R,
    sessions: Arc<dyn Sessions>,
    keys: Keyring,
    /// Where carried calls run: the peer port is served on Raft's own threads, which must not wait for them.
    runtime: tokio::runtime::Handle,
}

#[expect(private_bounds, reason = "outside this crate it is served over Raft; tests have other replicas")]
impl<R: Replica> PeerCalls<R> {
    /// Serves carried calls with `routes`, on the current runtime, and all else with what `admin` has.
    pub(crate) fn server(routes: Routes, admin: Admin<R>) -> PeerServer<Self> {
        PeerServer::new(Self::over(routes, admin.replica, admin.sessions, admin.tools.secrets.keys().clone()))
            .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX)
    }

    pub(crate) fn over(routes: Routes, replica: R, sessions: Arc<dyn Sessions>, keys: Keyring) -> Self {
        Self { routes, replica, sessions, keys, runtime: tokio::runtime::Handle::current() }
    }

    fn of_this_cluster(&self, cluster_id: &str) -> Result<(), Status> {
        let ours = self.replica.view().cluster().unwrap_or_default().cluster_id;
        if ours.is_empty() || ours == cluster_id {
            return Ok(());
        }
        Err(Status::failed_precondition(format!("this node is of cluster {ours}, the caller of cluster {cluster_id}")))
    }

    /// The other node that leads, if this one does not.
    fn elsewhere(&self) -> Option<u64> {
        match self.replica.leader() {
            Leader::This => None,
            Leader::Other(leader) => Some(leader),
            Leader::Unknown => Some(0),
        }
    }
}

#[tonic::async_trait]
impl<R: Replica> peer_server::Peer for PeerCalls<R> {
    async fn forward(&self, request: tonic::Request<ForwardRequest>) -> Result<Response<ForwardReply>, Status> {
        if let Some(leader) = self.elsewhere() {
            return Ok(Response::new(not_leader(leader)));
        }
        let call = request_of(&self.replica.view(), request.into_inner())?;
        let routes = self.routes.clone();
        // Dropping the carried call drops this one: the handle aborts its task.
        let running = AbortOnDropHandle::new(self.runtime.spawn(answered(routes, call)));
        let answer = running.await.map_err(|error| Status::internal(format!("the call ended: {error}")))?;
        match answer? {
            Some(reply) => Ok(Response::new(reply)),
            None => Ok(Response::new(not_leader(self.elsewhere().unwrap_or(0)))),
        }
    }

    async fn propose(&self, request: tonic::Request<ProposeRequest>) -> Result<Response<ProposeReply>, Status> {
        let ProposeRequest { command, timeout_ms } = request.into_inner();
        let command = command.ok_or_else(|| Status::invalid_argument("expected a command, found none"))?;
        let deadline = leave_by(Instant::now() + Duration::from_millis(timeout_ms));
        let elsewhere = |leader| ProposeReply { not_leader: true, leader, ..ProposeReply::default() };
        if let Some(leader) = self.elsewhere() {
            return Ok(Response::new(elsewhere(leader)));
        }
        // The leader stamps, also what another node planned.
        let command = stamped(command, self.replica.view().stamp());
        match self.replica.propose(command, deadline).await {
            Ok(applied) => Ok(Response::new(ProposeReply {
                outcome: Some(applied.outcome),
                log_index: applied.log_index,
                ..ProposeReply::default()
            })),
            Err(ProposeFailure::NotLeader { leader }) => Ok(Response::new(elsewhere(leader.unwrap_or(0)))),
            Err(ProposeFailure::Timeout) => Err(Status::deadline_exceeded(ProposeFailure::Timeout.to_string())),
            Err(failure @ (ProposeFailure::DiskFull { .. } | ProposeFailure::Level { .. })) => {
                Err(refusal(&self.replica, &failure).into())
            }
            Err(failure @ ProposeFailure::TooLarge { .. }) => Err(Status::resource_exhausted(failure.to_string())),
            Err(ProposeFailure::Stopped) => Err(Status::unavailable(ProposeFailure::Stopped.to_string())),
        }
    }

    async fn report_sessions(
        &self,
        request: tonic::Request<SessionReport>,
    ) -> Result<Response<SessionReportReply>, Status> {
        Ok(Response::new(self.sessions.take_report(request.into_inner())))
    }

    async fn keep_key(&self, request: tonic::Request<KeepKeyRequest>) -> Result<Response<KeepKeyReply>, Status> {
        let KeepKeyRequest { cluster_id, key } = request.into_inner();
        self.of_this_cluster(&cluster_id)?;
        let kept = rotation::keep(&self.keys, vec![key]).await;
        kept.map_err(|failure| Status::failed_precondition(failure.to_string()))?;
        Ok(Response::new(KeepKeyReply {}))
    }

    async fn get_keys(&self, request: tonic::Request<GetKeysRequest>) -> Result<Response<GetKeysReply>, Status> {
        let GetKeysRequest { cluster_id, ids } = request.into_inner();
        self.of_this_cluster(&cluster_id)?;
        let keys = ids.iter().filter_map(|id| self.keys.get(id)).map(|key| key.to_text().expose().clone());
        Ok(Response::new(GetKeysReply { keys: keys.collect() }))
    }

    async fn drain(&self, request: tonic::Request<DrainRequest>) -> Result<Response<DrainReply>, Status> {
        let DrainRequest { cluster_id, node_id, undo } = request.into_inner();
        self.of_this_cluster(&cluster_id)?;
        let wanted = if undo { Wanted::Serving } else { Wanted::Draining };
        let told = match node_id {
            Some(node_id) => self.sessions.order(&node_id, wanted),
            None => {
                self.sessions.order_this(wanted);
                true
            }
        };
        Ok(Response::new(DrainReply { told }))
    }
}

/// Runs a call on the services of this node; none when it turned out that another node leads.
async fn answered(routes: Routes, call: Request<tonic::body::Body>) -> Result<Option<ForwardReply>, Status> {
    let Ok(answer) = routes.oneshot(call).await;
    let (parts, body) = answer.into_parts();
    if parts.headers.contains_key(NOT_LEADER) {
        return Ok(None);
    }
    let collected = body.collect().await?;
    let status = collected.trailers().and_then(Status::from_header_map);
    let status = status.or_else(|| Status::from_header_map(&parts.headers));
    reply_of(status, &collected.to_bytes()).map(Some)
}

fn not_leader(leader: u64) -> ForwardReply {
    ForwardReply { not_leader: true, leader, ..ForwardReply::default() }
}

/// The call as it would have come from the caller itself, who may make it as this node knows it.
fn request_of<T: Tables>(view: &View<T>, carried: ForwardRequest) -> Result<Request<tonic::body::Body>, Status> {
    let peer = operators::carried(view, &carried)?;
    if roles::allow(&carried.path, peer.role)?.runs != Runs::Leader {
        return Err(Status::invalid_argument(format!(
            "{} is carried nowhere: it runs where it is called",
            carried.path
        )));
    }
    let mut request = Request::post(&carried.path)
        .body(frame::body_of(&carried.message))
        .map_err(|_| Status::invalid_argument(format!("expected the path of a method, found `{}`", carried.path)))?;
    let headers: &mut HeaderMap = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("te", HeaderValue::from_static("trailers"));
    // gRPC allows eight digits: 27 hours in milliseconds.
    let timeout = format!("{}m", carried.timeout_ms.min(99_999_999));
    headers.insert("grpc-timeout", HeaderValue::from_str(&timeout).expect("digits and a letter are a header value"));
    request.extensions_mut().insert(peer);
    request.extensions_mut().insert(Origin {
        address: carried.caller_address,
        taken_by: carried.taken_by,
        method: carried.path,
    });
    if !carried.request_id.is_empty() {
        request.extensions_mut().insert(CarriedRequestId(carried.request_id.to_vec()));
    }
    Ok(request)
}

fn reply_of(status: Option<Status>, framed: &bytes::Bytes) -> Result<ForwardReply, Status> {
    match status {
        Some(status) if status.code() != Code::Ok => Ok(ForwardReply {
            code: u32::try_from(i32::from(status.code())).unwrap_or_default(),
            status_message: status.message().to_owned(),
            details: status.details().to_vec().into(),
            ..ForwardReply::default()
        }),
        Some(_) | None => Ok(ForwardReply { message: frame::message_of(framed)?, ..ForwardReply::default() }),
    }
}
