//! Calls that the command line does not make: a chosen request id, a chosen node, no second try.

use std::{collections::BTreeMap, time::Duration};

use prost::Message as _;
use sluice_identity::{
    Channel, Dialer, Identity, NodeRole, OperatorProof, Plaintext, Purpose, ServerTrust, roles::LOCAL_METADATA,
};
use sluice_proto::{
    admin::{
        ChangeReply, ChangeRequest, ErrorDetails, GetRequest, ListRequest, Operation, Put, StateDigest, StatusRequest,
        Stored, operation,
    },
    model::{ApiKey, Document, Kind, Ref, document},
};
use sluice_rpc::admin::{cluster_client::ClusterClient, config_client::ConfigClient};
use tonic::{Request, Status, metadata::MetadataValue};
use uuid::Uuid;

/// Bytes of one page of a list.
const PAGE_BYTES_MAX: usize = 16 << 20;
/// Documents of one page.
const PAGE_SIZE: u32 = 500;

/// A channel of an operator to a control node of a plaintext cluster.
///
/// # Panics
/// When the URL is none.
#[must_use]
pub fn channel(url: &str) -> Channel {
    let dialer = Dialer::of_operator(&ServerTrust::None, OperatorProof::None, Plaintext::LoopbackOnly);
    let dialer = dialer.expect("an operator on loopback needs nothing");
    dialer.channel(url, NodeRole::Control, Purpose::Admin).expect("the URL of a node is one")
}

/// A channel of a control node to another, on the peer port of a plaintext cluster.
///
/// # Panics
/// When the address is none.
#[must_use]
pub fn peer_channel(cluster_id: &str, address: &str) -> Channel {
    let identity = Identity::plaintext(cluster_id, NodeRole::Control, "tester");
    let dialer = Dialer::of_node(&identity, Plaintext::LoopbackOnly).expect("loopback needs no certificate");
    dialer.channel(address, NodeRole::Control, Purpose::Peer).expect("the address of a node is one")
}

/// The stable code of a refusal; empty where there is none.
#[must_use]
pub fn refusal_code(status: &Status) -> String {
    ErrorDetails::decode(status.details()).unwrap_or_default().code
}

/// A request id as clients make them.
#[must_use]
pub fn request_id() -> Vec<u8> {
    Uuid::now_v7().as_bytes().to_vec()
}

/// An operation that makes an API key.
#[must_use]
pub fn new_key(name: &str, description: &str) -> Operation {
    let key = ApiKey { name: name.into(), description: Some(description.into()), ..ApiKey::default() };
    put(document::Kind::ApiKey(key))
}

/// An operation that makes a document, or replaces it.
#[must_use]
pub fn put(kind: document::Kind) -> Operation {
    let put = Put { document: Some(Document { kind: Some(kind) }), expected_version: None };
    Operation { kind: Some(operation::Kind::Put(put)) }
}

/// One `Config.Change` at one node.
///
/// # Errors
/// As the node refuses it, or when it cannot be reached.
pub async fn change(url: &str, request_id: &[u8], operations: Vec<Operation>) -> Result<ChangeReply, Status> {
    let request = ChangeRequest { request_id: request_id.to_vec(), operations };
    Ok(ConfigClient::new(channel(url)).change(request).await?.into_inner())
}

/// The same for a caller who waits no longer than `limit`, and says so.
///
/// # Errors
/// As `change`; without details when the node did not answer in time.
pub async fn change_within(
    limit: Duration,
    url: &str,
    request_id: &[u8],
    operations: Vec<Operation>,
) -> Result<ChangeReply, Status> {
    let mut request = Request::new(ChangeRequest { request_id: request_id.to_vec(), operations });
    request.set_timeout(limit);
    Ok(ConfigClient::new(channel(url)).change(request).await?.into_inner())
}

/// A linearizable read of a key at one node.
///
/// # Errors
/// As the node refuses it, or when it cannot be reached.
pub async fn read_key(url: &str, id: &str) -> Result<Stored, Status> {
    let target = Ref { kind: Kind::ApiKey.into(), ids: vec![id.to_owned()] };
    let request = GetRequest { r#ref: Some(target), ..GetRequest::default() };
    let reply = ConfigClient::new(channel(url)).get(request).await?.into_inner();
    reply.stored.ok_or_else(|| Status::internal("the answer holds no document"))
}

/// The id of what a change made first.
///
/// # Panics
/// When it made nothing.
#[must_use]
pub fn made(reply: &ChangeReply) -> String {
    let target = reply.results.first().and_then(|stored| stored.r#ref.as_ref());
    target.and_then(|target| target.ids.last()).expect("a change that made something names it").clone()
}

/// What a node's own state is, with the index that it has applied.
///
/// # Errors
/// When it cannot be reached.
///
/// # Panics
/// Never: it was asked for.
pub async fn state_digest(url: &str) -> Result<StateDigest, Status> {
    let mut request = Request::new(StatusRequest { stale: true, digest: true });
    request.metadata_mut().insert(LOCAL_METADATA, MetadataValue::from_static("1"));
    let reply = ClusterClient::new(channel(url)).status(request).await?.into_inner();
    Ok(reply.state.expect("a status that was asked for the digest has it"))
}

/// Every API key that a node has in its own state, by id.
///
/// # Errors
/// When it cannot be reached.
pub async fn keys_held(url: &str) -> Result<BTreeMap<String, ApiKey>, Status> {
    let mut client = ConfigClient::new(channel(url)).max_decoding_message_size(PAGE_BYTES_MAX);
    let mut held = BTreeMap::new();
    let mut page_token = None;
    loop {
        let request = ListRequest {
            kind: Kind::ApiKey.into(),
            page_size: Some(PAGE_SIZE),
            page_token: page_token.take(),
            stale: true,
            ..ListRequest::default()
        };
        let reply = client.list(request).await?.into_inner();
        for stored in reply.items {
            if let Some(document::Kind::ApiKey(key)) = stored.document.and_then(|document| document.kind) {
                held.insert(key.id.clone(), key);
            }
        }
        if reply.next_page_token.is_empty() {
            return Ok(held);
        }
        page_token = Some(reply.next_page_token);
    }
}
