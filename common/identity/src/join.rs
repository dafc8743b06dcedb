//! How a machine becomes a node: it makes its key, has it signed for a join token, and keeps what it got.
//!
//! Promise: the private key never leaves the node; an attempt that was cut off, by a crash or a lost answer, is repeated
//! with the same key and request id, so that a token used once is not lost; one that the cluster has refused for good is
//! forgotten, so that the next start does not repeat it. The identity file is written last.
//! Absent: what happens on the other side (`sluice-admin`).

#[cfg(test)]
mod tests;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use sluice_proto::{
    admin::{CreateTokenRequest, JoinReply, JoinRequest},
    raft::Node,
};
use sluice_rpc::admin::cluster_client::ClusterClient;
use tonic::{Code, Request, Status};
use tracing::info;
use uuid::Uuid;

use crate::{
    Channel, ClusterKey, Credentials, Dialer, Identity, IdentityFailure, JoinToken, Keyring, NodeRole, Plaintext,
    Purpose, Secret, Trust, certificate_request, files, status_text, write_secret,
};

/// Deadline of one attempt.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Pause between rounds over the addresses.
const PAUSE: Duration = Duration::from_millis(250);
/// Keeps an attempt that has not been answered.
pub(crate) const JOINING_FILE: &str = "joining.json";

/// A request to become a node.
#[derive(Debug)]
pub struct Join<'a> {
    /// Control nodes to ask, `HOST:PORT` or URLs of 7100, tried in order.
    pub control: &'a [String],
    /// The token; `None` in a plaintext cluster on this machine, where any caller is an operator and makes one.
    pub token: Option<&'a JoinToken>,
    /// What to become.
    pub role: NodeRole,
    /// What the node announces: addresses, version, level. Its id is made by the cluster.
    pub node: Node,
    /// The folder to keep the identity in.
    pub folder: &'a Path,
    /// Where plaintext may go.
    pub plaintext: Plaintext,
    /// How long to go on while no control node answers.
    pub patience: Duration,
}

/// What a node got by joining.
#[derive(Debug)]
pub struct Joined {
    /// Kept in the folder already.
    pub identity: Identity,
    /// The cluster's keys; control nodes only.
    pub cluster_keys: Vec<ClusterKey>,
    /// Control nodes of the cluster, `HOST:PORT` of 7100.
    pub control_addresses: Vec<String>,
}

/// An attempt, from before it is first sent until its answer is kept.
#[derive(Serialize, Deserialize)]
struct Attempt {
    request_id: [u8; 16],
    token_id: String,
    token_secret: String,
    key_pem: String,
    csr_pem: String,
}

/// Joins the cluster. `keep_keys` stores the cluster's keys on a control node before the identity is written.
///
/// Dropping this future loses nothing: the next call repeats the attempt.
///
/// # Errors
/// `Join` with the cluster's words and what to do when it refuses, or when none answered within `patience`; `File`,
/// `Certificate`.
pub async fn join(
    request: Join<'_>,
    keep_keys: impl FnOnce(&[ClusterKey]) -> Result<(), IdentityFailure>,
) -> Result<Joined, IdentityFailure> {
    check_token(&request)?;
    let dialer = Dialer::of_joining(request.token, request.plaintext)?;
    let channels: Vec<Channel> = request
        .control
        .iter()
        .map(|address| dialer.channel(address, NodeRole::Control, Purpose::Admin))
        .collect::<Result<_, _>>()?;
    let give_up = Instant::now() + request.patience;
    let attempt = prepare(&request, &channels, give_up).await?;
    let message = JoinRequest {
        request_id: attempt.request_id.to_vec(),
        token_id: attempt.token_id.clone(),
        token_secret: attempt.token_secret.clone(),
        csr_pem: attempt.csr_pem.clone(),
        node: Some(request.node.clone()),
    };
    let asked = ask(&channels, give_up, |channel| {
        let message = message.clone();
        async move { Ok(ClusterClient::new(channel).join(timed(message)).await?.into_inner()) }
    });
    match asked.await {
        Ok(reply) => keep(&request, attempt, reply, keep_keys),
        Err(Unanswered::Refused(status)) if is_final(status.code()) => {
            files::remove(&request.folder.join(JOINING_FILE))?;
            Err(IdentityFailure::Join { reason: format!("{}; {}", status_text(&status), begin_again(&request)) })
        }
        Err(unanswered) => Err(unanswered.into()),
    }
}

/// What to do when an attempt was refused for good.
fn begin_again(request: &Join<'_>) -> String {
    match request.token {
        Some(_) => format!(
            "this attempt is over: make a token with `sluice cluster token create --role {}` and start the node again with it",
            request.role
        ),
        None => "this attempt is over: start the node again to make another".to_owned(),
    }
}

fn check_token(request: &Join<'_>) -> Result<(), IdentityFailure> {
    let refuse = |reason: String| Err(IdentityFailure::Join { reason });
    if request.control.is_empty() {
        return refuse("expected the address of a control node (--join URL), found none".to_owned());
    }
    match request.token {
        Some(token) if token.role != request.role => {
            refuse(format!("the join token is for a {} node, this is a {} node", token.role, request.role))
        }
        _ => Ok(()),
    }
}

