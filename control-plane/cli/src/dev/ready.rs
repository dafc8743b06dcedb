//! When the nodes of a `dev` cluster serve.

use std::{net::Ipv4Addr, time::Duration};

use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use sluice_proto::admin::ListNodesRequest;
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::layout::Layout;
use crate::{cluster::ask_status, failure::Failure, node::list_nodes, session::Session};

/// How long a cluster may take to serve: generous, for a machine that does other things too.
const START: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);
/// How long one question to a node may take.
const QUESTION: Duration = Duration::from_secs(2);

/// Waits until the cluster has `voters` control nodes.
pub(super) async fn control(session: &Session, voters: usize) -> Result<(), Failure> {
    until("the control nodes agree", async || has_voters(session, voters).await).await
}

/// Waits until every node says that it is ready, and the leader that every data node serves.
pub(super) async fn all(session: &Session, layout: &Layout) -> Result<(), Failure> {
    let (voters, data_nodes) = layout.counts();
    for port in layout.readiness_ports() {
        until(&format!("the node with port {port} is ready"), async || is_ready(port).await).await?;
    }
    control(session, voters).await?;
    until("every data node serves", async || has_serving(session, data_nodes).await).await
}

async fn until(what: &str, condition: impl AsyncFn() -> bool) -> Result<(), Failure> {
    let reached = timeout(START, async {
        while !condition().await {
            sleep(POLL).await;
        }
    });
    reached.await.map_err(|_| Failure::failed(format!("gave up after {} s waiting until {what}", START.as_secs())))
}

async fn has_voters(session: &Session, voters: usize) -> bool {
    let Ok(status) = ask_status(session).await else { return false };
    let found = status.members.iter().filter(|member| member.state == "voter" || member.state == "leader").count();
    found >= voters
}

/// Asked of the leader, which alone knows the sessions of all control nodes.
async fn has_serving(session: &Session, data_nodes: usize) -> bool {
    let message =
        ListNodesRequest { role: Some("data".to_owned()), page_size: Some(500), ..ListNodesRequest::default() };
    let Ok(reply) = list_nodes(session, message).await else { return false };
    reply.items.iter().filter(|node| node.state == "serving").count() >= data_nodes
}

/// Whether `/readyz` on this port of loopback answers 200.
async fn is_ready(port: u16) -> bool {
    timeout(QUESTION, ask(port)).await.ok().flatten() == Some(http::StatusCode::OK)
}

async fn ask(port: u16) -> Option<http::StatusCode> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    // Dropped with this question, whatever becomes of it.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let request = http::Request::get("/readyz").header(http::header::HOST, "localhost");
    let request = request.body(Empty::<bytes::Bytes>::new()).ok()?;
    Some(sender.send_request(request).await.ok()?.status())
}