/// The attempt that was begun before, or a new one, kept before it is sent.
async fn prepare(request: &Join<'_>, channels: &[Channel], give_up: Instant) -> Result<Attempt, IdentityFailure> {
    let path = request.folder.join(JOINING_FILE);
    let begun = files::read_if_there(&path)?.and_then(|text| serde_json::from_str::<Attempt>(&text).ok());
    if let Some(begun) = begun
        && request.token.is_none_or(|token| token.id == begun.token_id)
    {
        return Ok(begun);
    }
    let (token_id, token_secret) = match request.token {
        Some(token) => (token.id.clone(), token.secret.expose().clone()),
        None => {
            let token = own_token(request.role, channels, give_up).await?;
            (token.id, token.secret.expose().clone())
        }
    };
    let certified = request.token.is_some_and(|token| token.ca_pem.is_some());
    let (key_pem, csr_pem) =
        if certified { certificate_request()? } else { (Secret::new(String::new()), String::new()) };
    let key_pem = key_pem.expose().clone();
    let attempt = Attempt { request_id: Uuid::now_v7().into_bytes(), token_id, token_secret, key_pem, csr_pem };
    files::make_folder(request.folder)?;
    let text = serde_json::to_string(&attempt).expect("strings always have a JSON form");
    write_secret(&path, &text)?;
    Ok(attempt)
}

/// A token made by this node itself: on plaintext loopback every caller is an operator.
async fn own_token(role: NodeRole, channels: &[Channel], give_up: Instant) -> Result<JoinToken, IdentityFailure> {
    let message = CreateTokenRequest {
        request_id: Uuid::now_v7().into_bytes().to_vec(),
        role: role.as_str().to_owned(),
        ttl_seconds: None,
    };
    let reply = ask(channels, give_up, |channel| {
        let message = message.clone();
        async move { Ok(ClusterClient::new(channel).create_token(timed(message)).await?.into_inner()) }
    })
    .await?;
    JoinToken::parse(&reply.token)
}

/// Why a call got no answer that it wanted.
enum Unanswered {
    /// By a control node that took it.
    Refused(Status),
    /// No control node took it in time; what the last one said.
    Silence(String),
}

impl From<Unanswered> for IdentityFailure {
    fn from(unanswered: Unanswered) -> Self {
        let reason = match unanswered {
            Unanswered::Refused(status) => status_text(&status),
            Unanswered::Silence(last) => format!("no control node could take the request; the last said: {last}"),
        };
        Self::Join { reason }
    }
}

/// Asks one control node after the other until one answers; a refusal is an answer, silence is not.
async fn ask<T, F: Future<Output = Result<T, Status>>>(
    channels: &[Channel],
    give_up: Instant,
    call: impl Fn(Channel) -> F,
) -> Result<T, Unanswered> {
    loop {
        let mut last = String::new();
        for channel in channels {
            match call(channel.clone()).await {
                Ok(reply) => return Ok(reply),
                Err(status) if is_silence(status.code()) => last = status_text(&status),
                Err(status) => return Err(Unanswered::Refused(status)),
            }
        }
        if Instant::now() >= give_up {
            return Err(Unanswered::Silence(last));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(ATTEMPT);
    request
}

/// Whether a status says that the request may or may not have been taken, and that asking again is right.
fn is_silence(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::DeadlineExceeded | Code::Unknown | Code::Cancelled | Code::Aborted)
}

/// Whether a status says that this very request will never be taken, and has not made a node: its token, its id or what it
/// says is no good. One that has made a node is answered, however late it is asked again.
fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::Unauthenticated
            | Code::PermissionDenied
            | Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::NotFound
            | Code::AlreadyExists
    )
}

fn keep(
    request: &Join<'_>,
    attempt: Attempt,
    reply: JoinReply,
    keep_keys: impl FnOnce(&[ClusterKey]) -> Result<(), IdentityFailure>,
) -> Result<Joined, IdentityFailure> {
    let refuse = |reason: &str| IdentityFailure::Join { reason: reason.to_owned() };
    if request.token.is_some_and(|token| token.cluster_id != reply.cluster_id) {
        return Err(refuse("the answer is of another cluster than the token"));
    }
    let trust = if attempt.csr_pem.is_empty() {
        Trust::Plaintext
    } else {
        let ca_pem = request.token.and_then(|token| token.ca_pem.clone()).unwrap_or_default();
        // A certificate that does not fit the key is found now rather than at the first call.
        Trust::Tls { ca_pem, credentials: Credentials::new(&reply.certificate_pem, Secret::new(attempt.key_pem))? }
    };
    let cluster_keys = match request.role {
        NodeRole::Data => Vec::new(),
        NodeRole::Control => Keyring::parse(&reply.cluster_key)?,
    };
    let raft_id = (request.role == NodeRole::Control).then_some(reply.raft_id);
    let identity =
        Identity { node_id: reply.node_id, cluster_id: reply.cluster_id, role: request.role, raft_id, trust };
    Dialer::of_node(&identity, request.plaintext)?;
    if !cluster_keys.is_empty() {
        keep_keys(&cluster_keys)?;
    }
    identity.save(request.folder)?;
    files::remove(&request.folder.join(JOINING_FILE))?;
    info!(node_id = %identity.node_id, cluster_id = %identity.cluster_id, role = %identity.role, "joined the cluster");
    Ok(Joined { identity, cluster_keys, control_addresses: reply.control_addresses })
}
